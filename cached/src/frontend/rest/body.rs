//! Reads request bodies, within a length and a time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::types::Invalid;
use http_body_util::BodyExt;

use crate::frontend::FrontendParts;
use crate::frontend::problem::Problem;

/// How much of a body that is refused is still read, and for how long. A client
/// that sends everything before it reads would otherwise see its connection reset
/// instead of the answer.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);

/// Reads a whole body of at most `limit` bytes; `what` names it to people.
pub(super) async fn read(
    parts: &FrontendParts,
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    what: &'static str,
) -> Result<Bytes, Problem> {
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        // Whoever asks before sending is told in time, and sends nothing.
        if !headers.contains_key(EXPECT) {
            discard(parts, &mut body).await;
        }
        return Err(too_large(what, Some(declared), limit));
    }
    let timeout = parts.limits.body_timeout;
    let collected = tokio::select! {
        biased;
        collected = collect(&mut body, limit) => collected,
        () = parts.clock.sleep(timeout) => {
            let detail = format!("the {what} did not arrive within {timeout:?}; nothing was done");
            return Err(Problem::body_timeout(detail));
        }
    };
    match collected {
        Ok(bytes) => Ok(bytes),
        Err(Broken::TooLong) => {
            discard(parts, &mut body).await;
            Err(too_large(what, None, limit))
        }
        Err(Broken::Off(error)) => {
            Err(Invalid::new("body", format!("broke off or is malformed: {error}")).into())
        }
    }
}

/// Why a body is not had.
#[derive(Debug)]
enum Broken {
    /// It is longer than it may be.
    TooLong,
    /// The connection ended, or the framing makes no sense.
    Off(axum::Error),
}

/// Joins the pieces of a body; the usual single piece is passed on as it is.
async fn collect(body: &mut Body, limit: usize) -> Result<Bytes, Broken> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that is asked here.
        let Ok(piece) = frame.map_err(Broken::Off)?.into_data() else {
            continue;
        };
        if first.len().max(joined.len()) + piece.len() > limit {
            return Err(Broken::TooLong);
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

fn too_large(what: &str, declared: Option<u64>, limit: usize) -> Problem {
    let message = match declared {
        Some(bytes) => format!("the {what} has {bytes} bytes; the limit is {limit}"),
        None => format!("the {what} is over the limit of {limit} bytes"),
    };
    let mut failure = Failure::new(FailureCode::TooLarge, message);
    failure.field = Some("body");
    failure.into()
}

async fn discard(parts: &FrontendParts, body: &mut Body) {
    let rest = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = rest => {}
        () = parts.clock.sleep(DISCARD_TIME_MAX) => {}
    }
}
