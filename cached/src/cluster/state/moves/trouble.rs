//! Receivers that do not take what they should: when they are asked again, and what
//! people are told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::operations::MoveCounts;
use cached_proto::types::{Incarnation, MemberId, NodeName};
use rand::Rng;

use super::super::State;
use super::super::event::Level;
use super::{Move, Moves, Stage};
use crate::clock::Moment;
use crate::transfer::order::MoveId;

/// A receiver that takes from others is asked again after one of these, in
/// milliseconds: soon, and not by all at once.
const BUSY_MS: std::ops::RangeInclusive<u64> = 20..=50;

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// First and longest pause of a receiver without room: room comes slowly.
const NO_ROOM_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Failures in a row after which it is a problem.
const PROBLEM_AFTER: u32 = 3;

/// How long a batch may wait for a quick registry before people are told.
const SEAL_WAIT: Duration = Duration::from_secs(10);

/// What is wrong between this process and a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Which life of the receiver.
    pub(super) inc: Incarnation,
    /// Tries in a row that came to nothing.
    pub(crate) tries: u32,
    /// Those of them that the receiver refused, or that broke on the way to it.
    pub(super) refusals: u32,
    /// Why the last one did, or what blocks now.
    pub(crate) last_error: String,
    /// Nothing has gone to that receiver since then.
    pub(crate) since: Moment,
    /// It is not asked before.
    pub(crate) next_try: Moment,
    /// Grows with every failure.
    pause: Duration,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The receiver asked to come back soon.
    Busy,
    /// It has no room.
    OverCapacity,
    /// The receiver, or the way to it, whatever it was.
    Receiver,
    /// Neither: the registry, or this process.
    Elsewhere,
}

impl Moves {
    pub(super) fn is_blocked(&self, to: &NodeName, now: Moment) -> bool {
        self.trouble
            .get(to)
            .is_some_and(|trouble| trouble.next_try > now)
    }

    /// Slots went to that receiver.
    pub(super) fn went_well(&mut self, to: &NodeName) {
        self.trouble.remove(to);
    }
}

impl State {
    /// A batch came to nothing, and not because the cluster wanted it so.
    pub(super) fn move_failed(
        &mut self,
        id: &MoveId,
        going: &Move,
        why: String,
        kind: Kind,
        now: Moment,
    ) {
        let jitter = Duration::from_millis(self.rng.random_range(BUSY_MS));
        let to = &going.to.id.name;
        let trouble = Trouble::new(&going.to.id, now);
        let trouble = self.moves.trouble.entry(to.clone()).or_insert(trouble);
        if trouble.inc != going.to.id.inc {
            // Another life has its own troubles.
            *trouble = Trouble::new(&going.to.id, now);
        }
        if kind == Kind::Busy {
            // Everyday's business where several send to one.
            trouble.next_try = now + jitter;
            return;
        }
        trouble.tries += 1;
        trouble.last_error.clone_from(&why);
        let pause = match kind {
            Kind::OverCapacity => trouble.longer(NO_ROOM_PAUSES),
            Kind::Busy | Kind::Receiver | Kind::Elsewhere => trouble.longer(PAUSES),
        };
        trouble.refusals += u32::from(kind != Kind::Elsewhere);
        trouble.next_try = now + pause;
        let tries = trouble.tries;
        // Told ever more seldom.
        if tries.is_power_of_two() {
            let (slots, page) = (going.slots.len(), id.page);
            let text = format!(
                "{slots} slots of page {page} did not go to {to} (try {tries} in a row): {why}"
            );
            self.log(Level::Warn, text);
        }
    }

    /// Of receivers that nothing is to go to nobody asks any more.
    pub(super) fn forget_trouble(&mut self) {
        if self.moves.trouble.is_empty() {
            return;
        }
        let survey = &self.moves.survey;
        let members = &self.mirror.members;
        self.moves
            .trouble
            .retain(|name, _| members.contains_key(name) && survey.gives_to(name));
    }

    /// Keeps account of what was sent for nothing, until a progress record takes it.
    pub(super) fn note_in_vain(&mut self, going: &Move, counts: MoveCounts) {
        let key = (going.operation.clone(), going.to.id.name.clone());
        let sum = self.moves.in_vain.entry(key).or_default();
        sum.failed += counts.sent.max(counts.failed);
        sum.failures += 1;
    }

    /// What blocks moves, by receiver: for people.
    pub(crate) fn move_trouble(&self, now: Moment) -> BTreeMap<NodeName, Trouble> {
        let mut trouble = self.moves.trouble.clone();
        for going in self.moves.running.values() {
            let Stage::CaughtUp(since) = going.stage else {
                continue;
            };
            if now.since(since) >= SEAL_WAIT && !self.may_seal() {
                let took = self.reads.slowest().as_millis();
                let budget = self.config.seal_budget.as_millis();
                let name = going.to.id.name.clone();
                let blocked = trouble.entry(name).or_insert(Trouble {
                    next_try: now,
                    ..Trouble::new(&going.to.id, since)
                });
                blocked.last_error = format!(
                    "nothing is sealed while the registry takes {took} ms, more than \
                     {budget} ms, or this node is not sure of itself"
                );
            }
        }
        trouble
    }

    pub(super) fn trouble_problems(&self) -> impl Iterator<Item = String> {
        let often = self.moves.trouble.iter();
        let often = often.filter(|(_, trouble)| trouble.tries >= PROBLEM_AFTER);
        often.map(|(to, trouble)| {
            let (tries, why) = (trouble.tries, &trouble.last_error);
            format!("slots did not go to {to} {tries} times in a row: {why}")
        })
    }
}

impl Trouble {
    pub(super) fn new(of: &MemberId, since: Moment) -> Self {
        Self {
            inc: of.inc,
            tries: 0,
            refusals: 0,
            last_error: String::new(),
            since,
            next_try: since,
            pause: Duration::ZERO,
        }
    }

    /// The next pause.
    fn longer(&mut self, (first, longest): (Duration, Duration)) -> Duration {
        self.pause = (self.pause * 2).clamp(first, longest);
        self.pause
    }
}
