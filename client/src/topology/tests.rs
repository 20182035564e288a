//! Topologies from messages and from records, rows learned in between, locating.

use cached_proto::failure::OwnerHint;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::records::{MemberRecord, MetaRecord};
use cached_proto::registry_keys::RegistryKeys;
use cached_proto::table::{PAGE_ROWS, Page, PageIndex, Row};
use cached_proto::types::SLOTS;

use super::known::LEARNED_MAX;
use super::records::Records;
use super::*;

pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn id(name: &str, inc: u128) -> MemberId {
    MemberId {
        name: NodeName::new(name).unwrap(),
        inc: Incarnation(inc),
    }
}

fn member(name: &str, inc: u128, state: pb::MemberState) -> pb::Member {
    pb::Member {
        name: name.to_owned(),
        incarnation: Incarnation(inc).to_string(),
        address: format!("{name}:1"),
        state: state.into(),
        weight: 1,
        ..pb::Member::default()
    }
}

fn range(first: u32, last: u32, owner: &str, inc: u128, epoch: u64) -> pb::SlotRange {
    let incarnation = Incarnation(inc).to_string();
    pb::SlotRange {
        first,
        last,
        owner: owner.to_owned(),
        epoch,
        incarnation,
    }
}

fn message() -> pb::TopologyResponse {
    pb::TopologyResponse {
        cluster: "prod".to_owned(),
        cluster_uuid: Incarnation(7).to_string(),
        generation: 1,
        layout: 58,
        hash: "crc16".to_owned(),
        virtual_nodes: 50,
        view: 3,
        members: vec![
            member("a", 1, pb::MemberState::Up),
            member("b", 2, pb::MemberState::Up),
            member("c", 3, pb::MemberState::Joining),
        ],
        ranges: vec![range(0, 8191, "a", 1, 1), range(8192, 16383, "b", 2, 1)],
        default_group: "default-group".to_owned(),
        mode: "available".to_owned(),
    }
}

/// a owns the lower half of the slots, b the upper, c waits.
pub(crate) fn topology() -> Topology {
    message().try_into().unwrap()
}

pub(crate) fn known() -> Known {
    Known::new(topology(), ["seed:1".to_owned()].into())
}

pub(crate) fn hint(number: u16, epoch: u64, owner: &str, address: Option<&str>) -> OwnerHint {
    OwnerHint {
        slot: slot(number),
        epoch: Epoch(epoch),
        owner: id(owner, 9),
        address: address.map(str::to_owned),
        also: Vec::new(),
    }
}

#[test]
fn a_message_becomes_members_and_rows() {
    let mut message = message();
    // An owner that is no member, and slots that nobody owns yet.
    message.ranges = vec![range(0, 99, "a", 1, 4), range(100, 199, "a", 99, 2)];
    let topology = Topology::try_from(message).unwrap();
    let shown: Vec<_> = topology
        .members
        .iter()
        .map(|member| (member.id.clone(), member.state, member.slots))
        .collect();
    assert_eq!(
        shown,
        [
            (id("a", 1), Some(MemberState::Up), 100),
            (id("a", 99), None, 100),
            (id("b", 2), Some(MemberState::Up), 0),
            (id("c", 3), Some(MemberState::Joining), 0),
        ]
    );
    assert_eq!(topology.owner(slot(99)).unwrap().0.id, id("a", 1));
    assert_eq!(topology.owner(slot(100)).unwrap().0.id, id("a", 99));
    assert_eq!(topology.owner(slot(199)).unwrap().1, Epoch(2));
    assert!(topology.owner(slot(200)).is_none());
}

#[test]
fn a_message_that_makes_no_sense_is_refused_by_field() {
    type Change = fn(&mut pb::TopologyResponse);
    let table: [(&str, Change); 12] = [
        ("cluster", |it| it.cluster.clear()),
        ("incarnation", |it| it.cluster_uuid = "x".to_owned()),
        ("hash", |it| it.hash = "md5".to_owned()),
        ("mode", |it| it.mode.clear()),
        ("group", |it| it.default_group.clear()),
        ("virtual nodes", |it| it.virtual_nodes = u32::MAX),
        ("node name", |it| it.members[0].name = "/".to_owned()),
        ("member state", |it| it.members[0].state = 77),
        ("members", |it| it.members[1] = it.members[0].clone()),
        ("table", |it| it.ranges[1].first = 8000),
        ("range", |it| it.ranges[0].first = 9000),
        ("slot", |it| it.ranges[1].last = u32::MAX),
    ];
    for (field, change) in table {
        let mut message = message();
        change(&mut message);
        assert_eq!(Topology::try_from(message).unwrap_err().field, field);
    }
}

