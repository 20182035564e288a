//! The one table of keys: what is pressed, what it does, and how help says it. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::Screen;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Show this screen.
    Show(Screen),
    /// The next screen.
    Next,
    /// The one before.
    Previous,
    /// Move the selection by so many rows.
    Move(isize),
    /// The first row (`g` twice).
    First,
    /// The last row.
    Last,
    /// What is selected, in detail.
    Open,
    /// Close what is on top.
    Back,
    /// Type a filter.
    Filter,
    /// Sort by the next column.
    Sort,
    /// Sort the other way round.
    Reverse,
    /// Keep what is shown as it is.
    Hold,
    /// One panel alone.
    Expand,
    /// More columns.
    Wide,
    /// Look a key up.
    Locate,
    /// Write a key.
    Set,
    /// Remove a key.
    Delete,
    /// Move all slots off a node.
    Drain,
    /// Give a drained node its share again.
    Undrain,
    /// Give a waiting node its share.
    Join,
    /// Nobody attempts a node for a while.
    Block,
    /// Take that back.
    Unblock,
    /// Begin nothing more, or go on.
    Pause,
    /// End an operation.
    Cancel,
    /// Move faster.
    Faster,
    /// Move slower.
    Slower,
    /// A new group.
    Create,
    /// Remove every entry of a group.
    Flush,
    /// The command that does what is shown.
    Copy,
    /// The mouse.
    Mouse,
    /// Try every stream again now.
    Retry,
    /// Type what to do.
    Palette,
    /// This table.
    Help,
    /// Give the terminal back for a while.
    Suspend,
    /// End.
    Quit,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Chord],
    /// What they do.
    pub action: Action,
    /// A word for the bottom line; empty: not there.
    pub word: &'static str,
    /// A sentence for help.
    pub help: &'static str,
    /// Where; empty: everywhere.
    pub screens: &'static [Screen],
}

/// A key with Ctrl or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    /// With Ctrl.
    pub ctrl: bool,
    /// The key.
    pub code: KeyCode,
}

impl Chord {
    /// As help spells it.
    pub fn name(&self) -> String {
        let key = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) if self.ctrl => c.to_ascii_uppercase().to_string(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            other => format!("{other:?}"),
        };
        if self.ctrl {
            format!("Ctrl-{key}")
        } else {
            key
        }
    }
}

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
    keys: &'static [Chord],
    action: Action,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        word,
        help,
        screens: &[],
    }
}

const fn on(
    screens: &'static [Screen],
    keys: &'static [Chord],
    action: Action,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
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
        &[key('j'), special(KeyCode::Down)],
        Action::Move(1),
        "move",
        "One row down",
    ),
    everywhere(
        &[key('k'), special(KeyCode::Up)],
        Action::Move(-1),
        "",
        "One row up",
    ),
    everywhere(
        &[special(KeyCode::PageDown)],
        Action::Move(10),
        "",
        "Ten rows down",
    ),
    everywhere(
        &[special(KeyCode::PageUp)],
        Action::Move(-10),
        "",
        "Ten rows up",
    ),
    everywhere(
        &[key('g'), special(KeyCode::Home)],
        Action::First,
        "",
        "First row (g twice)",
    ),
    everywhere(
        &[key('G'), special(KeyCode::End)],
        Action::Last,
        "",
        "Last row",
    ),
    everywhere(
        &[special(KeyCode::Enter)],
        Action::Open,
        "open",
        "Open what is selected",
    ),
    everywhere(
        &[special(KeyCode::Esc)],
        Action::Back,
        "",
        "Close what is on top; never quits",
    ),
    everywhere(
        &[key('/')],
        Action::Filter,
        "filter",
        "Show only rows that match a regular expression; ! inverts it",
    ),
    everywhere(&[key('s')], Action::Sort, "sort", "Sort by the next column"),
    everywhere(&[key('S')], Action::Reverse, "", "Sort the other way round"),
    on(
        KEYS,
        &[key('l')],
        Action::Locate,
        "locate",
        "Look a key up: owner, slot, value",
    ),
    on(
        &[Screen::Keys],
        &[key('i')],
        Action::Set,
        "set",
        "Write a key",
    ),
    on(
        &[Screen::Keys],
        &[key('D')],
        Action::Delete,
        "delete",
        "Remove a key",
    ),
    on(
        NODES,
        &[key('d')],
        Action::Drain,
        "drain",
        "Move all slots off the node; it stays a member",
    ),
    on(
        NODES,
        &[key('u')],
        Action::Undrain,
        "undrain",
        "Give the drained node its share again",
    ),
    on(
        NODES,
        &[key('J')],
        Action::Join,
        "join",
        "Give the waiting node its share",
    ),
    on(
        &[Screen::Overview, Screen::Nodes, Screen::Blacklist],
        &[key('b')],
        Action::Block,
        "blacklist",
        "Nobody attempts the node for a while",
    ),
    on(
        &[Screen::Nodes, Screen::Blacklist],
        &[key('B')],
        Action::Unblock,
        "unlist",
        "Take an entry made by hand back",
    ),
    on(
        MOVES,
        &[key('p')],
        Action::Pause,
        "pause",
        "Pause the migration, or go on with it",
    ),
    on(
        MOVES,
        &[key('x')],
        Action::Cancel,
        "cancel",
        "Cancel the migration: what has moved stays where it is",
    ),
    on(
        MOVES,
        &[key('+'), key('=')],
        Action::Faster,
        "rate",
        "Let the migration move faster, or choose its rate",
    ),
    on(
        MOVES,
        &[key('-')],
        Action::Slower,
        "",
        "Let the migration move slower",
    ),
    on(
        &[Screen::Groups],
        &[key('c')],
        Action::Create,
        "create",
        "A new group",
    ),
    on(
        &[Screen::Groups],
        &[key('F')],
        Action::Flush,
        "flush",
        "Remove every entry of the group",
    ),
    everywhere(
        &[key(' ')],
        Action::Hold,
        "hold",
        "Hold the display; what is told meanwhile is kept",
    ),
    everywhere(&[key('e')], Action::Expand, "", "One panel alone, or all"),
    everywhere(&[key('w')], Action::Wide, "", "More columns, or fewer"),
    everywhere(&[special(KeyCode::Tab)], Action::Next, "", "Next screen"),
    everywhere(
        &[special(KeyCode::BackTab)],
        Action::Previous,
        "",
        "Previous screen",
    ),
    everywhere(&[key('1')], Action::Show(Screen::Overview), "", "Overview"),
    everywhere(&[key('2')], Action::Show(Screen::Nodes), "", "Nodes"),
    everywhere(&[key('3')], Action::Show(Screen::Ring), "", "Ring"),
    everywhere(
        &[key('4')],
        Action::Show(Screen::Migrations),
        "",
        "Migrations",
    ),
    everywhere(&[key('5')], Action::Show(Screen::Keys), "", "Keys"),
    everywhere(&[key('6')], Action::Show(Screen::Groups), "", "Groups"),
    everywhere(
        &[key('7')],
        Action::Show(Screen::Blacklist),
        "",
        "Blacklist",
    ),
    everywhere(
        &[key('8')],
        Action::Show(Screen::Events),
        "",
        "Events, and the commands given here",
    ),
    everywhere(
        &[key('y')],
        Action::Copy,
        "",
        "Copy the command that shows or did this",
    ),
    everywhere(
        &[key('m')],
        Action::Mouse,
        "",
        "Mouse on or off: off leaves selecting to the terminal",
    ),
    everywhere(
        &[key('r')],
        Action::Retry,
        "",
        "Try to reach the cluster now",
    ),
    everywhere(
        &[key(':')],
        Action::Palette,
        "command",
        "Type what to do: a screen, a context, an action",
    ),
    everywhere(
        &[key('?')],
        Action::Help,
        "help",
        "This list; type to search it",
    ),
    everywhere(
        &[ctrl('z')],
        Action::Suspend,
        "",
        "Back to the shell; fg goes on",
    ),
    everywhere(
        &[key('q'), ctrl('c')],
        Action::Quit,
        "quit",
        "End; what runs on the cluster goes on",
    ),
];

