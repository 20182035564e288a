//! A host beside the cluster, with a clear line to the registry: it watches what the
//! cluster agrees on, and does what operators and bad luck do.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cached::registry::{Change, Range, Registry, RegistryError};
use cached_client::Admin;
use cached_client::admin::{ApplyOptions, Control, PlanAsk};
use cached_proto::records::GroupRecord;
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::types::{GroupName, NodeName, SLOTS, Slot};
use tokio::sync::Notify;

use super::agreed::{Agreed, wanted};
use super::net;
use super::scene::Scene;

/// Who changes the cluster.
const OPERATOR: &str = "operator@desk";

/// How long an operator waits for an answer.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(5);

/// What the desk is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// End a member's lease, as an ailing etcd does.
    EndLease(NodeName),
    /// Plan and apply a change, as an operator does; so many bytes per second, 0: no limit.
    Change(PlanAsk, u64),
    /// Do this to the operation that is open, as an operator does.
    Control(Control),
    /// Create a group.
    Group(GroupRecord),
}

/// The desk. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agreed: Mutex<Agreed>,
    errands: Mutex<VecDeque<Errand>>,
    called: Notify,
    keys: RegistryKeys,
}

impl Desk {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            agreed: Mutex::default(),
            errands: Mutex::default(),
            called: Notify::new(),
            keys: RegistryKeys::new(&Scene::cluster()),
        }))
    }

    /// It shall do this soon.
    pub fn send(&self, errand: Errand) {
        self.0.errands.lock().unwrap().push_back(errand);
        self.0.called.notify_one();
    }

    /// What is not yet as it should be, once faults have stopped: rows that differ from
    /// the plan or name nobody who lives.
    pub fn unsettled(&self) -> Vec<String> {
        let agreed = self.0.agreed.lock().unwrap();
        let Some(plan) = &agreed.plan else {
            return vec!["there is no plan".to_owned()];
        };
        let wanted = wanted(plan);
        let mut found = Vec::new();
        if let Some(id) = agreed.operation() {
            found.push(format!("operation {id} is open"));
        }
        for slot in 0..SLOTS {
            let Some(row) = agreed.row(slot) else {
                found.push(format!("slot {slot} has no row"));
                continue;
            };
            if !agreed.lives(&row.owner) {
                found.push(format!(
                    "slot {slot} belongs to {:?}, who is gone",
                    row.owner
                ));
            } else if wanted[usize::from(slot)] != Some(&row.owner) {
                let owner = wanted[usize::from(slot)];
                found.push(format!(
                    "slot {slot} belongs to {:?} and should to {owner:?}",
                    row.owner
                ));
            }
        }
        found
    }

    /// Whether a member of this name has slots, as far as the table says.
    pub fn owns(&self, name: &NodeName) -> bool {
        let agreed = self.0.agreed.lock().unwrap();
        let mut rows = agreed.pages.values().flat_map(|(page, _)| &page.rows);
        rows.any(|row| row.owner.name == *name)
    }

    /// Who owns a slot.
    pub fn owner(&self, slot: Slot) -> Option<NodeName> {
        let agreed = self.0.agreed.lock().unwrap();
        agreed.row(slot.number()).map(|row| row.owner.name.clone())
    }

    /// Who has slots that the plan gives to whom, of these.
    pub fn moving(&self, slots: impl Iterator<Item = u16>) -> BTreeSet<(NodeName, NodeName)> {
        let agreed = self.0.agreed.lock().unwrap();
        let Some(plan) = &agreed.plan else {
            return BTreeSet::new();
        };
        let wanted = wanted(plan);
        let pair = |slot: u16| {
            let (row, wanted) = (agreed.row(slot)?, wanted[usize::from(slot)]?);
            let moves = row.owner != *wanted && agreed.lives(&row.owner);
            moves.then(|| (row.owner.name.clone(), wanted.name.clone()))
        };
        let pairs = slots.filter_map(pair);
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// Whether there is a group of each of these names.
    pub fn has_groups(&self, names: &[GroupName]) -> bool {
        let agreed = self.0.agreed.lock().unwrap();
        names.iter().all(|name| agreed.groups.contains(name))
    }

    /// Whether an operation is open.
    pub fn is_operating(&self) -> bool {
        self.0.agreed.lock().unwrap().operation().is_some()
    }

    /// The layout in force.
    pub fn layout(&self) -> u64 {
        let agreed = self.0.agreed.lock().unwrap();
        agreed.plan.as_ref().map_or(0, |plan| plan.layout)
    }

    /// Runs on its host until the simulation ends.
    pub async fn run(self, scene: Arc<Scene>) -> turmoil::Result {
        let registry = net::registry();
        tokio::spawn(self.clone().run_errands(scene.clone(), registry.clone()));
        loop {
            if let Err(error) = self.follow(&scene, &registry).await {
                tracing::debug!(%error, "the desk follows anew");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn follow(&self, scene: &Scene, registry: &Registry) -> Result<(), RegistryError> {
        let prefix = self.0.keys.prefix();
        let snapshot = registry.read(Range::Prefix(prefix.into())).await?;
        for record in snapshot.records {
            self.take(scene, Change::Put(record));
        }
        let mut watch = registry.watch(prefix, snapshot.revision + 1).await?;
        loop {
            for change in watch.next().await?.changes {
                self.take(scene, change);
            }
        }
    }

    fn take(&self, scene: &Scene, change: Change) {
        let mut agreed = self.0.agreed.lock().unwrap();
        match change {
            Change::Put(record) => {
                let key = self.0.keys.parse(record.key.as_bytes());
                agreed.put(scene, key, &record);
            }
            Change::Deleted { key, .. } => match self.0.keys.parse(key.as_bytes()) {
                Some(RegistryKey::Member(name)) => {
                    tracing::info!(%name, "member key deleted");
                    agreed.members.remove(&name);
                }
                Some(RegistryKey::Operation(id)) => {
                    agreed.operations.remove(&id);
                }
                _ => {}
            },
        }
    }

    async fn control(&self, scene: &Scene, control: Control) -> Result<(), String> {
        let open = self.0.agreed.lock().unwrap().operation();
        let Some(id) = open else { return Ok(()) };
        let admin = admin(scene)?;
        let controlled = admin.control_operation(&id, control, OPERATOR);
        controlled.await.map_err(text).map(|_| ())
    }

    async fn run_errands(self, scene: Arc<Scene>, registry: Registry) {
        loop {
            let errand = self.0.errands.lock().unwrap().pop_front();
            let Some(errand) = errand else {
                self.0.called.notified().await;
                continue;
            };
            tracing::info!(?errand, "errand");
            scene.trace(format!("{errand:?}"));
            tokio::spawn(
                self.clone()
                    .carry_out(scene.clone(), registry.clone(), errand),
            );
        }
    }

    /// Errands do not wait for each other: operators are many, and bad luck asks nobody.
    async fn carry_out(self, scene: Arc<Scene>, registry: Registry, errand: Errand) {
        match errand {
            Errand::Change(ask, rate) => {
                let outcome = operate(&scene, &ask, rate).await;
                tracing::info!(?outcome, "operated");
            }
            Errand::Control(control) => {
                let outcome = self.control(&scene, control).await;
                tracing::info!(?outcome, "controlled");
            }
            Errand::Group(group) => {
                let outcome = create(&scene, group).await;
                tracing::info!(?outcome, "created a group");
            }
            Errand::EndLease(name) => {
                let lease = {
                    let agreed = self.0.agreed.lock().unwrap();
                    agreed.members.get(&name).map(|(_, lease)| *lease)
                };
                if let Some(lease) = lease {
                    let _ = registry.revoke(lease).await;
                }
            }
        }
    }
}

async fn create(scene: &Scene, group: GroupRecord) -> Result<(), String> {
    let created = admin(scene)?.group_create(group, OPERATOR).await;
    created.map_err(text).map(|_| ())
}

/// Asks one node after the other until one takes the change; why the last did not.
async fn operate(scene: &Scene, ask: &PlanAsk, rate: u64) -> Result<(), String> {
    let admin = admin(scene)?;
    let plan = admin.plan(ask, OPERATOR).await.map_err(text)?.value;
    if plan.id.is_empty() {
        return Err(format!("{:?}", plan.checks));
    }
    let options = ApplyOptions {
        max_rate_bytes: rate,
        ..ApplyOptions::default()
    };
    let applied = admin.plan_apply(&plan.id, plan.base_layout, &options, OPERATOR);
    applied.await.map_err(text).map(|_| ())
}

fn admin(scene: &Scene) -> Result<Admin, String> {
    let options = net::connect_options();
    Admin::new(options, &scene.addresses(), OPERATOR_PATIENCE).map_err(text)
}

fn text(error: cached_client::Error) -> String {
    error.to_string()
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}
