//! One connection from its first byte to its last, whatever is spoken on it.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::activity::Activity;
use super::io::Counted;
use super::roster::{Place, Roster};
use super::{ServerConfig, ServerParts, Speak};
use crate::frontend::PeerCertificate;
use crate::tasks::Stop;

/// A connection on which something may be spoken now.
pub(in crate::frontend) struct Opened {
    /// Whether it showed a certificate; `None`: it is not encrypted.
    pub(in crate::frontend) certificate: Option<PeerCertificate>,
    /// Where its requests are marked.
    pub(in crate::frontend) activity: Arc<Activity>,
    /// Keeps the server from ending before the connection has.
    pub(in crate::frontend) watcher: Watcher,
    /// Tells it to end.
    pub(in crate::frontend) stop: Stop,
    /// Who is at the other end, for people.
    pub(in crate::frontend) peer: Option<SocketAddr>,
}

/// Starts connections, all alike.
#[derive(Debug)]
pub(super) struct Connections<S> {
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    speaker: S,
    config: ServerConfig,
    parts: ServerParts,
    roster: Arc<Roster>,
}

/// Counts a connection for as long as it is open.
#[derive(Debug)]
struct Open {
    parts: ServerParts,
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.parts.counters.connections.decrement();
    }
}

impl<S: Speak> Connections<S> {
    pub(super) fn new(
        speaker: S,
        config: ServerConfig,
        parts: ServerParts,
        roster: Arc<Roster>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                speaker,
                config,
                parts,
                roster,
            }),
        }
    }

    /// Starts a task that serves `stream`.
    pub(super) fn start<I>(
        &self,
        stream: I,
        peer: Option<SocketAddr>,
        permit: OwnedSemaphorePermit,
        watcher: Watcher,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::default());
        let parts = &self.shared.parts;
        parts.counters.connections.increment();
        let now = parts.clock.now();
        let start = |place| {
            let shared = Arc::clone(&self.shared);
            let activity = Arc::clone(&activity);
            let open = Open {
                parts: shared.parts.clone(),
                _permit: permit,
                _place: place,
            };
            let task = parts.tasks.spawn("connection", |stop| async move {
                let opened = Opened {
                    certificate: None,
                    activity,
                    watcher,
                    stop,
                    peer,
                };
                shared.run(stream, opened).await;
                drop(open);
            });
            task.abort_handle()
        };
        self.shared.roster.add(Arc::clone(&activity), now, start);
    }

    /// Closes a connection for which there is no place.
    pub(super) fn refuse<I>(&self, stream: I) {
        self.shared.parts.counters.connections_refused.increment();
        drop(stream);
    }
}

impl<S: Speak> Shared<S> {
    /// Serves a connection until it ends.
    async fn run<I>(&self, stream: I, mut opened: Opened)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = &self.config.tls else {
            let stream = Counted::new(stream, Arc::clone(&opened.activity));
            return self.speaker.speak(stream, opened).await;
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
                opened.certificate = Some(PeerCertificate(certificate));
                let stream = Counted::new(stream, Arc::clone(&opened.activity));
                self.speaker.speak(stream, opened).await;
            }
        }
    }
}
