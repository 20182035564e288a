//! What fails, in the words that Redis's clients look at.

use std::borrow::Cow;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::types::Invalid;

/// A line that begins with a kind in capitals: `ERR syntax error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply(pub Cow<'static, str>);

impl ErrorReply {
    /// Options that do not fit together.
    pub const SYNTAX: Self = Self::fixed("ERR syntax error");
    /// A number that is none, or does not fit in 64 bits.
    pub const NOT_AN_INTEGER: Self = Self::fixed("ERR value is not an integer or out of range");
    /// A number with a fraction that is none.
    pub const NOT_A_FLOAT: Self = Self::fixed("ERR value is not a valid float");
    /// The connection has to say who it is first.
    pub const NOAUTH: Self = Self::fixed("NOAUTH Authentication required.");
    /// The password is no token of this node.
    pub const WRONGPASS: Self =
        Self::fixed("WRONGPASS invalid username-password pair or user is disabled.");
    /// Keys of one command lie in several slots.
    pub const CROSSSLOT: Self =
        Self::fixed("CROSSSLOT Keys in request don't hash to the same slot");
    /// The entry does not fit in memory.
    pub const OOM: Self = Self::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    /// The value would be longer than this node takes.
    pub const STRING_TOO_LONG: Self =
        Self::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

    /// A text that is always the same.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A text made for the occasion.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// Too few or too many words; `name` in small letters, as `object|encoding`.
    pub fn arity(name: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }
}

impl From<Invalid> for ErrorReply {
    fn from(invalid: Invalid) -> Self {
        Self::new(format!("ERR {invalid}"))
    }
}

/// `UNKNOWN` and `BUSY` are our own kinds: Redis has no outcome that is not known, and
/// nothing that a node has too much of but memory.
impl From<&Failure> for ErrorReply {
    fn from(failure: &Failure) -> Self {
        if failure.applied == Applied::Unknown {
            return Self::new(format!("UNKNOWN {failure}"));
        }
        match failure.code {
            FailureCode::OutOfMemory => Self::OOM,
            FailureCode::TooLarge if failure.field == Some("value") => Self::STRING_TOO_LONG,
            FailureCode::Unauthenticated => Self::NOAUTH,
            FailureCode::PermissionDenied => Self::new(format!("NOPERM {failure}")),
            FailureCode::Busy => Self::new(format!("BUSY {failure}")),
            FailureCode::Unavailable | FailureCode::WrongOwner => {
                Self::new(format!("CLUSTERDOWN Hash slot not served: {failure}"))
            }
            _ => Self::new(format!("ERR {failure}")),
        }
    }
}
