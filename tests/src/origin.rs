//! A real HTTP origin that counts what is asked of it, and can be slow or broken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// An origin on loopback; it ends with the runtime of the test.
#[derive(Clone, Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<OriginState>,
}

#[derive(Debug, Default)]
struct OriginState {
    loads: AtomicU64,
    delay_ms: AtomicU64,
    broken: AtomicBool,
    /// What it answers instead of the generated body.
    values: Mutex<BTreeMap<String, String>>,
}

/// The body that the origin generates for a key.
pub fn body_of(key: &str) -> String {
    format!("value of {key}, and some more of it to make a body")
}

impl Origin {
    /// Starts an origin that knows every key.
    pub async fn start() -> Self {
        let state = Arc::new(OriginState::default());
        let router = Router::new()
            .route("/items/{key}", get(answer))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, state }
    }

    /// What `--origin` is given.
    pub fn template(&self) -> String {
        format!("http://{}/items/{{key}}", self.address)
    }

    /// Requests so far.
    pub fn loads(&self) -> u64 {
        self.state.loads.load(Ordering::SeqCst)
    }

    /// Lets every answer take so long.
    pub fn set_delay(&self, delay: Duration) {
        self.state
            .delay_ms
            .store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Answers 500 to everything.
    pub fn set_broken(&self, broken: bool) {
        self.state.broken.store(broken, Ordering::SeqCst);
    }

    /// Answers this for a key from now on.
    pub fn set_value(&self, key: &str, value: &str) {
        self.state
            .values
            .lock()
            .unwrap()
            .insert(key.to_owned(), value.to_owned());
    }
}

async fn answer(State(state): State<Arc<OriginState>>, Path(key): Path<String>) -> Response {
    state.loads.fetch_add(1, Ordering::SeqCst);
    // What a database would have read by now: a write during the delay is not in it.
    let value = state.values.lock().unwrap().get(&key).cloned();
    let delay = Duration::from_millis(state.delay_ms.load(Ordering::SeqCst));
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if state.broken.load(Ordering::SeqCst) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "broken on purpose").into_response();
    }
    if key.starts_with("missing") {
        return StatusCode::NOT_FOUND.into_response();
    }
    value.unwrap_or_else(|| body_of(&key)).into_response()
}
