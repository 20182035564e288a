//! Hand-made clusters for tests: views, peers that do as they are told, and an
//! operator among them.

mod world;

pub(crate) use world::World;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::Outcome;
use cached_proto::operations::{OperationKind, OperationRecord, OperationState};
use cached_proto::pb::cached::admin::v1::{BlacklistEntry, NodeStats, PairProgress};
use cached_proto::records::{
    BlacklistRecord, GroupRecord, MemberRecord, MemberState, MetaRecord, Mode, PlanMember,
    PlanRecord, Policy,
};
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::{
    ClusterName, Epoch, GroupName, Incarnation, Key, MemberId, NodeName, SLOTS, Slot,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{ChangeFuture, Membership};
use crate::cluster::draft::{Ask, draft};
use crate::cluster::operations::{ApplyOptions, Control};
use crate::cluster::plan::{self, Current, Movement};
use crate::cluster::view::{ClusterView, MemberView, OperationView, SlotOwner};
use crate::cluster::{MoveTrouble, RegistryStatus};
use crate::peers::{
    Answered, Forwarded, OnItsWay, Passed, Peer, PeerError, PeerFuture, Peers, ProbeAnswer,
    Suspect, Verdict,
};

/// A healthy cluster "test" of these members; the first is this process. Each
/// owns one run of slots, in epoch 1.
pub(crate) fn view(names: &[&str]) -> ClusterView {
    let members = names.len();
    let share = usize::from(SLOTS) / members;
    let owner = |slot: usize| SlotOwner {
        member: (slot / share).min(members - 1) as u16,
        epoch: Epoch(1),
    };
    let owners: Box<[SlotOwner]> = (0..usize::from(SLOTS)).map(owner).collect();
    let group = group("default-group");
    ClusterView {
        number: 1,
        meta: Some(meta()),
        layout: 1,
        table_loaded: true,
        members: names
            .iter()
            .enumerate()
            .map(|(n, name)| member(n, name, &owners))
            .collect(),
        owners,
        me: Some(0),
        groups: [(group.name.clone(), group)].into(),
        planner: NodeName::new(names[0]).ok(),
        ..ClusterView::empty()
    }
}

/// The plan that leaves this member of a view without slots.
pub(crate) fn drained(view: &ClusterView, name: &str) -> PlanRecord {
    let members = view
        .members
        .iter()
        .filter(|member| member.id.name.as_str() != name)
        .map(|member| PlanMember {
            id: member.id.clone(),
            weight: 1,
        });
    let members: Vec<PlanMember> = members.collect();
    let current = Current::of_view(view, |member| member.record.is_some());
    let assignment = plan::plan(&current, &members, 50, Movement::Free).unwrap();
    PlanRecord {
        layout: view.layout + 1,
        id: "p".to_owned(),
        reason: String::new(),
        algorithm: 1,
        virtual_nodes: 50,
        base_layout: view.layout,
        members: assignment.members().to_vec(),
        excluded: vec![NodeName::new(name).unwrap()],
        runs: assignment.runs(),
    }
}

/// The drain of n2 in layout 1.
pub(crate) fn operation(id: &str, state: OperationState) -> OperationRecord {
    OperationRecord {
        id: id.to_owned(),
        kind: OperationKind::Drain,
        state,
        nodes: vec![NodeName::new("n2").unwrap()],
        base_layout: 1,
        layout: 2,
        draft: None,
        intents: BTreeMap::new(),
        before: BTreeMap::new(),
        by: "alice@host".to_owned(),
        message: String::new(),
        requested_ms: 1,
        started_ms: 2,
        finished_ms: 0,
        deadline_ms: 0,
        max_rate: 0,
        shed: false,
        cancel: false,
        merged: Vec::new(),
        reason: String::new(),
    }
}

/// An operation as a view holds it, changed last in this revision.
pub(crate) fn known(record: OperationRecord, revision: i64) -> Arc<OperationView> {
    Arc::new(OperationView {
        record,
        mod_revision: revision,
        revision,
        progress: BTreeMap::new(),
    })
}

/// The slots whose rows name a member.
pub(crate) fn slots_of(view: &ClusterView, name: &str) -> Vec<Slot> {
    let own = |slot: &Slot| {
        let owner = view.owner(*slot).map(|(owner, _)| owner);
        owner.is_some_and(|owner| owner.id.name.as_str() == name)
    };
    Slot::all().filter(own).collect()
}

/// A group without settings.
pub(crate) fn group(name: &str) -> GroupRecord {
    GroupRecord {
        name: GroupName::new(name).unwrap(),
        max_bytes: None,
        default_ttl_ms: None,
        policy: Policy::Lru,
        resp_db: None,
    }
}

/// What the cluster "test" was bootstrapped with.
pub(crate) fn meta() -> MetaRecord {
    MetaRecord {
        cluster: ClusterName::new("test").unwrap(),
        cluster_uuid: Incarnation(0xc0ffee),
        generation: 1,
        mode: Mode::Available,
        replicas: 0,
        algorithm: 1,
        hash: KeyHash::Crc16,
        virtual_nodes: 50,
        created_ms: 1,
    }
}

fn member(index: usize, name: &str, owners: &[SlotOwner]) -> MemberView {
    let id = MemberId {
        name: NodeName::new(name).unwrap(),
        inc: Incarnation(index as u128 + 1),
    };
    MemberView {
        id: id.clone(),
        record: Some(MemberRecord {
            id,
            address: format!("127.0.0.1:{}", 8001 + index),
            state: MemberState::Up,
            weight: 1,
            zone: String::new(),
            version: "0.1.0".to_owned(),
            started_ms: 1,
            standby: false,
            resp_address: None,
            resp_cluster_address: None,
        }),
        absent_since: None,
        slots: owners
            .iter()
            .filter(|row| usize::from(row.member) == index)
            .count() as u32,
        detail: String::new(),
    }
}

/// A registry that answers.
pub(crate) fn registry() -> RegistryStatus {
    RegistryStatus {
        kind: "embedded",
        endpoints: vec!["in this process".to_owned()],
        server_version: "3.5.30".to_owned(),
        unreachable_for: None,
        round_trip: Duration::from_micros(700),
    }
}

/// An operation that was passed on, and where its answer is waited for.
#[derive(Debug)]
pub(crate) struct InTheAir {
    passed: Passed,
    answer: oneshot::Sender<Answered>,
}

impl InTheAir {
    pub(crate) fn key(&self) -> &Key {
        self.passed.operation.key()
    }

    pub(crate) fn comes_to(self, outcome: Outcome) {
        self.answer.send(Ok(outcome)).expect("it is waited for");
    }

    pub(crate) fn was_not_sent(self) {
        let error = PeerError::NotSent("the stream ended".to_owned());
        self.answer.send(Err(error)).expect("it is waited for");
    }
}

/// Peers that answer by their name, and remember what they were asked.
#[derive(Debug, Default)]
pub(crate) struct FakePeers {
    /// Who does not answer.
    pub(crate) silent: Mutex<BTreeSet<String>>,
    /// Who fails so many flushes first.
    pub(crate) flush_failures: Mutex<BTreeMap<String, u32>>,
    /// Slots that its next flushes cover, in order; afterwards its own third.
    pub(crate) flush_slots: Mutex<BTreeMap<String, Vec<Vec<Slot>>>>,
    /// What each says that it sends.
    pub(crate) moves: Mutex<BTreeMap<String, Vec<PairProgress>>>,
    /// What each says of itself, beside its name.
    pub(crate) stats: Mutex<BTreeMap<String, NodeStats>>,
    /// What was forwarded.
    pub(crate) forwarded: Mutex<Vec<Forwarded>>,
    /// What forwarded operations come to; without one, the peer never answers.
    pub(crate) outcome: Mutex<Option<Outcome>>,
    /// Lets one forwarded message after another be answered.
    pub(crate) gate: Option<tokio::sync::Semaphore>,
    /// Operations that were passed on by lanes, for the test to answer; `None`: there are
    /// no lanes.
    pub(crate) lanes: Option<Mutex<Vec<InTheAir>>>,
}

impl FakePeers {
    fn flushes(&self, name: &str) -> Vec<Slot> {
        let mut said = self.flush_slots.lock();
        match said.get_mut(name) {
            Some(slots) if !slots.is_empty() => slots.remove(0),
            _ => slots_of(&view(&["n1", "n2", "n3"]), name),
        }
    }

    fn reach(&self, peer: &Peer) -> Result<(), PeerError> {
        if self.silent.lock().contains(peer.id.name.as_str()) {
            return Err(PeerError::NotSent("connection refused".to_owned()));
        }
        Ok(())
    }
}

impl Peers for FakePeers {
    fn pass(&self, to: &MemberId, address: &str, passed: Passed) -> Option<OnItsWay> {
        let (sender, answer) = oneshot::channel();
        let answer_to = InTheAir {
            passed,
            answer: sender,
        };
        self.lanes.as_ref()?.lock().push(answer_to);
        let peer = Peer {
            id: to.clone(),
            address: address.to_owned(),
        };
        let to = Arc::new(peer);
        Some(OnItsWay { to, answer })
    }

    fn execute<'a>(&'a self, peer: &'a Peer, work: Forwarded) -> PeerFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            self.reach(peer)?;
            let count = work.operations.len();
            self.forwarded.lock().push(work);
            if let Some(gate) = &self.gate {
                gate.acquire().await.expect("never closed").forget();
            }
            let outcome = self.outcome.lock().clone();
            match outcome {
                Some(outcome) => Ok(vec![outcome; count]),
                None => std::future::pending().await,
            }
        })
    }

    fn probe<'a>(&'a self, _: &'a Peer, _: Duration) -> PeerFuture<'a, ProbeAnswer> {
        unreachable!("the operator probes nobody")
    }

    fn report<'a>(&'a self, _: &'a Peer, _: Vec<Suspect>, _: Duration) -> PeerFuture<'a, ()> {
        unreachable!("the operator reports nobody")
    }

    fn opinion<'a>(
        &'a self,
        _: &'a Peer,
        _: &'a Peer,
        _: Duration,
        _: Duration,
    ) -> PeerFuture<'a, Verdict> {
        unreachable!("the operator asks for no opinion")
    }

    fn stats<'a>(&'a self, peer: &'a Peer, _: Duration) -> PeerFuture<'a, NodeStats> {
        Box::pin(async move {
            self.reach(peer)?;
            let name = peer.id.name.to_string();
            let told = self.stats.lock().get(&name).cloned();
            Ok(NodeStats {
                name,
                uptime_ms: 7,
                ..told.unwrap_or_default()
            })
        })
    }

    fn blacklist<'a>(&'a self, peer: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<BlacklistEntry>> {
        Box::pin(async move {
            self.reach(peer)?;
            let observer = peer.id.name.to_string();
            Ok(vec![BlacklistEntry {
                observer,
                ..BlacklistEntry::default()
            }])
        })
    }

    fn flush<'a>(
        &'a self,
        peer: &'a Peer,
        _: &'a GroupName,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::Flushed> {
        Box::pin(async move {
            self.reach(peer)?;
            let mut failures = self.flush_failures.lock();
            match failures.get_mut(peer.id.name.as_str()) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    Err(PeerError::Unknown("connection reset".to_owned()))
                }
                _ => Ok(crate::peers::Flushed {
                    keys: 5,
                    slots: self.flushes(peer.id.name.as_str()),
                }),
            }
        })
    }

    fn keys<'a>(
        &'a self,
        peer: &'a Peer,
        _: &'a GroupName,
        from: crate::peers::keys::KeysPlace,
        _: usize,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::keys::KeysPage> {
        Box::pin(async move {
            self.reach(peer)?;
            Ok(super::keys::one_key(peer.id.name.as_str(), from))
        })
    }

    fn open_move<'a>(
        &'a self,
        _: &'a Peer,
        _: Duration,
    ) -> PeerFuture<'a, crate::peers::MoveStream> {
        unreachable!("nothing moves here")
    }

    fn moves<'a>(&'a self, peer: &'a Peer, _: Duration) -> PeerFuture<'a, Vec<PairProgress>> {
        Box::pin(async move {
            self.reach(peer)?;
            let moves = self.moves.lock();
            Ok(moves
                .get(peer.id.name.as_str())
                .cloned()
                .unwrap_or_default())
        })
    }
}

