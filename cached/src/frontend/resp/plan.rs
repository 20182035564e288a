//! What a data command comes to: operations, and how their replies become one.

use cached_proto::operation;
use cached_proto::operation::Operation;
use cached_proto::ring::hash::KeyHash;

use super::errors::ErrorReply;
use super::reply::{Reply, RespVersion};

/// What a data command may know besides its words.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Unix time in milliseconds, for times that are given as dates.
    pub wall_ms: u64,
    /// Key to slot.
    pub hash: KeyHash,
    /// Longest value in bytes.
    pub value_bytes_max: usize,
    /// In which protocol it will be answered; replies differ by themselves, commands
    /// seldom do.
    pub version: RespVersion,
}

/// Turns the replies of all operations, in their order, into the command's. Called
/// only if none of them failed: the first failure is the reply otherwise.
pub type Then = Box<dyn FnOnce(Vec<operation::Reply>) -> Reply + Send>;

/// What a data command comes to. Owns what it needs, so that it can wait.
pub enum Plan {
    /// Known without looking at any key.
    Answer(Reply),
    /// To be carried out, each at its key's owner and in this order for each key.
    Run {
        /// At least one; those of several are not one atomic step together.
        operations: Vec<Operation>,
        /// Makes the reply.
        then: Then,
    },
}

impl Plan {
    /// One operation, and what makes the reply out of its own.
    pub fn one(
        operation: Operation,
        then: impl FnOnce(operation::Reply) -> Reply + Send + 'static,
    ) -> Self {
        let then = move |replies: Vec<operation::Reply>| match replies.into_iter().next() {
            Some(reply) => then(reply),
            None => no_reply(),
        };
        Self::Run {
            operations: vec![operation],
            then: Box::new(then),
        }
    }

    /// Some operations, and what makes the reply out of theirs.
    pub fn many(
        operations: Vec<Operation>,
        then: impl FnOnce(Vec<operation::Reply>) -> Reply + Send + 'static,
    ) -> Self {
        let then = Box::new(then);
        Self::Run { operations, then }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(reply) => f.debug_tuple("Answer").field(reply).finish(),
            Self::Run { operations, .. } => f.debug_tuple("Run").field(operations).finish(),
        }
    }
}

/// An operation's reply is of another kind than the operation: a defect of a node.
pub fn no_reply() -> Reply {
    Reply::Error(ErrorReply::fixed("ERR internal: a reply of the wrong kind"))
}
