//! The original's endpoints, word for word, on the process's own group: set, get
//! and delete by `?key=`. `/api/stats` is with the other questions to the cluster.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Reply};

use super::keys::{ask, value_response};
use super::{Shared, body, params, with_type};
use crate::frontend::auth::Role;
use crate::frontend::problem::Problem;

/// `GET /api?key=K`: the value as it was set, or 404.
pub(super) async fn get(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    read(&parts, request.uri(), request.headers()).await
}

/// The same, of the parts of a request that matter.
pub(super) async fn read(
    parts: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    parts.auth.check_headers(headers, Role::Read)?;
    let key = params::query_key(uri)?;
    let operation = Operation::Get {
        key,
        no_load: false,
        metadata_only: false,
    };
    let group = parts.default_group.clone();
    let answer = ask(parts, headers, group, operation).await?;
    match answer.reply {
        Reply::Get(Some(entry)) => Ok(value_response(entry, answer.degraded)),
        Reply::Get(None) => Err(Problem::no_entry()),
        _ => Err(wrong_reply()),
    }
}

/// `POST /api/set?key=K`: the body is the value; answers `OK`.
pub(super) async fn set(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Write)?;
    let key = params::query_key(request.uri())?;
    let (head, body) = request.into_parts();
    let value = value(&parts, &head.headers, body).await?;
    let operation = Operation::Set {
        key,
        value,
        ttl: None,
        condition: Condition::Always,
    };
    ask(
        &parts,
        &head.headers,
        parts.default_group.clone(),
        operation,
    )
    .await?;
    Ok(ok())
}

/// `DELETE /api/delete?key=K`: answers `OK`, also when there was nothing.
pub(super) async fn delete(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Write)?;
    let key = params::query_key(request.uri())?;
    let operation = Operation::Delete {
        key,
        condition: Condition::Always,
    };
    ask(
        &parts,
        request.headers(),
        parts.default_group.clone(),
        operation,
    )
    .await?;
    Ok(ok())
}

/// A body that is a value.
pub(super) async fn value(
    parts: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    body::read(parts, headers, body, parts.limits.value_bytes_max, "value").await
}

fn ok() -> Response {
    with_type("text/plain; charset=utf-8", "OK")
}

/// The router answered something else than was asked: a defect.
pub(super) fn wrong_reply() -> Problem {
    Failure::new(FailureCode::Internal, "the reply does not fit the request")
        .maybe_applied()
        .into()
}
