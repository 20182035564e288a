//! `POST /v1/groups/{group}/batch`: many operations in one request, a result for
//! each. Not atomic: each succeeds or fails on its own.

use axum::extract::{Request, State};
use axum::response::Response;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::types::{Invalid, Key};

use super::batch_json::{self, Batch, Encoding};
use super::{Shared, body, params, with_type};
use crate::frontend::auth::Role;
use crate::frontend::problem::Problem;
use crate::requests::{Kind, Protocol};

/// Carries out a batch. What is malformed anywhere is refused as a whole, with
/// nothing done.
pub(super) async fn batch(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    // Reading is the least that a batch needs: asked before its body is taken.
    parts.auth.check_headers(request.headers(), Role::Read)?;
    let group = params::path_group(request.uri())?;
    let asked = params::timeout(request.headers())?;
    let (head, body) = request.into_parts();
    let limit = json_bytes_max(&parts);
    let body = body::read(&parts, &head.headers, body, limit, "batch").await?;
    let (operations, encoding) = parse(&parts, &body)?;
    if !operations.iter().all(Operation::is_read) {
        parts.auth.check_headers(&head.headers, Role::Write)?;
    }

    let asked_for: Vec<(Kind, Key)> = operations
        .iter()
        .map(|one| (Kind::of(one), one.key().clone()))
        .collect();
    let started = parts.clock.now();
    let deadline = parts.deadline(started, asked);
    let outcomes = parts
        .router
        .execute_batch(group, operations, Route::Forward, deadline)
        .await;
    for ((kind, _), outcome) in asked_for.iter().zip(&outcomes) {
        parts.count(Protocol::Rest, *kind, outcome, started);
    }
    let keys = asked_for.iter().map(|(_, key)| key);
    Ok(with_type(
        "application/json",
        answer(keys.zip(&outcomes), encoding, limit),
    ))
}

/// Longest batch in bytes, asked or answered: one largest operation in base 64,
/// which takes four bytes for three.
fn json_bytes_max(parts: &Shared) -> usize {
    parts.limits.message_bytes_max() / 3 * 4
}

fn parse(parts: &Shared, body: &[u8]) -> Result<(Vec<Operation>, Encoding), Problem> {
    let batch: Batch = serde_json::from_slice(body)
        .map_err(|error| Invalid::new("body", format!("is no batch: {error}")))?;
    let (count, limit) = (batch.operations.len(), parts.limits.batch_operations_max);
    if count > limit {
        let message = format!("the batch has {count} operations; the limit is {limit}");
        let mut failure = Failure::new(FailureCode::TooLarge, message);
        failure.field = Some("operations");
        return Err(failure.into());
    }
    let mut operations = Vec::with_capacity(count);
    for (index, item) in batch.operations.iter().enumerate() {
        let operation = item
            .operation(parts.limits.value_bytes_max)
            .map_err(|error| {
                let mut failure = Failure::from(error);
                failure.message = format!("operations[{index}]: {}", failure.message);
                failure
            })?;
        operations.push(operation);
    }
    Ok((operations, batch.encoding))
}

/// The results as JSON. A result that does not fit any more says so instead.
fn answer<'a>(
    results: impl Iterator<Item = (&'a Key, &'a Outcome)>,
    encoding: Encoding,
    limit: usize,
) -> String {
    let mut text = String::from("{\"results\":[");
    for (index, (key, outcome)) in results.enumerate() {
        if index > 0 {
            text.push(',');
        }
        // Values dominate; looked at before they are turned into text.
        let result = match value_bytes(outcome) {
            bytes if text.len() + bytes <= limit => {
                batch_json::result(key, outcome, encoding).to_string()
            }
            _ => String::new(),
        };
        if result.is_empty() || text.len() + result.len() > limit {
            let over = Err(over_limit(limit));
            text.push_str(&batch_json::result(key, &over, encoding).to_string());
        } else {
            text.push_str(&result);
        }
    }
    text.push_str("]}");
    text
}

fn value_bytes(outcome: &Outcome) -> usize {
    use cached_proto::operation::Reply;
    match outcome {
        Ok(answer) => match &answer.reply {
            Reply::Get(Some(entry)) => entry.value.len(),
            _ => 0,
        },
        Err(_) => 0,
    }
}

fn over_limit(limit: usize) -> Failure {
    let message = format!(
        "the answer to this batch is over {limit} bytes; ask for fewer keys at a time, and for large values by GET"
    );
    Failure::new(FailureCode::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cached_proto::operation::{Answer, Entry, Reply};

    use super::*;

    #[test]
    fn an_answer_that_grows_too_long_says_so_and_goes_on() {
        let found = |bytes: usize| -> Outcome {
            let value = Bytes::from(vec![b'v'; bytes]);
            let entry = Entry {
                value,
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
        };
        let key = Key::new("k").unwrap();
        let outcomes = [found(10), found(2_000), found(300), found(10)];
        let text = answer(outcomes.iter().map(|one| (&key, one)), Encoding::Text, 500);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let codes: Vec<_> = (0..4)
            .map(|i| shown["results"][i]["error"]["code"].as_str())
            .collect();
        assert_eq!(
            codes,
            [None, Some("too_large"), Some("too_large"), None],
            "{text}"
        );
    }
}
