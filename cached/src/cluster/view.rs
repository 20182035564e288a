//! What a node knows of its cluster at one instant: immutable, shared, swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use cached_proto::failure::OwnerHint;
use cached_proto::operations::{IntentRecord, OperationRecord, ProgressRecord};
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberRecord, MetaRecord, PlanRecord};
use cached_proto::ring::hash::KeyHash;
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, GroupName, MemberId, NodeName, Slot};
use tokio::sync::Notify;

use crate::clock::Moment;

/// A member that is alive as far as the registry says, or that rows still name.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Name and incarnation.
    pub id: MemberId,
    /// Its record; `None` when rows name it but it is no member (any more).
    pub record: Option<MemberRecord>,
    /// Since when this node has seen it absent.
    pub absent_since: Option<Moment>,
    /// Slots whose rows name it.
    pub slots: u32,
    /// Why it is in this state, for people; empty when there is nothing to say.
    pub detail: String,
}

/// The owner of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOwner {
    /// Index into [`ClusterView::members`]; [`SlotOwner::NOBODY`] before the table is loaded.
    pub member: u16,
    /// The row's epoch.
    pub epoch: Epoch,
}

impl SlotOwner {
    /// No row is known.
    pub const NOBODY: Self = Self {
        member: u16::MAX,
        epoch: Epoch(0),
    };
}

/// One immutable picture of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// Grows with every picture that this process publishes.
    pub number: u64,
    /// What was fixed at bootstrap; `None` until it is known.
    pub meta: Option<MetaRecord>,
    /// Layout number of the plan in force; 0 before there is one.
    pub layout: u64,
    /// All 256 pages are loaded.
    pub table_loaded: bool,
    /// Members by name, then incarnation. A name may stand twice: dead and alive.
    pub members: Vec<MemberView>,
    /// One entry for each slot.
    pub owners: Box<[SlotOwner]>,
    /// This process's own index in `members`; `None` for gateways and before registration.
    pub me: Option<u16>,
    /// Groups by name.
    pub groups: BTreeMap<GroupName, GroupRecord>,
    /// Operators' blacklist entries.
    pub blacklist: BTreeMap<NodeName, BlacklistRecord>,
    /// The member that plans.
    pub planner: Option<NodeName>,
    /// Registry reads fail since then; `None` while they succeed.
    pub registry_lost_since: Option<Moment>,
    /// The plan in force.
    pub plan: Option<Arc<PlanRecord>>,
    /// Slots whose owner is another than the plan wants.
    pub to_move: u32,
    /// What operators, and leaving members, asked of members.
    pub intents: BTreeMap<NodeName, IntentRecord>,
    /// Operations, oldest first.
    pub operations: Vec<Arc<OperationView>>,
}

/// An operation as the registry holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationView {
    /// What it is and where it stands.
    pub record: OperationRecord,
    /// Revision of the record's last change.
    pub mod_revision: i64,
    /// Newest revision of the record and of all progress.
    pub revision: i64,
    /// What each sender has moved.
    pub progress: BTreeMap<NodeName, ProgressRecord>,
}

impl ClusterView {
    /// Before anything is known.
    pub fn empty() -> Self {
        Self {
            number: 0,
            meta: None,
            layout: 0,
            table_loaded: false,
            members: Vec::new(),
            owners: vec![SlotOwner::NOBODY; usize::from(cached_proto::types::SLOTS)].into(),
            me: None,
            groups: BTreeMap::new(),
            blacklist: BTreeMap::new(),
            planner: None,
            registry_lost_since: None,
            plan: None,
            to_move: 0,
            intents: BTreeMap::new(),
            operations: Vec::new(),
        }
    }

    /// The operation that runs or is paused.
    pub fn open_operation(&self) -> Option<&Arc<OperationView>> {
        self.operations
            .iter()
            .find(|operation| operation.record.state.is_open())
    }

    /// The operation of that id.
    pub fn operation(&self, id: &str) -> Option<&Arc<OperationView>> {
        let mut operations = self.operations.iter();
        operations.find(|operation| operation.record.id == id)
    }

