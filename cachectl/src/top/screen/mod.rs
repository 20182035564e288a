//! The screens: what rows each has, and how it is drawn. Pure.

pub mod blacklist;
pub mod events;
pub mod groups;
pub mod keys;
pub mod migrations;
pub mod nodes;
pub mod overview;
pub mod ring;

use ratatui::layout::Rect;

use super::list::List;
use super::state::{Screen, State};
use super::view::ink::Ink;
use super::view::table;

/// The rows of the screen that is shown, filtered and sorted.
pub fn list(state: &State) -> List {
    rows(state, state.screen).arranged(state.choice())
}

fn rows(state: &State, screen: Screen) -> List {
    match screen {
        Screen::Overview | Screen::Nodes => nodes::list(state),
        Screen::Ring => ring::list(state),
        Screen::Migrations => migrations::list(state),
        Screen::Keys => keys::list(state),
        Screen::Groups => groups::list(state),
        Screen::Blacklist => blacklist::list(state),
        Screen::Events => events::list(state),
    }
}

/// Moves the selection.
pub fn step(state: &mut State, by: isize) {
    let list = list(state);
    list.step(state.choice_mut(), by);
}

/// Draws the screen that is shown.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    match state.screen {
        Screen::Overview => overview::draw(state, ink, area),
        Screen::Nodes => nodes::draw(state, ink, area),
        Screen::Ring => ring::draw(state, ink, area),
        Screen::Migrations => migrations::draw(state, ink, area),
        Screen::Keys => keys::draw(state, ink, area),
        Screen::Groups => groups::draw(state, ink, area),
        Screen::Blacklist => blacklist::draw(state, ink, area),
        Screen::Events => events::draw(state, ink, area),
    }
}

/// Draws the rows of the screen that is shown in a panel.
pub fn draw_list(state: &State, ink: &mut Ink<'_>, area: Rect, title: &str) {
    let list = list(state);
    let choice = state.choice();
    let title = if list.rows.len() == list.all {
        format!("{title} ({})", list.all)
    } else {
        format!("{title} ({} of {})", list.rows.len(), list.all)
    };
    let mut hints = Vec::new();
    if !choice.filter.is_empty() {
        hints.push(format!("/{}", choice.filter.text));
    }
    if !choice.sort.is_empty() {
        hints.push(format!("sort {}", choice.sort.to_uppercase()));
    }
    let inner = ink.panel(area, &title, &hints.join("  "));
    table::draw(ink, inner, &list, Some(choice), state.look.wide);
}

/// The command that shows what this screen shows.
pub fn command(state: &State) -> String {
    let word = match state.screen {
        Screen::Overview => "status",
        Screen::Nodes => "nodes",
        Screen::Ring => "ring",
        Screen::Migrations => "migrations",
        Screen::Keys => "hotkeys",
        Screen::Groups => "stats --by group",
        Screen::Blacklist => "blacklist",
        Screen::Events => "events",
    };
    format!("cachectl {word}")
}

/// Splits an area into one of so many rows and what is below.
pub fn split(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let top = Rect {
        height: rows,
        ..area
    };
    let rest = Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    };
    (top, rest)
}

/// Splits an area into one of so many columns on the right, and what is left of it.
pub fn split_right(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let left = Rect {
        width: area.width - columns,
        ..area
    };
    let right = Rect {
        x: area.x + left.width,
        width: columns,
        ..area
    };
    (left, right)
}
