//! The start of a member or gateway: checks first, then the name, then the loop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::limits::GROUPS_MAX;
use cached_proto::records::{GroupRecord, MemberState};
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::types::{Incarnation, MemberId};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

use super::checks::{self, Version};
use super::driver::{Driver, EVENTS_MAX};
use super::shared::{Shared, probe};
use super::state::State;
use super::state::mirror::Mirror;
use super::{Cluster, ClusterParts, StartError};
use crate::peers::{Peer, Unanswered};
use crate::registry::{Compare, Range, RegistryError, Txn, Write};

/// Pause between tries while the registry does not answer; doubles up to a second.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Members whose clocks are compared, and probes of each: a clock that is off from one
/// member's is off from nearly all.
const CLOCK_MEMBERS: usize = 5;
const CLOCK_SAMPLES: usize = 3;

/// Checks, registers, starts the loop.
pub(super) async fn start(mut parts: ClusterParts) -> Result<Cluster, StartError> {
    let mut rng = StdRng::seed_from_u64(parts.seed);
    let inc = Incarnation(rng.random());
    if let Some(member) = &mut parts.config.member {
        member.id.inc = inc;
        member.state = MemberState::Joining;
    }
    let (server_version, birth) = {
        let starting = Starting {
            keys: RegistryKeys::new(&parts.config.cluster),
            parts: &parts,
        };
        let mirror = starting.look().await?;
        let version = starting.check_version().await?;
        starting.check_clock(&mirror).await?;
        starting.create_group(&mirror).await?;
        let birth = match &parts.config.member {
            Some(member) => Some(starting.claim_name(member).await?),
            None => None,
        };
        (version, birth)
    };
    let id = parts.config.member.as_ref().map(|member| member.id.clone());
    let now = parts.clock.now();
    let state = State::new(parts.config.clone(), birth, rng.random(), now);
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let tasks = parts.tasks.clone();
    let (none, told) = mpsc::channel(1);
    drop(none);
    let told = std::mem::replace(&mut parts.told, told);
    let shared = Arc::new(Shared::new(parts, id, server_version, sender));
    let driver = Driver::new(shared.clone(), state, receiver, told);
    tasks.spawn("cluster", |stop| driver.run(stop));
    Ok(Cluster { shared })
}

/// What the steps of a start work with.
pub(super) struct Starting<'a> {
    pub(super) parts: &'a ClusterParts,
    pub(super) keys: RegistryKeys,
}

impl Starting<'_> {
    /// Repeats a call until it succeeds, is refused, or has failed for the whole of
    /// `start_timeout`.
    pub(super) async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, StartError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let clock = &self.parts.clock;
        let (mut deadline, mut pause) = (None, PAUSE);
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let now = clock.now();
            let deadline = *deadline.get_or_insert(now + self.parts.config.start_timeout);
            let stopped = self.parts.tasks.stop_token().is_stopped();
            if matches!(error, RegistryError::Denied(_) | RegistryError::Invalid(_))
                || now >= deadline
                || stopped
            {
                return Err(error.into());
            }
            tracing::warn!("waiting for the registry: {error}");
            clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Reads what is there and compares the settings.
    async fn look(&self) -> Result<Mirror, StartError> {
        let registry = &self.parts.registry;
        let mut mirror = Mirror::new(self.keys.clone());
        let range = Range::Prefix(self.keys.prefix().to_owned());
        let snapshot = self.patiently(|| registry.read(range.clone())).await?;
        mirror.read(&range, snapshot, &mut Vec::new());
        if let Some(why) = mirror.unreadable.get(&self.keys.key(&RegistryKey::Meta)) {
            let key = self.keys.key(&RegistryKey::Meta);
            return Err(StartError::Refused(format!(
                "the registry key {key} is unreadable: {why}"
            )));
        }
        if let Some(meta) = &mirror.meta {
            checks::settings(&self.parts.config, &meta.value).map_err(StartError::Refused)?;
        }
        Ok(mirror)
    }

    async fn check_version(&self) -> Result<String, StartError> {
        let registry = &self.parts.registry;
        let version = self.patiently(|| registry.server_version()).await?;
        if registry.kind() == "embedded" {
            return Ok(version);
        }
        match checks::version(&version, self.parts.config.mode) {
            Version::Good => {}
            Version::Warn(text) => tracing::warn!("{text}"),
            Version::Refuse(text) => return Err(StartError::Refused(text)),
        }
        Ok(version)
    }

    /// Compares the clock with those of members that answer.
    async fn check_clock(&self, mirror: &Mirror) -> Result<(), StartError> {
        let own = self
            .parts
            .config
            .member
            .as_ref()
            .map(|member| &member.id.name);
        let others = mirror.members.values().map(|held| &held.value);
        let others = others.filter(|record| Some(&record.id.name) != own);
        let peers = others.map(|r| Peer {
            id: r.id.clone(),
            address: r.address.clone(),
        });
        let checks = peers.take(CLOCK_MEMBERS).map(|peer| async move {
            let mut samples = Vec::new();
            while samples.len() < CLOCK_SAMPLES
                && let Ok((id, sample)) = self.probe(&peer).await
                && id == peer.id
            {
                samples.push(sample);
            }
            checks::clock(&peer.id.name, &samples)
        });
        let results = join_all(checks).await;
        results
            .into_iter()
            .collect::<Result<(), String>>()
            .map_err(StartError::Refused)
    }

    pub(super) async fn probe(
        &self,
        peer: &Peer,
    ) -> Result<(MemberId, checks::ClockSample), Unanswered> {
        let (peers, clock) = (&*self.parts.peers, &self.parts.clock);
        let result = probe(peers, clock, peer, self.parts.config.probe_timeout).await;
        result.map(|(answer, sample)| (answer.id, sample))
    }

    /// Creates the process's own group, if nobody has.
    async fn create_group(&self, mirror: &Mirror) -> Result<(), StartError> {
        let name = self.parts.config.group.clone();
        if mirror.groups.contains_key(&name) {
            return Ok(());
        }
        if mirror.groups.len() >= GROUPS_MAX {
            let text = format!(
                "group {name} cannot be created: the cluster has {GROUPS_MAX} groups, the most it may"
            );
            return Err(StartError::Refused(text));
        }
        let key = self.keys.key(&RegistryKey::Group(name.clone()));
        let record = GroupRecord {
            name,
            max_bytes: None,
            default_ttl_ms: None,
            policy: self.parts.config.policy,
            resp_db: None,
        };
        let value = serde_json::to_vec(&record).expect("a record has string keys");
        let txn = Txn {
            compares: vec![Compare::CreateRevision(key.clone(), 0)],
            writes: vec![Write::Put {
                key,
                value: value.into(),
                lease: 0,
            }],
        };
        // Succeeded or not, the group is there.
        self.patiently(|| self.parts.registry.txn(txn.clone()))
            .await?;
        Ok(())
    }
}
