//! Access traces of real systems, where they are at hand.

use std::io::Read;
use std::path::PathBuf;

/// The keys of a trace, one per request in order; `None` (and a message) when the
/// traces are not on this machine. `CACHED_TRACES` names their folder.
pub fn keys(name: &str) -> Option<Vec<String>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces");
    let folder = std::env::var_os("CACHED_TRACES").map_or(beside.into(), PathBuf::from);
    let path = folder.join(format!("{name}.keys.xz"));
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!(
            "skipped: no trace {}; CACHED_TRACES names their folder",
            path.display()
        );
        return None;
    };
    let mut text = String::new();
    xz2::read::XzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the trace can be unpacked");
    Some(text.lines().map(str::to_owned).collect())
}
