//! Decides what this process does with an operation on a slot. Pure: it sees one
//! picture of the cluster and answers; nothing here waits, calls or counts.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode, OwnerHint};
use cached_proto::operation::Route;
use cached_proto::records::{BlacklistRecord, MemberState};
use cached_proto::types::{Epoch, MemberId, Slot};

use crate::blacklist::Admission;
use crate::clock::{Moment, WallMs};
use crate::cluster::view::{ClusterView, FenceReason, MemberView, Serving};
use crate::peers::Peer;

/// Advised pause where waiting for the driver is all there is to do: about the
/// time of two registry reads.
const SOON: Duration = Duration::from_millis(200);

/// Advised pause where a member has to register or load its table first.
const LATER: Duration = Duration::from_secs(1);

/// How long requests wait for a member that vanished: leases that ran out while the
/// registry was away end with its return, and their owners register again at once.
const RETURN_MAX: Duration = Duration::from_secs(1);

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The slot of the operation's key.
    pub slot: Slot,
    /// The picture of the cluster.
    pub view: &'a ClusterView,
    /// Whether this process may serve its slots.
    pub serving: Serving,
    /// Who finds the owner, and what the caller knows of the slot.
    pub route: Route,
    /// What another node said of the slot on the way, if it did.
    pub hint: Option<&'a OwnerHint>,
    /// The view was refreshed for this operation already.
    pub refreshed: bool,
    /// The getter of this process may load the key for this caller, uncached.
    pub loadable: bool,
    /// How long after its disappearance a member's slots are taken over, about.
    pub takeover_after: Duration,
    /// Now.
    pub now: Moment,
    /// Now, for operators' entries.
    pub wall: WallMs,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Carry it out here, and check the fence again before answering.
    Local,
    /// Pass it on to the owner, with the epoch by which it was chosen.
    Forward {
        /// The owner.
        peer: Peer,
        /// Of the row or hint that named it.
        epoch: Epoch,
    },
    /// Answer this failure; nothing was done.
    Refuse(Failure),
    /// The same, because this process has blacklisted the owner; an operation that
    /// was under way before that may wait for the next probe.
    Listed(Failure),
    /// The owner vanished a moment ago and is likely to be back: wait for it.
    AwaitReturn(Failure),
    /// The owner cannot be asked: load from the origin and store nothing.
    LoadUncached,
    /// Somebody knows more than this process does: read the registry, decide again.
    RefreshFirst,
}

/// Decides. `admit` asks the owner's circuit breaker; it is called only when
/// everything else speaks for passing the operation on, because a "yes" may be
/// the one probe that an open breaker lets through.
pub fn decide(question: &Question<'_>, admit: &mut dyn FnMut(&MemberId) -> Admission) -> Decision {
    let view = question.view;
    let owner = view.owner(question.slot).filter(|_| view.table_loaded);
    let Some((owner, epoch)) = owner else {
        let message = "this node has not loaded the slot table yet";
        return Decision::Refuse(unavailable(message, LATER));
    };
    if let (Route::Forward, Some(hint)) = (question.route, question.hint)
        && hint.epoch > epoch
    {
        return follow(question, hint);
    }
    if question.newest_epoch_shown() > epoch && !question.refreshed {
        return Decision::RefreshFirst;
    }
    match question.route {
        _ if view.is_mine(question.slot) => here(question, epoch),
        Route::OwnerOnly { .. } => elsewhere(question, owner),
        Route::Forward => forward(question, owner, epoch, admit),
    }
}

/// The owner to whom an operation that has just come goes straight, and the epoch by
/// which it is chosen; `None`: there is more to decide. Where this answers, [`decide`]
/// answers [`Decision::Forward`], if the owner's breaker admits it.
pub fn straight(
    view: &ClusterView,
    slot: Slot,
    route: Route,
    wall: impl FnOnce() -> WallMs,
) -> Option<(&MemberView, &str, Epoch)> {
    if !view.table_loaded || route != Route::Forward || view.is_mine(slot) {
        return None;
    }
    let (owner, epoch) = view.owner(slot)?;
    let record = owner.record.as_ref().filter(|_| !is_gone(owner))?;
    let listed = !view.blacklist.is_empty() && operators_entry(view, owner, wall()).is_some();
    (!listed).then_some((owner, &record.address, epoch))
}

impl Question<'_> {
    /// The newest epoch of the slot that anybody but our own view has named.
    fn newest_epoch_shown(&self) -> Epoch {
        let known = match self.route {
            Route::OwnerOnly { known_epoch } => known_epoch,
            Route::Forward => Epoch(0),
        };
        self.hint.map_or(known, |hint| known.max(hint.epoch))
    }

    fn uncached_or(&self, failure: impl FnOnce() -> Failure) -> Decision {
        if self.loadable {
            Decision::LoadUncached
        } else {
            Decision::Refuse(failure())
        }
    }
}

/// Our row names this process.
fn here(question: &Question<'_>, epoch: Epoch) -> Decision {
    // A newer row was shown and the registry did not confirm it in time. Whoever
    // shows it is right or asks in vain; serving could contradict the new owner.
    if question.newest_epoch_shown() > epoch {
        let message = format!(
            "slot {} is said to have a newer owner, which this node cannot confirm yet",
            question.slot
        );
        return Decision::Refuse(unavailable(message, SOON));
    }
    match question.serving {
        Serving::Yes | Serving::Degraded => Decision::Local,
        Serving::Fenced(reason) => Decision::Refuse(fenced(reason)),
    }
}

