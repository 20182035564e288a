//! What went wrong, as an exit code and a hint.

use cached_client::{Error as ClientError, FailureCode};

/// An exit code; scripts rely on these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Anything without a code of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The key, node or group does not exist.
    NotFound = 3,
    /// No node answers.
    Unreachable = 4,
    /// The time is over.
    Timeout = 5,
    /// It changed meanwhile, or a condition did not hold.
    Conflict = 6,
    /// A check before the change said no.
    Refused = 7,
    /// It ended, but not everywhere.
    Partly = 8,
    /// It goes on without this program.
    Detached = 9,
    /// The cluster is not well.
    Unhealthy = 10,
    /// Ctrl-C ended it early, in good order.
    Interrupted = 130,
}

/// An error as it is shown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// The process's exit code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to try; empty: nothing.
    pub hint: String,
}

impl CliError {
    /// Without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// Only a code: what there is to say was printed.
    pub fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }
}

impl From<cached_client::types::Invalid> for CliError {
    fn from(invalid: cached_client::types::Invalid) -> Self {
        Self::usage(invalid.to_string())
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Invalid(_) => Self::usage(message),
            ClientError::Unreachable(_) => Self::new(Code::Unreachable, message).hint(
                "is a node running there? name others with --endpoint URL or --etcd HOST:PORT",
            ),
            ClientError::Lost {
                timed_out: true, ..
            } => Self::new(Code::Timeout, message),
            ClientError::Lost { .. } => Self::new(Code::Unreachable, message),
            ClientError::Failed(failure) => {
                let error = Self::new(code_of(failure.code), message);
                match failure.code {
                    FailureCode::Unauthenticated => {
                        error.hint("show a token with --token-file FILE")
                    }
                    FailureCode::PermissionDenied => {
                        error.hint("this token's role is too low; ask for one with the role named")
                    }
                    FailureCode::UnknownGroup => error.hint(
                        "`cachectl groups` lists them, `cachectl groups create NAME` makes one",
                    ),
                    _ => error,
                }
            }
        }
    }
}

fn code_of(code: FailureCode) -> Code {
    match code {
        FailureCode::Invalid | FailureCode::TooLarge => Code::Usage,
        FailureCode::UnknownGroup | FailureCode::NotFound => Code::NotFound,
        FailureCode::Deadline => Code::Timeout,
        FailureCode::Conflict => Code::Conflict,
        FailureCode::Unavailable | FailureCode::Busy => Code::Unreachable,
        FailureCode::OutOfMemory | FailureCode::Unsupported => Code::Refused,
        _ => Code::Failure,
    }
}
