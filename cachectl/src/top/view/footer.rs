//! The last line: keys that mean something here, or what is being typed; and messages on
//! top of the screen. Pure.

use ratatui::layout::Rect;

use super::ink::{Ink, cut, width};
use crate::top::dialog::Dialog;
use crate::top::dialog::palette::suggestions;
use crate::top::keys::{Action, Binding, Chord};
use crate::top::list::Tone;
use crate::top::state::State;

/// Draws the last line.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if let Some(Dialog::Palette(text)) = &state.dialog {
        let x = ink.text(area, area.x, area.y, &format!(" :{text}_  "), Tone::Strong);
        let found = suggestions(text);
        let words = found[..found.len().min(12)].join("  ");
        ink.text(area, x, area.y, &words, Tone::Dim);
        return;
    }
    if state.typing_filter {
        let filter = &state.choice().filter.text;
        let x = ink.text(
            area,
            area.x,
            area.y,
            &format!(" /{filter}_  "),
            Tone::Strong,
        );
        ink.text(
            area,
            x,
            area.y,
            "Enter keeps it, Esc shows all, ! inverts",
            Tone::Dim,
        );
        return;
    }
    let shown = |binding: &&Binding| {
        let known = !binding.word.is_empty() && !binding.keys.is_empty();
        known && binding.is_on(state.screen)
    };
    let here: Vec<&Binding> = state.keys.iter().filter(shown).collect();
    let always = |binding: &&&Binding| matches!(binding.action, Action::Help | Action::Quit);
    let (last, rest): (Vec<&Binding>, Vec<&Binding>) =
        here.iter().copied().partition(|it| always(&it));
    let text = |binding: &Binding| {
        let key = binding.keys.first().map_or(String::new(), Chord::name);
        format!("{key} {}", binding.word)
    };
    let reserved: u16 = last.iter().map(|binding| width(&text(binding)) + 2).sum();
    let mut room = area.width.saturating_sub(reserved + 1);
    let mut x = area.x + 1;
    for binding in rest {
        let text = text(binding);
        let columns = width(&text) + 2;
        if columns > room {
            break;
        }
        room -= columns;
        x = ink.text(area, x, area.y, &text, Tone::Dim) + 2;
    }
    for binding in last {
        x = ink.text(area, x, area.y, &text(binding), Tone::Dim) + 2;
    }
}

/// Draws messages, above the last line, on the right.
pub fn draw_toasts(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if area.height < 3 {
        return;
    }
    let bottom = area.bottom().saturating_sub(2);
    for (index, toast) in state.toasts.iter().rev().enumerate() {
        let Some(y) = bottom.checked_sub(index as u16).filter(|y| *y > area.y) else {
            return;
        };
        let hint = if toast.bad { "  (Esc)" } else { "" };
        let text = format!(
            " {}{hint} ",
            cut(&toast.text, area.width.saturating_sub(12))
        );
        let columns = width(&text);
        let start = area.right().saturating_sub(columns + 1).max(area.x);
        let place = Rect {
            x: start,
            y,
            width: columns.min(area.width),
            height: 1,
        };
        ink.clear(place);
        let tone = if toast.bad { Tone::Bad } else { Tone::Good };
        let style = ink.theme.style(tone).patch(ink.theme.selected());
        ink.styled(area, start, y, &text, style);
    }
}
