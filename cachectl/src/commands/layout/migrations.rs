//! `migrations`: what runs, how far it is, what ran before.

use std::time::Duration;

use cached_client::admin::{Control, Operation, PairProgress};
use cached_client::operations::{MoveCounts, OperationState};
use serde_json::{Value, json};

use super::super::{Picture, Session, operator};
use super::{follow, progress};
use crate::args::Format;
use crate::args::layout::{self, MigrationsCommand};
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// Batches under way that `describe` names.
const BATCHES_SHOWN_MAX: usize = 10;

/// What `watch` says where there is nothing to look at.
const NONE_OPEN: &str = "no migration is open";

/// Migrations that are named to whoever asks for one that is not there.
const NAMED_MAX: usize = 5;

/// `migrations`.
pub async fn migrations(session: &Session, args: &layout::Migrations) -> Result<Report, CliError> {
    match &args.command {
        None | Some(MigrationsCommand::List) => list_all(session).await,
        Some(MigrationsCommand::Watch { id }) => watch(session, id.as_deref()).await,
        Some(MigrationsCommand::Describe { id }) => {
            let (operations, told) = operations(session).await?;
            let found = operations.iter().find(|it| it.id == *id);
            let found = found.ok_or_else(|| unknown(id, &operations))?;
            let body = Body::Drawn {
                text: description(found, told),
                rows: rows(std::slice::from_ref(found), told),
            };
            let json = operation_json(found);
            Ok(Report { body, json })
        }
        Some(MigrationsCommand::Pause { id }) => control(session, id, Control::Pause).await,
        Some(MigrationsCommand::Resume { id }) => control(session, id, Control::Resume).await,
        Some(MigrationsCommand::Rate { id, rate }) => {
            control(session, id, Control::Rate(rate.as_u64())).await
        }
        Some(MigrationsCommand::Cancel { id }) => {
            let question =
                format!("{id} ends, and what has not moved stays where it is. Cancel it?");
            session.confirm(&question).await?;
            control(session, id, Control::Cancel).await
        }
    }
}

/// Every migration that the cluster remembers.
pub(in crate::commands) async fn list_all(session: &Session) -> Result<Report, CliError> {
    let (operations, told) = operations(session).await?;
    Ok(list(&operations, told))
}

/// From any node; from etcd when none answers and etcd is named. With whether a node
/// told them: etcd does not know what is left.
async fn operations(session: &Session) -> Result<(Vec<Operation>, bool), CliError> {
    let asked = match session.admin().await {
        Ok(admin) => admin.operations(true).await.map_err(CliError::from),
        Err(error) => Err(error),
    };
    match asked {
        Ok(answered) => Ok((answered.value, true)),
        Err(error) if session.settings.etcd.is_none() => Err(error),
        Err(error) if !matches!(error.code, Code::Unreachable | Code::Timeout) => Err(error),
        Err(error) => match session.picture().await? {
            Picture::Etcd(picture) => Ok((picture.operations, false)),
            Picture::Node { .. } => Err(error),
        },
    }
}

async fn watch(session: &Session, id: Option<&str>) -> Result<Report, CliError> {
    let admin = session.admin().await?;
    if let Some(id) = id {
        let known = admin.operations(true).await?.value;
        if let Some(refusal) = known.iter().find(|it| it.id == id).and_then(only_planned) {
            return Err(refusal);
        }
        return follow::follow(session, &admin, id).await;
    }
    let operations = admin.operations(false).await?.value;
    let open = operations
        .iter()
        .find(|it| it.state.is_open() || it.state == OperationState::Requested);
    match open {
        Some(open) => follow::follow(session, &admin, &open.id).await,
        // A stream of changes without any.
        None if session.output.format() == Format::Jsonl => {
            session.output.note(NONE_OPEN);
            Ok(Report::silent())
        }
        None => Ok(super::said(NONE_OPEN)),
    }
}

/// Nothing happens to what nobody has asked for yet.
fn only_planned(operation: &Operation) -> Option<CliError> {
    let id = &operation.id;
    let text = format!("{id} is only planned: cachectl plan apply {id}");
    (operation.state == OperationState::Planned).then(|| CliError::new(Code::Conflict, text))
}

