//! etcd frozen, killed, started again, or one of several endpoints gone.

use std::net::TcpListener;
use std::time::Duration;

use crate::registry::etcd_process::{EtcdProcess, TIMEOUT, pause};
use crate::registry::{EtcdOptions, Range, Record, Registry, RegistryError, Txn, Watch, Write};

/// Recovery takes milliseconds, or a connection's keep-alive; this is for a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

fn put(key: &str) -> Txn {
    let write = Write::Put {
        key: key.into(),
        value: "1".into(),
        lease: 0,
    };
    Txn {
        compares: Vec::new(),
        writes: vec![write],
    }
}

/// Ends within the call's own timeout, some slack added, and not well.
async fn fails<T>(call: impl Future<Output = Result<T, RegistryError>>) -> RegistryError {
    let answer = tokio::time::timeout(TIMEOUT * 2, call).await;
    answer
        .expect("the call ends by itself")
        .map(|_| ())
        .expect_err("nobody can have answered")
}

/// Calls until it works again; what was put is there.
async fn works_again(registry: &Registry, key: &str) -> Record {
    let again = async {
        while registry.txn(put(key)).await.is_err() {
            pause(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, again)
        .await
        .expect("it works again");
    registry
        .read(Range::Key(key.into()))
        .await
        .unwrap()
        .records
        .remove(0)
}

async fn ends(mut watch: Watch) {
    let end = async { while watch.next().await.is_ok() {} };
    tokio::time::timeout(WAIT_MAX, end)
        .await
        .expect("the watch ends by itself");
}

#[tokio::test]
async fn calls_end_while_etcd_is_frozen_and_work_afterwards() {
    let Some(etcd) = EtcdProcess::start().await else {
        return;
    };
    let registry = etcd.registry().await;
    let (lease, _) = registry.grant(Duration::from_secs(60)).await.unwrap();
    let watch = registry.watch("k", 0).await.unwrap();
    etcd.freeze();
    let (write, read, kept) = tokio::join!(
        fails(registry.txn(put("k"))),
        fails(registry.read(Range::Key("k".into()))),
        fails(registry.keep_alive(lease)),
    );
    assert!(
        matches!(write, RegistryError::Unknown(_)),
        "it may still land: {write}"
    );
    for error in [read, kept] {
        assert!(matches!(
            error,
            RegistryError::Unknown(_) | RegistryError::Unavailable(_)
        ));
    }
    ends(watch).await;
    etcd.thaw();
    works_again(&registry, "k").await;
    registry.keep_alive(lease).await.unwrap();
    let mut watch = registry.watch("k", 1).await.unwrap();
    watch.next().await.unwrap();
}

#[tokio::test]
async fn everything_works_again_after_a_restart() {
    let Some(mut etcd) = EtcdProcess::start().await else {
        return;
    };
    let registry = etcd.registry().await;
    let (lease, _) = registry.grant(Duration::from_secs(60)).await.unwrap();
    let watch = registry.watch("k", 0).await.unwrap();
    registry.keep_alive(lease).await.unwrap();
    etcd.kill();
    ends(watch).await;
    let error = fails(registry.txn(put("k"))).await;
    assert!(
        matches!(error, RegistryError::Unavailable(_)),
        "nobody listens: {error}"
    );
    // Connects only now, to nobody.
    let late = etcd.registry().await;
    let error = fails(late.read(Range::Key("k".into()))).await;
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
    etcd.restart().await;
    for registry in [registry, late] {
        let record = works_again(&registry, "k").await;
        registry.keep_alive(lease).await.unwrap();
        let mut watch = registry.watch("k", record.mod_revision).await.unwrap();
        assert_eq!(watch.next().await.unwrap().revision, record.mod_revision);
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let Some(etcd) = EtcdProcess::start().await else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free.local_addr().unwrap().to_string();
    drop(free);
    let registry = with_first(dead, &etcd).await;
    // Not even the first write fails: that it was not sent is proved.
    registry.txn(put("k")).await.unwrap();
    registry.read(Range::Key("k".into())).await.unwrap();
    registry.watch("k", 1).await.unwrap().next().await.unwrap();
}

#[tokio::test]
async fn a_silent_endpoint_is_passed_over() {
    let Some(etcd) = EtcdProcess::start().await else {
        return;
    };
    // The kernel accepts connections for it, nobody answers on them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let registry = with_first(address.clone(), &etcd).await;
    registry.read(Range::Key("k".into())).await.unwrap();
    registry.txn(put("k")).await.unwrap();

    let registry = with_first(address, &etcd).await;
    let error = fails(registry.txn(put("k"))).await;
    assert!(
        matches!(error, RegistryError::Unknown(_)),
        "it was sent: {error}"
    );
    registry.txn(put("k")).await.unwrap();
}

async fn with_first(endpoint: String, etcd: &EtcdProcess) -> Registry {
    let mut options: EtcdOptions = etcd.options();
    options.endpoints.insert(0, endpoint);
    Registry::etcd(options).await.unwrap()
}
