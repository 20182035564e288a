//! Learning what the registry holds: reads that prove, a watch that hints (R40), and
//! since when neither is possible.

use std::collections::VecDeque;
use std::time::Duration;

use super::State;
use super::event::{Effect, Level};
use crate::clock::Moment;
use crate::registry::{Range, RegistryError, Snapshot, WatchBatch};

/// Least time between two reads, whoever asks: ten a second are plenty for a
/// registry that a thousand members share.
const READ_GAP: Duration = Duration::from_millis(100);

/// Longest pause between reads that fail: a registry that comes back is seen soon.
const READ_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How many calls say how quick the registry is.
const TRIPS: usize = 3;

/// What is known of the registry's answers.
#[derive(Debug)]
pub(super) struct Reads {
    /// Somebody needs a read soon.
    pub(super) wanted: bool,
    /// Everything is to be read, not only what changed.
    full: bool,
    /// When the read under way began.
    in_flight: Option<(Moment, bool)>,
    not_before: Moment,
    pause: Duration,
    last_started: Option<Moment>,
    /// Number of the newest watch.
    watch: u64,
    /// How far it has told; `None`: it does not run.
    told: Option<i64>,
    /// The newest change that a read found before the watch told it.
    ahead: i64,
    /// Start of the newest linearizable read that succeeded.
    pub(super) last_ok: Moment,
    /// Reads fail since then.
    pub(super) lost_since: Option<Moment>,
    pub(super) last_error: String,
    /// When reads succeeded again after they had failed for longer than F.
    pub(super) back_at: Option<Moment>,
    pub(super) round_trip: Duration,
    /// How long the last calls took, newest last; at most [`TRIPS`].
    trips: VecDeque<Duration>,
    /// Start of the newest read that is applied.
    applied: Option<Moment>,
}

impl Reads {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            wanted: true,
            full: true,
            in_flight: None,
            not_before: now,
            pause: READ_GAP,
            last_started: None,
            watch: 0,
            told: None,
            ahead: 0,
            last_ok: now,
            lost_since: None,
            last_error: String::new(),
            back_at: None,
            round_trip: Duration::ZERO,
            trips: VecDeque::new(),
            applied: None,
        }
    }

    /// A call took so long, however it ended.
    pub(super) fn note_trip(&mut self, took: Duration) {
        self.trips.push_back(took);
        if self.trips.len() > TRIPS {
            self.trips.pop_front();
        }
    }

    /// Whether the last calls were all quicker than that (R45).
    pub(super) fn quick(&self, budget: Duration) -> bool {
        self.trips.len() == TRIPS && self.trips.iter().all(|took| *took < budget)
    }

    /// The slowest of the last calls.
    pub(super) fn slowest(&self) -> Duration {
        self.trips.iter().max().copied().unwrap_or_default()
    }

    /// Whether a read that began at that moment or later is applied.
    pub(super) fn has_read_since(&self, at: Moment) -> bool {
        self.applied.is_some_and(|applied| applied >= at)
    }
}

impl State {
    /// Everything is to be read anew by a read that begins after now.
    pub(super) fn want_full_read(&mut self) {
        self.reads.wanted = true;
        self.reads.full = true;
    }

    /// What changed is to be read at once: slots wait for it.
    pub(super) fn read_now(&mut self, now: Moment) {
        self.reads.wanted = true;
        if self.reads.lost_since.is_none() {
            self.reads.not_before = now;
        }
    }

    pub(super) fn step_reads(&mut self, now: Moment) {
        let undecided = self.undecided(now);
        let reads = &mut self.reads;
        let periodic = reads
            .last_started
            .is_none_or(|at| at + self.config.reread <= now);
        let due = reads.wanted || undecided || periodic || reads.told.is_none();
        if !due || reads.in_flight.is_some() || now < reads.not_before {
            return;
        }
        if periodic && reads.told.is_some_and(|told| told < reads.ahead) {
            // A whole period ago a read found a change that the watch has not told yet.
            reads.told = None;
        }
        let full = std::mem::take(&mut reads.full);
        reads.wanted = false;
        reads.in_flight = Some((now, full));
        reads.last_started = Some(now);
        reads.not_before = now + READ_GAP;
        self.effects.push(Effect::Read(self.mirror.ranges(full)));
    }

