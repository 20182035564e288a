//! Keys: the hottest ones, and one that was looked up. Pure.

use ratatui::layout::Rect;

use super::{draw_list, split};
use crate::top::keys::Action;
use crate::top::list::{Cell, List, Row, Tone, number, text};
use crate::top::message::{Found, HotKey};
use crate::top::state::{Screen, State};
use crate::top::view::ink::{Ink, Piece, cut};
use crate::top::view::table;
use crate::units;

/// Rows of the panel with what was looked up.
const FOUND_ROWS: u16 = 7;

/// A key that has this part of everything weighs on its node alone: no other can help.
const HEAVY: f64 = 0.05;

/// Hot keys, hottest first.
pub fn hot(state: &State) -> Vec<Row> {
    let data = state.shown();
    let nodes = || data.shape.iter().flat_map(|shape| &shape.nodes);
    let row = |key: &HotKey| {
        let owner = nodes().position(|node| node.name == key.node);
        let tone = owner.map_or(Tone::Normal, |index| Tone::Node(index as u16));
        let heavy = key.share >= HEAVY;
        Row {
            id: format!("{}\n{}", key.group, key.key),
            cells: vec![
                Cell::text(&key.key).tone(if heavy { Tone::Strong } else { Tone::Normal }),
                Cell::text(&key.group),
                Cell::number(
                    key.ops_per_second,
                    units::count(key.ops_per_second.round() as u64),
                ),
                Cell::number(key.share, format!("{:.1}%", key.share * 100.0)),
                Cell::text(&key.node).tone(tone),
                Cell::number(key.value_bytes as f64, units::bytes(key.value_bytes)),
                Cell::text(if heavy { "hot" } else { "" }).tone(Tone::Warn),
            ],
        }
    };
    data.hot_keys.iter().map(row).collect()
}

/// Rows: hot keys.
pub fn list(state: &State) -> List {
    let columns = [
        text("KEY", 0),
        text("GROUP", 2),
        number("OPS/S", 0),
        number("SHARE", 1),
        text("OWNER", 1),
        number("SIZE", 3),
        text("NOTE", 4),
    ];
    List::new(columns, hot(state))
}

/// Group and key of the selected row.
pub fn selected(state: &State) -> Option<(String, String)> {
    if state.screen != Screen::Keys {
        return None;
    }
    let list = super::list(state);
    let id = &list.selected(state.choice())?.id;
    let known = state.data.hot_keys.iter();
    let mut known = known.filter(|key| format!("{}\n{}", key.group, key.key) == *id);
    // What is only its beginning, or not text, is another key.
    let key = known.find(|key| key.exact)?;
    Some((key.group.clone(), key.key.clone()))
}

/// Group and key that are acted upon: looked up last, else selected.
pub fn chosen(state: &State) -> Option<(String, String)> {
    let found = state.found.as_ref();
    let found = found.map(|found| (found.group.clone(), found.key.clone()));
    found.or_else(|| selected(state))
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let rows = if state.expanded { 0 } else { FOUND_ROWS };
    let (top, bottom) = split(area, area.height.saturating_sub(rows));
    draw_list(state, ink, top, "Hot keys, 1m");
    if bottom.height == 0 {
        return;
    }
    let hints = state.keys.hints(&[
        (&[Action::Locate], "look up"),
        (&[Action::Set], "set"),
        (&[Action::Delete], "delete"),
    ]);
    let inner = ink.panel(bottom, "Looked up", &hints);
    match &state.found {
        None => {
            ink.text(
                inner,
                inner.x + 1,
                inner.y,
                "l looks a key up: owner, slot, value",
                Tone::Dim,
            );
        }
        Some(found) => {
            for (line, y) in about(found).iter().zip(inner.top()..inner.bottom()) {
                ink.line(inner, y, line);
            }
        }
    }
}

/// What is known of a key.
fn about(found: &Found) -> Vec<Vec<Piece>> {
    let line = |label: &str, text: String| {
        vec![(Tone::Dim, format!(" {label:<6} ")), (Tone::Normal, text)]
    };
    let group = if found.group.is_empty() {
        String::new()
    } else {
        format!("  group {}", found.group)
    };
    let owner = if found.owner.is_empty() {
        "nobody"
    } else {
        &found.owner
    };
    let mut lines = vec![
        line("key", format!("{}{group}", found.key)),
        line(
            "owner",
            format!(
                "{owner}  slot {}  range {}–{}  vnode {}  next {}",
                found.slot,
                found.range.0,
                found.range.1,
                found.virtual_node,
                found.next.join(", ")
            ),
        ),
    ];
    match &found.entry {
        None if found.problem.is_empty() => lines.push(line("value", "not there".to_owned())),
        None => lines.push(line("value", found.problem.clone())),
        Some(entry) => {
            let ttl = entry.ttl.map_or("never expires".to_owned(), |ttl| {
                format!("ttl {}", units::age(ttl))
            });
            let text = format!(
                "{}  {ttl}  version {}",
                units::bytes(entry.bytes),
                entry.version
            );
            lines.push(line("entry", text));
            lines.push(line("value", cut(&entry.preview, 200)));
        }
    }
    lines
}

/// Draws the hottest keys, where there are some.
pub fn draw_hot(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let list = list(state);
    if area.height < 3 {
        return;
    }
    let inner = ink.panel(area, "Hot keys (1m)", "");
    table::draw(ink, inner, &list, None, false);
}
