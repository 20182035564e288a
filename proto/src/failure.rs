//! What went wrong, whether the operation was applied, and what the caller may do.

use std::fmt;
use std::time::Duration;

use crate::types::{Epoch, Invalid, MemberId, Slot};

/// Kind of failure; each names what the caller does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// A defect of the node: report it.
    Internal,
    /// Fix the request.
    Invalid,
    /// Create the group, or fix its name.
    UnknownGroup,
    /// A key, value or batch is over a limit.
    TooLarge,
    /// Send a valid token.
    Unauthenticated,
    /// The token's role does not allow this.
    PermissionDenied,
    /// Ask the owner in [`Failure::owner`].
    WrongOwner,
    /// The slot has no living owner yet: retry later.
    Unavailable,
    /// A limit of the node is reached: retry later.
    Busy,
    /// The entry does not fit in memory.
    OutOfMemory,
    /// The request's time is over.
    Deadline,
    /// The getter's origin failed.
    Origin,
    /// Not offered by this node.
    Unsupported,
    /// A named thing other than a key does not exist.
    NotFound,
    /// It exists already, or changed meanwhile.
    Conflict,
}

/// What a caller should do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing was applied: try again after a pause.
    Retry,
    /// Ask another node.
    Redirect,
    /// Change the request.
    Fix,
    /// Neither will help.
    GiveUp,
}

/// Whether the operation took effect although it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Certainly not.
    No,
    /// Perhaps: only idempotent operations may be tried again.
    Unknown,
}

/// The row of a slot as a node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerHint {
    /// The slot.
    pub slot: Slot,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its owner.
    pub owner: MemberId,
    /// `host:port` of the owner; `None` when it is no member now.
    pub address: Option<String>,
    /// Other slots that it owns, with their epochs: slots of a page move together, so
    /// whoever is told of one is told of those beside it. At most a page's.
    pub also: Vec<(Slot, Epoch)>,
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// Its kind.
    pub code: FailureCode,
    /// Whether it was applied all the same.
    pub applied: Applied,
    /// For people.
    pub message: String,
    /// The part of the request at fault, when there is one.
    pub field: Option<&'static str>,
    /// When to try again, if the node knows.
    pub retry_after: Option<Duration>,
    /// Who owns the slot, with `WrongOwner`. Boxed: failures are rare, results are not.
    pub owner: Option<Box<OwnerHint>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.applied {
            Applied::No => Ok(()),
            Applied::Unknown => f.write_str(" (it may have been applied)"),
        }
    }
}

impl Failure {
    /// A failure that was certainly not applied.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            applied: Applied::No,
            message: message.into(),
            field: None,
            retry_after: None,
            owner: None,
        }
    }

    /// The same failure of an operation that may have been applied.
    pub fn maybe_applied(mut self) -> Self {
        self.applied = Applied::Unknown;
        self
    }

    /// The same failure with the pause that the node advises.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// "Ask the owner": the answer of a node that does not own the slot.
    pub fn wrong_owner(hint: OwnerHint) -> Self {
        let message = format!("slot {} is owned by {}", hint.slot, hint.owner.name);
        let mut failure = Self::new(FailureCode::WrongOwner, message);
        failure.owner = Some(Box::new(hint));
        failure
    }

    /// What the caller should do.
    pub fn advice(&self) -> Advice {
        match self.code {
            FailureCode::WrongOwner => Advice::Redirect,
            FailureCode::Unavailable | FailureCode::Busy | FailureCode::OutOfMemory => {
                Advice::Retry
            }
            FailureCode::Invalid
            | FailureCode::UnknownGroup
            | FailureCode::TooLarge
            | FailureCode::Unauthenticated
            | FailureCode::PermissionDenied
            | FailureCode::NotFound
            | FailureCode::Conflict => Advice::Fix,
            FailureCode::Internal
            | FailureCode::Deadline
            | FailureCode::Origin
            | FailureCode::Unsupported => Advice::GiveUp,
        }
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        let mut failure = Self::new(FailureCode::Invalid, invalid.to_string());
        failure.field = Some(invalid.field);
        failure
    }
}
