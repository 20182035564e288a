//! HTTP/1.1 and HTTP/2 on one connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Opened, Speak};
use crate::frontend::rest::App;

/// Longest request head in bytes: the longest address that the `http` crate takes
/// (64 KiB) and as much again for headers.
const HEAD_BYTES_MAX: u32 = 128 * 1024;

/// Requests in flight on one HTTP/2 connection: gateways and nodes send all that
/// they forward over one, and each waits for little more than a round trip.
const STREAMS_MAX: u32 = 1024;

/// How often an HTTP/2 client is asked whether it lives, and how long it may take
/// to say so: dead ones are gone after half a minute, and 10,000 idle ones cost
/// 500 small frames a second.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks HTTP for an app.
#[derive(Debug)]
pub(super) struct Http {
    app: Arc<App>,
    http: auto::Builder<TokioExecutor>,
}

impl Http {
    pub(super) fn new(app: App) -> Self {
        let app = Arc::new(app);
        Self { app, http: http() }
    }
}

impl Speak for Http {
    async fn speak<I>(&self, stream: I, opened: Opened)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Opened {
            certificate,
            activity,
            watcher,
            ..
        } = opened;
        let app = Arc::clone(&self.app);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (answering, app) = (activity.begin(), Arc::clone(&app));
            if let Some(certificate) = certificate {
                request.extensions_mut().insert(certificate);
            }
            async move {
                let answer: Response<Body> = app.answer(request).await;
                drop(answering);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        // Peers that vanish and garbage are everyday matters of a listener.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection failed");
        }
    }
}

/// What all connections are served with.
fn http() -> auto::Builder<TokioExecutor> {
    // HTTP/2 runs each request as a task of its own. It ends with its request,
    // which has a deadline, so shutdown needs no list of them.
    let mut http = auto::Builder::new(TokioExecutor::new());
    // No timer of hyper's own here: it would cost one for every request. See `Activity`.
    http.http1()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX);
    http
}
