//! The ways to the registry, one per endpoint: which one a call takes, and how long.
//!
//! A balancer over one channel would not do: it counts an endpoint whose host is
//! down or whose process hangs as ready and gives it its share of the calls, and it
//! picks by random numbers of its own, which no simulation can repeat.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use parking_lot::Mutex;
use tonic::transport::Channel;

use super::RegistryError;
use super::failure::explain;

/// A read of the whole table is about 4 MiB, a watch that catches up on a thousand
/// changed pages about 16 MiB.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;

/// User name and password.
pub(super) type Credentials = (String, String);

/// What doing it twice would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The same as once: a link that does not answer costs only its share of the
    /// time, then the next is asked.
    Repeatable,
    /// Something else: after anything but proof that it did nothing, no other link
    /// is asked.
    Once,
}

/// etcd-client's stubs for one link.
#[derive(Clone)]
pub(super) struct Stubs {
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
    pub(super) maintenance: MaintenanceClient,
}

/// One endpoint, connected and logged in when first needed.
pub(super) struct Link {
    name: String,
    channel: Channel,
    credentials: Option<Credentials>,
    secure: bool,
    /// Guards the stubs with their token; `None` until logged in.
    stubs: Mutex<Option<Stubs>>,
}

impl Link {
    /// `name` is for people.
    pub(super) fn new(name: String, channel: Channel, credentials: Option<Credentials>) -> Self {
        Self {
            name,
            channel,
            credentials,
            secure: false,
            stubs: Mutex::new(None),
        }
    }

    /// The channel speaks TLS.
    pub(super) fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Logs in if there is someone to log in as. Two calls may do so at once: a
    /// second token harms nothing.
    async fn stubs(&self) -> Result<Stubs, RegistryError> {
        if let Some(stubs) = self.stubs.lock().clone() {
            return Ok(stubs);
        }
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, password)) = &self.credentials {
            options = options
                .with_user(user, password)
                .with_auto_token_refresh(true);
        }
        let channel = etcd_client::Channel::Tonic(self.channel.clone());
        let client = Client::from_channel(channel, Some(options))
            .await
            .map_err(|error| {
                match self.name_in(explain(error)) {
                    // Only the login was sent.
                    RegistryError::Unknown(why) => RegistryError::Unavailable(why),
                    other => other,
                }
            })?;
        let stubs = Stubs {
            kv: client
                .kv_client()
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            lease: client.lease_client(),
            watch: client
                .watch_client()
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            maintenance: client.maintenance_client(),
        };
        *self.stubs.lock() = Some(stubs.clone());
        Ok(stubs)
    }

    async fn attempt<T, F>(&self, call: impl FnOnce(Stubs) -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let outcome = call(self.stubs().await?)
            .await
            .map_err(|error| self.name_in(explain(error)));
        if matches!(
            outcome,
            Err(RegistryError::Denied(_) | RegistryError::Unavailable(_))
        ) {
            // The token may be what was refused: log in anew next time.
            *self.stubs.lock() = None;
        }
        outcome
    }

    /// Says which endpoint it was.
    fn name_in(&self, error: RegistryError) -> RegistryError {
        let name = &self.name;
        match error {
            // A server refuses our certificate after the handshake, when all that reaches
            // us is that the connection closed, or at best the words of an alert.
            RegistryError::Unknown(why) if self.secure && why.contains("connection") => {
                let hint = "it may want a client certificate, or another than ours";
                RegistryError::Unknown(format!("{name}: {why}; {hint}"))
            }
            RegistryError::Unknown(why) => RegistryError::Unknown(format!("{name}: {why}")),
            RegistryError::Unavailable(why) => RegistryError::Unavailable(format!("{name}: {why}")),
            RegistryError::Denied(why) => RegistryError::Denied(format!("{name}: {why}")),
            other => other,
        }
    }
}

/// All links of one registry.
pub(super) struct Links {
    links: Vec<Link>,
    /// Index of the link that the next call tries first: the last that answered.
    preferred: AtomicUsize,
    timeout: Duration,
}

impl Links {
    /// At least one link; every call ends within `timeout`.
    pub(super) fn new(links: Vec<Link>, timeout: Duration) -> Self {
        Self {
            links,
            preferred: AtomicUsize::new(0),
            timeout,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.links.iter().map(|link| link.name.clone()).collect()
    }

    /// Calls over the preferred link, and over the others as far as the first
    /// ones provably did nothing or `effect` allows it.
    pub(super) async fn call<T, F>(
        &self,
        effect: Effect,
        call: impl Fn(Stubs) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let tried = AtomicUsize::new(self.preferred.load(Ordering::Relaxed));
        match tokio::time::timeout(self.timeout, self.walk(effect, call, &tried)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let index = tried.load(Ordering::Relaxed);
                self.move_on_from(index);
                Err(self.silent(index, self.timeout))
            }
        }
    }

    async fn walk<T, F>(
        &self,
        effect: Effect,
        call: impl Fn(Stubs) -> F,
        tried: &AtomicUsize,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let share = match effect {
            Effect::Repeatable => self.timeout / self.links.len() as u32,
            Effect::Once => self.timeout,
        };
        let first = tried.load(Ordering::Relaxed);
        let mut outcome = Err(RegistryError::Unavailable("no endpoint".into()));
        for turn in 0..self.links.len() {
            let index = (first + turn) % self.links.len();
            tried.store(index, Ordering::Relaxed);
            let attempt = self.links[index].attempt(&call);
            // The last gets whatever time is left.
            let share = if turn + 1 == self.links.len() {
                self.timeout
            } else {
                share
            };
            outcome = match tokio::time::timeout(share, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => Err(self.silent(index, share)),
            };
            let again = match &outcome {
                Err(RegistryError::Unavailable(_)) => true,
                Err(RegistryError::Unknown(_)) => effect == Effect::Repeatable,
                _ => return outcome,
            };
            self.move_on_from(index);
            if !again {
                break;
            }
        }
        outcome
    }

    /// Only if it is still preferred: of several calls that found it silent, one
    /// moves on, the others must not skip the next.
    fn move_on_from(&self, index: usize) {
        let next = (index + 1) % self.links.len();
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.preferred.compare_exchange(index, next, set, fetch);
    }

    fn silent(&self, index: usize, after: Duration) -> RegistryError {
        RegistryError::Unknown(format!(
            "{} is silent for {after:?}",
            self.links[index].name
        ))
    }
}
