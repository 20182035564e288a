//! `blacklist`: who does not attempt whom, and entries made by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cached_client::admin::{Blacklist, BlacklistEntry};
use cached_client::types::NodeName;
use serde_json::{Value, json};

use super::{Picture, Session, operator, unreachable};
use crate::args::{self, BlacklistBy, BlacklistCommand};
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// `blacklist`.
pub async fn blacklist(session: &Session, args: &args::Blacklist) -> Result<Report, CliError> {
    match &args.command {
        None => list(session, BlacklistBy::Observer).await,
        Some(BlacklistCommand::List { by }) => list(session, *by).await,
        Some(BlacklistCommand::Add { node, ttl, reason }) => add(session, node, *ttl, reason).await,
        Some(BlacklistCommand::Remove { node }) => remove(session, node).await,
    }
}

pub(super) async fn list(session: &Session, by: BlacklistBy) -> Result<Report, CliError> {
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
            Ok(report(sorted(answered.value, by)))
        }
        Err(error) if unreachable(&error) && session.settings.etcd.is_some() => {
            let list = from_etcd(session.picture().await?)?;
            Ok(report(sorted(list, by)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Entries made by hand are all that etcd holds.
fn from_etcd(picture: Picture) -> Result<Blacklist, CliError> {
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
    Ok(Blacklist {
        entries,
        unanswered: Vec::new(),
    })
}

fn sorted(mut list: Blacklist, by: BlacklistBy) -> Blacklist {
    list.entries.sort_by(|one, other| {
        let key = |it: &BlacklistEntry| match by {
            BlacklistBy::Observer => (it.observer.clone(), it.target.clone()),
            BlacklistBy::Target => (it.target.clone(), it.observer.clone()),
        };
        key(one).cmp(&key(other))
    });
    list
}

/// `12:04:05`, UTC.
fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

fn report(list: Blacklist) -> Report {
    let mut table = Table::new([
        text("OBSERVER"),
        text("TARGET"),
        text("SOURCE"),
        number("FAILURES").rank(1),
        text("SINCE").rank(3),
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
            clock(entry.since_ms),
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
    let json = json!({
        "kind": "blacklisted",
        "target": node,
        "ttl_ms": ttl.as_millis() as u64,
        "reason": reason,
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_by_who_or_by_whom() {
        let entry = |observer: &str, target: &str| BlacklistEntry {
            observer: observer.to_owned(),
            target: target.to_owned(),
            since_ms: 1_767_355_445_000,
            ..BlacklistEntry::default()
        };
        let list = Blacklist {
            entries: vec![entry("n4", "n1"), entry("n2", "n5"), entry("n4", "n0")],
            unanswered: Vec::new(),
        };
        let pairs = |by| {
            let Body::Table(table) = report(sorted(list.clone(), by)).body else {
                panic!();
            };
            let pair = |row: &Vec<String>| format!("{}-{}", row[0], row[1]);
            assert_eq!(table.rows[0][4], "12:04:05");
            table.rows.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(pairs(BlacklistBy::Observer), ["n2-n5", "n4-n0", "n4-n1"]);
        assert_eq!(pairs(BlacklistBy::Target), ["n4-n0", "n4-n1", "n2-n5"]);
    }
}
