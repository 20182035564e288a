//! Proof of life: the self-check, and what the fence is told of it (R11, R14).

use std::time::Duration;

use super::State;
use super::event::Effect;
use super::life::Standing;
use super::reads::backwards;
use crate::clock::Moment;
use crate::registry::{RegistryError, Snapshot};

/// How long a process that stood still waits for a read before it serves without the
/// registry: many reads, and little beside the pause.
const WAKING_MAX: Duration = Duration::from_secs(2);

impl State {
    /// The next self-check is due at once.
    pub(super) fn check_soon(&mut self) {
        self.life.check_at = Moment::default();
    }

    pub(super) fn on_self_checked(
        &mut self,
        started: Moment,
        took: Duration,
        result: Result<Snapshot, RegistryError>,
        now: Moment,
    ) {
        self.life.checking = false;
        self.reads.note_trip(took);
        let snapshot = match result {
            Ok(snapshot) if snapshot.revision < self.life.check_floor => {
                return self.registry_failed(started, &backwards(), now);
            }
            Ok(snapshot) => snapshot,
            Err(error) => return self.registry_failed(started, &error, now),
        };
        self.reads.round_trip = took;
        self.registry_answered(started, now);
        let Standing::Registered {
            create_revision, ..
        } = self.life.standing
        else {
            if matches!(self.life.standing, Standing::Gateway) {
                self.proof_of_life(started);
            }
            return;
        };
        let seen = snapshot
            .records
            .first()
            .map(|record| record.create_revision);
        if seen == Some(create_revision) {
            self.proof_of_life(started);
        } else if snapshot.revision >= create_revision {
            self.key_gone(now, "a self-check did not find the member key");
        }
    }

    /// A linearizable read that began at `started` saw the own key. It extends the
    /// fence only when everything has been read since there was reason to doubt.
    fn proof_of_life(&mut self, started: Moment) {
        if self.life.reread_since.is_some() {
            return;
        }
        self.life.proved = true;
        self.life.proof = self.life.proof.max(started);
        self.effects.push(Effect::ExtendFence { started });
    }

    /// After a silence of the registry: no proof counts before everything is re-read.
    pub(super) fn stand_back(&mut self, since: Moment) {
        self.life.reread_since = self.life.reread_since.max(Some(since));
    }

    /// A read of everything, begun at `started`, is applied.
    pub(super) fn everything_read(&mut self, started: Moment) {
        if self.life.reread_since.is_some_and(|since| since <= started) {
            self.life.reread_since = None;
            self.check_soon();
        }
    }

    /// Opens the fence when there is nothing left to wait for, and says how long
    /// serving may go on without the registry.
    pub(super) fn step_fence(&mut self, now: Moment) {
        let standing = match self.life.standing {
            Standing::Gateway | Standing::Registered { .. } => true,
            Standing::Lost { .. } | Standing::Taken(_) | Standing::Leaving { .. } => false,
        };
        let ready = self.life.proved && self.life.reread_since.is_none();
        if standing && ready && self.mirror.table_loaded() && !self.life.open {
            self.life.open = true;
            self.effects.push(Effect::OpenFence);
        }
        let until = self.life.proof + self.config.fence_after + self.config.isolation_cap;
        let until = match self.is_waking(now) {
            true => Some(Moment::default()),
            false => (!self.most_lack_the_registry(now)).then_some(until),
        };
        if until != self.life.degraded_until {
            self.life.degraded_until = until;
            self.effects.push(Effect::DegradedUntil(until));
        }
    }

    /// The process stood still, and may not know yet what was taken from it meanwhile.
    fn is_waking(&self, now: Moment) -> bool {
        let woke_at = self.life.woke_at;
        woke_at.is_some_and(|at| now < at + WAKING_MAX && !self.reads.has_read_since(at))
    }
}
