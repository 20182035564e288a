//! Where an operation is sent, and what follows when it fails. Pure.

use std::time::Duration;

use cached_proto::failure::{Advice, Applied};
use cached_proto::operation::{Answer, Reply, Route};
use cached_proto::types::Slot;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::topology::Known;

/// Most redirects that one call follows to rows that are not newer than the one it was
/// sent by: more than three mean that the nodes disagree, and asking faster does not
/// help. A newer row is progress, and slots that move several times are followed as long
/// as there is time.
pub(crate) const REDIRECTS_MAX: u32 = 3;

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    /// Whether it is asked as owner, or to pass the request on.
    pub(crate) route: Route,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Ask the owner that the newest row names, after a pause.
    Retry(Duration),
    /// Ask the owner that a newer row names, now.
    Redirect,
    /// Learn the topology anew, and after a pause ask any node to pass it on.
    Refresh(Duration),
    /// Tell the caller.
    GiveUp,
}

/// The attempts of one operation so far.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    backoff: Backoff,
    failed: u32,
    redirects: u32,
    /// Ask any node instead of the owner.
    forward: bool,
    /// Addresses that could not be reached: asked again only when there are no others.
    avoid: Vec<String>,
    /// One of them may have been carried out.
    maybe_applied: bool,
}

impl Attempts {
    /// None yet.
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            failed: 0,
            redirects: 0,
            forward: false,
            avoid: Vec::new(),
            maybe_applied: false,
        }
    }

    /// What an answer is worth after the attempts before it: a delete that finds
    /// nothing may have removed the entry itself, in an attempt whose answer was lost.
    pub(crate) fn judge(&self, answer: Answer) -> Result<Answer, Error> {
        let nothing = matches!(answer.reply, Reply::Delete { deleted: false, .. });
        if !(nothing && self.maybe_applied) {
            return Ok(answer);
        }
        Err(Error::Lost {
            message: "there is no entry now; an attempt before this one may have removed it"
                .to_owned(),
            applied: Applied::Unknown,
            timed_out: false,
        })
    }

    /// Whom to ask for a key of this slot: its owner, or, when that one is not known
    /// or not reached, any node, chosen by `draw`, a random number in 0..1.
    /// `None`: no node is known at all.
    pub(crate) fn target(&self, known: &Known, slot: Slot, draw: f64) -> Option<Target> {
        match known.owner(slot) {
            Some((address, known_epoch)) if !self.forward => {
                let route = Route::OwnerOnly { known_epoch };
                Some(Target {
                    address: address.to_owned(),
                    route,
                })
            }
            _ => {
                let address = known.anyone(&self.avoid, draw)?.to_owned();
                Some(Target {
                    address,
                    route: Route::Forward,
                })
            }
        }
    }

    /// What follows after asking `target` came to `error`. `learned`: the error told
    /// of a newer row, which is in force now. `jitter` is a random number in 0..1.
    pub(crate) fn next(&mut self, failed: &Failed<'_>, time_left: Duration, jitter: f64) -> Next {
        let Failed {
            error,
            target,
            idempotent,
            learned,
        } = failed;
        if error.applied() == Applied::Unknown {
            if !idempotent {
                return Next::GiveUp;
            }
            self.maybe_applied = true;
        }
        match error.advice() {
            Advice::Fix | Advice::GiveUp => return Next::GiveUp,
            Advice::Redirect if failed.is_progress() => {
                self.forward = false;
                return Next::Redirect;
            }
            Advice::Redirect if *learned && self.redirects < REDIRECTS_MAX => {
                self.redirects += 1;
                self.forward = false;
                return Next::Redirect;
            }
            Advice::Redirect => self.forward = true,
            Advice::Retry if matches!(error, Error::Failed(_)) => self.forward = false,
            Advice::Retry => {
                self.forward = true;
                if !self.avoid.contains(&target.address) {
                    self.avoid.push(target.address.clone());
                }
            }
        }
        let Some(pause) = self.backoff.pause(self.failed, time_left, jitter) else {
            return Next::GiveUp;
        };
        // The node knows better than we do how long it needs.
        let pause = pause.max(advised_pause(error));
        if pause >= time_left {
            return Next::GiveUp;
        }
        self.failed += 1;
        if self.forward {
            Next::Refresh(pause)
        } else {
            Next::Retry(pause)
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed<'a> {
    /// With what.
    pub(crate) error: &'a Error,
    /// Who was asked.
    pub(crate) target: &'a Target,
    /// The operation may be applied twice without harm.
    pub(crate) idempotent: bool,
    /// The error told of a newer row, which is in force now.
    pub(crate) learned: bool,
}

impl Failed<'_> {
    /// It was sent to the owner by a row that is not the newest any more. Then the newest
    /// is known by now: from this answer, or from another one.
    fn is_progress(&self) -> bool {
        let (Error::Failed(failure), Route::OwnerOnly { known_epoch }) =
            (self.error, self.target.route)
        else {
            return false;
        };
        let hint = failure.owner.as_deref();
        hint.is_some_and(|hint| hint.epoch > known_epoch)
    }
}

fn advised_pause(error: &Error) -> Duration {
    match error {
        Error::Failed(failure) => failure.retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
