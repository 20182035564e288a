//! Receivers that take nothing, try after try (R47): their senders say so in the
//! registry, and the planner looks for somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::operations::{OperationKind, OperationState, ProgressRecord, PutOffRecord};
use cached_proto::records::PlanMember;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::{MemberId, NodeName};

use super::super::State;
use super::super::drafting::Beside;
use super::super::event::Purpose;
use super::super::life::put;
use super::super::mirror::Operation;
use super::{Move, Trouble};
use crate::clock::Moment;
use crate::registry::Compare;

/// Tries in a row after which another receiver is looked for.
const TRIES: u32 = 5;

/// How long they must have gone on for: a crash is noticed and seen to in less, and what
/// passes by itself is no reason to plan anew.
const NOT_BEFORE: Duration = Duration::from_secs(15);

/// How long a receiver is given nothing that others can have; then it is tried again.
const PUT_OFF_MS: u64 = 5 * 60 * 1_000;

/// Whether a receiver is to be put off.
fn is_hopeless(trouble: &Trouble, now: Moment) -> bool {
    trouble.refusals >= TRIES && now.since(trouble.since) >= NOT_BEFORE
}

/// Whether what a sender said of a life of a receiver still counts.
fn counts(put_off: &PutOffRecord, wall_ms: u64) -> bool {
    wall_ms < put_off.at_ms.saturating_add(PUT_OFF_MS)
}

impl State {
    /// Says in this member's progress record which receivers take nothing from it. Not
    /// while a batch is sealed: its commit writes the same record.
    pub(super) fn say_put_off(&mut self, now: Moment) {
        let none = !self.moves.trouble.values().any(|it| is_hopeless(it, now));
        if none || self.moves.running.values().any(Move::is_sealed) {
            return;
        }
        if !self.settled() || !self.informed() {
            return;
        }
        let (Some(me), Some(operation)) = (&self.me, self.operation()) else {
            return;
        };
        let id = operation.id.clone();
        let Some(known) = self.mirror.operations.get(&id) else {
            return;
        };
        let held = known.progress.get(&me.name);
        let mut progress = held.map(|held| held.value.clone()).unwrap_or_default();
        if !self.put_off_more(&mut progress, now) {
            return;
        }
        let record = self.mirror.keys.key(&RegistryKey::Operation(id.clone()));
        let created = known.record.as_ref().map_or(0, |held| held.create_revision);
        let key = RegistryKey::Progress(id, me.name.clone());
        let key = self.mirror.keys.key(&key);
        let compares = vec![
            Compare::CreateRevision(record, created),
            Compare::ModRevision(key.clone(), held.map_or(0, |held| held.mod_revision)),
        ];
        self.submit(Purpose::PutOff, compares, vec![put(key, &progress, 0)]);
    }

    /// Adds to a record whom it does not name yet, or not lately; answers whether it did.
    fn put_off_more(&self, progress: &mut ProgressRecord, now: Moment) -> bool {
        let mut more = false;
        for (to, trouble) in &self.moves.trouble {
            let said = progress.put_off.get(to);
            let lately =
                said.is_some_and(|said| said.inc == trouble.inc && counts(said, self.wall.0));
            if lately || !is_hopeless(trouble, now) {
                continue;
            }
            let put_off = PutOffRecord {
                inc: trouble.inc,
                tries: trouble.tries,
                why: trouble.last_error.clone(),
                at_ms: self.wall.0,
            };
            progress.put_off.insert(to.clone(), put_off);
            more = true;
        }
        more
    }

    /// Living members that do not take slots for an operation, each with why.
    fn left_out_of(&self, operation: &Operation) -> BTreeMap<MemberId, String> {
        let mut all = BTreeMap::new();
        for (from, held) in &operation.progress {
            for (to, said) in &held.value.put_off {
                let (name, inc) = (to.clone(), said.inc);
                let id = MemberId { name, inc };
                if counts(said, self.wall.0) && self.mirror.living(&id).is_some() {
                    let (tries, why) = (said.tries, &said.why);
                    let why = format!("{tries} tries of {from} came to nothing: {why}");
                    all.insert(id, why);
                }
            }
        }
        all
    }

    /// Those of the open operation.
    fn left_out(&self) -> BTreeMap<MemberId, String> {
        let open = self.mirror.operations.values().find(|operation| {
            let record = operation.record.as_ref();
            record.is_some_and(|held| held.value.state.is_open())
        });
        open.map(|open| self.left_out_of(open)).unwrap_or_default()
    }

    /// Those of any operation: nothing is begun for them.
    pub(in super::super) fn left_out_lately(&self) -> BTreeSet<MemberId> {
        let operations = self.mirror.operations.values();
        let all = operations.flat_map(|operation| self.left_out_of(operation).into_keys());
        all.collect()
    }

    /// Members that a plan among these gives nothing more; nobody, if there is no one else.
    pub(in super::super) fn closed_among(&self, members: &[PlanMember]) -> BTreeSet<MemberId> {
        let left_out = self.left_out();
        let takes = |member: &PlanMember| {
            member.weight > 0
                && !left_out.contains_key(&member.id)
                && self.mirror.living(&member.id).is_some()
        };
        match members.iter().any(takes) {
            true => left_out.into_keys().collect(),
            false => BTreeSet::new(),
        }
    }

    /// Plans anew when slots are promised to a member that does not take them, and another
    /// one may.
    pub(in super::super) fn plan_around(&mut self, now: Moment) -> bool {
        let mut left_out = self.left_out();
        let targets: BTreeSet<&MemberId> = self.moves.survey.targets().collect();
        left_out.retain(|id, _| targets.contains(id));
        let running = self.operation().map(|open| open.state);
        if left_out.is_empty() || running != Some(OperationState::Running) {
            return false;
        }
        let nobody = BTreeSet::new();
        let members = self.roster(&nobody, &|_| false, &BTreeMap::new());
        if members.is_none_or(|members| self.closed_among(&members).is_empty()) {
            return false;
        }
        let minutes = PUT_OFF_MS / 60_000;
        let lines = left_out.iter().map(|(id, why)| {
            let name = &id.name;
            format!("{name} is given nothing more for {minutes} min: {why}")
        });
        let reason = lines.collect::<Vec<_>>().join("; ");
        let Some(planned) = self.plan_freely(&nobody, now, reason.clone()) else {
            return false;
        };
        let nodes: [NodeName; 0] = [];
        let operation = self.carried_by(&planned, OperationKind::Rebalance, &nodes, reason);
        let beside = Beside {
            operation,
            ..Beside::default()
        };
        self.write_plan(Purpose::Plan, planned.record, beside);
        true
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::types::Incarnation;

    use super::*;

    #[test]
    fn five_tries_and_fifteen_seconds_make_a_receiver_hopeless() {
        let id = MemberId {
            name: NodeName::new("n2").unwrap(),
            inc: Incarnation(2),
        };
        let now = Moment::from_micros(60_000_000);
        for (refusals, seconds, hopeless) in [
            (5, 15, true),
            (4, 60, false),
            (50, 14, false),
            (0, 60, false),
        ] {
            let since = Moment::from_micros(60_000_000 - seconds * 1_000_000);
            let mut trouble = Trouble::new(&id, since);
            trouble.refusals = refusals;
            assert_eq!(is_hopeless(&trouble, now), hopeless, "{refusals} {seconds}");
        }
        let said = PutOffRecord {
            inc: id.inc,
            tries: 5,
            why: String::new(),
            at_ms: 1_000,
        };
        assert!(counts(&said, 1_000) && counts(&said, 300_999) && !counts(&said, 301_000));
    }
}
