//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::activity::Activity;
use super::io::Counted;
use super::roster::{Place, Roster};
use super::{ServerConfig, ServerParts};
use crate::frontend::PeerCertificate;
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

/// Starts connections, all alike.
#[derive(Debug)]
pub(super) struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    app: Arc<App>,
    http: auto::Builder<TokioExecutor>,
    config: ServerConfig,
    parts: ServerParts,
    roster: Arc<Roster>,
}

/// Counts a connection for as long as it is open.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.parts.counters.connections.decrement();
    }
}

impl Connections {
    pub(super) fn new(
        app: App,
        config: ServerConfig,
        parts: ServerParts,
        roster: Arc<Roster>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                app: Arc::new(app),
                http: http(),
                config,
                parts,
                roster,
            }),
        }
    }

    /// Starts a task that serves `stream`.
    pub(super) fn start<I>(&self, stream: I, permit: OwnedSemaphorePermit, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let activity = Arc::new(Activity::default());
        shared.parts.counters.connections.increment();
        let now = shared.parts.clock.now();
        let start = |place| {
            let shared = Arc::clone(&self.shared);
            let activity = Arc::clone(&activity);
            let open = Open {
                shared: Arc::clone(&shared),
                _permit: permit,
                _place: place,
            };
            let task = self.shared.parts.tasks.spawn("connection", |_| async move {
                shared.run(stream, activity, watcher).await;
                drop(open);
            });
            task.abort_handle()
        };
        shared.roster.add(Arc::clone(&activity), now, start);
    }

    /// Closes a connection for which there is no place.
    pub(super) fn refuse<I>(&self, stream: I) {
        self.shared.parts.counters.connections_refused.increment();
        drop(stream);
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

impl Shared {
    /// Serves a connection until it ends.
    async fn run<I>(&self, stream: I, activity: Arc<Activity>, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = &self.config.tls else {
            return self.speak_http(stream, None, activity, watcher).await;
        };
        let accepted = tokio::select! {
            biased;
            accepted = tls.acceptor().accept(stream) => accepted,
            () = self.parts.clock.sleep(self.config.header_timeout) => return,
        };
        match accepted {
            Err(error) => tracing::debug!(%error, "TLS handshake failed"),
            Ok(stream) => {
                let certificate = stream.get_ref().1.peer_certificates().is_some();
                self.speak_http(
                    stream,
                    Some(PeerCertificate(certificate)),
                    activity,
                    watcher,
                )
                .await;
            }
        }
    }

    async fn speak_http<I>(
        &self,
        stream: I,
        certificate: Option<PeerCertificate>,
        activity: Arc<Activity>,
        watcher: Watcher,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(Counted::new(stream, Arc::clone(&activity)));
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
        let connection = watcher.watch(self.http.serve_connection(io, service));
        // Peers that vanish and garbage are everyday matters of a listener.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection failed");
        }
    }
}
