//! The palette: what to do, typed. Pure.

use crossterm::event::{KeyCode, KeyEvent};

use super::Dialog;
use crate::top::action;
use crate::top::effect::Effect;
use crate::top::keys::{Action, TABLE};
use crate::top::state::{Screen, State};
use crate::top::update::edit;

/// Takes a key while something is typed.
pub fn press(state: &mut State, mut text: String, event: &KeyEvent) -> Vec<Effect> {
    match event.code {
        KeyCode::Esc => Vec::new(),
        KeyCode::Backspace if text.is_empty() => Vec::new(),
        KeyCode::Enter => enter(state, &text),
        KeyCode::Tab => {
            if let Some(first) = suggestions(&text).first() {
                text = first.clone();
            }
            state.dialog = Some(Dialog::Palette(text));
            Vec::new()
        }
        _ => {
            edit(&mut text, event);
            state.dialog = Some(Dialog::Palette(text));
            Vec::new()
        }
    }
}

fn enter(state: &mut State, text: &str) -> Vec<Effect> {
    let text = text.trim();
    if let Some(context) = text.strip_prefix("ctx ") {
        return vec![Effect::Context(context.trim().to_owned())];
    }
    let word = suggestions(text).into_iter().next();
    let Some(word) = word.filter(|_| !text.is_empty()) else {
        state.toast(format!("{text:?} is not known; ? lists what is"), false);
        return Vec::new();
    };
    if let Some(screen) = Screen::ALL
        .into_iter()
        .find(|it| it.title().eq_ignore_ascii_case(&word))
    {
        return action::act(state, Action::Show(screen));
    }
    let binding = TABLE.iter().find(|binding| binding.word == word);
    let Some(binding) = binding else {
        return Vec::new();
    };
    if let (false, Some(screen)) = (binding.is_on(state.screen), binding.screens.first()) {
        action::act(state, Action::Show(*screen));
    }
    action::act(state, binding.action)
}

/// What begins like what was typed: screens, actions, `ctx NAME`.
pub fn suggestions(text: &str) -> Vec<String> {
    let text = text.trim().to_lowercase();
    let screens = Screen::ALL
        .into_iter()
        .map(|screen| screen.title().to_lowercase());
    let words = TABLE.iter().map(|binding| binding.word.to_owned());
    let all = screens.chain(words).chain(["ctx ".to_owned()]);
    let mut found: Vec<String> = all
        .filter(|word| !word.is_empty() && word.starts_with(&text))
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_enough() {
        assert_eq!(suggestions("ri"), ["ring"]);
        assert_eq!(suggestions("MIG"), ["migrations"]);
        assert!(suggestions("d").contains(&"drain".to_owned()));
        assert!(suggestions("zz").is_empty());
    }
}
