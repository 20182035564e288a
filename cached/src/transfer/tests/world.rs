//! Two nodes with real stores, and between them a wire that tests can tap.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, GroupName, Key, MemberId, Slot};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::cluster::view::ViewCell;
use crate::counters::Counters;
use crate::operator::fixture;
use crate::parking::Parking;
use crate::peers::{BlacklistEntry, NodeStats, PairProgress};
use crate::peers::{
    Flushed, Forwarded, MoveStream, Peer, PeerError, PeerFuture, Peers, ProbeAnswer, Suspect,
    Verdict,
};
use crate::registry::Record;
use crate::store::{Executed, GroupId, GroupSettings, Refused, Store, StoreConfig};
use crate::tasks::Tasks;
use crate::transfer::messages::{ToReceiver, ToSender};
use crate::transfer::order::{MoveId, MoveNews, MoveOrder};
use crate::transfer::{Told, TransferParts, Transfers};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// It arrives.
    Pass,
    /// It arrives a moment later, and everything after it.
    Late(Duration),
    /// It does not, and nothing after it.
    Hold,
    /// The stream breaks in both directions.
    Cut,
}

type Tap<T> = Box<dyn FnMut(&mut T) -> Deed + Send>;

/// Peers of whom there is one.
pub(super) struct Wire {
    pub(super) receiver: Mutex<Option<(MemberId, Arc<Transfers>)>>,
    pub(super) out: Arc<Mutex<Tap<ToReceiver>>>,
    pub(super) back: Arc<Mutex<Tap<ToSender>>>,
    tasks: Tasks,
    clock: Clock,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    fn open(&self, receiver: &(MemberId, Arc<Transfers>)) -> MoveStream {
        let (send, mut said) = mpsc::channel::<ToReceiver>(4);
        let (pass_on, arrived) = mpsc::channel(4);
        let (answer, answers) = mpsc::channel(4);
        let messages = tokio_stream::wrappers::ReceiverStream::new(arrived).boxed();
        let mut answered = receiver.1.receive(receiver.0.clone(), messages);
        let (out, back, clock) = (self.out.clone(), self.back.clone(), self.clock.clone());
        self.tasks.spawn("wire", |_| async move {
            let (mut holds_out, mut holds_back, mut open) = (false, false, true);
            loop {
                tokio::select! {
                    biased;
                    said = said.recv(), if open => {
                        let Some(mut said) = said else { return };
                        let deed = if holds_out { Deed::Hold } else { (out.lock())(&mut said) };
                        match deed {
                            Deed::Late(by) => {
                                clock.sleep(by).await;
                                open = pass_on.send(said).await.is_ok();
                            }
                            Deed::Pass => open = pass_on.send(said).await.is_ok(),
                            Deed::Hold => holds_out = true,
                            Deed::Cut => return,
                        }
                    }
                    answered = answered.next() => {
                        let Some(mut answered) = answered else { return };
                        let deed = match holds_back {
                            true => Deed::Hold,
                            false => (back.lock())(&mut answered),
                        };
                        match deed {
                            Deed::Late(by) => {
                                clock.sleep(by).await;
                                if answer.send(Ok(answered)).await.is_err() { return }
                            }
                            Deed::Pass => if answer.send(Ok(answered)).await.is_err() { return },
                            Deed::Hold => holds_back = true,
                            Deed::Cut => return,
                        }
                    }
                }
            }
        });
        MoveStream {
            send,
            receive: tokio_stream::wrappers::ReceiverStream::new(answers).boxed(),
        }
    }
}

impl Peers for Wire {
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

