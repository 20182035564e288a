//! Draws what is open on top: questions and help. What lies below is wiped first. Pure.

use ratatui::layout::Rect;

use super::ink::{Ink, cut, width};
use crate::top::dialog::form::Form;
use crate::top::dialog::{Dialog, help};
use crate::top::keys::Binding;
use crate::top::list::Tone;
use crate::top::state::State;

/// Draws what is open, if something is. The palette is drawn in the last line.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    match &state.dialog {
        Some(Dialog::Form(form)) => draw_form(ink, area, form),
        Some(Dialog::Help { search, top }) => draw_help(state, ink, area, search, *top),
        Some(Dialog::Palette(_)) | None => {}
    }
}

/// A place in the middle, as large as there is room.
fn middle(area: Rect, columns: u16, rows: u16) -> Rect {
    let (width, height) = (columns.min(area.width), rows.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}

fn draw_form(ink: &mut Ink<'_>, area: Rect, form: &Form) {
    let lines: Vec<(Tone, String)> = form.lines.iter().cloned().chain(complaint(form)).collect();
    let widest = lines.iter().map(|(_, text)| width(text)).max().unwrap_or(0);
    let columns = widest.max(width(&form.title) + 2).clamp(56, 96) + 4;
    let rows = lines.len() as u16 + form.fields.len() as u16 + 3;
    let place = middle(area, columns, rows);
    ink.clear(place);
    let inner = ink.panel(place, &form.title, "Tab Enter Esc");
    // The buttons are always there; what does not fit is left out above them.
    let last = inner.bottom().saturating_sub(1);
    let mut y = inner.y;
    // Fields matter more than what there is to know.
    let room = inner.height.saturating_sub(1 + form.fields.len() as u16);
    for (tone, text) in lines.iter().take(usize::from(room)) {
        let text = cut(text, inner.width.saturating_sub(2));
        ink.text(inner, inner.x + 1, y, &text, *tone);
        y += 1;
    }
    for (index, field) in form.fields.iter().enumerate() {
        if y >= last {
            break;
        }
        draw_field(ink, inner, y, form, index, field.label, &field.value);
        y += 1;
    }
    draw_buttons(ink, inner, last, form);
}

fn complaint(form: &Form) -> Option<(Tone, String)> {
    if !form.mistake.is_empty() {
        return Some((Tone::Bad, form.mistake.clone()));
    }
    let known = form
        .lines
        .iter()
        .any(|(_, text)| text.contains(&form.obstacle));
    (!form.obstacle.is_empty() && !known)
        .then(|| (Tone::Bad, format!("cannot be done: {}", form.obstacle)))
}

fn draw_field(
    ink: &mut Ink<'_>,
    area: Rect,
    y: u16,
    form: &Form,
    index: usize,
    label: &str,
    value: &str,
) {
    let focused = form.focus == index;
    let named = form
        .name
        .as_ref()
        .filter(|_| index + 1 == form.fields.len());
    let label = match named {
        Some(name) => format!("type {name} to enable {}:", form.button),
        None => format!("{label:<10}"),
    };
    let x = ink.text(
        area,
        area.x + 1,
        y,
        &label,
        if named.is_some() {
            Tone::Warn
        } else {
            Tone::Dim
        },
    );
    let room = area.right().saturating_sub(x + 5);
    let tail = if focused { "_" } else { "" };
    // The end of what is typed is what is looked at.
    let skip = width(value).saturating_sub(room);
    let value: String = value.chars().skip(usize::from(skip)).collect();
    let text = format!(" [ {value}{tail} ]");
    ink.text(
        area,
        x,
        y,
        &text,
        if focused { Tone::Strong } else { Tone::Normal },
    );
}

fn draw_buttons(ink: &mut Ink<'_>, area: Rect, y: u16, form: &Form) {
    let button = |text: &str, focused: bool| {
        if focused {
            format!("[ >{text}< ]")
        } else {
            format!("[ {text} ]")
        }
    };
    let cancel = button("Cancel", form.focus == form.cancel());
    let act = button(form.button, form.focus > form.cancel());
    let columns = width(&cancel) + width(&act) + 3;
    let x = area.right().saturating_sub(columns).max(area.x);
    let tone = |focused: bool| if focused { Tone::Accent } else { Tone::Normal };
    let x = ink.text(area, x, y, &cancel, tone(form.focus == form.cancel()));
    let tone = match (form.ready(), form.focus > form.cancel()) {
        (false, _) => Tone::Dim,
        (true, true) => Tone::Bad,
        (true, false) => Tone::Normal,
    };
    ink.text(area, x + 2, y, &act, tone);
}

fn draw_help(state: &State, ink: &mut Ink<'_>, area: Rect, search: &str, top: usize) {
    let found: Vec<&Binding> = help::found(&state.keys, search).collect();
    let place = middle(area, 96, found.len() as u16 + 3);
    ink.clear(place);
    let inner = ink.panel(place, "Keys", "type to search  ↑↓  Esc");
    ink.text(
        inner,
        inner.x + 1,
        inner.y,
        &format!("search: {search}_"),
        Tone::Strong,
    );
    for (binding, y) in found.iter().skip(top).zip(inner.y + 1..inner.bottom()) {
        let x = ink.text(
            inner,
            inner.x + 1,
            y,
            &format!("{:<12}", binding.names()),
            Tone::Accent,
        );
        let x = ink.text(inner, x, y, binding.help, Tone::Normal);
        let places = binding.places();
        if !places.is_empty() {
            ink.text(inner, x + 2, y, &format!("({places})"), Tone::Dim);
        }
    }
}
