//! What happened lately, as this node saw it: kept in memory, the newest only, told to
//! operators.
//!
//! Reading order: `event` (what is kept), `changes` with `members` and `slots` (pure: two
//! looks at the cluster → what happened in between), `watch` (the loop that looks), and
//! [`Journal`] itself. What an operator asked of this node is noted where it is done.

mod changes;
mod event;
mod members;
mod slots;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::{Clock, WallMs};

pub use event::{Event, Note, Severity};
pub use watch::{Watched, watch};

/// Events that are kept: hours of trouble, or months of peace.
const EVENTS_MAX: usize = 4_096;

/// Longest text of an event in bytes; with the bound on their number, at most some
/// megabytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// The events of one life of one process.
#[derive(Debug)]
pub struct Journal {
    /// Tells this life's numbers from those of another.
    id: String,
    clock: Clock,
    /// Held for a few copies.
    kept: Mutex<Kept>,
    grew: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    /// Number of the newest.
    newest: u64,
}

/// A part of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub events: Vec<Event>,
    /// How many before them are not kept any more.
    pub missed: u64,
    /// Number of the newest event, whether it is among them or not.
    pub newest: u64,
}

impl Journal {
    /// An empty one; `id` is random.
    pub fn new(id: u64, clock: Clock) -> Self {
        Self {
            id: format!("{id:016x}"),
            clock,
            kept: Mutex::default(),
            grew: Notify::new(),
        }
    }

    /// Tells this life's numbers from those of another.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes something down; the oldest goes when there are too many.
    pub fn note(&self, mut note: Note) {
        if note.text.len() > TEXT_BYTES_MAX {
            let mut end = TEXT_BYTES_MAX - '…'.len_utf8();
            while !note.text.is_char_boundary(end) {
                end -= 1;
            }
            note.text.truncate(end);
            note.text.push('…');
        }
        let mut kept = self.kept.lock();
        kept.newest += 1;
        let event = Event {
            sequence: kept.newest,
            at: self.clock.wall(),
            note,
        };
        if kept.events.len() >= EVENTS_MAX {
            kept.events.pop_front();
        }
        kept.events.push_back(event);
        drop(kept);
        self.grew.notify_waiters();
    }

    /// At most `limit` events after the one of that number and not before that time.
    pub fn after(&self, sequence: u64, since: WallMs, limit: usize) -> Page {
        let kept = self.kept.lock();
        let oldest = kept.newest + 1 - kept.events.len() as u64;
        let skipped = usize::try_from(sequence.saturating_add(1).saturating_sub(oldest))
            .unwrap_or(usize::MAX);
        let events = kept.events.iter().skip(skipped);
        let events = events.filter(|event| event.at >= since).take(limit);
        Page {
            events: events.cloned().collect(),
            missed: oldest.saturating_sub(sequence.saturating_add(1)),
            newest: kept.newest,
        }
    }

    /// Resolves when there is an event after the one of that number. Cancel-safe.
    pub async fn grown_beyond(&self, sequence: u64) {
        loop {
            // Register before looking, or an event between the two is lost.
            let grew = self.grew.notified();
            if self.kept.lock().newest > sequence {
                return;
            }
            grew.await;
        }
    }
}
