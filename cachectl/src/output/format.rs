//! One report in every format. Pure.

use serde_json::{Value, json};

use super::table::Table;
use super::{Body, Report};
use crate::args::Format;
use crate::error::{CliError, Code};

/// Version of the field names in the machine formats.
pub const API_VERSION: &str = "v1";

/// The bytes to print.
pub fn render(
    report: &Report,
    format: Format,
    width: Option<usize>,
    color: bool,
) -> Result<Vec<u8>, CliError> {
    if report.json.is_null() {
        return Ok(Vec::new());
    }
    Ok(match format {
        // Told without asking anybody: see `fields`.
        Format::Help => Vec::new(),
        Format::Table => people(&report.body, false, width, color),
        Format::Wide => people(&report.body, true, width, color),
        Format::Json => lines([pretty(&versioned(&report.json))?]),
        Format::Jsonl => lines(records(&report.json).iter().map(Value::to_string)),
        Format::Yaml => yaml(&versioned(&report.json))?.into_bytes(),
        Format::Plain => plain(&report.body),
        Format::Name => names(report),
    })
}

fn people(body: &Body, wide: bool, width: Option<usize>, color: bool) -> Vec<u8> {
    match body {
        Body::Table(table) => table.render(wide, width, color).into_bytes(),
        Body::Tables(tables) => {
            let tables = tables.iter().map(|table| table.render(wide, width, color));
            tables.collect::<Vec<_>>().join("\n").into_bytes()
        }
        Body::Text(text) | Body::Drawn { text, .. } => text.clone().into_bytes(),
        Body::Raw(bytes) => {
            let mut bytes = bytes.clone();
            // A prompt belongs on a line of its own; a pipe gets the bytes alone.
            if width.is_some() && !bytes.ends_with(b"\n") {
                bytes.push(b'\n');
            }
            bytes
        }
    }
}

/// Puts the version first.
fn versioned(json: &Value) -> Value {
    let mut document = serde_json::Map::from_iter([("apiVersion".to_owned(), json!(API_VERSION))]);
    match json {
        Value::Object(fields) => document.extend(fields.clone()),
        other => drop(document.insert("value".to_owned(), other.clone())),
    }
    Value::Object(document)
}

/// The records of a document: its items, or itself.
fn records(json: &Value) -> Vec<Value> {
    match json.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().map(versioned).collect(),
        None => vec![versioned(json)],
    }
}

fn plain(body: &Body) -> Vec<u8> {
    match body {
        Body::Table(table) | Body::Drawn { rows: table, .. } => plain_rows(table),
        Body::Tables(tables) => tables.iter().flat_map(plain_rows).collect(),
        Body::Text(text) => text.clone().into_bytes(),
        Body::Raw(bytes) => bytes.clone(),
    }
}

fn plain_rows(table: &Table) -> Vec<u8> {
    lines(table.rows.iter().map(|row| {
        row.iter()
            .map(|cell| cell.replace(['\t', '\n'], " "))
            .collect::<Vec<_>>()
            .join("\t")
    }))
}

/// Where a record says what it is called, in the order of preference.
const NAMES: [&str; 4] = ["name", "key", "target", "cluster"];

/// What the records are called, as other commands take it; of records without a name the
/// first column.
fn names(report: &Report) -> Vec<u8> {
    let called = |record: &Value| {
        NAMES
            .iter()
            .find_map(|field| record[field].as_str())
            .map(str::to_owned)
    };
    let called: Option<Vec<String>> = match report.json["items"].as_array() {
        Some(items) => items.iter().map(called).collect(),
        None => called(&report.json).map(|name| vec![name]),
    };
    let table = match &report.body {
        Body::Table(table) | Body::Drawn { rows: table, .. } => Some(table),
        Body::Tables(tables) => tables.first(),
        Body::Text(_) | Body::Raw(_) => None,
    };
    let rows = table.into_iter().flat_map(|table| &table.rows);
    let names = called.unwrap_or_else(|| rows.map(|row| row[0].clone()).collect());
    // What was refused has no name.
    lines(names.into_iter().filter(|name| !name.is_empty()))
}

fn lines(lines: impl IntoIterator<Item = String>) -> Vec<u8> {
    lines
        .into_iter()
        .flat_map(|line| (line + "\n").into_bytes())
        .collect()
}

fn pretty(json: &Value) -> Result<String, CliError> {
    serde_json::to_string_pretty(json)
        .map_err(|error| CliError::new(Code::Failure, error.to_string()))
}

