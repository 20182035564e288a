//! Several members in one process: real drivers and stores, the embedded registry
//! behind a wire that can be cut, and peers that call each other directly.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cached_proto::pb::cached::admin::v1::{BlacklistEntry, NodeStats};
use cached_proto::types::{GroupName, SLOTS};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::transport::Endpoint;

use crate::clock::Clock;
use crate::cluster::view::{Serving, ViewCell};
use crate::cluster::{Cluster, ClusterConfig, ClusterParts, StartError, testing};
use crate::counters::Counters;
use crate::peers::{Forwarded, Peer, PeerError, PeerFuture, Peers, ProbeAnswer, Suspect, Verdict};
use crate::registry::{EmbeddedRegistry, Registry};
use crate::store::{Store, StoreConfig};
use crate::tasks::Tasks;
use crate::transfer::testing::transfers;
use cached_proto::operation::Outcome;
use cached_proto::records::Mode;

/// The way to the registry.
#[derive(Debug, Default)]
pub(super) struct Wire {
    down: AtomicBool,
    cut: Notify,
}

impl Wire {
    /// As if the registry's process had been killed.
    pub(super) fn cut(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    pub(super) fn mend(&self) {
        self.down.store(false, Ordering::SeqCst);
    }
}

/// Who answers at which address.
#[derive(Debug, Default)]
pub(super) struct Directory {
    at: Mutex<BTreeMap<String, Cluster>>,
    /// Addresses that nobody reaches, although somebody is there.
    silent: Mutex<BTreeSet<String>>,
    clock: Mutex<Option<Clock>>,
}

impl Directory {
    fn find(&self, address: &str) -> Option<Cluster> {
        if self.silent.lock().contains(address) {
            return None;
        }
        self.at.lock().get(address).cloned()
    }

    async fn reach(&self, peer: &Peer, timeout: Duration) -> Result<Cluster, PeerError> {
        if let Some(cluster) = self.find(&peer.address) {
            return Ok(cluster);
        }
        let clock = self.clock.lock().clone().unwrap();
        clock.sleep(timeout).await;
        Err(PeerError::NotSent("no answer".to_owned()))
    }
}

/// Calls from one member.
#[derive(Debug)]
struct Calls {
    from: String,
    directory: Arc<Directory>,
}

impl Peers for Calls {
    fn probe<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, ProbeAnswer> {
        Box::pin(async move { Ok(self.directory.reach(peer, timeout).await?.on_probe()) })
    }

    fn report<'a>(
        &'a self,
        peer: &'a Peer,
        suspects: Vec<Suspect>,
        timeout: Duration,
    ) -> PeerFuture<'a, ()> {
        Box::pin(async move {
            let cluster = self.directory.reach(peer, timeout).await?;
            cluster.on_report(self.from.parse().unwrap(), suspects);
            Ok(())
        })
    }

    fn opinion<'a>(
        &'a self,
        peer: &'a Peer,
        about: &'a Peer,
        fresh: Duration,
        timeout: Duration,
    ) -> PeerFuture<'a, Verdict> {
        Box::pin(async move {
            Ok(self
                .directory
                .reach(peer, timeout)
                .await?
                .on_opinion(about, fresh))
        })
    }

    fn execute<'a>(&'a self, _: &'a Peer, _: Forwarded) -> PeerFuture<'a, Vec<Outcome>> {
        unused()
    }

    fn stats<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, NodeStats> {
        unused()
    }

    fn blacklist<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<BlacklistEntry>> {
        unused()
    }

    fn flush<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a GroupName,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::Flushed> {
        unused()
    }

    fn keys<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a GroupName,
        _: crate::peers::keys::KeysPlace,
        _: usize,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::keys::KeysPage> {
        unreachable!("nobody lists keys here")
    }

    fn open_move<'a>(
        &'a self,
        _: &'a Peer,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::MoveStream> {
        unused()
    }
    fn moves<'a>(
        &'a self,
        _: &'a Peer,
        _: Duration,
    ) -> PeerFuture<'a, Vec<cached_proto::pb::cached::admin::v1::PairProgress>> {
        unused()
    }
}

fn unused<'a, T: 'a>() -> PeerFuture<'a, T> {
    Box::pin(async { Err(PeerError::NotSent("not part of these tests".to_owned())) })
}

/// A running member.
pub(super) struct Member {
    pub(super) cluster: Cluster,
    pub(super) store: Arc<Store>,
    pub(super) view: Arc<ViewCell>,
    pub(super) counters: Arc<Counters>,
    tasks: Tasks,
    address: String,
}

/// The process around them.
pub(super) struct Net {
    pub(super) clock: Clock,
    server: EmbeddedRegistry,
    pub(super) wire: Arc<Wire>,
    directory: Arc<Directory>,
    seed: u64,
}

