//! Migrations: every operation in a row, the selected one pair by pair, with what it
//! waits for. Pure.

use std::time::Duration;

use cached_client::admin::{Operation, PairProgress};
use cached_client::operations::OperationState;
use ratatui::layout::Rect;

use super::{draw_list, split};
use crate::commands::layout::progress;
use crate::top::effect::rate;
use crate::top::keys::Action;
use crate::top::list::{Cell, List, Row, Tone, number, text};
use crate::top::state::{Screen, State};
use crate::top::view::clock;
use crate::top::view::ink::{Ink, bar};
use crate::units;

/// Batches under way that are named.
const BATCHES_SHOWN_MAX: usize = 8;

/// Rows: operations, the open one first.
pub fn list(state: &State) -> List {
    let operations = state.shown().operations_by_age();
    let row = |it: &&Operation| {
        let share = progress::share(it, true);
        let done = share.map_or(-1.0, |(done, all)| done as f64 / all.max(1) as f64);
        Row {
            id: it.id.clone(),
            cells: vec![
                Cell::text(&it.id),
                Cell::text(it.kind.to_string()),
                Cell::text(it.nodes.join(",")),
                Cell::text(word(it)).tone(tone(it)),
                Cell::number(done, progress::percent(it, true)),
                Cell::number(it.moved.slots as f64, it.moved.slots.to_string()),
                Cell::number(it.moved.keys as f64, units::count(it.moved.keys)),
                Cell::number(it.moved.bytes as f64, units::bytes(it.moved.bytes)),
                Cell::number(it.requested_at_ms as f64, clock(it.requested_at_ms)),
                Cell::text(&it.by),
                Cell::text(if it.reason.is_empty() {
                    &it.message
                } else {
                    &it.reason
                }),
            ],
        }
    };
    let columns = [
        text("ID", 0),
        text("KIND", 0),
        text("NODES", 2),
        text("STATE", 0),
        number("DONE", 0),
        number("SLOTS", 4),
        number("KEYS", 4),
        number("SIZE", 4),
        number("ASKED", 3),
        text("BY", 5),
        text("WHY", 6),
    ];
    List::new(columns, operations.iter().map(row).collect())
}

fn word(it: &Operation) -> String {
    if it.cancelling {
        "cancelling".to_owned()
    } else {
        it.state.to_string()
    }
}

fn tone(it: &Operation) -> Tone {
    match it.state {
        OperationState::Failed | OperationState::Refused => Tone::Bad,
        OperationState::Done => Tone::Good,
        OperationState::Cancelled => Tone::Dim,
        _ => Tone::Warn,
    }
}

/// The operation that is acted upon: the selected one, elsewhere the open one.
pub fn chosen(state: &State) -> Option<&Operation> {
    if state.screen != Screen::Migrations {
        return state.data.open_operation();
    }
    let list = super::list(state);
    let id = &list.selected(state.choice())?.id;
    state.data.operations.get(id)
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let list = super::list(state);
    let selected = list.selected(state.choice()).map(|row| row.id.clone());
    let operation = selected.and_then(|id| state.shown().operations.get(&id));
    let Some(operation) = operation.filter(|_| area.height >= 10) else {
        return draw_list(state, ink, area, "Migrations");
    };
    let rows = if state.expanded {
        0
    } else {
        (list.rows.len() as u16 + 3).min(area.height / 3).max(5)
    };
    let (top, bottom) = split(area, rows);
    draw_list(state, ink, top, "Migrations");
    draw_one(state, ink, bottom, operation);
}

/// Lines that one operation takes: its head, the whole, each pair.
pub fn lines(operation: &Operation) -> u16 {
    operation.pairs.len() as u16 + 2
}

/// Draws one operation: its head, the whole, each pair, and what is under way.
pub fn draw_one(state: &State, ink: &mut Ink<'_>, area: Rect, it: &Operation) {
    if area.height < 3 {
        return;
    }
    let title = format!(
        "{} {} {}",
        it.id,
        it.kind.name().to_uppercase(),
        it.nodes.join(" ")
    );
    let hints = if area.width >= 100 && !it.state.is_final() {
        state.keys.hints(&[
            (&[Action::Pause], "pause"),
            (&[Action::Cancel], "cancel"),
            (&[Action::Faster, Action::Slower], "rate"),
        ])
    } else {
        rate(it.bytes_per_second)
    };
    let inner = ink.panel(area, &title, &hints);
    let mut y = inner.y;
    if inner.height as usize > it.pairs.len() + 1 || area.width >= 100 {
        ink.text(inner, inner.x, y, &head(it), Tone::Normal);
        y += 1;
    }
    let (done, all) = progress::share(it, true).unwrap_or_default();
    let whole = (done as f64) / (all.max(1) as f64);
    let percent = progress::percent(it, true);
    gauge(
        ink,
        inner,
        y,
        ("total", Tone::Strong),
        whole,
        &percent,
        &[(Tone::Normal, tail(it, inner.width))],
    );
    y += 1;
    for pair in &it.pairs {
        if y >= inner.bottom() {
            break;
        }
        draw_pair(state, ink, inner, y, pair);
        y += 1;
    }
    draw_rest(ink, inner, y, it);
}

