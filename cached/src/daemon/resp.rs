//! The listeners for clients of the Redis protocol: bound first, because members tell
//! each other where they are; opened last.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::StartupError;
use super::core::Core;
use crate::config::{HostPort, RespSettings};
use crate::frontend::FrontendParts;
use crate::frontend::resp::clients::Clients;
use crate::frontend::resp::session::{RespParts, Side};
use crate::frontend::resp::unfinished::Unfinished;
use crate::frontend::resp::{serve_resp, unfinished_bytes_max};
use crate::frontend::server::Listener;

/// Where they listen; `None`: there is no such listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RespAddresses {
    /// For clients that know one address.
    pub plain: Option<SocketAddr>,
    /// For clients that route by themselves.
    pub cluster: Option<SocketAddr>,
}

/// Listeners that accept nothing yet.
pub(super) struct RespListeners<L> {
    plain: Option<(L, SocketAddr)>,
    cluster: Option<(L, SocketAddr)>,
}

impl<L> RespListeners<L> {
    /// None.
    pub(super) fn none() -> Self {
        Self {
            plain: None,
            cluster: None,
        }
    }

    /// Where they are bound.
    pub(super) fn addresses(&self) -> RespAddresses {
        let address = |bound: &Option<(L, SocketAddr)>| bound.as_ref().map(|(_, address)| *address);
        RespAddresses {
            plain: address(&self.plain),
            cluster: address(&self.cluster),
        }
    }
}

impl RespListeners<TcpListener> {
    /// Binds what the settings name.
    pub(super) async fn bind(settings: &RespSettings) -> Result<Self, StartupError> {
        Ok(Self {
            plain: bind("--resp", settings.plain.as_ref()).await?,
            cluster: bind("--resp-cluster", settings.cluster.as_ref()).await?,
        })
    }
}

async fn bind(
    flag: &'static str,
    address: Option<&HostPort>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartupError> {
    let Some(HostPort { host, port }) = address else {
        return Ok(None);
    };
    let failed = |source| StartupError::Listen {
        flag,
        address: format!("{host}:{port}"),
        source,
    };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let listener = TcpListener::bind((name, *port)).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

impl Core {
    /// Starts to answer clients of the Redis protocol.
    pub(super) fn listen_resp<L: Listener>(
        &self,
        listeners: RespListeners<L>,
        frontends: &Arc<FrontendParts>,
    ) {
        let clients: Arc<Clients> = Arc::default();
        let limits = &frontends.limits;
        let limit = unfinished_bytes_max(limits, self.store.memory_bytes());
        let unfinished = Unfinished::new(Arc::clone(&frontends.counters), limit);
        let sides = [
            (listeners.plain, Side::Plain),
            (listeners.cluster, Side::Cluster),
        ];
        for (bound, side) in sides {
            let Some((listener, _)) = bound else { continue };
            let (config, server) = self.server();
            let parts = RespParts {
                frontends: Arc::clone(frontends),
                side,
                clients: Arc::clone(&clients),
                unfinished: Arc::clone(&unfinished),
                encrypted: config.tls.is_some(),
                connections_max: config.connections_max,
            };
            self.tasks.spawn("resp", |stop| async move {
                let stopped = async move { stop.stopped().await };
                let cut_off = serve_resp(listener, parts, config, server, stopped).await;
                if cut_off > 0 {
                    tracing::warn!(cut_off, "connections were cut off at the end");
                }
            });
        }
    }
}
