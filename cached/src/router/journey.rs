//! One operation on its way to an outcome: what each answer means for it, and
//! whether it may be tried again. Pure.

use std::collections::BTreeMap;

use cached_proto::failure::{Applied, Failure, FailureCode, OwnerHint};
use cached_proto::operation::{Operation, Outcome, Reply, Route};
use cached_proto::types::{Epoch, Key, Slot};

use super::local::Blocked;
use crate::clock::Moment;
use crate::parking::Parked;

/// Redirects of one operation to rows that are not newer than the one it was sent by.
/// Three of them mean that nodes disagree, and asking on would only add to the load.
/// A newer row is progress: slots that move several times while a request travels are
/// followed as long as it has time.
const REDIRECTS_MAX: u32 = 3;

/// What happens next to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Decide, now.
    Ready,
    /// A job that was begun for it tells how it goes on.
    Away,
    /// Decide again after a pause; the failure is its outcome if there is no time
    /// or no attempt left.
    Paused(Failure),
    /// Decide again when slots have changed hands; the failure says what it waits for.
    Parked(Failure),
    /// Done.
    Settled(Outcome),
}

/// An operation, what is known about it, and what became of it so far.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) operation: Operation,
    pub(super) slot: Slot,
    pub(super) route: Route,
    /// The newest owner that another node named.
    pub(super) hint: Option<OwnerHint>,
    /// The view was refreshed for it since the last pause.
    pub(super) refreshed: bool,
    pub(super) state: State,
    /// When it is decided again at the latest, paused or parked; `None`: not said yet,
    /// or only the deadline ends it.
    pub(super) again_at: Option<Moment>,
    /// Pauses so far: waiting for slots counts as none.
    pub(super) pauses: u32,
    /// Its place in the waiting room. Kept until it is settled, so that who has to wait
    /// twice does not lose it.
    place: Option<Parked>,
    /// Operations on the same key that come first.
    behind: Vec<usize>,
    redirects: u32,
    /// Its owner could not be reached, though neither table nor blacklist say why.
    unreachable: bool,
    /// Every attempt is used up but loading it here, uncached.
    pub(super) last_resort: bool,
    /// An attempt got lost that may have been carried out.
    maybe_applied: bool,
}

/// One key's operations so far: the last write, and the reads after it.
#[derive(Default)]
struct Queue {
    write: Option<usize>,
    reads: Vec<usize>,
}

/// Lets each operation follow those before it on the same key: a read the last write,
/// a write whatever came since. So one key's operations are carried out in the order
/// asked, also when an earlier one has to be loaded or tried again.
pub(super) fn line_up(journeys: &mut [Journey]) {
    if journeys.len() < 2 {
        return;
    }
    let mut queues: BTreeMap<Key, Queue> = BTreeMap::new();
    for (index, journey) in journeys.iter_mut().enumerate() {
        if journey.is_settled() {
            continue;
        }
        let is_read = journey.operation.is_read();
        for key in journey.operation.keys() {
            let queue = queues.entry(key.clone()).or_default();
            if is_read {
                journey.behind.extend(queue.write);
                queue.reads.push(index);
                continue;
            }
            let reads = std::mem::take(&mut queue.reads);
            match queue.write.replace(index) {
                // A key that comes twice: it does not wait for itself.
                Some(write) if write == index => {}
                write if reads.is_empty() => journey.behind.extend(write),
                _ => journey.behind.extend(reads),
            }
        }
    }
}

/// Whether it is an operation's turn: nothing before it on its key is under way.
pub(super) fn is_due(journeys: &[Journey], index: usize) -> bool {
    let journey = &journeys[index];
    journey.is_ready()
        && journey
            .behind
            .iter()
            .all(|&before| journeys[before].is_settled())
}

/// Whether it is any operation's turn.
pub(super) fn any_due(journeys: &[Journey]) -> bool {
    (0..journeys.len()).any(|index| is_due(journeys, index))
}

impl Journey {
    pub(super) fn new(operation: Operation, slot: Slot, route: Route) -> Self {
        Self {
            operation,
            slot,
            route,
            hint: None,
            refreshed: false,
            state: State::Ready,
            again_at: None,
            pauses: 0,
            place: None,
            behind: Vec::new(),
            redirects: 0,
            unreachable: false,
            last_resort: false,
            maybe_applied: false,
        }
    }

