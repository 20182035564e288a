//! Slots that come in over a real connection: sender, wire and receiver as they are.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cached_client::connections::{ConnectOptions, Connections};
use cached_proto::failure::FailureCode;
use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, Incarnation, Key, Slot};
use futures_util::stream;

use super::{World, failure};
use crate::clock::WallMs;
use crate::cluster::view::ViewCell;
use crate::frontend::PeerCertificate;
use crate::operator::fixture::{self, meta};
use crate::peers::grpc::GrpcPeers;
use crate::peers::{Identity, Peer};
use crate::registry::Record;
use crate::store::{Executed, GroupSettings, Store, StoreConfig};
use crate::transfer::Told;
use crate::transfer::order::{MoveEnd, MoveId, MoveNews, MoveOrder};
use crate::transfer::testing::transfers;

const NOW: WallMs = WallMs(1_700_000_000_000);

/// The store of n2, with two slots of which one holds a value of the largest size.
fn store() -> Arc<Store> {
    let store = Store::new(StoreConfig {
        shards: 2,
        memory_bytes: 64 << 20,
    });
    let group = store.set_group(
        &fixture::group("default-group").name,
        GroupSettings::default(),
    );
    for (number, bytes) in [(6400, super::VALUE_BYTES_MAX), (6401, 10)] {
        let slot = Slot::new(number).unwrap();
        store.open_slot(slot, Epoch(1));
        for entry in 0..100 {
            let set = Operation::Set {
                key: Key::new(format!("key{entry}")).unwrap(),
                value: vec![b'v'; bytes].into(),
                ttl: None,
                condition: Condition::Always,
            };
            store.execute(slot, group, &set, NOW).unwrap();
        }
    }
    Arc::new(store)
}

#[tokio::test]
async fn slots_arrive_over_a_connection_that_is_never_cut_short() {
    let mut world = World::new();
    // A stream is no message: it may take longer than one.
    let parts = Arc::get_mut(&mut world.parts).expect("not shared yet");
    parts.limits.body_timeout = Duration::from_micros(1);
    let address = world.serve(PeerCertificate(false)).await.to_string();
    let mut seen = fixture::view(&["n1", "n2", "n3"]);
    seen.me = Some(1);
    let ids: Vec<_> = seen
        .members
        .iter()
        .map(|member| member.id.clone())
        .collect();
    let identity = Identity {
        id: Some(ids[1].clone()),
        cluster: "test".to_owned(),
        cluster_uuid: Some(meta().cluster_uuid),
    };
    let peers = GrpcPeers::new(
        Connections::new(ConnectOptions::default()),
        Arc::new(ArcSwap::from_pointee(identity)),
        world.node.clock.clone(),
        world.node.tasks.clone(),
    );
    let (store, view) = (store(), ViewCell::new(false));
    view.publish(seen);
    let (sender, mut told) = transfers(&store, &view, &world.node.clock, &world.node.tasks, peers);
    let slots: Vec<_> = [6400, 6401].map(|number| Slot::new(number).unwrap()).into();
    let id = MoveId {
        page: PageIndex::of(slots[0]),
        attempt: 3,
    };
    sender.start(MoveOrder {
        id: id.clone(),
        operation: "op-00000001".to_owned(),
        slots: slots.iter().map(|slot| (*slot, Epoch(1))).collect(),
        to: Peer {
            id: ids[0].clone(),
            address,
        },
        shed: false,
        haste: false,
        planned: slots.clone(),
    });
    let news = async |told: &mut tokio::sync::mpsc::Receiver<Told>| match told.recv().await {
        Some(Told::Move { news, .. }) => news,
        other => panic!("{other:?}"),
    };
    assert_eq!(news(&mut told).await, MoveNews::CaughtUp);
    sender.seal(&id);
    let sealed = news(&mut told).await;
    assert!(
        matches!(&sealed, MoveNews::Sealed(counts) if counts.keys == 200),
        "{sealed:?}"
    );
    let page = Record {
        key: "table/100".to_owned(),
        value: "{}".into(),
        create_revision: 1,
        mod_revision: 2,
        lease: 0,
    };
    sender.end(&id, MoveEnd::Committed(page));
    let node = &world.node;
    let group = node
        .store
        .group(&fixture::group("default-group").name)
        .unwrap();
    for (slot, bytes) in slots.iter().zip([super::VALUE_BYTES_MAX, 10]) {
        let container = node.transfers.take_staged(*slot, 3).unwrap();
        node.store.activate(*slot, container, Epoch(2)).unwrap();
        let get = Operation::Get {
            key: Key::new("key99").unwrap(),
            metadata_only: false,
            no_load: true,
        };
        let got = node.store.execute(*slot, group, &get, NOW).unwrap();
        let Executed::Reply(Reply::Get(Some(entry))) = got else {
            panic!("{got:?}")
        };
        assert_eq!(entry.value.len(), bytes);
    }
}

#[tokio::test]
async fn a_stream_that_no_member_begins_is_refused() {
    let world = World::new();
    let mut peer = PeerClient::new(world.channel().await);
    let header = |cluster: &str| pb::Header {
        cluster: cluster.to_owned(),
        cluster_uuid: meta().cluster_uuid.to_string(),
        name: "n2".to_owned(),
        incarnation: Incarnation(2).to_string(),
        to: Incarnation(1).to_string(),
        ..Default::default()
    };
    let offer = |header| {
        let offer = pb::MoveOffer {
            header,
            ..Default::default()
        };
        pb::move_request::Step::Offer(offer)
    };
    let aborted = pb::move_request::Step::Aborted(pb::MoveAborted::default());
    for (step, word) in [
        (Some(aborted), "must be an offer"),
        (None, "must be an offer"),
        (Some(offer(None)), "header"),
        (Some(offer(Some(header("prod")))), "cluster"),
    ] {
        let request = pb::MoveRequest { step };
        let mut answers = peer
            .r#move(stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        let status = answers.message().await.unwrap_err();
        let failure = failure(&status);
        assert_eq!(failure.code, FailureCode::Invalid);
        assert!(failure.message.contains(word), "{failure}");
    }
    // An offer of nothing is read, and declined.
    let request = pb::MoveRequest {
        step: Some(offer(Some(header("test")))),
    };
    let mut answers = peer
        .r#move(stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .and_then(|answer| answer.step);
    assert!(
        matches!(&answer, Some(pb::move_response::Step::Refused(_))),
        "{answer:?}"
    );
    assert_eq!(answers.message().await.unwrap(), None);
}
