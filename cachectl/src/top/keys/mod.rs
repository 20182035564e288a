//! Keys: what is pressed, what it does, and how help says it: one table, in which a file
//! can put other keys. Pure.

mod chord;
mod table;

use std::borrow::Cow;

use crossterm::event::KeyEvent;

use super::state::Screen;

pub use chord::Chord;
pub use table::TABLE;

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
#[derive(Clone, Debug)]
pub struct Binding {
    /// How a file calls it.
    pub name: &'static str,
    /// Any of these.
    pub keys: Cow<'static, [Chord]>,
    /// What they do.
    pub action: Action,
    /// A word for the bottom line; empty: not there.
    pub word: &'static str,
    /// A sentence for help.
    pub help: &'static str,
    /// Where; empty: everywhere.
    pub screens: &'static [Screen],
}

impl Binding {
    /// Whether it means something there.
    pub fn is_on(&self, screen: Screen) -> bool {
        self.screens.is_empty() || self.screens.contains(&screen)
    }

    /// The keys, as help shows them.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.keys.iter().map(Chord::name).collect();
        names.join("/")
    }

    /// Where it means something, in few words.
    pub fn places(&self) -> String {
        let titles: Vec<&str> = self.screens.iter().map(|it| it.title()).collect();
        titles.join(", ")
    }
}

/// The table that holds here.
#[derive(Clone, Debug)]
pub struct Keymap(Vec<Binding>);

impl Default for Keymap {
    fn default() -> Self {
        Self(TABLE.to_vec())
    }
}

impl Keymap {
    /// All lines, in the order of the bottom line and of help.
    pub fn iter(&self) -> std::slice::Iter<'_, Binding> {
        self.0.iter()
    }

    /// What a key does on a screen.
    pub fn action(&self, screen: Screen, event: &KeyEvent) -> Option<Action> {
        let pressed = Chord::of(event);
        let here = self.iter().filter(|binding| binding.is_on(screen));
        let mut found = here.filter(|binding| binding.keys.contains(&pressed));
        found.next().map(|binding| binding.action)
    }

    /// The first keys of these actions, each before what it does: `p pause  x cancel`.
    /// Actions without a key are left out.
    pub fn hints(&self, wanted: &[(&[Action], &str)]) -> String {
        let first = |action: &Action| {
            let binding = self.iter().find(|binding| binding.action == *action);
            binding.and_then(|it| it.keys.first()).map(Chord::name)
        };
        let hint = |(actions, word): &(&[Action], &str)| {
            let keys: Vec<String> = actions.iter().filter_map(first).collect();
            (!keys.is_empty()).then(|| format!("{} {word}", keys.join("/")))
        };
        let hints: Vec<String> = wanted.iter().filter_map(hint).collect();
        hints.join("  ")
    }

    /// Puts other keys on an action; an error says why they cannot be there. What two
    /// actions share is found by [`Keymap::check`].
    pub fn bind(&mut self, name: &str, keys: Vec<Chord>) -> Result<(), String> {
        let binding = self.0.iter_mut().find(|binding| binding.name == name);
        let Some(binding) = binding else {
            let names: Vec<&str> = TABLE.iter().map(|it| it.name).collect();
            return Err(format!(
                "no action is called so; there are {}",
                names.join(", ")
            ));
        };
        if changes(binding.action) && keys.iter().any(|key| key.ctrl) {
            return Err("it changes the cluster, and such actions are not put on Ctrl".to_owned());
        }
        let is_quit = binding.action == Action::Quit;
        if is_quit && keys.is_empty() {
            return Err("it needs a key".to_owned());
        }
        if !is_quit && keys.iter().any(|key| key.name() == "Ctrl-C") {
            return Err("Ctrl-C always ends the program".to_owned());
        }
        binding.keys = Cow::Owned(keys);
        Ok(())
    }

    /// Two actions that have the same key on a screen, and the key.
    pub fn check(&self) -> Option<(&'static str, &'static str, Chord)> {
        let meet = |one: &Binding, other: &Binding| {
            let mut screens = Screen::ALL.into_iter();
            screens.any(|screen| one.is_on(screen) && other.is_on(screen))
        };
        self.iter().enumerate().find_map(|(index, one)| {
            self.0[index + 1..].iter().find_map(|other| {
                let key = one.keys.iter().find(|key| other.keys.contains(key));
                let key = key.filter(|_| meet(one, other))?;
                Some((one.name, other.name, *key))
            })
        })
    }

    /// The table as a file would spell it.
    pub fn print(&self) -> String {
        let line = |binding: &Binding| {
            let keys = binding.keys.iter().map(Chord::spelled);
            // TOML's quotes, and so its escapes, are those of JSON here.
            let keys: Vec<String> = keys.map(|key| serde_json::json!(key).to_string()).collect();
            let place = match binding.places() {
                places if places.is_empty() => String::new(),
                places => format!(" ({places})"),
            };
            let set = format!("{} = [{}]", binding.name, keys.join(", "));
            format!("{set:<36}# {}{place}\n", binding.help)
        };
        let lines: String = self.iter().map(line).collect();
        format!("[keys]\n{lines}")
    }
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

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn chords(keys: &[&str]) -> Vec<Chord> {
        keys.iter().map(|key| key.parse().unwrap()).collect()
    }

    #[test]
    fn no_key_means_two_things_on_a_screen() {
        let mut keys = Keymap::default();
        assert_eq!(keys.check(), None);
        // The same key may do other things on screens that do not meet.
        keys.bind("flush", chords(&["d"])).unwrap();
        assert_eq!(keys.check(), None);
        keys.bind("hold", chords(&["f2", "d"])).unwrap();
        let (one, other, key) = keys.check().unwrap();
        assert_eq!((one, other, key.name().as_str()), ("drain", "hold", "d"));
    }

    #[test]
    fn changes_are_never_on_ctrl() {
        for binding in TABLE.iter().filter(|binding| changes(binding.action)) {
            assert!(binding.keys.iter().all(|key| !key.ctrl), "{binding:?}");
        }
        let mut keys = Keymap::default();
        for (name, put, why) in [
            ("drain", &["ctrl-d"][..], "Ctrl"),
            ("hold", &["ctrl-c"], "ends the program"),
            ("quit", &[], "needs a key"),
            ("drane", &["d"], "there are move-down, "),
        ] {
            let refusal = keys.bind(name, chords(put)).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
    }

    #[test]
    fn keys_are_found_where_they_mean_something() {
        let keys = Keymap::default();
        let press = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        assert_eq!(keys.action(Screen::Nodes, &press('d')), Some(Action::Drain));
        assert_eq!(keys.action(Screen::Keys, &press('d')), None);
        let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(keys.action(Screen::Keys, &quit), Some(Action::Quit));
        let shifted = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(keys.action(Screen::Keys, &shifted), Some(Action::Last));
    }

    #[test]
    fn hints_name_the_keys_that_hold() {
        let mut keys = Keymap::default();
        let wanted: [(&[Action], &str); 2] = [
            (&[Action::Pause], "pause"),
            (&[Action::Faster, Action::Slower], "rate"),
        ];
        assert_eq!(keys.hints(&wanted), "p pause  +/- rate");
        keys.bind("pause", chords(&["f5"])).unwrap();
        keys.bind("slower", Vec::new()).unwrap();
        assert_eq!(keys.hints(&wanted), "F5 pause  + rate");
    }

    #[test]
    fn the_printed_table_holds_every_line() {
        let text = Keymap::default().print();
        assert_eq!(text.lines().count(), TABLE.len() + 1);
        assert!(text.contains("drain = [\"d\"]"), "{text}");
    }
}
