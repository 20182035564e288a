//! What is below and beside our own services: bytes, sizes, reflection, health.

use futures_util::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::raw::call;
use super::{World, get, key, set};

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_and_harm_nobody_else() {
    let world = World::new();
    let channel = world.channel().await;
    let paths = [
        "/cached.cache.v1.Cache/Get",
        "/cached.cache.v1.Cache/BatchSet",
        "/cached.cache.v1.Cache/Pipeline",
        "/cached.admin.v1.Admin/CreateGroup",
        "/cached.peer.v1.Peer/Execute",
    ];
    // A wrong wire type, a length beyond the end, a varint without an end.
    let rubbish: [&[u8]; 3] = [
        b"\x0f\x01",
        b"\x0a\xff\xff\xff\x7fx",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for path in paths {
        for bytes in rubbish {
            let status = call(&channel, path, bytes, None).await.unwrap_err();
            let code = status.code();
            assert!(
                matches!(code, Code::Internal | Code::InvalidArgument),
                "{path}: {status:?}"
            );
        }
    }
    // Text that is no UTF-8 where a name stands.
    let status = call(&channel, paths[0], &b"\x0a\x02\xff\xfe"[..], None)
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::Internal | Code::InvalidArgument),
        "{status:?}"
    );
    assert!(
        !world
            .cache()
            .await
            .get(get(key(0, 0)))
            .await
            .unwrap()
            .into_inner()
            .found
    );
}

#[tokio::test]
async fn methods_and_services_that_do_not_exist_are_unimplemented() {
    let world = World::new();
    let channel = world.channel().await;
    for path in ["/cached.cache.v1.Cache/Explode", "/cached.nope.v1.Nope/Get"] {
        let status = call(&channel, path, "", None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
}

#[tokio::test]
async fn messages_over_the_limit_are_refused_unread() {
    let world = World::new();
    let limit = world.parts.limits.message_bytes_max();
    let mut cache = world.cache().await;
    let status = cache.set(set(key(0, 0), vec![0; limit])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(!cache.get(get(key(0, 0))).await.unwrap().into_inner().found);
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let world = World::new();
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(world.channel().await);
    let asked = client
        .server_reflection_info(futures_util::stream::iter([ask]))
        .await;
    let answer = asked.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("another answer");
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "cached.cache.v1.Cache",
        "cached.admin.v1.Admin",
        "cached.peer.v1.Peer",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

fn asked(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn health_follows_readiness() {
    let world = World::new();
    let mut health = HealthClient::new(world.channel().await);
    for service in [
        "",
        "cached.cache.v1.Cache",
        "cached.admin.v1.Admin",
        "cached.peer.v1.Peer",
    ] {
        let status = health
            .check(asked(service))
            .await
            .unwrap()
            .into_inner()
            .status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    assert_eq!(
        health.check(asked("nope")).await.unwrap_err().code(),
        Code::NotFound
    );
    world.node.publish(|view| view.table_loaded = false);
    let status = health.check(asked("")).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_watched_status_is_told_once_and_again_when_it_changes() {
    let world = World::new();
    let mut health = HealthClient::new(world.channel().await);
    let mut watch = health.watch(asked("")).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    world.node.sign_off();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    let mut unknown = health.watch(asked("nope")).await.unwrap().into_inner();
    assert_eq!(
        unknown.message().await.unwrap().unwrap().status(),
        ServingStatus::ServiceUnknown
    );
    // Watches end with the process, so that it need not wait for them.
    let tasks = world.node.tasks.clone();
    let stop = tasks.stop_within(std::time::Duration::from_secs(5));
    let (left, end) = tokio::join!(stop, watch.message());
    assert!(left.is_empty() && end.unwrap().is_none());
}
