//! Blacklist: who does not attempt whom, as a matrix and entry by entry. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_client::admin::BlacklistEntry;
use ratatui::layout::Rect;

use super::{draw_list, nodes, split};
use crate::top::list::{Cell, List, Row, Tone, number, text};
use crate::top::state::{Screen, State};
use crate::top::view::clock;
use crate::top::view::ink::{Ink, cut};
use crate::units;

/// Columns of one target in the matrix.
const CELL: u16 = 7;

/// Rows: entries.
pub fn list(state: &State) -> List {
    let data = state.shown();
    let since = state.now.since_start.saturating_sub(data.blacklist_at);
    let row = |entry: &BlacklistEntry| Row {
        id: format!("{}\n{}", entry.observer, entry.target),
        cells: vec![
            Cell::text(&entry.observer),
            Cell::text(&entry.target).tone(Tone::Warn),
            Cell::text(if entry.manual { "manual" } else { "auto" }),
            Cell::number(
                entry.failures.into(),
                if entry.manual {
                    "-".to_owned()
                } else {
                    entry.failures.to_string()
                },
            ),
            Cell::number(entry.since_ms as f64, clock(entry.since_ms)),
            time(entry.expires_in.saturating_sub(since)),
            time(entry.next_probe_in.saturating_sub(since)),
            Cell::text(if entry.manual {
                format!("{}: {}", entry.by, entry.reason)
            } else {
                entry.last_error.clone()
            }),
        ],
    };
    let columns = [
        text("OBSERVER", 0),
        text("TARGET", 0),
        text("SOURCE", 1),
        number("FAILURES", 3),
        number("SINCE", 4),
        number("EXPIRES", 1),
        number("PROBE", 5),
        text("WHY", 2),
    ];
    List::new(columns, data.blacklist.entries.iter().map(row).collect())
}

fn time(left: Duration) -> Cell {
    if left < Duration::from_secs(1) {
        return Cell::unknown("-");
    }
    Cell::number(
        left.as_secs_f64(),
        units::age(Duration::from_secs(left.as_secs())),
    )
}

/// Who is acted upon: the selected entry's target, or the selected node.
pub fn target(state: &State) -> Option<String> {
    if state.screen != Screen::Blacklist {
        return nodes::selected(state).map(|node| node.name.clone());
    }
    let list = super::list(state);
    let id = list.selected(state.choice())?.id.clone();
    id.split_once('\n').map(|(_, target)| target.to_owned())
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let observers = observers(state);
    let rows = if state.expanded || area.height < 12 {
        0
    } else {
        (observers.len() as u16 + 3).min(area.height / 2)
    };
    let (top, bottom) = split(area, rows);
    if rows > 0 {
        let hints = match state.shown().blacklist.unanswered.as_slice() {
            [] => "observer × target".to_owned(),
            silent => format!("not asked: {}", silent.join(", ")),
        };
        let inner = ink.panel(top, "Who does not attempt whom", &hints);
        draw_matrix(state, ink, inner, &observers);
    }
    draw_list(state, ink, bottom, "Entries");
}

/// Everybody who observes: members, and `*` for entries made by hand.
fn observers(state: &State) -> Vec<String> {
    let data = state.shown();
    let nodes = data.shape.iter().flat_map(|shape| &shape.nodes);
    let mut names: BTreeSet<String> = nodes.map(|node| node.name.clone()).collect();
    names.extend(
        data.blacklist
            .entries
            .iter()
            .map(|entry| entry.observer.clone()),
    );
    // With many members, those that blame somebody come first.
    let blames = |name: &String| {
        data.blacklist
            .entries
            .iter()
            .any(|entry| entry.observer == *name)
    };
    let (mut first, rest): (Vec<String>, Vec<String>) = names.into_iter().partition(blames);
    first.extend(rest);
    first
}

fn targets(state: &State) -> Vec<String> {
    let data = state.shown();
    let nodes = data.shape.iter().flat_map(|shape| &shape.nodes);
    let names: BTreeSet<String> = nodes.map(|node| node.name.clone()).collect();
    let blamed = |name: &String| {
        data.blacklist
            .entries
            .iter()
            .any(|entry| entry.target == *name)
    };
    let (mut first, rest): (Vec<String>, Vec<String>) = names.into_iter().partition(blamed);
    first.extend(rest);
    first
}

fn draw_matrix(state: &State, ink: &mut Ink<'_>, area: Rect, observers: &[String]) {
    let targets = targets(state);
    let names = 10.min(area.width);
    let shown = usize::from(area.width.saturating_sub(names) / CELL);
    let column = |index: usize| area.x + names + index as u16 * CELL;
    for (index, target) in targets.iter().take(shown).enumerate() {
        ink.text(
            area,
            column(index),
            area.y,
            &cut(target, CELL - 1),
            Tone::Strong,
        );
    }
    let entries = &state.shown().blacklist.entries;
    for (observer, y) in observers.iter().zip(area.y + 1..area.bottom()) {
        ink.text(area, area.x + 1, y, &cut(observer, names - 2), Tone::Strong);
        for (index, target) in targets.iter().take(shown).enumerate() {
            let entry = entries
                .iter()
                .find(|it| it.observer == *observer && it.target == *target);
            let (tone, text) = match entry {
                Some(entry) if entry.manual => (Tone::Warn, "manual".to_owned()),
                Some(entry) => (Tone::Bad, format!("{} fail", entry.failures)),
                None if observer == target => (Tone::Dim, " ".to_owned()),
                None => (Tone::Dim, "·".to_owned()),
            };
            ink.text(area, column(index), y, &text, tone);
        }
    }
}
