//! One channel per node, shared and bounded; token and TLS in one place.

mod options;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_proto::types::Invalid;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint, Uri};

pub use options::{ConnectOptions, Dialer, Dialing, Io, TlsOptions, Token};

use crate::address::Address;
use crate::error::Error;

/// Most channels kept: every member that a cluster may have, and as many again for
/// seeds and members that were replaced. Beyond it the one unused longest goes.
pub const CHANNELS_MAX: usize = 2 * cached_proto::limits::MEMBERS_MAX;

/// How often a connection with open calls is pinged, and how long the answer may
/// take: a peer whose machine vanished is noticed within 13 s, also on a stream
/// that carries nothing.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// A channel that sends the token with every call.
pub type Link = tonic::service::interceptor::InterceptedService<Channel, Bearer>;

/// Adds the token in force to a call.
#[derive(Clone, Debug)]
pub struct Bearer(Arc<ArcSwapOption<Token>>);

impl tonic::service::Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = self.0.load().as_deref() {
            request
                .metadata_mut()
                .insert("authorization", token.0.clone());
        }
        Ok(request)
    }
}

/// Channels by address. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Without what can be replaced: token and TLS.
    options: ConnectOptions,
    token: Bearer,
    channels: Mutex<Channels>,
    /// See [`Connections::generation`].
    generation: AtomicU64,
}

/// Keyed by `host:port`; `uses` numbers the uses of all of them.
#[derive(Debug, Default)]
struct Channels {
    /// What all of them were opened with.
    tls: Option<TlsOptions>,
    by_authority: BTreeMap<String, Used>,
    uses: u64,
}

#[derive(Debug)]
struct Used {
    channel: Channel,
    last: u64,
}

impl Connections {
    /// No connection yet.
    pub fn new(mut options: ConnectOptions) -> Self {
        let token = options.token.take().map(Arc::new);
        let token = Bearer(Arc::new(ArcSwapOption::new(token)));
        let channels = Channels {
            tls: options.tls.take(),
            ..Channels::default()
        };
        Self(Arc::new(Inner {
            options,
            token,
            channels: Mutex::new(channels),
            generation: AtomicU64::new(0),
        }))
    }

