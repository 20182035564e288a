//! Entries of the blacklist made by hand. Pure.

use super::form::Form;
use super::{Dialog, Purpose, name_of_production, read_time};
use crate::top::action;
use crate::top::effect::{Ask, Effect};
use crate::top::list::Tone;
use crate::top::screen;
use crate::top::state::State;

/// Asks whether nobody shall attempt the selected node for a while.
pub fn open(state: &mut State) {
    let Some(node) = screen::blacklist::target(state) else {
        state.toast("no node is selected", false);
        return;
    };
    let purpose = Purpose::Block { node: node.clone() };
    let mut form = Form::new(purpose, format!("Blacklist {node}"), "Blacklist")
        .fields(&[("for", "5m"), ("reason", "")])
        .must_type(name_of_production(state));
    let text = format!("nobody attempts {node} meanwhile; its slots stay its own");
    form.lines = vec![(Tone::Normal, text)];
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// Takes the entry made by hand back.
pub fn take_back(state: &mut State) -> Vec<Effect> {
    let Some(node) = screen::blacklist::target(state) else {
        state.toast("no node is selected", false);
        return Vec::new();
    };
    let entries = &state.data.blacklist.entries;
    if !entries
        .iter()
        .any(|entry| entry.manual && entry.target == node)
    {
        let text = format!("no entry made by hand names {node}; others end by themselves");
        state.toast(text, false);
        return Vec::new();
    }
    action::ask(state, Ask::Unblock { node })
}

/// What a confirmed question asks for.
pub fn wanted(form: &Form) -> Result<Ask, String> {
    let Purpose::Block { node } = &form.purpose else {
        return Err("nothing to do".to_owned());
    };
    let ttl = read_time(form.value("for"), "for")?;
    let ttl = ttl.ok_or("for is empty: an entry must end; for instance 5m")?;
    Ok(Ask::Block {
        node: node.clone(),
        ttl,
        reason: form.value("reason").to_owned(),
    })
}
