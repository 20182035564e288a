//! A dialog that asks before something is changed: lines, fields, two buttons. Cancel has
//! the focus at first, and where a name must be typed nothing happens without it. Pure.

use crossterm::event::{KeyCode, KeyEvent};

use crate::top::list::Tone;
use crate::top::update::edit;

/// A dialog.
#[derive(Clone, Debug)]
pub struct Form {
    /// What it is for.
    pub purpose: super::Purpose,
    /// Its title.
    pub title: String,
    /// What there is to know.
    pub lines: Vec<(Tone, String)>,
    /// What can be chosen.
    pub fields: Vec<Field>,
    /// The name that must be typed first.
    pub name: Option<String>,
    /// What the button says.
    pub button: &'static str,
    /// What has the focus: a field, then Cancel, then the button.
    pub focus: usize,
    /// Why it cannot be done; empty: it can.
    pub obstacle: String,
    /// What was wrong with what was typed.
    pub mistake: String,
}

/// A line to be filled in.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// What it is.
    pub label: &'static str,
    /// What was typed.
    pub value: String,
}

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// It stays open.
    Nothing,
    /// Nothing is to be done.
    Cancelled,
    /// It is to be done.
    Confirmed,
}

impl Form {
    /// One with Cancel in focus.
    pub fn new(purpose: super::Purpose, title: String, button: &'static str) -> Self {
        Self {
            purpose,
            title,
            lines: Vec::new(),
            fields: Vec::new(),
            name: None,
            button,
            focus: 0,
            obstacle: String::new(),
            mistake: String::new(),
        }
    }

    /// With these fields.
    pub fn fields(mut self, fields: &[(&'static str, &str)]) -> Self {
        let field = |(label, value): &(&'static str, &str)| Field {
            label,
            value: (*value).to_owned(),
        };
        self.fields = fields.iter().map(field).collect();
        self.focus = self.fields.len();
        self
    }

    /// With a name that must be typed.
    pub fn must_type(mut self, name: Option<String>) -> Self {
        if name.is_some() {
            self.fields.push(Field {
                label: "",
                value: String::new(),
            });
            self.focus = self.fields.len();
        }
        self.name = name;
        self
    }

    /// With the first field in focus: for what changes nothing before it is looked at.
    pub fn typing(mut self) -> Self {
        self.focus = 0;
        self
    }

    /// What was typed into a field.
    pub fn value(&self, label: &str) -> &str {
        let field = self.fields.iter().find(|field| field.label == label);
        field.map_or("", |field| field.value.trim())
    }

    /// Where Cancel is in the order of the focus.
    pub fn cancel(&self) -> usize {
        self.fields.len()
    }

    /// Whether the button does anything.
    pub fn ready(&self) -> bool {
        let typed = self.fields.last().map(|field| field.value.as_str());
        let named = self.name.is_none() || self.name.as_deref() == typed;
        named && self.obstacle.is_empty()
    }

    /// Takes a key.
    pub fn press(&mut self, event: &KeyEvent) -> Pressed {
        let places = self.fields.len() + 2;
        let forward = |focus: usize| (focus + 1) % places;
        match event.code {
            KeyCode::Esc => return Pressed::Cancelled,
            KeyCode::Tab | KeyCode::Down => self.focus = forward(self.focus),
            KeyCode::BackTab | KeyCode::Up => self.focus = (self.focus + places - 1) % places,
            KeyCode::Left | KeyCode::Right if self.focus >= self.cancel() => {
                self.focus = if self.focus == self.cancel() {
                    places - 1
                } else {
                    places - 2
                };
            }
            KeyCode::Enter if self.focus == self.cancel() => return Pressed::Cancelled,
            KeyCode::Enter if self.focus > self.cancel() => {
                if self.ready() {
                    return Pressed::Confirmed;
                }
            }
            KeyCode::Enter => self.focus = forward(self.focus),
            _ => {
                if let Some(field) = self.fields.get_mut(self.focus) {
                    edit(&mut field.value, event);
                    self.mistake.clear();
                }
            }
        }
        Pressed::Nothing
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;
    use crate::top::dialog::Purpose;

    fn press(form: &mut Form, code: KeyCode) -> Pressed {
        form.press(&KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn form() -> Form {
        let purpose = Purpose::Flush {
            group: "users".to_owned(),
        };
        Form::new(purpose, "Flush".to_owned(), "Flush")
    }

    #[test]
    fn enter_at_once_cancels() {
        let mut asked = form().fields(&[("rate", "5MiB")]);
        assert_eq!(press(&mut asked, KeyCode::Enter), Pressed::Cancelled);
        assert_eq!(press(&mut form(), KeyCode::Enter), Pressed::Cancelled);
        assert_eq!(press(&mut form(), KeyCode::Esc), Pressed::Cancelled);
    }

    #[test]
    fn the_button_is_one_step_further() {
        for step in [KeyCode::Tab, KeyCode::Right, KeyCode::Down] {
            let mut form = form();
            assert_eq!(press(&mut form, step), Pressed::Nothing);
            assert_eq!(
                press(&mut form, KeyCode::Enter),
                Pressed::Confirmed,
                "{step:?}"
            );
        }
    }

    #[test]
    fn without_the_name_nothing_happens() {
        let mut form = form().must_type(Some("PROD".to_owned()));
        press(&mut form, KeyCode::Tab);
        assert_eq!(press(&mut form, KeyCode::Enter), Pressed::Nothing);
        press(&mut form, KeyCode::Tab);
        for c in "PROD".chars() {
            assert_eq!(press(&mut form, KeyCode::Char(c)), Pressed::Nothing);
        }
        press(&mut form, KeyCode::Enter);
        assert_eq!(form.focus, form.cancel());
        press(&mut form, KeyCode::Right);
        assert_eq!(press(&mut form, KeyCode::Enter), Pressed::Confirmed);
        form.obstacle = "no room".to_owned();
        assert_eq!(press(&mut form, KeyCode::Enter), Pressed::Nothing);
    }

    #[test]
    fn fields_are_typed_into() {
        let mut form = form().fields(&[("rate", "5M"), ("message", "")]).typing();
        press(&mut form, KeyCode::Backspace);
        press(&mut form, KeyCode::Char('G'));
        press(&mut form, KeyCode::Enter);
        press(&mut form, KeyCode::Char('q'));
        assert_eq!((form.value("rate"), form.value("message")), ("5G", "q"));
        press(&mut form, KeyCode::BackTab);
        press(&mut form, KeyCode::BackTab);
        assert_eq!(form.focus, form.cancel() + 1);
    }
}
