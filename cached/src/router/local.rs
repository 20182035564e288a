//! At this node's own store: what can be done without waiting, and the fence
//! around it.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::BATCH_OPERATIONS_MAX;
use cached_proto::operation::{Answer, Operation, Outcome, Reply, Route};
use cached_proto::ring::slot_of;
use cached_proto::types::Slot;

use super::Router;
use super::decide::{Decision, Question, decide, fenced, unavailable};
use super::groups;
use crate::blacklist::Admission;
use crate::clock::{Moment, WallMs};
use crate::cluster::view::{ClusterView, Serving};
use crate::command::Command;
use crate::faults::{self, Fault};
use crate::store::{Executed, GroupId, Refused, Unfit};

/// How long an operation waits at most, before it looks again, for a slot whose
/// container is being opened or dropped: nobody promises to tell when it is.
const OPENING_PAUSE: Duration = Duration::from_millis(100);

/// Advised pause when too many wait already: some seals' worth.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// What an operation came to at the store.
#[derive(Debug)]
pub(super) enum AtStore {
    /// It was carried out, or refused for good.
    Settled(Outcome),
    /// A read found nothing, and the getter may load it.
    Missed,
    /// Nothing was done: the slot is on its way.
    Blocked(Blocked),
}

/// Why an operation waits until a slot has changed hands, or does so no more.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    /// Its outcome, if it does not come to another.
    pub(super) failure: Failure,
    /// When to look again although nobody says that there is something to see.
    pub(super) look_after: Option<Duration>,
}

impl Blocked {
    /// The table is ahead of the store, or behind: both take the driver a moment.
    pub(super) fn not_served(slot: Slot) -> Self {
        let message = format!("slot {slot} is being opened or closed on this node");
        Self {
            failure: unavailable(message, OPENING_PAUSE),
            look_after: Some(OPENING_PAUSE),
        }
    }

    /// The registry tells when the owner is back, and nobody here.
    pub(super) fn vanished(failure: Failure) -> Self {
        Self {
            failure,
            look_after: Some(OPENING_PAUSE),
        }
    }

    /// Who opens, seals or releases the slot tells when that is done.
    fn moving(refused: &Refused) -> Self {
        Self {
            failure: unavailable(refused.to_string(), FULL_PAUSE),
            look_after: None,
        }
    }

    /// What is answered when no more may wait.
    pub(super) fn room_full(&self) -> Failure {
        let message = format!(
            "{}, and too many requests wait already",
            self.failure.message
        );
        Failure::new(FailureCode::Busy, message).retry_after(FULL_PAUSE)
    }
}

impl Router {
    /// The outcome of a command that needs nobody else; `None`: it does.
    pub(super) fn local_outcome(&self, command: &Command) -> Option<Outcome> {
        let Command {
            group,
            operation,
            route,
            deadline,
        } = command;
        let view = self.parts.view.load();
        let slot = slot_of(view.hash(), operation.key().as_bytes());
        if *route == Route::Forward && !view.is_mine(slot) {
            return None;
        }
        let now = self.parts.clock.now();
        if let Err(failure) = self.check(operation, *deadline, now) {
            return Some(Err(failure));
        }
        let group_id = groups::resolve(&view, &self.parts.store, group)?;
        let question = Question {
            loadable: self.may_load(group, operation),
            ..self.question(&view, slot, *route, now)
        };
        let (loadable, wall) = (question.loadable, question.wall);
        // Never asks a breaker: nothing that this function carries out is sent.
        match decide(&question, &mut |_| Admission::Allowed) {
            Decision::Local => {
                match self.at_store(slot, group_id, operation, loadable, (wall, now)) {
                    AtStore::Settled(outcome) => Some(outcome),
                    AtStore::Missed | AtStore::Blocked(_) => None,
                }
            }
            Decision::Refuse(failure) | Decision::Listed(failure) => Some(Err(failure)),
            Decision::Forward { .. }
            | Decision::AwaitReturn(_)
            | Decision::LoadUncached
            | Decision::RefreshFirst => None,
        }
    }

    /// What must hold before anything is done.
    pub(super) fn check(
        &self,
        operation: &Operation,
        deadline: Moment,
        now: Moment,
    ) -> Result<(), Failure> {
        let limit = self.parts.limits.value_bytes_max;
        let bytes = operation.payload_bytes();
        if bytes > limit {
            let message = format!("value has {bytes} bytes; the limit is {limit}");
            let mut failure = Failure::new(FailureCode::TooLarge, message);
            failure.field = Some("value");
            return Err(failure);
        }
        if deadline <= now {
            let message = "the time of this request was over before it was carried out";
            return Err(Failure::new(FailureCode::Deadline, message));
        }
        if let Operation::SetMany { others, .. } = operation {
            self.check_one_slot(operation, others.len() + 1)?;
        }
        Ok(())
    }

    /// Several keys are written in one step only where one lock guards them all.
    fn check_one_slot(&self, operation: &Operation, keys: usize) -> Result<(), Failure> {
        if keys > BATCH_OPERATIONS_MAX {
            let message = format!("{keys} keys in one step; the limit is {BATCH_OPERATIONS_MAX}");
            let mut failure = Failure::new(FailureCode::TooLarge, message);
            failure.field = Some("items");
            return Err(failure);
        }
        let hash = self.parts.view.load().hash();
        let slot = slot_of(hash, operation.key().as_bytes());
        if operation
            .keys()
            .any(|key| slot_of(hash, key.as_bytes()) != slot)
        {
            let message =
                "the keys lie in several slots; only those of one are written in one step";
            let mut failure = Failure::new(FailureCode::Invalid, message);
            failure.field = Some("items");
            return Err(failure);
        }
        Ok(())
    }

