//! What people and their tools ask of a cluster: its shape, health, numbers, and
//! changes to it. Front ends translate; here it is answered.
//!
//! Reading order: [`Operator`] itself, then `topology` and `status` (pure), `stats`
//! and `fan_out` (every member is asked), `hotkeys` and `happenings` (this node's own), `keys`,
//! `groups` and `blacklist` (changes),
//! `operations` (changes of the layout), `peer` and `moves` (what other nodes ask of
//! this one, answered without asking anybody), and
//! [`Membership`] (what it needs of the cluster).

mod blacklist;
mod coverage;
mod fan_out;
#[cfg(test)]
pub(crate) mod fixture;
mod groups;
mod happenings;
mod hotkeys;
mod keys;
mod membership;
mod moves;
mod operations;
mod peer;
mod process;
mod stats;
mod status;
#[cfg(test)]
mod tests;
mod topology;

pub use crate::cluster::draft::Ask;
pub use crate::cluster::operations::{ApplyOptions, Control};
pub use crate::peers::keys::{KeysPage, KeysPlace};
pub use happenings::EventWatch;
pub use membership::{ChangeFuture, Membership};
pub use operations::OperationWatch;
pub(crate) use process::resident_bytes;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1::{StatusResponse, TopologyResponse};
use cached_proto::types::{ClusterName, GroupName, Invalid, NodeName};

use crate::blacklist::Breakers;
use crate::clock::{Clock, Moment};
use crate::cluster::view::{ClusterView, FenceReason, MemberView, Serving, ViewCell};
use crate::counters::Counters;
use crate::hotkeys::HotKeys;
use crate::journal::{Journal, Note};
use crate::parking::Parking;
use crate::peers::Peers;
use crate::recent::Recent;
use crate::requests::Requests;
use crate::store::Store;
use crate::tasks::Stop;
use crate::transfer::Transfers;

/// Everything an operator works with.
#[derive(Debug)]
pub struct OperatorParts {
    /// This process's part in the cluster.
    pub cluster: Arc<dyn Membership>,
    /// What it knows of the cluster.
    pub view: Arc<ViewCell>,
    /// Its entries; without slots in a gateway.
    pub store: Arc<Store>,
    /// Whom it asks.
    pub peers: Arc<dyn Peers>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// How long its requests took.
    pub requests: Arc<Requests>,
    /// What it did lately.
    pub recent: Arc<Recent>,
    /// Its circuit breakers.
    pub breakers: Arc<Breakers>,
    /// Which keys are asked for most here.
    pub hot: Arc<HotKeys>,
    /// What happened, as this process saw it.
    pub journal: Arc<Journal>,
    /// Slots on the move, from here and to here.
    pub transfers: Arc<Transfers>,
    /// Requests that wait for them.
    pub parking: Arc<Parking>,
    /// Time.
    pub clock: Clock,
    /// Ends waits for changes when the process ends.
    pub stop: Stop,
    /// The cluster's name.
    pub cluster_name: ClusterName,
    /// The member's name; `None` for a gateway.
    pub name: Option<NodeName>,
    /// Group of requests that name none.
    pub default_group: GroupName,
    /// A getter fills misses.
    pub getter_enabled: bool,
    /// When the process started.
    pub started: Moment,
}

/// Answers operators and peers. Shared behind an [`Arc`].
#[derive(Debug)]
pub struct Operator {
    parts: OperatorParts,
}

impl Operator {
    /// Joins the parts; starts nothing.
    pub fn new(parts: OperatorParts) -> Self {
        Self { parts }
    }

    /// What the process is called where a member's name stands.
    fn shown_name(&self) -> &str {
        self.parts.name.as_ref().map_or("gateway", NodeName::as_str)
    }

    fn serving(&self) -> Serving {
        self.parts.view.fence().check(self.parts.clock.now())
    }

    /// Whether requests should be sent here; the error says why not. A member that
    /// waits to be given slots is ready: it routes.
    pub fn ready(&self) -> Result<(), String> {
        if self.stopping() {
            return Err("the process is stopping".to_owned());
        }
        if !self.parts.view.load().table_loaded {
            return Err("the slot table is not loaded yet".to_owned());
        }
        Ok(())
    }

    /// The process is on its way out.
    fn stopping(&self) -> bool {
        self.parts.stop.is_stopped() || self.serving() == Serving::Fenced(FenceReason::Stopping)
    }

    /// Whether the process works at all: whoever can ask gets an answer, so a
    /// supervisor restarts it only when nothing answers. Losing the registry or
    /// being fenced is no reason to restart, which would lose the entries.
    pub fn alive(&self) -> bool {
        true
    }

    /// Members and slot table as they are known now.
    pub fn topology(&self) -> TopologyResponse {
        self.tell(&self.parts.view.load_full())
    }

    /// Waits for a view newer than the one of that number. Changes that come while
    /// nobody waits are told at once, as one. Cancel-safe. Never returns when
    /// nothing changes: see [`Operator::stopped`].
    pub async fn topology_newer_than(&self, view_number: u64) -> TopologyResponse {
        let view = self.parts.view.newer_than(view_number).await;
        self.tell(&view)
    }

    /// Members and slots as a layout planned them: one of the last few.
    pub async fn planned_topology(&self, layout: u64) -> Result<TopologyResponse, Failure> {
        let plan = self.parts.cluster.layout(layout).await?;
        Ok(topology::planned(self.topology(), &plan))
    }

    fn tell(&self, view: &ClusterView) -> TopologyResponse {
        let now = self.parts.clock.now();
        let mut told = topology::topology(view, &self.parts.default_group, now);
        if told.cluster.is_empty() {
            told.cluster = self.parts.cluster_name.to_string();
        }
        told
    }

    fn note(&self, note: Note) {
        self.parts.journal.note(note);
    }

    /// Resolves when the process ends: streams that follow changes end then.
    pub async fn stopped(&self) {
        self.parts.stop.stopped().await;
    }

    /// Health of the cluster as this process sees it.
    pub async fn status(&self) -> StatusResponse {
        let view = self.parts.view.load_full();
        status::status(status::Known {
            view: &view,
            serving: self.serving(),
            name: self.parts.name.as_ref().map(NodeName::as_str),
            registry: self.parts.cluster.registry_status(),
            problems: self.parts.cluster.problems(),
        })
    }
}

/// This process's own entry in a view.
fn me(view: &ClusterView) -> Option<&MemberView> {
    view.members.get(usize::from(view.me?))
}

/// A duration as messages carry it.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Longest free text of an operator, in bytes: it stands in one line of a list.
const NOTE_BYTES_MAX: usize = 256;

/// Checks text that operators write and others' terminals show.
fn check_note(field: &'static str, text: &str) -> Result<(), Failure> {
    if text.len() > NOTE_BYTES_MAX {
        let problem = format!("has {} bytes; the limit is {NOTE_BYTES_MAX}", text.len());
        return Err(Invalid::new(field, problem).into());
    }
    if text.chars().any(char::is_control) {
        let problem = "must not hold control characters such as line breaks";
        return Err(Invalid::new(field, problem).into());
    }
    Ok(())
}
