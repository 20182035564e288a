//! Incarnations that are gone: since when, whether they signed off, and what is
//! known of why.

use std::time::Duration;

use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::types::MemberId;

use super::event::Level;
use super::mirror::Held;
use super::{State, grace};
use crate::clock::Moment;

/// How long a member that came back as the same incarnation is not removed again:
/// peers that cannot reach it would otherwise stop it every few seconds, although it
/// reaches the registry.
pub(super) const RETURNED_FOR: Duration = Duration::from_secs(30);

/// How long an absent incarnation that no row names is remembered.
const REMEMBER_FOR: Duration = Duration::from_secs(60);

/// An incarnation that is no member.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    /// Since when this process has seen it absent.
    pub(crate) since: Moment,
    /// It said `gone`: it serves nothing, and nobody need wait for it.
    pub(crate) signed_off: bool,
    /// This process removed it, after nobody got an answer from it.
    pub(crate) removed_here: bool,
    /// Where it was reached; empty when this process never saw its record.
    pub(crate) address: String,
    /// Why, for people.
    pub(crate) detail: String,
}

impl State {
    pub(super) fn member_came(&mut self, record: &MemberRecord, now: Moment) {
        let id = &record.id;
        if let Some(absent) = self.absent.remove(id) {
            let text = format!(
                "{} is back after {} s",
                id.name,
                now.since(absent.since).as_secs()
            );
            self.returned.insert(id.clone(), now);
            self.inquiries.remove(id);
            self.log(Level::Info, text);
        } else if record.state == MemberState::Joining && self.mirror.complete_to > 0 {
            self.log(
                Level::Info,
                format!("{} joins at {}", id.name, record.address),
            );
        }
    }

    pub(super) fn member_left(&mut self, held: Held<MemberRecord>, now: Moment) {
        let record = held.value;
        if self
            .registered()
            .is_some_and(|(me, revision)| *me == record.id && revision == held.create_revision)
        {
            self.key_gone(now, "the member key was deleted");
        }
        let signed_off = record.state == MemberState::Gone;
        let removed = self.removals.remove(&record.id);
        let removed_here = removed.is_some();
        let detail = match (signed_off, removed) {
            (true, _) => "signed off".to_owned(),
            (false, Some(why)) => why,
            (false, None) => self.why_gone(&record.id),
        };
        self.log(Level::Info, format!("{} left: {detail}", record.id.name));
        let absent = Absent {
            since: now,
            signed_off,
            removed_here,
            address: record.address,
            detail,
        };
        self.absent.entry(record.id).or_insert(absent);
    }

    fn why_gone(&self, id: &MemberId) -> String {
        if self.mirror.members.contains_key(&id.name) {
            return "its name was registered again by a new incarnation".to_owned();
        }
        match self.probes.misses(id) {
            0 => "its lease ended".to_owned(),
            misses => format!("removed: no answer to the last {misses} probes"),
        }
    }

    pub(super) fn step_absence(&mut self, now: Moment) {
        if !self.mirror.table_loaded() {
            return;
        }
        for id in self.mirror.rows.keys() {
            if self.mirror.living(id).is_none() && !self.absent.contains_key(id) {
                let detail = "was no member when this node first looked".to_owned();
                let absent = Absent {
                    since: now,
                    signed_off: false,
                    removed_here: false,
                    address: String::new(),
                    detail,
                };
                self.absent.insert(id.clone(), absent);
                self.dirty = true;
            }
        }
        let rows = &self.mirror.rows;
        self.absent
            .retain(|id, a| rows.contains_key(id) || now.since(a.since) < REMEMBER_FOR);
        self.returned.retain(|_, at| now.since(*at) < RETURNED_FOR);
    }

    /// A watch was started: nobody saw whether absent members came and went since the
    /// last one ended, so the wait for them begins again. Not for the own name: while
    /// this process holds it, no other incarnation can come back.
    pub(super) fn absent_anew(&mut self, now: Moment) {
        let own = self.me.as_ref().map(|me| &me.name);
        for (id, absent) in &mut self.absent {
            if own != Some(&id.name) {
                absent.since = absent.since.max(now);
            }
        }
    }

    /// Owners that rows name and that are no members.
    pub(super) fn orphaned(&self) -> impl Iterator<Item = (&MemberId, &Absent)> {
        let rows = &self.mirror.rows;
        self.absent
            .iter()
            .filter(|(id, _)| rows.contains_key(*id) && self.mirror.living(id).is_none())
    }

    /// Whether this process has waited long enough to take slots of that owner (I15).
    pub(super) fn waited(&self, absent: &Absent, extra: Duration, now: Moment) -> bool {
        absent.signed_off || now.since(absent.since) >= grace(self.config.fence_after) + extra
    }
}