    /// The question that a fresh operation raises.
    pub(super) fn question<'a>(
        &self,
        view: &'a ClusterView,
        slot: Slot,
        route: Route,
        now: Moment,
    ) -> Question<'a> {
        Question {
            slot,
            view,
            serving: self.parts.view.fence().check(now),
            route,
            hint: None,
            refreshed: false,
            loadable: false,
            takeover_after: self.parts.limits.takeover_after,
            now,
            wall: self.parts.clock.wall(),
        }
    }

    /// Whether a miss of this operation is loaded.
    pub(super) fn may_load(
        &self,
        group: &cached_proto::types::GroupName,
        operation: &Operation,
    ) -> bool {
        matches!(operation, Operation::Get { no_load: false, .. })
            && self
                .parts
                .getter
                .as_ref()
                .is_some_and(|getter| getter.covers(group))
    }

    /// Carries out an operation at the store; `now` decides what has expired. It was
    /// `asked` for then, which matters to a planted fault alone.
    pub(super) fn at_store(
        &self,
        slot: Slot,
        group: GroupId,
        operation: &Operation,
        loadable: bool,
        (now, asked): (WallMs, Moment),
    ) -> AtStore {
        let store = &self.parts.store;
        let executed = match operation {
            Operation::Get {
                key, metadata_only, ..
            } if loadable => match store.try_get(slot, group, key, *metadata_only, now) {
                Ok(None) => {
                    self.parts.hot.touch(group, key.as_bytes(), None);
                    return AtStore::Missed;
                }
                Ok(Some(executed)) => Ok(executed),
                Err(refused) => Err(refused),
            },
            Operation::Update { key, update } => {
                let limit = self.parts.limits.value_bytes_max;
                let updated = store.update(slot, group, key, update, limit, now);
                updated.map(|updated| Executed::Reply(Reply::Update(updated)))
            }
            operation => store.execute(slot, group, operation, now),
        };
        match executed {
            Ok(executed) => {
                let reply = match executed {
                    Executed::Reply(reply) => reply,
                    Executed::KnownAbsent => Reply::Get(None),
                };
                self.count_heat(group, operation, &reply);
                // Too early on purpose: whoever looks only there serves what is not his
                // any more.
                let early = faults::planted(Fault::R14);
                let checked = early.then(|| self.parts.view.fence().check(asked));
                let serving = checked.unwrap_or_else(|| self.serving_now());
                self.bear_witness(slot, serving);
                AtStore::Settled(answer(reply, operation.is_read(), serving))
            }
            Err(refused @ (Refused::Sealed(_) | Refused::Congested(_))) => {
                AtStore::Blocked(Blocked::moving(&refused))
            }
            Err(Refused::NotServed(slot)) => AtStore::Blocked(Blocked::not_served(slot)),
            Err(refused @ (Refused::TooLarge { .. } | Refused::Unfit(_))) => {
                let code = match refused {
                    Refused::Unfit(Unfit::TooLong { .. }) | Refused::TooLarge { .. } => {
                        FailureCode::TooLarge
                    }
                    _ => FailureCode::Invalid,
                };
                let mut failure = Failure::new(code, refused.to_string());
                failure.field = Some("value");
                AtStore::Settled(Err(failure))
            }
        }
    }

    /// Tells whose keys those were.
    fn count_heat(&self, group: GroupId, operation: &Operation, reply: &Reply) {
        let hot = &self.parts.hot;
        if let Operation::SetMany { first, others, .. } = operation {
            for (key, value) in std::iter::once(first).chain(others) {
                hot.touch(group, key.as_bytes(), Some(value.len()));
            }
            return;
        }
        let value_bytes = match (operation, reply) {
            (Operation::Get { .. }, Reply::Get(Some(entry))) => Some(entry.value.len()),
            (Operation::Set { value, .. }, _) => Some(value.len()),
            (Operation::Update { .. }, _) => Some(operation.payload_bytes()),
            _ => None,
        };
        hot.touch(group, operation.key().as_bytes(), value_bytes);
    }

    /// Answers with a reply if this node still serves. Checked after the operation
    /// and before the answer, by a time read now and not before: then the operation took effect
    /// while the node owned the slot, however long the process was paused in between (R14).
    pub(super) fn vouch(&self, reply: Reply, read: bool) -> Outcome {
        answer(reply, read, self.serving_now())
    }

    /// Tests hear who says that a slot is its own.
    fn bear_witness(&self, slot: Slot, serving: Serving) {
        if serving == Serving::Yes {
            faults::answered(slot, || self.parts.view.load().my_id().cloned());
        }
    }

    pub(super) fn serving_now(&self) -> Serving {
        self.parts.view.fence().check(self.parts.clock.now())
    }
}

fn answer(reply: Reply, read: bool, serving: Serving) -> Outcome {
    match serving {
        Serving::Yes => Ok(Answer {
            reply,
            degraded: false,
        }),
        Serving::Degraded => Ok(Answer {
            reply,
            degraded: true,
        }),
        Serving::Fenced(reason) if read => Err(fenced(reason)),
        Serving::Fenced(reason) => Err(fenced(reason).maybe_applied()),
    }
}