fn draw_pair(state: &State, ink: &mut Ink<'_>, area: Rect, y: u16, pair: &PairProgress) {
    let nodes = state.shown().shape.iter().flat_map(|shape| &shape.nodes);
    let receiver = nodes.into_iter().position(|node| node.name == pair.to);
    let tone = receiver.map_or(Tone::Normal, |index| Tone::Node(index as u16));
    let done = pair.moved.slots;
    let all = done + u64::from(pair.slots_left);
    let part = done as f64 / all.max(1) as f64;
    let mut text = format!("{done}/{all} slots");
    if pair.bytes_per_second > 0 {
        text = format!("{:<12}  {text}", rate(pair.bytes_per_second));
    }
    let trouble = progress::trouble(pair);
    let pieces = [(Tone::Normal, text), (Tone::Warn, format!("  {trouble}"))];
    let name = format!("{}→{}", pair.from, pair.to);
    gauge(
        ink,
        area,
        y,
        (&name, tone),
        part,
        &units::percent(done, all),
        &pieces,
    );
}

fn gauge(
    ink: &mut Ink<'_>,
    area: Rect,
    y: u16,
    (name, tone): (&str, Tone),
    part: f64,
    percent: &str,
    pieces: &[(Tone, String)],
) {
    let cells = if area.width >= 100 {
        40
    } else {
        (area.width / 3).clamp(4, 30)
    };
    let x = ink.text(area, area.x, y, &format!(" {name:<8} "), tone);
    let x = ink.text(area, x, y, &bar(part, cells), tone);
    let mut x = ink.text(area, x, y, &format!(" {percent:>6}  "), Tone::Strong);
    for (tone, text) in pieces {
        x = ink.text(area, x, y, text, *tone);
    }
}

fn head(it: &Operation) -> String {
    let mut parts = vec![word(it), format!("by {}", it.by)];
    if it.requested_at_ms > 0 {
        parts.push(format!("at {}", clock(it.requested_at_ms)));
    }
    parts.push(format!("layout {}→{}", it.base_layout, it.layout));
    parts.push(format!("cap {}", rate(it.max_rate_bytes)));
    if !it.message.is_empty() {
        parts.push(format!("\"{}\"", it.message));
    }
    if !it.reason.is_empty() {
        parts.push(it.reason.clone());
    }
    if !it.unanswered.is_empty() {
        parts.push(format!("no answer of {}", it.unanswered.join(", ")));
    }
    format!(" {}", parts.join("  "))
}

fn tail(it: &Operation, width: u16) -> String {
    let mut parts = Vec::new();
    if it.state == OperationState::Paused {
        parts.push("paused".to_owned());
    }
    if let Some(eta) = it.eta {
        parts.push(format!(
            "ETA {}",
            units::age(eta.max(Duration::from_secs(1)))
        ));
    }
    if it.bytes_per_second > 0 {
        parts.push(rate(it.bytes_per_second));
    }
    if width >= 70 {
        let keys = it.moved.keys;
        parts.push(format!(
            "{}/{} keys",
            units::count(keys),
            units::count(keys + it.keys_left)
        ));
        let bytes = it.moved.bytes;
        parts.push(format!(
            "{} of {}",
            units::bytes(bytes),
            units::bytes(bytes + it.bytes_left)
        ));
    }
    if it.moved.failures > 0 {
        parts.push(format!("{} failures", it.moved.failures));
    }
    parts.join("  ")
}

/// Batches under way, and what was merged, as far as there is room.
fn draw_rest(ink: &mut Ink<'_>, area: Rect, mut y: u16, it: &Operation) {
    let batches = it
        .pairs
        .iter()
        .flat_map(|pair| pair.batches.iter().map(move |batch| (pair, batch)));
    let batches = batches.take(BATCHES_SHOWN_MAX).map(|(pair, batch)| {
        format!(
            "   {}→{}  page {} ({} slots, try {}): {}, {}/{} keys",
            pair.from,
            pair.to,
            batch.page,
            batch.slots.len(),
            batch.attempt,
            batch.state,
            units::count(batch.keys_sent),
            units::count(batch.keys_total),
        )
    });
    let merged = it.merged.iter().map(|text| format!("   merged: {text}"));
    for line in batches.chain(merged) {
        if y >= area.bottom() {
            return;
        }
        ink.text(area, area.x, y, &line, Tone::Dim);
        y += 1;
    }
}
