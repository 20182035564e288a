//! The load with a memory: finds nothing in a healthy cluster, and finds what is wrong.

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::etcd;
use cached_tests::load::{Load, LoadOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_load_finds_nothing_wrong_and_everything_that_is() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let client = cluster.client().await;
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    load.begin("steady");
    // Long enough for every worker's turn.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let report = load.finish().await;
    report.assert_clean();
    let steady = report.phase("steady");
    assert!(steady.writes > 300, "{}", report.table());
    assert_eq!(report.phase("verify").gets, 20_000);

    // Behind its back: one entry goes, one comes back in its first version.
    let options = LoadOptions {
        prefix: "other".to_owned(),
        entries: 800,
        delete_percent: 0,
        ..LoadOptions::default()
    };
    let mut load = Load::fill(&client, &options).await;
    let first = client.get("other-1-7").await.unwrap().unwrap();
    load.begin("steady");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    load.rest().await;
    client.delete("other-0-5").await.unwrap();
    client.set("other-1-7", first.value, None).await.unwrap();
    client.set("other-2-9", "nonsense", None).await.unwrap();
    let report = load.finish().await;
    let verify = report.phase("verify");
    assert_eq!(
        (verify.lost, verify.stale, verify.wrong, verify.errors),
        (1, 1, 1, 0),
        "{}",
        report.table()
    );
    assert_eq!(verify.lost_keys, ["other-0-5"]);
}
