//! The listening side: accepts connections within limits, and ends in order.

mod activity;
mod connection;
mod io;
mod listener;
mod roster;
#[cfg(test)]
mod tests;
mod web;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::rest::App;
use super::tls::Tls;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::tasks::Tasks;
use activity::Patience;
use connection::Connections;
use roster::Roster;
use web::Http;

pub(in crate::frontend) use activity::Activity;
pub(in crate::frontend) use connection::Opened;
pub use listener::Listener;

/// Pause after the system refused a connection for lack of files or memory: others
/// must close first, and asking at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// TLS for every connection; `None`: plain.
    pub tls: Option<Arc<Tls>>,
    /// Most connections at a time; one more is accepted and closed at once.
    pub connections_max: usize,
    /// How long a TLS handshake may take, and a request's head to arrive.
    pub header_timeout: Duration,
    /// How long a connection may do nothing between requests.
    pub idle_timeout: Duration,
    /// How long requests may go on after the server was told to stop.
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            // About 40 KB of buffers each when busy: 400 MB at worst.
            connections_max: 10_000,
            header_timeout: Duration::from_secs(10),
            // Longer than the minute that proxies keep their connections for.
            idle_timeout: Duration::from_secs(75),
            // Longer than any request may take by default.
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// What a listener works with.
#[derive(Clone, Debug)]
pub struct ServerParts {
    /// Time.
    pub clock: Clock,
    /// Where connections run.
    pub tasks: Tasks,
    /// Where connections are counted.
    pub counters: Arc<Counters>,
}

/// What is spoken on the connections of a listener.
pub(in crate::frontend) trait Speak:
    std::fmt::Debug + Send + Sync + 'static
{
    /// Answers on one connection until it ends. It ends soon after the watcher or the
    /// stop says so; dropping the future cuts the connection off.
    fn speak<I>(&self, stream: I, opened: Opened) -> impl Future<Output = ()> + Send
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Accepts connections and answers their requests with `app` until `stop`
/// resolves; then refuses new ones, lets open requests finish within
/// [`ServerConfig::drain_timeout`], and cuts off what is left. Answers how many
/// connections were cut off. Dropping the future closes the listener and cuts off
/// every connection.
pub async fn serve<L: Listener>(
    listener: L,
    app: impl Into<App>,
    config: ServerConfig,
    parts: ServerParts,
    stop: impl Future<Output = ()>,
) -> usize {
    serve_with(listener, Http::new(app.into()), config, parts, stop).await
}

/// The same for whatever is spoken.
pub(in crate::frontend) async fn serve_with<L: Listener, S: Speak>(
    mut listener: L,
    speaker: S,
    config: ServerConfig,
    parts: ServerParts,
    stop: impl Future<Output = ()>,
) -> usize {
    let connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let patience = Patience {
        head: config.header_timeout,
        idle: config.idle_timeout,
    };
    let roster = Roster::new(patience);
    let _cut_when_dropped = CutWhenDropped(Arc::clone(&roster));
    let clock = parts.clock.clone();
    let drain_timeout = config.drain_timeout;
    let connections = Connections::new(speaker, config, parts, Arc::clone(&roster));

    let mut stop = std::pin::pin!(stop);
    let mut look = Box::pin(clock.sleep(patience.interval()));
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut look => {
                roster.judge(clock.now());
                look = Box::pin(clock.sleep(patience.interval()));
                continue;
            }
            stream = accept(&mut listener, &clock) => stream,
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let peer = L::peer(&stream);
                connections.start(stream, peer, place, graceful.watcher());
            }
            Err(_) => connections.refuse(stream),
        }
    }

    // Closed before waiting, so that clients turn to other nodes at once.
    drop(listener);
    let finished = graceful.shutdown();
    tokio::select! {
        biased;
        () = finished => return 0,
        () = clock.sleep(drain_timeout) => {}
    }
    let left = connections_max - places.available_permits();
    tracing::warn!(
        connections = left,
        "requests did not end in time; cutting them off"
    );
    left
}

/// Whatever is still open when the listener is done ends with it.
struct CutWhenDropped(Arc<Roster>);

impl Drop for CutWhenDropped {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// The next connection. Errors of single connections are passed over; lack of
/// files or memory is waited out.
async fn accept<L: Listener>(listener: &mut L, clock: &Clock) -> L::Stream {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
