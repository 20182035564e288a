//! What operators ask of the layout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::operations::OperationRecord;
use cached_proto::types::NodeName;

use super::Cluster;
use super::plan::Move;

/// A change of the layout to be planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Get their share.
    pub join: BTreeSet<NodeName>,
    /// Own none, and stay members.
    pub drain: BTreeSet<NodeName>,
    /// Are not drained any more.
    pub undrain: BTreeSet<NodeName>,
    /// Own none, and end.
    pub remove: BTreeSet<NodeName>,
    /// New weights.
    pub weights: BTreeMap<NodeName, u32>,
    /// What does not fit may be dropped.
    pub shed: bool,
    /// Who asks, as `user@host`.
    pub by: String,
}

/// How a plan is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Bytes per second over all senders; 0: as fast as it goes.
    pub max_rate: u64,
    /// It fails when it is not done by then, from now; `None`: never.
    pub deadline: Option<Duration>,
    /// What does not fit may be dropped.
    pub shed: bool,
    /// Why, in the operator's words.
    pub message: String,
    /// Who asks, as `user@host`.
    pub by: String,
}

/// What is done to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No further batch is begun.
    Pause,
    /// They are begun again.
    Resume,
    /// It ends; what has moved stays where it is.
    Cancel,
    /// Bytes per second over all senders; 0: as fast as it goes.
    Rate(u64),
}

impl Cluster {
    /// Plans a change and keeps it.
    pub async fn plan(&self, ask: Ask) -> Result<(OperationRecord, Vec<Move>), Failure> {
        todo!("{ask:?}")
    }

    /// Asks for what was planned.
    pub async fn apply(
        &self,
        id: &str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> Result<OperationRecord, Failure> {
        todo!("{id} {base_layout} {options:?}")
    }

    /// Changes how an operation goes on.
    pub async fn control(
        &self,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<OperationRecord, Failure> {
        todo!("{id} {control:?} {by}")
    }
}
