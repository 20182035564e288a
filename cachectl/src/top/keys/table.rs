//! Which keys there are unless a file says otherwise. Pure.

use std::borrow::Cow;

use crossterm::event::KeyCode;

use super::chord::Chord;
use super::{Action, Binding};
use crate::top::state::Screen;

const fn key(c: char) -> Chord {
    Chord {
        ctrl: false,
        code: KeyCode::Char(c),
    }
}

const fn ctrl(c: char) -> Chord {
    Chord {
        ctrl: true,
        code: KeyCode::Char(c),
    }
}

const fn special(code: KeyCode) -> Chord {
    Chord { ctrl: false, code }
}

const fn everywhere(
    name: &'static str,
    keys: &'static [Chord],
    action: Action,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        name,
        keys: Cow::Borrowed(keys),
        action,
        word,
        help,
        screens: &[],
    }
}

const fn on(
    name: &'static str,
    screens: &'static [Screen],
    keys: &'static [Chord],
    action: Action,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        name,
        keys: Cow::Borrowed(keys),
        action,
        word,
        help,
        screens,
    }
}

/// Where nodes are listed.
const NODES: &[Screen] = &[Screen::Overview, Screen::Nodes];
/// Where an operation can be controlled.
const MOVES: &[Screen] = &[Screen::Overview, Screen::Migrations];
/// Where keys can be looked up.
const KEYS: &[Screen] = &[Screen::Overview, Screen::Ring, Screen::Keys];

