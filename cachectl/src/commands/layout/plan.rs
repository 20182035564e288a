//! A plan as it is shown. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_client::admin::{CheckResult, Plan, PlanCheck};
use cached_client::operations::OperationKind;
use serde_json::{Value, json};

use crate::args::layout::Percent;
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// A plan with its checks; `rate`: bytes per second that it would be bound to, 0: none.
pub(super) fn report(plan: &Plan, rate: u64) -> Report {
    let mut table = Table::new([
        text("TO"),
        number("SLOTS"),
        number("RANGES").wide(),
        number("KEYS").rank(1),
        number("SIZE"),
        number("MEM NOW"),
        number("MEM AFTER"),
        number("EST. EVICTIONS"),
        text("FROM").wide(),
    ]);
    let mut receivers: BTreeMap<&str, Receiver> = BTreeMap::new();
    for moved in &plan.moves {
        let receiver = receivers.entry(&moved.to).or_default();
        receiver.slots += moved.slots;
        receiver.ranges += moved.ranges;
        receiver.keys += moved.keys;
        receiver.bytes += moved.bytes;
        receiver.from.insert(&moved.from);
    }
    for (name, receiver) in &receivers {
        let told = plan.receivers.iter().find(|it| it.name == *name);
        let told = told.filter(|it| it.error.is_none());
        let memory = |see: fn(&cached_client::admin::PlanReceiver) -> u64| {
            told.map_or("?".to_owned(), |it| {
                units::percent(see(it), it.memory_limit_bytes)
            })
        };
        table.row([
            (*name).to_owned(),
            receiver.slots.to_string(),
            receiver.ranges.to_string(),
            units::count(receiver.keys),
            units::bytes(receiver.bytes),
            memory(|it| it.memory_used_bytes),
            memory(|it| it.memory_after_bytes),
            told.map_or("?".to_owned(), |it| units::count(it.evictions)),
            receiver.from.iter().copied().collect::<Vec<_>>().join(","),
        ]);
    }
    table.header = Some(headline(plan, rate));
    table.footer = Some(checks_line(&plan.checks));
    Report {
        body: Body::Table(table),
        json: plan_json(plan),
    }
}

#[derive(Default)]
struct Receiver<'a> {
    slots: u32,
    ranges: u32,
    keys: u64,
    bytes: u64,
    from: BTreeSet<&'a str>,
}

fn headline(plan: &Plan, rate: u64) -> String {
    let slots: u32 = plan.moves.iter().map(|it| it.slots).sum();
    let keys: u64 = plan.moves.iter().map(|it| it.keys).sum();
    let bytes: u64 = plan.moves.iter().map(|it| it.bytes).sum();
    let what = plan.operation.as_ref().map_or(String::new(), |operation| {
        let words = [operation.kind.to_string(), operation.nodes.join(" ")];
        format!(" — {}", words.join(" ").trim_end())
    });
    let id = if plan.id.is_empty() {
        "No plan"
    } else {
        &format!("Plan {}", plan.id)
    };
    let mut line = format!(
        "{id} @ layout {}{what}: {slots} slots, {} keys, {}",
        plan.base_layout,
        units::count(keys),
        units::bytes(bytes),
    );
    if rate > 0 && bytes > 0 {
        let time = Duration::from_secs(bytes.div_ceil(rate));
        let (time, rate) = (units::age(time), units::bytes(rate));
        line.push_str(&format!("  (about {time} at {rate}/s)"));
    }
    line
}

/// Each check in a few words; what is bad is in capitals, so that colour is not needed.
fn checks_line(checks: &[PlanCheck]) -> String {
    let word = |check: &PlanCheck| {
        let result = match check.result {
            CheckResult::Ok => "ok",
            CheckResult::Warning => "WARN",
            CheckResult::Refused => "REFUSED",
        };
        format!("{result} {}", check.detail)
    };
    // That slots move is what the whole plan shows.
    let shown = checks
        .iter()
        .filter(|check| check.name != "nothing-to-do" || check.result != CheckResult::Ok);
    let checks: Vec<String> = shown.map(word).collect();
    format!("Checks   {}", checks.join(" · "))
}

