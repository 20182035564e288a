//! Hand-made views and scripted peers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Failure, OwnerHint};
use cached_proto::operation::{Answer, Condition, Entry, Operation, Outcome, Reply, Route};
use cached_proto::pb::cached::admin::v1::{BlacklistEntry, NodeStats};
use cached_proto::records::{GroupRecord, MemberRecord, MemberState, Policy};
use cached_proto::ring::slot_of;
use cached_proto::types::{Epoch, GroupName, Incarnation, Key, MemberId, NodeName, Slot};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::blacklist::{BreakerConfig, Breakers};
use crate::clock::Clock;
use crate::cluster::view::{ClusterView, MemberView, SlotOwner, ViewCell};
use crate::command::Command;
use crate::counters::Counters;
use crate::getter::{Getter, GetterConfig, GetterParts, Origin};
use crate::hotkeys::HotKeys;
use crate::peers::{
    Answered, Forwarded, OnItsWay, Passed, Peer, PeerError, PeerFuture, Peers, ProbeAnswer,
    Suspect, Verdict,
};
use crate::router::{Router, RouterLimits, RouterParts};
use crate::store::{Store, StoreConfig};
use crate::tasks::Tasks;

/// Epoch of all rows of a fresh view.
pub(super) const EPOCH: Epoch = Epoch(5);

/// Wall clock at the start of every test.
pub(super) const WALL_MS: u64 = 1_700_000_000_000;

pub(super) fn member(name: &str, inc: u128) -> MemberId {
    MemberId {
        name: NodeName::new(name).unwrap(),
        inc: Incarnation(inc),
    }
}

pub(super) fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

pub(super) fn address(name: &str) -> String {
    format!("{name}:8001")
}

pub(super) fn peer(name: &str, inc: u128) -> Peer {
    Peer {
        id: member(name, inc),
        address: address(name),
    }
}

pub(super) fn living(name: &str, inc: u128) -> MemberView {
    let record = MemberRecord {
        id: member(name, inc),
        address: address(name),
        state: MemberState::Up,
        weight: 1,
        zone: String::new(),
        version: "0".into(),
        started_ms: 0,
        standby: false,
        resp_address: None,
        resp_cluster_address: None,
    };
    let id = record.id.clone();
    let record = Some(record);
    MemberView {
        id,
        record,
        absent_since: None,
        slots: 0,
        detail: String::new(),
    }
}

/// The view of n1 in a cluster of n1, n2 and n3, each in its first life: slot
/// number modulo 3 says who owns it.
pub(super) fn view_of_n1() -> ClusterView {
    let mut view = ClusterView::empty();
    view.number = 1;
    view.table_loaded = true;
    view.members = vec![living("n1", 1), living("n2", 2), living("n3", 3)];
    view.me = Some(0);
    let owner = |slot: Slot| SlotOwner {
        member: slot.number() % 3,
        epoch: EPOCH,
    };
    view.owners = Slot::all().map(owner).collect();
    let record = GroupRecord {
        name: group(),
        max_bytes: None,
        default_ttl_ms: None,
        policy: Policy::Lru,
        resp_db: None,
    };
    view.groups.insert(group(), record);
    view
}

/// The `n`-th key whose slot is owned by the member of that index.
pub(super) fn key_of(owner: u16, n: usize) -> Key {
    (0..)
        .map(|number| Key::new(format!("key{number}")).unwrap())
        .filter(|key| slot(key).number() % 3 == owner)
        .nth(n)
        .unwrap()
}

pub(super) fn slot(key: &Key) -> Slot {
    slot_of(ClusterView::empty().hash(), key.as_bytes())
}

pub(super) fn get(key: Key) -> Operation {
    Operation::Get {
        key,
        no_load: false,
        metadata_only: false,
    }
}

pub(super) fn set(key: Key, condition: Condition) -> Operation {
    Operation::Set {
        key,
        value: Bytes::from_static(b"v"),
        ttl: None,
        condition,
    }
}

