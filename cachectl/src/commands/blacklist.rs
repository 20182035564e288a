//! `blacklist`: who does not attempt whom, and entries made by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cached_client::admin::{Blacklist, BlacklistEntry};
use cached_client::types::NodeName;
use serde_json::{Value, json};

use super::{Picture, Session, operator, unreachable};
use crate::args::{self, BlacklistCommand};
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// `blacklist`.
pub async fn blacklist(session: &Session, args: &args::Blacklist) -> Result<Report, CliError> {
    match &args.command {
        None | Some(BlacklistCommand::List) => list(session).await,
        Some(BlacklistCommand::Add { node, ttl, reason }) => add(session, node, *ttl, reason).await,
        Some(BlacklistCommand::Remove { node }) => remove(session, node).await,
    }
}

pub(super) async fn list(session: &Session) -> Result<Report, CliError> {
    let asked = match session.admin().await {
        Ok(admin) => admin.blacklist(false).await,
        Err(error) if session.settings.etcd.is_none() => return Err(error),
        Err(error) => Err(cached_client::Error::Unreachable(error.message)),
    };
    match asked {
        Ok(answered) => {
            for member in &answered.value.unanswered {
                session
                    .output
                    .note(&format!("{member} could not be asked for its own entries"));
            }
            Ok(report(&answered.value))
        }
        Err(error) if unreachable(&error) && session.settings.etcd.is_some() => {
            from_etcd(session.picture().await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Entries made by hand are all that etcd holds.
fn from_etcd(picture: Picture) -> Result<Report, CliError> {
    let Picture::Etcd(picture) = picture else {
        return Err(CliError::new(
            Code::Unreachable,
            "nodes answer again: ask once more",
        ));
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64;
    let entries = picture
        .blacklist
        .iter()
        .filter(|record| record.expires_ms > now)
        .map(|record| BlacklistEntry {
            observer: "*".to_owned(),
            target: record.target.to_string(),
            manual: true,
            since_ms: record.since_ms,
            expires_in: Duration::from_millis(record.expires_ms - now),
            reason: record.reason.clone(),
            by: record.by.clone(),
            ..BlacklistEntry::default()
        })
        .collect();
    Ok(report(&Blacklist {
        entries,
        unanswered: Vec::new(),
    }))
}

fn report(list: &Blacklist) -> Report {
    let mut table = Table::new([
        text("OBSERVER"),
        text("TARGET"),
        text("SOURCE"),
        number("FAILURES").rank(1),
        number("EXPIRES"),
        number("NEXT PROBE").rank(2),
        text("LAST ERROR OR REASON"),
    ]);
    for entry in &list.entries {
        let words = match (entry.manual, entry.by.is_empty()) {
            (true, false) => format!("{}: {}", entry.by, entry.reason),
            (true, true) => entry.reason.clone(),
            (false, _) => entry.last_error.clone(),
        };
        let dash_or = |text: String| if entry.manual { "-".to_owned() } else { text };
        table.row([
            entry.observer.clone(),
            entry.target.clone(),
            if entry.manual { "manual" } else { "auto" }.to_owned(),
            dash_or(entry.failures.to_string()),
            units::age(entry.expires_in),
            dash_or(units::age(entry.next_probe_in)),
            words,
        ]);
    }
    if list.entries.is_empty() {
        table.footer = Some("nobody is listed".to_owned());
    }
    let items: Vec<Value> = list.entries.iter().map(entry_json).collect();
    let json = json!({"kind": "blacklist", "items": items, "unanswered": list.unanswered});
    Report {
        body: Body::Table(table),
        json,
    }
}

fn entry_json(entry: &BlacklistEntry) -> Value {
    json!({
        "observer": entry.observer,
        "target": entry.target,
        "source": if entry.manual { "manual" } else { "auto" },
        "failures": entry.failures,
        "since_ms": entry.since_ms,
        "expires_in_ms": entry.expires_in.as_millis() as u64,
        "next_probe_in_ms": entry.next_probe_in.as_millis() as u64,
        "last_error": entry.last_error,
        "reason": entry.reason,
        "by": entry.by,
    })
}

async fn add(
    session: &Session,
    node: &str,
    ttl: Duration,
    reason: &str,
) -> Result<Report, CliError> {
    let target = NodeName::new(node)?;
    let admin = session.admin().await?;
    admin
        .blacklist_add(&target, ttl, reason, &operator())
        .await?;
    let text = format!("{target} is listed for {}\n", units::age(ttl));
    let json = json!({"kind": "blacklisted", "target": node, "ttl_ms": ttl.as_millis() as u64});
    Ok(Report {
        body: Body::Text(text),
        json,
    })
}

async fn remove(session: &Session, node: &str) -> Result<Report, CliError> {
    let target = NodeName::new(node)?;
    let answered = session
        .admin()
        .await?
        .blacklist_remove(&target, &operator())
        .await?;
    if !answered.value {
        let message = format!("no entry made by hand lists {target}");
        return Err(CliError::new(Code::NotFound, message));
    }
    let json = json!({"kind": "unlisted", "target": node});
    Ok(Report {
        body: Body::Text(format!("{target} is not listed any more\n")),
        json,
    })
}
