//! What a start refuses, waits for and brings about.

use std::time::Duration;

use cached_proto::records::{MemberState, Mode};
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::SLOTS;

use super::net::{Net, whole};
use crate::cluster::view::Serving;
use crate::cluster::{ClusterConfig, StartError};

const SECOND: Duration = Duration::from_secs(1);

fn refusal<T>(result: Result<T, StartError>) -> String {
    match result {
        Err(StartError::Refused(why)) => why,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("started"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_member_serves_everything() {
    let mut net = Net::new();
    let members = net.members(1, Mode::Available).await;
    let n1 = &members[0];
    assert_eq!(n1.serves(), usize::from(SLOTS));
    assert_eq!(n1.cluster.problems(), Vec::<String>::new());
    assert_eq!(n1.cluster.own_record().unwrap().state, MemberState::Up);
    assert_eq!(n1.counters.slots_lost.get(), 0);
    let status = n1.cluster.registry_status();
    assert_eq!((status.kind, status.unreachable_for), ("embedded", None));
    assert!(n1.cluster.identity().cluster_uuid.is_some() && !n1.cluster.is_gateway());
    let view = n1.view.load();
    assert_eq!(
        view.groups
            .keys()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["default-group"]
    );
    let answer = n1.cluster.on_probe();
    assert!(!answer.fenced && answer.registry_reachable && answer.layout == 1);
}

#[tokio::test(start_paused = true)]
async fn three_bootstrap_when_all_are_there() {
    let mut net = Net::new();
    let config = |net: &Net, name| net.config(name, 3, Mode::Strict);
    let n1 = net.start(config(&net, "n1")).await.unwrap();
    let n2 = net.start(config(&net, "n2")).await.unwrap();
    net.clock.sleep(30 * SECOND).await;
    assert_eq!(n1.serves() + n2.serves(), 0);
    let n3 = net.start(config(&net, "n3")).await.unwrap();
    net.until(5 * SECOND, || whole([&n1, &n2, &n3])).await;
    for member in [&n1, &n2, &n3] {
        assert!((5461..=5462).contains(&member.serves()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_comer_and_a_gateway_own_nothing() {
    let mut net = Net::new();
    let members = net.members(2, Mode::Available).await;
    let late = net
        .start(net.config("n3", 1, Mode::Available))
        .await
        .unwrap();
    let config = ClusterConfig {
        member: None,
        ..net.config("any", 1, Mode::Available)
    };
    let gateway = net.start(config).await.unwrap();
    net.clock.sleep(5 * SECOND).await;
    assert!(whole(&members));
    assert_eq!(
        late.cluster.own_record().unwrap().state,
        MemberState::Joining
    );
    assert_eq!(
        members[0].cluster.problems(),
        ["n3: waits to be given slots"]
    );
    let view = gateway.view.load_full();
    assert!(view.table_loaded && view.me.is_none() && view.members.len() == 3);
    assert_eq!(gateway.view.fence().check(net.clock.now()), Serving::Yes);
    assert!(gateway.cluster.is_gateway() && gateway.cluster.own_record().is_none());
    assert_eq!(gateway.cluster.sign_off(SECOND).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_lives_is_refused() {
    let mut net = Net::new();
    let members = net.members(2, Mode::Available).await;
    let why = refusal(net.start(net.config("n1", 1, Mode::Available)).await);
    assert!(
        why.starts_with("name n1 is taken by a living node at n1:1 (incarnation "),
        "{why}"
    );
    assert!(why.ends_with("choose another --name"), "{why}");
    net.clock.sleep(20 * SECOND).await;
    assert!(whole(&members));
}

#[tokio::test(start_paused = true)]
async fn other_settings_are_refused() {
    let mut net = Net::new();
    let _members = net.members(1, Mode::Available).await;
    let config = net.config("n2", 1, Mode::Available);
    for (config, flag) in [
        (
            ClusterConfig {
                hash: KeyHash::Xxh3,
                ..config.clone()
            },
            "--hash crc16",
        ),
        (
            ClusterConfig {
                mode: Mode::Strict,
                ..config.clone()
            },
            "--mode available",
        ),
        (
            ClusterConfig {
                virtual_nodes: 9,
                ..config
            },
            "--virtual-nodes 50",
        ),
    ] {
        let why = refusal(net.start(config).await);
        assert!(why.contains(flag), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_refused() {
    let mut net = Net::new();
    let _members = net.members(1, Mode::Available).await;
    for (offset, word) in [
        (-700, "700 ms behind that of n1"),
        (900, "900 ms ahead of that of n1"),
    ] {
        let clock = net.clock.clone().with_wall_offset_ms(offset);
        let why = refusal(
            net.start_with(net.config("n2", 1, Mode::Available), clock)
                .await,
        );
        assert!(why.contains(word), "{why}");
    }
    let clock = net.clock.clone().with_wall_offset_ms(499);
    assert!(
        net.start_with(net.config("n2", 1, Mode::Available), clock)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_is_waited_for() {
    let mut net = Net::new();
    net.wire.cut();
    let start = net.clock.now();
    let result = net.start(net.config("n1", 1, Mode::Available)).await;
    assert!(matches!(result, Err(StartError::Registry(_))));
    let took = net.clock.now().since(start);
    assert!(took >= 10 * SECOND && took < 14 * SECOND, "{took:?}");

    let wire = net.wire.clone();
    let clock = net.clock.clone();
    let mend = async move {
        clock.sleep(3 * SECOND).await;
        wire.mend();
    };
    let config = net.config("n1", 1, Mode::Available);
    let (result, ()) = tokio::join!(net.start(config), mend);
    assert!(result.is_ok());
}

/// R18: the next life of a killed member waits for its name and gets its slots back.
#[tokio::test(start_paused = true)]
async fn a_restarted_member_gets_its_slots_back_empty() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Strict).await;
    net.kill(&members[1]).await;
    net.clock.sleep(SECOND).await;
    let start = net.clock.now();
    let again = net.start(net.config("n2", 3, Mode::Strict)).await.unwrap();
    let took = net.clock.now().since(start);
    assert!(
        took >= Duration::from_millis(5_550) && took < 10 * SECOND,
        "{took:?}"
    );
    net.until(8 * SECOND, || whole([&members[0], &again, &members[2]]))
        .await;
    assert!((5461..=5462).contains(&again.serves()));
    assert_eq!(again.counters.slots_lost.get() as usize, again.serves());
    assert_eq!(
        members[0].counters.slots_lost.get() + members[2].counters.slots_lost.get(),
        0
    );
}

/// Everybody dies and comes back under the old names.
#[tokio::test(start_paused = true)]
async fn a_whole_cluster_restarts_empty() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    for member in &members {
        net.kill(member).await;
    }
    net.clock.sleep(2 * SECOND).await;
    let mut again = Vec::new();
    for name in ["n1", "n2", "n3"] {
        again.push(
            net.start(net.config(name, 3, Mode::Available))
                .await
                .unwrap(),
        );
    }
    net.until(20 * SECOND, || whole(&again)).await;
    for member in &again {
        assert!(
            (5461..=5462).contains(&member.serves()),
            "{}",
            member.serves()
        );
    }
    net.clock.sleep(2 * SECOND).await;
    assert_eq!(again[0].cluster.problems(), Vec::<String>::new());
}
