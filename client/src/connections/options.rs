//! What a program decides about its connections; secrets in it stay hidden.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::limits::{KEY_BYTES_MAX, MESSAGE_OVERHEAD_BYTES, VALUE_BYTES_DEFAULT};
use cached_proto::types::Invalid;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Certificates for TLS, as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authority that signed the nodes' certificates; `None`: the system's roots are
    /// not used either, so a CA is needed for TLS.
    pub ca_pem: Option<Vec<u8>>,
    /// Certificate and key to show when asked for (mutual TLS).
    pub identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Name to expect in the certificate instead of the address's host.
    pub server_name: Option<String>,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("ca", &self.ca_pem.is_some())
            .field("identity", &self.identity_pem.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}

impl TlsOptions {
    /// The same, as tonic wants it; `handshake` bounds the TLS handshake.
    pub(crate) fn to_tonic(&self, handshake: Duration) -> Result<ClientTlsConfig, Invalid> {
        let Some(ca) = &self.ca_pem else {
            return Err(Invalid::new(
                "tls",
                "needs the CA that signed the nodes' certificates",
            ));
        };
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .timeout(handshake);
        if let Some((certificate, key)) = &self.identity_pem {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

/// A bearer token. It shows itself to nobody but the node that is called.
#[derive(Clone)]
pub struct Token(pub(super) MetadataValue<Ascii>);

impl Token {
    /// Checks that the token can stand in a header.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("token", "is empty"));
        }
        let wrong = |_| Invalid::new("token", "may only hold visible ASCII characters");
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(wrong)?;
        // HTTP/2 then keeps it out of its header tables.
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A byte stream to a node.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Opens a stream to `host:port` in place of TCP: simulated networks.
pub type Dialer = Arc<dyn Fn(String) -> Dialing + Send + Sync>;

/// How connections are made.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Bearer token.
    pub token: Option<Token>,
    /// TLS; `None`: plaintext.
    pub tls: Option<TlsOptions>,
    /// Bound of making a connection. 1 s by default: a third of a call's time, so
    /// that another node can still be asked.
    pub connect_timeout: Duration,
    /// Largest message accepted or sent, in bytes. By default one value of the
    /// default limit fits, with its key.
    pub message_bytes_max: usize,
    /// Replaces TCP; `None`: TCP.
    pub dialer: Option<Dialer>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            token: None,
            tls: None,
            connect_timeout: Duration::from_secs(1),
            message_bytes_max: VALUE_BYTES_DEFAULT + KEY_BYTES_MAX + MESSAGE_OVERHEAD_BYTES,
            dialer: None,
        }
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("token", &self.token)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("dialer", &self.dialer.is_some())
            .finish()
    }
}
