//! What a call came to, and what the program should do about it.

use cached_proto::failure::{Advice, Applied, Failure};
use cached_proto::types::Invalid;

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A node answered that the operation failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The request broke a limit before it was sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No node could be reached; nothing was applied.
    #[error("cannot reach the cluster: {0}")]
    Unreachable(String),
    /// The connection broke or the time was over after the request was sent.
    #[error("{message}")]
    Lost {
        /// For people.
        message: String,
        /// Whether it may have been applied.
        applied: Applied,
        /// Whether the time was over.
        timed_out: bool,
    },
}

impl Error {
    /// What to do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Failed(failure) => failure.advice(),
            Self::Invalid(_) => Advice::Fix,
            Self::Unreachable(_) | Self::Lost { .. } => Advice::Retry,
        }
    }

    /// Whether the operation may have been applied although it failed.
    pub fn applied(&self) -> Applied {
        match self {
            Self::Failed(failure) => failure.applied,
            Self::Invalid(_) | Self::Unreachable(_) => Applied::No,
            Self::Lost { applied, .. } => *applied,
        }
    }
}
