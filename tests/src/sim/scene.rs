//! What all hosts of a simulation share: they run in one thread, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cached::cluster::view::ViewCell;
use cached_proto::records::Mode;
use cached_proto::types::{ClusterName, NodeName, Slot};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;

use super::keys::Keys;
use super::meddler::Switch;
use super::origin::Table;
use super::profile::Profile;
use super::wires::Wires;
use super::witness::Witness;
use crate::history::{History, Loss, Micros};

/// The wall clock at the beginning of every simulation, Unix milliseconds.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// Problems that are kept: the first ones say what happened.
const PROBLEMS_MAX: usize = 20;

/// What a simulation is like, drawn from its seed.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The seed.
    pub seed: u64,
    /// Nodes at the beginning.
    pub nodes: usize,
    /// Clients.
    pub clients: u32,
    /// What nodes do without the registry.
    pub mode: Mode,
    /// Attempts after the first, of clients and nodes.
    pub retries: u32,
    /// How long a member waits for slots.
    pub join_delay: Duration,
    /// Slowest message, one way.
    pub latency: Duration,
    /// How long clients and faults go on.
    pub duration: Duration,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// How long a process stands still where it does, in milliseconds: also longer than it
    /// may be sure of itself without looking, as far as clients wait for it.
    pub still_ms: Range<u64>,
    /// Between two operations of one client, on average.
    pub pause: Duration,
    /// Plain keys.
    pub keys: u32,
    /// Their names, and those of the others.
    pub names: Keys,
    /// Longest value, in bytes.
    pub long: usize,
    /// Between two heartbeats of a node.
    pub heartbeat: Duration,
    /// What kinds of trouble there are.
    pub profile: Profile,
}

/// The group of plain keys.
pub const PLAIN_GROUP: &str = "default-group";
/// The group that is too small.
pub const SMALL_GROUP: &str = "small";
/// The group that is loaded from the origin.
pub const LOADED_GROUP: &str = "loaded";

/// How a node is.
#[derive(Clone, Debug, Default)]
pub enum Life {
    /// It has no process.
    #[default]
    Down,
    /// Its process starts.
    Starting,
    /// It is a member.
    Running(Arc<ViewCell>),
    /// It ended in order.
    Left,
}

/// One node as the director sees it.
#[derive(Debug)]
pub struct NodeSlot {
    /// Its name, and its host's.
    pub name: NodeName,
    /// How far its wall clock is off.
    pub skew_ms: i64,
    /// Told when it shall end in order.
    pub leave: Notify,
    /// Its connections to others.
    pub wires: Wires,
    still_ms: Range<u64>,
    life: Mutex<Life>,
    pauses: Mutex<(f64, StdRng)>,
}

impl NodeSlot {
    /// From now on this is the chance that its process stands still at a place where it may.
    pub fn set_pauses(&self, chance: f64) {
        self.pauses.lock().unwrap().0 = chance;
    }

    /// How long it stands still now.
    pub fn next_pause(&self) -> Duration {
        let (chance, rng) = &mut *self.pauses.lock().unwrap();
        if *chance > 0.0 && rng.random_bool(*chance) {
            return Duration::from_millis(rng.random_range(self.still_ms.clone()));
        }
        Duration::ZERO
    }

    /// How it is.
    pub fn life(&self) -> Life {
        self.life.lock().unwrap().clone()
    }

    /// It is so from now on.
    pub fn set_life(&self, life: Life) {
        *self.life.lock().unwrap() = life;
    }
}

/// Shared by all hosts.
#[derive(Debug)]
pub struct Scene {
    /// What it is like.
    pub setting: Setting,
    /// What clients did.
    pub history: History,
    /// Where values are loaded from.
    pub origin: Table,
    /// Who answered for which slot.
    pub witness: Witness,
    nodes: Mutex<BTreeMap<NodeName, Arc<NodeSlot>>>,
    switches: Mutex<BTreeMap<IpAddr, Arc<Switch>>>,
    losses: Mutex<Vec<Loss>>,
    problems: Mutex<Vec<String>>,
    trace: Mutex<(DefaultHasher, u64)>,
    /// Clients that are to ask for the keys of these slots alone.
    confined: Mutex<BTreeMap<u32, BTreeSet<Slot>>>,
    /// Whether clients shall go on.
    working: Mutex<bool>,
}

