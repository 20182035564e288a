//! What sender and receiver of a move say to each other; the wire is `peers`' business.

use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, GroupName, MemberId, Slot};

use crate::registry::Record;
use crate::store::{Change, GroupId, SlotInfo, SlotSum};

/// An offer of slots of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The operation that they are moved for.
    pub operation: String,
    /// The page.
    pub page: PageIndex,
    /// Number of the try; larger than any before for these slots.
    pub attempt: u64,
    /// The slots, ascending.
    pub slots: Vec<OfferedSlot>,
    /// Entries in them now, about.
    pub keys: u64,
    /// Bytes that they need, to be reserved.
    pub bytes: u64,
    /// Less may be granted: the coldest entries are then dropped.
    pub shed: bool,
    /// Bytes that the sender has for this receiver in all, these included.
    pub bytes_planned: u64,
}

/// One slot of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferedSlot {
    /// Which.
    pub slot: Slot,
    /// Epoch of the row under which the sender owns it.
    pub epoch: Epoch,
    /// Upper half of its entries' versions.
    pub base: Epoch,
}

/// Changes in the order in which they happened. Their group numbers are indices
/// into `groups`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names of the groups that the changes are of.
    pub groups: Vec<GroupName>,
    /// The changes.
    pub changes: Vec<Change>,
}

/// From the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToReceiver {
    /// First of all, with who offers.
    Offer(MemberId, Offer),
    /// Scanned entries, changes, and in the end a seal for each slot.
    Changes(Changes),
    /// The page as it was committed: the receiver owns the slots.
    Committed(Record),
    /// The sender keeps the slots.
    Aborted(String),
}

/// Why a receiver does not take slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It receives from enough others: come back soon.
    Busy,
    /// Its memory has no room.
    OverCapacity,
    /// It knows a newer row, epoch or attempt.
    Stale,
    /// It does not serve now, or does not know a group yet.
    NotReady,
    /// Count or digest differ from the sender's.
    Broken,
    /// It gives its own slots away.
    Leaving,
}

/// From the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSender {
    /// So many bytes are reserved.
    Granted {
        /// Less than offered only when shedding was offered.
        bytes: u64,
    },
    /// It takes nothing, and has dropped what it had of this attempt.
    Refused(Declined, String),
    /// Sums since the start.
    Applied {
        /// Changes taken in, skipped ones included.
        changes: u64,
        /// Bytes of their keys and values.
        bytes: u64,
        /// Changes that it had in a newer version.
        skipped: u64,
    },
    /// It holds every slot of the offer complete, until it learns what became of them.
    Sealed(Vec<(Slot, u64, SlotSum)>),
    /// It has taken note of the end.
    Done,
}

/// The group of a change; a seal has none.
pub fn group_of(change: &mut Change) -> Option<&mut GroupId> {
    match change {
        Change::Put { group, .. } | Change::Remove { group, .. } | Change::Use { group, .. } => {
            Some(group)
        }
        Change::Seal { .. } => None,
    }
}

/// What both ends hold of each slot, with its number of changes.
pub(super) type Sums = Vec<(Slot, u64, SlotSum)>;

/// A slot as it is offered.
pub(super) fn offered(info: &SlotInfo) -> OfferedSlot {
    OfferedSlot {
        slot: info.slot,
        epoch: info.epoch,
        base: info.base,
    }
}

/// Both ends must hold the same of every slot (I13); the error names where they differ.
pub(super) fn compare(own: &Sums, theirs: &Sums) -> Result<(), String> {
    if own.len() != theirs.len() {
        let (own, theirs) = (own.len(), theirs.len());
        return Err(format!("the receiver sealed {theirs} slots of {own}"));
    }
    for (own, theirs) in own.iter().zip(theirs) {
        let shown = |(slot, seq, sum): &(Slot, u64, SlotSum)| {
            let SlotSum { keys, digest, .. } = sum;
            format!("slot {slot}: {keys} entries, change {seq}, digest {digest:016x}")
        };
        let key = |(slot, seq, sum): &(Slot, u64, SlotSum)| (*slot, *seq, sum.keys, sum.digest);
        if key(own) != key(theirs) {
            return Err(format!(
                "the ends differ after the seal: here {}; there {}",
                shown(own),
                shown(theirs)
            ));
        }
    }
    Ok(())
}

/// What a message is called.
pub(super) fn word(message: &ToSender) -> &'static str {
    match message {
        ToSender::Granted { .. } => "granted",
        ToSender::Refused(..) => "refused",
        ToSender::Applied { .. } => "applied",
        ToSender::Sealed(_) => "sealed",
        ToSender::Done => "done",
    }
}
