//! The parts of one process that the others are joined to, and how they are joined.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cached_client::connections::{ConnectOptions, Connections, Dialer};
use cached_proto::records::{MemberRecord, Mode};
use cached_proto::types::NodeName;
use rand::Rng;

use super::reload::{Reloadable, Reread};
use super::security::Guard;
use super::{StartupError, resident, settings, signals};
use crate::blacklist::Breakers;
use crate::clock::Clock;
use crate::cluster::view::ViewCell;
use crate::cluster::{Cluster, ClusterParts, StartError};
use crate::config::{ClientAuth, Config};
use crate::counters::Counters;
use crate::frontend::rest::App;
use crate::frontend::server::{Listener, ServerConfig, ServerParts, serve};
use crate::frontend::{FrontendParts, Limits, grpc, rest};
use crate::getter::Origin;
use crate::hotkeys::HotKeys;
use crate::journal::{Journal, Note, Severity, Watched, watch};
use crate::operator::{Operator, OperatorParts};
use crate::parking::Parking;
use crate::peers::grpc::GrpcPeers;
use crate::peers::{Identity, Peers};
use crate::recent::{self, Recent};
use crate::registry::Registry;
use crate::requests::Requests;
use crate::router::{Router, RouterParts, follow_groups};
use crate::store::{Store, StoreConfig};
use crate::sweeper;
use crate::tasks::{Stop, Tasks};
use crate::transfer::{Told, TransferParts, Transfers};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Shards of a store: enough that two threads seldom meet in one, few enough that
/// each has a fair part of the memory.
const SHARDS: usize = 16;

/// What nearly every other part works with.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) guard: Arc<Guard>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) view: Arc<ViewCell>,
    counters: Arc<Counters>,
    requests: Arc<Requests>,
    recent: Arc<Recent>,
    breakers: Arc<Breakers>,
    hot: Arc<HotKeys>,
    journal: Arc<Journal>,
    pub(super) store: Arc<Store>,
    connections: Connections,
    identity: Arc<ArcSwap<Identity>>,
    peers: Arc<dyn Peers>,
    parking: Arc<Parking>,
    transfers: Arc<Transfers>,
    /// What transfers tell, until the cluster's part listens.
    told: Mutex<Option<mpsc::Receiver<Told>>>,
}