pub(super) fn ok() -> Outcome {
    Ok(Answer {
        reply: Reply::Set {
            stored: true,
            version: None,
        },
        degraded: false,
    })
}

pub(super) fn found(value: &'static str) -> Outcome {
    let entry = Entry {
        value: Bytes::from_static(value.as_bytes()),
        version: None,
        ttl_ms: None,
        value_bytes: value.len() as u64,
        loaded: false,
        uncached: false,
    };
    Ok(Answer {
        reply: Reply::Get(Some(entry)),
        degraded: false,
    })
}

/// "Not me: n-something, by this epoch."
pub(super) fn redirect(slot: Slot, owner: &MemberId, epoch: Epoch) -> Failure {
    let address = Some(address(owner.name.as_str()));
    Failure::wrong_owner(OwnerHint {
        slot,
        epoch,
        owner: owner.clone(),
        address,
        also: Vec::new(),
    })
}

/// What a scripted peer does with one call.
pub(super) enum Deed {
    /// Answers every operation with this.
    Each(Outcome),
    /// Answers by the operations.
    Reply(fn(&Forwarded) -> Vec<Outcome>),
    /// Fails.
    Fail(PeerError),
    /// Fails when told to.
    FailAt(Arc<Notify>, PeerError),
    /// Never answers.
    Hang,
}

/// Peers that do what they are told, in order, and remember who was asked.
#[derive(Default)]
pub(super) struct Script {
    deeds: Mutex<VecDeque<Deed>>,
    pub(super) calls: Mutex<Vec<(Peer, Forwarded)>>,
    /// What comes of operations that are passed on; when there is no more, none is taken.
    pub(super) answers: Mutex<VecDeque<PassAnswer>>,
    /// What was passed on.
    pub(super) passed: Mutex<Vec<Passed>>,
    /// Kept open: nobody answers there.
    silent: Mutex<Vec<oneshot::Sender<Answered>>>,
}

/// What comes of an operation that is passed on: an answer, or nothing.
pub(super) type PassAnswer = Option<Answered>;

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub(super) fn then(&self, deed: Deed) -> &Self {
        self.deeds.lock().push_back(deed);
        self
    }

    /// Whom was asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.calls
            .lock()
            .iter()
            .map(|(peer, _)| peer.id.name.to_string())
            .collect()
    }
}

impl Peers for Script {
    fn pass(&self, to: &MemberId, address: &str, passed: Passed) -> Option<OnItsWay> {
        let answered = self.answers.lock().pop_front()?;
        self.passed.lock().push(passed);
        let (answer, receiver) = oneshot::channel();
        match answered {
            Some(answered) => answer.send(answered).expect("it is waited for"),
            None => self.silent.lock().push(answer),
        }
        let peer = Peer {
            id: to.clone(),
            address: address.to_owned(),
        };
        Some(OnItsWay {
            to: Arc::new(peer),
            answer: receiver,
        })
    }
    fn execute<'a>(&'a self, peer: &'a Peer, work: Forwarded) -> PeerFuture<'a, Vec<Outcome>> {
        self.calls.lock().push((peer.clone(), work.clone()));
        let deed = self.deeds.lock().pop_front();
        Box::pin(async move {
            match deed.expect("a call that the test did not foresee") {
                Deed::Each(outcome) => Ok(vec![outcome; work.operations.len()]),
                Deed::Reply(reply) => Ok(reply(&work)),
                Deed::Fail(error) => Err(error),
                Deed::FailAt(when, error) => {
                    when.notified().await;
                    Err(error)
                }
                Deed::Hang => std::future::pending().await,
            }
        })
    }
    fn probe<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, ProbeAnswer> {
        unreachable!("the router probes nobody")
    }
    fn report<'a>(&'a self, _: &'a Peer, _: Vec<Suspect>, _: Duration) -> PeerFuture<'a, ()> {
        unreachable!("the router reports nobody")
    }
    fn opinion<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a Peer,
        _: Duration,
        _: Duration,
    ) -> PeerFuture<'a, Verdict> {
        unreachable!("the router has no opinion")
    }
    fn stats<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, NodeStats> {
        unreachable!("the router asks for no numbers")
    }
    fn blacklist<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<BlacklistEntry>> {
        unreachable!("the router asks for no lists")
    }
    fn flush<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a GroupName,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::Flushed> {
        unreachable!("the router flushes nothing")
    }
    fn keys<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a GroupName,
        _: crate::peers::keys::KeysPlace,
        _: usize,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::keys::KeysPage> {
        unreachable!("nobody lists keys here")
    }

    fn open_move<'a>(
        &'a self,
        _: &'a Peer,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::MoveStream> {
        unreachable!("the router moves nothing")
    }
    fn moves<'a>(
        &'a self,
        _: &'a Peer,
        _: Duration,
    ) -> PeerFuture<'a, Vec<cached_proto::pb::cached::admin::v1::PairProgress>> {
        unreachable!("the router moves nothing")
    }
}