fn yaml(json: &Value) -> Result<String, CliError> {
    serde_yaml_ng::to_string(json).map_err(|error| CliError::new(Code::Failure, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::table::{number, text};

    fn sample() -> Report {
        let mut table = Table::new([text("NODE"), number("KEYS")]);
        table.row(["n1".to_owned(), "1".to_owned()]);
        table.row(["n2".to_owned(), "2".to_owned()]);
        let items = json!([{"name": "n1", "keys": 1}, {"name": "n2", "keys": 2}]);
        Report {
            body: Body::Table(table),
            json: json!({"kind": "nodes", "items": items}),
        }
    }

    fn shown(format: Format) -> String {
        String::from_utf8(render(&sample(), format, None, false).unwrap()).unwrap()
    }

    #[test]
    fn every_format_holds_the_same() {
        assert_eq!(shown(Format::Table), "NODE  KEYS\nn1       1\nn2       2\n");
        assert_eq!(shown(Format::Plain), "n1\t1\nn2\t2\n");
        assert_eq!(shown(Format::Name), "n1\nn2\n");
        let jsonl = "{\"apiVersion\":\"v1\",\"keys\":1,\"name\":\"n1\"}\n";
        assert!(
            shown(Format::Jsonl).starts_with(jsonl),
            "{}",
            shown(Format::Jsonl)
        );
        assert!(shown(Format::Json).starts_with("{\n  \"apiVersion\": \"v1\""));
        assert!(shown(Format::Yaml).starts_with("apiVersion: v1\n"));
    }

    #[test]
    fn names_are_those_of_records_and_totals_are_none() {
        let mut report = sample();
        if let Body::Table(table) = &mut report.body {
            table.totals.push(vec!["total".to_owned(), "3".to_owned()]);
        }
        let shown = |report: &Report, format| {
            String::from_utf8(render(report, format, None, false).unwrap()).unwrap()
        };
        assert!(shown(&report, Format::Table).ends_with("total     3\n"));
        assert_eq!(shown(&report, Format::Plain), "n1\t1\nn2\t2\n");
        report.json = json!({"kind": "plan", "name": "op-1"});
        assert_eq!(shown(&report, Format::Name), "op-1\n");
        report.json = json!({"kind": "blacklist", "items": [{"observer": "*", "target": "n3"}]});
        assert_eq!(shown(&report, Format::Name), "n3\n");
        report.json = json!({"kind": "ring", "items": [{"owner": "n1"}]});
        assert_eq!(shown(&report, Format::Name), "n1\nn2\n");
        report.json = json!({"kind": "plan", "name": ""});
        assert_eq!(shown(&report, Format::Name), "");
    }

    #[test]
    fn facts_are_rows_for_line_formats() {
        let facts = vec![("owner", "n1 up".to_owned()), ("slot", "7".to_owned())];
        let report = Report {
            body: Body::facts(facts),
            json: json!({"kind": "location", "key": "k"}),
        };
        let shown =
            |format| String::from_utf8(render(&report, format, None, false).unwrap()).unwrap();
        assert_eq!(shown(Format::Table), "owner  n1 up\nslot   7\n");
        assert_eq!(shown(Format::Plain), "owner\tn1 up\nslot\t7\n");
        assert_eq!(shown(Format::Name), "k\n");
    }

    #[test]
    fn several_tables_stand_below_each_other() {
        let mut report = sample();
        if let Body::Table(table) = &report.body {
            report.body = Body::Tables(vec![table.clone(), table.clone()]);
        }
        let shown =
            |format| String::from_utf8(render(&report, format, None, false).unwrap()).unwrap();
        let one = "NODE  KEYS\nn1       1\nn2       2\n";
        assert_eq!(shown(Format::Table), format!("{one}\n{one}"));
        assert_eq!(shown(Format::Plain), "n1\t1\nn2\t2\nn1\t1\nn2\t2\n");
        assert_eq!(shown(Format::Name), "n1\nn2\n");
    }

    #[test]
    fn raw_bytes_stay_as_they_are_when_piped() {
        let report = Report {
            body: Body::Raw(vec![0, 255]),
            json: json!({}),
        };
        assert_eq!(
            render(&report, Format::Table, None, false).unwrap(),
            [0, 255]
        );
        assert_eq!(
            render(&report, Format::Table, Some(80), false).unwrap(),
            [0, 255, b'\n']
        );
    }
}
