//! Events: what happened, and every command that was given from here, newest first. Pure.

use ratatui::layout::Rect;

use super::draw_list;
use crate::top::list::{Cell, List, Row, Tone, number, text};
use crate::top::state::{Kind, LogLine, State};
use crate::top::view::clock;
use crate::top::view::ink::Ink;

fn tone(kind: Kind) -> Tone {
    match kind {
        Kind::Info => Tone::Dim,
        Kind::Warn => Tone::Warn,
        Kind::Error => Tone::Bad,
        Kind::Command => Tone::Accent,
    }
}

/// Rows: lines of the log.
pub fn list(state: &State) -> List {
    let row = |line: &LogLine| Row {
        id: line.number.to_string(),
        cells: vec![
            Cell::number(line.number as f64, clock(line.unix_ms)).tone(Tone::Dim),
            Cell::text(line.kind.name()).tone(tone(line.kind)),
            Cell::text(&line.text),
        ],
    };
    let columns = [number("TIME", 1), text("KIND", 1), text("WHAT", 0)];
    List::new(columns, state.log.iter().rev().map(row).collect())
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    draw_list(state, ink, area, "Events and commands");
}

/// Draws the newest lines.
pub fn draw_newest(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if area.height < 3 {
        return;
    }
    let inner = ink.panel(area, "Events", "");
    for (line, y) in state.log.iter().rev().zip(inner.top()..inner.bottom()) {
        let pieces = [
            (Tone::Dim, format!(" {}  ", clock(line.unix_ms))),
            (tone(line.kind), format!("{:<5}  ", line.kind.name())),
            (Tone::Normal, line.text.clone()),
        ];
        ink.line(inner, y, &pieces);
    }
    if state.log.is_empty() {
        ink.text(
            inner,
            inner.x + 1,
            inner.y,
            "nothing has happened since this was started",
            Tone::Dim,
        );
    }
}
