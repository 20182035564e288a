//! How far an operation is, as bars, as a line, and as records. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_client::admin::{Operation, PairProgress};
use cached_client::operations::OperationState;
use serde_json::{Value, json};

use crate::output::format::API_VERSION;
use crate::units;

/// Most pairs that are drawn: more do not fit a terminal.
const PAIRS_DRAWN_MAX: usize = 12;

/// What people and terminals can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// Bars of blocks; else of number signs.
    pub(super) unicode: bool,
}

/// A line for the whole, and one for each pair that is not done.
pub(super) fn bars(operation: &Operation, look: Look) -> Vec<String> {
    let arrow = if look.unicode { "→" } else { ">" };
    let name = |pair: &PairProgress| format!("{}{arrow}{}", pair.from, pair.to);
    let unfinished = operation.pairs.iter().filter(|pair| pair.slots_left > 0);
    let unfinished: Vec<&PairProgress> = unfinished.collect();
    let shown = &unfinished[..unfinished.len().min(PAIRS_DRAWN_MAX)];
    let names = shown.iter().map(|pair| name(pair).chars().count());
    let label = names.chain([5]).max().unwrap_or(5);
    let cells = (look.width / 3).clamp(8, 32);
    let line = |label_text: &str, done: u64, all: u64, percent: &str, rest: &str| {
        let bar = bar(done, all, cells, look.unicode);
        format!(" {label_text:<label$}  {bar}  {percent:>6}  {rest}")
    };
    let (done, all) = share(operation, true).unwrap_or_default();
    let all_told = percent(operation, true);
    let mut lines = vec![line("total", done, all, &all_told, &whole(operation))];
    for pair in shown {
        let done = pair.moved.slots;
        let all = done + u64::from(pair.slots_left);
        let rest = [format!("{done}/{all} slots"), trouble(pair)].join("  ");
        let percent = units::percent(done, all);
        lines.push(line(&name(pair), done, all, &percent, rest.trim_end()));
    }
    if unfinished.len() > shown.len() {
        lines.push(format!(" and {} more", unfinished.len() - shown.len()));
    }
    lines
}

/// One line, for logs and pipes.
pub(super) fn line(operation: &Operation) -> String {
    let percent = percent(operation, true);
    let slots = match share(operation, true) {
        Some((done, all)) => format!("{done}/{all} slots"),
        None => format!("{} slots", operation.moved.slots),
    };
    let mut text = format!(
        "{} {}  {percent}  {slots}  {}",
        operation.id,
        operation.state,
        whole(operation)
    );
    for pair in &operation.pairs {
        let trouble = trouble(pair);
        if pair.slots_left > 0 && !trouble.is_empty() {
            text.push_str(&format!("  {}→{}: {trouble}", pair.from, pair.to));
        }
    }
    text
}

/// Slots that have moved, and all; `None`: nobody knows how many are left, because it
/// ended before, has not begun, or no node said it (`told`).
pub(crate) fn share(operation: &Operation, told: bool) -> Option<(u64, u64)> {
    let done = operation.moved.slots;
    let state = operation.state;
    let known = state == OperationState::Done || state.is_open() && told;
    known.then(|| (done, done + u64::from(operation.slots_left)))
}

/// How far it is; `-`: nobody knows.
pub(crate) fn percent(operation: &Operation, told: bool) -> String {
    let (done, all) = share(operation, told).unwrap_or_default();
    units::percent(done, all)
}

fn whole(operation: &Operation) -> String {
    let keys = operation.moved.keys;
    let mut parts = vec![format!(
        "{}/{} keys",
        units::count(keys),
        units::count(keys + operation.keys_left)
    )];
    if operation.bytes_per_second > 0 {
        parts.push(format!("{}/s", units::bytes(operation.bytes_per_second)));
    }
    if let Some(eta) = operation.eta {
        parts.push(format!("ETA {}", units::age(eta)));
    }
    if operation.state == OperationState::Paused {
        parts.push("paused".to_owned());
    }
    if operation.cancelling {
        parts.push("being cancelled".to_owned());
    }
    if !operation.unanswered.is_empty() {
        parts.push(format!("no answer of {}", operation.unanswered.join(", ")));
    }
    parts.join("  ")
}

