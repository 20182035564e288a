//! Keys: get, set, delete, locate.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cached_client::Client;
use cached_client::connections::Connections;
use cached_client::direct::Direct;
use cached_client::operation::{Answer, Condition, Entry, Operation, Reply};
use cached_client::topology::Location;
use cached_client::types::{GroupName, Key, Ttl};
use serde_json::{Value, json};

use super::Session;
use super::explain::Around;
use crate::args::{Delete, Get, InGroup, KeyEncoding, Locate, Set};
use crate::error::{CliError, Code};
use crate::output::table::{Table, text};
use crate::output::{Body, Report};
use crate::units;

/// `get`.
pub async fn get(session: &Session, args: &Get) -> Result<Report, CliError> {
    let key = read_key(&args.key, args.place.key_encoding)?;
    let client = in_group(session.client().await?, &args.place)?;
    let operation = Operation::Get {
        key: key.clone(),
        no_load: args.no_load,
        metadata_only: args.meta,
    };
    let answer = match &args.from {
        Some(node) => ask_node(session, &client, &args.place, node, operation).await?,
        None => client.execute(operation).await?,
    };
    if answer.degraded {
        session
            .output
            .note("degraded: the owner has not reached the registry for a while");
    }
    let Reply::Get(Some(entry)) = answer.reply else {
        return Err(CliError::new(Code::NotFound, format!("no entry for {key}")));
    };
    let body = if args.meta {
        let mut table = Table::new([text("KEY"), text("SIZE"), text("TTL"), text("VERSION")]);
        table.row([
            key.to_string(),
            units::bytes(entry.value_bytes),
            ttl_text(&entry),
            version_text(&entry),
        ]);
        Body::Table(table)
    } else {
        Body::Raw(entry.value.to_vec())
    };
    Ok(Report {
        body,
        json: entry_json(&key, &entry, args.meta),
    })
}

/// Asks one node, whoever owns the key.
async fn ask_node(
    session: &Session,
    client: &Client,
    place: &InGroup,
    node: &str,
    operation: Operation,
) -> Result<Answer, CliError> {
    let topology = client.topology();
    let members = super::living(&topology, Some(node))?;
    let group = match &place.group {
        Some(group) => GroupName::new(group)?,
        None => topology.default_group.clone(),
    };
    let options = &session.settings.options;
    let connections = Connections::new(options.connect.clone());
    let address = members.into_iter().next().map(|(_, address)| address);
    let direct = Direct::new(
        connections,
        address.unwrap_or_default(),
        group,
        options.timeout,
    );
    Ok(direct.execute(operation).await?)
}

/// An entry for machines; values that are not text go as base64, and say so.
fn entry_json(key: &Key, entry: &Entry, metadata_only: bool) -> Value {
    let mut json = json!({
        "kind": "entry",
        "key": key.to_string(),
        "size": entry.value_bytes,
        "ttl_ms": entry.ttl_ms,
        "version": entry.version.map(|version| version.to_string()),
        "loaded": entry.loaded,
        "uncached": entry.uncached,
    });
    if !metadata_only {
        let (encoding, value) = match std::str::from_utf8(&entry.value) {
            Ok(text) => ("utf8", text.to_owned()),
            Err(_) => ("base64", STANDARD.encode(&entry.value)),
        };
        json["encoding"] = encoding.into();
        json["value"] = value.into();
    }
    json
}

fn ttl_text(entry: &Entry) -> String {
    entry.ttl_ms.map_or("never".to_owned(), |ms| {
        units::age(std::time::Duration::from_millis(ms))
    })
}

fn version_text(entry: &Entry) -> String {
    entry
        .version
        .map_or("-".to_owned(), |version| version.to_string())
}

