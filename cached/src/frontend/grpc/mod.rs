//! gRPC: the services of a node and what they share. Beside our own three there are
//! health and reflection, which any gRPC tool knows how to ask.
//!
//! Reading order: `gate` (before a message is read), `call` (who may, until when, in which group), `cache` and `batch`,
//! `pipeline`, then `health` and the neighbours `admin` and `peer`.

pub(super) mod batch;
mod cache;
pub(super) mod call;
mod gate;
mod health;
pub(super) mod message;
mod pipeline;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cached_proto::limits::MESSAGE_OVERHEAD_BYTES;
use cached_proto::pb::FILE_DESCRIPTOR_SET;
use cached_proto::pb::cached::admin::v1::admin_server::AdminServer;
use cached_proto::pb::cached::cache::v1::cache_server::CacheServer;
use cached_proto::pb::cached::peer::v1::peer_server::PeerServer;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use super::FrontendParts;
use super::admin::AdminService;
use super::peer::PeerService;
use cache::CacheService;
use gate::Gate;
use health::HealthService;

/// Longest message in bytes of the services that anybody may call: questions of a few
/// names.
const OPEN_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The service that programs use, as it stands on its port.
pub(super) type Cache = Gate<CacheServer<CacheService>>;

/// What the paths of [`Cache`]'s methods begin with.
pub(super) const CACHE_PATH: &str = "/cached.cache.v1.Cache/";

/// The service that programs use.
pub(super) fn cache_service(parts: &Arc<FrontendParts>) -> Cache {
    let bytes_max = parts.limits.message_bytes_max();
    let cache = CacheServer::new(CacheService::new(Arc::clone(parts)))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    Gate::for_known(cache, parts)
}

/// All gRPC services of a node. Health and reflection need no token: they tell
/// nothing but that a node is here.
pub fn grpc_routes(parts: &Arc<FrontendParts>) -> Routes {
    let peer_bytes_max = parts.limits.peer_message_bytes_max();
    let admin = AdminServer::new(AdminService::new(Arc::clone(parts)))
        .max_decoding_message_size(MESSAGE_OVERHEAD_BYTES);
    let peer = PeerServer::new(PeerService::new(Arc::clone(parts)))
        .max_decoding_message_size(peer_bytes_max)
        .max_encoding_message_size(peer_bytes_max);
    let health = HealthServer::new(HealthService::new(Arc::clone(parts)))
        .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX);
    reflected(
        Routes::new(cache_service(parts))
            .add_service(Gate::for_known(admin, parts))
            .add_service(Gate::for_known(peer, parts))
            .add_service(Gate::for_all(health, parts)),
    )
}

/// Adds reflection in both versions: tools still ask for the older one.
fn reflected(routes: Routes) -> Routes {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder()
        .build_v1()
        .expect("the descriptors were compiled with this program")
        .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX);
    let v1alpha = builder()
        .build_v1alpha()
        .expect("the descriptors were compiled with this program")
        .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX);
    routes.add_service(v1).add_service(v1alpha)
}