/// A cluster that takes every change, and remembers it.
#[derive(Debug, Default)]
pub(crate) struct FakeCluster {
    /// Who was reported, by whom.
    pub(crate) reports: Mutex<Vec<(NodeName, Vec<Suspect>)>>,
    /// Entries that were added.
    pub(crate) listed: Mutex<Vec<BlacklistRecord>>,
    /// What was asked of the layout, word for word.
    pub(crate) asked: Mutex<Vec<String>>,
    /// What keeps slots from moving on.
    pub(crate) troubles: Mutex<Vec<MoveTrouble>>,
    /// Operations that were planned, by id.
    pub(crate) operations: Mutex<BTreeMap<String, OperationRecord>>,
}

impl FakeCluster {
    fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut OperationRecord),
    ) -> Result<OperationRecord, Failure> {
        let mut operations = self.operations.lock();
        let unknown = || Failure::new(FailureCode::NotFound, format!("no operation {id}"));
        let record = operations.get_mut(id).ok_or_else(unknown)?;
        change(record);
        Ok(record.clone())
    }
}

impl Membership for FakeCluster {
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    fn registry_status(&self) -> RegistryStatus {
        registry()
    }

    fn on_probe(&self) -> ProbeAnswer {
        ProbeAnswer {
            id: MemberId {
                name: NodeName::new("n1").unwrap(),
                inc: Incarnation(1),
            },
            fenced: false,
            registry_reachable: true,
            wall_clock_ms: 1_700_000_000_000,
            state: MemberState::Up,
            layout: 1,
        }
    }