/// `set`.
pub async fn set(session: &Session, args: &Set) -> Result<Report, CliError> {
    let key = read_key(&args.key, args.place.key_encoding)?;
    let value = read_value(&args.value)?;
    let ttl = args
        .ttl
        .map(|ttl| Ttl::from_ms(ttl.as_millis() as u64))
        .transpose()?;
    let condition = match (args.nx, args.xx, &args.if_version) {
        (true, _, _) => Condition::IfAbsent,
        (_, true, _) => Condition::IfPresent,
        (_, _, Some(version)) => Condition::IfVersion(version.parse()?),
        _ => Condition::Always,
    };
    let client = in_group(session.client().await?, &args.place)?;
    let operation = Operation::Set {
        key: key.clone(),
        value: value.into(),
        ttl,
        condition,
    };
    let Reply::Set { stored, version } = client.execute(operation).await?.reply else {
        return Err(unexpected());
    };
    let version = version.map(|version| version.to_string());
    if !stored {
        let message = match &version {
            Some(version) => format!("not written: {key} has version {version}"),
            None => format!("not written: {key} has no entry"),
        };
        return Err(CliError::new(Code::Conflict, message));
    }
    let json = json!({"kind": "stored", "key": key.to_string(), "version": version});
    Ok(Report {
        body: Body::Text("OK\n".to_owned()),
        json,
    })
}

