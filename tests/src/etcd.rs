//! A real etcd server, which can be stopped, killed and started again.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::wait;

/// Where distributions put it, besides PATH.
const PLACES: [&str; 3] = ["/usr/bin/etcd", "/usr/local/bin/etcd", "/usr/sbin/etcd"];

/// One etcd server with a data folder of its own.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    host: String,
    client_port: u16,
    peer_port: u16,
    folder: TempDir,
}

/// The etcd binary: `ETCD`, else the usual places; `None` when there is none.
pub fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ETCD") {
        return Some(path.into());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("etcd"));
    on_path
        .chain(PLACES.map(PathBuf::from))
        .find(|path| path.is_file())
}

/// Whether tests may use etcd. Without one they skip and say so, unless
/// `CACHED_REQUIRE_ETCD` is set, as `make test` does.
pub fn is_there() -> bool {
    if binary().is_some() {
        return true;
    }
    assert!(
        std::env::var_os("CACHED_REQUIRE_ETCD").is_none(),
        "no etcd found: install etcd-server, or name one with ETCD=path"
    );
    eprintln!("skipped: no etcd found; install etcd-server, or name one with ETCD=path");
    false
}

impl Etcd {
    /// Starts a server on loopback and waits until it answers.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1").await
    }

    /// The same on an address of this machine.
    pub async fn start_on(host: &str) -> Self {
        // etcd takes no port 0, so two free ones are found, and may be lost to
        // somebody else before etcd binds them: then it ends, and we try others.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (client_port, peer_port) = (free_port(host), free_port(host));
            let process = launch(&folder, host, client_port, peer_port);
            let mut etcd = Self {
                process,
                host: host.to_owned(),
                client_port,
                peer_port,
                folder,
            };
            if etcd.answers().await {
                return etcd;
            }
        }
        panic!("etcd does not start");
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.client_port)
    }

    /// Stands still; connections stay open.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Goes on.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// Kills it; its data stay.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports and data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder, &self.host, self.client_port, self.peer_port);
        assert!(
            self.answers().await,
            "etcd does not come back:\n{}",
            self.process.output()
        );
    }

    /// A client of its own, for looking at what is stored.
    pub async fn client(&self) -> etcd_client::Client {
        let endpoint = self.endpoint();
        wait::until("etcd answers", Duration::from_secs(20), || {
            etcd_client::Client::connect([endpoint.clone()], None)
        })
        .await
    }

    async fn answers(&mut self) -> bool {
        let endpoint = self.endpoint();
        for _ in 0..200 {
            let ask = async {
                let mut client = etcd_client::Client::connect([&endpoint], None).await.ok()?;
                client.get("health", None).await.ok()
            };
            if let Ok(Some(_)) = tokio::time::timeout(Duration::from_secs(1), ask).await {
                return true;
            }
            if self.process.output().contains("address already in use") {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

fn launch(folder: &TempDir, host: &str, client_port: u16, peer_port: u16) -> Process {
    let client = format!("http://{host}:{client_port}");
    let peer = format!("http://{host}:{peer_port}");
    let arguments = [
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.path().join("data").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=test={peer}"),
    ];
    let program = binary().expect("the caller asked is_there()");
    Process::start(&program, &arguments, &folder.path().join("etcd.log"))
}

fn free_port(host: &str) -> u16 {
    let listener = TcpListener::bind((host, 0)).expect("the address has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
