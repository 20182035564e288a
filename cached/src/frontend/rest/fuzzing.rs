//! Doors for the fuzz targets: what reads bytes that anybody may send.

use axum::http::Uri;
use cached_proto::limits::VALUE_BYTES_DEFAULT;

use super::{batch_json, params};

/// Reads everything that an address may say; answers the key, from its path or query.
pub fn address(uri: &Uri) -> Option<Vec<u8>> {
    let _ = params::path_group(uri);
    let _ = params::query_ttl(uri);
    let _ = params::query_flag(uri, "no_load");
    let key = params::path_key(uri).or_else(|_| params::query_key(uri));
    key.ok().map(|key| key.as_bytes().to_vec())
}

/// Reads a batch, and every operation in it.
pub fn batch(body: &[u8]) {
    let Ok(batch) = serde_json::from_slice::<batch_json::Batch>(body) else {
        return;
    };
    for item in &batch.operations {
        let _ = item.operation(VALUE_BYTES_DEFAULT);
    }
}
