//! One node that owns everything, asked without a socket.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use cached_proto::types::{Epoch, GroupName, Slot};
use serde_json::Value;
use tower::ServiceExt;

use crate::frontend::auth::Auth;
use crate::frontend::rest::app;
use crate::frontend::{FrontendParts, Limits};
use crate::operator::fixture::{World, view};
use crate::requests::Requests;
use crate::router::{Router, RouterLimits, RouterParts};

/// Longest value here.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A node that owns all slots, its REST, and what lies behind.
pub(super) struct Node {
    pub(super) world: World,
    pub(super) parts: Arc<FrontendParts>,
    pub(super) app: axum::Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A header as text; empty when it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem document, and answers its code and field.
    #[track_caller]
    pub(super) fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], status);
        let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        assert!(!word("detail").is_empty() && !word("title").is_empty());
        (word("code"), word("field"))
    }
}

impl Node {
    /// Without tokens.
    pub(super) fn new() -> Self {
        Self::with_auth(Auth::open())
    }

    pub(super) fn with_auth(auth: Arc<Auth>) -> Self {
        Self::of(World::new(), auth)
    }

    /// A node that has not reached the registry for a while, and serves all the same.
    pub(super) fn degraded() -> Self {
        let mut world = World::new();
        world.lose_the_registry();
        Self::of(world, Auth::open())
    }

    pub(super) fn of(world: World, auth: Arc<Auth>) -> Self {
        for slot in Slot::all() {
            world.store.open_slot(slot, Epoch(1));
        }
        let mut alone = view(&["n1"]);
        alone.number = world.view.load().number + 1;
        world.view.publish(alone);
        let limits = Limits {
            value_bytes_max: VALUE_BYTES_MAX,
            body_timeout: std::time::Duration::from_millis(300),
            ..Limits::default()
        };
        let router_limits = RouterLimits {
            value_bytes_max: VALUE_BYTES_MAX,
            ..RouterLimits::default()
        };
        let router = Router::new(RouterParts {
            view: world.view.clone(),
            store: world.store.clone(),
            peers: world.peers.clone(),
            getter: None,
            breakers: world.breakers.clone(),
            clock: world.clock.clone(),
            hot: world.hot.clone(),
            counters: world.counters.clone(),
            limits: router_limits,
            parking: Arc::default(),
            seed: 1,
        });
        let parts = Arc::new(FrontendParts {
            router,
            operator: world.operator.clone(),
            auth,
            counters: world.counters.clone(),
            requests: Arc::new(Requests::default()),
            clock: world.clock.clone(),
            default_group: GroupName::new("default-group").unwrap(),
            limits,
            peers_show_certificates: false,
        });
        let app = app(parts.clone(), crate::frontend::grpc::grpc_routes(&parts)).into_router();
        Self { world, parts, app }
    }

    /// Asks `method path`, with headers and a body.
    pub(super) async fn ask(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answered {
        let (method, path) = request.split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(body.into()).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: body.into(),
        }
    }

    /// Asks without headers and body.
    pub(super) async fn get(&self, request: &str) -> Answered {
        self.ask(request, &[], Body::empty()).await
    }
}