    /// The hash that turns keys into slots.
    pub fn hash(&self) -> KeyHash {
        self.meta.as_ref().map(|meta| meta.hash).unwrap_or_default()
    }

    /// The owner of a slot by its row; `None` before the table is loaded.
    pub fn owner(&self, slot: Slot) -> Option<(&MemberView, Epoch)> {
        let owner = self.owners[slot.index()];
        Some((self.members.get(usize::from(owner.member))?, owner.epoch))
    }

    /// Whether the row of a slot names this process.
    pub fn is_mine(&self, slot: Slot) -> bool {
        self.me == Some(self.owners[slot.index()].member)
    }

    /// Who this process is; `None` for gateways and before registration.
    pub fn my_id(&self) -> Option<&MemberId> {
        let member = self.members.get(usize::from(self.me?))?;
        Some(&member.id)
    }

    /// What to tell a caller that asked the wrong node.
    pub fn hint(&self, slot: Slot) -> Option<OwnerHint> {
        let (member, epoch) = self.owner(slot)?;
        let address = member.record.as_ref().map(|record| record.address.clone());
        Some(OwnerHint {
            slot,
            epoch,
            owner: member.id.clone(),
            address,
            also: self.beside(slot),
        })
    }

    /// Slots of the same page that have the same owner.
    fn beside(&self, slot: Slot) -> Vec<(Slot, Epoch)> {
        let owner = self.owners[slot.index()].member;
        let page = PageIndex::of(slot).slots();
        page.filter(|other| *other != slot)
            .map(|other| (other, self.owners[other.index()]))
            .filter(|(_, row)| row.member == owner)
            .map(|(other, row)| (other, row.epoch))
            .collect()
    }
}

/// Whether this process may serve its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Yes.
    Yes,
    /// Yes, but the registry has not confirmed this process for longer than the
    /// fence; answers say so. Only in mode `available`.
    Degraded,
    /// No: see [`FenceReason`]. Data is kept.
    Fenced(FenceReason),
}

/// Why a process does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// It has not loaded the table yet.
    Starting,
    /// Its member key was seen gone; it registers again and re-reads its rows.
    Removed,
    /// Mode `strict`, and its last proof of life is too old.
    Expired,
    /// Mode `available`, and it has been cut off from registry and peers for too long, or
    /// it stood still and has not looked around since.
    Isolated,
    /// It has signed off.
    Stopping,
}

/// The fence: until when this process is sure of itself. Read after every
/// operation and before its answer, so that an answer that leaves late still
/// speaks of a time at which the process owned the slot.
#[derive(Debug)]
pub struct Fence {
    /// Start of the last successful self-check + F, in microseconds.
    sure_until: AtomicU64,
    /// In mode `available`, when serving degraded ends; `u64::MAX`: it does not.
    degraded_until: AtomicU64,
    /// Until when the loop that keeps this up to date counts as running: past it, this
    /// process stood still, and what is written here is old.
    awake_until: AtomicU64,
    /// 0 closed (see `reason`), 1 open.
    open: AtomicU8,
    reason: AtomicU8,
    strict: bool,
}

const REASONS: [FenceReason; 5] = [
    FenceReason::Starting,
    FenceReason::Removed,
    FenceReason::Expired,
    FenceReason::Isolated,
    FenceReason::Stopping,
];

impl Fence {
    /// Closed, because starting.
    pub fn new(strict: bool) -> Self {
        Self {
            sure_until: AtomicU64::new(0),
            degraded_until: AtomicU64::new(u64::MAX),
            awake_until: AtomicU64::new(u64::MAX),
            open: AtomicU8::new(0),
            reason: AtomicU8::new(0),
            strict,
        }
    }

    /// Opens after registration and a full read of the table.
    pub fn open(&self) {
        self.open.store(1, Ordering::SeqCst);
    }

    /// Closes until [`Fence::open`].
    pub fn close(&self, reason: FenceReason) {
        let index = REASONS
            .iter()
            .position(|known| *known == reason)
            .unwrap_or(0);
        self.reason.store(index as u8, Ordering::SeqCst);
        self.open.store(0, Ordering::SeqCst);
    }

