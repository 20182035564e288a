//! This process's part in the cluster: registration, fence, probes, plans, takeovers.
//!
//! Reading order: [`view`] (what others see), `state` (what is decided, pure),
//! [`plan`] and [`plan_check`] (who should own what), `driver` with `slots` (carries
//! it out), `start` with `checks`, `name` and `register`, `operator`, [`draft`] and
//! [`operations`] (what operators change), `leave`.

mod checks;
pub mod draft;
mod driver;
mod leave;
mod name;
pub mod operations;
mod operator;
pub mod plan;
pub mod plan_check;
mod register;
mod roster;
mod shared;
mod slots;
mod start;
mod state;
pub mod view;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::operations::OperationRecord;
use cached_proto::records::{
    BlacklistRecord, GroupRecord, MemberRecord, MemberState, Mode, PlanRecord, Policy,
};
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::{ClusterName, GroupName, Incarnation, MemberId, NodeName};
use tokio::sync::mpsc;

use crate::clock::{Clock, Moment};
use crate::counters::Counters;
use crate::parking::Parking;
use crate::peers::{Identity, Peer, Peers, ProbeAnswer, Suspect, Verdict};
use crate::registry::Registry;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::transfer::{Told, Transfers};
use draft::Ask;
use operations::{ApplyOptions, Control};
use shared::Shared;
use state::event::Event;
use view::{FenceReason, Serving, ViewCell};

pub use operator::{BLACKLIST_MS_MAX, BLACKLIST_MS_MIN, REASON_BYTES_MAX};

/// What a cluster member is told at its start.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// This member's record without incarnation's fate decided; `None` for a
    /// gateway, which reads and routes but is no member.
    pub member: Option<MemberRecord>,
    /// Members to wait for before an empty cluster is bootstrapped; at least 1.
    pub expect: usize,
    /// Used only at bootstrap; a difference later is refused.
    pub hash: KeyHash,
    /// Used only at bootstrap; a difference later is refused.
    pub mode: Mode,
    /// Used only at bootstrap; a difference later is refused.
    pub virtual_nodes: u32,
    /// The process's own group, created when it does not exist.
    pub group: GroupName,
    /// Its policy then.
    pub policy: Policy,
    /// Time to live of the member's lease.
    pub lease_ttl: Duration,
    /// How often the lease is kept alive.
    pub heartbeat: Duration,
    /// How often the own member key is read.
    pub self_check: Duration,
    /// F: how long a self-check is proof of life.
    pub fence_after: Duration,
    /// How often the whole prefix is re-read, whatever the watch says.
    pub reread: Duration,
    /// How often ring successors are probed.
    pub probe_interval: Duration,
    /// How long a probe may take.
    pub probe_timeout: Duration,
    /// How long a node in mode `available` serves without registry and peers.
    pub isolation_cap: Duration,
    /// How long the registry may be unreachable at the start before it is given up.
    pub start_timeout: Duration,
    /// How long a member must have lived before it is given slots by itself.
    pub join_delay: Duration,
    /// Slots are sealed only while the registry's last three round trips were shorter (R45).
    pub seal_budget: Duration,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting differs from the cluster's, or a name is taken: for people.
    #[error("{0}")]
    Refused(String),
    /// The registry could not be reached in time.
    #[error("registry: {0}")]
    Registry(#[from] crate::registry::RegistryError),
}

/// Everything a cluster member works with.
#[derive(Debug)]
pub struct ClusterParts {
    /// What it is told.
    pub config: ClusterConfig,
    /// The registry.
    pub registry: Registry,
    /// Whose slots it opens and drops.
    pub store: Arc<Store>,
    /// Whom it probes.
    pub peers: Arc<dyn Peers>,
    /// Time.
    pub clock: Clock,
    /// Where its loops run.
    pub tasks: Tasks,
    /// Where it publishes what it knows.
    pub view: Arc<ViewCell>,
    /// Where it counts lost slots.
    pub counters: Arc<Counters>,
    /// Carries out moves.
    pub transfers: Arc<Transfers>,
    /// What they tell.
    pub told: mpsc::Receiver<Told>,
    /// Requests that wait for slots.
    pub parking: Arc<Parking>,
    /// Seed of its random numbers (incarnation, jitter, plan ids).
    pub seed: u64,
}

/// The registry as this process reaches it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryStatus {
    /// What it is.
    pub kind: &'static str,
    /// Where it is; without credentials.
    pub endpoints: Vec<String>,
    /// The server's version at the start of this process.
    pub server_version: String,
    /// How long reads have failed; `None` while they succeed.
    pub unreachable_for: Option<Duration>,
    /// How long the last self-check took.
    pub round_trip: Duration,
}

