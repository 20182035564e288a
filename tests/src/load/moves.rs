//! The benchmark of moving slots: three nodes become four and three again, with a load
//! and without one.

use std::time::Duration;

use cached_client::{Client, Options};
use cached_proto::pb::cached::admin::v1::{OperationRecord, PlanRequest};
use serde_json::{Value, json};

use super::{Load, LoadOptions, Report};
use crate::cluster::{Setup, TestCluster};
use crate::operations::{Operator, drain};

/// How long one move of all slots of a node may take.
const MOVE_MAX: Duration = Duration::from_secs(300);

/// What the benchmark does.
#[derive(Clone, Debug)]
pub struct MoveOptions {
    /// The load.
    pub load: LoadOptions,
    /// Of each node, as `--memory` takes it.
    pub memory: String,
    /// More flags of each node.
    pub flags: Vec<String>,
    /// Before, between and after the moves.
    pub steady: Duration,
}

impl MoveOptions {
    /// Entries of 1 KB and a little more than 30,000 writes in a second.
    pub fn full() -> Self {
        Self {
            load: LoadOptions {
                entries: 1_000_000,
                value_bytes: 1000,
                // A little more than is asked for, so that it is reached over any window.
                writes_per_second: 30_300,
                get_percent: 20,
                delete_percent: 5,
                ttl: None,
                workers: 16,
                batch: 64,
                prefix: "load".to_owned(),
            },
            memory: "4GiB".to_owned(),
            flags: Vec::new(),
            steady: Duration::from_secs(20),
        }
    }

    /// The same in seconds, for a test.
    pub fn quick() -> Self {
        let mut options = Self::full();
        options.load.entries = 50_000;
        options.load.writes_per_second = 1_000;
        options.load.workers = 8;
        options.load.batch = 16;
        options.memory = "512MiB".to_owned();
        options.steady = Duration::from_secs(2);
        options
    }
}

/// One move, as the cluster recorded it.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Which one.
    pub name: &'static str,
    /// The cluster's own record.
    pub record: OperationRecord,
    /// Keys and values of the entries that moved, in bytes.
    pub payload: u64,
}

impl Moved {
    /// From its start to its end.
    pub fn took(&self) -> Duration {
        let record = &self.record;
        Duration::from_millis(record.finished_at_ms.saturating_sub(record.started_at_ms))
    }

    /// Payload in 10⁶ bytes per second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.payload as f64 / 1e6 / self.took().as_secs_f64().max(1e-3)
    }
}

/// What the benchmark came to.
#[derive(Clone, Debug)]
pub struct MoveReport {
    /// What the load saw.
    pub load: Report,
    /// The moves.
    pub moves: Vec<Moved>,
}

impl MoveReport {
    /// For people, and for docs/benchmarks.md.
    pub fn table(&self) -> String {
        let mut lines = vec![
            self.load.table(),
            String::new(),
            "| move | s | slots | entries | MB | MB/s | attempts that failed |".to_owned(),
            format!("|{}", " --- |".repeat(7)),
        ];
        for moved in &self.moves {
            let counts = moved.record.moved.unwrap_or_default();
            lines.push(format!(
                "| {} | {:.2} | {} | {} | {:.1} | {:.1} | {} |",
                moved.name,
                moved.took().as_secs_f64(),
                counts.slots,
                counts.keys,
                moved.payload as f64 / 1e6,
                moved.megabytes_per_second(),
                counts.failures,
            ));
        }
        lines.join("\n")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let moves = self.moves.iter().map(|moved| {
            let counts = moved.record.moved.unwrap_or_default();
            json!({
                "move": moved.name,
                "seconds": moved.took().as_secs_f64(),
                "slots": counts.slots,
                "entries": counts.keys,
                "payloadBytes": moved.payload,
                "megabytesPerSecond": moved.megabytes_per_second(),
                "failures": counts.failures,
            })
        });
        let moves: Vec<Value> = moves.collect();
        json!({"load": self.load.json(), "moves": moves})
    }
}

/// Runs it. `say` is told what begins.
pub async fn run(options: &MoveOptions, say: &dyn Fn(&str)) -> MoveReport {
    let flags = ["--join-delay", "0s", "--memory", &options.memory];
    let mut setup = Setup::default().nodes(&flags);
    setup.node_flags.extend(options.flags.clone());
    let mut cluster = TestCluster::start(3, setup.clone()).await;
    // Nobody asks it: the client and the operator know the nodes.
    cluster.gateway.process.kill();
    let operator = Operator::new(&cluster.nodes[0].url());
    let seeds: Vec<String> = cluster.nodes.iter().map(|node| node.url()).collect();
    let client = Client::connect(Options::nodes(seeds)).await;
    let client = client.expect("the nodes answer");
    let mut bench = Bench {
        options,
        operator,
        moves: Vec::new(),
    };

    say("fill");
    let mut load = Load::fill(&client, &options.load).await;
    bench.steady(&mut load, "steady 3", say).await;
    say("join under load");
    load.begin("join");
    let known = bench.operator.known().await;
    cluster.add("n4", &setup).await;
    let id = bench.operator.appears("join", &known, MOVE_MAX).await;
    bench.moved("join under load", &id).await;
    bench.steady(&mut load, "steady 4", say).await;
    say("drain under load");
    load.begin("drain");
    let url = cluster.nodes[0].url();
    let known = bench.operator.known().await;
    let drained = crate::command::cachectl(&["--endpoint", &url], "drain n4 --yes")
        .run()
        .await;
    assert_eq!(drained.code, 0, "{}{}", drained.out, drained.err);
    let id = bench.operator.appears("drain", &known, MOVE_MAX).await;
    bench.moved("drain under load", &id).await;
    bench.steady(&mut load, "steady 3 again", say).await;

    say("moves without load");
    load.rest().await;
    let undrain = PlanRequest {
        undrain: vec!["n4".to_owned()],
        by: "benchmark".to_owned(),
        ..PlanRequest::default()
    };
    for (name, request) in [("join, idle", undrain), ("drain, idle", drain(&["n4"]))] {
        let id = bench.operator.start(request).await.expect("it is accepted");
        bench.moved(name, &id).await;
    }
    say("verify");
    MoveReport {
        load: load.finish().await,
        moves: bench.moves,
    }
}

struct Bench<'a> {
    options: &'a MoveOptions,
    operator: Operator,
    moves: Vec<Moved>,
}

impl Bench<'_> {
    async fn steady(&self, load: &mut Load, name: &str, say: &dyn Fn(&str)) {
        say(name);
        load.begin(name);
        // Its length is what is asked for.
        tokio::time::sleep(self.options.steady).await;
    }

    async fn moved(&mut self, name: &'static str, id: &str) {
        let record = self.operator.done(id, MOVE_MAX).await;
        let key = self.options.load.prefix.len() + "-00-00000".len();
        let entry = (self.options.load.value_bytes + key) as u64;
        self.moves.push(Moved {
            name,
            payload: record.moved.unwrap_or_default().keys * entry,
            record,
        });
        self.operator.settled(MOVE_MAX).await;
    }
}
