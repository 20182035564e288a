//! A cluster whose slots move while a load watches every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_client::Client;
use cached_client::types::Slot;
use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use serde_json::Value;

use crate::clients::get;
use crate::cluster::{Setup, TestCluster};
use crate::load::{Load, LoadOptions, Report};
use crate::operations::Operator;
use crate::wait;

/// Members join at once; a busy machine and its etcd are quick enough to seal and drain.
pub const FLAGS: [&str; 6] = [
    "--join-delay",
    "0s",
    "--seal-budget",
    "1s",
    "--drain-deadline",
    "150s",
];

/// Bytes per second at which the default load's share of a node takes some seconds.
pub const SLOW: u64 = 250_000;

/// How long any change of a small cluster may take on a busy machine, the detection of a
/// dead node included.
pub const SETTLED_MAX: Duration = Duration::from_secs(150);

/// How long a request may take, in the client's 3 s and a busy machine's time to say so.
pub const REQUEST_MAX: Duration = Duration::from_millis(4500);

/// A cluster, a load on it, and an operator.
#[derive(Debug)]
pub struct Story {
    /// The cluster.
    pub cluster: TestCluster,
    /// A client of its nodes; the load has the same one.
    pub client: Client,
    /// At the gateway, which no story kills.
    pub operator: Operator,
    /// The load, under way.
    pub load: Load,
}

impl Story {
    /// So many nodes, filled, under the default load: the phase `steady`.
    pub async fn start(count: usize, setup: Setup) -> Self {
        Self::start_with(count, setup, &LoadOptions::default()).await
    }

    /// The same under another load.
    pub async fn start_with(count: usize, setup: Setup, options: &LoadOptions) -> Self {
        let cluster = TestCluster::start(count, setup.or_else(&FLAGS)).await;
        let client = cluster.client().await;
        let mut load = Load::fill(&client, options).await;
        load.begin("steady");
        Self {
            operator: cluster.operator(),
            cluster,
            client,
            load,
        }
    }

    /// One more node begins to join; answers the operation's id.
    pub async fn join(&mut self, name: &str, setup: Setup) -> String {
        let known = self.operator.known().await;
        self.cluster.add(name, &setup.or_else(&FLAGS)).await;
        self.operator.appears("join", &known, SETTLED_MAX).await
    }

    /// Waits until plan = table and all is well, then loads a while in the phase `after`,
    /// stops and reads everything.
    pub async fn settle(mut self) -> (TestCluster, Report) {
        self.operator.settled(SETTLED_MAX).await;
        self.load.begin("after");
        // A turn of every worker, and more.
        tokio::time::sleep(Duration::from_secs(1)).await;
        (self.cluster, self.load.finish().await)
    }

    /// Every slot that any row gives to a dead member, from now until none does.
    pub async fn rows_until_gone(&self, victim: &str) -> BTreeSet<usize> {
        let url = self.cluster.gateway.url();
        let rows = std::sync::Mutex::new(BTreeSet::new());
        wait::until(&format!("no row names {victim}"), SETTLED_MAX, async || {
            let now = rows_of(&url, victim).await;
            let empty = now.is_empty();
            rows.lock().expect("nobody panicked").extend(now);
            if empty { Ok(()) } else { Err("it owns slots") }
        })
        .await;
        rows.into_inner().expect("nobody panicked")
    }
}

/// What a process at this URL knows of the cluster.
pub async fn topology(url: &str) -> Value {
    let answer = get(format!("{url}/v1/topology")).await;
    let topology = answer.expect("it answers").json().await;
    topology.expect("a topology is JSON")
}

/// The slots that rows give to a member.
pub async fn rows_of(url: &str, name: &str) -> BTreeSet<usize> {
    let topology = topology(url).await;
    let ranges = topology["ranges"].as_array().cloned().unwrap_or_default();
    let own = ranges.iter().filter(|range| range["owner"] == name);
    let number = |range: &Value, field: &str| range[field].as_u64().unwrap_or(0) as usize;
    own.flat_map(|range| number(range, "first")..=number(range, "last"))
        .collect()
}

/// Slots of every member.
pub async fn slots(url: &str) -> BTreeMap<String, u64> {
    let topology = topology(url).await;
    let members = topology["members"].as_array().cloned().unwrap_or_default();
    let slots = members.iter().map(|member| {
        let name = member["name"].as_str().unwrap_or_default().to_owned();
        (name, member["slots"].as_u64().unwrap_or(0))
    });
    slots.collect()
}

/// The slot of a key.
pub fn slot(key: &str) -> usize {
    let slot: Slot = slot_of(KeyHash::Crc16, key.as_bytes());
    slot.index()
}

/// Panics unless every fault is excused: what was lost lay in these slots, nothing was
/// untrue, no request took longer than its deadline, and nothing failed at the end.
pub fn assert_only_lost(report: &Report, excused: &BTreeSet<usize>) {
    let unexcused: Vec<&String> = report
        .lost_keys()
        .filter(|key| !excused.contains(&slot(key)))
        .take(10)
        .collect();
    let told = || format!("{}\n{:?}", report.table(), report.samples());
    assert!(unexcused.is_empty(), "lost {unexcused:?}\n{}", told());
    assert_eq!(report.untrue(), 0, "{}", told());
    for phase in &report.phases {
        assert!(phase.longest < REQUEST_MAX, "{}", told());
    }
    for phase in ["after", "verify"] {
        assert_eq!(report.phase(phase).errors, 0, "{}", told());
    }
}
