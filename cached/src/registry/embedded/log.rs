//! What happened lately, for watches that start in the past. Pure.

use std::collections::VecDeque;

use super::state::{Kv, Span};

/// Changes that are remembered; a watch that is further behind must read anew.
/// A bootstrap writes 256 pages, a join or a crash changes each page at most a few
/// times: this is the last dozen of such events.
pub(super) const EVENTS_MAX: usize = 10_000;

/// And their size: 256 pages of 16 KiB, sixteen times over.
const BYTES_MAX: usize = 64 << 20;

/// Changes told at once; etcd tells as many revisions.
const BATCH_EVENTS: usize = 1_000;

/// Size after which a batch takes no further revision: with one more revision of
/// the largest size a message stays below the 4 MiB that any client accepts.
const BATCH_BYTES: usize = 1 << 20;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The key is gone; `kv` is then its name and the revision of the deletion.
    pub(super) deleted: bool,
    pub(super) kv: Kv,
}

/// What a watch is told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Whole revisions only.
    pub(super) events: Vec<Event>,
    /// Where to go on: everything before it was told.
    pub(super) next: i64,
}

/// Changes in the order of their revisions.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    /// The oldest revision that is told completely.
    compacted: i64,
}

impl Log {
    /// The oldest revision that a watch may start from.
    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Adds the newest change.
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.kv.bytes();
        self.events.push_back(event);
    }

    /// Forgets the oldest revisions, as many as it takes to keep the limits.
    pub(super) fn trim(&mut self) {
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.front() else {
                return;
            };
            self.compact(oldest.kv.mod_revision + 1);
        }
    }

    /// Forgets what happened before `revision`.
    pub(super) fn compact(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
        while let Some(oldest) = self.events.front() {
            if oldest.kv.mod_revision >= revision {
                return;
            }
            self.bytes -= oldest.kv.bytes();
            self.events.pop_front();
        }
    }

    /// Changes of `span` from revision `from` on, as many as fit a message;
    /// `revision` is the newest there is.
    pub(super) fn tell(&self, span: &Span, from: i64, revision: i64) -> Told {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut within = from;
        let start = self
            .events
            .partition_point(|event| event.kv.mod_revision < from);
        for event in self.events.range(start..) {
            let full = events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES;
            if full && event.kv.mod_revision > within {
                return Told {
                    events,
                    next: event.kv.mod_revision,
                };
            }
            within = event.kv.mod_revision;
            if span.contains(&event.kv.key) {
                bytes += event.kv.bytes();
                events.push(event.clone());
            }
        }
        Told {
            events,
            next: from.max(revision + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(revisions: impl IntoIterator<Item = i64>) -> Log {
        let mut log = Log::default();
        for mod_revision in revisions {
            let kv = Kv {
                key: "k".into(),
                mod_revision,
                ..Kv::default()
            };
            log.push(Event { deleted: false, kv });
        }
        log
    }

    #[test]
    fn tells_whole_revisions() {
        // One change at revision 2, then 1,500 at revision 3, then one at 4.
        let log = log(std::iter::once(2).chain(vec![3; 1_500]).chain([4]));
        let first = log.tell(&Span::all(), 2, 4);
        assert_eq!((first.events.len(), first.next), (1_501, 4));
        let second = log.tell(&Span::all(), first.next, 4);
        assert_eq!((second.events.len(), second.next), (1, 5));
        assert_eq!(
            log.tell(&Span::all(), 5, 4),
            Told {
                events: vec![],
                next: 5
            }
        );
        assert_eq!(
            log.tell(&Span::all(), 50, 4),
            Told {
                events: vec![],
                next: 50
            }
        );
    }

    #[test]
    fn forgets_whole_revisions() {
        let revisions = [vec![2; 3], (3..EVENTS_MAX as i64 + 2).collect()].concat();
        let mut log = log(revisions);
        assert_eq!(log.events.len(), EVENTS_MAX + 2);
        log.trim();
        assert_eq!((log.events.len(), log.compacted()), (EVENTS_MAX - 1, 3));
    }
}
