//! How errors look over HTTP: `application/problem+json` of RFC 9457, with a code
//! for programs and an honest word on whether the operation was applied.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cached_proto::failure::{Applied, Failure, FailureCode, OwnerHint};
use cached_proto::types::Invalid;
use serde::Serialize;

/// An error on its way to an HTTP client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    failure: Box<Failure>,
    /// One more header that the status asks for.
    header: Option<(HeaderName, HeaderValue)>,
}

/// Status, code and title: what a program and a person look at first.
type Kind = (StatusCode, &'static str, &'static str);

/// What each failure is over HTTP.
fn kind(code: FailureCode) -> Kind {
    use StatusCode as S;
    match code {
        FailureCode::Internal => (
            S::INTERNAL_SERVER_ERROR,
            "internal",
            "A defect of the node; please report it",
        ),
        FailureCode::Invalid => (S::BAD_REQUEST, "invalid", "The request is not valid"),
        FailureCode::UnknownGroup => (S::NOT_FOUND, "unknown_group", "No such group"),
        FailureCode::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", "Over a limit"),
        FailureCode::Unauthenticated => (
            S::UNAUTHORIZED,
            "unauthenticated",
            "A valid token is needed",
        ),
        FailureCode::PermissionDenied => (
            S::FORBIDDEN,
            "permission_denied",
            "The token does not allow this",
        ),
        FailureCode::WrongOwner => (
            S::MISDIRECTED_REQUEST,
            "wrong_owner",
            "Another node owns the key",
        ),
        FailureCode::Unavailable => (
            S::SERVICE_UNAVAILABLE,
            "unavailable",
            "The key's owner cannot be reached",
        ),
        FailureCode::Busy => (
            S::SERVICE_UNAVAILABLE,
            "busy",
            "The node has too much to do",
        ),
        FailureCode::OutOfMemory => (
            S::INSUFFICIENT_STORAGE,
            "out_of_memory",
            "The entry does not fit in memory",
        ),
        FailureCode::Deadline => (S::GATEWAY_TIMEOUT, "deadline", "The time for this is over"),
        FailureCode::Origin => (S::BAD_GATEWAY, "origin", "The origin failed"),
        FailureCode::Unsupported => (S::NOT_IMPLEMENTED, "unsupported", "Not offered here"),
        FailureCode::NotFound => (S::NOT_FOUND, "not_found", "No such thing"),
        FailureCode::Conflict => (S::CONFLICT, "conflict", "It exists already, or has changed"),
    }
}

/// The code word of a failure, as problems and batch results spell it.
pub(super) fn code_word(code: FailureCode) -> &'static str {
    kind(code).1
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self {
            kind: kind(failure.code),
            failure: Box::new(failure),
            header: None,
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Failure::from(invalid).into()
    }
}

impl Problem {
    fn of_http(kind: Kind, code: FailureCode, detail: impl Into<String>) -> Self {
        Self {
            kind,
            failure: Box::new(Failure::new(code, detail)),
            header: None,
        }
    }

    /// A miss.
    pub(super) fn no_entry() -> Self {
        let kind = (StatusCode::NOT_FOUND, "key_not_found", "No such key");
        Self::of_http(
            kind,
            FailureCode::NotFound,
            "there is no entry for this key",
        )
    }

    /// A condition that did not hold; `etag` is of the entry that is there.
    pub(super) fn condition_failed(etag: Option<HeaderValue>) -> Self {
        let kind = (
            StatusCode::PRECONDITION_FAILED,
            "condition_failed",
            "The condition does not hold",
        );
        let detail = match etag {
            Some(_) => "the entry has another version; see the ETag header",
            None => "there is no entry for this key",
        };
        let mut problem = Self::of_http(kind, FailureCode::Conflict, detail);
        problem.header = etag.map(|etag| (ETAG, etag));
        problem
    }

    /// An address that is none; `detail` names the nearest ones.
    pub(super) fn no_endpoint(detail: String) -> Self {
        let kind = (
            StatusCode::NOT_FOUND,
            "no_such_endpoint",
            "No such endpoint",
        );
        Self::of_http(kind, FailureCode::NotFound, detail)
    }

