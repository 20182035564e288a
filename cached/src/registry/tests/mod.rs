//! The registry as a whole: the suite on both kinds, and etcd in trouble.

mod access;
mod trouble;

use super::etcd_process::EtcdProcess;
use super::suite::{EXPECTED, run_suite};
use super::{EmbeddedRegistry, Registry};
use crate::clock::Clock;
use crate::tasks::Tasks;

fn check(seen: &[(&'static str, String)]) {
    for (index, (what, seen)) in seen.iter().enumerate() {
        let expected = EXPECTED.get(index).copied().unwrap_or(("the end", ""));
        assert_eq!((*what, seen.as_str()), expected, "observation {index}");
    }
    assert_eq!(seen.len(), EXPECTED.len());
}

#[tokio::test(start_paused = true)]
async fn the_embedded_registry_does_what_any_must() {
    let tasks = Tasks::new();
    let server = EmbeddedRegistry::start(&Clock::tokio(0), &tasks);
    let registry = Registry::embedded(&server).await.unwrap();
    check(&run_suite(&registry).await);
}

#[tokio::test]
async fn etcd_does_what_any_must() {
    let Some(etcd) = EtcdProcess::start().await else {
        return;
    };
    check(&run_suite(&etcd.registry().await).await);
}