/// The caller routes by itself and asked the wrong node.
fn elsewhere(question: &Question<'_>, owner: &MemberView) -> Decision {
    match question.view.hint(question.slot) {
        Some(hint) if !is_gone(owner) => Decision::Refuse(Failure::wrong_owner(hint)),
        _ => without_owner(question, owner),
    }
}

/// This process acts for a caller that does not route.
fn forward(
    question: &Question<'_>,
    owner: &MemberView,
    epoch: Epoch,
    admit: &mut dyn FnMut(&MemberId) -> Admission,
) -> Decision {
    let Some(record) = owner.record.as_ref().filter(|_| !is_gone(owner)) else {
        return without_owner(question, owner);
    };
    if let Some(entry) = operators_entry(question.view, owner, question.wall) {
        let left = Duration::from_millis(entry.expires_ms - question.wall.0);
        return question.uncached_or(|| {
            let message = format!(
                "slot {} is owned by {}, which {} blacklisted: {}",
                question.slot, owner.id.name, entry.by, entry.reason
            );
            unavailable(message, left)
        });
    }
    match admit(&owner.id) {
        Admission::Allowed => {
            let peer = Peer {
                id: owner.id.clone(),
                address: record.address.clone(),
            };
            Decision::Forward { peer, epoch }
        }
        Admission::Listed {
            failures,
            next_probe_in,
            last_error,
        } if !question.loadable => {
            let message = format!(
                "slot {} is owned by {}, which this node has blacklisted after {failures} \
                 failures in a row; the last one: {last_error}",
                question.slot, owner.id.name
            );
            Decision::Listed(unavailable(message, next_probe_in))
        }
        Admission::Listed { .. } => Decision::LoadUncached,
    }
}

/// By which an operator forbids to ask the owner.
fn operators_entry<'a>(
    view: &'a ClusterView,
    owner: &MemberView,
    wall: WallMs,
) -> Option<&'a BlacklistRecord> {
    let entry = view.blacklist.get(&owner.id.name)?;
    let counts = entry.inc == owner.id.inc && entry.expires_ms > wall.0;
    counts.then_some(entry)
}

/// A node named a newer owner than our view does. Its word is enough for one
/// attempt, even on a blacklisted node: the owner checks for itself.
fn follow(question: &Question<'_>, hint: &OwnerHint) -> Decision {
    let me = question
        .view
        .me
        .and_then(|me| question.view.members.get(usize::from(me)));
    if me.is_some_and(|me| me.id == hint.owner) {
        if !question.refreshed {
            return Decision::RefreshFirst;
        }
        let message = format!("slot {} is being taken over by this node", question.slot);
        return Decision::Refuse(unavailable(message, SOON));
    }
    match &hint.address {
        Some(address) => {
            let peer = Peer {
                id: hint.owner.clone(),
                address: address.clone(),
            };
            Decision::Forward {
                peer,
                epoch: hint.epoch,
            }
        }
        None => question.uncached_or(|| {
            let name = &hint.owner.name;
            let message = format!(
                "slot {} is owned by {name}, which is no member",
                question.slot
            );
            unavailable(message, LATER)
        }),
    }
}

fn is_gone(member: &MemberView) -> bool {
    member
        .record
        .as_ref()
        .is_none_or(|record| record.state == MemberState::Gone)
}

/// Nobody can serve the slot now.
fn without_owner(question: &Question<'_>, owner: &MemberView) -> Decision {
    let failure = gone(question, owner);
    let vanished = owner.absent_since.filter(|_| owner.record.is_none());
    match vanished.is_some_and(|since| question.now.since(since) < RETURN_MAX) {
        true if !question.loadable => Decision::AwaitReturn(failure),
        _ => question.uncached_or(|| failure),
    }
}

fn gone(question: &Question<'_>, owner: &MemberView) -> Failure {
    let name = &owner.id.name;
    if owner.record.is_some() {
        let message = format!(
            "slot {} was owned by {name}, which has signed off",
            question.slot
        );
        return unavailable(message, LATER);
    }
    let waited = owner
        .absent_since
        .map_or(Duration::ZERO, |since| question.now.since(since));
    let left = question.takeover_after.saturating_sub(waited).max(LATER);
    // Rounded up: "in about 0 s" would be a promise.
    let seconds = left.as_millis().div_ceil(1000);
    let message = format!(
        "slot {} was owned by {name}, which is gone; it is taken over in about {seconds} s",
        question.slot
    );
    unavailable(message, left)
}

/// What a node that must not serve answers for its own slots.
pub fn fenced(reason: FenceReason) -> Failure {
    let (message, pause) = match reason {
        FenceReason::Starting => ("this node is starting and does not serve yet", LATER),
        FenceReason::Removed => (
            "this node was taken for dead and is registering again before it serves",
            LATER,
        ),
        FenceReason::Expired => (
            "this node is not sure that it is still a member, and in mode strict it then does not serve",
            LATER,
        ),
        FenceReason::Isolated => (
            "this node has been cut off from the registry and its peers for too long to serve",
            LATER,
        ),
        FenceReason::Stopping => (
            "this node has signed off and does not serve any more",
            LATER,
        ),
    };
    unavailable(message, pause)
}

/// Not applied; worth another try after `pause`.
pub fn unavailable(message: impl Into<String>, pause: Duration) -> Failure {
    Failure::new(FailureCode::Unavailable, message).retry_after(pause)
}
