//! Looks at the cluster and this node again and again, and takes down what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::types::NodeName;

use super::Journal;
use super::changes::{Limits, Seen, changes};
use super::event::{Note, Severity};
use super::slots::changed;
use crate::blacklist::Breakers;
use crate::clock::{Clock, Moment};
use crate::cluster::view::ViewCell;
use crate::counters::Counters;
use crate::tasks::Stop;

/// How often is looked at what has no word of its own when it changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often moves of slots, and limits that are hit, are told: they come in hundreds.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The cluster.
    pub view: Arc<ViewCell>,
    /// Whom this node does not attempt.
    pub breakers: Arc<Breakers>,
    /// Limits that were hit.
    pub counters: Arc<Counters>,
    /// Time.
    pub clock: Clock,
}

/// Watches until `stop`.
pub async fn watch(watched: Watched, journal: Arc<Journal>, stop: Stop) {
    let mut watcher = Watcher::new(watched.look(), watched.clock.now());
    loop {
        let number = watcher.seen.view.number;
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            _ = watched.view.newer_than(number) => {}
            () = watched.clock.sleep(LOOK_EVERY) => {}
        }
        for note in watcher.see(watched.look(), watched.clock.now()) {
            journal.note(note);
        }
    }
}

impl Watched {
    fn look(&self) -> Seen {
        Seen {
            view: self.view.load_full(),
            serving: self.view.fence().check(self.clock.now()),
            listed: self.breakers.listed(),
            limits: Limits {
                connections_refused: self.counters.connections_refused.get(),
                keys_shed: self.counters.keys_shed.get(),
            },
            wall: self.clock.wall(),
        }
    }
}

/// What was seen last, and what is told only now and then. Pure.
#[derive(Debug)]
pub(super) struct Watcher {
    seen: Seen,
    given: BTreeMap<NodeName, u32>,
    /// When the first of them were given.
    given_since: Moment,
    told: Limits,
    limits_at: Moment,
}

impl Watcher {
    pub(super) fn new(seen: Seen, now: Moment) -> Self {
        Self {
            told: seen.limits,
            seen,
            given: BTreeMap::new(),
            given_since: now,
            limits_at: now,
        }
    }

    /// What has happened since the last look.
    pub(super) fn see(&mut self, seen: Seen, now: Moment) -> Vec<Note> {
        let mut notes = changes(&self.seen, &seen);
        if self.seen.view.number != seen.view.number {
            self.see_slots(&seen, now, &mut notes);
        }
        self.seen = seen;
        let rest = self.seen.view.to_move > 0;
        if !self.given.is_empty() && (!rest || now.since(self.given_since) >= TELL_EVERY) {
            for (to, slots) in std::mem::take(&mut self.given) {
                let text = format!("{slots} slots went to {to}");
                notes.push(Note::new(Severity::Info, "slots-moved", to, text));
            }
        }
        if now.since(self.limits_at) >= TELL_EVERY {
            self.tell_limits(now, &mut notes);
        }
        notes
    }

    fn see_slots(&mut self, seen: &Seen, now: Moment, notes: &mut Vec<Note>) {
        let slots = changed(&self.seen.view, &seen.view);
        for (from, slots) in slots.taken {
            let text = format!("took over {slots} slots of {from}, empty");
            notes.push(Note::new(Severity::Warning, "takeover", from, text));
        }
        if self.given.is_empty() {
            self.given_since = now;
        }
        for (to, slots) in slots.given {
            *self.given.entry(to).or_default() += slots;
        }
    }

    fn tell_limits(&mut self, now: Moment, notes: &mut Vec<Note>) {
        let (told, limits) = (self.told, self.seen.limits);
        let refused = limits.connections_refused - told.connections_refused;
        if refused > 0 {
            let text = format!("{refused} connections were turned away: too many are open");
            notes.push(Note::new(Severity::Warning, "limit-connections", "", text));
        }
        let shed = limits.keys_shed - told.keys_shed;
        if shed > 0 {
            let text = format!("{shed} entries were dropped: the receiver had no room for them");
            notes.push(Note::new(Severity::Warning, "limit-room", "", text));
        }
        if told != limits {
            (self.told, self.limits_at) = (limits, now);
        }
    }
}
