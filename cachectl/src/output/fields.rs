//! `-o help`: what the fields of the machine formats mean, from the published schemas.

use serde_json::{Value, json};

use super::table::{Table, text};
use super::{Body, Report};
use crate::args::layout::MigrationsCommand;
use crate::args::tools::ContextCommand;
use crate::args::{BlacklistCommand, Command, GroupsCommand};
use crate::error::{CliError, Code};

/// How deep a document is followed: deeper than any is.
const DEPTH_MAX: usize = 8;

/// The schema of what a command says; `None`: it says text only.
fn schema(command: &Command) -> Option<&'static str> {
    macro_rules! published {
        ($name:literal) => {
            Some(include_str!(concat!(
                "../../../docs/schemas/",
                $name,
                ".json"
            )))
        };
    }
    match command {
        Command::Get(_) => published!("entry"),
        Command::Set(_) => published!("stored"),
        Command::Delete(_) => published!("deleted"),
        Command::Locate(_) => published!("location"),
        Command::Status(_) => published!("status"),
        Command::Nodes(_) => published!("nodes"),
        Command::Ring(args) if args.diff.is_some() => published!("ring-diff"),
        Command::Ring(_) => published!("ring"),
        Command::Stats(_) => published!("stats"),
        Command::Hotkeys(_) => published!("hotkeys"),
        Command::Events(_) => published!("events"),
        Command::Check(_) => published!("check"),
        Command::Join(_) | Command::Drain(_) | Command::Undrain(_) => published!("operation"),
        Command::Remove(_) | Command::Rebalance(_) => published!("operation"),
        Command::Plan(_) => published!("plan"),
        Command::Migrations(args) => match args.command {
            None | Some(MigrationsCommand::List) => published!("migrations"),
            Some(MigrationsCommand::Watch { .. }) => published!("change"),
            Some(_) => published!("operation"),
        },
        Command::Blacklist(args) => match args.command {
            None | Some(BlacklistCommand::List { .. }) => published!("blacklist"),
            Some(BlacklistCommand::Add { .. }) => published!("blacklisted"),
            Some(BlacklistCommand::Remove { .. }) => published!("unlisted"),
        },
        Command::Groups(args) => match args.command {
            None | Some(GroupsCommand::List | GroupsCommand::Describe { .. }) => {
                published!("groups")
            }
            Some(GroupsCommand::Create { .. }) => published!("group"),
            Some(GroupsCommand::Flush { .. }) => published!("flushed"),
        },
        Command::Context(args) => match args.command {
            None | Some(ContextCommand::List) => published!("contexts"),
            Some(ContextCommand::Validate { .. }) => published!("validation"),
            Some(_) => published!("context"),
        },
        Command::Config(_) => published!("config"),
        Command::Bench(_) => published!("bench"),
        Command::Debug(_) => published!("bundle"),
        Command::Version => published!("version"),
        _ => None,
    }
}

/// The fields of what a command says to machines.
pub fn fields(command: &Command) -> Result<Report, CliError> {
    let Some(schema) = schema(command) else {
        return Err(CliError::usage("this command has no machine format"));
    };
    let schema: Value = serde_json::from_str(schema)
        .map_err(|error| CliError::new(Code::Failure, format!("its schema: {error}")))?;
    let mut table = Table::new([text("FIELD"), text("TYPE"), text("MEANING")]);
    rows(&schema, &schema, "", 0, &mut table);
    Ok(Report {
        body: Body::Table(table),
        json: json!({"kind": "fields"}),
    })
}

fn rows(root: &Value, schema: &Value, prefix: &str, depth: usize, table: &mut Table) {
    let Some(properties) = schema["properties"]
        .as_object()
        .filter(|_| depth < DEPTH_MAX)
    else {
        return;
    };
    for (name, property) in properties {
        let path = format!("{prefix}{name}");
        let property = resolved(root, property);
        let meaning = property["description"].as_str().unwrap_or_default();
        table.row([path.clone(), kind(property), meaning.to_owned()]);
        let items = resolved(root, &property["items"]);
        rows(root, property, &format!("{path}."), depth + 1, table);
        rows(root, items, &format!("{path}[]."), depth + 1, table);
    }
}

/// What a schema points at; of alternatives, the one that is more than null.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(place) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        return root.pointer(place).unwrap_or(&Value::Null);
    }
    let ways = schema["anyOf"].as_array().into_iter().flatten();
    let mut ways = ways.filter(|way| way["type"] != "null");
    match ways.next() {
        Some(way) => resolved(root, way),
        None => schema,
    }
}

fn kind(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn told(line: &str) -> Result<Report, CliError> {
        fields(&Cli::parse_from(line.split(' ')).command)
    }

    #[test]
    fn every_command_with_a_machine_format_tells_its_fields() {
        for line in [
            "get k",
            "set k v",
            "delete k",
            "locate k",
            "status",
            "nodes",
            "ring",
            "ring --diff 1",
            "stats",
            "hotkeys",
            "events",
            "check",
            "drain n1",
            "remove n1",
            "plan",
            "migrations",
            "migrations watch",
            "migrations describe x",
            "blacklist",
            "blacklist add n1",
            "blacklist remove n1",
            "groups",
            "groups create g",
            "groups flush g",
            "context",
            "context current",
            "context validate",
            "config show",
            "bench",
            "debug bundle",
            "version",
        ] {
            let report = told(&format!("cachectl {line}")).unwrap();
            let Body::Table(table) = report.body else {
                panic!("{line}");
            };
            assert!(table.rows.len() >= 3, "{line}: {:?}", table.rows);
        }
        assert_eq!(told("cachectl cheat").unwrap_err().code, Code::Usage);
    }

    #[test]
    fn fields_of_fields_are_told_by_their_path() {
        let report = told("cachectl hotkeys").unwrap();
        let Body::Table(table) = report.body else {
            panic!();
        };
        let named = |name: &str| table.rows.iter().find(|row| row[0] == name).cloned();
        let share = named("items[].share").unwrap();
        assert_eq!(share[1], "number");
        assert!(share[2].contains("part"), "{share:?}");
    }
}