    /// Replaces the token of all calls that begin from now on.
    pub fn set_token(&self, token: Option<Token>) {
        self.0.token.0.store(token.map(Arc::new));
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// Replaces authority and certificate of all connections that are made from now
    /// on. If they differ from those in force, channels are forgotten; calls that run
    /// on them end as they would have. Fails for certificates that cannot be used, and
    /// leaves the old in force.
    pub fn set_tls(&self, tls: Option<TlsOptions>) -> Result<(), Error> {
        if let Some(tls) = &tls {
            let config = tls.to_tonic(self.0.options.connect_timeout)?;
            Endpoint::from_static("https://localhost")
                .tls_config(config)
                .map_err(|error| Invalid::new("tls", chain(&error)))?;
        }
        let mut channels = self.0.channels.lock();
        if channels.tls != tls {
            channels.tls = tls;
            channels.by_authority.clear();
            self.0.generation.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Changes whenever token or TLS were replaced: a stream that was opened under an
    /// earlier number goes on with what it showed then.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The channel of an address (see [`Address::parse`]), connected when first used
    /// and again after it broke. Fails for a wrong address or wrong certificates
    /// only. Needs a tokio runtime.
    pub fn link(&self, address: &str) -> Result<Link, Error> {
        let mut channels = self.0.channels.lock();
        channels.uses += 1;
        let uses = channels.uses;
        if let Some(used) = channels.by_authority.get_mut(address) {
            used.last = uses;
            return Ok(self.0.link(used.channel.clone()));
        }
        let address = Address::parse(address)?;
        check_scheme(&address, channels.tls.is_some())?;
        if let Some(used) = channels.by_authority.get_mut(&address.authority) {
            used.last = uses;
            return Ok(self.0.link(used.channel.clone()));
        }
        let channel = self.0.open(&address, channels.tls.as_ref())?;
        channels.drop_oldest_if_full();
        let used = Used {
            channel: channel.clone(),
            last: uses,
        };
        channels.by_authority.insert(address.authority, used);
        Ok(self.0.link(channel))
    }

    /// The stub of the data service at an address.
    pub fn cache(&self, address: &str) -> Result<CacheClient<Link>, Error> {
        let max = self.message_bytes_max();
        let client = CacheClient::new(self.link(address)?);
        Ok(client
            .max_decoding_message_size(max)
            .max_encoding_message_size(max))
    }

    /// The stub of the operators' service at an address.
    pub fn admin(&self, address: &str) -> Result<AdminClient<Link>, Error> {
        let max = self.message_bytes_max();
        let client = AdminClient::new(self.link(address)?);
        Ok(client
            .max_decoding_message_size(max)
            .max_encoding_message_size(max))
    }

    /// The stub of the node-to-node service at an address.
    pub fn peer(&self, address: &str) -> Result<PeerClient<Link>, Error> {
        let max = self.message_bytes_max();
        let client = PeerClient::new(self.link(address)?);
        Ok(client
            .max_decoding_message_size(max)
            .max_encoding_message_size(max))
    }

    /// Forgets the channels whose `host:port` is not kept; calls that run on them end
    /// as they would have.
    pub fn retain(&self, keep: &dyn Fn(&str) -> bool) {
        self.0
            .channels
            .lock()
            .by_authority
            .retain(|authority, _| keep(authority));
    }

    /// Largest message accepted or sent, in bytes.
    pub fn message_bytes_max(&self) -> usize {
        self.0.options.message_bytes_max
    }

    /// How many channels are kept.
    pub fn len(&self) -> usize {
        self.0.channels.lock().by_authority.len()
    }

    /// Whether no channel is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Channels {
    fn drop_oldest_if_full(&mut self) {
        if self.by_authority.len() < CHANNELS_MAX {
            return;
        }
        let oldest = self.by_authority.iter().min_by_key(|(_, used)| used.last);
        if let Some(authority) = oldest.map(|(authority, _)| authority.clone()) {
            self.by_authority.remove(&authority);
        }
    }
}

impl Inner {
    fn link(&self, channel: Channel) -> Link {
        Link::new(channel, self.token.clone())
    }

    fn open(&self, address: &Address, tls: Option<&TlsOptions>) -> Result<Channel, Error> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}", address.authority);
        let wrong = |error: tonic::transport::Error| {
            Invalid::new(
                "address",
                format!("{uri} cannot be used: {}", chain(&error)),
            )
        };
        let mut endpoint = Endpoint::from_shared(uri.clone())
            .map_err(wrong)?
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false);
        if let Some(tls) = tls {
            let config = tls.to_tonic(self.options.connect_timeout)?;
            endpoint = endpoint.tls_config(config).map_err(wrong)?;
        }
        Ok(match &self.options.dialer {
            None => endpoint
                .connect_timeout(self.options.connect_timeout)
                .connect_lazy(),
            Some(dialer) => self.dial(&endpoint, address.authority.clone(), dialer.clone()),
        })
    }

    fn dial(&self, endpoint: &Endpoint, authority: String, dialer: Dialer) -> Channel {
        let timeout = self.options.connect_timeout;
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let dialing = dialer(authority.clone());
            async move {
                // Bounded here and not by the endpoint, whose own timeout could not be
                // told from a call that was lost after it was sent.
                let stream = tokio::time::timeout(timeout, dialing).await??;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        }))
    }
}

fn check_scheme(address: &Address, tls: bool) -> Result<(), Invalid> {
    let (scheme, problem) = match (address.tls, tls) {
        (Some(true), false) => ("https", "needs a CA: TLS is not configured"),
        // The token would travel in the clear although TLS was asked for.
        (Some(false), true) => ("http", "contradicts the TLS that is configured"),
        _ => return Ok(()),
    };
    let problem = format!("{scheme}://{} {problem}", address.authority);
    Err(Invalid::new("address", problem))
}

/// An error with its causes, for people: the outermost alone says "transport error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