/// What keeps slots from going to a receiver, as their sender sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTrouble {
    /// The receiver.
    pub to: NodeName,
    /// Tries in a row that came to nothing.
    pub tries: u32,
    /// What is waited for; empty: nothing.
    pub blocked: String,
    /// Since when.
    pub since: Moment,
    /// What the last try ended with.
    pub last_error: String,
    /// When the next one begins.
    pub next_try: Option<Moment>,
}

/// A running member or gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

impl Cluster {
    /// Checks clock, settings and name against the cluster, registers, and starts
    /// the loops. Returns when registered; the view says when the table is loaded.
    /// Dropping the future may leave a member key behind until its lease ends.
    pub async fn start(parts: ClusterParts) -> Result<Self, StartError> {
        start::start(parts).await
    }

    /// Who this process is. The cluster's identity is known once `meta` was read.
    pub fn identity(&self) -> Identity {
        let meta = self
            .shared
            .view
            .load()
            .meta
            .as_ref()
            .map(|meta| meta.cluster_uuid);
        Identity {
            id: self.shared.id.clone(),
            cluster: self.shared.config.cluster.to_string(),
            cluster_uuid: meta,
        }
    }

    /// Whether this process routes only and is no member.
    pub fn is_gateway(&self) -> bool {
        self.shared.id.is_none()
    }

    /// What the registry holds of this member; `None` for gateways, and while it is
    /// not registered.
    pub fn own_record(&self) -> Option<MemberRecord> {
        let view = self.shared.view.load();
        view.members.get(usize::from(view.me?))?.record.clone()
    }

    /// Everything that keeps the cluster from being healthy, as this process sees it,
    /// for people; empty when it is healthy. At most a second old.
    pub fn problems(&self) -> Vec<String> {
        let own = match self.shared.view.fence().check(self.shared.clock.now()) {
            Serving::Fenced(FenceReason::Expired) => Some(
                "this node does not serve: mode strict, and the registry has not confirmed it \
                 for too long",
            ),
            Serving::Fenced(FenceReason::Isolated) => Some(
                "this node does not serve: it is cut off from the registry, and most members \
                 are not",
            ),
            Serving::Fenced(FenceReason::Stopping) => Some("this node has signed off"),
            Serving::Fenced(FenceReason::Starting | FenceReason::Removed)
            | Serving::Degraded
            | Serving::Yes => None,
        };
        let known = self.shared.facts.lock().problems.clone();
        own.map(str::to_owned).into_iter().chain(known).collect()
    }

    /// The registry as this process reaches it.
    pub fn registry_status(&self) -> RegistryStatus {
        let lost = self.shared.view.load().registry_lost_since;
        let now = self.shared.clock.now();
        RegistryStatus {
            kind: self.shared.registry.kind(),
            endpoints: self.shared.registry.endpoints(),
            server_version: self.shared.server_version.clone(),
            unreachable_for: lost.map(|since| now.since(since)),
            round_trip: self.shared.facts.lock().round_trip,
        }
    }

    /// What keeps this node's slots from moving on; empty: nothing.
    pub fn move_troubles(&self) -> Vec<MoveTrouble> {
        let facts = self.shared.facts.lock();
        let troubles = facts.trouble.iter().map(|(to, trouble)| MoveTrouble {
            to: to.clone(),
            tries: trouble.tries,
            blocked: trouble.last_error.clone(),
            since: trouble.since,
            last_error: trouble.last_error.clone(),
            next_try: Some(trouble.next_try),
        });
        troubles.collect()
    }

    /// Resolves when this process finds that it cannot be part of the cluster, with
    /// the reason for people; the process should end. Cancel-safe.
    pub async fn refused(&self) -> String {
        self.shared.gave_up.cancelled().await;
        self.shared.facts.lock().refused.clone().unwrap_or_default()
    }

    /// Answers a peer's probe.
    pub fn on_probe(&self) -> ProbeAnswer {
        let now = self.shared.clock.now();
        let serving = self.shared.view.fence().check(now);
        let registry_ok = self.shared.facts.lock().registry_ok;
        let state = match serving {
            Serving::Fenced(FenceReason::Stopping) => MemberState::Gone,
            _ => self
                .own_record()
                .map_or(MemberState::Joining, |record| record.state),
        };
        ProbeAnswer {
            id: self.shared.id.clone().unwrap_or_else(gateway),
            fenced: matches!(serving, Serving::Fenced(_)),
            registry_reachable: now.since(registry_ok) <= self.shared.config.fence_after,
            wall_clock_ms: self.shared.clock.wall().0,
            state,
            layout: self.shared.view.load().layout,
        }
    }