async fn control(session: &Session, id: &str, control: Control) -> Result<Report, CliError> {
    let admin = session.admin().await?;
    let answered = admin.control_operation(id, control, &operator()).await?;
    let operation = answered.value;
    let state = operation.state;
    let text = match control {
        Control::Cancel if !state.is_final() => format!("{id} is being cancelled"),
        Control::Rate(0) => format!("{id} goes as fast as it can"),
        Control::Rate(rate) => format!("{id} moves at most {}/s", units::bytes(rate)),
        Control::Pause | Control::Resume | Control::Cancel => format!("{id} is {state}"),
    };
    Ok(one(&operation, &text))
}

fn unknown(id: &str, operations: &[Operation]) -> CliError {
    let newest = operations.iter().rev().take(NAMED_MAX);
    let newest: Vec<&str> = newest.map(|it| it.id.as_str()).collect();
    let known = match operations.len() {
        0 => "there is none".to_owned(),
        all if all > NAMED_MAX => format!("the last of {all} are {}", newest.join(", ")),
        _ => format!("there are {}", newest.join(", ")),
    };
    let message = format!("no migration has the id {id}; {known}");
    CliError::new(Code::NotFound, message)
}

/// One operation, and a sentence about it.
pub(super) fn one(operation: &Operation, text: &str) -> Report {
    Report {
        body: Body::Drawn {
            text: format!("{text}\n"),
            rows: rows(std::slice::from_ref(operation), true),
        },
        json: operation_json(operation),
    }
}

fn list(operations: &[Operation], told: bool) -> Report {
    let mut table = rows(operations, told);
    if operations.is_empty() {
        table.footer = Some("nothing moves, and nothing has moved lately".to_owned());
    }
    let items: Vec<Value> = operations.iter().map(operation_json).collect();
    Report {
        body: Body::Table(table),
        json: json!({"kind": "migrations", "items": items}),
    }
}

/// A row for each.
fn rows(operations: &[Operation], told: bool) -> Table {
    let mut table = Table::new([
        text("ID"),
        text("KIND"),
        text("NODES"),
        text("STATE"),
        number("DONE"),
        number("SLOTS").rank(2),
        number("KEYS").rank(3),
        number("SIZE").rank(3),
        number("FAILURES").rank(5),
        number("LAYOUT").wide(),
        text("STARTED").rank(4),
        text("BY").rank(1),
        text("WHY").rank(6),
    ]);
    for it in operations {
        table.row([
            it.id.clone(),
            it.kind.to_string(),
            or_dash(&it.nodes.join(",")),
            state(it),
            progress::percent(it, told),
            it.moved.slots.to_string(),
            units::count(it.moved.keys),
            units::bytes(it.moved.bytes),
            it.moved.failures.to_string(),
            it.layout.to_string(),
            or_dash(&time(it.started_at_ms)),
            it.by.clone(),
            or_dash(if it.reason.is_empty() {
                &it.message
            } else {
                &it.reason
            }),
        ]);
    }
    table
}

fn state(operation: &Operation) -> String {
    if operation.cancelling {
        "cancelling".to_owned()
    } else {
        operation.state.to_string()
    }
}

/// Everything about one, for people.
fn description(it: &Operation, told: bool) -> String {
    let slots = match progress::share(it, told) {
        Some((done, all)) => format!("{done} of {all} moved ({})", units::percent(done, all)),
        None => format!("{} moved", it.moved.slots),
    };
    let moved = &it.moved;
    let mut text = format!(
        "{}  {} {}  {}\nasked     by {}{}\nlayout    {} (planned on {})\n",
        it.id,
        it.kind,
        it.nodes.join(" "),
        state(it),
        it.by,
        if it.message.is_empty() {
            String::new()
        } else {
            format!(": {}", it.message)
        },
        it.layout,
        it.base_layout,
    );
    for (word, ms) in [
        ("requested", it.requested_at_ms),
        ("started  ", it.started_at_ms),
        ("finished ", it.finished_at_ms),
        ("deadline ", it.deadline_at_ms),
    ] {
        if ms > 0 {
            text.push_str(&format!("{word} {}\n", time(ms)));
        }
    }
    text.push_str(&format!(
        "slots     {slots}\nkeys      {} moved, about {} left\nsize      {} moved, about {} left\nrate      {}/s, {}\n",
        units::count(moved.keys),
        units::count(it.keys_left),
        units::bytes(moved.bytes),
        units::bytes(it.bytes_left),
        units::bytes(it.bytes_per_second),
        match it.max_rate_bytes {
            0 => "not bounded".to_owned(),
            rate => format!("at most {}/s", units::bytes(rate)),
        },
    ));
    text.push_str(&format!(
        "changes   {} sent, {} taken over, {} known already, {} in vain in {} failures, {} dropped\n",
        moved.sent, moved.acknowledged, moved.skipped, moved.failed, moved.failures, moved.shed,
    ));
    if !it.reason.is_empty() {
        text.push_str(&format!("reason    {}\n", it.reason));
    }
    for merged in &it.merged {
        text.push_str(&format!("merged    {merged}\n"));
    }
    for name in &it.unanswered {
        text.push_str(&format!("silent    {name} could not be asked\n"));
    }
    for pair in &it.pairs {
        text.push_str(&describe_pair(pair));
    }
    text
}

