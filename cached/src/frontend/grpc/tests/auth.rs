//! Which role each call needs.

use std::time::Duration;

use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::{Code, Status};

use super::raw::call;
use super::{World, key};
use crate::frontend::PeerCertificate;

const READER: &str = "reader-reader-reader";
const WRITER: &str = "writer-writer-writer";
const ADMIN: &str = "admin-admin-admin-";

/// Every call and the least token that opens it. Reflection and health need none.
const CALLS: [(&str, &str); 39] = [
    ("/cached.cache.v1.Cache/Get", READER),
    ("/cached.cache.v1.Cache/BatchGet", READER),
    ("/cached.cache.v1.Cache/Pipeline", READER),
    ("/cached.cache.v1.Cache/Set", WRITER),
    ("/cached.cache.v1.Cache/Delete", WRITER),
    ("/cached.cache.v1.Cache/Touch", WRITER),
    ("/cached.cache.v1.Cache/Update", WRITER),
    ("/cached.cache.v1.Cache/SetMany", WRITER),
    ("/cached.cache.v1.Cache/BatchSet", WRITER),
    ("/cached.cache.v1.Cache/BatchDelete", WRITER),
    ("/cached.admin.v1.Admin/Topology", READER),
    ("/cached.admin.v1.Admin/Layout", READER),
    ("/cached.admin.v1.Admin/Status", READER),
    ("/cached.admin.v1.Admin/Stats", READER),
    ("/cached.admin.v1.Admin/HotKeys", READER),
    ("/cached.admin.v1.Admin/Events", READER),
    ("/cached.admin.v1.Admin/ListKeys", READER),
    ("/cached.admin.v1.Admin/ListBlacklist", READER),
    ("/cached.admin.v1.Admin/ListGroups", READER),
    ("/cached.admin.v1.Admin/ListOperations", READER),
    ("/cached.admin.v1.Admin/WatchOperations", READER),
    ("/cached.admin.v1.Admin/Plan", ADMIN),
    ("/cached.admin.v1.Admin/AddBlacklist", ADMIN),
    ("/cached.admin.v1.Admin/RemoveBlacklist", ADMIN),
    ("/cached.admin.v1.Admin/CreateGroup", ADMIN),
    ("/cached.admin.v1.Admin/FlushGroup", ADMIN),
    ("/cached.admin.v1.Admin/ApplyPlan", ADMIN),
    ("/cached.admin.v1.Admin/ControlOperation", ADMIN),
    ("/cached.peer.v1.Peer/Execute", ADMIN),
    ("/cached.peer.v1.Peer/Probe", ADMIN),
    ("/cached.peer.v1.Peer/Report", ADMIN),
    ("/cached.peer.v1.Peer/Opinion", ADMIN),
    ("/cached.peer.v1.Peer/Stats", ADMIN),
    ("/cached.peer.v1.Peer/Blacklist", ADMIN),
    ("/cached.peer.v1.Peer/Flush", ADMIN),
    ("/cached.peer.v1.Peer/Forward", ADMIN),
    ("/cached.peer.v1.Peer/Keys", ADMIN),
    ("/cached.peer.v1.Peer/Move", ADMIN),
    ("/cached.peer.v1.Peer/Moves", ADMIN),
];

/// How long a stream may have nothing to tell before it counts as let in.
const SILENCE: Duration = Duration::from_millis(500);

fn code(result: Result<bytes::Bytes, Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn every_call_needs_its_role() {
    let world = World::with_tokens();
    let channel = world.channel().await;
    let order = [READER, WRITER, ADMIN];
    for (path, least) in CALLS {
        for token in [None, Some("guess-guess-guess")] {
            let code = code(call(&channel, path, "", token).await);
            assert_eq!(code, Code::Unauthenticated, "{path} {token:?}");
        }
        let needed = order.iter().position(|token| *token == least).unwrap();
        for (rank, token) in order.into_iter().enumerate() {
            let called = call(&channel, path, "", Some(token));
            let called = tokio::time::timeout(SILENCE, called).await;
            let code = called.map_or(Code::Ok, code);
            let let_in = code != Code::PermissionDenied && code != Code::Unauthenticated;
            // A report without a sender is refused by the same code, but later.
            let nameless = path.ends_with("/Report");
            assert!(
                nameless || let_in == (rank >= needed),
                "{path} {token} {code:?}"
            );
        }
    }
}

#[test]
fn no_call_is_missing_in_the_table() {
    let files = FileDescriptorSet::decode(cached_proto::pb::FILE_DESCRIPTOR_SET)
        .unwrap()
        .file;
    let services = files
        .iter()
        .flat_map(|file| file.service.iter().map(|s| (file.package(), s)));
    let mut calls: Vec<_> = services
        .flat_map(|(package, service)| {
            let path = move |method: &MethodDescriptorProto| {
                format!("/{package}.{}/{}", service.name(), method.name())
            };
            service.method.iter().map(path)
        })
        .collect();
    let mut table: Vec<_> = CALLS.iter().map(|(path, _)| (*path).to_owned()).collect();
    calls.sort();
    table.sort();
    assert_eq!(calls, table);
}

#[tokio::test]
async fn a_certificate_takes_the_place_of_no_token() {
    for world in [World::with_tokens(), World::with_certificates()] {
        let channel = world.connect(PeerCertificate(true)).await;
        for (token, expected) in [
            (None, Code::Unauthenticated),
            (Some(WRITER), Code::PermissionDenied),
            // Let in, and then found without a header.
            (Some(ADMIN), Code::InvalidArgument),
        ] {
            let probe = call(&channel, "/cached.peer.v1.Peer/Probe", "", token).await;
            assert_eq!(code(probe), expected, "{token:?}");
        }
        let get = call(&channel, "/cached.cache.v1.Cache/Get", key(0, 0), None).await;
        assert_eq!(code(get), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn where_nodes_show_certificates_no_token_makes_a_peer() {
    let world = World::with_certificates();
    let channel = world.channel().await;
    let probe = call(&channel, "/cached.peer.v1.Peer/Probe", "", Some(ADMIN)).await;
    assert_eq!(code(probe), Code::Unauthenticated);
}
