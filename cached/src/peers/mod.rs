//! Node-to-node calls as a trait; the real one speaks gRPC through the client crate.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod grpc;
pub mod keys;
mod lane;
mod lanes;
pub(crate) mod moving;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Outcome};
pub use cached_proto::pb::cached::admin::v1::{BlacklistEntry, NodeStats, PairProgress};
use cached_proto::records::MemberState;
use cached_proto::types::{Epoch, GroupName, Incarnation, MemberId, Slot};
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};

use keys::{KeysPage, KeysPlace};

use crate::clock::Moment;
use crate::transfer::messages::{ToReceiver, ToSender};

/// A future of a peer call.
pub type PeerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PeerError>> + Send + 'a>>;

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Name and incarnation; another incarnation that answers refuses.
    pub id: MemberId,
    /// `host:port`.
    pub address: String,
}

/// Why a call to a peer did not come to an answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeerError {
    /// The request never left this process, or was refused before any work.
    #[error("{0}")]
    NotSent(String),
    /// It may have been carried out.
    #[error("{0}")]
    Unknown(String),
    /// The peer answered that the call as a whole failed.
    #[error(transparent)]
    Refused(Failure),
}

impl PeerError {
    /// Whether the peer answered, and lets nobody in who shows what this process shows.
    pub fn is_refusal_of_rights(&self) -> bool {
        let rights = [FailureCode::Unauthenticated, FailureCode::PermissionDenied];
        matches!(self, Self::Refused(failure) if rights.contains(&failure.code))
    }
}

/// Why a probe brought no word of a member on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nothing came back, or nothing that a member says.
    Silent(String),
    /// Somebody is there, and does not let this process in. It does not say who it is, so
    /// it is a sign of life of a member only while the registry holds that member's key.
    Refused(String),
}

/// Operations that are passed on to an owner together.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The group of all operations.
    pub group: GroupName,
    /// Each with the epoch of the row by which its owner was chosen.
    pub operations: Vec<(Operation, Epoch)>,
    /// How long the sender still waits.
    pub time_left: Duration,
}

/// One operation that is passed on beside others.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its group.
    pub group: GroupName,
    /// What to do.
    pub operation: Operation,
    /// Of the row by which its owner was chosen.
    pub epoch: Epoch,
    /// When the sender stops waiting.
    pub until: Moment,
}

/// What a peer answered to one operation, or why it did not.
pub type Answered = Result<Outcome, PeerError>;

/// An operation that was passed on.
#[derive(Debug)]
pub struct OnItsWay {
    /// To whom.
    pub to: Arc<Peer>,
    /// Where the answer comes, when it comes: who waits sets the limit. Closed when
    /// nobody will ever know it.
    pub answer: oneshot::Receiver<Answered>,
}

/// A peer's word on itself.
#[derive(Clone, Debug)]
pub struct ProbeAnswer {
    /// Which life answers.
    pub id: MemberId,
    /// It does not serve.
    pub fenced: bool,
    /// It has read the registry within its fence time.
    pub registry_reachable: bool,
    /// Its wall clock, Unix milliseconds.
    pub wall_clock_ms: u64,
    /// Its own word on its state.
    pub state: MemberState,
    /// Its layout number.
    pub layout: u64,
}

/// A member that does not answer the sender's probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Who.
    pub id: MemberId,
    /// Probes missed in a row.
    pub misses: u32,
    /// What the last one ended with.
    pub last_error: String,
}

/// What a peer knows of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is finding out; ask again.
    Unknown,
    /// A fresh probe was answered.
    Answers,
    /// A fresh probe was not.
    Silent,
}

/// Calls between the nodes of a cluster. Every call ends within `timeout` (or the
/// `time_left` of what is forwarded). Cancel-safe: dropping a future abandons the
/// call, whose outcome is then unknown.
pub trait Peers: Send + Sync + std::fmt::Debug {
    /// Carries out operations on slots that the peer owns; one outcome for each.
    fn execute<'a>(&'a self, peer: &'a Peer, work: Forwarded) -> PeerFuture<'a, Vec<Outcome>>;
    /// Puts an operation on its way to a member without waiting; `None`: only
    /// [`Peers::execute`] can carry it.
    fn pass(&self, to: &MemberId, address: &str, passed: Passed) -> Option<OnItsWay> {
        let _ = (to, address, passed);
        None
    }
    /// Asks who is there. `peer.id` is not checked: the answer says who answered.
    fn probe<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, ProbeAnswer>;
    /// Tells the planner whom this node suspects.
    fn report<'a>(
        &'a self,
        peer: &'a Peer,
        suspects: Vec<Suspect>,
        timeout: Duration,
    ) -> PeerFuture<'a, ()>;
    /// Asks what the peer knows of another member.
    fn opinion<'a>(
        &'a self,
        peer: &'a Peer,
        about: &'a Peer,
        fresh: Duration,
        timeout: Duration,
    ) -> PeerFuture<'a, Verdict>;
    /// The peer's counters.
    fn stats<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, NodeStats>;
    /// The peer's circuit breakers.
    fn blacklist<'a>(
        &'a self,
        peer: &'a Peer,
        timeout: Duration,
    ) -> PeerFuture<'a, Vec<BlacklistEntry>>;
    /// Drops a group's entries in the slots that the peer owns.
    fn flush<'a>(
        &'a self,
        peer: &'a Peer,
        group: &'a GroupName,
        timeout: Duration,
    ) -> PeerFuture<'a, Flushed>;
    /// Keys of a group in the slots that the peer owns, from a place on.
    fn keys<'a>(
        &'a self,
        peer: &'a Peer,
        group: &'a GroupName,
        from: KeysPlace,
        count: usize,
        timeout: Duration,
    ) -> PeerFuture<'a, KeysPage>;
    /// Opens the stream of a move; the first message on it must be the offer. `timeout`
    /// bounds the opening only.
    fn open_move<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, MoveStream>;
    /// What the peer is sending right now.
    fn moves<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, Vec<PairProgress>>;
}

/// What a flush came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Entries that went.
    pub keys: u64,
    /// Slots that the peer served during the whole of it; others may have been on their way.
    pub slots: Vec<Slot>,
}

/// Both directions of a move. Dropping it breaks the stream off.
pub struct MoveStream {
    /// To the receiver; waits while the connection is full.
    pub send: mpsc::Sender<ToReceiver>,
    /// From the receiver; ends when the stream does.
    pub receive: BoxStream<'static, Result<ToSender, PeerError>>,
}

impl std::fmt::Debug for MoveStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MoveStream").finish_non_exhaustive()
    }
}

/// Who this process is in its messages.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Name and incarnation; `None` for a gateway.
    pub id: Option<MemberId>,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's identity; `None` before it is known.
    pub cluster_uuid: Option<Incarnation>,
}
