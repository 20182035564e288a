//! Simulated sockets where the product has real ones.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cached::frontend::server::Listener;
use cached::registry::Registry;
use cached_client::connections::{ConnectOptions, Dialer, Io};
use hyper_util::rt::TokioIo;
use tonic::transport::{Endpoint, Uri};
use turmoil::net::{TcpListener, TcpStream};

/// Every node listens here.
pub const NODE_PORT: u16 = 8001;
/// The registry listens here.
pub const REGISTRY_PORT: u16 = 2379;
/// The registry's host.
pub const REGISTRY_HOST: &str = "registry";

/// As the daemon's own client has it.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

/// A simulated listener.
pub struct Port(TcpListener);

impl Listener for Port {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(stream)
    }
}

/// Listens on this host.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
}

/// The same for the daemon.
pub async fn node_port() -> io::Result<(Port, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, NODE_PORT));
    Ok((Port(listen(NODE_PORT).await?), address))
}

/// Connects to other hosts.
pub fn dialer() -> Dialer {
    Arc::new(|address: String| {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    })
}

/// How clients connect.
pub fn connect_options() -> ConnectOptions {
    ConnectOptions {
        dialer: Some(dialer()),
        ..ConnectOptions::default()
    }
}

/// The registry as this host reaches it.
pub fn registry() -> Registry {
    let endpoint = Endpoint::from_static("http://registry:2379")
        .http2_keep_alive_interval(Duration::from_secs(6))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(false)
        .buffer_size(256);
    let channel = endpoint.connect_with_connector_lazy(tower::service_fn(|_: Uri| async {
        let connecting = TcpStream::connect((REGISTRY_HOST, REGISTRY_PORT));
        let stream = tokio::time::timeout(Duration::from_secs(1), connecting).await??;
        Ok::<_, io::Error>(TokioIo::new(stream))
    }));
    Registry::over(
        "simulated",
        vec![(REGISTRY_HOST.into(), channel)],
        REGISTRY_TIMEOUT,
    )
}
