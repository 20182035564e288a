//! Look a key up, write it, remove it. Pure.

use super::form::Form;
use super::{Dialog, Purpose, name_of_production, read_time};
use crate::top::effect::{Ask, Effect};
use crate::top::list::Tone;
use crate::top::screen;
use crate::top::state::State;

/// Asks for a key.
pub fn open_look_up(state: &mut State) {
    if state.options.replay {
        state.toast("this is a recording: nobody can be asked", false);
        return;
    }
    let (group, _) = screen::keys::chosen(state).unwrap_or_default();
    let form = Form::new(Purpose::LookUp, "Look a key up".to_owned(), "Look up")
        .fields(&[("key", ""), ("group", &group)])
        .typing();
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// Looks the selected key up.
pub fn look_up_selected(state: &mut State) -> Vec<Effect> {
    if state.options.replay {
        state.toast("this is a recording: nobody can be asked", false);
        return Vec::new();
    }
    match screen::keys::selected(state) {
        Some((group, key)) => vec![Effect::Ask(Ask::LookUp { group, key })],
        None => {
            open_look_up(state);
            Vec::new()
        }
    }
}

/// Asks for a key and its value.
pub fn open_set(state: &mut State) {
    let (group, key) = screen::keys::chosen(state).unwrap_or_default();
    let form = Form::new(Purpose::Set, "Write a key".to_owned(), "Write")
        .fields(&[("key", &key), ("value", ""), ("ttl", ""), ("group", &group)])
        .must_type(name_of_production(state))
        .typing();
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// Asks whether the key is to be removed.
pub fn open_delete(state: &mut State) {
    let Some((group, key)) = screen::keys::chosen(state) else {
        state.toast("no key is selected; l looks one up", false);
        return;
    };
    let purpose = Purpose::Delete {
        group: group.clone(),
        key: key.clone(),
    };
    let mut form =
        Form::new(purpose, format!("Delete {key}"), "Delete").must_type(name_of_production(state));
    let group = if group.is_empty() {
        "the cluster's own"
    } else {
        &group
    };
    form.lines = vec![(Tone::Normal, format!("key {key} of group {group}"))];
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// What a confirmed question asks for.
pub fn wanted(form: &Form) -> Result<Ask, String> {
    if let Purpose::Delete { group, key } = &form.purpose {
        return Ok(Ask::Delete {
            group: group.clone(),
            key: key.clone(),
        });
    }
    let (group, key) = (form.value("group").to_owned(), form.value("key").to_owned());
    if key.is_empty() {
        return Err("key is empty".to_owned());
    }
    if matches!(form.purpose, Purpose::LookUp) {
        return Ok(Ask::LookUp { group, key });
    }
    Ok(Ask::Set {
        group,
        key,
        value: form.value("value").to_owned(),
        ttl: read_time(form.value("ttl"), "ttl")?,
    })
}