    /// A self-check that began at `started` saw the own member key.
    pub fn extend(&self, started: Moment, fence_after: Duration) {
        self.sure_until
            .fetch_max((started + fence_after).as_micros(), Ordering::SeqCst);
    }

    /// Until when a process that is not sure of itself may serve in mode `available`.
    pub fn set_degraded_until(&self, until: Option<Moment>) {
        let micros = until.map_or(u64::MAX, Moment::as_micros);
        self.degraded_until.store(micros, Ordering::SeqCst);
    }

    /// The loop that keeps this up to date runs; if it is not heard of by then, the process
    /// does not.
    pub fn set_awake_until(&self, until: Moment) {
        self.awake_until.store(until.as_micros(), Ordering::SeqCst);
    }

    /// What an operation that completes now may be answered with.
    pub fn check(&self, now: Moment) -> Serving {
        if self.open.load(Ordering::SeqCst) == 0 {
            let index = usize::from(self.reason.load(Ordering::SeqCst));
            return Serving::Fenced(REASONS[index.min(REASONS.len() - 1)]);
        }
        if now.as_micros() <= self.sure_until.load(Ordering::SeqCst) {
            return Serving::Yes;
        }
        if self.strict {
            return Serving::Fenced(FenceReason::Expired);
        }
        let until = [&self.degraded_until, &self.awake_until];
        if until
            .iter()
            .all(|until| now.as_micros() <= until.load(Ordering::SeqCst))
        {
            return Serving::Degraded;
        }
        Serving::Fenced(FenceReason::Isolated)
    }
}

/// Where the newest view is found, and the fence beside it.
#[derive(Debug)]
pub struct ViewCell {
    view: ArcSwap<ClusterView>,
    changed: Notify,
    refresh: Notify,
    fence: Fence,
}

impl ViewCell {
    /// Nothing known yet.
    pub fn new(strict: bool) -> Arc<Self> {
        Arc::new(Self {
            view: ArcSwap::from_pointee(ClusterView::empty()),
            changed: Notify::new(),
            refresh: Notify::new(),
            fence: Fence::new(strict),
        })
    }

    /// The newest view; cheap.
    pub fn load(&self) -> arc_swap::Guard<Arc<ClusterView>> {
        self.view.load()
    }

    /// The newest view, to keep.
    pub fn load_full(&self) -> Arc<ClusterView> {
        self.view.load_full()
    }

    /// Publishes a view. Only the cluster's driver does this.
    pub fn publish(&self, view: ClusterView) {
        self.view.store(Arc::new(view));
        self.changed.notify_waiters();
    }

    /// Waits until a view newer than `seen` is there, and answers it.
    pub async fn newer_than(&self, seen: u64) -> Arc<ClusterView> {
        loop {
            // Register before looking, or a change between the two is lost.
            let changed = self.changed.notified();
            let view = self.load_full();
            if view.number > seen {
                return view;
            }
            changed.await;
        }
    }

    /// Asks the driver to read the registry soon: somebody knows more than we do.
    pub fn ask_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Resolves when somebody asked for a refresh. Only the driver waits here.
    pub async fn refresh_asked(&self) {
        self.refresh.notified().await;
    }

    /// The fence of this process.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    #[test]
    fn who_stood_still_serves_nothing_before_it_has_looked_around() {
        for (strict, degraded) in [
            (false, Serving::Degraded),
            (true, Serving::Fenced(FenceReason::Expired)),
        ] {
            let fence = Fence::new(strict);
            fence.open();
            fence.extend(at(10), Duration::from_secs(5));
            fence.set_degraded_until(Some(at(75)));
            fence.set_awake_until(at(12));
            assert_eq!(fence.check(at(15)), Serving::Yes, "a proof is a proof");
            let asleep = match strict {
                true => FenceReason::Expired,
                false => FenceReason::Isolated,
            };
            assert_eq!(fence.check(at(16)), Serving::Fenced(asleep));
            fence.set_awake_until(at(18));
            assert_eq!(fence.check(at(16)), degraded);
        }
    }
}
