//! `stats --memory`: what the memory of each node is for, to the last byte.

use cached_client::admin::{MemoryStats, NodeStats};
use serde_json::{Value, json};

use crate::output::table::{Table, number, text};
use crate::units;

/// What the parts are called, in the order in which they are shown.
const PARTS: [&str; 8] = [
    "keys+values",
    "overhead",
    "tables",
    "free",
    "staged",
    "index",
    "connections",
    "other",
];

fn parts(memory: &MemoryStats) -> [i64; PARTS.len()] {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    [
        signed(memory.payload),
        signed(memory.overhead),
        signed(memory.tables),
        signed(memory.free),
        signed(memory.staged),
        signed(memory.index),
        signed(memory.connections),
        memory.other,
    ]
}

/// Lines for each node: the parts, which sum up to RSS, and the limit.
pub fn table(nodes: &[NodeStats]) -> Table {
    let columns = [text("NODE"), text("PART"), number("BYTES"), number("SHARE")];
    let mut table = Table::new(columns);
    let mut all = (0, 0, [0; PARTS.len()]);
    for node in nodes.iter().filter(|node| node.error.is_none()) {
        let parts = parts(&node.memory);
        all.0 += node.memory_limit_bytes;
        all.1 += node.resident_bytes;
        all.2
            .iter_mut()
            .zip(parts)
            .for_each(|(sum, part)| *sum += part);
        let rows = rows(
            &node.name,
            (node.memory_limit_bytes, node.resident_bytes, parts),
        );
        rows.into_iter().for_each(|row| table.row(row));
    }
    if nodes.len() > 1 {
        let rows = rows("total", all).into_iter().map(Vec::from);
        table.totals.extend(rows);
    }
    table
}

type Row = [String; 4];

fn rows(name: &str, (limit, resident, parts): (u64, u64, [i64; PARTS.len()])) -> Vec<Row> {
    let row = |part: &str, bytes: i64| {
        let sign = if bytes < 0 { "-" } else { "" };
        let magnitude = bytes.unsigned_abs();
        let share = units::percent(magnitude, resident);
        [
            name.to_owned(),
            part.to_owned(),
            format!("{sign}{}", units::bytes(magnitude)),
            format!("{sign}{share}"),
        ]
    };
    let mut rows: Vec<Row> = PARTS
        .iter()
        .zip(parts)
        .map(|(part, bytes)| row(part, bytes))
        .collect();
    rows.push(row("RSS", i64::try_from(resident).unwrap_or(i64::MAX)));
    rows.push([
        name.to_owned(),
        "limit".to_owned(),
        units::bytes(limit),
        "-".to_owned(),
    ]);
    rows
}

/// The same for machines.
pub fn json(memory: &MemoryStats) -> Value {
    json!({
        "payload_bytes": memory.payload,
        "overhead_bytes": memory.overhead,
        "table_bytes": memory.tables,
        "free_bytes": memory.free,
        "staged_bytes": memory.staged,
        "index_bytes": memory.index,
        "connection_bytes": memory.connections,
        "other_bytes": memory.other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_column() {
        let memory = MemoryStats {
            payload: 1 << 20,
            overhead: 2 << 20,
            tables: 3 << 20,
            free: 4 << 20,
            staged: 5 << 20,
            index: 6 << 20,
            connections: 7 << 20,
            other: -(8 << 20),
        };
        let sum: i64 = parts(&memory).iter().sum();
        assert_eq!(sum, 20 << 20);
        let rows = rows("n1", (64 << 20, 20 << 20, parts(&memory)));
        let row = |at: usize| rows[at].join(" ");
        assert_eq!(row(0), "n1 keys+values 1.0 MiB 5.0%");
        assert_eq!(row(7), "n1 other -8.0 MiB -40.0%");
        assert_eq!(row(8), "n1 RSS 20.0 MiB 100.0%");
        assert_eq!(row(9), "n1 limit 64.0 MiB -");
        assert_eq!(json(&memory)["other_bytes"], -(8 << 20));
    }
}
