//! What the driver, its helpers and the handle share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::registry_keys::RegistryKeys;
use cached_proto::types::{MemberId, NodeName};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::checks::ClockSample;
use super::state::Trouble;
use super::state::event::Event;
use super::view::ViewCell;
use super::{ClusterConfig, ClusterParts};
use crate::clock::{Clock, Moment};
use crate::counters::Counters;
use crate::parking::Parking;
use crate::peers::{Peer, PeerError, Peers, ProbeAnswer, Unanswered};
use crate::registry::Registry;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::transfer::Transfers;

/// How long results of probes are kept for peers that ask.
const PROBED_FOR: Duration = Duration::from_secs(60);

/// Makes the handle's random numbers others than the state's, from one seed.
const HANDLE: u64 = 0x6861_6e64;

/// What the driver knows and others ask for between its events.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Start of the last linearizable read that succeeded.
    pub(super) registry_ok: Moment,
    /// How long the last self-check took.
    pub(super) round_trip: Duration,
    /// Of the own member key, while registered.
    pub(super) create_revision: Option<i64>,
    /// Receivers that do not take slots from this process as they should.
    pub(super) trouble: BTreeMap<NodeName, Trouble>,
    /// What keeps the cluster from being healthy.
    pub(super) problems: Vec<String>,
    /// Why this process cannot be part of the cluster.
    pub(super) refused: Option<String>,
}

/// What probes of one member came to last.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastProbe {
    pub(super) started: Moment,
    /// Whether it answered as that incarnation, and then whether it was fenced. One that
    /// does not let this process in counts as fenced: it lives if the registry knows it.
    pub(super) fenced: Option<bool>,
}

impl LastProbe {
    /// What a probe of a member that began then came to.
    pub(super) fn new(
        started: Moment,
        of: &MemberId,
        result: Result<&ProbeAnswer, &Unanswered>,
    ) -> Self {
        let fenced = match result {
            Ok(answer) => (answer.id == *of).then_some(answer.fenced),
            Err(Unanswered::Refused(_)) => Some(true),
            Err(Unanswered::Silent(_)) => None,
        };
        Self { started, fenced }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ClusterConfig,
    pub(super) keys: RegistryKeys,
    /// This member; `None`: a gateway.
    pub(super) id: Option<MemberId>,
    pub(super) registry: Registry,
    pub(super) server_version: String,
    pub(super) store: Arc<Store>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) view: Arc<ViewCell>,
    pub(super) counters: Arc<Counters>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) parking: Arc<Parking>,
    pub(super) events: mpsc::Sender<Event>,
    /// Guards plain values; held for a copy.
    pub(super) facts: Mutex<Facts>,
    /// Guards the results of probes; held for a look-up.
    probed: Mutex<BTreeMap<MemberId, LastProbe>>,
    /// Names what operators plan.
    rng: Mutex<StdRng>,
    pub(super) signed_off: CancellationToken,
    pub(super) gave_up: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        parts: ClusterParts,
        id: Option<MemberId>,
        server_version: String,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let facts = Facts {
            registry_ok: parts.clock.now(),
            ..Facts::default()
        };
        Self {
            keys: RegistryKeys::new(&parts.config.cluster),
            config: parts.config,
            id,
            registry: parts.registry,
            server_version,
            store: parts.store,
            peers: parts.peers,
            clock: parts.clock,
            tasks: parts.tasks,
            view: parts.view,
            counters: parts.counters,
            transfers: parts.transfers,
            parking: parts.parking,
            events,
            facts: Mutex::new(facts),
            rng: Mutex::new(StdRng::seed_from_u64(parts.seed ^ HANDLE)),
            probed: Mutex::default(),
            signed_off: CancellationToken::new(),
            gave_up: CancellationToken::new(),
        }
    }

    /// A random number.
    pub(super) fn random(&self) -> u32 {
        self.rng.lock().random()
    }

    pub(super) fn remember_probe(&self, id: MemberId, probe: LastProbe) {
        let mut probed = self.probed.lock();
        probed.retain(|_, old| probe.started.since(old.started) < PROBED_FOR);
        probed.insert(id, probe);
    }

    pub(super) fn last_probe(&self, id: &MemberId) -> Option<LastProbe> {
        self.probed.lock().get(id).copied()
    }
}

/// Probes a member and compares clocks. Ends within `timeout`. Cancel-safe.
pub(super) async fn probe(
    peers: &dyn Peers,
    clock: &Clock,
    peer: &Peer,
    timeout: Duration,
) -> Result<(ProbeAnswer, ClockSample), Unanswered> {
    if peer.address.is_empty() {
        let why = "its address is not known".to_owned();
        return Err(Unanswered::Silent(why));
    }
    let (sent, wall) = (clock.now(), clock.wall());
    let unanswered = |error: PeerError| match error.is_refusal_of_rights() {
        true => Unanswered::Refused(error.to_string()),
        false => Unanswered::Silent(error.to_string()),
    };
    let answer = peers.probe(peer, timeout).await.map_err(unanswered)?;
    let round_trip = clock.now().since(sent);
    let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX);
    let theirs = i64::try_from(answer.wall_clock_ms).unwrap_or(i64::MAX);
    let ours = i64::try_from(wall.0)
        .unwrap_or(i64::MAX)
        .saturating_add(half);
    Ok((
        answer,
        ClockSample {
            round_trip,
            offset_ms: theirs.saturating_sub(ours),
        },
    ))
}