    fn open_move<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, MoveStream> {
        Box::pin(async {
            let receiver = self.receiver.lock();
            let refused = || PeerError::NotSent("connection refused".to_owned());
            Ok(self.open(receiver.as_ref().ok_or_else(refused)?))
        })
    }
    fn execute<'a>(
        &'a self,
        _: &'a Peer,
        _: Forwarded,
    ) -> PeerFuture<'a, Vec<cached_proto::operation::Outcome>> {
        unreachable!("moves only")
    }
    fn probe<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, ProbeAnswer> {
        unreachable!("moves only")
    }
    fn report<'a>(&'a self, _: &'a Peer, _: Vec<Suspect>, _: Duration) -> PeerFuture<'a, ()> {
        unreachable!("moves only")
    }
    fn opinion<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a Peer,
        _: Duration,
        _: Duration,
    ) -> PeerFuture<'a, Verdict> {
        unreachable!("moves only")
    }
    fn stats<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, NodeStats> {
        unreachable!("moves only")
    }
    fn blacklist<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<BlacklistEntry>> {
        unreachable!("moves only")
    }
    fn flush<'a>(&'a self, _: &'a Peer, _: &'a GroupName, _: Duration) -> PeerFuture<'a, Flushed> {
        unreachable!("moves only")
    }
    fn moves<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<PairProgress>> {
        unreachable!("moves only")
    }
}

/// One of the two nodes.
pub(super) struct Node {
    pub(super) store: Arc<Store>,
    pub(super) view: Arc<ViewCell>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) told: mpsc::Receiver<Told>,
    pub(super) parking: Arc<Parking>,
    pub(super) counters: Arc<Counters>,
}