    /// Whether it only waits to be decided; [`is_due`] says whether it is its turn.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether an attempt on its owner failed, so that it met the failure that others
    /// are spared.
    pub(super) fn was_attempted(&self) -> bool {
        self.unreachable || self.maybe_applied
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.state, State::Paused(_))
    }

    pub(super) fn is_away(&self) -> bool {
        self.state == State::Away
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.state, State::Parked(_))
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Settled(_))
    }

    /// The slot, and the newest epoch of it that anybody has named.
    pub(super) fn shown(&self) -> (Slot, Epoch) {
        let known = match self.route {
            Route::OwnerOnly { known_epoch } => known_epoch,
            Route::Forward => Epoch(0),
        };
        (
            self.slot,
            self.hint
                .as_ref()
                .map_or(known, |hint| known.max(hint.epoch)),
        )
    }

    /// What became of it.
    pub(super) fn into_outcome(self) -> Outcome {
        match self.state {
            State::Settled(outcome) => outcome,
            State::Paused(failure) | State::Parked(failure) => Err(failure),
            State::Ready | State::Away => Err(Failure::new(
                FailureCode::Internal,
                "an operation came to no outcome",
            )),
        }
    }

    /// The outcome is known. A failure owns up to earlier attempts that got lost.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        let outcome = match outcome {
            Err(failure) if self.maybe_applied => Err(failure.maybe_applied()),
            outcome => outcome,
        };
        self.state = State::Settled(outcome);
        self.place = None;
    }

    /// The owner could not be reached; nothing was applied.
    pub(super) fn not_sent(&mut self, failure: Failure) {
        self.unreachable = true;
        self.pause(failure);
    }

    /// Nothing was applied, and a later attempt may do better.
    pub(super) fn pause(&mut self, failure: Failure) {
        self.again_at = None;
        self.state = State::Paused(failure);
    }

    /// Nothing was applied, and nothing can be before its slot is where it belongs.
    /// `enter` gives a place to wait at for so many bytes; without one it fails.
    pub(super) fn park(
        &mut self,
        blocked: Blocked,
        now: Moment,
        enter: impl FnOnce(u64) -> Option<Parked>,
    ) {
        if self.place.is_none() {
            self.place = enter(self.operation.payload_bytes() as u64);
        }
        if self.place.is_none() {
            return self.settle(Err(blocked.room_full()));
        }
        self.again_at = blocked.look_after.map(|pause| now + pause);
        self.state = State::Parked(blocked.failure);
    }

    /// A job is begun for it.
    pub(super) fn leave(&mut self) {
        self.state = State::Away;
    }

    /// That job was not begun after all, or changed nothing about the operation.
    pub(super) fn come_back(&mut self) {
        if self.state == State::Away {
            self.state = State::Ready;
        }
    }

    /// An attempt got lost on the way: it may have been carried out. Only what is
    /// idempotent is tried again.
    pub(super) fn lost(&mut self, mut failure: Failure) {
        if self.operation.is_read() {
            failure.applied = Applied::No;
            return self.not_sent(failure);
        }
        self.maybe_applied = true;
        let failure = failure.maybe_applied();
        if self.operation.is_idempotent() {
            self.pause(failure);
        } else {
            self.settle(Err(failure));
        }
    }

    /// The owner, chosen by a row of epoch `sent_epoch`, answered.
    pub(super) fn answered(&mut self, outcome: Outcome, sent_epoch: Epoch) {
        let failure = match outcome {
            Ok(answer) if self.maybe_applied && deleted_nothing(&answer.reply) => {
                let message = "nothing is there any more; whether this delete removed it is unknown, \
                               because the answer to an earlier attempt got lost";
                return self.settle(Err(Failure::new(FailureCode::Unavailable, message)));
            }
            Ok(answer) => return self.settle(Ok(answer)),
            Err(failure) => failure,
        };
        if failure.applied == Applied::Unknown {
            return self.lost(failure);
        }
        match failure.code {
            FailureCode::WrongOwner => self.redirected(failure, sent_epoch),
            FailureCode::Unavailable | FailureCode::Busy => self.pause(failure),
            _ => self.settle(Err(failure)),
        }
    }

    /// The node that was asked is not the owner.
    fn redirected(&mut self, failure: Failure, sent_epoch: Epoch) {
        let newer = |hint: &OwnerHint| hint.epoch > sent_epoch;
        if !failure.owner.as_deref().is_some_and(newer) {
            self.redirects += 1;
        }
        if self.redirects > REDIRECTS_MAX {
            let message = format!(
                "{REDIRECTS_MAX} nodes in a row named another owner of slot {}; the table is changing",
                self.slot
            );
            return self.settle(Err(Failure::new(FailureCode::Unavailable, message)));
        }
        match failure.owner {
            Some(hint) if newer(&hint) => {
                self.hint = Some(*hint);
                self.refreshed = false;
                self.state = State::Ready;
            }
            // It knows less than we do, or as much and reads it otherwise: give it time.
            _ => {
                let message = format!("slot {}: {}", self.slot, failure.message);
                self.pause(Failure::new(FailureCode::Unavailable, message));
            }
        }
    }

    /// The pause is over, or slots have changed hands.
    pub(super) fn wake(&mut self) {
        if self.is_paused() || self.is_parked() {
            self.refreshed = false;
            self.again_at = None;
            self.state = State::Ready;
        }
    }

    /// There is no attempt left: what it came to is its outcome, unless a read of
    /// an unreachable owner can be loaded here.
    pub(super) fn give_up(&mut self, loadable: bool) {
        let State::Paused(failure) = &self.state else {
            return;
        };
        if loadable && self.unreachable && !self.last_resort {
            self.last_resort = true;
            self.state = State::Ready;
        } else {
            let failure = failure.clone();
            self.settle(Err(failure));
        }
    }

    /// Its time is over.
    pub(super) fn expire(&mut self, allowed: std::time::Duration) {
        let last = match &self.state {
            State::Settled(_) => return,
            State::Paused(failure) => format!("; the last attempt: {}", failure.message),
            State::Parked(failure) => format!("; nothing was done: {}", failure.message),
            State::Ready | State::Away => String::new(),
        };
        let message = format!("the time of this request, {allowed:?}, is over{last}");
        self.settle(Err(Failure::new(FailureCode::Deadline, message)));
    }
}

/// A delete found nothing to remove: an earlier attempt of its own may be why.
fn deleted_nothing(reply: &Reply) -> bool {
    matches!(reply, Reply::Delete { deleted: false, .. })
}
