//! Nodes: every member in a row, the selected one in detail. Pure.

use std::time::Duration;

use cached_client::admin::NodeStats;
use ratatui::layout::Rect;

use super::{draw_list, split};
use crate::top::keys::Action;
use crate::top::list::{Cell, Column, List, Row, Tone, number, text, wide};
use crate::top::shape::{Node, NodeState, SLOTS};
use crate::top::state::{Screen, State};
use crate::top::view::ink::{Ink, Piece};
use crate::units;

const COLUMNS: [Column; 17] = [
    text("NODE", 0),
    text("STATE", 0),
    text("ADDR", 5),
    number("OWNS", 1),
    number("KEYS", 2),
    number("MEM", 1),
    number("OPS/S", 1),
    number("HIT%", 2),
    number("P99MS", 1),
    number("EVICT/S", 6),
    number("CPU%", 4),
    number("AGE", 6),
    wide(number("WEIGHT", 7)),
    wide(number("RSS", 7)),
    wide(text("ZONE", 8)),
    wide(text("VERSION", 9)),
    text("NOTE", 3),
];

/// Rows: the members.
pub fn list(state: &State) -> List {
    let data = state.shown();
    let nodes = data.shape.iter().flat_map(|shape| &shape.nodes).enumerate();
    let rows: Vec<Row> = nodes.map(|(index, node)| row(state, index, node)).collect();
    let mut columns = COLUMNS.to_vec();
    if rows.iter().all(|row| row.cells[16].text.is_empty()) {
        columns[16].wide = true;
    }
    List::new(columns, rows)
}

fn row(state: &State, index: usize, node: &Node) -> Row {
    let data = state.shown();
    let stats = data
        .stats
        .get(&node.incarnation)
        .filter(|it| it.error.is_none());
    let rates = data.rates.get(&node.incarnation);
    let blank = if node.state == NodeState::Down {
        "-"
    } else {
        "?"
    };
    let of = |see: &dyn Fn(&NodeStats) -> Cell| stats.map_or_else(|| Cell::unknown(blank), see);
    let rate = |see: &dyn Fn(f64) -> Cell, value: Option<f64>| {
        value.map_or_else(|| Cell::unknown("-"), see)
    };
    let count = |value: f64| Cell::number(value, units::count(value.round() as u64));
    let percent = |value: f64| Cell::number(value, format!("{:.1}", value * 100.0));
    let keys = |it: &NodeStats| it.groups.iter().map(|group| group.keys).sum::<u64>();
    let slots = f64::from(node.slots);
    Row {
        id: node.id(),
        cells: vec![
            Cell::text(&node.name).tone(Tone::Node(index as u16)),
            state_cell(state, node),
            Cell::text(or_dash(&node.address)).tone(Tone::Dim),
            Cell::number(slots, units::percent(node.slots.into(), SLOTS as u64)),
            of(&|it| Cell::number(keys(it) as f64, units::count(keys(it)))),
            of(&memory),
            rate(&count, rates.map(|it| it.operations)),
            rate(
                &percent,
                rates.and_then(super::super::data::Rates::hit_ratio),
            ),
            p99(rates.and_then(|it| it.p99)),
            rate(&count, rates.map(|it| it.evictions)),
            rate(&percent, rates.map(|it| it.cpu)),
            age(state, node),
            Cell::number(node.weight.into(), node.weight.to_string()),
            of(&|it| Cell::number(it.resident_bytes as f64, units::bytes(it.resident_bytes))),
            Cell::text(or_dash(&node.zone)),
            Cell::text(or_dash(&node.version)),
            note(state, node),
        ],
    }
}

fn p99(took: Option<Duration>) -> Cell {
    took.map_or_else(
        || Cell::unknown("-"),
        |it| Cell::number(it.as_secs_f64(), units::millis(it)),
    )
}

fn memory(stats: &NodeStats) -> Cell {
    let (used, limit) = (stats.memory_used_bytes, stats.memory_limit_bytes);
    let part = if limit == 0 {
        0.0
    } else {
        used as f64 / limit as f64
    };
    Cell::number(part, format!("{:.0}%", part * 100.0)).bar(part)
}

fn age(state: &State, node: &Node) -> Cell {
    if node.state == NodeState::Down || node.started_ms == 0 {
        return Cell::unknown("-");
    }
    let ms = state.now.unix_ms.saturating_sub(node.started_ms);
    let text = match ms {
        0..1000 => "0s".to_owned(),
        ms => units::age(Duration::from_millis(ms)),
    };
    Cell::number(ms as f64, text)
}

/// How long a node is down by now.
pub fn down_for(state: &State, node: &Node) -> Duration {
    let told = Duration::from_millis(node.down_for_ms);
    let since = state.now.since_start.saturating_sub(state.shown().shape_at);
    told + if state.held.is_some() {
        Duration::ZERO
    } else {
        since
    }
}

