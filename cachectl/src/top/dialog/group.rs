//! Groups: a new one, or one that is emptied. Pure.

use super::form::Form;
use super::{Dialog, Purpose, name_of_production, read_size, read_time};
use crate::top::effect::Ask;
use crate::top::list::Tone;
use crate::top::screen;
use crate::top::state::State;

/// Asks for a new group's settings.
pub fn open_create(state: &mut State) {
    let form = Form::new(Purpose::Create, "New group".to_owned(), "Create")
        .fields(&[("name", ""), ("max bytes", "none"), ("ttl", "none")])
        .must_type(name_of_production(state))
        .typing();
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// Asks whether a group is to be emptied: its name must be typed, everywhere.
pub fn open_flush(state: &mut State) {
    let Some(group) = screen::groups::selected(state) else {
        state.toast("no group is selected", false);
        return;
    };
    let purpose = Purpose::Flush {
        group: group.clone(),
    };
    let mut form =
        Form::new(purpose, format!("Flush {group}"), "Flush").must_type(Some(group.clone()));
    let text = format!("removes every entry of {group}, on every node");
    form.lines = vec![(Tone::Warn, text)];
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// What a confirmed question asks for.
pub fn wanted(form: &Form) -> Result<Ask, String> {
    if let Purpose::Flush { group } = &form.purpose {
        return Ok(Ask::Flush {
            group: group.clone(),
        });
    }
    let name = form.value("name");
    if name.is_empty() {
        return Err("name is empty".to_owned());
    }
    Ok(Ask::CreateGroup {
        name: name.to_owned(),
        max_bytes: read_size(form.value("max bytes"), "max bytes")?,
        ttl: read_time(form.value("ttl"), "ttl")?,
    })
}
