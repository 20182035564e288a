//! A recording of a cluster that does not exist: 200 nodes and 1,000 hot keys, for a minute.
//! `tools/bench top` shows it and measures what that costs.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::record::{Head, Line, VERSION};
use crate::top::fixture::{draining, hot_keys, many, stats, status};
use crate::top::message::{Told, Update};

const NODES: usize = 200;
const KEYS: usize = 1_000;
const SECONDS: u64 = 60;

fn write(file: &mut impl Write) -> std::io::Result<()> {
    let head = Head {
        cachectl_top: VERSION,
        unix_ms: 1_795_000_000_000,
    };
    writeln!(file, "{}", serde_json::to_string(&head)?)?;
    let shape = many(NODES, |number| format!("node-{number}"));
    for second in 0..SECONDS {
        // What a cluster says each second, and now and then.
        let mut updates = vec![
            Update::Stats(stats(&shape, 1 + second)),
            Update::Status(status(true)),
            Update::HotKeys(hot_keys(KEYS)),
            Update::Operation(draining()),
        ];
        if second.is_multiple_of(10) {
            updates.push(Update::Topology(shape.clone()));
        }
        for update in updates {
            let told = Told::Heard {
                endpoint: "http://10.0.0.1:8001".to_owned(),
                update: Box::new(update),
            };
            let line = Line {
                at_ms: second * 1_000,
                told,
            };
            writeln!(file, "{}", serde_json::to_string(&line)?)?;
        }
    }
    Ok(())
}

/// It stays in the file that `TOP_RECORDING` names, if one is named.
#[test]
fn the_recording_of_the_benchmark_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = std::env::var_os("TOP_RECORDING").map(PathBuf::from);
    let path = wanted.unwrap_or_else(|| folder.path().join("top.rec"));
    write(&mut File::create(&path).unwrap()).unwrap();
    super::replay::Recording::open(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for line in text.lines().skip(1) {
        let line: Line = serde_json::from_str(line).unwrap();
        assert!(matches!(line.told, Told::Heard { .. }));
    }
}
