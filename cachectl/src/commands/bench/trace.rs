//! A file of keys to be read in their order, one a line; `.xz` is unpacked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::error::CliError;

/// Longest trace in requests: 200 MB of memory beside its keys.
pub const REQUESTS_MAX: usize = 50_000_000;
/// Longest line in bytes: no key is longer.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A trace in memory.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Distinct keys, by their first appearance.
    pub names: Vec<Vec<u8>>,
    /// For each request, the number of its key.
    pub order: Arc<[u32]>,
}

/// Reads a trace; what is wrong with it is a mistake on the command line.
pub fn read(path: &Path) -> Result<Trace, CliError> {
    let failed = |what: String| CliError::usage(format!("--trace {}: {what}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let packed = path.extension().is_some_and(|it| it == "xz");
    let trace = if packed {
        parse(BufReader::new(xz2::read::XzDecoder::new(file)))
    } else {
        parse(BufReader::new(file))
    };
    trace.map_err(failed)
}

/// Reads lines; empty ones are skipped.
fn parse(mut reader: impl BufRead) -> Result<Trace, String> {
    let mut numbers: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut names = Vec::new();
    let mut order = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = reader.by_ref().take(LINE_BYTES_MAX + 1);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            break;
        }
        let key = line.strip_suffix(b"\n").unwrap_or(&line);
        if key.len() as u64 > LINE_BYTES_MAX {
            return Err(format!("line {number} is over {LINE_BYTES_MAX} bytes"));
        }
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.is_empty() {
            continue;
        }
        if order.len() == REQUESTS_MAX {
            return Err(format!("has more than {REQUESTS_MAX} requests"));
        }
        order.push(match numbers.get(key) {
            Some(known) => *known,
            None => {
                let next = names.len() as u32;
                numbers.insert(key.to_vec(), next);
                names.push(key.to_vec());
                next
            }
        });
    }
    if order.is_empty() {
        return Err("has no keys".to_owned());
    }
    Ok(Trace {
        names,
        order: order.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_become_numbers_by_first_appearance() {
        let trace = parse(&b"b\na\r\n\nb\nc"[..]).unwrap();
        assert_eq!(trace.names, [b"b", b"a", b"c"]);
        assert_eq!(*trace.order, [0, 1, 0, 2]);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        assert_eq!(parse(&b"\n\n"[..]).unwrap_err(), "has no keys");
        let long = vec![b'k'; LINE_BYTES_MAX as usize + 2];
        assert!(parse(&long[..]).unwrap_err().contains("line 1 is over"));
        let missing = read(Path::new("/nonexistent/trace.xz")).unwrap_err();
        assert!(missing.message.contains("/nonexistent/trace.xz"));
    }

    #[test]
    fn packed_files_are_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.keys.xz");
        let mut writer = xz2::write::XzEncoder::new(File::create(&path).unwrap(), 1);
        writer.write_all(b"x\ny\nx\n").unwrap();
        writer.finish().unwrap();
        assert_eq!(*read(&path).unwrap().order, [0, 1, 0]);
    }
}
