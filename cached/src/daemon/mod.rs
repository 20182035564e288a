//! Builds the parts of one process and joins them; starts and stops them in the
//! order in which they stand here, top to bottom.

mod core;
pub mod dev;
mod reload;
mod resident;
mod resp;
mod security;
mod settings;
mod signals;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cached_client::connections::Dialer;
use cached_proto::types::NodeName;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::cluster::view::ViewCell;
use crate::cluster::{Cluster, StartError};
use crate::config::{Config, ConfigError, RegistrySettings};
use crate::frontend::server::Listener;
use crate::getter::Origin;
use crate::registry::{self, EmbeddedRegistry, Registry, RegistryError};
use crate::store::Store;
use crate::tasks::Tasks;
use core::Core;
use resp::RespListeners;
use security::Guard;

pub use reload::Reread;
pub use resp::RespAddresses;
pub use signals::StopSignals;
pub use stop::Stopped;

/// How long an embedded registry may take to end: it waits for nobody.
const REGISTRY_STOP: Duration = Duration::from_secs(2);

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot listen.
    #[error("{flag}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting that names it.
        flag: &'static str,
        /// Where.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The cluster does not take it, or the registry does not answer.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// The registry's settings cannot be used.
    #[error("registry: {0}")]
    Registry(#[from] RegistryError),
}

/// What a process is given besides its settings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Time.
    pub clock: Clock,
    /// A registry that several processes' worth of parts share; `None`: the one that
    /// the settings name.
    pub embedded: Option<EmbeddedRegistry>,
    /// How to read the settings again on SIGHUP; `None`: they stay.
    pub reread: Option<Reread>,
    /// The process is this one node and nothing else, so `--memory` bounds all of it.
    pub owns_process: bool,
}

/// What joins a process to others in place of the system's network: a simulation
/// brings its own.
pub struct Network<L> {
    /// Accepts connections.
    pub listener: L,
    /// Where it listens.
    pub address: SocketAddr,
    /// Connects to others; `None`: TCP.
    pub dialer: Option<Dialer>,
    /// Where the cluster meets.
    pub registry: Registry,
    /// Where misses are loaded from, if the settings want it; `None`: where they say.
    pub origin: Option<Arc<dyn Origin>>,
}

impl<L> std::fmt::Debug for Network<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("address", &self.address)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            embedded: None,
            reread: None,
            owns_process: false,
        }
    }
}

/// A running node or gateway.
#[derive(Debug)]
pub struct Daemon {
    /// The member's name; `None`: a gateway.
    pub name: Option<NodeName>,
    /// Where it listens.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where it listens for clients of the Redis protocol.
    pub resp: RespAddresses,
    /// What it knows of its cluster.
    pub view: Arc<ViewCell>,
    /// For people: where the cluster meets.
    pub registry: String,
    tasks: Tasks,
    cluster: Cluster,
    store: Arc<Store>,
    clock: Clock,
    drain_deadline: Duration,
}

