//! What the cluster's state orders, and what it is told of it.

use cached_proto::operations::MoveCounts;
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, Slot};

use crate::peers::Peer;
use crate::registry::Record;

/// One try to move slots of one page to one receiver. No other try of this process has
/// the same number for the same page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoveId {
    /// The page.
    pub page: PageIndex,
    /// Larger than that of every try before for these slots.
    pub attempt: u64,
}

/// What to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveOrder {
    /// Names the try.
    pub id: MoveId,
    /// The operation that it is done for.
    pub operation: String,
    /// The slots, ascending, each with the epoch of the row that names this process.
    pub slots: Vec<(Slot, Epoch)>,
    /// To whom.
    pub to: Peer,
    /// What does not fit may be dropped, coldest first.
    pub shed: bool,
    /// The process is to end: it does not let requests go first.
    pub haste: bool,
    /// Every slot that is still to go to that receiver, these included: for its reckoning.
    pub planned: Vec<Slot>,
}

/// What becomes of a move until it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveNews {
    /// Everything has been sent once, and little is under way: it may be sealed.
    CaughtUp,
    /// Both ends hold the same, and nothing changes any more: it may be committed.
    Sealed(MoveCounts),
    /// It came to nothing. The source serves again, and the receiver has been told if
    /// it could be reached. Never told once `Sealed` was.
    Failed {
        /// For people.
        why: String,
        /// Nothing is wrong with the receiver: it is busy, and asked to come back.
        busy: bool,
        /// The receiver's memory has no room.
        over_capacity: bool,
        /// What was sent in vain.
        counts: MoveCounts,
    },
    /// The last word of a try that had been sealed, after it came to nothing: its
    /// receiver may hold these slots sealed, and did not say that it has dropped them.
    Unheard {
        /// Each with the epoch of the row that names this process.
        slots: Vec<(Slot, Epoch)>,
    },
}

/// How a move ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveEnd {
    /// The page as committed.
    Committed(Record),
    /// The source keeps the slots, for this reason.
    Aborted(String),
}