    pub(super) fn on_read(
        &mut self,
        started: Moment,
        took: Duration,
        result: Result<Vec<(Range, Snapshot)>, RegistryError>,
        now: Moment,
    ) {
        self.reads.note_trip(took);
        let full = self.reads.in_flight.take().is_some_and(|(_, full)| full);
        let listings = match result {
            Ok(listings) => listings,
            Err(error) => return self.read_failed(started, full, error, now),
        };
        let mut notices = Vec::new();
        let first = listings
            .first()
            .map_or(0, |(_, snapshot)| snapshot.revision);
        let found = listings
            .iter()
            .flat_map(|(_, s)| &s.records)
            .map(|r| r.mod_revision)
            .max();
        let mut forward = true;
        for (range, snapshot) in listings {
            forward &= self.mirror.read(&range, snapshot, &mut notices);
        }
        for notice in notices {
            self.on_notice(notice, now);
        }
        if !forward {
            return self.read_failed(started, full, backwards(), now);
        }
        self.reads.pause = READ_GAP;
        self.reads.ahead = self.reads.ahead.max(found.unwrap_or(0));
        self.mirror.completed(first);
        self.reads.applied = self.reads.applied.max(Some(started));
        self.registry_answered(started, now);
        self.settle(started);
        if full {
            self.everything_read(started);
        }
        if self.reads.told.is_none() {
            self.reads.watch += 1;
            self.reads.told = Some(first);
            self.absent_anew(now);
            self.effects.push(Effect::Watch {
                watch: self.reads.watch,
                from: first + 1,
            });
        }
    }

    fn read_failed(&mut self, started: Moment, full: bool, error: RegistryError, now: Moment) {
        self.reads.wanted = true;
        self.reads.full |= full;
        self.reads.not_before = now + self.reads.pause;
        self.reads.pause = (self.reads.pause * 2).min(READ_PAUSE_MAX);
        self.registry_failed(started, &error, now);
    }

    pub(super) fn on_watched(&mut self, watch: u64, batch: WatchBatch, now: Moment) {
        if watch != self.reads.watch {
            return;
        }
        self.reads.told = self.reads.told.max(Some(batch.revision));
        let mut notices = Vec::new();
        for change in batch.changes {
            self.mirror.watched(change, &mut notices);
        }
        for notice in notices {
            self.on_notice(notice, now);
        }
    }

    pub(super) fn on_watch_ended(&mut self, watch: u64, error: RegistryError, now: Moment) {
        if watch != self.reads.watch {
            return;
        }
        self.reads.told = None;
        self.reads.not_before = self.reads.not_before.max(now + self.reads.pause);
        self.want_full_read();
        self.log(
            Level::Info,
            format!("the watch ended, reading everything anew: {error}"),
        );
    }

    /// A linearizable read that began at `started` succeeded.
    pub(super) fn registry_answered(&mut self, started: Moment, now: Moment) {
        let silence = started.since(self.reads.last_ok);
        self.reads.last_ok = self.reads.last_ok.max(started);
        if silence > self.config.fence_after {
            // Whatever happened meanwhile is read before anybody is told that all is well.
            self.reads.back_at = Some(now);
            self.stand_back(started);
            self.want_full_read();
        }
        if let Some(since) = self.reads.lost_since.take() {
            self.dirty = true;
            let text = format!(
                "the registry answers again after {} s",
                now.since(since).as_secs()
            );
            self.log(Level::Info, text);
        }
    }

    /// A read that began at `started` failed.
    pub(super) fn registry_failed(&mut self, started: Moment, error: &RegistryError, now: Moment) {
        if started < self.reads.last_ok {
            return;
        }
        self.reads.last_error = error.to_string();
        if self.reads.lost_since.is_none() {
            self.reads.lost_since = Some(now);
            self.dirty = true;
            self.log(Level::Warn, format!("the registry cannot be read: {error}"));
        }
    }

    /// Start of the newest linearizable read that succeeded.
    pub(crate) fn registry_ok(&self) -> Moment {
        self.reads.last_ok
    }

    /// How long the last self-check took.
    pub(crate) fn round_trip(&self) -> Duration {
        self.reads.round_trip
    }

    /// Whether the registry can be asked, and the mirror is what it held lately.
    pub(super) fn informed(&self) -> bool {
        self.reads.lost_since.is_none() && self.mirror.complete_to > 0
    }
}

/// What a registry that shows older revisions than before is worth.
pub(super) fn backwards() -> RegistryError {
    let why = "its revisions ran backwards: it was restored or replaced";
    RegistryError::Unavailable(why.to_owned())
}
