//! An origin that all nodes load from. Whoever changes a value there removes it from the
//! cache: from then on nobody may get the old one (I12).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cached::getter::{LoadFuture, Loaded, Origin};
use cached_proto::types::{GroupName, Key};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::scene::Scene;

/// A load takes at most so long before the value is read, and again after it.
const HALF_LOAD_MAX: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Inner {
    /// The newest value; each is larger than all before it.
    last: u64,
    values: BTreeMap<String, u64>,
    /// Values below these were removed from the cache, and that was acknowledged.
    least: BTreeMap<String, u64>,
    chance: StdRng,
}

/// What the origin holds, and what may be got of it.
#[derive(Debug)]
pub struct Table(Mutex<Inner>);

impl Table {
    /// Every key has a value from the beginning.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Inner {
            last: 1,
            values: BTreeMap::new(),
            least: BTreeMap::new(),
            chance: StdRng::seed_from_u64(seed ^ 0x0419),
        }))
    }

    /// Gives a key a new value.
    pub fn change(&self, key: &str) -> u64 {
        let mut inner = self.0.lock().unwrap();
        inner.last += 1;
        let value = inner.last;
        inner.values.insert(key.to_owned(), value);
        value
    }

    /// What was there before this value is certainly not in the cache any more.
    pub fn removed_before(&self, key: &str, value: u64) {
        let mut inner = self.0.lock().unwrap();
        let least = inner.least.entry(key.to_owned()).or_default();
        *least = value.max(*least);
    }

    /// The least value that a read may bring that begins now.
    pub fn least(&self, key: &str) -> u64 {
        let inner = self.0.lock().unwrap();
        inner.least.get(key).copied().unwrap_or(1)
    }

    fn value(&self, key: &str) -> u64 {
        let inner = self.0.lock().unwrap();
        inner.values.get(key).copied().unwrap_or(1)
    }

    fn pause(&self) -> Duration {
        let mut inner = self.0.lock().unwrap();
        HALF_LOAD_MAX.mul_f64(inner.chance.random::<f64>())
    }
}

/// The origin as nodes ask it.
#[derive(Debug)]
pub struct Simulated(pub Arc<Scene>);

impl Origin for Simulated {
    fn load<'a>(&'a self, _: &'a GroupName, key: &'a Key) -> LoadFuture<'a> {
        let table = &self.0.origin;
        Box::pin(async move {
            tokio::time::sleep(table.pause()).await;
            let value = table.value(&String::from_utf8_lossy(key.as_bytes()));
            tokio::time::sleep(table.pause()).await;
            Ok(Loaded::Value {
                value: value.to_string().into(),
                ttl: None,
                no_store: false,
            })
        })
    }

    fn describe(&self) -> String {
        "simulated".to_owned()
    }
}
