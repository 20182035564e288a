//! Listens for clients of the Redis protocol.

use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::IDLE_TIMEOUT;
use super::connection::Connection;
use super::session::{RespParts, Session};
use crate::frontend::server::{Listener, Opened, ServerConfig, ServerParts, Speak, serve_with};

/// Speaks the Redis protocol.
#[derive(Debug)]
struct Resp {
    parts: Arc<RespParts>,
}

impl Speak for Resp {
    async fn speak<I>(&self, stream: I, opened: Opened)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Opened {
            activity,
            watcher,
            stop,
            peer,
            ..
        } = opened;
        let session = Session::new(Arc::clone(&self.parts), peer);
        let connection = Connection::new(stream, session, activity);
        // Clients that vanish and garbage are everyday matters of a listener.
        if let Err(error) = connection.run(stop).await {
            tracing::debug!(%error, "connection failed");
        }
        // Until here, the server waited.
        drop(watcher);
    }
}

/// Accepts clients until `stop` resolves, as [`crate::frontend::server::serve`] does; a
/// command may take as long to arrive as a body over HTTP may. Answers how many
/// connections were cut off.
pub async fn serve_resp<L: Listener>(
    listener: L,
    parts: RespParts,
    config: ServerConfig,
    server: ServerParts,
    stop: impl Future<Output = ()>,
) -> usize {
    let config = ServerConfig {
        header_timeout: parts.frontends.limits.body_timeout,
        idle_timeout: IDLE_TIMEOUT,
        ..config
    };
    let parts = Arc::new(parts);
    serve_with(listener, Resp { parts }, config, server, stop).await
}