impl Binding {
    /// Whether it means something there.
    pub fn is_on(&self, screen: Screen) -> bool {
        self.screens.is_empty() || self.screens.contains(&screen)
    }

    /// The keys, as help spells them.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.keys.iter().map(Chord::name).collect();
        names.join("/")
    }
}

/// What a key does on a screen.
pub fn action(screen: Screen, event: &KeyEvent) -> Option<Action> {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let pressed = Chord {
        ctrl,
        code: event.code,
    };
    let here = TABLE.iter().filter(|binding| binding.is_on(screen));
    let mut found = here.filter(|binding| binding.keys.contains(&pressed));
    found.next().map(|binding| binding.action)
}

/// Whether an action changes the cluster.
pub fn changes(action: Action) -> bool {
    use Action::{
        Block, Cancel, Create, Delete, Drain, Faster, Flush, Join, Pause, Set, Slower, Unblock,
        Undrain,
    };
    matches!(
        action,
        Block
            | Cancel
            | Create
            | Delete
            | Drain
            | Faster
            | Flush
            | Join
            | Pause
            | Set
            | Slower
            | Unblock
            | Undrain
    )
}

/// The table as text, for `--print-keys`.
pub fn print() -> String {
    let line = |binding: &Binding| {
        let place = match binding.screens {
            [] => "everywhere".to_owned(),
            some => some
                .iter()
                .map(|it| it.title())
                .collect::<Vec<_>>()
                .join(", "),
        };
        format!("{:<12} {:<38} {}\n", binding.names(), place, binding.help)
    };
    TABLE.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_on_a_screen() {
        for screen in Screen::ALL {
            let here: Vec<&Binding> = TABLE.iter().filter(|it| it.is_on(screen)).collect();
            for (index, one) in here.iter().enumerate() {
                for other in &here[index + 1..] {
                    let twice = one.keys.iter().find(|key| other.keys.contains(key));
                    assert!(twice.is_none(), "{screen:?}: {twice:?}");
                }
            }
        }
    }

    #[test]
    fn changes_are_never_on_ctrl() {
        for binding in TABLE.iter().filter(|binding| changes(binding.action)) {
            assert!(binding.keys.iter().all(|key| !key.ctrl), "{binding:?}");
        }
    }

    #[test]
    fn keys_are_found_where_they_mean_something() {
        let press = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        assert_eq!(action(Screen::Nodes, &press('d')), Some(Action::Drain));
        assert_eq!(action(Screen::Keys, &press('d')), None);
        let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(action(Screen::Keys, &quit), Some(Action::Quit));
        let shifted = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(action(Screen::Keys, &shifted), Some(Action::Last));
    }

    #[test]
    fn the_printed_table_holds_every_line() {
        assert_eq!(print().lines().count(), TABLE.len());
    }
}
