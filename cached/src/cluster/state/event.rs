//! What can happen to a member, and what it wants done about it. Closed lists: all
//! causes of work and all its effects are visible here.

use std::time::Duration;

use cached_proto::records::MemberRecord;
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, MemberId, NodeName, Slot};

use crate::clock::{Moment, WallMs};
use crate::cluster::view::{ClusterView, FenceReason};
use crate::peers::{Peer, ProbeAnswer, Suspect, Unanswered, Verdict};
use crate::registry::{Range, Record, RegistryError, Snapshot, Txn, TxnOutcome, WatchBatch};
use crate::transfer::order::{MoveEnd, MoveId, MoveNews, MoveOrder};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Time went on.
    Tick {
        /// The wall clock, for what expires by it.
        wall: WallMs,
    },
    /// An [`Effect::Read`] ended: each range with what it held, in the order asked.
    /// `took`: the slowest of them.
    Read {
        started: Moment,
        took: Duration,
        result: Result<Vec<(Range, Snapshot)>, RegistryError>,
    },
    /// The watch of that number told something.
    Watched { watch: u64, batch: WatchBatch },
    /// The watch of that number ended.
    WatchEnded { watch: u64, error: RegistryError },
    /// An [`Effect::SelfCheck`] ended.
    SelfChecked {
        started: Moment,
        took: Duration,
        result: Result<Snapshot, RegistryError>,
    },
    /// An [`Effect::KeepAlive`] ended.
    KeptAlive {
        lease: i64,
        result: Result<(), RegistryError>,
    },
    /// An [`Effect::Register`] ended.
    Registered {
        started: Moment,
        result: Result<Registration, RegistryError>,
    },
    /// An [`Effect::Txn`] ended.
    TxnDone {
        purpose: Purpose,
        took: Duration,
        result: Result<TxnOutcome, RegistryError>,
    },
    /// An [`Effect::Revoke`] ended, however.
    Revoked,
    /// An [`Effect::Probe`] ended. `clock_offset_ms`: the peer's wall clock less ours.
    Probed {
        peer: Peer,
        started: Moment,
        result: Result<(ProbeAnswer, i64), Unanswered>,
    },
    /// A peer suspects others.
    Reported {
        from: NodeName,
        suspects: Vec<Suspect>,
    },
    /// An [`Effect::AskOpinion`] ended.
    Opinion {
        about: MemberId,
        from: Peer,
        inquiry: Moment,
        result: Result<Verdict, String>,
    },
    /// A peer asked what we know of a member, and we knew nothing fresh.
    OpinionWanted { about: Peer },
    /// Somebody in this process knows of something newer than the view.
    RefreshAsked,
    /// Something became of a move that this process sends.
    Move { id: MoveId, news: MoveNews },
    /// An owner says that it has committed slots to this process, in this page.
    Committed(Record),
    /// This process shall end: it asks for its slots to be taken first.
    Leave,
    /// The process ends.
    SignOff,
}

/// What became of a try to register.
#[derive(Clone, Debug)]
pub(crate) enum Registration {
    /// The member key is ours.
    Ours { lease: i64, create_revision: i64 },
    /// Another incarnation holds the name.
    TakenBy(Box<MemberRecord>),
}

/// What a transaction is for. One of each at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Writes `meta`.
    Meta,
    /// Becomes the planner.
    Elect,
    /// Writes the next plan.
    Plan,
    /// Writes missing pages, the first of which this is.
    Pages(PageIndex),
    /// Takes orphaned slots of a page.
    TakeOver(PageIndex),
    /// Gives slots of a page to their receiver. Its result decides at once.
    Commit(MoveId),
    /// Makes sure that a commit in doubt cannot land any more (R2). Its result decides
    /// at once, too.
    AbortCommit(MoveId),
    /// Raises the attempts of rows, for receivers that could not be told that an attempt
    /// came to nothing.
    TellByRows(PageIndex),
    /// Says which receivers do not take this member's slots.
    PutOff,
    /// Puts an operation in force, changes its state, or refuses it.
    Operation(String),
    /// Says that this process wants to leave.
    SayLeave,
    /// Deletes what nobody needs any more: intents of lives that ended, old operations.
    Tidy(String),
    /// Ends the membership of one that does not answer.
    Remove(MemberId),
    /// Frees the planner key of a planner that is no member.
    FreePlanner,
    /// Says whether this member owns slots.
    SayState,
    /// Says that this member has signed off.
    SayGone,
    /// Deletes a blacklist entry whose time is over.
    Forget(NodeName),
}

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Read these ranges, one after the other.
    Read(Vec<Range>),
    /// Drop the watch that runs, and watch the cluster's keys from a revision on.
    Watch { watch: u64, from: i64 },
    /// Read the own member key (a gateway: `meta`).
    SelfCheck { key: String },
    /// Keep the lease alive once.
    KeepAlive { lease: i64 },
    /// A new lease and, iff it is absent, the member key on it.
    Register(Box<MemberRecord>),
    /// A transaction.
    Txn { purpose: Purpose, txn: Txn },
    /// End the lease and its keys.
    Revoke { lease: i64 },
    /// Ask a peer who it is.
    Probe(Peer),
    /// Tell a peer whom we suspect.
    Report { to: Peer, suspects: Vec<Suspect> },
    /// Ask a peer what it knows of another, after a pause, for the inquiry that began
    /// then.
    AskOpinion {
        of: Peer,
        about: Peer,
        inquiry: Moment,
        pause: Duration,
    },
    /// Serve a slot: with its sealed staging of exactly that attempt, if there is one,
    /// else with an empty container, which counts as lost if the epoch is not the first.
    OpenSlot {
        slot: Slot,
        epoch: Epoch,
        attempt: u64,
    },
    /// Drop the container of a slot if it serves this epoch or an older one. Comes after the
    /// view that says who owns the slot now.
    CloseSlot { slot: Slot, epoch: Epoch },
    /// A row was read: stagings of older attempts can come to nothing.
    RowRead {
        slot: Slot,
        epoch: Epoch,
        attempt: u64,
    },
    /// Requests that wait for slots shall look again. Comes after everything that they
    /// wait for.
    WakeParked,
    /// Begin to move a batch.
    StartMove(Box<MoveOrder>),
    /// Seal it.
    SealMove(MoveId),
    /// End it.
    EndMove { id: MoveId, end: MoveEnd },
    /// Bytes per second for all moves of this process; 0: no limit.
    SetMoveRate(u64),
    /// Start to serve.
    OpenFence,
    /// Stop serving.
    CloseFence(FenceReason),
    /// A proof of life that began then.
    ExtendFence { started: Moment },
    /// Until when to serve without the registry in mode `available`.
    DegradedUntil(Option<Moment>),
    /// Publish a view; its number is filled in by the driver.
    Publish(Box<ClusterView>),
    /// Tell people.
    Log { level: Level, text: String },
    /// The sign-off is complete.
    SignedOff,
    /// This process cannot be part of the cluster.
    GiveUp(String),
}

/// How loudly to tell people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}