impl Scene {
    /// Nothing has happened yet.
    pub fn new(setting: Setting) -> Arc<Self> {
        Arc::new(Self {
            origin: Table::new(setting.seed),
            witness: Witness::default(),
            setting,
            history: History::new(),
            nodes: Mutex::default(),
            switches: Mutex::default(),
            losses: Mutex::default(),
            problems: Mutex::default(),
            trace: Mutex::default(),
            confined: Mutex::default(),
            working: Mutex::new(true),
        })
    }

    /// The cluster's name.
    pub fn cluster() -> ClusterName {
        ClusterName::new("simulated").unwrap()
    }

    /// Adds a node, or answers the one of this name.
    pub fn node(&self, name: &NodeName, skew_ms: i64) -> Arc<NodeSlot> {
        let mut nodes = self.nodes.lock().unwrap();
        let seed = self.setting.seed ^ hash_of(name);
        let slot = nodes.entry(name.clone()).or_insert_with(|| {
            Arc::new(NodeSlot {
                name: name.clone(),
                skew_ms,
                leave: Notify::new(),
                wires: Wires::default(),
                still_ms: self.setting.still_ms.clone(),
                life: Mutex::default(),
                pauses: Mutex::new((0.0, StdRng::seed_from_u64(seed))),
            })
        });
        slot.clone()
    }

    /// All nodes that ever were.
    pub fn nodes(&self) -> Vec<Arc<NodeSlot>> {
        self.nodes.lock().unwrap().values().cloned().collect()
    }

    /// Where nodes can be found.
    pub fn addresses(&self) -> Vec<String> {
        let port = super::net::NODE_PORT;
        let nodes = self.nodes();
        nodes
            .iter()
            .map(|node| format!("{}:{port}", node.name))
            .collect()
    }

    /// The registry's faults towards a host.
    pub fn switch(&self, host: IpAddr) -> Arc<Switch> {
        let mut switches = self.switches.lock().unwrap();
        let seed = self.setting.seed ^ hash_of(&host);
        let pages = || self.setting.names.pages();
        let switch = switches
            .entry(host)
            .or_insert_with(|| Switch::new(seed, pages()));
        switch.clone()
    }

    /// Entries may be gone for a known reason.
    pub fn lose(&self, loss: Loss) {
        self.losses.lock().unwrap().push(loss);
    }

    /// Why entries may be gone.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses.lock().unwrap().clone()
    }

    /// Something is wrong.
    pub fn problem(&self, text: String) {
        tracing::error!("{text}");
        let mut problems = self.problems.lock().unwrap();
        if problems.len() < PROBLEMS_MAX {
            problems.push(format!("{:.3} s: {text}", now() as f64 / 1e6));
        }
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap().clone()
    }

    /// Something happened; the same seed must lead to the same trace.
    pub fn trace(&self, what: impl Hash) {
        let (hasher, events) = &mut *self.trace.lock().unwrap();
        (now(), what).hash(hasher);
        *events += 1;
    }

    /// The trace so far in one number, and how many events are in it.
    pub fn traced(&self) -> (u64, u64) {
        let (hasher, events) = &*self.trace.lock().unwrap();
        (hasher.finish(), *events)
    }

    /// From now on this client asks for the keys of these slots alone; `None`: for all.
    pub fn confine(&self, client: u32, slots: Option<BTreeSet<Slot>>) {
        let mut confined = self.confined.lock().unwrap();
        match slots {
            Some(slots) => confined.insert(client, slots),
            None => confined.remove(&client),
        };
    }

    /// The plain keys that this client may ask for, if not for all.
    pub fn confined(&self, client: u32) -> Option<Vec<u32>> {
        let confined = self.confined.lock().unwrap();
        let slots = confined.get(&client)?;
        let names = &self.setting.names;
        let all = 0..self.setting.keys;
        Some(
            all.filter(|number| slots.contains(&names.slot(*number)))
                .collect(),
        )
    }

    /// Whether clients shall go on.
    pub fn is_working(&self) -> bool {
        *self.working.lock().unwrap()
    }

    /// Clients shall end.
    pub fn end_work(&self) {
        *self.working.lock().unwrap() = false;
    }
}

/// The simulated time; outside of hosts it is 0.
pub fn now() -> Micros {
    if !turmoil::in_simulation() {
        return 0;
    }
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_micros() as Micros)
}

/// A number that stands for a value, the same in every process.
pub fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