/// The value itself, a file (`@FILE`) or standard input (`-`).
fn read_value(text: &str) -> Result<Vec<u8>, CliError> {
    let failed = |what: &str, error: std::io::Error| {
        CliError::usage(format!("{what} cannot be read: {error}"))
    };
    if text == "-" {
        let mut value = Vec::new();
        std::io::stdin()
            .read_to_end(&mut value)
            .map_err(|error| failed("standard input", error))?;
        return Ok(value);
    }
    match text.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(|error| failed(path, error)),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// `delete`.
pub async fn delete(session: &Session, args: &Delete) -> Result<Report, CliError> {
    if let Some(pattern) = &args.pattern {
        return super::keys::delete_matching(session, args, pattern).await;
    }
    let encoding = args.place.key_encoding;
    let keys: Vec<Key> = args
        .keys
        .iter()
        .map(|key| read_key(key, encoding))
        .collect::<Result<_, _>>()?;
    let client = in_group(session.client().await?, &args.place)?;
    let delete = |key: &Key| Operation::Delete {
        key: key.clone(),
        condition: Condition::Always,
    };
    let outcomes = client.batch(keys.iter().map(delete).collect()).await;
    let mut table = Table::new([text("KEY"), text("RESULT")]);
    let mut items = Vec::new();
    let mut missing = Vec::new();
    for (key, outcome) in keys.iter().zip(outcomes) {
        let deleted = matches!(outcome?.reply, Reply::Delete { deleted: true, .. });
        if !deleted {
            missing.push(key.to_string());
        }
        table.row([
            key.to_string(),
            if deleted { "deleted" } else { "not there" }.to_owned(),
        ]);
        items.push(json!({"key": key.to_string(), "deleted": deleted}));
    }
    let report = Report {
        body: Body::Table(table),
        json: json!({"kind": "deleted", "items": items}),
    };
    if missing.is_empty() {
        return Ok(report);
    }
    session.output.report(&report)?;
    Err(CliError::new(
        Code::NotFound,
        format!("no entry for {}", missing.join(", ")),
    ))
}

/// `locate`.
pub async fn locate(session: &Session, args: &Locate) -> Result<Report, CliError> {
    let key = read_key(&args.key, args.place.key_encoding)?;
    let client = in_group(session.client().await?, &args.place)?;
    let planned = match args.layout {
        Some(layout) => Some(session.planned(layout).await?),
        None => None,
    };
    let (location, layout) = match &planned {
        Some(topology) => (topology.locate(&key), topology.layout),
        None => (client.locate(&key), client.topology().layout),
    };
    let mut json = location_json(&key, &location, layout);
    let mut lines = location_lines(&key, &location, layout);
    if args.explain && planned.is_some() {
        // Everything else is of now.
        lines.push(("next on ring", names(&location)));
    } else if args.explain {
        let operation = Operation::Get {
            key: key.clone(),
            no_load: true,
            metadata_only: true,
        };
        let value = match client.execute(operation).await {
            Ok(answer) => match answer.reply {
                Reply::Get(Some(entry)) => {
                    json["entry"] = entry_json(&key, &entry, true);
                    format!(
                        "{}, ttl {}, version {}",
                        units::bytes(entry.value_bytes),
                        ttl_text(&entry),
                        version_text(&entry)
                    )
                }
                _ => "not there".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        lines.extend([
            ("epoch", location.epoch.to_string()),
            ("next on ring", names(&location)),
        ]);
        let around = Around::ask(session, &location).await;
        around.add_to(&mut json);
        lines.extend(around.lines());
        lines.push(("value", value));
    }
    Ok(Report {
        body: Body::facts(lines),
        json,
    })
}

fn location_lines(key: &Key, location: &Location, layout: u64) -> Vec<(&'static str, String)> {
    let owner = match &location.owner {
        Some(owner) => {
            let state = owner
                .state
                .map_or("DOWN".to_owned(), |state| state.to_string());
            format!(
                "{} {state} {} (layout {layout})",
                owner.id.name, owner.address
            )
        }
        None => "nobody yet".to_owned(),
    };
    let vnode = virtual_node(location).unwrap_or_else(|| "-".to_owned());
    let (first, last) = location.range;
    vec![
        ("key", key.to_string()),
        ("slot", location.slot.to_string()),
        ("owner", owner),
        ("vnode", vnode),
        ("range", format!("{first}–{last}")),
    ]
}

/// `n2#33`: the point of the ring before the slot.
fn virtual_node(location: &Location) -> Option<String> {
    let (member, number) = location.virtual_node.as_ref()?;
    Some(format!("{}#{number}", member.id.name))
}

fn names(location: &Location) -> String {
    let names: Vec<String> = location
        .next
        .iter()
        .map(|member| member.id.name.to_string())
        .collect();
    names.join(", ")
}

fn location_json(key: &Key, location: &Location, layout: u64) -> Value {
    json!({
        "kind": "location",
        "key": key.to_string(),
        "slot": location.slot.number(),
        "epoch": location.epoch.0,
        "layout": layout,
        "owner": location.owner.as_ref().map(|owner| json!({
            "name": owner.id.name.to_string(),
            "incarnation": owner.id.inc.to_string(),
            "address": owner.address,
            "state": owner.state.map_or("down".to_owned(), |state| state.to_string()),
        })),
        "virtual_node": virtual_node(location),
        "range": {"first": location.range.0.number(), "last": location.range.1.number()},
        "next": location.next.iter().map(|member| member.id.name.to_string()).collect::<Vec<_>>(),
    })
}

pub(super) fn in_group(client: Client, place: &InGroup) -> Result<Client, CliError> {
    match &place.group {
        Some(group) => Ok(client.with_group(GroupName::new(group)?)),
        None => Ok(client),
    }
}

fn read_key(text: &str, encoding: KeyEncoding) -> Result<Key, CliError> {
    let bytes = match encoding {
        KeyEncoding::Utf8 => text.as_bytes().to_vec(),
        KeyEncoding::Base64 => STANDARD
            .decode(text)
            .map_err(|error| CliError::usage(format!("key {text:?} is not base64: {error}")))?,
        KeyEncoding::Hex => from_hex(text).ok_or_else(|| {
            CliError::usage(format!("key {text:?} is not pairs of hexadecimal digits"))
        })?,
    };
    Ok(Key::new(bytes)?)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

fn unexpected() -> CliError {
    CliError::new(
        Code::Failure,
        "the node answered another question than was asked",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_any_bytes() {
        let read = |text, encoding| read_key(text, encoding).map(|key| key.as_bytes().to_vec());
        assert_eq!(read("00ff", KeyEncoding::Hex).unwrap(), [0, 255]);
        assert_eq!(read("AP8=", KeyEncoding::Base64).unwrap(), [0, 255]);
        assert_eq!(read("ä", KeyEncoding::Utf8).unwrap(), "ä".as_bytes());
        for (text, encoding) in [
            ("0", KeyEncoding::Hex),
            ("äx", KeyEncoding::Hex),
            ("?", KeyEncoding::Base64),
            ("", KeyEncoding::Utf8),
        ] {
            assert_eq!(
                read(text, encoding).unwrap_err().code,
                Code::Usage,
                "{text:?}"
            );
        }
    }

    #[test]
    fn values_come_from_files_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1, 2, 0]).unwrap();
        assert_eq!(
            read_value(&format!("@{}", file.path().display())).unwrap(),
            [1, 2, 0]
        );
        assert_eq!(read_value("plain").unwrap(), b"plain");
        assert!(
            read_value("@/nonexistent")
                .unwrap_err()
                .message
                .contains("/nonexistent")
        );
    }
}
