//! Hears which node answers for which slot, and holds it against what the registry says:
//! who has given a slot away, or was taken over, does not answer for it (I1, I14).

use std::collections::BTreeMap;
use std::sync::Mutex;

use cached_proto::types::{Incarnation, MemberId, Slot};

use super::agreed::HEARSAY;
use super::scene::now;
use crate::history::Micros;

/// Answers that are kept: the first ones say what happened.
const KEPT: usize = 20;

/// An answer by one who was not the owner any more.
#[derive(Clone, Debug)]
struct Wrong {
    slot: Slot,
    member: MemberId,
    passed_at: Micros,
    at: Micros,
}

#[derive(Debug, Default)]
struct Known {
    /// When a slot passed from a member to another, as it was heard: that is later than it
    /// happened, and the first had to stop before.
    passed: BTreeMap<(Slot, Incarnation), Micros>,
    wrong: Vec<Wrong>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Known>);

impl Witness {
    /// A slot passed from one member to another, who may have known it a little earlier.
    pub fn passed(&self, slot: Slot, from: &MemberId, to: &MemberId) {
        let mut known = self.0.lock().unwrap();
        known.passed.insert((slot, from.inc), now());
        known.passed.remove(&(slot, to.inc));
        let since = now().saturating_sub(HEARSAY);
        let wrong = &mut known.wrong;
        wrong.retain(|it| it.at < since || (it.slot, it.member.inc) != (slot, to.inc));
    }

    /// A member answered, sure that it owned the slot.
    pub fn answered(&self, member: &MemberId, slot: Slot) {
        let mut known = self.0.lock().unwrap();
        let Some(passed_at) = known.passed.get(&(slot, member.inc)).copied() else {
            return;
        };
        if known.wrong.len() < KEPT {
            known.wrong.push(Wrong {
                slot,
                member: member.clone(),
                passed_at,
                at: now(),
            });
        }
    }

    /// What is wrong.
    pub fn problems(&self) -> Vec<String> {
        let known = self.0.lock().unwrap();
        let text = |it: &Wrong| {
            let (slot, name) = (it.slot, &it.member.name);
            let seconds = |micros: Micros| micros as f64 / 1e6;
            format!(
                "I14: {name} answers at {:.3} s for slot {slot}, which was another's by {:.3} s",
                seconds(it.at),
                seconds(it.passed_at)
            )
        };
        known.wrong.iter().map(text).collect()
    }
}
