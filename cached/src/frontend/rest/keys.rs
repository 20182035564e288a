//! `/v1/groups/{group}/keys/{key}`: one entry as an HTTP resource, with its version
//! as `ETag` and its time to live as `max-age`.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use cached_proto::operation::{Answer, Condition, Entry, Operation, Reply, Route};
use cached_proto::types::{GroupName, Key, Version};

use super::conditions::{Conditions, Reading, Writing, etag};
use super::original::{value, wrong_reply};
use super::{Shared, params};
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::auth::Role;
use crate::frontend::problem::Problem;
use crate::requests::Protocol;

/// Response headers. Time left in milliseconds; `max-age` counts whole seconds.
const TTL_MS: HeaderName = HeaderName::from_static("cached-ttl-ms");
/// The getter fetched the value for this request.
const LOADED: HeaderName = HeaderName::from_static("cached-loaded");
/// Fetched, and stored nowhere.
const UNCACHED: HeaderName = HeaderName::from_static("cached-uncached");
/// The owner has not reached the registry for a while.
const DEGRADED: HeaderName = HeaderName::from_static("cached-degraded");

/// Carries out one operation within the caller's time.
pub(super) async fn ask(
    parts: &Shared,
    headers: &HeaderMap,
    group: GroupName,
    operation: Operation,
) -> Result<Answer, Problem> {
    ask_within(parts, time(parts, headers)?, group, operation).await
}

/// When a request began, and when it must end.
#[derive(Clone, Copy, Debug)]
struct Time {
    started: Moment,
    deadline: Moment,
}

/// The time of a request that begins now.
fn time(parts: &Shared, headers: &HeaderMap) -> Result<Time, Problem> {
    let asked = params::timeout(headers)?;
    let started = parts.clock.now();
    let deadline = parts.deadline(started, asked);
    Ok(Time { started, deadline })
}

/// Carries out one of the operations that a request needs.
async fn ask_within(
    parts: &Shared,
    time: Time,
    group: GroupName,
    operation: Operation,
) -> Result<Answer, Problem> {
    let command = Command {
        group,
        operation,
        route: Route::Forward,
        deadline: time.deadline,
    };
    let outcome = parts.carry_out(Protocol::Rest, command, time.started).await;
    Ok(outcome?)
}

/// An entry's value as it was set.
pub(super) fn value_response(entry: Entry, degraded: bool) -> Response {
    let mut response = Response::new(Body::from(entry.value));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    let flags = [
        (LOADED, entry.loaded),
        (UNCACHED, entry.uncached),
        (DEGRADED, degraded),
    ];
    for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

/// Adds what caches want to know.
fn add_metadata(headers: &mut HeaderMap, version: Option<Version>, ttl_ms: Option<u64>) {
    if let Some(version) = version {
        headers.insert(ETAG, etag(version));
    }
    if let Some(ttl_ms) = ttl_ms {
        headers.insert(TTL_MS, HeaderValue::from(ttl_ms));
        let max_age = format!("max-age={}", ttl_ms / 1000);
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::try_from(max_age).expect("plain text"),
        );
    }
}

/// `GET`: the value, 304 to who has it, 404 when there is none.
pub(super) async fn get(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    read(&parts, request.uri(), request.headers(), false).await
}

/// `HEAD`: what `GET` would say, without moving the value.
pub(super) async fn head(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let mut response = read(&parts, request.uri(), request.headers(), true).await?;
    *response.body_mut() = Body::empty();
    Ok(response)
}

/// The same, of the parts of a request that matter.
pub(super) async fn read(
    parts: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
    metadata_only: bool,
) -> Result<Response, Problem> {
    parts.auth.check_headers(headers, Role::Read)?;
    let (group, key) = place(uri)?;
    let conditions = Conditions::of(headers)?;
    let no_load = params::query_flag(uri, "no_load")?;
    let operation = Operation::Get {
        key,
        no_load,
        metadata_only,
    };
    let answer = ask(parts, headers, group, operation).await?;
    let entry = match answer.reply {
        Reply::Get(Some(entry)) => entry,
        Reply::Get(None) => return Err(Problem::no_entry()),
        _ => return Err(wrong_reply()),
    };
    let (version, ttl_ms, bytes) = (entry.version, entry.ttl_ms, entry.value_bytes);
    let reading = conditions.reading(version);
    if reading == Reading::Failed {
        return Err(Problem::condition_failed(version.map(etag)));
    }
    let mut response = value_response(entry, answer.degraded);
    add_metadata(response.headers_mut(), version, ttl_ms);
    if reading == Reading::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
    }
    if metadata_only || reading == Reading::NotModified {
        // Of the value that a GET would bring, not of this answer's empty body.
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Ok(response)
}

