//! Ring: the circle, the strip, every range, and what the last layout changed. Pure.

use ratatui::layout::Rect;

use super::{draw_list, split, split_right};
use crate::top::list::{Cell, List, Row, Tone, number, text};
use crate::top::shape::{SLOTS, Shape};
use crate::top::state::State;
use crate::top::view::ink::{Ink, Piece};
use crate::top::view::{circle, strip};
use crate::units;

/// Rows: runs of slots with one owner.
pub fn list(state: &State) -> List {
    let data = state.shown();
    let Some(shape) = &data.shape else {
        return List::default();
    };
    let moving = data.moving();
    let name = |owner: u16| {
        shape
            .nodes
            .get(usize::from(owner))
            .map_or("nobody", |it| it.name.as_str())
    };
    let rows = shape.runs.iter().map(|run| {
        let to = moving.range(run.first..=run.last).next();
        Row {
            id: run.first.to_string(),
            cells: vec![
                Cell::number(-f64::from(run.first), format!("{}–{}", run.first, run.last)),
                Cell::number(
                    f64::from(run.last - run.first) + 1.0,
                    (run.last - run.first + 1).to_string(),
                ),
                Cell::text(name(run.owner)).tone(Tone::Node(run.owner)),
                Cell::text(to.map_or("", |(_, to)| name(*to))).tone(Tone::Warn),
            ],
        }
    });
    let columns = [
        number("RANGE", 0),
        number("SLOTS", 1),
        text("OWNER", 0),
        text("MOVING TO", 2),
    ];
    List::new(columns, rows.collect())
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if state.expanded {
        return draw_list(state, ink, area, "Ranges");
    }
    let data = state.shown();
    let mark = state.found.as_ref().map(|found| found.slot);
    let (top, rest) = split(area, 4);
    let inner = ink.panel(top, "Ring", &summary(data.shape.as_ref()));
    strip::draw(ink, inner, data, mark);
    let legend = strip::legend(data, usize::from(inner.width));
    ink.text(inner, inner.x, inner.y + 1, &legend, Tone::Dim);
    let room = area.width >= 76 && rest.height >= circle::SMALLEST.1 + 2;
    let (left, right) = split_right(rest, if room { 36 } else { 0 });
    if room {
        let inner = ink.panel(left, "Circle", &located(state));
        circle::draw(ink, inner, data, mark, state.look.ascii);
        let changes = changes(state);
        let rows = (changes.len() as u16 + 2).min(right.height / 2);
        let (ranges, diff) = split(right, right.height - rows);
        draw_list(state, ink, ranges, "Ranges");
        let title = match &data.before {
            Some(before) => format!("Since layout {}", before.layout),
            None => "Shares".to_owned(),
        };
        let inner = ink.panel(diff, &title, "");
        for (line, y) in changes.iter().zip(inner.top()..inner.bottom()) {
            ink.line(inner, y, line);
        }
    } else {
        draw_list(state, ink, rest, "Ranges");
    }
}

fn located(state: &State) -> String {
    match &state.found {
        Some(found) => format!("◆ {}", found.key),
        None => "l locates a key".to_owned(),
    }
}

/// How even the ring is.
fn summary(shape: Option<&Shape>) -> String {
    let Some(shape) = shape else {
        return String::new();
    };
    let owning: Vec<u32> = shape
        .nodes
        .iter()
        .map(|node| node.slots)
        .filter(|slots| *slots > 0)
        .collect();
    let mean = SLOTS as f64 / owning.len().max(1) as f64;
    let most = owning.into_iter().max().unwrap_or(0);
    format!(
        "max/mean {:.3}  {} vn/node  hash {}",
        f64::from(most) / mean,
        shape.virtual_nodes,
        shape.hash
    )
}

/// Who owns how many slots, and how many more or fewer than by the layout before.
fn changes(state: &State) -> Vec<Vec<Piece>> {
    let data = state.shown();
    let Some(shape) = &data.shape else {
        return Vec::new();
    };
    let before = |name: &str| {
        let old = data.before.as_ref()?;
        Some(
            old.nodes
                .iter()
                .filter(|node| node.name == name)
                .map(|node| i64::from(node.slots))
                .sum::<i64>(),
        )
    };
    let line = |(index, node): (usize, &crate::top::shape::Node)| {
        let slots = i64::from(node.slots);
        let change = before(&node.name).map_or(String::new(), |old| match slots - old {
            0 => "  =".to_owned(),
            more => format!("  {more:+}"),
        });
        let share = units::percent(node.slots.into(), SLOTS as u64);
        vec![
            (
                Tone::Node(index as u16),
                format!(" {} {:<10}", strip::letter(index as u16), node.name),
            ),
            (Tone::Normal, format!(" {slots:>6} {share:>6}")),
            (Tone::Warn, change),
        ]
    };
    shape.nodes.iter().enumerate().map(line).collect()
}
