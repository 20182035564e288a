//! What the operator asks of this process's part in the cluster, as a trait: so that
//! everything above it is tested without a registry.

use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::operations::OperationRecord;
use cached_proto::records::{BlacklistRecord, GroupRecord, PlanRecord};
use cached_proto::types::NodeName;
use futures_util::future::BoxFuture;

use crate::cluster::draft::Ask;
use crate::cluster::operations::{ApplyOptions, Control};
use crate::cluster::{Cluster, MoveTrouble, RegistryStatus};
use crate::peers::{Peer, ProbeAnswer, Suspect, Verdict};

/// A change that is made through the registry. Dropping the future leaves it open
/// whether the change was made.
pub type ChangeFuture<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// This process's part in the cluster. The methods mean what [`Cluster`]'s do.
pub trait Membership: Send + Sync + std::fmt::Debug {
    /// Everything that keeps the cluster from being healthy, for people.
    fn problems(&self) -> Vec<String>;
    /// The registry as this process reaches it.
    fn registry_status(&self) -> RegistryStatus;
    /// Answers a peer's probe.
    fn on_probe(&self) -> ProbeAnswer;
    /// Takes a peer's report of whom it suspects.
    fn on_report(&self, from: NodeName, suspects: Vec<Suspect>);
    /// Answers what this node knows of a member.
    fn on_opinion(&self, about: &Peer, fresh: Duration) -> Verdict;
    /// Creates a group, iff it does not exist.
    fn create_group(&self, group: GroupRecord) -> ChangeFuture<'_, GroupRecord>;
    /// Writes an operator's blacklist entry.
    fn add_blacklist(&self, entry: BlacklistRecord) -> ChangeFuture<'_, ()>;
    /// Removes an operator's blacklist entry; false: there was none.
    fn remove_blacklist<'a>(&'a self, target: &'a NodeName) -> ChangeFuture<'a, bool>;
    /// What keeps this node's slots from moving on.
    fn move_troubles(&self) -> Vec<MoveTrouble>;
    /// Works a change of the layout out, and keeps it for a while.
    fn plan(&self, ask: Ask) -> ChangeFuture<'_, OperationRecord>;
    /// The plan of one of the last layouts.
    fn layout(&self, layout: u64) -> ChangeFuture<'_, PlanRecord>;
    /// Asks for what was planned.
    fn apply<'a>(
        &'a self,
        id: &'a str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> ChangeFuture<'a, OperationRecord>;
    /// Changes an operation that is open.
    fn control<'a>(
        &'a self,
        id: &'a str,
        control: Control,
        by: &'a str,
    ) -> ChangeFuture<'a, OperationRecord>;
}

impl Membership for Cluster {
    fn problems(&self) -> Vec<String> {
        Cluster::problems(self)
    }

    fn registry_status(&self) -> RegistryStatus {
        Cluster::registry_status(self)
    }

    fn on_probe(&self) -> ProbeAnswer {
        Cluster::on_probe(self)
    }

    fn on_report(&self, from: NodeName, suspects: Vec<Suspect>) {
        Cluster::on_report(self, from, suspects);
    }

    fn on_opinion(&self, about: &Peer, fresh: Duration) -> Verdict {
        Cluster::on_opinion(self, about, fresh)
    }

    fn create_group(&self, group: GroupRecord) -> ChangeFuture<'_, GroupRecord> {
        Box::pin(Cluster::create_group(self, group))
    }

    fn add_blacklist(&self, entry: BlacklistRecord) -> ChangeFuture<'_, ()> {
        Box::pin(Cluster::add_blacklist(self, entry))
    }

    fn remove_blacklist<'a>(&'a self, target: &'a NodeName) -> ChangeFuture<'a, bool> {
        Box::pin(Cluster::remove_blacklist(self, target))
    }

    fn move_troubles(&self) -> Vec<MoveTrouble> {
        Cluster::move_troubles(self)
    }

    fn plan(&self, ask: Ask) -> ChangeFuture<'_, OperationRecord> {
        Box::pin(Cluster::plan(self, ask))
    }

    fn layout(&self, layout: u64) -> ChangeFuture<'_, PlanRecord> {
        Box::pin(Cluster::layout(self, layout))
    }

    fn apply<'a>(
        &'a self,
        id: &'a str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> ChangeFuture<'a, OperationRecord> {
        Box::pin(Cluster::apply(self, id, base_layout, options))
    }

    fn control<'a>(
        &'a self,
        id: &'a str,
        control: Control,
        by: &'a str,
    ) -> ChangeFuture<'a, OperationRecord> {
        Box::pin(Cluster::control(self, id, control, by))
    }
}
