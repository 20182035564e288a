//! REST: the original's four endpoints, `/v1`, health, metrics and their description.
//!
//! Reading order: `endpoints` (all of them, in one table), `original` and `keys`
//! (the data path), `params` and `conditions` (pure), `body`, `batch`, `cluster`,
//! `hotkeys`.

mod app;
mod batch;
mod batch_json;
mod body;
mod cluster;
mod conditions;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hotkeys;
mod keys;
mod original;
mod params;
#[cfg(test)]
mod tests;

pub use app::App;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::FrontendParts;
use super::problem::Problem;

/// Description of every endpoint, for people and generators.
const OPENAPI: &str = include_str!("../openapi.json");

/// What handlers share.
type Shared = Arc<FrontendParts>;

/// One method of one address.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Shared>,
}

/// Joins a method, an address and a handler.
macro_rules! endpoint {
    ($method:ident $path:literal $handler:path) => {
        Endpoint {
            method: stringify!($method),
            path: $path,
            handler: on(MethodFilter::$method, $handler),
        }
    };
}

/// All endpoints: the router is built from this list, and the OpenAPI document is
/// held against it.
fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint!(GET "/api" original::get),
        endpoint!(POST "/api/set" original::set),
        endpoint!(DELETE "/api/delete" original::delete),
        endpoint!(GET "/api/stats" cluster::original_stats),
        endpoint!(GET "/v1/groups/{group}/keys/{key}" keys::get),
        endpoint!(HEAD "/v1/groups/{group}/keys/{key}" keys::head),
        endpoint!(PUT "/v1/groups/{group}/keys/{key}" keys::put),
        endpoint!(DELETE "/v1/groups/{group}/keys/{key}" keys::delete),
        endpoint!(POST "/v1/groups/{group}/batch" batch::batch),
        endpoint!(GET "/v1/groups" cluster::groups),
        endpoint!(PUT "/v1/groups/{group}" cluster::create_group),
        endpoint!(POST "/v1/groups/{group}/flush" cluster::flush_group),
        endpoint!(GET "/v1/status" cluster::status),
        endpoint!(GET "/v1/topology" cluster::topology),
        endpoint!(GET "/v1/hotkeys" hotkeys::hotkeys),
        endpoint!(GET "/openapi.json" openapi),
        endpoint!(GET "/healthz" cluster::healthz),
        endpoint!(GET "/readyz" cluster::readyz),
        endpoint!(GET "/metrics" cluster::metrics),
    ]
}

/// REST beside gRPC: one router for one port.
pub fn app(parts: Arc<FrontendParts>, grpc: tonic::service::Routes) -> App {
    let mut router = grpc.into_axum_router();
    for endpoint in endpoints() {
        router = router.route(
            endpoint.path,
            endpoint.handler.with_state(Arc::clone(&parts)),
        );
    }
    let router = router
        .fallback(no_endpoint)
        .method_not_allowed_fallback(method_not_allowed);
    App::new(router, parts)
}

async fn openapi() -> Response {
    with_type("application/json", OPENAPI)
}

/// A response of a fixed type.
fn with_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A value as JSON.
fn json(value: &serde_json::Value) -> Response {
    with_type("application/json", value.to_string())
}

async fn no_endpoint(request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let message = format!("{} is no method of this server", request.uri().path());
        return tonic::Status::unimplemented(message).into_http();
    }
    Problem::no_endpoint(nearest(request.uri().path())).into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} is not for {}", request.uri().path(), request.method());
    Problem::method_not_allowed(detail).into_response()
}

/// What somebody may have meant who asked for `path`.
fn nearest(path: &str) -> String {
    if path.starts_with("/v1/groups/") && path.contains("/keys/") {
        return "a key needs at least one byte, and a '/' in it is written as %2F".to_owned();
    }
    // Nobody mistypes an address longer than this, and comparing costs its square.
    let shown: String = path.chars().take(80).collect();
    let mut known: Vec<_> = endpoints()
        .into_iter()
        .map(|endpoint| (strsim::levenshtein(&shown, endpoint.path), endpoint))
        .collect();
    known.sort_by_key(|(distance, _)| *distance);
    let words: Vec<_> = known
        .iter()
        .take(3)
        .map(|(_, endpoint)| format!("{} {}", endpoint.method, endpoint.path))
        .collect();
    format!(
        "{shown} does not exist; nearest are {}; all are in /openapi.json",
        words.join(", ")
    )
}
