//! A cluster of real processes that meet in a real etcd.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cached_client::{Client, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries;
use crate::clients::{AnyClient, Grpc, Rest, get};
use crate::command::{Ran, cachectl};
use crate::etcd::Etcd;
use crate::operations::Operator;
use crate::process::Process;
use crate::wait;

/// How long a cluster may take from its first process to its last slot: a few
/// round trips, on a machine that may be busy.
const READY_MAX: Duration = Duration::from_secs(30);

/// One node or gateway.
#[derive(Debug)]
pub struct Node {
    /// Its name; "gateway" for the gateway.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    arguments: Vec<String>,
}

impl Node {
    /// `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// etcd, nodes and a gateway; all ends with it.
#[derive(Debug)]
pub struct TestCluster {
    /// The registry.
    pub etcd: Etcd,
    /// The nodes, in the order of their start.
    pub nodes: Vec<Node>,
    /// The gateway.
    pub gateway: Node,
    folder: TempDir,
}

/// What a cluster is started with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Flags of every process.
    pub flags: Vec<String>,
    /// More flags of the nodes alone.
    pub node_flags: Vec<String>,
    /// Environment variables of single nodes, at their first start: node, name, value.
    pub environment: Vec<(String, String, String)>,
}

impl Setup {
    /// Flags of every process.
    pub fn with(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self {
            flags,
            ..Self::default()
        }
    }