fn state_cell(state: &State, node: &Node) -> Cell {
    let word = node.state.name();
    let (text, tone) = match node.state {
        NodeState::Down => (
            format!("{word} {}s", down_for(state, node).as_secs()),
            Tone::Bad,
        ),
        NodeState::Up => (word.to_owned(), Tone::Good),
        NodeState::Draining | NodeState::Joining => (word.to_owned(), Tone::Warn),
        NodeState::Drained | NodeState::Standby | NodeState::Gone => (word.to_owned(), Tone::Dim),
    };
    Cell::text(text).tone(tone)
}

/// What there is to say: why it is down, who does not attempt it, why it has no counters.
fn note(state: &State, node: &Node) -> Cell {
    let data = state.shown();
    let mut notes = Vec::new();
    if !node.detail.is_empty() {
        notes.push(node.detail.clone());
    }
    if node.state != NodeState::Down {
        let error = data
            .stats
            .get(&node.incarnation)
            .and_then(|it| it.error.as_deref());
        notes.extend(error.map(|error| format!("no counters: {error}")));
    }
    let about = data
        .blacklist
        .entries
        .iter()
        .filter(|entry| entry.target == node.name);
    let (by_hand, blame): (Vec<_>, Vec<_>) = about.partition(|entry| entry.manual);
    if !blame.is_empty() {
        notes.push(format!(
            "blacklisted by {} of {}",
            blame.len(),
            data.count(NodeState::Up)
        ));
    }
    if !by_hand.is_empty() {
        notes.push("blacklisted by hand".to_owned());
    }
    Cell::text(notes.join("; ")).tone(Tone::Warn)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The selected node of the screens that list nodes.
pub fn selected(state: &State) -> Option<&Node> {
    if !matches!(state.screen, Screen::Overview | Screen::Nodes) {
        return None;
    }
    let list = super::list(state);
    let id = &list.selected(state.choice())?.id;
    let shape = state.data.shape.as_ref()?;
    shape.nodes.iter().find(|node| node.id() == *id)
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let details = selected(state).map(|node| details(state, node));
    let Some(details) = details.filter(|_| area.height >= 16 && !state.expanded) else {
        draw_list(state, ink, area, "Nodes");
        return;
    };
    let rows = details.len() as u16 + 2;
    let (top, bottom) = split(area, area.height.saturating_sub(rows).max(6));
    draw_list(state, ink, top, "Nodes");
    let name = selected(state).map_or("", |node| &node.name);
    let hint = state.keys.hints(&[(&[Action::Expand], "list alone")]);
    let inner = ink.panel(bottom, name, &hint);
    for (line, y) in details.iter().zip(inner.top()..inner.bottom()) {
        ink.line(inner, y, line);
    }
}

/// Everything about one node.
fn details(state: &State, node: &Node) -> Vec<Vec<Piece>> {
    let line = |label: &str, text: String| {
        vec![(Tone::Dim, format!(" {label:<9} ")), (Tone::Normal, text)]
    };
    let mut lines = vec![
        line(
            "node",
            format!(
                "{} {} {}  weight {}  zone {}  version {}  incarnation {}",
                node.name,
                node.state.name(),
                or_dash(&node.address),
                node.weight,
                or_dash(&node.zone),
                or_dash(&node.version),
                node.incarnation
            ),
        ),
        line(
            "slots",
            format!(
                "{} ({})",
                node.slots,
                units::percent(node.slots.into(), SLOTS as u64)
            ),
        ),
    ];
    if !node.detail.is_empty() {
        lines.push(line("why", node.detail.clone()));
    }
    let data = state.shown();
    if let Some(it) = data.stats.get(&node.incarnation) {
        lines.extend(
            counters(it)
                .into_iter()
                .map(|(label, text)| line(label, text)),
        );
    }
    let about = data
        .blacklist
        .entries
        .iter()
        .filter(|entry| entry.target == node.name);
    for entry in about.take(3) {
        let why = if entry.manual {
            &entry.reason
        } else {
            &entry.last_error
        };
        lines.push(line("blamed", format!("by {}: {why}", entry.observer)));
    }
    lines
}

fn counters(it: &NodeStats) -> Vec<(&'static str, String)> {
    if let Some(error) = &it.error {
        return vec![("counters", format!("not told: {error}"))];
    }
    let requests = &it.requests;
    let count = units::count;
    vec![
        (
            "memory",
            format!(
                "{} of {} ({})  process {}  staged {}",
                units::bytes(it.memory_used_bytes),
                units::bytes(it.memory_limit_bytes),
                units::percent(it.memory_used_bytes, it.memory_limit_bytes),
                units::bytes(it.resident_bytes),
                units::bytes(it.staged_bytes)
            ),
        ),
        (
            "requests",
            format!(
                "rest {}  grpc {}  resp {}  peers {}  passed on {}  retries {}  failed {}",
                count(requests.rest),
                count(requests.grpc),
                count(requests.resp),
                count(requests.peer),
                count(requests.forwarded),
                count(requests.retries),
                count(requests.failures)
            ),
        ),
        (
            "now",
            format!(
                "connections {}  waiting for moves {}",
                requests.connections, it.parked
            ),
        ),
        (
            "lost",
            format!(
                "{} slots taken over empty  {} keys dropped for want of room",
                it.slots_lost,
                count(it.keys_shed)
            ),
        ),
    ]
}
