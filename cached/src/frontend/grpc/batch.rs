//! Many operations in one message: each fails for itself, in its place.

use std::future::Future;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::BATCH_OPERATIONS_MAX;
use cached_proto::operation::Outcome;
use cached_proto::types::Invalid;

/// Refuses more operations than one message may hold.
pub(crate) fn check_count(count: usize) -> Result<(), Failure> {
    if count <= BATCH_OPERATIONS_MAX {
        return Ok(());
    }
    let problem = format!("has {count} operations; the limit is {BATCH_OPERATIONS_MAX}");
    Err(Invalid::new("batch", problem).into())
}

/// Carries out, by `run`, what could be read; the others fail in their places.
pub(crate) async fn in_places<T, F>(
    read: Vec<Result<T, Failure>>,
    run: impl FnOnce(Vec<T>) -> F,
) -> Vec<Outcome>
where
    F: Future<Output = Vec<Outcome>>,
{
    let mut good = Vec::with_capacity(read.len());
    let mut refused = Vec::with_capacity(read.len());
    for item in read {
        match item {
            Ok(operation) => {
                good.push(operation);
                refused.push(None);
            }
            Err(failure) => refused.push(Some(failure)),
        }
    }
    let mut outcomes = run(good).await.into_iter();
    let next = |failure: Option<Failure>| match failure {
        Some(failure) => Err(failure),
        None => outcomes.next().unwrap_or_else(|| Err(unanswered())),
    };
    refused.into_iter().map(next).collect()
}

/// What stands where an operation was given no outcome.
pub(crate) fn unanswered() -> Failure {
    Failure::new(FailureCode::Internal, "the operation was given no outcome").maybe_applied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cached_proto::operation::{Answer, Reply};

    fn touched(found: bool) -> Outcome {
        Ok(Answer {
            reply: Reply::Touch { found },
            degraded: false,
        })
    }

    #[tokio::test]
    async fn what_cannot_be_read_fails_in_its_place() {
        let bad = || Failure::new(FailureCode::Invalid, "bad");
        let read = vec![Err(bad()), Ok(true), Ok(false), Err(bad()), Ok(true)];
        let run = async |good: Vec<bool>| good.into_iter().map(touched).collect();
        let outcomes = in_places(read, run).await;
        assert_eq!(
            outcomes,
            [
                Err(bad()),
                touched(true),
                touched(false),
                Err(bad()),
                touched(true)
            ]
        );
    }

    #[tokio::test]
    async fn a_missing_outcome_is_unknown() {
        let outcomes = in_places(vec![Ok(true), Ok(true)], async |_| vec![touched(true)]).await;
        assert_eq!(outcomes, [touched(true), Err(unanswered())]);
    }

    #[test]
    fn the_limit_of_a_batch_is_named() {
        assert!(check_count(BATCH_OPERATIONS_MAX).is_ok());
        let failure = check_count(BATCH_OPERATIONS_MAX + 1).unwrap_err();
        assert_eq!(
            failure.message,
            "batch has 1025 operations; the limit is 1024"
        );
    }
}
