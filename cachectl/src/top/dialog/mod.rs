//! What opens on top of a screen: questions before changes, help, the palette. Pure.

pub mod blacklist;
pub mod control;
pub mod form;
pub mod group;
pub mod help;
pub mod key;
pub mod palette;
pub mod plan;

use std::time::Duration;

use cached_client::admin::Plan;
use crossterm::event::KeyEvent;

use super::action;
use super::effect::{Ask, Change, Effect};
use super::state::State;
use form::{Form, Pressed};

/// What is open.
#[derive(Clone, Debug)]
pub enum Dialog {
    /// A question.
    Form(Box<Form>),
    /// The table of keys.
    Help {
        /// What is searched for.
        search: String,
        /// The first line shown.
        top: usize,
    },
    /// What is being typed.
    Palette(String),
}

/// What a question is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// A change of the layout; the plan once it is known.
    Plan {
        /// Which.
        change: Change,
        /// Whom.
        node: String,
        /// What was planned.
        plan: Option<Box<Plan>>,
    },
    /// End an operation.
    Cancel {
        /// Which.
        id: String,
    },
    /// Change its rate.
    Rate {
        /// Which.
        id: String,
    },
    /// Nobody attempts a node.
    Block {
        /// Whom.
        node: String,
    },
    /// Look a key up.
    LookUp,
    /// Write a key.
    Set,
    /// Remove a key.
    Delete {
        /// Its group.
        group: String,
        /// The key.
        key: String,
    },
    /// A new group.
    Create,
    /// Remove every entry of a group.
    Flush {
        /// Which.
        group: String,
    },
}

/// Takes a key while something is open.
pub fn on_key(state: &mut State, event: &KeyEvent) -> Vec<Effect> {
    match state.dialog.take() {
        Some(Dialog::Help { search, top }) => {
            state.dialog = help::press(&state.keys, search, top, event);
            Vec::new()
        }
        Some(Dialog::Palette(text)) => palette::press(state, text, event),
        Some(Dialog::Form(mut form)) => match form.press(event) {
            Pressed::Cancelled => Vec::new(),
            Pressed::Nothing => {
                state.dialog = Some(Dialog::Form(form));
                Vec::new()
            }
            Pressed::Confirmed => confirm(state, form),
        },
        None => Vec::new(),
    }
}

fn confirm(state: &mut State, mut form: Box<Form>) -> Vec<Effect> {
    let looks = matches!(form.purpose, Purpose::LookUp);
    if let Some(obstacle) = state.obstacle().filter(|_| !looks) {
        form.mistake = obstacle;
        state.dialog = Some(Dialog::Form(form));
        return Vec::new();
    }
    match wanted(&form) {
        Ok(ask) => action::ask(state, ask),
        Err(mistake) => {
            form.mistake = mistake;
            state.dialog = Some(Dialog::Form(form));
            Vec::new()
        }
    }
}

/// What a question that was confirmed asks for, or what was typed wrong.
fn wanted(form: &Form) -> Result<Ask, String> {
    match &form.purpose {
        Purpose::Plan { .. } => plan::wanted(form),
        Purpose::Cancel { .. } | Purpose::Rate { .. } => control::wanted(form),
        Purpose::Block { .. } => blacklist::wanted(form),
        Purpose::LookUp | Purpose::Set | Purpose::Delete { .. } => key::wanted(form),
        Purpose::Create | Purpose::Flush { .. } => group::wanted(form),
    }
}

/// A plan came: into the question that waits for it, if it is still open.
pub fn planned(state: &mut State, ask: &Ask, plan: Plan) {
    if let (Some(Dialog::Form(form)), Ask::Plan { change, node }) = (&mut state.dialog, ask) {
        plan::show(form, *change, node, plan);
    }
}

/// What was asked for failed: the question that waits for it says so.
pub fn failed(state: &mut State, ask: &Ask, text: &str) {
    if let (Some(Dialog::Form(form)), Ask::Plan { .. }) = (&mut state.dialog, ask) {
        form.obstacle = text.to_owned();
        form.lines.clear();
    }
}

/// The name that must be typed in this context; `None`: none.
fn name_of_production(state: &State) -> Option<String> {
    let options = &state.options;
    Some(options.confirm.clone()).filter(|name| !name.is_empty())
}

/// `10m`; empty: none.
fn read_time(text: &str, field: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() || text == "none" {
        return Ok(None);
    }
    let time = humantime::parse_duration(text);
    time.map(Some)
        .map_err(|bad| format!("{field} {text:?}: {bad}; for instance 10m"))
}

/// `50MiB`, with or without `/s`; empty: 0.
fn read_size(text: &str, field: &str) -> Result<u64, String> {
    let size = text.trim().trim_end_matches("/s");
    if size.is_empty() || size == "none" {
        return Ok(0);
    }
    let read = size.parse::<bytesize::ByteSize>();
    read.map(|size| size.as_u64())
        .map_err(|bad| format!("{field} {text:?}: {bad}; for instance 50MiB"))
}
