//! A whole cluster in one process: nodes and a gateway that share an embedded
//! registry. For trying out, for tests, and for `make run`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::args::Ports;
use crate::clock::Clock;
use crate::config::layers::Origin;
use crate::config::{
    Config, ConfigError, GATEWAY_PORT, HostPort, NODE_PORT, RegistrySettings, RespSettings, Role,
};
use crate::registry::EmbeddedRegistry;
use crate::tasks::Tasks;
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::NodeName;

use super::{Daemon, StartupError, Stopped, Surroundings};

/// Settings that each node has of its own, or that say where a cluster meets.
const CHOSEN: [&str; 11] = [
    "advertise",
    "etcd",
    "expect",
    "name",
    "port",
    "resp",
    "resp-advertise",
    "resp-cluster",
    "standby",
    "weight",
    "zone",
];

/// Refuses settings that would change nothing, wherever they were written.
pub fn check(origins: &BTreeMap<String, Origin>) -> Result<(), ConfigError> {
    let found = CHOSEN.iter().find_map(|name| origins.get_key_value(*name));
    let Some((name, origin)) = found else {
        return Ok(());
    };
    let problem =
        format!("says nothing in `cached dev`, which chooses it itself (written in: {origin})");
    Err(ConfigError::new(format!("--{name}"), problem))
}

/// Settings that are usually something else here than in a process of its own.
pub fn fill_in(config: &mut Config, origins: &BTreeMap<String, Origin>) {
    if !origins.contains_key("log") {
        // Several processes' worth of joins and plans would bury what to type next.
        config.log.filter = "warn".to_owned();
    }
    if !origins.contains_key("join-delay") {
        // All come at once, and who tries things out does not want to wait.
        config.cluster.join_delay = Duration::ZERO;
    }
}

/// Ports of the first node for clients of the Redis protocol, plain and cluster ones.
const RESP_PORT: u16 = 7001;
const RESP_CLUSTER_PORT: u16 = 7101;

/// A running cluster of one process.
#[derive(Debug)]
pub struct Dev {
    /// The nodes, in the order of their ports.
    pub nodes: Vec<Daemon>,
    /// The gateway in front of them.
    pub gateway: Daemon,
    registry_tasks: Tasks,
}

impl Dev {
    /// Starts `count` nodes and a gateway, all with these settings but for names,
    /// ports and registry.
    pub async fn start(config: Config, count: u16, ports: Ports) -> Result<Self, StartupError> {
        let clock = Clock::system();
        let registry_tasks = Tasks::new();
        let registry = EmbeddedRegistry::start(&clock, &registry_tasks);
        let surroundings = Surroundings {
            clock,
            embedded: Some(registry),
            ..Surroundings::default()
        };
        let mut nodes = Vec::new();
        for number in 0..count {
            let node = node_config(&config, number, count, ports);
            nodes.push(Daemon::start(node, surroundings.clone()).await?);
        }
        let gateway = Daemon::start(gateway_config(&config, ports), surroundings).await?;
        Ok(Self {
            nodes,
            gateway,
            registry_tasks,
        })
    }

    /// Resolves when an operator has asked a node to leave, with its index: stop it then.
    /// Cancel-safe.
    pub async fn asked_to_leave(&self) -> usize {
        let asked = self.nodes.iter().enumerate().map(|(index, node)| {
            Box::pin(async move {
                node.asked_to_leave().await;
                index
            })
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(asked).await.0
    }

    /// Stops everything, the gateway first. Nobody is left who could receive entries.
    pub async fn stop(self) -> Stopped {
        let mut sum = self.gateway.stop_without_drain().await;
        sum.others_were_there = false;
        for node in self.nodes {
            let stopped = node.stop_without_drain().await;
            sum.entries_left_behind += stopped.entries_left_behind;
            sum.tasks_left.extend(stopped.tasks_left);
        }
        sum.tasks_left
            .extend(self.registry_tasks.stop_within(super::REGISTRY_STOP).await);
        sum
    }
}

fn node_config(config: &Config, number: u16, count: u16, ports: Ports) -> Config {
    let mut node = config.clone();
    let name = NodeName::new(format!("n{}", number + 1)).expect("n1 and the like are lawful names");
    node.role = Role::Node {
        name: Some(name),
        weight: 1,
        zone: String::new(),
        standby: false,
    };
    node.listen.port = if ports == Ports::Auto {
        0
    } else {
        NODE_PORT + number
    };
    let listen = |first: u16| HostPort {
        host: config.listen.host.clone(),
        port: if ports == Ports::Auto {
            0
        } else {
            first + number
        },
    };
    // Cluster clients compute slots with the one function that Redis has.
    let crc16 = config.cluster.hash == KeyHash::Crc16;
    node.resp = RespSettings {
        plain: Some(listen(RESP_PORT)),
        cluster: crc16.then(|| listen(RESP_CLUSTER_PORT)),
        advertise: None,
    };
    node.registry = RegistrySettings::Embedded;
    node.cluster.expect = usize::from(count);
    node
}

fn gateway_config(config: &Config, ports: Ports) -> Config {
    let mut gateway = config.clone();
    gateway.role = Role::Gateway;
    gateway.listen.port = if ports == Ports::Auto {
        0
    } else {
        GATEWAY_PORT
    };
    gateway.registry = RegistrySettings::Embedded;
    gateway.getter = None;
    gateway
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_slots_unless_told_to() {
        let told = |origins: BTreeMap<String, Origin>| {
            let raw = crate::config::raw::RawConfig::default();
            let layers = crate::config::layers::Layers { raw, origins };
            let mut config = Config::check(&layers).unwrap();
            fill_in(&mut config, &layers.origins);
            (config.cluster.join_delay, config.log.filter)
        };
        let usual = told(BTreeMap::new());
        assert_eq!(usual, (Duration::ZERO, "warn".to_owned()));
        let written = ["join-delay", "log"].map(|name| (name.to_owned(), Origin::Flag));
        let written = told(written.into());
        assert_eq!(written, (Duration::from_secs(10), "info".to_owned()));
    }

    #[test]
    fn what_would_change_nothing_is_refused() {
        let written = |name: &str| check(&BTreeMap::from([(name.to_owned(), Origin::Flag)]));
        for name in CHOSEN {
            let error = written(name).unwrap_err().to_string();
            let expected = format!("--{name}: says nothing in `cached dev`");
            assert!(error.starts_with(&expected), "{error}");
        }
        for name in [
            "memory",
            "host",
            "token-file",
            "enable-getter",
            "join-delay",
        ] {
            assert_eq!(written(name), Ok(()));
        }
    }
}