/// What a pair waits for, why, since when, and when it is tried again; empty: nothing.
pub(crate) fn trouble(pair: &PairProgress) -> String {
    let mut parts = Vec::new();
    // A sender may name the error of its last try as what it waits for.
    if !pair.blocked.is_empty() && (pair.tries == 0 || pair.blocked != pair.last_error) {
        let since = units::age(pair.blocked_for);
        parts.push(format!("waits for {since}: {}", pair.blocked));
    }
    if pair.tries > 0 {
        let word = if pair.tries == 1 { "retry" } else { "retries" };
        let since = match pair.blocked_for {
            Duration::ZERO => String::new(),
            since => format!(" in {}", units::age(since)),
        };
        let mut text = format!("{} {word}{since}: {}", pair.tries, pair.last_error);
        if pair.next_try_in > Duration::ZERO {
            text.push_str(&format!(", next in {}", units::age(pair.next_try_in)));
        }
        parts.push(text);
    }
    if pair.throttled {
        parts.push("writers wait".to_owned());
    }
    parts.join("; ")
}

/// A bar of so many cells, in eighths of a cell.
fn bar(done: u64, all: u64, cells: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = match all {
        0 => 0,
        all => (u128::from(done.min(all)) * cells as u128 * 8 / u128::from(all)) as usize,
    };
    let (full, part) = (eighths / 8, eighths % 8);
    if !unicode {
        return format!("[{}{}]", "#".repeat(full), ".".repeat(cells - full));
    }
    let rest = cells - full - usize::from(part > 0);
    format!("{}{}{}", "█".repeat(full), EIGHTHS[part], "░".repeat(rest))
}

/// What was told last, so that only changes are told again.
#[derive(Debug, Default)]
pub(super) struct Told {
    pairs: BTreeMap<(String, String), Value>,
    whole: Option<Value>,
}

impl Told {
    /// A record for each pair that changed, and one for the whole if it changed; those
    /// have no `from` and `to`. `at`: when, RFC 3339.
    pub(super) fn records(&mut self, operation: &Operation, sequence: u64, at: &str) -> Vec<Value> {
        let mut records = Vec::new();
        for pair in &operation.pairs {
            let facts = pair_facts(pair);
            let key = (pair.from.clone(), pair.to.clone());
            if self.pairs.get(&key) != Some(&facts) {
                self.pairs.insert(key, facts.clone());
                let rate = pair.bytes_per_second;
                records.push(record(operation, sequence, at, facts, rate, None));
            }
        }
        let facts = whole_facts(operation);
        if self.whole.as_ref() != Some(&facts) {
            self.whole = Some(facts.clone());
            let (rate, eta) = (operation.bytes_per_second, operation.eta);
            records.push(record(operation, sequence, at, facts, rate, eta));
        }
        records
    }

    /// Whether anything is to be said in a log: the same rule as for records.
    pub(super) fn changes(&mut self, operation: &Operation) -> bool {
        !self.records(operation, 0, "").is_empty()
    }
}

fn pair_facts(pair: &PairProgress) -> Value {
    json!({
        "from": pair.from, "to": pair.to,
        "slots": pair.moved.slots, "slots_left": pair.slots_left,
        "keys": pair.moved.keys, "bytes": pair.moved.bytes,
        "failures": pair.moved.failures, "shed": pair.moved.shed,
        "retries": pair.tries, "blocked": pair.blocked, "last_error": pair.last_error,
    })
}

fn whole_facts(operation: &Operation) -> Value {
    let moved = &operation.moved;
    json!({
        "from": null, "to": null,
        "slots": moved.slots, "slots_left": operation.slots_left,
        "keys": moved.keys, "bytes": moved.bytes,
        "failures": moved.failures, "shed": moved.shed,
        "state": operation.state.to_string(), "cancelling": operation.cancelling,
        "reason": operation.reason,
    })
}

/// What a record holds beside the facts: estimates do not make it a change.
fn record(
    operation: &Operation,
    sequence: u64,
    at: &str,
    facts: Value,
    bytes_per_second: u64,
    eta: Option<Duration>,
) -> Value {
    let mut record = json!({
        "apiVersion": API_VERSION,
        "seq": sequence,
        "op": operation.id,
        "kind": operation.kind.to_string(),
        "state": operation.state.to_string(),
        "bytes_per_second": bytes_per_second,
        "eta_ms": eta.map(|eta| eta.as_millis() as u64),
        "at": at,
    });
    if let (Value::Object(record), Value::Object(facts)) = (&mut record, facts) {
        record.extend(facts);
    }
    record
}

#[cfg(test)]
mod tests;