impl Daemon {
    /// Builds and starts everything; returns when it is registered and listens.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartupError> {
        let tasks = Tasks::new();
        let started = Self::build(config, surroundings, &tasks).await;
        end_unless_started(started, &tasks).await
    }

    /// The same over another network. Nothing is ever read again.
    pub async fn start_on<L: Listener>(
        config: Config,
        network: Network<L>,
        clock: Clock,
    ) -> Result<Self, StartupError> {
        let tasks = Tasks::new();
        let started = match Guard::load(&config).await {
            Ok(guard) => {
                let none = RespListeners::none();
                Self::assemble(config, guard, (network, none), clock, &tasks)
                    .await
                    .map(|(daemon, core)| {
                        core.start_loops(&daemon.cluster);
                        daemon
                    })
            }
            Err(error) => Err(error.into()),
        };
        end_unless_started(started, &tasks).await
    }

    async fn build(
        config: Config,
        surroundings: Surroundings,
        tasks: &Tasks,
    ) -> Result<Self, StartupError> {
        let Surroundings {
            clock,
            embedded,
            reread,
            owns_process,
        } = surroundings;
        let guard = Guard::load(&config).await?;
        let listener = listen(&config).await?;
        let address = listener
            .local_addr()
            .map_err(|source| listen_error(&config, source))?;
        let resp = RespListeners::bind(&config.resp).await?;
        let network = Network {
            listener,
            address,
            dialer: None,
            origin: None,
            registry: registry_of(&config, &clock, embedded, tasks).await?,
        };
        let network = (network, resp);
        let (daemon, core) = Self::assemble(config, guard, network, clock, tasks).await?;
        core.start_loops(&daemon.cluster);
        core.reload_when_told(reread);
        if owns_process {
            core.bound_process();
        }
        Ok(daemon)
    }

    async fn assemble<L: Listener>(
        config: Config,
        guard: Guard,
        (network, resp): (Network<L>, RespListeners<L>),
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<(Self, Core), StartupError> {
        let Network {
            listener,
            address,
            dialer,
            registry,
            origin,
        } = network;
        let described = describe(&registry);

        let core = Core::new(config, Arc::new(guard), dialer, clock, tasks.clone());
        let router = core.router(origin)?;
        let resp_addresses = resp.addresses();
        let member = settings::member_record(&core.config, address, resp_addresses, &core.clock)?;
        let name = member.as_ref().map(|member| member.id.name.clone());
        let cluster = core.join_cluster(registry, member).await?;
        let frontends = core.frontends(router, &cluster, name.clone());
        core.listen_resp(resp, &frontends);
        core.listen(listener, core.app(frontends));
        let daemon = Self {
            name,
            address,
            scheme: if core.config.security.tls.is_some() {
                "https"
            } else {
                "http"
            },
            resp: resp_addresses,
            view: core.view.clone(),
            registry: described,
            tasks: core.tasks.clone(),
            cluster,
            store: core.store.clone(),
            clock: core.clock.clone(),
            drain_deadline: core.config.limits.drain_deadline,
        };
        Ok((daemon, core))
    }

    /// Resolves when the cluster turns out not to take this process after all, with
    /// the reason for people: stop it then. Cancel-safe.
    pub async fn refused(&self) -> String {
        self.cluster.refused().await
    }

    /// Resolves when an operator has asked this member to leave: stop it then. Cancel-safe.
    pub async fn asked_to_leave(&self) {
        self.cluster.asked_to_leave().await;
    }
}

/// What runs already must not outlive a start that failed.
async fn end_unless_started(
    started: Result<Daemon, StartupError>,
    tasks: &Tasks,
) -> Result<Daemon, StartupError> {
    if started.is_err() {
        tasks.stop_within(Duration::from_secs(1)).await;
    }
    started
}

async fn listen(config: &Config) -> Result<TcpListener, StartupError> {
    let host = config
        .listen
        .host
        .trim_start_matches('[')
        .trim_end_matches(']');
    TcpListener::bind((host, config.listen.port))
        .await
        .map_err(|source| listen_error(config, source))
}

fn listen_error(config: &Config, source: std::io::Error) -> StartupError {
    let address = format!("{}:{}", config.listen.host, config.listen.port);
    let flag = "--port";
    StartupError::Listen {
        flag,
        address,
        source,
    }
}

async fn registry_of(
    config: &Config,
    clock: &Clock,
    embedded: Option<EmbeddedRegistry>,
    tasks: &Tasks,
) -> Result<Registry, StartupError> {
    if let Some(shared) = embedded {
        return Ok(Registry::embedded(&shared).await?);
    }
    if config.registry == RegistrySettings::Embedded {
        return Ok(Registry::embedded(&EmbeddedRegistry::start(clock, tasks)).await?);
    }
    let registry = registry::connect(&config.registry).await?;
    registry.ok_or_else(|| RegistryError::Invalid("no registry is named".to_owned()).into())
}

fn describe(registry: &Registry) -> String {
    match registry.endpoints() {
        endpoints if endpoints.is_empty() => registry.kind().to_owned(),
        endpoints => format!("{} {}", registry.kind(), endpoints.join(",")),
    }
}
