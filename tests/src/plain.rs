//! A cluster of which nothing is known but where it listens: for tests of who may
//! connect, which cannot ask for its topology before they know how.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::process::Process;
use crate::{binaries, wait};

/// How long a cluster may take until all its processes are ready.
const READY_MAX: Duration = Duration::from_secs(30);

/// etcd, nodes and a gateway, all with the same flags.
#[derive(Debug)]
pub struct PlainCluster {
    /// The registry.
    pub etcd: Etcd,
    /// The nodes, then the gateway.
    pub processes: Vec<Process>,
    /// Where each of them listens.
    pub addresses: Vec<SocketAddr>,
    _folder: TempDir,
}

impl PlainCluster {
    /// Starts `nodes` nodes and a gateway; `http` knows how to ask whether they are
    /// ready, at `scheme` (`http` or `https`).
    pub async fn start(nodes: usize, flags: &[&str], scheme: &str, http: &reqwest::Client) -> Self {
        let etcd = Etcd::start().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (endpoint, expect) = (etcd.endpoint(), nodes.to_string());
        let mut processes = Vec::new();
        for number in 1..=nodes + 1 {
            let name = format!("n{number}");
            let mut words = vec!["--port", "0", "--etcd", &endpoint];
            match number > nodes {
                true => words.push("--api"),
                false => words.extend(["--name", &name, "--expect", &expect]),
            }
            words.extend(flags);
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            let log = folder.path().join(format!("{name}.log"));
            processes.push(Process::start(&binaries::cached(), &words, &log));
        }
        let mut addresses = Vec::new();
        for process in &mut processes {
            let address = process.listening().await;
            let url = format!("{scheme}://{address}/readyz");
            wait::until(&url, READY_MAX, || async {
                http.get(&url).send().await?.error_for_status()
            })
            .await;
            addresses.push(address);
        }
        Self {
            etcd,
            processes,
            addresses,
            _folder: folder,
        }
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        *self.addresses.last().expect("there is a gateway")
    }
}
