//! A call's gRPC status read as an error that says what to do.

use std::error::Error as Cause;

use cached_proto::failure::{Applied, Failure, FailureCode};
use tonic::{Code, Status};

use crate::error::Error;

/// What is said of whoever is not heard in time.
const NO_ANSWER: &str = "did not answer in time";

/// What the status of a call to `address` means for the caller.
///
/// A node's own failure is taken from the status' details. Without details, what
/// matters is whether the request can have left this process: if it can, nobody
/// knows whether it was applied.
pub fn error_of(address: &str, status: &Status) -> Error {
    if let Ok(failure) = Failure::from_wire_bytes(status.details()) {
        return failure.into();
    }
    let message = format!("{address}: {}", describe(status));
    if never_sent(status) {
        return Error::Unreachable(message);
    }
    let code = match status.code() {
        Code::Unauthenticated => FailureCode::Unauthenticated,
        Code::PermissionDenied => FailureCode::PermissionDenied,
        Code::InvalidArgument => FailureCode::Invalid,
        Code::Unimplemented => FailureCode::Unsupported,
        // tonic's own words for a message over the limit of either end, which may
        // have been the answer.
        Code::OutOfRange => {
            return Failure::new(FailureCode::TooLarge, message)
                .maybe_applied()
                .into();
        }
        code => {
            let timed_out = code == Code::DeadlineExceeded || expired(status);
            return Error::Lost {
                message,
                applied: Applied::Unknown,
                timed_out,
            };
        }
    };
    Failure::new(code, message).into()
}

/// What is lost when the time of a call to `address` is over.
pub(crate) fn time_over(address: &str) -> Error {
    Error::Lost {
        message: format!("{address}: {NO_ANSWER}"),
        applied: Applied::Unknown,
        timed_out: true,
    }
}

fn causes<'a>(status: &'a Status) -> impl Iterator<Item = &'a (dyn Cause + 'static)> {
    std::iter::successors(status.source(), |cause| Cause::source(*cause))
}

/// No connection was made, or the connection ended before the request was taken up.
fn never_sent(status: &Status) -> bool {
    causes(status).any(|cause| {
        cause.is::<tonic::ConnectError>()
            || cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_canceled)
    })
}

fn expired(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::TimeoutExpired>())
}

/// The node's words, or the innermost cause: "Connection refused", not "transport error".
fn describe(status: &Status) -> String {
    match causes(status).last() {
        // One word for it, whichever clock was first.
        Some(cause) if cause.is::<tonic::TimeoutExpired>() => NO_ANSWER.to_owned(),
        Some(cause) => cause.to_string(),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_details_become_errors_that_say_what_to_do() {
        for (code, expected, applied) in [
            (
                Code::Unauthenticated,
                Some(FailureCode::Unauthenticated),
                Applied::No,
            ),
            (
                Code::PermissionDenied,
                Some(FailureCode::PermissionDenied),
                Applied::No,
            ),
            (
                Code::InvalidArgument,
                Some(FailureCode::Invalid),
                Applied::No,
            ),
            (
                Code::Unimplemented,
                Some(FailureCode::Unsupported),
                Applied::No,
            ),
            (
                Code::OutOfRange,
                Some(FailureCode::TooLarge),
                Applied::Unknown,
            ),
            (Code::Unavailable, None, Applied::Unknown),
            (Code::Unknown, None, Applied::Unknown),
            (Code::DeadlineExceeded, None, Applied::Unknown),
        ] {
            let error = error_of("n:1", &Status::new(code, "why"));
            assert_eq!(error.applied(), applied, "{code}");
            assert!(error.to_string().starts_with("n:1: why"), "{error}");
            match error {
                Error::Failed(failure) => assert_eq!(Some(failure.code), expected),
                Error::Lost { timed_out, .. } => {
                    assert_eq!(expected, None, "{code}");
                    assert_eq!(timed_out, code == Code::DeadlineExceeded);
                }
                other => panic!("{code}: {other:?}"),
            }
        }
    }

    #[test]
    fn time_over_has_one_word() {
        let status = Status::from_error(Box::new(tonic::TimeoutExpired(())));
        let (told, own) = (error_of("n:1", &status), time_over("n:1"));
        assert_eq!(told.to_string(), own.to_string());
    }

    #[test]
    fn what_never_left_was_not_applied() {
        let refused = std::io::Error::other("Connection refused");
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let error = error_of("n:1", &status);
        assert!(matches!(&error, Error::Unreachable(_)), "{error:?}");
        assert_eq!(error.applied(), Applied::No);
        assert_eq!(
            error.to_string(),
            "cannot reach the cluster: n:1: Connection refused"
        );
    }

    #[test]
    fn details_win_over_the_code() {
        let failure = Failure::new(FailureCode::Busy, "full").maybe_applied();
        let details = failure.to_wire_bytes().into();
        let status = Status::with_details(Code::Unauthenticated, "other", details);
        assert!(matches!(error_of("n:1", &status), Error::Failed(read) if read == failure));
    }
}
