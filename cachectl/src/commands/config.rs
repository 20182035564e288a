//! `config`: every setting, and where it comes from.

use serde_json::{Value, json};

use super::Session;
use crate::args::tools::{self, ConfigCommand};
use crate::output::table::{Table, text};
use crate::output::{Body, Report};

/// `config`.
pub fn config(session: &Session, args: &tools::Config) -> Report {
    match args.command {
        ConfigCommand::Show => show(session),
    }
}

pub(super) fn show(session: &Session) -> Report {
    let mut table = Table::new([text("SETTING"), text("VALUE"), text("FROM")]);
    let mut items = Vec::new();
    for value in &session.settings.values {
        let shown = match value.value.as_str() {
            "" => "-",
            shown => shown,
        };
        let from = value.origin.name();
        table.row([value.name.to_owned(), shown.to_owned(), from.to_owned()]);
        items.push(json!({"name": value.name, "value": value.value, "origin": from}));
    }
    let file = crate::contexts::path().map(|path| path.display().to_string());
    table.footer = file.as_ref().map(|file| format!("context file {file}"));
    let file = file.map_or(Value::Null, Value::from);
    Report {
        body: Body::Table(table),
        json: json!({"kind": "config", "file": file, "items": items}),
    }
}