    /// A method that the address does not take. The `Allow` header says which.
    pub(super) fn method_not_allowed(detail: String) -> Self {
        let kind = (
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
        );
        Self::of_http(kind, FailureCode::Invalid, detail)
    }

    /// A body that did not arrive in time.
    pub(super) fn body_timeout(detail: String) -> Self {
        let kind = (
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body took too long",
        );
        Self::of_http(kind, FailureCode::Deadline, detail)
    }

    /// What to tell a client that is to come back, or not to come at all.
    pub(super) fn not_ready(detail: String) -> Self {
        let kind = (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "Not ready");
        Self::of_http(kind, FailureCode::Unavailable, detail)
    }
}

/// The body, in the order in which people read it.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    applied: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
}

#[derive(Serialize)]
struct Owner<'a> {
    slot: u16,
    epoch: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

impl<'a> From<&'a OwnerHint> for Owner<'a> {
    fn from(hint: &'a OwnerHint) -> Self {
        Self {
            slot: hint.slot.number(),
            epoch: hint.epoch.0,
            name: hint.owner.name.as_str(),
            address: hint.address.as_deref(),
        }
    }
}

/// "no" or "unknown".
pub(super) fn applied_word(applied: Applied) -> &'static str {
    match applied {
        Applied::No => "no",
        Applied::Unknown => "unknown",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.kind;
        let failure = &self.failure;
        let document = Document {
            r#type: format!("urn:cached:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &failure.message,
            code,
            field: failure.field,
            applied: applied_word(failure.applied),
            retry_after_ms: failure.retry_after.map(|pause| pause.as_millis()),
            owner: failure.owner.as_deref().map(Owner::from),
        };
        let body = serde_json::to_vec(&document).expect("a struct of texts and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"cached\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(pause) = failure.retry_after {
            // The header counts whole seconds; less than one rounds up, never to "at once".
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use cached_proto::types::{Epoch, Incarnation, MemberId, NodeName, Slot};
    use serde_json::{Value, json};

    use super::*;

    async fn shown(problem: Problem) -> (Response<()>, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (
            Response::from_parts(parts, ()),
            serde_json::from_slice(&body).unwrap(),
        )
    }

    #[tokio::test]
    async fn a_failure_says_what_to_do_and_what_was_done() {
        let failure = Failure::new(FailureCode::Unavailable, "slot 7 has no living owner")
            .retry_after(Duration::from_millis(1_200))
            .maybe_applied();
        let (response, document) = shown(failure.into()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let expected = json!({
            "type": "urn:cached:problem:unavailable",
            "title": "The key's owner cannot be reached",
            "status": 503,
            "detail": "slot 7 has no living owner",
            "code": "unavailable",
            "applied": "unknown",
            "retry_after_ms": 1200,
        });
        assert_eq!(document, expected);
    }

    #[tokio::test]
    async fn fields_owners_and_challenges_are_shown() {
        let (_, document) = shown(Invalid::new("key", "is empty").into()).await;
        assert_eq!(document["field"], "key");
        assert_eq!(document["applied"], "no");

        let owner = MemberId {
            name: NodeName::new("n2").unwrap(),
            inc: Incarnation(1),
        };
        let slot = Slot::new(5).unwrap();
        let address = Some("h:1".to_owned());
        let hint = OwnerHint {
            slot,
            epoch: Epoch(3),
            owner,
            address,
            also: Vec::new(),
        };
        let (response, document) = shown(Failure::wrong_owner(hint).into()).await;
        assert_eq!(response.status(), 421);
        let expected = json!({"slot": 5, "epoch": 3, "name": "n2", "address": "h:1"});
        assert_eq!(document["owner"], expected);

        let (response, _) = shown(Failure::new(FailureCode::Unauthenticated, "no").into()).await;
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"cached\""
        );
    }

    #[tokio::test]
    async fn a_failed_condition_shows_what_is_there() {
        let etag = HeaderValue::from_static("\"abc\"");
        let (response, _) = shown(Problem::condition_failed(Some(etag))).await;
        assert_eq!(response.status(), 412);
        assert_eq!(response.headers()[ETAG], "\"abc\"");
        let (response, document) = shown(Problem::condition_failed(None)).await;
        assert!(response.headers().get(ETAG).is_none());
        assert_eq!(document["detail"], "there is no entry for this key");
    }
}
