//! Operators' calls.

use cached_proto::failure::FailureCode;
use cached_proto::operations::OperationState;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use tonic::Code;
use tonic::transport::Channel;

use super::{TOKENS, World, failure};
use crate::frontend::auth::Auth;
use crate::operator::fixture::{self, FakePeers};

impl World {
    async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel().await)
    }
}

#[tokio::test]
async fn the_topology_is_told_now_and_at_every_change() {
    let world = World::new();
    let mut admin = world.admin().await;
    let request = pb::TopologyRequest { once: false };
    let mut stream = admin.topology(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.members.len(), first.ranges.len()), (3, 3));
    assert_eq!(first.default_group, "default-group");
    world.node.publish(|view| view.layout = 2);
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!((second.layout, second.view), (2, first.view + 1));

    // The stream ends with the process, so that it need not wait for its callers.
    let tasks = world.node.tasks.clone();
    let stop = tasks.stop_within(std::time::Duration::from_secs(5));
    let (left, end) = tokio::join!(stop, stream.message());
    assert!(left.is_empty() && end.unwrap().is_none());
}

#[tokio::test]
async fn who_follows_the_topology_is_told_nothing_after_its_token_is_gone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKENS).unwrap();
    let auth = Auth::load(file.path()).unwrap();
    let world = World::with(FakePeers::default(), auth.clone());
    let mut admin = world.admin().await;
    let mut request = tonic::Request::new(pb::TopologyRequest { once: false });
    let header = "Bearer reader-reader-reader".parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    let mut stream = admin.topology(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    auth.reload().unwrap();
    world.node.publish(|view| view.layout = 2);
    assert!(
        stream.message().await.unwrap().is_some(),
        "it is as good as before"
    );

    std::fs::write(file.path(), "admin admin-admin-admin-\n").unwrap();
    auth.reload().unwrap();
    world.node.publish(|view| view.layout = 3);
    let refused = stream.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn one_topology_if_no_more_is_wanted() {
    let world = World::new();
    let mut admin = world.admin().await;
    let request = pb::TopologyRequest { once: true };
    let mut stream = admin.topology(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn status_and_stats_tell_of_the_cluster() {
    let world = World::new();
    let mut admin = world.admin().await;
    let status = admin
        .status(pb::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(status.healthy, "{:?}", status.problems);
    assert_eq!((status.members_up, status.node.as_str()), (3, "n1"));
    let request = pb::StatsRequest {
        own_node_only: false,
    };
    assert_eq!(
        admin.stats(request).await.unwrap().into_inner().nodes.len(),
        3
    );
    let request = pb::StatsRequest {
        own_node_only: true,
    };
    assert_eq!(
        admin.stats(request).await.unwrap().into_inner().nodes.len(),
        1
    );
}

#[tokio::test]
async fn groups_are_listed_created_and_flushed() {
    let world = World::new();
    let mut admin = world.admin().await;
    let groups = admin
        .list_groups(pb::ListGroupsRequest {})
        .await
        .unwrap()
        .into_inner()
        .groups;
    assert_eq!(groups[0].name, "default-group");

    let group = pb::Group {
        name: "users".into(),
        max_bytes: 1 << 20,
        ..Default::default()
    };
    let request = pb::CreateGroupRequest {
        group: Some(group),
        by: "alice@host".into(),
    };
    let created = admin
        .create_group(request)
        .await
        .unwrap()
        .into_inner()
        .group
        .unwrap();
    assert_eq!(
        (created.name.as_str(), created.policy.as_str()),
        ("users", "lru")
    );
    let bad = pb::Group {
        name: "a/b".into(),
        ..Default::default()
    };
    for group in [None, Some(bad)] {
        let request = pb::CreateGroupRequest {
            group,
            by: String::new(),
        };
        let status = admin.create_group(request).await.unwrap_err();
        assert_eq!(failure(&status).field, Some("group"), "{status:?}");
    }

    let flush = |group: &str| pb::FlushGroupRequest {
        group: group.into(),
        by: String::new(),
    };
    let nodes = admin
        .flush_group(flush("default-group"))
        .await
        .unwrap()
        .into_inner()
        .nodes;
    assert_eq!(
        nodes.iter().map(|node| node.keys).collect::<Vec<_>>(),
        [0, 5, 5]
    );
    let status = admin.flush_group(flush("nope")).await.unwrap_err();
    assert_eq!(failure(&status).code, FailureCode::UnknownGroup);
}

#[tokio::test]
async fn members_are_put_on_the_blacklist_and_taken_off() {
    let world = World::new();
    let mut admin = world.admin().await;
    let add = |target: &str| pb::AddBlacklistRequest {
        target: target.into(),
        ttl_ms: 60_000,
        reason: "disk swap".into(),
        by: "alice@host".into(),
    };
    admin.add_blacklist(add("n2")).await.unwrap();
    for target in ["", "n9"] {
        let status = admin.add_blacklist(add(target)).await.unwrap_err();
        assert_eq!(failure(&status).field, Some("target"), "{status:?}");
    }
    let request = pb::RemoveBlacklistRequest {
        target: "n2".into(),
        by: String::new(),
    };
    assert!(
        admin
            .remove_blacklist(request.clone())
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    assert!(
        !admin
            .remove_blacklist(request)
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    let request = pb::ListBlacklistRequest {
        own_node_only: false,
    };
    let list = admin.list_blacklist(request).await.unwrap().into_inner();
    assert_eq!(list.entries.len(), 2, "one breaker of each other node");
}

fn drain(name: &str) -> pb::PlanRequest {
    pb::PlanRequest {
        drain: vec![name.into()],
        by: "alice@host".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_layout_is_planned_changed_and_controlled() {
    let world = World::new();
    let mut admin = world.admin().await;
    let plan = admin.plan(drain("n2")).await.unwrap().into_inner();
    assert_eq!(plan.base_layout, 1);
    assert!(plan.moves.iter().all(|it| it.from == "n2"));
    let request = pb::ApplyPlanRequest {
        id: plan.id.clone(),
        base_layout: plan.base_layout,
        deadline_ms: 60_000,
        message: "disk swap".into(),
        by: "alice@host".into(),
        ..Default::default()
    };
    let applied = admin.apply_plan(request).await.unwrap().into_inner();
    assert_eq!(applied.operation.unwrap().state, "running");
    let asked = world.node.cluster.asked.lock()[1].clone();
    assert!(
        asked.contains("Some(60s)") && asked.contains("disk swap"),
        "{asked}"
    );

    let control = |control: pb::OperationControl| pb::ControlOperationRequest {
        id: plan.id.clone(),
        control: control.into(),
        rate_bytes: 7,
        by: String::new(),
    };
    let rated = admin
        .control_operation(control(pb::OperationControl::Rate))
        .await
        .unwrap();
    assert_eq!(rated.into_inner().operation.unwrap().max_rate_bytes, 7);
    let status = admin
        .control_operation(control(pb::OperationControl::Unspecified))
        .await
        .unwrap_err();
    assert_eq!(failure(&status).field, Some("control"));
    let status = admin.plan(drain("a/b")).await.unwrap_err();
    assert_eq!(failure(&status).field, Some("drain"));
    let status = admin.plan(drain("n9")).await.unwrap_err();
    assert_eq!(failure(&status).code, FailureCode::NotFound);
}

#[tokio::test]
async fn operations_are_listed_and_followed_until_the_process_ends() {
    let world = World::new();
    world.node.publish(|view| {
        let record = fixture::operation("op-1", OperationState::Done);
        view.operations = vec![fixture::known(record, 4)];
    });
    let mut admin = world.admin().await;
    let list = admin
        .list_operations(pb::ListOperationsRequest::default())
        .await
        .unwrap();
    assert_eq!(list.into_inner().operations[0].state, "done");
    let request = pb::WatchOperationsRequest::default();
    let mut stream = admin.watch_operations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (first.sequence, first.operation.unwrap().id.as_str()),
        (4, "op-1")
    );
    world.node.publish(|view| {
        let record = fixture::operation("op-2", OperationState::Failed);
        view.operations = vec![fixture::known(record, 5)];
    });
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (second.sequence, second.operation.unwrap().id.as_str()),
        (5, "op-2")
    );
    let tasks = world.node.tasks.clone();
    let stop = tasks.stop_within(std::time::Duration::from_secs(5));
    let (left, end) = tokio::join!(stop, stream.message());
    assert!(left.is_empty() && end.unwrap().is_none());
}

#[tokio::test]
async fn an_operation_that_does_not_exist_cannot_be_followed() {
    let world = World::new();
    let mut admin = world.admin().await;
    let request = pb::WatchOperationsRequest {
        id: "op-9".into(),
        from_sequence: 0,
    };
    let mut stream = admin.watch_operations(request).await.unwrap().into_inner();
    let status = stream.message().await.unwrap_err();
    assert_eq!(failure(&status).code, FailureCode::NotFound);
}

#[tokio::test]
async fn changing_the_layout_takes_an_admin_and_looking_on_does_not() {
    let world = World::with_tokens();
    let mut admin = world.admin().await;
    fn with<T>(message: T, token: &str) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let header = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }
    let writer = "writer-writer-writer";
    let refused = [
        admin.plan(with(drain("n2"), writer)).await.err(),
        admin
            .apply_plan(with(pb::ApplyPlanRequest::default(), writer))
            .await
            .err(),
        admin
            .control_operation(with(pb::ControlOperationRequest::default(), writer))
            .await
            .err(),
    ];
    for status in refused {
        assert_eq!(status.unwrap().code(), Code::PermissionDenied);
    }
    let reader = "reader-reader-reader";
    let list = with(pb::ListOperationsRequest::default(), reader);
    assert!(admin.list_operations(list).await.is_ok());
    let watch = with(pb::WatchOperationsRequest::default(), reader);
    assert!(admin.watch_operations(watch).await.is_ok());
    let nobody = pb::WatchOperationsRequest::default();
    let status = admin.watch_operations(nobody).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn hot_keys_are_told_with_their_rates_and_bounds() {
    let world = World::new();
    let group = world
        .node
        .store
        .group(&fixture::group("default-group").name);
    for _ in 0..3 {
        world.node.hot.touch(group.unwrap(), b"hot", Some(7));
    }
    world.node.hot.touch(group.unwrap(), b"cold", None);
    let mut admin = world.admin().await;
    let ask = pb::HotKeysRequest {
        group: "default-group".to_owned(),
        top: 1,
        ..pb::HotKeysRequest::default()
    };
    let told = admin.hot_keys(ask.clone()).await.unwrap().into_inner();
    assert_eq!((told.node.as_str(), told.keys.len()), ("n1", 1));
    let key = &told.keys[0];
    assert_eq!((&key.key[..], key.value_bytes), (&b"hot"[..], 7));
    assert!((key.share - 0.75).abs() < 1e-9, "{}", key.share);
    for (bad, field) in [
        (
            pb::HotKeysRequest {
                window_seconds: 301,
                ..ask.clone()
            },
            "window_seconds",
        ),
        (
            pb::HotKeysRequest {
                top: 5_000,
                ..ask.clone()
            },
            "top",
        ),
    ] {
        let refused = admin.hot_keys(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    let unknown = pb::HotKeysRequest {
        group: "nope".to_owned(),
        ..ask
    };
    assert!(admin.hot_keys(unknown).await.is_err());
}

#[tokio::test]
async fn events_are_told_from_where_the_caller_was() {
    use crate::journal::{Note, Severity};
    let world = World::new();
    let journal = &world.node.journal;
    for text in ["one", "two", "three"] {
        journal.note(Note::new(Severity::Warning, "test", "n2", text).by("ann@desk"));
    }
    let mut admin = world.admin().await;
    let all = pb::EventsRequest::default();
    let mut stream = admin.events(all).await.unwrap().into_inner();
    let hello = stream.message().await.unwrap().unwrap();
    assert_eq!((hello.node.as_str(), hello.event.is_none()), ("n1", true));
    let mut texts = Vec::new();
    while let Some(told) = stream.message().await.unwrap() {
        let event = told.event.unwrap();
        assert_eq!(
            (event.subject.as_str(), event.by.as_str()),
            ("n2", "ann@desk")
        );
        texts.push(event.text);
    }
    assert_eq!(texts, ["one", "two", "three"]);

    let rest = pb::EventsRequest {
        journal: hello.journal.clone(),
        after_sequence: 3,
        follow: true,
        ..pb::EventsRequest::default()
    };
    let mut stream = admin.events(rest).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().event.is_none());
    journal.note(Note::new(Severity::Error, "test", "", "four"));
    let four = stream.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(
        (four.sequence, four.severity()),
        (4, pb::EventSeverity::Error)
    );

    // Nobody's sequence: told from the beginning; nothing is that new, and it ends.
    let other = pb::EventsRequest {
        journal: "another life".to_owned(),
        after_sequence: 3,
        since_ms: u64::MAX,
        ..pb::EventsRequest::default()
    };
    let mut stream = admin.events(other).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().event.is_none());
    assert!(stream.message().await.unwrap().is_none());
}
