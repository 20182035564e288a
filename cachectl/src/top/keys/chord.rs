//! A key as it is pressed, shown, and spelled in a file. Pure.

use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::{Deserialize, Deserializer, de};

/// A key with Ctrl or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    /// With Ctrl.
    pub ctrl: bool,
    /// The key.
    pub code: KeyCode,
}

/// Keys that are no character: how a file spells them, and how help shows them.
const NAMED: [(KeyCode, &str, &str); 16] = [
    (KeyCode::Char(' '), "space", "Space"),
    (KeyCode::Enter, "enter", "Enter"),
    (KeyCode::Esc, "esc", "Esc"),
    (KeyCode::Tab, "tab", "Tab"),
    (KeyCode::BackTab, "shift-tab", "Shift-Tab"),
    (KeyCode::Backspace, "backspace", "Backspace"),
    (KeyCode::Delete, "del", "Del"),
    (KeyCode::Insert, "ins", "Ins"),
    (KeyCode::Up, "up", "↑"),
    (KeyCode::Down, "down", "↓"),
    (KeyCode::Left, "left", "←"),
    (KeyCode::Right, "right", "→"),
    (KeyCode::Home, "home", "Home"),
    (KeyCode::End, "end", "End"),
    (KeyCode::PageUp, "pgup", "PgUp"),
    (KeyCode::PageDown, "pgdn", "PgDn"),
];

/// Function keys that terminals have.
const FUNCTIONS: u8 = 12;

impl Chord {
    /// What was pressed.
    pub fn of(event: &KeyEvent) -> Self {
        Self {
            ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
            code: event.code,
        }
    }

    /// As help shows it.
    pub fn name(&self) -> String {
        let named = NAMED.iter().find(|(code, ..)| *code == self.code);
        let key = match (self.code, named) {
            (_, Some((.., shown))) => (*shown).to_owned(),
            (KeyCode::Char(c), None) if self.ctrl => c.to_ascii_uppercase().to_string(),
            (KeyCode::Char(c), None) => c.to_string(),
            (other, None) => other.to_string(),
        };
        if self.ctrl {
            format!("Ctrl-{key}")
        } else {
            key
        }
    }

    /// As a file spells it.
    pub fn spelled(&self) -> String {
        let named = NAMED.iter().find(|(code, ..)| *code == self.code);
        let key = match (self.code, named) {
            (_, Some((_, spelled, _))) => (*spelled).to_owned(),
            (KeyCode::Char(c), None) => c.to_string(),
            (KeyCode::F(number), None) => format!("f{number}"),
            (other, None) => other.to_string(),
        };
        if self.ctrl {
            format!("ctrl-{key}")
        } else {
            key
        }
    }
}

impl FromStr for Chord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            let named = NAMED.map(|(_, spelled, _)| spelled);
            format!(
                "{text:?} is no key: one character, f1 to f{FUNCTIONS}, {}, or one of them after `ctrl-`",
                named.join(", ")
            )
        };
        let (ctrl, key) = match text.strip_prefix("ctrl-") {
            Some(key) => (true, key),
            None => (false, text),
        };
        let mut characters = key.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(one), None) if !one.is_control() && one != ' ' => KeyCode::Char(one),
            (Some('f'), Some(_))
                if key[1..].parse().is_ok_and(|n| (1..=FUNCTIONS).contains(&n)) =>
            {
                KeyCode::F(key[1..].parse().unwrap_or(1))
            }
            (Some(_), _) => {
                let named = NAMED.iter().find(|(_, spelled, _)| *spelled == key);
                named.map(|(code, ..)| *code).ok_or_else(unknown)?
            }
            (None, _) => return Err(unknown()),
        };
        Ok(Self { ctrl, code })
    }
}

impl<'de> Deserialize<'de> for Chord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_is_read_again() {
        for text in [
            "j",
            "G",
            "+",
            "-",
            "space",
            "ctrl-z",
            "ctrl--",
            "shift-tab",
            "pgdn",
            "f1",
            "f12",
            "f",
        ] {
            let chord: Chord = text.parse().unwrap();
            assert_eq!(chord.spelled(), text);
        }
        let shown = |text: &str| text.parse::<Chord>().unwrap().name();
        assert_eq!(
            (shown("ctrl-z"), shown("up")),
            ("Ctrl-Z".to_owned(), "↑".to_owned())
        );
    }

    #[test]
    fn what_is_no_key_is_refused_and_says_what_is_one() {
        for text in ["", " ", "jj", "f0", "f13", "Enter", "alt-j", "ctrl-", "\n"] {
            let refusal = text.parse::<Chord>().unwrap_err();
            assert!(
                refusal.contains("is no key") && refusal.contains("pgup"),
                "{refusal}"
            );
        }
    }
}
