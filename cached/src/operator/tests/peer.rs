//! What other nodes ask, and who is no other node.

use cached_proto::failure::FailureCode;
use cached_proto::pb::cached::peer::v1::{Header, OpinionRequest, ReportRequest, Suspect};
use cached_proto::types::Incarnation;

use super::super::fixture::{FakePeers, World, meta};

fn header() -> Header {
    Header {
        cluster: "test".to_owned(),
        cluster_uuid: meta().cluster_uuid.to_string(),
        name: "n2".to_owned(),
        incarnation: Incarnation(2).to_string(),
        to: Incarnation(1).to_string(),
        ..Header::default()
    }
}

#[test]
fn messages_of_strangers_and_for_other_lives_are_refused() {
    let world = World::new();
    let good = [
        header(),
        Header {
            cluster_uuid: String::new(),
            ..header()
        },
        Header {
            name: String::new(),
            incarnation: String::new(),
            ..header()
        },
    ];
    for header in good {
        assert_eq!(
            world.operator.check_header(Some(&header)),
            Ok(()),
            "{header:?}"
        );
    }
    let bad = [
        (
            Header {
                cluster: "prod".into(),
                ..header()
            },
            FailureCode::Invalid,
            "\"prod\"",
        ),
        (
            Header {
                cluster_uuid: "ff".into(),
                ..header()
            },
            FailureCode::Invalid,
            "\"ff\"",
        ),
        (
            Header {
                to: Incarnation(9).to_string(),
                ..header()
            },
            FailureCode::Unavailable,
            "life",
        ),
        (
            Header {
                to: "rubbish".into(),
                ..header()
            },
            FailureCode::Unavailable,
            "rubbish",
        ),
        (
            Header {
                to: String::new(),
                ..header()
            },
            FailureCode::Invalid,
            "which life",
        ),
    ];
    for (header, code, says) in bad {
        let failure = world.operator.check_header(Some(&header)).unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
        let probe = world.operator.check_probe_header(Some(&header));
        assert_eq!(probe.is_ok(), header.to.is_empty(), "{header:?}");
    }
    world.publish(|view| view.me = None);
    for to in ["rubbish".to_owned(), Incarnation(1).to_string()] {
        let header = Header { to, ..header() };
        let early = world.operator.check_header(Some(&header)).unwrap_err();
        assert_eq!(early.code, FailureCode::Unavailable, "it is no member yet");
    }
    assert_eq!(
        world.operator.check_header(None).unwrap_err().code,
        FailureCode::Invalid
    );
    let gateway = World::with(None, FakePeers::default());
    let failure = gateway.operator.check_header(Some(&header())).unwrap_err();
    assert_eq!(failure.code, FailureCode::Unsupported);
}

#[test]
fn reports_and_opinions_are_checked() {
    let world = World::new();
    let suspect = Suspect {
        name: "n3".to_owned(),
        incarnation: Incarnation(3).to_string(),
        misses: 3,
        last_error: "x".repeat(1000),
    };
    let report = |suspects| ReportRequest {
        header: Some(header()),
        suspects,
    };
    world
        .operator
        .on_report(report(vec![suspect.clone()]))
        .unwrap();
    let (from, suspects) = world.cluster.reports.lock()[0].clone();
    assert_eq!((from.as_str(), suspects[0].last_error.len()), ("n2", 200));

    let nameless = Suspect {
        name: String::new(),
        ..suspect.clone()
    };
    let failure = world
        .operator
        .on_report(report(vec![nameless]))
        .unwrap_err();
    assert_eq!(failure.code, FailureCode::Invalid);
    let failure = world
        .operator
        .on_report(report(vec![suspect; 1001]))
        .unwrap_err();
    assert_eq!(failure.message, "suspects are 1001; the limit is 1000");
    let anonymous = ReportRequest::default();
    let failure = world.operator.on_report(anonymous).unwrap_err();
    assert_eq!(failure.code, FailureCode::PermissionDenied);
    assert!(
        world
            .operator
            .on_opinion(&OpinionRequest::default())
            .is_err()
    );
}
