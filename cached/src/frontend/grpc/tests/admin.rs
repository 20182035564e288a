//! Operators' calls.

use cached_proto::failure::FailureCode;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use tonic::Code;
use tonic::transport::Channel;

use super::{TOKENS, World, failure};
use crate::frontend::auth::Auth;
use crate::operator::fixture::FakePeers;

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

#[tokio::test]
async fn the_layout_cannot_be_changed_by_hand_and_says_so() {
    let world = World::new();
    let mut admin = world.admin().await;
    let answers = [
        admin.plan(pb::PlanRequest::default()).await.err(),
        admin
            .apply_plan(pb::ApplyPlanRequest::default())
            .await
            .err(),
        admin
            .watch_operations(pb::WatchOperationsRequest::default())
            .await
            .err(),
        admin
            .control_operation(pb::ControlOperationRequest::default())
            .await
            .err(),
    ];
    for status in answers {
        let status = status.expect("not part of this version");
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(failure(&status).code, FailureCode::Unsupported);
        assert!(status.message().contains("not part of this version"));
    }
    let list = admin
        .list_operations(pb::ListOperationsRequest::default())
        .await
        .unwrap();
    assert!(list.into_inner().operations.is_empty());
}