    /// Takes a peer's report of whom it suspects. Dropped when too much waits: it is
    /// repeated.
    pub fn on_report(&self, from: NodeName, suspects: Vec<Suspect>) {
        drop(
            self.shared
                .events
                .try_send(Event::Reported { from, suspects }),
        );
    }

    /// Answers what this node knows of a member, and probes it soon if nothing fresh.
    /// Of a member that the registry does not know any more, "I am fenced" is no answer.
    pub fn on_opinion(&self, about: &Peer, fresh: Duration) -> Verdict {
        if self.shared.id.as_ref() == Some(&about.id) {
            return Verdict::Answers;
        }
        let now = self.shared.clock.now();
        let probe = self.shared.last_probe(&about.id);
        let Some(probe) = probe.filter(|probe| now.since(probe.started) <= fresh) else {
            let wanted = Event::OpinionWanted {
                about: about.clone(),
            };
            drop(self.shared.events.try_send(wanted));
            return Verdict::Unknown;
        };
        let view = self.shared.view.load();
        let member = view
            .members
            .iter()
            .any(|m| m.id == about.id && m.record.is_some());
        match probe.fenced {
            Some(fenced) if member || !fenced => Verdict::Answers,
            _ => Verdict::Silent,
        }
    }

    /// Creates a group, iff it does not exist; the same settings again are no conflict.
    pub async fn create_group(&self, group: GroupRecord) -> Result<GroupRecord, Failure> {
        self.shared.create_group(group).await
    }

    /// Writes an operator's blacklist entry. The last member that is not listed
    /// cannot be listed.
    pub async fn add_blacklist(&self, entry: BlacklistRecord) -> Result<(), Failure> {
        self.shared.add_blacklist(entry).await
    }

    /// Removes an operator's blacklist entry; false: there was none.
    pub async fn remove_blacklist(&self, target: &NodeName) -> Result<bool, Failure> {
        self.shared.remove_blacklist(target).await
    }

    /// Works a change of the layout out and keeps it for 15 minutes, for
    /// [`Cluster::apply`]. What it would move is told by [`draft::draft`].
    pub async fn plan(&self, ask: Ask) -> Result<OperationRecord, Failure> {
        self.shared.plan(ask).await
    }

    /// The plan of one of the last layouts; the error of an older one says which are kept.
    pub async fn layout(&self, layout: u64) -> Result<PlanRecord, Failure> {
        self.shared.layout(layout).await
    }

    /// Asks for what was planned, on the layout that the operator was shown. Answers
    /// the operation as the planner has decided, refused included; or, when the same
    /// change runs already, that one; still `requested` when nobody decides in time.
    /// Fails with a conflict when the layout is another one or another operation is open.
    pub async fn apply(
        &self,
        id: &str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> Result<OperationRecord, Failure> {
        self.shared.apply(id, base_layout, options).await
    }

    /// Pauses, resumes, cancels an open operation, or limits its rate. A cancelled one
    /// ends a moment later.
    pub async fn control(
        &self,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<OperationRecord, Failure> {
        self.shared.control(id, control, by).await
    }

    /// Asks the others to take this process's slots, and waits until they have, or until
    /// nobody could. Answers how many slots are left at the deadline. The process should
    /// then [sign off](Cluster::sign_off).
    pub async fn leave(&self, deadline: Duration) -> u32 {
        self.shared.leave(deadline).await
    }

    /// Resolves when an operator has removed this member and it has no slots left: the
    /// process should sign off and end. Cancel-safe.
    pub async fn asked_to_leave(&self) {
        self.shared.asked_to_leave().await;
    }

    /// Signs off: stops serving, says `gone` so that others need not wait, ends the
    /// lease. Answers how many entries were left behind. Without an answer of the
    /// registry within `deadline` it just ends: the others find out by themselves.
    pub async fn sign_off(&self, deadline: Duration) -> u64 {
        let left = async {
            if self.shared.events.send(Event::SignOff).await.is_ok() {
                self.shared.signed_off.cancelled().await;
            }
        };
        tokio::select! { biased;
            () = left => {}
            () = self.shared.clock.sleep(deadline) => {}
        }
        self.shared.view.fence().close(FenceReason::Stopping);
        self.shared.store.slots().iter().map(|slot| slot.keys).sum()
    }
}

/// What a gateway says when it is asked who it is; nobody does.
fn gateway() -> MemberId {
    let name = NodeName::new("gateway").expect("a lawful name");
    MemberId {
        name,
        inc: Incarnation(0),
    }
}