    fn on_report(&self, from: NodeName, suspects: Vec<Suspect>) {
        self.reports.lock().push((from, suspects));
    }

    fn on_opinion(&self, _: &Peer, _: Duration) -> Verdict {
        Verdict::Silent
    }

    fn create_group(&self, group: GroupRecord) -> ChangeFuture<'_, GroupRecord> {
        Box::pin(std::future::ready(Ok::<_, Failure>(group)))
    }

    fn add_blacklist(&self, entry: BlacklistRecord) -> ChangeFuture<'_, ()> {
        self.listed.lock().push(entry);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove_blacklist<'a>(&'a self, target: &'a NodeName) -> ChangeFuture<'a, bool> {
        let mut listed = self.listed.lock();
        let before = listed.len();
        listed.retain(|entry| entry.target != *target);
        Box::pin(std::future::ready(Ok(listed.len() < before)))
    }

    fn move_troubles(&self) -> Vec<MoveTrouble> {
        self.troubles.lock().clone()
    }

    fn plan(&self, ask: Ask) -> ChangeFuture<'_, OperationRecord> {
        self.asked.lock().push(format!("{ask:?}"));
        let mut view = view(&["n1", "n2", "n3"]);
        let members = view.members.iter();
        let members: Vec<PlanMember> = members
            .map(|member| PlanMember {
                id: member.id.clone(),
                weight: 1,
            })
            .collect();
        view.plan = Some(Arc::new(PlanRecord {
            layout: 1,
            id: "00000001".to_owned(),
            reason: String::new(),
            algorithm: 1,
            virtual_nodes: 50,
            base_layout: 0,
            members,
            excluded: Vec::new(),
            runs: Vec::new(),
        }));
        let drafted = draft(&view, &ask, 7, 1).map(|drafted| drafted.record);
        if let Ok(record) = &drafted {
            self.operations
                .lock()
                .insert(record.id.clone(), record.clone());
        }
        Box::pin(std::future::ready(drafted))
    }

    fn layout(&self, layout: u64) -> ChangeFuture<'_, PlanRecord> {
        let known = (layout == 2).then(|| drained(&view(&["n1", "n2", "n3"]), "n2"));
        let unknown = || {
            Failure::new(
                FailureCode::NotFound,
                format!("layout {layout} is not kept"),
            )
        };
        Box::pin(std::future::ready(known.ok_or_else(unknown)))
    }

    fn apply<'a>(
        &'a self,
        id: &'a str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> ChangeFuture<'a, OperationRecord> {
        self.asked
            .lock()
            .push(format!("{id} {base_layout} {options:?}"));
        let change = |record: &mut OperationRecord| {
            record.state = OperationState::Running;
            record.message = options.message;
            record.max_rate = options.max_rate;
            record.by = options.by;
        };
        Box::pin(std::future::ready(self.change(id, change)))
    }

    fn control<'a>(
        &'a self,
        id: &'a str,
        control: Control,
        by: &'a str,
    ) -> ChangeFuture<'a, OperationRecord> {
        self.asked.lock().push(format!("{id} {control:?} {by}"));
        let change = |record: &mut OperationRecord| match control {
            Control::Pause => record.state = OperationState::Paused,
            Control::Resume => record.state = OperationState::Running,
            Control::Cancel => record.cancel = true,
            Control::Rate(rate) => record.max_rate = rate,
        };
        Box::pin(std::future::ready(self.change(id, change)))
    }
}
