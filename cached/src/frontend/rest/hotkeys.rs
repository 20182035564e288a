//! `GET /v1/hotkeys`: the keys that are asked for most on the answering node.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cached_proto::pb::cached::admin::v1::{HotKey, HotKeysResponse};
use serde_json::{Value, json};

use super::{Shared, json, params};
use crate::frontend::auth::Role;
use crate::frontend::problem::Problem;

/// Answers `?window=` in seconds, `?top=`, `?by=ops` or `bytes`, and `?group=`.
pub(super) async fn hotkeys(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    let query = params::heat(request.uri())?;
    let window = Duration::from_secs(query.window_seconds.into());
    let top = query.top as usize;
    let told = parts
        .operator
        .hot_keys(window, query.by, query.group.as_ref(), top)?;
    Ok(json(&heat_json(&told)))
}

fn heat_json(told: &HotKeysResponse) -> Value {
    json!({
        "node": told.node,
        "window_ms": told.window_ms,
        "ops_per_second": told.ops_per_second,
        "bytes_per_second": told.bytes_per_second,
        "keys": told.keys.iter().map(key_json).collect::<Vec<_>>(),
    })
}

/// Text wherever the key is UTF-8, else base 64.
fn key_json(key: &HotKey) -> Value {
    let mut shown = json!({
        "group": key.group,
        "cut": key.cut,
        "ops_per_second": key.ops_per_second,
        "bytes_per_second": key.bytes_per_second,
        "share": key.share,
        "value_bytes": key.value_bytes,
    });
    match std::str::from_utf8(&key.key) {
        Ok(text) => shown["key"] = text.into(),
        Err(_) => shown["key_base64"] = BASE64.encode(&key.key).into(),
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_where_they_can_be() {
        let mut key = HotKey {
            group: "g".to_owned(),
            key: b"user:1".to_vec().into(),
            ..HotKey::default()
        };
        assert_eq!(key_json(&key)["key"], "user:1");
        key.key = vec![255].into();
        assert_eq!(key_json(&key)["key_base64"], "/w==");
        assert_eq!(key_json(&key).get("key"), None);
    }
}
