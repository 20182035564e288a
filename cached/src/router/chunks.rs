//! Cuts batches to what one message holds. Pure.

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::{BATCH_OPERATIONS_MAX, KEY_BYTES_MAX};
use cached_proto::operation::{Operation, Outcome, Reply};

/// Bytes of an operation that count towards a message; names, lengths and tags
/// fit in what a message may hold beyond that.
fn bytes(operation: &Operation) -> usize {
    operation.key().as_bytes().len() + operation.payload_bytes()
}

/// Cuts `work` into runs that one message holds each: at most
/// [`BATCH_OPERATIONS_MAX`] operations and about one largest value, asked and answered.
/// Order is kept.
pub(super) fn cut<T>(
    work: Vec<T>,
    value_bytes_max: usize,
    operation: impl Fn(&T) -> &Operation,
) -> Vec<Vec<T>> {
    let room = value_bytes_max.saturating_add(KEY_BYTES_MAX);
    let mut runs: Vec<Vec<T>> = Vec::new();
    let mut used = 0;
    for item in work {
        let alone = operation(&item).travels_alone();
        let size = if alone { room } else { bytes(operation(&item)) };
        match runs.last_mut() {
            Some(run) if run.len() < BATCH_OPERATIONS_MAX && used + size <= room => {
                used += size;
                run.push(item);
            }
            _ => {
                used = size;
                runs.push(vec![item]);
            }
        }
    }
    runs
}

/// Keeps a batch's answer within one message: values beyond `value_bytes_max` in
/// all are withheld, each with a failure that says so. A single value always fits.
pub(super) fn bound_answer(outcomes: &mut [Outcome], value_bytes_max: usize) {
    let mut used = 0_usize;
    for outcome in outcomes {
        let Ok(answer) = outcome else { continue };
        let Reply::Get(Some(entry)) = &answer.reply else {
            continue;
        };
        let size = entry.value.len();
        if used.saturating_add(size) > value_bytes_max.max(1) && used > 0 {
            let message = format!(
                "the values of this batch have more than {value_bytes_max} bytes in all; \
                 ask for this key in a smaller batch"
            );
            let mut failure = Failure::new(FailureCode::TooLarge, message);
            failure.field = Some("keys");
            *outcome = Err(failure);
            continue;
        }
        used += size;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cached_proto::operation::{Answer, Condition, Entry};
    use cached_proto::types::Key;
    use cached_proto::update::{Change, Returns, Update};

    use super::*;

    fn set(bytes: usize) -> Operation {
        Operation::Set {
            key: Key::new("k").unwrap(),
            value: Bytes::from(vec![0; bytes]),
            ttl: None,
            condition: Condition::Always,
        }
    }

    fn got(bytes: usize) -> Outcome {
        let entry = Entry {
            value: Bytes::from(vec![0; bytes]),
            version: None,
            ttl_ms: None,
            value_bytes: bytes as u64,
            loaded: false,
            uncached: false,
        };
        Ok(Answer {
            reply: Reply::Get(Some(entry)),
            degraded: false,
        })
    }

    #[test]
    fn runs_hold_so_many_operations_and_so_many_bytes() {
        let lengths = |work: Vec<Operation>| -> Vec<usize> {
            cut(work, 1_000_000, |operation| operation)
                .iter()
                .map(Vec::len)
                .collect()
        };
        assert_eq!(lengths(vec![]), [0; 0]);
        assert_eq!(lengths(vec![set(0); 2050]), [1024, 1024, 2]);
        assert_eq!(
            lengths(vec![set(1_000_000), set(1_000_000), set(10)]),
            [1, 2]
        );
        let take = || Operation::Update {
            key: Key::new("k").unwrap(),
            update: Update {
                change: Change::Remove,
                returns: Returns::Previous,
                ..Update::default()
            },
        };
        assert_eq!(
            lengths(vec![set(1), take(), take(), set(1), set(1)]),
            [1, 1, 1, 2]
        );
    }

    #[test]
    fn an_answer_holds_so_many_bytes_of_values() {
        let mut outcomes = vec![got(60), got(30), got(20), got(10), got(1)];
        bound_answer(&mut outcomes, 100);
        let kept: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(kept, [true, true, false, true, false]);
        let failure = outcomes[2].clone().unwrap_err();
        assert_eq!(failure.code, FailureCode::TooLarge);
        assert_eq!(failure.field, Some("keys"));
    }
}
