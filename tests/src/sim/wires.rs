//! Connections that a node has dialed, and that break at its end alone: the other end
//! hears nothing of it, and keeps what it holds for them. So do firewalls that forget.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use cached_client::connections::{Dialer, Io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use turmoil::net::TcpStream;

use super::scene::now;
use crate::history::Micros;

/// The connections of one node to all others.
#[derive(Clone, Default)]
pub struct Wires(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By the other's host.
    hosts: Mutex<BTreeMap<String, Host>>,
    /// Halves that nobody here uses any more, and whose other halves live.
    forgotten: Mutex<Vec<TcpStream>>,
}

/// What is known of one other host.
struct Host {
    /// How often connections to it broke.
    breaks: watch::Sender<u64>,
    /// It cannot be dialed before.
    dead_until: Micros,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            breaks: watch::Sender::new(0),
            dead_until: 0,
        }
    }
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wires").finish()
    }
}

impl Wires {
    /// All connections to this host break, and none can be made before `dead_until`.
    pub fn break_to(&self, host: &str, dead_until: Micros) {
        let mut hosts = self.0.hosts.lock().unwrap();
        let host = hosts.entry(host.to_owned()).or_default();
        host.dead_until = dead_until;
        host.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Connects to other hosts.
    pub fn dialer(&self) -> Dialer {
        let wires = self.clone();
        Arc::new(move |address: String| {
            let wires = wires.clone();
            Box::pin(async move {
                let broken = wires.broken(&address)?;
                let stream = TcpStream::connect(address).await?;
                let wire = Wire {
                    stream: Some(stream),
                    broken,
                    wires: wires.0.clone(),
                };
                Ok(Box::new(wire) as Box<dyn Io>)
            })
        })
    }

    /// Ends when connections to this address that are made now break.
    fn broken(&self, address: &str) -> io::Result<Broken> {
        let host = address.split(':').next().unwrap_or_default();
        let mut hosts = self.0.hosts.lock().unwrap();
        let host = hosts.entry(host.to_owned()).or_default();
        if now() < host.dead_until {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let mut breaks = host.breaks.subscribe();
        Ok(Box::pin(async move {
            if breaks.changed().await.is_err() {
                std::future::pending().await
            }
        }))
    }
}

type Broken = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One connection.
struct Wire {
    /// None once it broke.
    stream: Option<TcpStream>,
    broken: Broken,
    wires: Arc<Inner>,
}

impl Wire {
    /// The connection, unless it broke; then its end here is kept, so that it says nothing
    /// to the other.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if self.stream.is_some() && self.broken.as_mut().poll(context).is_ready() {
            let mut forgotten = self.wires.forgotten.lock().unwrap();
            forgotten.extend(self.stream.take());
        }
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_shutdown(context)
    }
}
