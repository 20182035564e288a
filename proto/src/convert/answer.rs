//! Answers: what an operation came to, alone or in a list of results.

use super::{update, version_from_pb, version_to_pb};
use crate::failure::{Failure, FailureCode};
use crate::operation::{Answer, Entry, Outcome, Reply};
use crate::pb::cached::cache::v1 as pb;
use crate::pb::cached::cache::v1::result::Kind;
use crate::types::Invalid;

/// Spells what an operation came to.
pub fn outcome_to_pb(outcome: Outcome) -> pb::Result {
    let kind = match outcome {
        Ok(answer) => answer.into(),
        Err(failure) => Kind::Failure(failure.into()),
    };
    pb::Result { kind: Some(kind) }
}

/// Reads what an operation came to. An answer that cannot be read is a failure
/// of which nobody knows whether it was applied.
pub fn outcome_from_pb(result: pb::Result) -> Outcome {
    let answer = match result.kind {
        Some(Kind::Get(response)) => Answer::try_from(response),
        Some(Kind::Set(response)) => Answer::try_from(response),
        Some(Kind::Delete(response)) => Answer::try_from(response),
        Some(Kind::Touch(response)) => Ok(Answer::from(response)),
        Some(Kind::Update(response)) => update::answer(response),
        Some(Kind::SetMany(response)) => Ok(Answer::from(response)),
        Some(Kind::Failure(failure)) => return Err(failure.into()),
        None => Err(Invalid::new("result", "is none that this version knows")),
    };
    answer.map_err(|bad| {
        let message = format!("the answer cannot be read: {bad}");
        Failure::new(FailureCode::Internal, message).maybe_applied()
    })
}

impl From<Answer> for Kind {
    fn from(Answer { reply, degraded }: Answer) -> Self {
        match reply {
            Reply::Get(entry) => Self::Get(get_response(entry, degraded)),
            Reply::Set { stored, version } => {
                let version = version_to_pb(version);
                Self::Set(pb::SetResponse {
                    stored,
                    version,
                    degraded,
                })
            }
            Reply::Delete { deleted, version } => {
                let version = version_to_pb(version);
                Self::Delete(pb::DeleteResponse {
                    deleted,
                    version,
                    degraded,
                })
            }
            Reply::Touch { found } => Self::Touch(pb::TouchResponse { found, degraded }),
            Reply::Update(updated) => Self::Update(update::response(updated, degraded)),
            Reply::SetMany { stored } => Self::SetMany(pb::SetManyResponse { stored, degraded }),
        }
    }
}

fn get_response(entry: Option<Entry>, degraded: bool) -> pb::GetResponse {
    let Some(entry) = entry else {
        return pb::GetResponse {
            degraded,
            ..Default::default()
        };
    };
    pb::GetResponse {
        found: true,
        value: entry.value,
        version: version_to_pb(entry.version),
        ttl_ms: entry.ttl_ms,
        value_bytes: entry.value_bytes,
        loaded: entry.loaded,
        uncached: entry.uncached,
        degraded,
    }
}

impl TryFrom<pb::GetResponse> for Answer {
    type Error = Invalid;
    fn try_from(response: pb::GetResponse) -> Result<Self, Invalid> {
        let degraded = response.degraded;
        if !response.found {
            return Ok(Self {
                reply: Reply::Get(None),
                degraded,
            });
        }
        let entry = Entry {
            version: version_from_pb(&response.version)?,
            value: response.value,
            ttl_ms: response.ttl_ms,
            value_bytes: response.value_bytes,
            loaded: response.loaded,
            uncached: response.uncached,
        };
        Ok(Self {
            reply: Reply::Get(Some(entry)),
            degraded,
        })
    }
}

impl TryFrom<pb::SetResponse> for Answer {
    type Error = Invalid;
    fn try_from(response: pb::SetResponse) -> Result<Self, Invalid> {
        let version = version_from_pb(&response.version)?;
        let reply = Reply::Set {
            stored: response.stored,
            version,
        };
        Ok(Self {
            reply,
            degraded: response.degraded,
        })
    }
}

impl TryFrom<pb::DeleteResponse> for Answer {
    type Error = Invalid;
    fn try_from(response: pb::DeleteResponse) -> Result<Self, Invalid> {
        let version = version_from_pb(&response.version)?;
        let reply = Reply::Delete {
            deleted: response.deleted,
            version,
        };
        Ok(Self {
            reply,
            degraded: response.degraded,
        })
    }
}

impl From<pb::TouchResponse> for Answer {
    fn from(response: pb::TouchResponse) -> Self {
        Self {
            reply: Reply::Touch {
                found: response.found,
            },
            degraded: response.degraded,
        }
    }
}

impl From<pb::SetManyResponse> for Answer {
    fn from(response: pb::SetManyResponse) -> Self {
        Self {
            reply: Reply::SetMany {
                stored: response.stored,
            },
            degraded: response.degraded,
        }
    }
}

/// The response of a call for one key: an answer to another operation than the
/// one that was asked is a defect of the node, not of the caller.
macro_rules! single_response {
    ($($kind:ident => $response:ident),* $(,)?) => {$(
        impl TryFrom<Answer> for pb::$response {
            type Error = Failure;
            fn try_from(answer: Answer) -> Result<Self, Failure> {
                match answer.into() {
                    Kind::$kind(response) => Ok(response),
                    _ => {
                        let message = concat!("another reply than one to ", stringify!($kind));
                        Err(Failure::new(FailureCode::Internal, message).maybe_applied())
                    }
                }
            }
        }
    )*};
}

single_response! {
    Get => GetResponse,
    Set => SetResponse,
    Delete => DeleteResponse,
    Touch => TouchResponse,
    Update => UpdateResponse,
    SetMany => SetManyResponse,
}