/// `PUT`: stores the body; 204 with the new version.
pub(super) async fn put(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Write)?;
    let (group, key) = place(request.uri())?;
    let ttl = params::query_ttl(request.uri())?;
    let writing = Conditions::of(request.headers())?.writing()?;
    let (head, body) = request.into_parts();
    let value = value(&parts, &head.headers, body).await?;
    let time = time(&parts, &head.headers)?;
    let condition = settle(&parts, time, &group, &key, writing).await?;
    let operation = Operation::Set {
        key,
        value,
        ttl,
        condition,
    };
    let answer = ask_within(&parts, time, group, operation).await?;
    match answer.reply {
        Reply::Set {
            stored: true,
            version,
        } => Ok(no_content(version, answer.degraded)),
        Reply::Set {
            stored: false,
            version,
        } => Err(Problem::condition_failed(version.map(etag))),
        _ => Err(wrong_reply()),
    }
}

/// `DELETE`: 204 when it is gone now, 404 when it was not there.
pub(super) async fn delete(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Write)?;
    let (group, key) = place(request.uri())?;
    let headers = request.headers();
    let writing = Conditions::of(headers)?.writing()?;
    let time = time(&parts, headers)?;
    let (condition, must_exist) = match settle(&parts, time, &group, &key, writing).await? {
        Condition::IfAbsent => return Err(if_absent()),
        Condition::IfPresent => (Condition::Always, true),
        Condition::IfVersion(version) => (Condition::IfVersion(version), true),
        Condition::Always => (Condition::Always, false),
    };
    let operation = Operation::Delete { key, condition };
    let answer = ask_within(&parts, time, group, operation).await?;
    match answer.reply {
        Reply::Delete { deleted: true, .. } => Ok(no_content(None, answer.degraded)),
        Reply::Delete {
            deleted: false,
            version,
        } if must_exist => Err(Problem::condition_failed(version.map(etag))),
        Reply::Delete { deleted: false, .. } => Err(Problem::no_entry()),
        _ => Err(wrong_reply()),
    }
}

fn if_absent() -> Problem {
    let problem = "says: only if there is nothing to delete";
    cached_proto::types::Invalid::new("If-None-Match", problem).into()
}

fn place(uri: &Uri) -> Result<(GroupName, Key), Problem> {
    Ok((params::path_group(uri)?, params::path_key(uri)?))
}

fn no_content(version: Option<Version>, degraded: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    add_metadata(response.headers_mut(), version, None);
    if degraded {
        response
            .headers_mut()
            .insert(DEGRADED, HeaderValue::from_static("true"));
    }
    response
}

/// Turns "one of several versions" into the one that is there. Should the entry
/// change before the write, the write fails as it should: no version comes back.
async fn settle(
    parts: &Shared,
    time: Time,
    group: &GroupName,
    key: &Key,
    writing: Writing,
) -> Result<Condition, Problem> {
    let versions = match writing {
        Writing::When(condition) => return Ok(condition),
        Writing::OneOf(versions) => versions,
    };
    let operation = Operation::Get {
        key: key.clone(),
        no_load: true,
        metadata_only: true,
    };
    let answer = ask_within(parts, time, group.clone(), operation).await?;
    let current = match answer.reply {
        Reply::Get(entry) => entry.and_then(|entry| entry.version),
        _ => return Err(wrong_reply()),
    };
    match current {
        Some(version) if versions.contains(&version) => Ok(Condition::IfVersion(version)),
        other => Err(Problem::condition_failed(other.map(etag))),
    }
}
