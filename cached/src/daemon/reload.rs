//! What SIGHUP changes without a restart: tokens, certificates, bounds, the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_client::connections::Connections;

use super::security::Guard;
use super::settings::breaker_config;
use crate::blacklist::Breakers;
use crate::config::{Config, ConfigError};
use crate::store::Store;
use crate::telemetry;

/// Settings that take effect on SIGHUP; tokens and certificates are files, and are
/// read again whatever the settings say.
const TAKE_EFFECT: [&str; 4] = ["memory", "blacklist-after", "blacklist-for", "log"];

/// How much is evicted at a time: 10,000 of the smallest entries, a few milliseconds.
const EVICT_BYTES: u64 = 1024 * 1024;

/// Reads the settings again, as the process did at its start.
#[derive(Clone)]
pub struct Reread(Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>);

impl Reread {
    /// By this function.
    pub fn new(read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl std::fmt::Debug for Reread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reread")
    }
}

/// What can be changed while the process runs.
#[derive(Debug)]
pub(super) struct Reloadable {
    pub(super) guard: Arc<Guard>,
    pub(super) connections: Connections,
    pub(super) store: Arc<Store>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) reread: Option<Reread>,
    /// The settings in force.
    pub(super) config: Config,
}

impl Reloadable {
    /// Takes over what can be; what cannot be used leaves the old in force.
    pub(super) async fn reload(&mut self) {
        self.guard.reload(&self.connections).await;
        let Some(reread) = &self.reread else {
            tracing::info!("the settings themselves are not read again in `cached dev`");
            return;
        };
        let config = match (reread.0)() {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("settings stay as they were: {error}");
                return;
            }
        };
        if let Err(error) = telemetry::set_filter(&config.log) {
            tracing::error!("the log's filter stays as it was: {error}");
        }
        set_memory(&self.store, config.limits.memory_bytes).await;
        self.breakers.set_config(breaker_config(&config));
        let changed = changed(&self.config, &config);
        let (now, later): (Vec<_>, Vec<_>) = changed
            .into_iter()
            .partition(|name| TAKE_EFFECT.contains(&name.as_str()));
        tracing::info!(changed = now.join(","), "settings read again");
        if !later.is_empty() {
            tracing::warn!(
                settings = later.join(","),
                "changed, and need a restart to take effect"
            );
        }
        self.config = config;
    }
}

/// Changes the store's bound; a lower one step by step, because evicting gigabytes in
/// one go would keep a runtime's thread from everything else.
async fn set_memory(store: &Store, bytes: u64) {
    while store.memory_bytes() > bytes {
        let step = store.memory_bytes().saturating_sub(EVICT_BYTES);
        store.set_memory_bytes(step.max(bytes));
        tokio::task::yield_now().await;
    }
    store.set_memory_bytes(bytes);
}

/// Names of the settings that differ.
fn changed(old: &Config, new: &Config) -> Vec<String> {
    let nowhere = BTreeMap::new();
    let (old, new) = (old.describe(&nowhere), new.describe(&nowhere));
    let old: Vec<&str> = old.lines().collect();
    new.lines()
        .filter(|line| !old.contains(line))
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;
    use crate::config::raw::RawConfig;

    fn config(memory: &str, port: u16) -> Config {
        let raw = RawConfig {
            memory: Some(memory.to_owned()),
            port: Some(port),
            ..RawConfig::default()
        };
        Config::check(&Layers {
            raw,
            origins: BTreeMap::new(),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn memory_is_lowered_in_steps_between_which_others_run() {
        let store = Store::new(crate::store::StoreConfig {
            shards: 1,
            memory_bytes: 3 * EVICT_BYTES,
        });
        let between = async { store.memory_bytes() };
        let ((), seen) = tokio::join!(set_memory(&store, EVICT_BYTES / 2), between);
        assert_eq!(seen, 2 * EVICT_BYTES);
        assert_eq!(store.memory_bytes(), EVICT_BYTES / 2);
        set_memory(&store, 5 * EVICT_BYTES).await;
        assert_eq!(store.memory_bytes(), 5 * EVICT_BYTES);
    }

    #[test]
    fn changes_are_named() {
        let old = config("1GiB", 8001);
        assert!(changed(&old, &old).is_empty());
        assert_eq!(changed(&old, &config("2GiB", 8001)), ["memory"]);
        let more = changed(&old, &config("2GiB", 8005));
        assert!(
            more.contains(&"port".to_owned()) && more.contains(&"memory".to_owned()),
            "{more:?}"
        );
    }
}
