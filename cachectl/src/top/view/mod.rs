//! The state -> the picture. Pure: nothing here changes anything or asks anybody.

pub mod ascii;
pub mod circle;
pub mod footer;
pub mod forms;
pub mod header;
pub mod ink;
pub mod paint;
pub mod strip;
pub mod table;
pub mod theme;
pub mod tiny;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::link::Freshness;
use super::screen;
use super::state::State;
use ink::Ink;

/// Draws everything.
pub fn view(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    draw(state, area, frame.buffer_mut());
}

/// Draws everything into a buffer. Any size will do.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = state.theme.clone();
    let mut ink = Ink { buffer, theme };
    if area.width < 40 || area.height < 10 {
        tiny::draw(state, &mut ink, area);
    } else if area.width < 60 || area.height < 15 {
        compact(state, &mut ink, area);
    } else {
        whole(state, &mut ink, area);
    }
    forms::draw(state, &mut ink, area);
    footer::draw_toasts(state, &mut ink, area);
    if state.look.ascii {
        ascii::translate(ink.buffer);
    }
}

fn whole(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let (top, rest) = screen::split(area, 2);
    header::draw(state, ink, top);
    let banners = header::banners(state);
    let room = if area.height >= 24 { 3 } else { 1 };
    let (middle, rest) = screen::split(rest, banners.len().min(room) as u16);
    header::draw_banners(&banners, ink, middle);
    let (body, bottom) = screen::split(rest, rest.height.saturating_sub(1));
    screen::draw(state, ink, body);
    fade(state, ink, body);
    footer::draw(state, ink, bottom);
}

/// One line about everything, and the list of the screen.
fn compact(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let (top, rest) = screen::split(area, 1);
    header::draw_status(state, ink, top);
    let banners = header::banners(state);
    let (middle, rest) = screen::split(rest, banners.len().min(1) as u16);
    header::draw_banners(&banners, ink, middle);
    let (body, bottom) = screen::split(rest, rest.height.saturating_sub(1));
    screen::draw_list(state, ink, body, state.screen.title());
    fade(state, ink, body);
    footer::draw(state, ink, bottom);
}

/// What is old looks old.
fn fade(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let old = matches!(
        state.freshness(),
        Freshness::Stale(_) | Freshness::Reconnecting { .. }
    );
    if old || state.held.is_some() {
        let style = ink.theme.faded();
        ink.restyle(area, style);
    }
}

/// `12:04:07`, UTC; empty: not yet.
pub fn clock(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return String::new();
    }
    let seconds = unix_ms / 1000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}
