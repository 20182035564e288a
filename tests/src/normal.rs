//! Makes what a program says of a live cluster comparable: what differs from run to run
//! becomes a word in capitals, everything else stays. Pure.
//!
//! In documents it goes by the name of a field, in tables by the heading of a column, and
//! in all text by shape: ports, ids, times. Tables are laid out anew, since a cell that was
//! replaced has another width; that their cells stood under their headings is checked.

use regex::{Captures, Regex};
use serde_json::Value;

use crate::tables::{is_heading, laid_out, right_aligned, row, tokens};

/// Fields of documents, and what stands for their values.
const FIELDS: [(&str, &[&str]); 4] = [
    ("NODE", &["planner"]),
    (
        "TIME",
        &[
            "at_ms",
            "started_ms",
            "since_ms",
            "requested_at_ms",
            "started_at_ms",
            "finished_at_ms",
            "deadline_at_ms",
        ],
    ),
    (
        "AGE",
        &[
            "uptime_ms",
            "expires_in_ms",
            "round_trip_micros",
            "window_ms",
            "cpu_micros",
            "p50_micros",
            "p99_micros",
            "p999_micros",
            "took_ms",
            "eta_ms",
            "latency_us",
            "seconds",
        ],
    ),
    (
        "N",
        &[
            "resident_bytes",
            "other_bytes",
            "connection_bytes",
            "connections",
            "ops_per_second",
            "bytes_per_second",
            "sequence",
            "share",
            "per_second",
            "generator_cpu",
            // How often something was tried.
            "sent",
            "acknowledged",
            "skipped",
            "failed",
            "failures",
            "retries",
        ],
    ),
];

/// Of a migration that is under way, whatever they hold.
const MOVING_FIELDS: (&str, &[&str]) = (
    "N",
    &[
        "moved",
        "pairs",
        "slots_left",
        "keys_left",
        "bytes_left",
        "bytes_per_second",
        "eta_ms",
        "slots_to_move",
        "layout",
        "base_layout",
        "moves",
        "receivers",
    ],
);

/// Columns of tables, and what stands in their cells.
const COLUMNS: [(&str, &[&str]); 2] = [
    (
        "AGE",
        &["AGE", "CPU", "EXPIRES", "P50", "P90", "P99", "P99.9", "MAX"],
    ),
    (
        "N",
        &[
            "OPS/S",
            "BYTES/S",
            "P50MS",
            "P99MS",
            "RSS",
            "CONNECTIONS",
            "SHARE",
            "FAILURES",
        ],
    ),
];

/// The same of a migration that is under way.
const MOVING_COLUMNS: (&str, &[&str]) = ("N", &["DONE", "SLOTS", "KEYS", "SIZE", "LAYOUT"]);

/// Parts of the memory that another run has otherwise.
const PARTS: [&str; 3] = ["connections", "other", "RSS"];

/// Numbers in sentences about a migration that is under way.
const MOVING_SHAPES: [(&str, &str); 6] = [
    ("layout +[0-9]+", "layout N"),
    (
        "[0-9]+ slots, [0-9]+ keys, [0-9.]+ [KM]?i?B moved",
        "N slots, N keys, N moved",
    ),
    ("[0-9]+ slots left", "N slots left"),
    ("[0-9]+ slots have moved", "N slots have moved"),
    ("\\([0-9]+\\)", "(N)"),
    (
        "[0-9]+ slots, [0-9]+ keys, [0-9.]+ [KM]?i?B",
        "N slots, N keys, N",
    ),
];

/// The columns of migrations.
const OPERATION: &str = "ID KIND NODES STATE DONE SLOTS KEYS SIZE FAILURES LAYOUT STARTED BY WHY";

/// A table as it was found: its headings, and how many rows it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Headings.
    pub titles: Vec<String>,
    /// Rows below them.
    pub rows: usize,
}