/// Why a plan must not be carried out.
pub(super) fn refusal(plan: &Plan) -> Option<CliError> {
    let refused: Vec<&PlanCheck> = plan
        .checks
        .iter()
        .filter(|check| check.result == CheckResult::Refused)
        .collect();
    let details: Vec<&str> = refused.iter().map(|check| check.detail.as_str()).collect();
    let first = refused.first()?;
    // Somebody else's change is in the way: later it will not be.
    let code = if refused.iter().all(|check| check.name == "operation") {
        Code::Conflict
    } else {
        Code::Refused
    };
    let error = CliError::new(code, format!("not done: {}", details.join("; ")));
    Some(match first.name.as_str() {
        "memory" => error.hint("add memory or nodes; or --shed drops the coldest entries"),
        "operation" => error.hint("`cachectl migrations watch` follows it; try again after it"),
        _ => error,
    })
}

/// The members of a plan that is not to be carried out by mistake: some of them end, and
/// the others have no room for everything. Whether one of several kinds of changes ends
/// members is not told, so it is treated as one that does.
pub(super) fn severe(plan: &Plan) -> Option<String> {
    let operation = plan.operation.as_ref()?;
    let ends = matches!(operation.kind, OperationKind::Remove | OperationKind::Mixed);
    let drops = plan.checks.iter().any(|check| {
        check.name == "memory" && check.result == CheckResult::Warning && check.shortfall_bytes > 0
    });
    (ends && drops).then(|| operation.nodes.join(","))
}

/// No slot moves, and nothing is noted either.
pub(super) fn nothing_to_do(plan: &Plan) -> bool {
    let nothing =
        |check: &PlanCheck| check.name == "nothing-to-do" && check.result != CheckResult::Ok;
    plan.moves.is_empty() && plan.checks.iter().any(nothing)
}

/// Says so if no node is further off the share that a plan gives it than the threshold,
/// which is a part of that share. `owned`: slots of each life of each node.
pub(super) fn even_enough(
    plan: &Plan,
    owned: &[(&str, u32)],
    threshold: Percent,
) -> Option<String> {
    if threshold.0 <= 0.0 || plan.moves.is_empty() {
        return None;
    }
    let mut change: BTreeMap<&str, i64> = BTreeMap::new();
    for moved in &plan.moves {
        *change.entry(&moved.from).or_default() -= i64::from(moved.slots);
        *change.entry(&moved.to).or_default() += i64::from(moved.slots);
    }
    let mut worst = (0.0, "");
    for (name, change) in change {
        let lives = owned.iter().filter(|(node, _)| *node == name);
        let owned: i64 = lives.map(|(_, slots)| i64::from(*slots)).sum();
        let share = owned + change;
        if share <= 0 {
            // It is to own none, and does.
            return None;
        }
        let off = change.unsigned_abs() as f64 * 100.0 / share as f64;
        if off > worst.0 {
            worst = (off, name);
        }
    }
    let (off, name) = worst;
    let fine = off <= threshold.0;
    fine.then(|| {
        format!("nothing to do: all nodes are within {threshold} of their share; {name} is {off:.1}% off")
    })
}

fn plan_json(plan: &Plan) -> Value {
    let moves = plan.moves.iter().map(|it| {
        json!({"from": it.from, "to": it.to, "slots": it.slots, "ranges": it.ranges,
               "keys": it.keys, "bytes": it.bytes})
    });
    let receivers = plan.receivers.iter().map(|it| {
        json!({"name": it.name, "keys": it.keys, "error": it.error,
               "memory_limit_bytes": it.memory_limit_bytes,
               "memory_used_bytes": it.memory_used_bytes,
               "memory_after_bytes": it.memory_after_bytes,
               "evictions": it.evictions})
    });
    let checks = plan.checks.iter().map(|it| {
        let result = match it.result {
            CheckResult::Ok => "ok",
            CheckResult::Warning => "warning",
            CheckResult::Refused => "refused",
        };
        json!({"name": it.name, "result": result, "detail": it.detail,
               "shortfall_bytes": it.shortfall_bytes})
    });
    json!({
        "kind": "plan",
        "name": plan.id,
        "base_layout": plan.base_layout,
        "moves": moves.collect::<Vec<_>>(),
        "receivers": receivers.collect::<Vec<_>>(),
        "checks": checks.collect::<Vec<_>>(),
        "operation": plan.operation.as_ref().map(super::migrations::operation_json),
    })
}

#[cfg(test)]
mod tests;
