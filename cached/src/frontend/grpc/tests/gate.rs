//! Messages that never end, sent by nobody in particular.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use cached_proto::failure::FailureCode;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
use futures_util::stream::{self, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use tonic::codegen::{Service, StdError};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;

use super::raw::call;
use super::{World, failure};
use crate::clock::Clock;
use crate::frontend::Limits;
use crate::frontend::grpc::{OPEN_MESSAGE_BYTES_MAX, grpc_routes};

const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Sends the beginning of a message and never the rest, without a socket between.
/// Answers the status, and whether anything of the message was read.
async fn begin(world: &World, path: &str, token: Option<&str>) -> (Status, bool) {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polls);
    let body = StreamBody::new(stream::poll_fn(move |_| {
        // A message of 100 bytes is to come.
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Poll::Ready(Some(Ok::<_, StdError>(Frame::data(Bytes::from_static(&[
                0, 0, 0, 0, 100,
            ]))))),
            _ => Poll::Pending,
        }
    }));
    let mut request = http::Request::post(path).header("content-type", "application/grpc");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(axum::body::Body::new(body)).unwrap();
    let mut routes = grpc_routes(&world.parts).into_axum_router();
    let answer = tokio::select! {
        answer = Service::call(&mut routes, request) => answer.unwrap(),
        () = world.parts.clock.sleep(10 * Limits::default().body_timeout) => {
            panic!("{path} waits for ever")
        }
    };
    let status = Status::from_header_map(answer.headers()).expect("it failed at once");
    (status, polls.load(Ordering::Relaxed) > 0)
}

#[tokio::test(start_paused = true)]
async fn a_message_must_arrive_in_time() {
    for path in [
        "/cached.cache.v1.Cache/Get",
        "/cached.cache.v1.Cache/BatchSet",
        "/cached.admin.v1.Admin/Topology",
        "/cached.peer.v1.Peer/Execute",
        "/grpc.health.v1.Health/Check",
    ] {
        let world = World::new();
        let (status, read) = begin(&world, path, None).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{path} {status:?}");
        assert!(read, "{path}");
        let failure = failure(&status);
        assert_eq!(failure.code, FailureCode::Deadline);
        assert!(failure.message.contains("30s"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_silent_between_its_messages() {
    let world = World::new();
    let routes = grpc_routes(&world.parts).into_axum_router();
    let mut client = CacheClient::new(routes);
    let clock = Clock::tokio(0);
    let messages = stream::unfold((), move |()| {
        let clock = clock.clone();
        async move {
            clock.sleep(2 * Limits::default().body_timeout).await;
            Some((pb::PipelineRequest::default(), ()))
        }
    });
    let answers = client.pipeline(messages.take(2)).await.unwrap();
    let answers: Vec<_> = answers.into_inner().collect().await;
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn without_a_token_no_message_is_read() {
    let world = World::with_tokens();
    for path in [
        "/cached.cache.v1.Cache/Get",
        "/cached.cache.v1.Cache/Pipeline",
        "/cached.admin.v1.Admin/CreateGroup",
        "/cached.peer.v1.Peer/Execute",
    ] {
        for token in [None, Some("guess-guess-guess")] {
            let (status, read) = begin(&world, path, token).await;
            assert_eq!(status.code(), Code::Unauthenticated, "{path} {token:?}");
            assert!(!read, "{path} {token:?}");
        }
    }
}

#[tokio::test]
async fn what_anybody_may_ask_is_short() {
    let world = World::with_tokens();
    let channel = world.channel().await;
    // The health service's first field is the service, reflection's the host; its
    // seventh asks for the list of services.
    let asked = |bytes: usize| {
        let first = "x".repeat(bytes);
        let mut message = HealthCheckRequest { service: first }.encode_to_vec();
        message.extend([7 << 3 | 2, 0]);
        message
    };
    for (path, long) in [
        ("/grpc.health.v1.Health/Check", Code::OutOfRange),
        // Reflection ends its stream without a word.
        (REFLECTION[0], Code::Ok),
        (REFLECTION[1], Code::Ok),
    ] {
        let answer = call(&channel, path, asked(100), None).await;
        let known = answer.is_ok_and(|bytes| !bytes.is_empty());
        assert_eq!(known, REFLECTION.contains(&path), "{path}");
        let answer = call(&channel, path, asked(OPEN_MESSAGE_BYTES_MAX), None).await;
        match answer {
            Ok(bytes) => assert!(bytes.is_empty() && long == Code::Ok, "{path}"),
            Err(status) => assert_eq!(status.code(), long, "{path} {status:?}"),
        }
    }
}