#[test]
fn rows_that_are_newer_than_a_topology_stay() {
    let mut newer = message();
    newer.ranges = vec![range(0, 99, "d", 4, 5), range(100, 16383, "b", 2, 1)];
    let merged = topology().keep_newer_rows(&newer.clone().try_into().unwrap());
    assert_eq!(merged.owner(slot(50)).unwrap().0.id, id("d", 4));
    assert_eq!(merged.owner(slot(100)).unwrap().0.id, id("a", 1));
    let count = |name| {
        merged
            .members
            .iter()
            .find(|member| member.id == name)
            .unwrap()
            .slots
    };
    assert_eq!(
        (count(id("a", 1)), count(id("d", 4)), count(id("b", 2))),
        (8092, 100, 8192)
    );
    assert_eq!(
        merged
            .members
            .iter()
            .map(|member| member.slots)
            .sum::<u32>(),
        u32::from(SLOTS)
    );

    // Not those of another cluster, nor those from before it was rebuilt.
    let mut other = newer.clone();
    other.cluster_uuid = Incarnation(8).to_string();
    newer.generation = 0;
    for old in [other, newer] {
        let kept = topology().keep_newer_rows(&old.try_into().unwrap());
        assert_eq!(kept.owner(slot(50)).unwrap().0.id, id("a", 1));
    }
}

#[test]
fn only_newer_rows_are_learned() {
    let known = known();
    for (epoch, address, expected) in [
        (2, Some("d:1"), Some(Some(("d:1", Epoch(2))))),
        (2, None, Some(None)),
        (1, Some("d:1"), None),
        (0, Some("d:1"), None),
    ] {
        let learned = known.learn(&hint(5, epoch, "d", address));
        let owner = learned.as_ref().map(|learned| learned.owner(slot(5)));
        assert_eq!(owner, expected, "{epoch} {address:?}");
    }
    // The same epoch counts when it brings the address that was missing.
    let gone = known.learn(&hint(5, 2, "d", None)).unwrap();
    let back = gone.learn(&hint(5, 2, "d", Some("d:1"))).unwrap();
    assert_eq!(back.owner(slot(5)), Some(("d:1", Epoch(2))));
    assert_eq!(back.owner(slot(6)), Some(("a:1", Epoch(1))));
}

#[test]
fn what_is_told_of_slots_beside_it_is_learned_too() {
    let known = known();
    let newer = |number| known.epoch(slot(number)).0 + 1;
    let mut hint = hint(7, newer(7), "z", Some("z:1"));
    hint.also = vec![
        (slot(8), Epoch(newer(8))),
        (slot(9), Epoch(newer(9) - 1)),
        (slot(10), Epoch(newer(10) + 5)),
    ];
    let learned = known.learn(&hint).unwrap();
    let owners = [7, 8, 9, 10].map(|number| learned.owner(slot(number)).unwrap().0 == "z:1");
    assert_eq!(owners, [true, true, false, true]);
    assert!(learned.learn(&hint).is_none());
}

#[test]
fn learned_rows_are_bounded_and_yield_to_newer_topologies() {
    let mut known = known();
    let last = u16::try_from(LEARNED_MAX).unwrap();
    for number in 0..=last {
        known = known.learn(&hint(number, 2, "d", Some("d:1"))).unwrap();
    }
    assert_eq!(known.owner(slot(last)), Some(("d:1", Epoch(2))));
    assert_eq!(
        known.owner(slot(0)),
        Some(("a:1", Epoch(1))),
        "forgotten at the bound"
    );

    let same = known.replace(topology());
    assert_eq!(same.owner(slot(last)), Some(("d:1", Epoch(2))));
    let mut moved = message();
    moved.ranges[0].epoch = 2;
    let moved = known.replace(moved.try_into().unwrap());
    assert_eq!(moved.owner(slot(last)), Some(("a:1", Epoch(2))));
}

#[test]
fn owners_that_are_down_or_gone_are_not_asked() {
    let mut message = message();
    message.members[0].state = pb::MemberState::Gone.into();
    message.members.remove(1);
    let known = Known::new(message.try_into().unwrap(), ["seed:1".to_owned()].into());
    assert_eq!(known.owner(slot(0)), None);
    assert_eq!(known.owner(slot(9000)), None);
    assert_eq!(known.addresses(), ["c:1", "seed:1"]);
}

