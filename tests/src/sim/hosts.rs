//! The hosts of a simulation: the registry and the nodes, each the product's own code.

use std::sync::Arc;
use std::time::Duration;

use cached::clock::Clock;
use cached::config::layers::merge;
use cached::config::raw::RawConfig;
use cached::config::{Config, Role};
use cached::daemon::{Daemon, Network};
use cached::faults::Pauses;
use cached::registry::EmbeddedRegistry;
use cached::tasks::Tasks;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tonic::transport::{Channel, Endpoint, Uri};
use turmoil::net::TcpStream;

use super::meddler::Meddler;
use super::net;
use super::origin::Simulated;
use super::scene::{EPOCH_MS, LOADED_GROUP, Life, NodeSlot, PLAIN_GROUP, Scene, now};

/// A supervisor starts a process again after so long.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The time of this host.
fn clock(skew_ms: i64) -> Clock {
    Clock::tokio(EPOCH_MS + now() / 1_000).with_wall_offset_ms(skew_ms)
}

/// The registry: the embedded one, behind one meddler for each host that connects.
pub async fn registry(scene: Arc<Scene>) -> turmoil::Result {
    let registry = EmbeddedRegistry::start(&clock(0), &Tasks::new());
    let listener = net::listen(net::REGISTRY_PORT).await?;
    loop {
        let (stream, from) = listener.accept().await?;
        let meddler = Meddler::new(inside(&registry), scene.switch(from.ip()));
        tokio::spawn(serve(stream, meddler));
    }
}

/// A channel inside the registry's host.
fn inside(registry: &EmbeddedRegistry) -> Channel {
    let registry = registry.clone();
    Endpoint::from_static("http://registry").connect_with_connector_lazy(tower::service_fn(
        move |_: Uri| {
            let registry = registry.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 << 10);
                registry.accept(far).await?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        },
    ))
}

async fn serve(stream: TcpStream, meddler: Meddler) {
    let router = axum::Router::new().fallback_service(meddler);
    let served = auto::Builder::new(TokioExecutor::new())
        .http2_only()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(error, "a connection to the registry ended");
    }
}

/// A node, for as long as its host runs.
pub async fn node(scene: Arc<Scene>, slot: Arc<NodeSlot>) -> turmoil::Result {
    slot.set_life(Life::Starting);
    let daemon = loop {
        let (listener, address) = net::node_port().await?;
        let network = Network {
            listener,
            address,
            dialer: Some(slot.wires.dialer()),
            registry: net::registry(),
            origin: Some(Arc::new(Simulated(scene.clone()))),
        };
        let config = config_of(&scene, &slot);
        let clock = clock_of(&scene, &slot);
        match Daemon::start_on(config, network, clock).await {
            Ok(daemon) => break daemon,
            Err(error) => {
                tracing::info!(node = %slot.name, %error, "did not start");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
        }
    };
    slot.set_life(Life::Running(daemon.view.clone()));
    scene.trace(("started", slot.name.as_str()));
    let refused = tokio::select! {
        biased;
        () = slot.leave.notified() => None,
        () = daemon.asked_to_leave() => None,
        why = daemon.refused() => Some(why),
    };
    if let Some(why) = refused {
        scene.problem(format!("{} was refused: {why}", slot.name));
    }
    let stopped = daemon.stop(std::future::pending()).await;
    slot.set_life(Life::Left);
    tracing::info!(node = %slot.name, ?stopped, "left");
    scene.trace((
        "left",
        slot.name.as_str(),
        stopped.entries_left_behind,
        stopped.tasks_left.len(),
    ));
    Ok(())
}

/// The time of a node.
fn clock_of(scene: &Scene, slot: &Arc<NodeSlot>) -> Clock {
    let clock = clock(slot.skew_ms);
    if !scene.setting.profile.pauses {
        return clock;
    }
    let slot = slot.clone();
    clock.with_pauses(Pauses::new(move || slot.next_pause()))
}

fn config_of(scene: &Scene, slot: &NodeSlot) -> Config {
    let setting = &scene.setting;
    let loads = setting.profile.loads;
    let raw = RawConfig {
        name: Some(slot.name.to_string()),
        port: Some(net::NODE_PORT),
        host: Some("0.0.0.0".into()),
        advertise: Some(format!("{}:{}", slot.name, net::NODE_PORT)),
        insecure: Some(true),
        cluster: Some(Scene::cluster().to_string()),
        expect: Some(setting.nodes),
        etcd: Some(vec!["registry:2379".into()]),
        mode: Some(setting.mode.to_string()),
        retries: Some(setting.retries),
        heartbeat: Some(format!("{}s", setting.heartbeat.as_secs())),
        groupname: Some(if loads { LOADED_GROUP } else { PLAIN_GROUP }.into()),
        enable_getter: Some(loads),
        request_timeout: Some(format!("{}s", setting.patience.as_secs())),
        join_delay: Some(format!("{}ms", setting.join_delay.as_millis())),
        // Ten slow messages: a registry that is well passes for quick.
        seal_budget: Some(format!("{}ms", 10 * setting.latency.as_millis())),
        drain_deadline: Some("20s".into()),
        memory: Some("64MiB".into()),
        max_value: Some("64KiB".into()),
        ..RawConfig::default()
    };
    let layers = merge(None, [], &raw).unwrap();
    let config = Config::check(&layers).unwrap();
    debug_assert!(matches!(config.role, Role::Node { .. }));
    config
}