/// The table: the order is that of the bottom line and of help.
pub const TABLE: &[Binding] = &[
    everywhere(
        "move-down",
        &[key('j'), special(KeyCode::Down)],
        Action::Move(1),
        "move",
        "One row down",
    ),
    everywhere(
        "move-up",
        &[key('k'), special(KeyCode::Up)],
        Action::Move(-1),
        "",
        "One row up",
    ),
    everywhere(
        "page-down",
        &[special(KeyCode::PageDown)],
        Action::Move(10),
        "",
        "Ten rows down",
    ),
    everywhere(
        "page-up",
        &[special(KeyCode::PageUp)],
        Action::Move(-10),
        "",
        "Ten rows up",
    ),
    everywhere(
        "first",
        &[key('g'), special(KeyCode::Home)],
        Action::First,
        "",
        "First row (pressed twice)",
    ),
    everywhere(
        "last",
        &[key('G'), special(KeyCode::End)],
        Action::Last,
        "",
        "Last row",
    ),
    everywhere(
        "open",
        &[special(KeyCode::Enter)],
        Action::Open,
        "open",
        "Open what is selected",
    ),
    everywhere(
        "back",
        &[special(KeyCode::Esc)],
        Action::Back,
        "",
        "Close what is on top; never quits",
    ),
    everywhere(
        "filter",
        &[key('/')],
        Action::Filter,
        "filter",
        "Show only rows that match a regular expression; ! inverts it",
    ),
    everywhere(
        "sort",
        &[key('s')],
        Action::Sort,
        "sort",
        "Sort by the next column",
    ),
    everywhere(
        "reverse",
        &[key('S')],
        Action::Reverse,
        "",
        "Sort the other way round",
    ),
    on(
        "locate",
        KEYS,
        &[key('l')],
        Action::Locate,
        "locate",
        "Look a key up: owner, slot, value",
    ),
    on(
        "set",
        &[Screen::Keys],
        &[key('i')],
        Action::Set,
        "set",
        "Write a key",
    ),
    on(
        "delete",
        &[Screen::Keys],
        &[key('D')],
        Action::Delete,
        "delete",
        "Remove a key",
    ),
    on(
        "drain",
        NODES,
        &[key('d')],
        Action::Drain,
        "drain",
        "Move all slots off the node; it stays a member",
    ),
    on(
        "undrain",
        NODES,
        &[key('u')],
        Action::Undrain,
        "undrain",
        "Give the drained node its share again",
    ),
    on(
        "join",
        NODES,
        &[key('J')],
        Action::Join,
        "join",
        "Give the waiting node its share",
    ),
    on(
        "blacklist",
        &[Screen::Overview, Screen::Nodes, Screen::Blacklist],
        &[key('b')],
        Action::Block,
        "blacklist",
        "Nobody attempts the node for a while",
    ),
    on(
        "unlist",
        &[Screen::Nodes, Screen::Blacklist],
        &[key('B')],
        Action::Unblock,
        "unlist",
        "Take an entry made by hand back",
    ),
    on(
        "pause",
        MOVES,
        &[key('p')],
        Action::Pause,
        "pause",
        "Pause the migration, or go on with it",
    ),
    on(
        "cancel",
        MOVES,
        &[key('x')],
        Action::Cancel,
        "cancel",
        "Cancel the migration: what has moved stays where it is",
    ),
    on(
        "faster",
        MOVES,
        &[key('+'), key('=')],
        Action::Faster,
        "rate",
        "Let the migration move faster, or choose its rate",
    ),
    on(
        "slower",
        MOVES,
        &[key('-')],
        Action::Slower,
        "",
        "Let the migration move slower",
    ),
    on(
        "create",
        &[Screen::Groups],
        &[key('c')],
        Action::Create,
        "create",
        "A new group",
    ),
    on(
        "flush",
        &[Screen::Groups],
        &[key('F')],
        Action::Flush,
        "flush",
        "Remove every entry of the group",
    ),
    everywhere(
        "hold",
        &[key(' ')],
        Action::Hold,
        "hold",
        "Hold the display; what is told meanwhile is kept",
    ),
    everywhere(
        "expand",
        &[key('e')],
        Action::Expand,
        "",
        "One panel alone, or all",
    ),
    everywhere(
        "wide",
        &[key('w')],
        Action::Wide,
        "",
        "More columns, or fewer",
    ),
    everywhere(
        "next-screen",
        &[special(KeyCode::Tab)],
        Action::Next,
        "",
        "Next screen",
    ),
    everywhere(
        "previous-screen",
        &[special(KeyCode::BackTab)],
        Action::Previous,
        "",
        "Previous screen",
    ),
    everywhere(
        "show-overview",
        &[key('1')],
        Action::Show(Screen::Overview),
        "",
        "Overview",
    ),
    everywhere(
        "show-nodes",
        &[key('2')],
        Action::Show(Screen::Nodes),
        "",
        "Nodes",
    ),
    everywhere(
        "show-ring",
        &[key('3')],
        Action::Show(Screen::Ring),
        "",
        "Ring",
    ),
    everywhere(
        "show-migrations",
        &[key('4')],
        Action::Show(Screen::Migrations),
        "",
        "Migrations",
    ),
    everywhere(
        "show-keys",
        &[key('5')],
        Action::Show(Screen::Keys),
        "",
        "Keys",
    ),
    everywhere(
        "show-groups",
        &[key('6')],
        Action::Show(Screen::Groups),
        "",
        "Groups",
    ),
    everywhere(
        "show-blacklist",
        &[key('7')],
        Action::Show(Screen::Blacklist),
        "",
        "Blacklist",
    ),
    everywhere(
        "show-events",
        &[key('8')],
        Action::Show(Screen::Events),
        "",
        "Events, and the commands given here",
    ),
    everywhere(
        "copy",
        &[key('y')],
        Action::Copy,
        "",
        "Copy the command that shows or did this",
    ),
    everywhere(
        "mouse",
        &[key('m')],
        Action::Mouse,
        "",
        "Mouse on or off: off leaves selecting to the terminal",
    ),
    everywhere(
        "retry",
        &[key('r')],
        Action::Retry,
        "",
        "Try to reach the cluster now",
    ),
    everywhere(
        "command",
        &[key(':')],
        Action::Palette,
        "command",
        "Type what to do: a screen, a context, an action",
    ),
    everywhere(
        "help",
        &[key('?')],
        Action::Help,
        "help",
        "This list; type to search it",
    ),
    everywhere(
        "suspend",
        &[ctrl('z')],
        Action::Suspend,
        "",
        "Back to the shell; fg goes on",
    ),
    everywhere(
        "quit",
        &[key('q'), ctrl('c')],
        Action::Quit,
        "quit",
        "End; what runs on the cluster goes on",
    ),
];
