//! Help: the table of keys, searched by what is typed. Pure.

use crossterm::event::{KeyCode, KeyEvent};

use super::Dialog;
use crate::top::keys::{Binding, TABLE};
use crate::top::state::Screen;
use crate::top::update::edit;

/// Takes a key; `None`: help is closed.
pub fn press(mut search: String, top: usize, event: &KeyEvent) -> Option<Dialog> {
    let last = found(&search).len().saturating_sub(1);
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
pub fn found(search: &str) -> Vec<&'static Binding> {
    let search = search.to_lowercase();
    let holds = |binding: &&Binding| {
        let text = format!("{} {} {}", binding.names(), binding.help, places(binding));
        text.to_lowercase().contains(&search)
    };
    TABLE.iter().filter(holds).collect()
}

/// Where a key means something, in few words.
pub fn places(binding: &Binding) -> String {
    let names: Vec<&str> = binding
        .screens
        .iter()
        .map(|screen: &Screen| screen.title())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;

    #[test]
    fn it_is_searched_by_typing() {
        assert_eq!(found("").len(), TABLE.len());
        let drain: Vec<String> = found("STAYS A member")
            .iter()
            .map(|it| it.names())
            .collect();
        assert_eq!(drain, ["d"]);
        assert!(found("no such thing").is_empty());
        let press = |code| press("dr".to_owned(), 0, &KeyEvent::new(code, KeyModifiers::NONE));
        assert!(press(KeyCode::Esc).is_none());
        let Some(Dialog::Help { search, top }) = press(KeyCode::Char('q')) else {
            panic!("a letter is searched for");
        };
        assert_eq!((search.as_str(), top), ("drq", 0));
    }
}