/// A router of n1, mode `available`, with everything around it. The clock is tokio's, paused.
pub(super) struct World {
    pub(super) router: Arc<Router>,
    pub(super) view: Arc<ViewCell>,
    pub(super) store: Arc<Store>,
    pub(super) script: Arc<Script>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) counters: Arc<Counters>,
    pub(super) parking: Arc<crate::parking::Parking>,
    pub(super) clock: Clock,
}

impl World {
    /// Without a getter, serving.
    pub(super) fn new() -> Self {
        Self::with(None, RouterLimits::default())
    }

    pub(super) fn with(origin: Option<Arc<dyn Origin>>, limits: RouterLimits) -> Self {
        let clock = Clock::tokio(WALL_MS);
        let view = ViewCell::new(false);
        let store = Arc::new(Store::new(StoreConfig {
            shards: 4,
            memory_bytes: 1 << 24,
        }));
        let script = Arc::new(Script::default());
        let breakers = Breakers::new(BreakerConfig::default(), clock.clone());
        let counters = Arc::new(Counters::default());
        let getter = origin.map(|origin| {
            Getter::new(GetterParts {
                origin,
                config: GetterConfig::new(group(), limits.value_bytes_max),
                store: store.clone(),
                clock: clock.clone(),
                tasks: Tasks::new(),
                counters: counters.clone(),
            })
        });
        let parking: Arc<crate::parking::Parking> = Arc::default();
        let router = Router::new(RouterParts {
            view: view.clone(),
            store: store.clone(),
            peers: script.clone(),
            getter,
            breakers: breakers.clone(),
            clock: clock.clone(),
            hot: Arc::new(HotKeys::new(clock.clone())),
            counters: counters.clone(),
            parking: parking.clone(),
            limits,
            seed: 1,
        });
        let world = Self {
            parking,
            router,
            view,
            store,
            script,
            breakers,
            counters,
            clock,
        };
        world.publish(|_| {});
        for slot in Slot::all().filter(|slot| slot.number() % 3 == 0) {
            world.store.open_slot(slot, EPOCH);
        }
        world.view.fence().open();
        world
            .view
            .fence()
            .extend(world.clock.now(), Duration::from_secs(3600));
        world
    }

    /// Publishes the usual view with a change.
    pub(super) fn publish(&self, change: impl FnOnce(&mut ClusterView)) {
        let mut view = view_of_n1();
        view.number = self.view.load().number + 1;
        change(&mut view);
        self.view.publish(view);
    }

    pub(super) fn command(&self, operation: Operation) -> Command {
        let deadline = self.clock.now() + Duration::from_secs(60);
        Command {
            group: group(),
            operation,
            route: Route::Forward,
            deadline,
        }
    }

    pub(super) async fn execute(&self, operation: Operation) -> Outcome {
        self.router.execute(self.command(operation)).await
    }
}
