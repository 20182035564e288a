//! `groups`: namespaces with limits of their own.

use cached_client::records::GroupRecord;
use cached_client::types::GroupName;
use serde_json::{Value, json};

use super::{Session, operator};
use crate::args::{self, Global, GroupsCommand};
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// `groups`.
pub async fn groups(session: &Session, args: &args::Groups) -> Result<Report, CliError> {
    match &args.command {
        None | Some(GroupsCommand::List) => list(session, None).await,
        Some(GroupsCommand::Describe { name }) => list(session, Some(name)).await,
        Some(GroupsCommand::Create {
            name,
            max_bytes,
            ttl,
            policy,
            resp_db,
        }) => {
            let group = GroupRecord {
                name: GroupName::new(name)?,
                max_bytes: max_bytes.map(|size| size.as_u64()),
                default_ttl_ms: ttl.map(|ttl| ttl.as_millis() as u64),
                policy: *policy,
                resp_db: *resp_db,
            };
            let created = session
                .admin()
                .await?
                .group_create(group, &operator())
                .await?
                .value;
            let text = format!("group {} is there\n", created.name);
            Ok(Report {
                body: Body::Text(text),
                json: with_kind(group_json(&created)),
            })
        }
        Some(GroupsCommand::Flush { name }) => flush(session, name).await,
    }
}

pub(super) async fn list(session: &Session, only: Option<&str>) -> Result<Report, CliError> {
    let mut groups = session.admin().await?.groups().await?.value;
    if let Some(name) = only {
        groups.retain(|group| group.name.as_str() == name);
        if groups.is_empty() {
            return Err(CliError::new(
                Code::NotFound,
                format!("no group is named {name}"),
            ));
        }
    }
    let mut table = Table::new([
        text("GROUP"),
        number("MAX BYTES"),
        number("TTL"),
        text("POLICY"),
        number("DB"),
    ]);
    for group in &groups {
        let ttl = group.default_ttl_ms.map(std::time::Duration::from_millis);
        table.row([
            group.name.to_string(),
            group.max_bytes.map_or("-".to_owned(), units::bytes),
            ttl.map_or("never".to_owned(), units::age),
            group.policy.to_string(),
            group.resp_db.map_or("-".to_owned(), |db| db.to_string()),
        ]);
    }
    let items: Vec<Value> = groups.iter().map(group_json).collect();
    Ok(Report {
        body: Body::Table(table),
        json: json!({"kind": "groups", "items": items}),
    })
}

fn group_json(group: &GroupRecord) -> Value {
    json!({
        "name": group.name.to_string(),
        "max_bytes": group.max_bytes,
        "default_ttl_ms": group.default_ttl_ms,
        "policy": group.policy.to_string(),
        "resp_db": group.resp_db,
    })
}

/// One group as a document of its own.
fn with_kind(mut group: Value) -> Value {
    group["kind"] = json!("group");
    group
}

async fn flush(session: &Session, name: &str) -> Result<Report, CliError> {
    let group = GroupName::new(name)?;
    let Global {
        confirm, no_input, ..
    } = &session.global;
    let what = format!("Every entry of group {name} will be removed, on every node.");
    session
        .confirm_name(&what, name, confirm.as_deref(), *no_input)
        .await?;
    let flushed = session
        .admin()
        .await?
        .group_flush(&group, &operator())
        .await?
        .value;
    let mut table = Table::new([text("NODE"), number("KEYS"), text("RESULT")]);
    let mut items = Vec::new();
    let mut failed = Vec::new();
    for node in &flushed {
        let (keys, result) = match &node.result {
            Ok(keys) => (keys.to_string(), "flushed".to_owned()),
            Err(failure) => {
                failed.push(node.node.clone());
                ("?".to_owned(), failure.to_string())
            }
        };
        items.push(json!({"name": node.node, "keys": node.result.as_ref().ok(), "result": result}));
        table.row([node.node.clone(), keys, result]);
    }
    let report = Report {
        body: Body::Table(table),
        json: json!({"kind": "flushed", "name": name, "items": items}),
    };
    if failed.is_empty() {
        return Ok(report);
    }
    session.output.report(&report)?;
    let message = format!("not flushed on {}: try again", failed.join(", "));
    Err(CliError::new(Code::Partly, message))
}