/// Replaces by shape in any text.
#[derive(Debug)]
pub struct Normal {
    shapes: Vec<(Regex, &'static str)>,
    moving_shapes: Vec<(Regex, &'static str)>,
    /// Something is on the way: how far it is differs, too.
    pub moving: bool,
}

impl Normal {
    /// `folder`: where files of the run lie.
    pub fn new(folder: &str) -> Self {
        let own = regex::escape(env!("CARGO_PKG_VERSION"));
        let shapes = [
            (regex::escape(folder), "DIR"),
            ("127\\.0\\.0\\.1:[0-9]{4,5}".to_owned(), "127.0.0.1:PORT"),
            ("op-[0-9a-f]{8}".to_owned(), "op-ID"),
            ("[0-9a-f]{32}".to_owned(), "ID"),
            (
                "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|[0-9]{2}:[0-9]{2}:[0-9]{2}".to_owned(),
                "TIME",
            ),
            (
                "tester@[-0-9A-Za-z]+(\\.[-0-9A-Za-z]+)*".to_owned(),
                "tester@HOST",
            ),
            ("etcd [0-9]+\\.[0-9]+\\.[0-9]+".to_owned(), "etcd VERSION"),
            ("^[0-9]+\\.[0-9]+\\.[0-9]+$".to_owned(), "VERSION"),
            ("planner n[0-9]".to_owned(), "planner NODE"),
            (
                "[0-9]+ sent, [0-9]+ taken over, [0-9]+ known already, [0-9]+ in vain in [0-9]+"
                    .to_owned(),
                "N sent, N taken over, N known already, N in vain in N",
            ),
            ("[0-9]+\\.[0-9] s · ".to_owned(), "N s · "),
            (own, "VERSION"),
            (
                "[0-9.]+k? ops/s · [0-9.]+ [KM]?i?B/s, over [0-9a-z]+".to_owned(),
                "N ops/s · N/s, over AGE",
            ),
            ("[0-9]+\\.[0-9] ms".to_owned(), "N ms"),
            (" in [0-9]+(ms|s|m[0-9]*s?)".to_owned(), " in AGE"),
        ];
        let compiled = |(shape, word): (String, &'static str)| {
            let shape = Regex::new(&shape).expect("a test's expression is one");
            (shape, word)
        };
        let moving = MOVING_SHAPES.map(|(shape, word)| (shape.to_owned(), word));
        Self {
            shapes: shapes.map(compiled).into(),
            moving_shapes: moving.map(compiled).into(),
            moving: false,
        }
    }

    /// Any text.
    pub fn text(&self, text: &str) -> String {
        let replace = |text: String, (shape, word): &(Regex, &'static str)| {
            shape
                .replace_all(&text, |_: &Captures<'_>| (*word).to_owned())
                .into_owned()
        };
        let moving = self.moving_shapes.iter().filter(|_| self.moving);
        let shapes = self.shapes.iter().chain(moving);
        shapes.fold(text.to_owned(), replace)
    }

    /// A document: by field, and its strings as text.
    pub fn document(&self, document: &mut Value) {
        match document {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.moving && MOVING_FIELDS.1.contains(&name.as_str()) {
                        *value = MOVING_FIELDS.0.into();
                        continue;
                    }
                    match word_for(&FIELDS, name) {
                        // Nothing stays nothing, and so does no time yet.
                        Some(_) if value.is_null() => {}
                        Some("TIME") if value.as_u64() == Some(0) => {}
                        Some(word) => *value = word.into(),
                        None => self.document(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.document(item)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    /// Text with tables in it: their columns by heading, and all as text. With the tables
    /// that were found.
    pub fn tables(&self, text: &str) -> (String, Vec<Shape>) {
        let (mut out, mut shapes) = (String::new(), Vec::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let titles = tokens(line);
            if !is_heading(&titles) {
                out.push_str(&self.text(line));
                out.push('\n');
                continue;
            }
            let mut rows = Vec::new();
            while let Some(row) = lines.peek().and_then(|line| row(line, &titles)) {
                rows.push(row);
                lines.next();
            }
            let right = right_aligned(&titles, &rows, |title| word_for(&COLUMNS, title).is_some());
            let titles: Vec<String> = titles.into_iter().map(|title| title.text).collect();
            shapes.push(Shape {
                titles: titles.clone(),
                rows: rows.len(),
            });
            let cells = rows.into_iter().map(|row| {
                let cells = row
                    .into_iter()
                    .map(|cell| cell.map_or(String::new(), |it| it.text));
                self.cells(cells.collect(), &titles)
            });
            let cells: Vec<Vec<String>> = std::iter::once(titles.clone()).chain(cells).collect();
            out.push_str(&laid_out(&cells, &right));
        }
        (out, shapes)
    }

    /// Rows of cells between tabs, which stand in the order of these tables.
    pub fn rows(&self, text: &str, shapes: &[Shape]) -> String {
        let mut titles = shapes
            .iter()
            .flat_map(|shape| std::iter::repeat_n(&shape.titles, shape.rows));
        // A migration, where its table is not shown.
        let operation: Vec<String> = OPERATION.split(' ').map(str::to_owned).collect();
        let none = Vec::new();
        let mut out = String::new();
        for line in text.lines() {
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            let titles = titles.next().filter(|it| it.len() == cells.len());
            let titles = titles.or_else(|| (cells.len() == operation.len()).then_some(&operation));
            let titles = titles.unwrap_or(&none);
            out.push_str(&self.cells(cells, titles).join("\t"));
            out.push('\n');
        }
        out
    }

    fn cells(&self, cells: Vec<String>, titles: &[String]) -> Vec<String> {
        let parts: Vec<String> = cells.iter().skip(1).cloned().collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let replace = |(at, cell): (usize, String)| {
            let title = titles.get(at).map_or("", String::as_str);
            // Of a process, not of what it holds.
            if title == "BYTES" && PARTS.iter().any(|part| parts.contains(part)) {
                return "N".to_owned();
            }
            if self.moving && MOVING_COLUMNS.1.contains(&title) {
                return MOVING_COLUMNS.0.to_owned();
            }
            match word_for(&COLUMNS, title) {
                // What is not known, or not there, stays so.
                Some(word) if !["-", "?", ""].contains(&cell.as_str()) => word.to_owned(),
                _ => self.text(&cell),
            }
        };
        cells.into_iter().enumerate().map(replace).collect()
    }
}

fn word_for(words: &[(&'static str, &[&str])], name: &str) -> Option<&'static str> {
    let found = words.iter().find(|(_, names)| names.contains(&name));
    found.map(|(word, _)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_becomes_a_word_and_the_rest_stays() {
        let normal = Normal::new("/tmp/.x");
        let text =
            "op-0a1b2c3d by tester@box-1: /tmp/.x/b.gz at http://127.0.0.1:41234 in 3s, 3 slots";
        let expected = "op-ID by tester@HOST: DIR/b.gz at http://127.0.0.1:PORT in AGE, 3 slots";
        assert_eq!(normal.text(text), expected);
        let mut document = serde_json::json!({
            "finished_at_ms": 0, "started_at_ms": 7, "last": {"uptime_ms": 3}, "slots": 3,
        });
        normal.document(&mut document);
        let expected = serde_json::json!({
            "finished_at_ms": 0, "started_at_ms": "TIME", "last": {"uptime_ms": "AGE"}, "slots": 3,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn tables_are_replaced_by_column_and_laid_out_anew() {
        let normal = Normal::new("/tmp/.x");
        let text = "\
NODE  KEYS   AGE  DETAIL
n1       1  1d2h  a b
n10     20     -
3 nodes
";
        let expected = "\
NODE  KEYS  AGE  DETAIL
n1       1  AGE  a b
n10     20    -
3 nodes
";
        let (told, shapes) = normal.tables(text);
        assert_eq!(told, expected);
        assert_eq!((shapes.len(), shapes[0].rows), (1, 2));
        assert_eq!(
            normal.rows("n1\t1\t1d2h\ta b\n", &shapes),
            "n1\t1\tAGE\ta b\n"
        );
        // Whatever is not under its heading is shown as it is.
        let crooked = "NODE  KEYS\n n1     1\n";
        assert_eq!(normal.tables(crooked).0, crooked);
    }
}
