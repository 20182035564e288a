//! Failures as gRPC statuses: a code that generic callers understand, and the whole
//! failure in the details, so that ours know whether the operation was applied.

use bytes::Bytes;
use cached_proto::convert::failure_code_to_grpc;
use cached_proto::failure::Failure;
use tonic::{Code, Status};

/// The status of a call that failed.
pub fn to_status(failure: Failure) -> Status {
    let code = Code::from_i32(failure_code_to_grpc(failure.code));
    let details = Bytes::from(failure.to_wire_bytes());
    Status::with_details(code, failure.to_string(), details)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cached_proto::failure::FailureCode;

    use super::*;

    #[test]
    fn a_failure_survives_as_a_status() {
        let busy = Failure::new(FailureCode::Busy, "full").retry_after(Duration::from_millis(20));
        for failure in [
            busy,
            Failure::new(FailureCode::Deadline, "late").maybe_applied(),
        ] {
            let status = to_status(failure.clone());
            assert_eq!(status.message(), failure.to_string());
            assert_eq!(Failure::from_wire_bytes(status.details()), Ok(failure));
        }
        assert_eq!(
            to_status(Failure::new(FailureCode::Busy, "")).code(),
            Code::ResourceExhausted
        );
    }
}
