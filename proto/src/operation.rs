//! The one language for data: what may be asked of a key, and what is answered.

use bytes::Bytes;

use crate::failure::Failure;
use crate::types::{Epoch, Key, Ttl, Version};
use crate::update::{Change, Returns, Update, Updated};

/// What must hold for a write to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The key has no entry.
    IfAbsent,
    /// The key has an entry.
    IfPresent,
    /// The key has an entry of exactly this version.
    IfVersion(Version),
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads an entry, and may load it through the getter on a miss.
    Get {
        /// The key.
        key: Key,
        /// Answer a miss as a miss even where the owner has a getter.
        no_load: bool,
        /// Answer without the value.
        metadata_only: bool,
    },
    /// Writes an entry.
    Set {
        /// The key.
        key: Key,
        /// The value.
        value: Bytes,
        /// Time to live; `None` means the group's default, else for ever.
        ttl: Option<Ttl>,
        /// When to write.
        condition: Condition,
    },
    /// Removes an entry.
    Delete {
        /// The key.
        key: Key,
        /// `Always` or `IfVersion`.
        condition: Condition,
    },
    /// Sets the time to live and leaves value and version as they are.
    Touch {
        /// The key.
        key: Key,
        /// `None`: never expires.
        ttl: Option<Ttl>,
    },
    /// Changes an entry depending on what it is: see [`Update`]. Loads nothing.
    Update {
        /// The key.
        key: Key,
        /// What to do.
        update: Update,
    },
    /// Writes several entries of one slot in one step that nobody sees half of. They
    /// get the group's default time to live.
    SetMany {
        /// The first of them: its key stands for all.
        first: (Key, Bytes),
        /// The others, in the order in which they are written.
        others: Vec<(Key, Bytes)>,
        /// Write none if one of the keys has an entry.
        if_absent: bool,
    },
}

impl Operation {
    /// The key it works on; of several, the first.
    pub fn key(&self) -> &Key {
        match self {
            Self::Get { key, .. }
            | Self::Set { key, .. }
            | Self::Delete { key, .. }
            | Self::Touch { key, .. }
            | Self::Update { key, .. }
            | Self::SetMany {
                first: (key, _), ..
            } => key,
        }
    }

    /// All keys it works on; one may come twice.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let others = match self {
            Self::SetMany { others, .. } => &others[..],
            _ => &[],
        };
        std::iter::once(self.key()).chain(others.iter().map(|(key, _)| key))
    }

    /// Bytes that it brings along beside its (first) key.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Update { update, .. } => update.bytes(),
            Self::SetMany { first, others, .. } => {
                let each = |(key, value): &(Key, Bytes)| key.as_bytes().len() + value.len();
                first.1.len() + others.iter().map(each).sum::<usize>()
            }
            Self::Get { .. } | Self::Delete { .. } | Self::Touch { .. } => 0,
        }
    }

    /// Whether it has to be alone in a message between processes: its answer holds a
    /// value, and if it did not fit beside others it could not be asked for again.
    pub fn travels_alone(&self) -> bool {
        match self {
            Self::Update { update, .. } => {
                let short = matches!(update.change, Change::AddInteger(_));
                update.returns != Returns::Metadata && !short
            }
            _ => false,
        }
    }

    /// Whether it needs no right but reading.
    pub fn is_read(&self) -> bool {
        match self {
            Self::Get { .. } => true,
            Self::Update { update, .. } => update.is_read(),
            _ => false,
        }
    }

    /// Whether doing it twice leaves what doing it once leaves, so that it may
    /// be tried again although the first try may have been applied. A conditional
    /// write is not: after its own first try, or another caller's delete, the second
    /// would answer that nothing was written. A delete is, but when the second try
    /// finds nothing, the first may have removed it.
    pub fn is_idempotent(&self) -> bool {
        match self {
            Self::Get { .. } | Self::Touch { .. } => true,
            Self::Set { condition, .. } | Self::Delete { condition, .. } => {
                *condition == Condition::Always
            }
            Self::Update { update, .. } => update.is_idempotent(),
            Self::SetMany { if_absent, .. } => !if_absent,
        }
    }
}

/// An entry as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value; empty when only metadata was asked for.
    pub value: Bytes,
    /// Its version; `None` when the value is not stored (see `uncached`).
    pub version: Option<Version>,
    /// Time left in milliseconds; `None`: never expires.
    pub ttl_ms: Option<u64>,
    /// Length of the value, also when only metadata was asked for.
    pub value_bytes: u64,
    /// The getter fetched it for this request.
    pub loaded: bool,
    /// Fetched and not stored: the slot had no living owner, or a write won.
    pub uncached: bool,
}

/// The answer to an [`Operation`] that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Get`; `None` is a miss.
    Get(Option<Entry>),
    /// To `Set`.
    Set {
        /// False: the condition did not hold.
        stored: bool,
        /// Of the entry now there.
        version: Option<Version>,
    },
    /// To `Delete`.
    Delete {
        /// False: not there, or the version differs.
        deleted: bool,
        /// When the condition failed: of the entry that is there.
        version: Option<Version>,
    },
    /// To `Touch`.
    Touch {
        /// False: not there.
        found: bool,
    },
    /// To `Update`.
    Update(Updated),
    /// To `SetMany`.
    SetMany {
        /// False: one of the keys had an entry, and none was to.
        stored: bool,
    },
}

/// A reply, and whether its owner has lost sight of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was done.
    pub reply: Reply,
    /// The owner has not reached the registry for longer than it is sure of itself.
    pub degraded: bool,
}

/// What one operation came to.
pub type Outcome = Result<Answer, Failure>;

/// How a request was routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// The node that is asked passes the request on, once.
    #[default]
    Forward,
    /// The caller routes; a node that does not own the slot says who does.
    OwnerOnly {
        /// Epoch of the row that the caller used; 0 when it used none.
        known_epoch: Epoch,
    },
}
