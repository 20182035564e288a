//! A real etcd for tests: a process on free ports, in a directory of its own.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{EtcdOptions, Range, Registry, RegistryError};

/// Bound of every call in tests: long enough for a busy machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// How long etcd may take to come up on a busy machine.
const START_TRIES: usize = 300;
const START_PAUSE: Duration = Duration::from_millis(100);

/// Another process may take a port between our look and etcd's.
const PORT_TRIES: usize = 5;

/// A running etcd; killed when dropped.
pub(super) struct EtcdProcess {
    child: Child,
    directory: TempDir,
    port: u16,
    peer_port: u16,
    arguments: Vec<String>,
    /// How to reach it; the endpoint is filled in.
    options: EtcdOptions,
}

impl EtcdProcess {
    /// A plain one. `None`, with a printed message, where there is no etcd, unless
    /// the environment variable CACHED_REQUIRE_ETCD is 1: then that is a failure.
    pub(super) async fn start() -> Option<Self> {
        Self::start_with(Vec::new(), EtcdOptions::default()).await
    }

    /// One with more arguments, to be reached with these options.
    pub(super) async fn start_with(arguments: Vec<String>, options: EtcdOptions) -> Option<Self> {
        if let Err(error) = Command::new(binary()).arg("--version").output() {
            let required = std::env::var("CACHED_REQUIRE_ETCD").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "CACHED_REQUIRE_ETCD=1, but {} does not run: {error}",
                binary()
            );
            println!("skipped: {} does not run: {error}", binary());
            return None;
        }
        for _ in 0..PORT_TRIES {
            let mut etcd = Self::spawn(arguments.clone(), options.clone());
            if etcd.comes_up().await {
                return Some(etcd);
            }
        }
        panic!(
            "etcd does not start; see its log by running {} by hand",
            binary()
        );
    }

    fn spawn(arguments: Vec<String>, options: EtcdOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, peer_port] = free.map(|listener| listener.local_addr().unwrap().port());
        let options = EtcdOptions {
            endpoints: vec![format!("127.0.0.1:{port}")],
            timeout: TIMEOUT,
            ..options
        };
        let child = run(
            &directory,
            port,
            peer_port,
            &arguments,
            options.ca_pem.is_some(),
        );
        Self {
            child,
            directory,
            port,
            peer_port,
            arguments,
            options,
        }
    }

    /// False when it ended instead.
    async fn comes_up(&mut self) -> bool {
        let registry = self.registry().await;
        for _ in 0..START_TRIES {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            match registry.read(Range::Key("any".into())).await {
                Ok(_) | Err(RegistryError::Denied(_)) => return true,
                Err(_) => pause(START_PAUSE).await,
            }
        }
        false
    }

    /// How to reach it.
    pub(super) fn options(&self) -> EtcdOptions {
        self.options.clone()
    }

    /// A new client.
    pub(super) async fn registry(&self) -> Registry {
        Registry::etcd(self.options()).await.unwrap()
    }

    /// Freezes it, connections stay open.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, as a power cut would.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its data and ports.
    pub(super) async fn restart(&mut self) {
        let tls = self.options.ca_pem.is_some();
        self.child = run(
            &self.directory,
            self.port,
            self.peer_port,
            &self.arguments,
            tls,
        );
        assert!(self.comes_up().await, "etcd does not come back");
    }
}

impl Drop for EtcdProcess {
    fn drop(&mut self) {
        let _it_may_be_dead_already = self.child.kill();
        let _and_waited_for = self.child.wait();
    }
}

fn binary() -> String {
    std::env::var("ETCD").unwrap_or_else(|_| "etcd".into())
}

fn run(directory: &TempDir, port: u16, peer_port: u16, arguments: &[String], tls: bool) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.path().join("log"))
        .unwrap();
    let scheme = if tls { "https" } else { "http" };
    let client_url = format!("{scheme}://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    Command::new(binary())
        .arg(format!(
            "--data-dir={}",
            directory.path().join("data").display()
        ))
        .args([format!("--listen-client-urls={client_url}")])
        .args([format!("--advertise-client-urls={client_url}")])
        .args([format!("--listen-peer-urls={peer_url}")])
        .args([format!("--initial-advertise-peer-urls={peer_url}")])
        .args([format!("--initial-cluster=default={peer_url}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// There is no event to await from outside another process.
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
