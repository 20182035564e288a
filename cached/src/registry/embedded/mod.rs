//! The in-process server of the same API subset as etcd's.
//!
//! `state` knows keys and revisions, `log` what happened lately, `leases` who holds
//! what until when, `requests` decides each request on them: all pure. `services`
//! and `watches` are the gRPC shell, this file the life around it.

mod leases;
mod log;
mod requests;
mod services;
mod state;
mod transport;
mod watches;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use etcd_client::proto::{PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Response, Status};

use crate::clock::{Clock, Moment};
use crate::tasks::{Stop, Tasks};
use services::{RegistryService, status};
use state::{Refusal, State};
use transport::Transport;

/// Connections that wait to be served; they are taken up at once.
const ACCEPT_MAX: usize = 16;

/// Bytes in flight on an in-process pipe: four frames of HTTP/2's usual size.
const PIPE_BYTES: usize = 64 << 10;

/// Calls and watches under way on one connection, as gRPC servers usually allow.
const STREAMS_MAX: u32 = 128;

/// The in-process server of the same API subset; honest only inside one process:
/// it forgets everything when that ends. Clones share it.
#[derive(Clone, Debug)]
pub struct EmbeddedRegistry {
    accept: mpsc::Sender<io::Result<Transport>>,
}

impl EmbeddedRegistry {
    /// An empty registry. Needs a tokio runtime around it; ends with its tasks.
    pub fn start(clock: &Clock, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            changed: Notify::new(),
            granted: Notify::new(),
            clock: clock.clone(),
            stop: tasks.stop_token(),
        });
        let (accept, connections) = mpsc::channel(ACCEPT_MAX);
        let leases = shared.clone();
        tasks.spawn("embedded registry leases", move |stop| {
            end_leases(leases, stop)
        });
        tasks.spawn("embedded registry", move |stop| {
            serve(shared, connections, stop)
        });
        Self { accept }
    }

    /// Serves a connection, whatever carries it; a client speaks HTTP/2 on it. Fails
    /// when the registry has ended. Cancel-safe.
    pub async fn accept(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> io::Result<()> {
        let ended = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "registry has ended");
        self.accept
            .send(Ok(Transport::new(io)))
            .await
            .map_err(ended)
    }

    /// A connection inside this process.
    pub(super) async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.accept(far).await?;
        Ok(near)
    }
}

/// What all services work on.
struct Shared {
    /// Guards everything the registry knows; held for one request, never across an await.
    state: Mutex<State>,
    /// Told after the revision has grown.
    changed: Notify,
    /// Told after a lease was granted: it may be the next to end.
    granted: Notify,
    clock: Clock,
    stop: Stop,
}

impl Shared {
    /// Lets `decide` look at the state as it is now, and tells the watches.
    fn ask<T>(
        &self,
        decide: impl FnOnce(&mut State, Moment) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut state = self.state.lock();
        let now = self.clock.now();
        let before = state.revision();
        state.expire(now);
        let answer = decide(&mut state, now);
        let changed = state.revision() != before;
        drop(state);
        if changed {
            self.changed.notify_waiters();
        }
        answer
    }

    /// The same as a gRPC answer.
    fn answer<T>(
        &self,
        decide: impl FnOnce(&mut State, Moment) -> Result<T, Refusal>,
    ) -> Result<Response<T>, Status> {
        self.ask(decide).map(Response::new).map_err(status)
    }
}

/// Ends leases in time even if nobody asks, so that watches see it.
async fn end_leases(shared: Arc<Shared>, stop: Stop) {
    loop {
        let deadline = shared.state.lock().next_deadline();
        let deadline_comes = async {
            match deadline {
                Some(deadline) => shared.clock.sleep(deadline.since(shared.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            () = shared.granted.notified() => {}
            () = deadline_comes => {
                let ended = shared.ask(|_, _| Ok(()));
                debug_assert!(ended.is_ok(), "nothing was asked");
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    connections: mpsc::Receiver<io::Result<Transport>>,
    stop: Stop,
) {
    let service = RegistryService(shared);
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(PbKvServer::new(service.clone()))
        .add_service(PbLeaseServer::new(service.clone()))
        .add_service(PbMaintenanceServer::new(service.clone()))
        .add_service(PbWatchServer::new(service))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.stopped())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "embedded registry ended");
    }
}
