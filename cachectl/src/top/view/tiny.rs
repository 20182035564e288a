//! The smallest picture: one line about everything, and one about what moves. Pure.

use ratatui::layout::Rect;

use super::header;
use super::ink::Ink;
use crate::commands::layout::progress;
use crate::top::list::Tone;
use crate::top::shape::NodeState;
use crate::top::state::State;
use crate::units;

/// Draws it.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let data = state.shown();
    let mut y = area.y;
    let up = data.count(NodeState::Up);
    let all = data.shape.as_ref().map_or(0, |shape| shape.nodes.len());
    let (tone, word) = header::freshness(state);
    let tone = if data.count(NodeState::Down) > 0 {
        Tone::Bad
    } else {
        tone
    };
    ink.text(area, area.x, y, &format!("{up}/{all} up {word}"), tone);
    y += 1;
    if let Some(it) = data.open_operation() {
        let eta = it
            .eta
            .map_or(String::new(), |eta| format!(" ETA {}", units::age(eta)));
        let text = format!(
            "{} {} {}{eta}",
            it.nodes.join(" "),
            it.kind,
            progress::percent(it, true)
        );
        ink.text(area, area.x, y, &text, Tone::Warn);
        y += 1;
    }
    for (tone, text) in header::banners(state) {
        ink.text(area, area.x, y, &text, tone);
        y += 1;
    }
    let nodes = data.shape.iter().flat_map(|shape| &shape.nodes);
    for (node, y) in nodes.zip(y..area.bottom()) {
        let tone = if node.state == NodeState::Down {
            Tone::Bad
        } else {
            Tone::Normal
        };
        ink.text(
            area,
            area.x,
            y,
            &format!("{} {}", node.name, node.state.name()),
            tone,
        );
    }
}
