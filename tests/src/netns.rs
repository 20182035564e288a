//! Hosts of one machine: network namespaces on one bridge, whose links to each other can
//! be cut one way or both. Needs root and `ip`; gone when dropped.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::binaries;
use crate::etcd::Etcd;
use crate::process::Process;

/// Where every node listens, each in its own namespace.
const PORT: u16 = 8001;
/// Where packets go that shall not arrive: nobody's address.
const NOWHERE: &str = "02:00:00:00:00:fe";

/// A bridge with an address in the tests' own namespace, and hosts `n1`, `n2`, … on it.
#[derive(Debug)]
pub struct Net {
    id: String,
    prefix: String,
    hosts: usize,
}

impl Net {
    /// With so many hosts; `None`, with a message, where namespaces cannot be made.
    pub fn start(hosts: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() * 8 + NEXT.fetch_add(1, Ordering::SeqCst) % 8;
        let net = Self {
            id: format!("ct{:x}", number % 0xff_ffff),
            prefix: format!("10.{}.{}", 64 + number / 250 % 64, number % 250),
            hosts,
        };
        match net.build() {
            Ok(()) => Some(net),
            Err(error) => {
                eprintln!("skipped: no network namespaces here (needs root and iproute2): {error}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let Self { id, prefix, hosts } = self;
        ip(&format!("link add {id} type bridge"))?;
        ip(&format!("addr add {prefix}.1/24 dev {id}"))?;
        ip(&format!("addr add {}/24 dev {id}", self.registry_address()))?;
        ip(&format!("link set {id} up"))?;
        for host in 1..=*hosts {
            let space = self.space(host);
            ip(&format!("netns add {space}"))?;
            ip(&format!(
                "link add {space} type veth peer name eth0 netns {space}"
            ))?;
            ip(&format!("link set {space} master {id} up"))?;
            ip(&format!(
                "-n {space} addr add {}/24 dev eth0",
                self.address(host)
            ))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
            // Behind the rule of `cut_registry`, which is about what arrives.
            ip(&format!("-n {space} rule add pref 100 lookup local"))?;
            ip(&format!("-n {space} rule del pref 0"))?;
        }
        Ok(())
    }

    fn space(&self, host: usize) -> String {
        format!("{}n{host}", self.id)
    }

    /// Address of the tests' own end.
    pub fn own_address(&self) -> String {
        format!("{}.1", self.prefix)
    }

    /// Another one, for the registry: it can be cut off without the tests' clients.
    pub fn registry_address(&self) -> String {
        format!("{}.2", self.prefix)
    }

    /// Address of a host, from 1.
    pub fn address(&self, host: usize) -> String {
        format!("{}.{}", self.prefix, 10 + host)
    }

    /// Nothing that `from` sends reaches `to` any more, without a word.
    pub fn cut(&self, from: usize, to: usize) {
        self.cut_from(from, &self.address(to));
    }

    /// It does again.
    pub fn heal(&self, from: usize, to: usize) {
        self.heal_from(from, &self.address(to));
    }

    /// Nothing that a host sends reaches the registry any more, which it still hears.
    pub fn mute_to_registry(&self, host: usize) {
        self.cut_from(host, &self.registry_address());
    }

    /// It is heard again.
    pub fn unmute_to_registry(&self, host: usize) {
        self.heal_from(host, &self.registry_address());
    }

    /// Nothing passes between a host and the registry: to that host, it stands still.
    pub fn cut_registry(&self, host: usize) {
        self.mute_to_registry(host);
        let (space, from) = (self.space(host), self.registry_address());
        ip(&format!(
            "-n {space} rule add pref 10 from {from} blackhole"
        ))
        .expect("a rule can be set");
    }

    /// It answers again.
    pub fn heal_registry(&self, host: usize) {
        self.unmute_to_registry(host);
        ip(&format!("-n {} rule del pref 10", self.space(host))).expect("it was cut");
    }

    fn cut_from(&self, host: usize, to: &str) {
        let space = self.space(host);
        let line = format!("-n {space} neigh replace {to} lladdr {NOWHERE} dev eth0 nud permanent");
        ip(&line).expect("a neighbour can be set");
    }

    fn heal_from(&self, host: usize, to: &str) {
        let space = self.space(host);
        ip(&format!("-n {space} neigh del {to} dev eth0")).expect("it was cut");
    }

    /// What every host sends from now on is late and partly lost, in words of `tc netem`;
    /// false, with a message, where the kernel has no netem.
    pub fn impair(&self, how: &str) -> bool {
        for host in 1..=self.hosts {
            let space = self.space(host);
            let line = format!("-n {space} qdisc add dev eth0 root netem {how}");
            if let Err(error) = run("tc", &line) {
                eprintln!("skipped: no latency or loss here (needs tc and sch_netem): {error}");
                return false;
            }
        }
        true
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            let _ = ip(&format!("netns del {}", self.space(host)));
            let _ = ip(&format!("link del {}", self.space(host)));
        }
        let _ = ip(&format!("link del {}", self.id));
    }
}

fn ip(line: &str) -> Result<(), String> {
    run("ip", line)
}

fn run(program: &str, line: &str) -> Result<(), String> {
    let ran = Command::new(program)
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} {line}: {}",
        String::from_utf8_lossy(&ran.stderr).trim()
    ))
}

/// etcd at the tests' own end of the bridge, and one node on each host.
#[derive(Debug)]
pub struct NetCluster {
    /// The nodes, in the order of their hosts; before the net, so that they end first.
    pub nodes: Vec<Process>,
    /// The registry.
    pub etcd: Etcd,
    /// The network.
    pub net: Net,
    folder: TempDir,
}

impl NetCluster {
    /// A node `n1`, `n2`, … on each host, with these flags; returns when all listen.
    pub async fn start(net: Net, flags: &[&str]) -> Self {
        let hosts = net.hosts;
        Self::start_first(net, hosts, flags).await
    }

    /// The same on the first hosts only.
    pub async fn start_first(net: Net, nodes: usize, flags: &[&str]) -> Self {
        let etcd = Etcd::start_on(&net.registry_address()).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut cluster = Self {
            nodes: Vec::new(),
            etcd,
            net,
            folder,
        };
        let expected = nodes.to_string();
        let flags: Vec<&str> = flags
            .iter()
            .copied()
            .chain(["--expect", &expected])
            .collect();
        for host in 1..=nodes {
            let node = cluster.launch(host, &flags);
            cluster.nodes.push(node);
        }
        for node in &mut cluster.nodes {
            node.listening().await;
        }
        cluster
    }

    /// Starts a node on the next host; returns when it listens.
    pub async fn add(&mut self, flags: &[&str]) {
        let mut node = self.launch(self.nodes.len() + 1, flags);
        node.listening().await;
        self.nodes.push(node);
    }

    fn launch(&self, host: usize, flags: &[&str]) -> Process {
        let words = format!(
            "netns exec {} {} --insecure --name n{host} --host {} --port {PORT} --etcd {}",
            self.net.space(host),
            binaries::cached().display(),
            self.net.address(host),
            self.etcd.endpoint(),
        );
        let words = words.split_whitespace().chain(flags.iter().copied());
        let words: Vec<String> = words.map(str::to_owned).collect();
        let log = self.folder.path().join(format!("n{host}.log"));
        // `ip` becomes the node: signals reach it.
        Process::start(Path::new("ip"), &words, &log)
    }

    /// `http://HOST:PORT` of a node, from 1.
    pub fn url(&self, host: usize) -> String {
        format!("http://{}:{PORT}", self.net.address(host))
    }
}
