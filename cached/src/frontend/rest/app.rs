//! What a connection hands its requests to: the router, and a shorter way past it for
//! reads of keys over REST and for calls of the gRPC cache service, which are most of
//! what a cache is asked.
//!
//! The router boxes every handler's future and every body, and moves the request several
//! times on the way; for a read that is answered from memory that was a tenth of its
//! cost.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use tower::Service;

use super::{Shared, keys, original};
use crate::frontend::grpc;

/// Answers requests. Clones share everything.
#[derive(Clone, Debug)]
pub struct App {
    router: axum::Router,
    /// The shorter way; `None`: everything goes through the router.
    short: Option<Short>,
}

#[derive(Clone, Debug)]
struct Short {
    parts: Shared,
    cache: grpc::Cache,
}

impl From<axum::Router> for App {
    fn from(router: axum::Router) -> Self {
        Self {
            router,
            short: None,
        }
    }
}

impl App {
    pub(super) fn new(router: axum::Router, parts: Shared) -> Self {
        let cache = grpc::cache_service(&parts);
        Self {
            router,
            short: Some(Short { parts, cache }),
        }
    }

    /// The same through the router alone: for tests that call it as a service.
    pub fn into_router(self) -> axum::Router {
        self.router
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let Some(Short { parts, cache }) = &self.short else {
            return self.route(request.map(Body::new)).await;
        };
        let (uri, headers) = (request.uri(), request.headers());
        let answer = match read_of(&request) {
            Some(Read::Original) => original::read(parts, uri, headers).await,
            Some(Read::Versioned) => keys::read(parts, uri, headers, false).await,
            None if uri.path().starts_with(grpc::CACHE_PATH) => {
                let Ok(response) = cache.clone().call(request).await;
                return response.map(Body::new);
            }
            None => return self.route(request.map(Body::new)).await,
        };
        answer.into_response()
    }

    async fn route(&self, request: Request<Body>) -> Response {
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A read of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// `GET /api`.
    Original,
    /// `GET /v1/groups/{group}/keys/{key}`.
    Versioned,
}

/// Whether a request is a read of a key, by the same paths as in the router.
fn read_of<B>(request: &Request<B>) -> Option<Read> {
    if request.method() != Method::GET {
        return None;
    }
    let path = request.uri().path();
    if path == "/api" {
        return Some(Read::Original);
    }
    let (group, key) = path.strip_prefix("/v1/groups/")?.split_once("/keys/")?;
    let one_segment = |text: &str| !text.is_empty() && !text.contains('/');
    (one_segment(group) && one_segment(key)).then_some(Read::Versioned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_what_the_router_would_take_for_one() {
        let read = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            read_of(&request.body(Body::empty()).unwrap())
        };
        assert_eq!(read("GET", "/api?key=k"), Some(Read::Original));
        assert_eq!(
            read("GET", "/v1/groups/g/keys/a%2Fb"),
            Some(Read::Versioned)
        );
        for (method, path) in [
            ("HEAD", "/api?key=k"),
            ("GET", "/api/stats"),
            ("GET", "/v1/groups/g/keys/"),
            ("GET", "/v1/groups//keys/k"),
            ("GET", "/v1/groups/g/keys/a/b"),
            ("GET", "/v1/groups/g/x/keys/k"),
            ("PUT", "/v1/groups/g/keys/k"),
        ] {
            assert_eq!(read(method, path), None, "{method} {path}");
        }
    }
}
