//! REST: addresses with their queries, and batches.

use cached::frontend::rest::fuzzing;
use http::Uri;

/// A request target. A key that was read is spelled and read again as the same key, in a
/// query and in a path.
pub(crate) fn address(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else {
        return;
    };
    let Some(key) = fuzzing::address(&uri) else {
        return;
    };
    let escaped: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
    for address in [
        format!("/api?key={escaped}"),
        format!("/v1/groups/g/keys/{escaped}"),
    ] {
        // Keys beyond what an address may hold travel in batches.
        if let Ok(uri) = Uri::try_from(address) {
            assert_eq!(fuzzing::address(&uri).as_ref(), Some(&key), "{uri}");
        }
    }
}

/// The body of a batch.
pub(crate) fn batch(bytes: &[u8]) {
    fuzzing::batch(bytes);
}