impl Net {
    pub(super) fn new() -> Self {
        let clock = Clock::tokio(1_700_000_000_000);
        let directory = Arc::new(Directory::default());
        *directory.clock.lock() = Some(clock.clone());
        let server = EmbeddedRegistry::start(&clock, &Tasks::new());
        Self {
            clock,
            server,
            wire: Arc::default(),
            directory,
            seed: 1,
        }
    }

    /// A registry client over a wire of its own kind.
    pub(super) fn registry(&self) -> Registry {
        let (server, wire) = (self.server.clone(), self.wire.clone());
        let connector = tower::service_fn(move |_: http::Uri| {
            let (server, wire) = (server.clone(), wire.clone());
            async move {
                if wire.down.load(Ordering::SeqCst) {
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
                }
                let (near, mut middle) = tokio::io::duplex(64 << 10);
                let (mut inner, far) = tokio::io::duplex(64 << 10);
                server.accept(far).await?;
                Tasks::new().spawn("wire", |_| async move {
                    tokio::select! { biased;
                        () = wire.cut.notified() => {}
                        _ = tokio::io::copy_bidirectional(&mut middle, &mut inner) => {}
                    }
                });
                Ok(hyper_util::rt::TokioIo::new(near))
            }
        });
        let channel = Endpoint::from_static("http://test").connect_with_connector_lazy(connector);
        Registry::over(
            "embedded",
            vec![("test".to_owned(), channel)],
            Duration::from_secs(2),
        )
    }

    pub(super) fn config(&self, name: &str, expect: usize, mode: Mode) -> ClusterConfig {
        ClusterConfig {
            expect,
            mode,
            ..testing::config(name)
        }
    }

    pub(super) async fn start(&mut self, config: ClusterConfig) -> Result<Member, StartError> {
        self.start_with(config, self.clock.clone()).await
    }

    pub(super) async fn start_with(
        &mut self,
        config: ClusterConfig,
        clock: Clock,
    ) -> Result<Member, StartError> {
        self.seed += 1;
        let member = config.member.as_ref();
        let name = member.map_or("gateway".to_owned(), |member| member.id.name.to_string());
        let address = member.map_or("gateway:1".to_owned(), |member| member.address.clone());
        let store = StoreConfig {
            shards: 4,
            memory_bytes: 64 << 20,
        };
        let (store, tasks) = (Arc::new(Store::new(store)), Tasks::new());
        let view = ViewCell::new(config.mode == Mode::Strict);
        let counters = Arc::new(Counters::default());
        let directory = self.directory.clone();
        let peers = Arc::new(Calls {
            from: name,
            directory,
        });
        let (transfers, told) = transfers(&store, &view, &clock, &tasks, peers.clone());
        let parts = ClusterParts {
            config,
            registry: self.registry(),
            store: store.clone(),
            peers,
            transfers,
            told,
            parking: Arc::default(),
            clock,
            tasks: tasks.clone(),
            view: view.clone(),
            counters: counters.clone(),
            seed: self.seed,
        };
        let cluster = Cluster::start(parts).await?;
        self.directory
            .at
            .lock()
            .insert(address.clone(), cluster.clone());
        Ok(Member {
            cluster,
            store,
            view,
            counters,
            tasks,
            address,
        })
    }

    /// Members n1 to n<count>, serving.
    pub(super) async fn members(&mut self, count: usize, mode: Mode) -> Vec<Member> {
        let mut members = Vec::new();
        for number in 1..=count {
            let config = self.config(&format!("n{number}"), count, mode);
            members.push(self.start(config).await.unwrap());
        }
        self.until(Duration::from_secs(10), || whole(&members))
            .await;
        self.clock.sleep(Duration::from_secs(3)).await;
        members
    }

    /// kill -9.
    pub(super) async fn kill(&self, member: &Member) {
        self.directory.at.lock().remove(&member.address);
        member.tasks.stop_within(Duration::from_secs(1)).await;
    }

    /// Waits until something is so; answers how long that took.
    pub(super) async fn until(&self, limit: Duration, so: impl Fn() -> bool) -> Duration {
        let start = self.clock.now();
        while !so() {
            assert!(
                self.clock.now().since(start) < limit,
                "not within {limit:?}"
            );
            self.clock.sleep(Duration::from_millis(50)).await;
        }
        self.clock.now().since(start)
    }
}

impl Member {
    pub(super) fn serves(&self) -> usize {
        let now = self.cluster.shared.clock.now();
        match self.view.fence().check(now) {
            Serving::Fenced(_) => 0,
            Serving::Yes | Serving::Degraded => {
                let view = self.view.load();
                let mine = |slot: &crate::store::SlotInfo| view.is_mine(slot.slot);
                self.store.slots().iter().filter(|slot| mine(slot)).count()
            }
        }
    }
}

/// Every slot is served by one of them.
pub(super) fn whole<'a>(members: impl IntoIterator<Item = &'a Member>) -> bool {
    members.into_iter().map(Member::serves).sum::<usize>() == usize::from(SLOTS)
}
