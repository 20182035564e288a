//! Help: the table of keys, searched by what is typed. Pure.

use crossterm::event::{KeyCode, KeyEvent};

use super::Dialog;
use crate::top::keys::{Binding, Keymap};
use crate::top::update::edit;

/// Takes a key; `None`: help is closed.
pub fn press(keys: &Keymap, mut search: String, top: usize, event: &KeyEvent) -> Option<Dialog> {
    let last = found(keys, &search).count().saturating_sub(1);
    let top = match event.code {
        KeyCode::Esc | KeyCode::Enter => return None,
        KeyCode::Char('?' | 'q') if search.is_empty() => return None,
        KeyCode::Down => (top + 1).min(last),
        KeyCode::Up => top.saturating_sub(1),
        KeyCode::PageDown => (top + 10).min(last),
        KeyCode::PageUp => top.saturating_sub(10),
        _ => {
            edit(&mut search, event);
            0
        }
    };
    Some(Dialog::Help { search, top })
}

/// The lines that hold what is searched for, in any case.
pub fn found<'a>(keys: &'a Keymap, search: &str) -> impl Iterator<Item = &'a Binding> {
    let search = search.to_lowercase();
    keys.iter().filter(move |it| {
        let text = format!("{} {} {}", it.names(), it.help, it.places());
        text.to_lowercase().contains(&search)
    })
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;

    #[test]
    fn it_is_searched_by_typing() {
        let keys = Keymap::default();
        assert_eq!(found(&keys, "").count(), keys.iter().count());
        let drain: Vec<String> = found(&keys, "STAYS A member")
            .map(|it| it.names())
            .collect();
        assert_eq!(drain, ["d"]);
        assert_eq!(found(&keys, "no such thing").count(), 0);
        let press = |code| {
            let event = KeyEvent::new(code, KeyModifiers::NONE);
            press(&keys, "dr".to_owned(), 0, &event)
        };
        assert!(press(KeyCode::Esc).is_none());
        let Some(Dialog::Help { search, top }) = press(KeyCode::Char('q')) else {
            panic!("a letter is searched for");
        };
        assert_eq!((search.as_str(), top), ("drq", 0));
    }
}