    /// More flags of the nodes alone.
    pub fn nodes(mut self, flags: &[&str]) -> Self {
        self.node_flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// More flags of the nodes, `--name value` each, but for those that they have.
    pub fn or_else(mut self, flags: &[&str]) -> Self {
        for pair in flags.chunks(2) {
            if !self.node_flags.iter().any(|flag| flag == pair[0]) {
                self.node_flags
                    .extend(pair.iter().map(|word| (*word).to_owned()));
            }
        }
        self
    }

    /// The node of that name ends as `kill -9` would, at this point of its life:
    /// `name`, or `name:3` for the third time that it gets there.
    pub fn crash(mut self, node: &str, point: &str) -> Self {
        let entry = (node, "CACHED_CRASH_AT", point);
        self.environment
            .push((entry.0.into(), entry.1.into(), entry.2.into()));
        self
    }

    fn environment_of(&self, node: &str) -> Vec<(String, String)> {
        let own = self.environment.iter().filter(|(name, ..)| name == node);
        own.map(|(_, name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl TestCluster {
    /// `count` nodes that wait for each other, and a gateway; returns when every
    /// slot is served.
    pub async fn start(count: usize, setup: Setup) -> Self {
        let cluster = Self::start_unwatched(count, setup).await;
        cluster.all_served(count).await;
        cluster
    }

    /// The same, without waiting for slots: for clusters that answer only those who have a
    /// token.
    pub async fn start_unwatched(count: usize, setup: Setup) -> Self {
        let etcd = Etcd::start().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut nodes = Vec::new();
        for number in 1..=count {
            let mut arguments = node_arguments(&format!("n{number}"), &etcd, &setup);
            arguments.extend(["--expect".to_owned(), count.to_string()]);
            let name = format!("n{number}");
            let environment = setup.environment_of(&name);
            nodes.push(launch(&folder, &name, arguments, 0, &environment));
        }
        let mut arguments = vec!["--api".to_owned(), "--etcd".to_owned(), etcd.endpoint()];
        arguments.extend(setup.flags.clone());
        let mut gateway = launch(&folder, "gateway", arguments, 0, &[]);
        for node in nodes.iter_mut().chain([&mut gateway]) {
            node.address = node.process.listening().await;
        }
        Self {
            etcd,
            nodes,
            gateway,
            folder,
        }
    }

    /// Starts one more node, which waits for slots.
    pub async fn add(&mut self, name: &str, setup: &Setup) -> &mut Node {
        let arguments = node_arguments(name, &self.etcd, setup);
        let environment = setup.environment_of(name);
        let mut node = launch(&self.folder, name, arguments, 0, &environment);
        node.address = node.process.listening().await;
        self.nodes.push(node);
        self.nodes.last_mut().expect("just pushed")
    }

    /// The node of that name that was started last.
    pub fn node(&mut self, name: &str) -> &mut Node {
        let found = self.nodes.iter_mut().rev().find(|node| node.name == name);
        found.unwrap_or_else(|| panic!("no node {name}"))
    }

    /// Runs `cachectl` against the gateway.
    pub async fn cachectl(&self, line: &str) -> Ran {
        let url = self.gateway.url();
        cachectl(&["--endpoint", &url], line).run().await
    }

    /// An operator at the gateway.
    pub fn operator(&self) -> Operator {
        Operator::new(&self.gateway.url())
    }

    /// Starts a node again that was killed, with its old flags and its old port.
    pub async fn restart(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (name, arguments, port) = (
            node.name.clone(),
            node.arguments.clone(),
            node.address.port(),
        );
        let mut node = launch(&self.folder, &name, arguments, port, &[]);
        node.address = node.process.listening().await;
        self.nodes[index] = node;
    }

    /// Waits until every process sees all slots owned by `count` living members.
    pub async fn all_served(&self, count: usize) {
        for node in self.nodes.iter().chain([&self.gateway]) {
            let url = format!("{}/v1/topology", node.url());
            wait::until(
                &format!("{} sees all slots", node.name),
                READY_MAX,
                || async {
                    let topology: Value = match get(&url).await {
                        Ok(answer) => answer.json().await.map_err(|error| error.to_string())?,
                        Err(error) => return Err(error.to_string()),
                    };
                    served_by(&topology, count)
                },
            )
            .await;
        }
    }

    /// A client that learns of the cluster from its nodes.
    pub async fn client(&self) -> Client {
        let seeds: Vec<String> = self.nodes.iter().map(Node::url).collect();
        Client::connect(Options::nodes(seeds))
            .await
            .expect("the nodes answer")
    }

    /// Clients of every kind and towards every process.
    pub async fn every_client(&self) -> Vec<Box<dyn AnyClient>> {
        let mut clients: Vec<Box<dyn AnyClient>> = Vec::new();
        for node in self.nodes.iter().chain([&self.gateway]) {
            clients.push(Box::new(Rest::new(&node.url())));
        }
        clients.push(Box::new(Grpc::new(self.client().await)));
        let gateway = Client::connect(Options::nodes([self.gateway.url()])).await;
        clients.push(Box::new(Grpc::new(gateway.expect("the gateway answers"))));
        clients
    }
}

/// Whether the topology that a process shows has all slots owned by so many members.
fn served_by(topology: &Value, count: usize) -> Result<(), String> {
    let ranges = topology["ranges"].as_array().ok_or("no ranges yet")?;
    let members = topology["members"].as_array().ok_or("no members yet")?;
    let living: Vec<&Value> = members
        .iter()
        .filter(|member| member["state"] == "up")
        .map(|member| &member["name"])
        .collect();
    let slots: u64 = ranges
        .iter()
        .filter(|range| living.contains(&&range["owner"]))
        .map(|range| range["last"].as_u64().unwrap_or(0) - range["first"].as_u64().unwrap_or(0) + 1)
        .sum();
    if slots == 16_384 && living.len() == count {
        return Ok(());
    }
    Err(format!("{slots} slots on {living:?}"))
}

fn node_arguments(name: &str, etcd: &Etcd, setup: &Setup) -> Vec<String> {
    let mut arguments = ["--name", name, "--etcd"].map(str::to_owned).to_vec();
    arguments.push(etcd.endpoint());
    arguments.extend(setup.flags.clone());
    arguments.extend(setup.node_flags.clone());
    arguments
}

fn launch(
    folder: &TempDir,
    name: &str,
    arguments: Vec<String>,
    port: u16,
    environment: &[(String, String)],
) -> Node {
    let mut all = arguments.clone();
    all.extend(["--port".to_owned(), port.to_string()]);
    let log: PathBuf = (0..)
        .map(|number| folder.path().join(format!("{name}.{number}.log")))
        .find(|path| !path.exists())
        .expect("there is always another number");
    let process = Process::start_with(&binaries::cached(), &all, environment, &log);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Node {
        name: name.to_owned(),
        address,
        process,
        arguments,
    }
}