fn describe_pair(pair: &PairProgress) -> String {
    let done = pair.moved.slots;
    let mut text = format!(
        "{}→{}  {done}/{} slots, {} keys, {}\n",
        pair.from,
        pair.to,
        done + u64::from(pair.slots_left),
        units::count(pair.moved.keys),
        units::bytes(pair.moved.bytes),
    );
    let trouble = progress::trouble(pair);
    if !trouble.is_empty() {
        text.push_str(&format!("  {trouble}\n"));
    }
    for batch in pair.batches.iter().take(BATCHES_SHOWN_MAX) {
        text.push_str(&format!(
            "  page {} ({} slots, try {}): {}, {}/{} keys\n",
            batch.page,
            batch.slots.len(),
            batch.attempt,
            batch.state,
            units::count(batch.keys_sent),
            units::count(batch.keys_total),
        ));
    }
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// RFC 3339; empty: not yet.
fn time(ms: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    time.map_or(String::new(), |time| {
        humantime::format_rfc3339_seconds(time).to_string()
    })
}

/// The stable fields of an operation.
pub(super) fn operation_json(it: &Operation) -> Value {
    json!({
        "kind": it.kind.to_string(),
        "name": it.id,
        "state": it.state.to_string(),
        "cancelling": it.cancelling,
        "nodes": it.nodes,
        "base_layout": it.base_layout,
        "layout": it.layout,
        "by": it.by,
        "message": it.message,
        "reason": it.reason,
        "merged": it.merged,
        "requested_at_ms": it.requested_at_ms,
        "started_at_ms": it.started_at_ms,
        "finished_at_ms": it.finished_at_ms,
        "deadline_at_ms": it.deadline_at_ms,
        "max_rate_bytes": it.max_rate_bytes,
        "shed": it.shed,
        "moved": counts_json(&it.moved),
        "slots_left": it.slots_left,
        "keys_left": it.keys_left,
        "bytes_left": it.bytes_left,
        "bytes_per_second": it.bytes_per_second,
        "eta_ms": it.eta.map(|eta| eta.as_millis() as u64),
        "unanswered": it.unanswered,
        "pairs": it.pairs.iter().map(pair_json).collect::<Vec<_>>(),
    })
}

fn counts_json(counts: &MoveCounts) -> Value {
    json!({
        "slots": counts.slots, "keys": counts.keys, "bytes": counts.bytes,
        "sent": counts.sent, "acknowledged": counts.acknowledged,
        "skipped": counts.skipped, "failed": counts.failed,
        "failures": counts.failures, "shed": counts.shed,
    })
}

fn pair_json(pair: &PairProgress) -> Value {
    let batches = pair.batches.iter().map(|batch| {
        json!({
            "page": batch.page, "attempt": batch.attempt, "slots": batch.slots,
            "state": batch.state, "keys_sent": batch.keys_sent,
            "bytes_sent": batch.bytes_sent, "keys_total": batch.keys_total,
            "bytes_total": batch.bytes_total,
        })
    });
    json!({
        "from": pair.from,
        "to": pair.to,
        "moved": counts_json(&pair.moved),
        "slots_left": pair.slots_left,
        "keys_left": pair.keys_left,
        "bytes_left": pair.bytes_left,
        "bytes_per_second": pair.bytes_per_second,
        "retries": pair.tries,
        "blocked": pair.blocked,
        "blocked_for_ms": pair.blocked_for.as_millis() as u64,
        "last_error": pair.last_error,
        "next_try_in_ms": pair.next_try_in.as_millis() as u64,
        "throttled": pair.throttled,
        "batches": batches.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