impl Core {
    /// Builds them; starts nothing.
    pub(super) fn new(
        config: Config,
        guard: Arc<Guard>,
        dialer: Option<Dialer>,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let memory_bytes = config.limits.memory_bytes;
        let connections = Connections::new(ConnectOptions {
            dialer,
            ..guard.connect_options(&config)
        });
        let identity = Arc::new(ArcSwap::from_pointee(Identity {
            id: None,
            cluster: config.cluster.name.to_string(),
            cluster_uuid: None,
        }));
        let view = ViewCell::new(config.cluster.mode == Mode::Strict);
        let counters: Arc<Counters> = Arc::default();
        let store = Arc::new(Store::new(StoreConfig {
            shards: SHARDS,
            memory_bytes,
        }));
        let peers = GrpcPeers::new(
            connections.clone(),
            identity.clone(),
            clock.clone(),
            tasks.clone(),
        );
        let parking: Arc<Parking> = Arc::default();
        let (transfers, told) = Transfers::new(TransferParts {
            store: store.clone(),
            peers: peers.clone(),
            view: view.clone(),
            parking: parking.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        Self {
            view,
            counters,
            requests: Arc::default(),
            recent: Arc::new(Recent::new(clock.now())),
            hot: Arc::new(HotKeys::new(clock.clone())),
            journal: Arc::new(Journal::new(rand::rng().random(), clock.clone())),
            breakers: Breakers::new(settings::breaker_config(&config), clock.clone()),
            store,
            peers,
            parking,
            transfers,
            told: Mutex::new(Some(told)),
            connections,
            identity,
            config,
            guard,
            clock,
            tasks,
        }
    }

    /// Who carries out commands; with the getter, if there is one, which loads from `origin`
    /// or from where the settings say.
    pub(super) fn router(
        &self,
        origin: Option<Arc<dyn Origin>>,
    ) -> Result<Arc<Router>, StartupError> {
        let Self {
            config,
            store,
            clock,
            tasks,
            counters,
            ..
        } = self;
        Ok(Router::new(RouterParts {
            view: self.view.clone(),
            store: store.clone(),
            peers: self.peers.clone(),
            getter: settings::getter_of(config, origin, store, (clock, tasks, counters))?,
            breakers: self.breakers.clone(),
            clock: clock.clone(),
            counters: counters.clone(),
            hot: self.hot.clone(),
            parking: self.parking.clone(),
            limits: settings::router_limits(config),
            seed: rand::rng().random(),
        }))
    }

    /// Registers, and takes part from then on.
    pub(super) async fn join_cluster(
        &self,
        registry: Registry,
        member: Option<MemberRecord>,
    ) -> Result<Cluster, StartError> {
        let told = self.told.lock().take().expect("joined once");
        Cluster::start(ClusterParts {
            config: settings::cluster_config(&self.config, member),
            registry,
            store: self.store.clone(),
            peers: self.peers.clone(),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            view: self.view.clone(),
            counters: self.counters.clone(),
            transfers: self.transfers.clone(),
            told,
            parking: self.parking.clone(),
            seed: rand::rng().random(),
        })
        .await
    }

    /// What all front ends work with.
    pub(super) fn frontends(
        &self,
        router: Arc<Router>,
        cluster: &Cluster,
        name: Option<NodeName>,
    ) -> Arc<FrontendParts> {
        let operator = Operator::new(OperatorParts {
            cluster: Arc::new(cluster.clone()),
            view: self.view.clone(),
            store: self.store.clone(),
            peers: self.peers.clone(),
            counters: self.counters.clone(),
            requests: self.requests.clone(),
            recent: self.recent.clone(),
            breakers: self.breakers.clone(),
            hot: self.hot.clone(),
            journal: self.journal.clone(),
            transfers: self.transfers.clone(),
            parking: self.parking.clone(),
            clock: self.clock.clone(),
            stop: self.tasks.stop_token(),
            cluster_name: self.config.cluster.name.clone(),
            name,
            default_group: self.config.group.clone(),
            getter_enabled: self.config.getter.is_some(),
            started: self.clock.now(),
        });
        Arc::new(FrontendParts {
            router,
            operator: Arc::new(operator),
            auth: self.guard.auth.clone(),
            counters: self.counters.clone(),
            requests: self.requests.clone(),
            clock: self.clock.clone(),
            default_group: self.config.group.clone(),
            limits: Limits {
                value_bytes_max: self.config.limits.value_bytes_max,
                request_timeout: self.config.limits.request_timeout,
                ..Limits::default()
            },
            peers_show_certificates: self.config.security.client_auth != ClientAuth::None,
        })
    }

    /// REST and gRPC as one.
    pub(super) fn app(&self, frontends: Arc<FrontendParts>) -> App {
        let services = grpc::grpc_routes(&frontends);
        rest::app(frontends, services)
    }

    /// How listeners treat their connections, and what they work with.
    pub(super) fn server(&self) -> (ServerConfig, ServerParts) {
        let config = ServerConfig {
            tls: self.guard.tls.clone(),
            connections_max: self.config.limits.connections_max,
            ..ServerConfig::default()
        };
        let parts = ServerParts {
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            counters: self.counters.clone(),
        };
        (config, parts)
    }

    /// Starts to answer on the port.
    pub(super) fn listen(&self, listener: impl Listener, app: App) {
        let (config, server) = self.server();
        self.tasks.spawn("server", |stop| async move {
            let stopped = async move { stop.stopped().await };
            let cut_off = serve(listener, app, config, server, stopped).await;
            if cut_off > 0 {
                tracing::warn!(cut_off, "connections were cut off at the end");
            }
        });
    }

    /// Starts what goes on in the background.
    pub(super) fn start_loops(&self, cluster: &Cluster) {
        let Self {
            tasks,
            view,
            store,
            clock,
            breakers,
            counters,
            journal,
            identity,
            ..
        } = self;
        tasks.spawn("identity", |stop| {
            follow_identity(view.clone(), identity.clone(), cluster.clone(), stop)
        });
        tasks.spawn("groups", |stop| {
            follow_groups(view.clone(), store.clone(), stop)
        });
        let (looks, requests) = (self.recent.clone(), self.requests.clone());
        let (looked, now) = (store.clone(), clock.clone());
        tasks.spawn("recent", |stop| {
            recent::run(looks, looked, requests, now, stop)
        });
        tasks.spawn("sweeper", |stop| {
            sweeper::run(store.clone(), clock.clone(), stop)
        });
        let text = format!("cached {} started", env!("CARGO_PKG_VERSION"));
        journal.note(Note::new(Severity::Info, "started", "", text));
        let watched = Watched {
            view: view.clone(),
            breakers: breakers.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
        };
        tasks.spawn("journal", |stop| watch(watched, journal.clone(), stop));
        tasks.spawn("blacklist", |stop| breakers.clone().sweep_until(stop));
    }

    /// Keeps the process within the store's bound.
    pub(super) fn bound_process(&self) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        self.tasks
            .spawn("memory", |stop| resident::watch(store, clock, stop));
    }

    /// Reads settings, tokens and certificates again whenever a signal says so.
    pub(super) fn reload_when_told(&self, reread: Option<Reread>) {
        let reloadable = Reloadable {
            guard: self.guard.clone(),
            connections: self.connections.clone(),
            store: self.store.clone(),
            breakers: self.breakers.clone(),
            reread,
            config: self.config.clone(),
        };
        self.tasks
            .spawn("reload", |stop| signals::reload(reloadable, stop));
    }
}

/// Keeps what messages to peers are signed with true: the cluster's identity is
/// known only once the registry has said it.
async fn follow_identity(
    view: Arc<ViewCell>,
    identity: Arc<ArcSwap<Identity>>,
    cluster: Cluster,
    stop: Stop,
) {
    let mut seen = view.load_full();
    loop {
        identity.store(Arc::new(cluster.identity()));
        seen = tokio::select! {
            biased;
            () = stop.stopped() => return,
            newer = view.newer_than(seen.number) => newer,
        };
    }
}