impl Node {
    fn new(me: u16, memory_bytes: u64, wire: &Arc<Wire>, clock: &Clock, tasks: &Tasks) -> Self {
        let store = Arc::new(Store::new(StoreConfig {
            shards: 4,
            memory_bytes,
        }));
        let view = ViewCell::new(false);
        view.fence().open();
        view.fence()
            .extend(clock.now(), Duration::from_secs(36_000));
        let mut shown = fixture::view(&["n1", "n2"]);
        shown.me = Some(me);
        view.publish(shown);
        let (parking, counters) = (Arc::<Parking>::default(), Arc::<Counters>::default());
        let (transfers, told) = Transfers::new(TransferParts {
            store: store.clone(),
            peers: wire.clone(),
            view: view.clone(),
            parking: parking.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        Self {
            store,
            view,
            transfers,
            told,
            parking,
            counters,
        }
    }

    pub(super) fn group(&self) -> GroupId {
        self.store.group(&group()).unwrap()
    }

    pub(super) fn run(&self, slot: Slot, operation: &Operation) -> Result<Reply, Refused> {
        let now = crate::clock::WallMs(1_000_000);
        match self.store.execute(slot, self.group(), operation, now)? {
            Executed::Reply(reply) => Ok(reply),
            Executed::KnownAbsent => panic!("nothing is loaded here"),
        }
    }

    pub(super) fn set(&self, slot: Slot, name: &str, value: &[u8]) -> Result<Reply, Refused> {
        self.run(slot, &set(name, value))
    }

    /// What a read of a key comes to.
    pub(super) fn get(&self, slot: Slot, name: &str) -> Result<Reply, Refused> {
        let operation = Operation::Get {
            key: key(name),
            metadata_only: false,
            no_load: true,
        };
        self.run(slot, &operation)
    }

    pub(super) async fn news(&mut self) -> MoveNews {
        match self.told.recv().await {
            Some(Told::Move { news, .. }) => news,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn failure(&mut self) -> String {
        match self.news().await {
            MoveNews::Failed { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }
}

/// A set without a time to live.
pub(super) fn set(name: &str, value: &[u8]) -> Operation {
    Operation::Set {
        key: key(name),
        value: value.to_vec().into(),
        ttl: None,
        condition: Condition::Always,
    }
}

pub(super) fn key(name: &str) -> Key {
    Key::new(name.as_bytes().to_vec()).unwrap()
}

pub(super) fn group() -> GroupName {
    GroupName::new("default-group").unwrap()
}

pub(super) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// n1, which owns slots 0 and 1 with some entries, and n2, which gets them.
pub(super) struct World {
    pub(super) n1: Node,
    pub(super) n2: Node,
    pub(super) wire: Arc<Wire>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_memory(64 << 20)
    }

    /// The receiver's memory is bounded.
    pub(super) fn with_memory(memory_bytes: u64) -> Self {
        let (clock, tasks) = (Clock::tokio(1_000_000), Tasks::new());
        let wire = Arc::new(Wire {
            receiver: Mutex::default(),
            out: Arc::new(Mutex::new(Box::new(|_| Deed::Pass))),
            back: Arc::new(Mutex::new(Box::new(|_| Deed::Pass))),
            tasks: tasks.clone(),
            clock: clock.clone(),
        });
        let n1 = Node::new(0, 64 << 20, &wire, &clock, &tasks);
        let n2 = Node::new(1, memory_bytes, &wire, &clock, &tasks);
        // The same group has different numbers.
        let other = GroupName::new("other").unwrap();
        n1.store.set_group(&group(), GroupSettings::default());
        n2.store.set_group(&other, GroupSettings::default());
        n2.store.set_group(&group(), GroupSettings::default());
        for number in 0..8 {
            n1.store.open_slot(slot(number), Epoch(1));
        }
        *wire.receiver.lock() = Some((world_member(0), n2.transfers.clone()));
        Self {
            n1,
            n2,
            wire,
            clock,
            tasks,
        }
    }

    pub(super) fn on_message(&self, tap: impl FnMut(&mut ToReceiver) -> Deed + Send + 'static) {
        *self.wire.out.lock() = Box::new(tap);
    }

    pub(super) fn on_answer(&self, tap: impl FnMut(&mut ToSender) -> Deed + Send + 'static) {
        *self.wire.back.lock() = Box::new(tap);
    }

    /// So many entries in slot 0, and as many in slot 1.
    pub(super) fn fill(&self, entries: usize, value_bytes: usize) {
        for number in 0..2 {
            for entry in 0..entries {
                let name = format!("key{entry}");
                self.n1
                    .set(slot(number), &name, &vec![b'v'; value_bytes])
                    .unwrap();
            }
        }
    }

    pub(super) fn start(&self, attempt: u64) -> MoveId {
        self.start_with(attempt, &[0, 1], false)
    }

    pub(super) fn start_with(&self, attempt: u64, slots: &[u16], shed: bool) -> MoveId {
        let id = MoveId {
            page: PageIndex::new(0).unwrap(),
            attempt,
        };
        let slots: Vec<_> = slots
            .iter()
            .map(|number| (slot(*number), Epoch(1)))
            .collect();
        self.n1.transfers.start(MoveOrder {
            id: id.clone(),
            operation: "op-00000001".to_owned(),
            planned: slots.iter().map(|(slot, _)| *slot).collect(),
            slots,
            to: Peer {
                id: world_member(1),
                address: "n2:1".to_owned(),
            },
            shed,
            haste: false,
        });
        id
    }

    /// Up to where only the commit is missing.
    pub(super) async fn sealed(&mut self, attempt: u64) -> MoveId {
        let id = self.start(attempt);
        assert_eq!(self.n1.news().await, MoveNews::CaughtUp);
        self.n1.transfers.seal(&id);
        let news = self.n1.news().await;
        assert!(matches!(news, MoveNews::Sealed(_)), "{news:?}");
        id
    }

    /// Waits until a condition holds.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if holds() {
                return;
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        panic!("it never came to be");
    }
}

pub(super) fn world_member(index: usize) -> MemberId {
    fixture::view(&["n1", "n2"]).members[index].id.clone()
}

pub(super) fn page() -> Record {
    Record {
        key: "table/0".to_owned(),
        value: "{}".into(),
        create_revision: 1,
        mod_revision: 2,
        lease: 0,
    }
}
