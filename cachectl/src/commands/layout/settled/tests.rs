//! Asking twice makes a change once.

use cached_client::records::Mode;
use cached_client::topology::NOBODY;
use cached_client::types::{Epoch, GroupName, Incarnation, MemberId};

use super::super::fixture::drain;
use super::*;

/// n1 serves, n2 is drained, n3 is drained and not empty yet, n4 waits, n5 is down.
fn topology() -> Topology {
    let member = |name: &str, state, slots, intent: &str| Member {
        id: MemberId {
            name: NodeName::new(name).unwrap(),
            inc: Incarnation(7),
        },
        address: String::new(),
        state,
        weight: 1,
        zone: String::new(),
        version: String::new(),
        started_ms: 0,
        slots,
        down_for_ms: 0,
        detail: String::new(),
        standby: false,
        intent: intent.to_owned(),
    };
    use MemberState::{Draining, Joining, Up};
    Topology {
        cluster: "prod".parse().unwrap(),
        cluster_uuid: Incarnation(1),
        generation: 1,
        layout: 57,
        hash: Default::default(),
        virtual_nodes: 50,
        mode: Mode::Available,
        default_group: GroupName::new("default-group").unwrap(),
        members: vec![
            member("n1", Some(Up), 9, ""),
            member("n2", Some(Draining), 0, "drain"),
            member("n3", Some(Draining), 5, "drain"),
            member("n4", Some(Joining), 0, ""),
            member("n5", None, 2, ""),
        ],
        owners: vec![(NOBODY, Epoch(0)); 16_384],
    }
}

fn names(names: &[&str]) -> Vec<NodeName> {
    names
        .iter()
        .map(|name| NodeName::new(name).unwrap())
        .collect()
}

/// What is said; with the names that are still to be asked for.
fn said(operations: &[Operation], kind: OperationKind, mut ask: PlanAsk) -> (String, Vec<String>) {
    let said = match settled(&topology(), operations, kind, &mut ask) {
        Settled::Not(notes) => format!("not: {}", notes.join(", ")),
        Settled::Already(text) => text,
        Settled::Runs(open) => format!("{} runs", open.id),
    };
    (said, asked(&ask).map(ToString::to_string).collect())
}

fn draining(nodes: &[&str]) -> PlanAsk {
    PlanAsk {
        drain: names(nodes),
        ..PlanAsk::default()
    }
}

#[test]
fn what_is_so_already_is_said_and_not_asked_for() {
    use OperationKind::{Drain, Join, Remove};
    let already = |kind, ask| said(&[], kind, ask).0;
    assert_eq!(already(Drain, draining(&["n2"])), "n2 already drained");
    let (notes, left) = said(&[], Drain, draining(&["n2", "n3"]));
    assert_eq!(
        (notes.as_str(), left),
        ("not: n2 already drained", vec!["n3".to_owned()])
    );
    let undrain = PlanAsk {
        undrain: names(&["n1"]),
        ..PlanAsk::default()
    };
    assert_eq!(already(Join, undrain), "n1 is not drained");
    let join = |nodes: &[&str]| PlanAsk {
        join: names(nodes),
        ..PlanAsk::default()
    };
    assert_eq!(already(Join, join(&["n1"])), "n1 already joined");
    assert_eq!(already(Join, join(&["n4"])), "not: ");
    let mut heavier = join(&["n1"]);
    heavier.weights = [(names(&["n1"])[0].clone(), 3)].into();
    assert_eq!(already(Join, heavier), "not: ");
    let remove = |node: &str| PlanAsk {
        remove: names(&[node]),
        ..PlanAsk::default()
    };
    let down = already(Remove, remove("n5"));
    assert!(
        down.starts_with("n5 is down: its slots return by themselves"),
        "{down}"
    );
    assert_eq!(
        already(Remove, remove("n9")),
        "not: ",
        "the cluster knows better"
    );
    let mut removal = drain();
    (removal.kind, removal.state) = (Remove, OperationState::Done);
    removal.nodes = vec!["n9".to_owned()];
    assert_eq!(
        said(&[removal], Remove, remove("n9")).0,
        "n9 already removed"
    );
    assert_eq!(
        already(OperationKind::Rebalance, PlanAsk::default()),
        "not: "
    );
}

#[test]
fn what_is_being_done_is_looked_on() {
    use OperationKind::{Drain, Join};
    assert_eq!(
        said(&[drain()], Drain, draining(&["n3"])).0,
        "op-7f3a90c1 runs"
    );
    assert_eq!(said(&[drain()], Drain, draining(&["n1", "n3"])).0, "not: ");
    let mut ended = drain();
    ended.state = OperationState::Failed;
    assert_eq!(said(&[ended], Drain, draining(&["n3"])).0, "not: ");
    let mut ending = drain();
    ending.cancelling = true;
    assert_eq!(said(&[ending], Drain, draining(&["n3"])).0, "not: ");
    assert_eq!(said(&[drain()], Join, draining(&["n3"])).0, "not: ");
}