#[test]
fn any_node_is_a_living_member_then_a_seed_then_anyone() {
    let known = known();
    let words = |words: &str| {
        words
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for (avoid, draw, expected) in [
        ("", 0.0, "a:1"),
        ("", 0.5, "b:1"),
        ("", 0.999, "c:1"),
        ("", 1.0, "c:1"),
        ("a:1", 0.0, "b:1"),
        ("a:1 b:1 c:1", 0.0, "seed:1"),
        ("a:1 b:1 c:1 seed:1", 0.9, "seed:1"),
    ] {
        assert_eq!(
            known.anyone(&words(avoid), draw),
            Some(expected),
            "{avoid} {draw}"
        );
    }
}

#[test]
fn a_key_is_located_with_its_range_and_the_ring() {
    let topology = topology();
    // The published slot of this key.
    let location = topology.locate(&Key::new("123456789").unwrap());
    assert_eq!(location.slot, slot(12739));
    assert_eq!(location.owner.unwrap().id, id("b", 2));
    assert_eq!(location.range, (slot(8192), slot(16383)));
    let mut names: Vec<_> = location
        .next
        .iter()
        .map(|member| member.id.name.as_str())
        .collect();
    let (first, number) = location.virtual_node.unwrap();
    assert_eq!(first.id.name.as_str(), names[0]);
    assert!(number < 50);
    names.sort_unstable();
    assert_eq!(names, ["a", "b"], "a waiting member is not on the ring");
}

#[test]
fn records_become_the_same_topology() {
    let records = records();
    let topology = records.topology().unwrap().unwrap();
    assert_eq!(topology.owner(slot(63)).unwrap().0.id, id("a", 1));
    assert_eq!(topology.owner(slot(63)).unwrap().1, Epoch(3));
    assert!(topology.owner(slot(64)).is_none());
    assert_eq!(topology.members.len(), 1);
    assert_eq!(topology.members[0].slots, 64);
    assert!(Records::default().topology().unwrap().is_none());
}

#[test]
fn records_change_and_go_and_bad_ones_say_which() {
    let keys = RegistryKeys::new(&"prod".parse().unwrap());
    let mut records = records();
    let a = keys.parse(b"/cached/prod/members/a").unwrap();
    let bad = records.apply(a.clone(), Some(b"{")).unwrap_err();
    assert!(
        bad.to_string().starts_with("member a cannot be read"),
        "{bad}"
    );
    assert_eq!(records.members.len(), 1, "a bad record changes nothing");
    records.apply(a, None).unwrap();
    let topology = records.topology().unwrap().unwrap();
    assert_eq!(topology.members[0].state, None, "its rows still name it");

    let planner = keys.parse(b"/cached/prod/planner").unwrap();
    let id = serde_json::to_vec(&id("b", 2)).unwrap();
    for (value, expected) in [(&id[..], Some("b")), (b"n3", Some("n3")), (b"\xff", None)] {
        records.apply(planner.clone(), Some(value)).unwrap();
        assert_eq!(records.planner.as_ref().map(NodeName::as_str), expected);
    }
}

/// One member that owns the first page.
fn records() -> Records {
    let keys = RegistryKeys::new(&"prod".parse().unwrap());
    let meta = MetaRecord {
        cluster: "prod".parse().unwrap(),
        cluster_uuid: Incarnation(7),
        generation: 1,
        mode: Mode::Available,
        replicas: 0,
        algorithm: 1,
        hash: KeyHash::Crc16,
        virtual_nodes: 50,
        created_ms: 0,
    };
    let a = MemberRecord {
        id: id("a", 1),
        address: "a:1".to_owned(),
        state: MemberState::Up,
        weight: 1,
        zone: String::new(),
        version: String::new(),
        started_ms: 0,
        standby: false,
        resp_address: None,
        resp_cluster_address: None,
    };
    let row = Row {
        owner: id("a", 1),
        epoch: Epoch(3),
        attempt: 0,
        isr: vec![Incarnation(1)],
    };
    let page = Page {
        generation: 1,
        rows: vec![row; usize::from(PAGE_ROWS)],
    };
    let mut records = Records::default();
    let values = [
        ("meta", serde_json::to_vec(&meta).unwrap()),
        ("members/a", serde_json::to_vec(&a).unwrap()),
        ("table/0", serde_json::to_vec(&page).unwrap()),
    ];
    for (name, value) in values {
        let key = keys
            .parse(format!("/cached/prod/{name}").as_bytes())
            .unwrap();
        records.apply(key, Some(&value)).unwrap();
    }
    assert_eq!(
        records.pages.keys().next(),
        Some(&PageIndex::new(0).unwrap())
    );
    records
}
