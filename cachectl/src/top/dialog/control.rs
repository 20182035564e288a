//! Cancel an operation, change its rate. Pure.

use cached_client::admin::{Control, Operation};

use super::form::Form;
use super::{Dialog, Purpose, name_of_production, read_size};
use crate::top::effect::{Ask, rate};
use crate::top::list::Tone;
use crate::top::screen;
use crate::top::state::State;
use crate::units;

/// Begun with when nothing bounds an operation that is to be slower.
const FIRST_RATE: u64 = 50 << 20;

fn chosen(state: &mut State) -> Option<Operation> {
    let found = screen::migrations::chosen(state).filter(|it| !it.state.is_final());
    let found = found.cloned();
    if found.is_none() {
        state.toast("no migration is open", false);
    }
    found
}

/// Asks whether an operation is to end.
pub fn open_cancel(state: &mut State) {
    let Some(operation) = chosen(state) else {
        return;
    };
    let purpose = Purpose::Cancel {
        id: operation.id.clone(),
    };
    let title = format!(
        "Cancel {} ({} {})",
        operation.id,
        operation.kind,
        operation.nodes.join(" ")
    );
    let mut form = Form::new(purpose, title, "End it").must_type(name_of_production(state));
    let moved = format!(
        "{} slots have moved and stay where they are",
        units::count(operation.moved.slots)
    );
    let left = format!(
        "{} slots have not, and stay where they were",
        units::count(operation.slots_left.into())
    );
    form.lines = vec![(Tone::Normal, moved), (Tone::Normal, left)];
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// Asks for another rate: twice the present one is suggested, or half of it.
pub fn open_rate(state: &mut State, faster: bool) {
    let Some(operation) = chosen(state) else {
        return;
    };
    let now = operation.max_rate_bytes;
    let suggested = match (now, faster) {
        (0, true) => 0,
        (0, false) => FIRST_RATE,
        (now, true) => now.saturating_mul(2),
        (now, false) => (now / 2).max(1 << 20),
    };
    let text = match suggested {
        0 => "none".to_owned(),
        bytes => units::bytes(bytes),
    };
    let purpose = Purpose::Rate {
        id: operation.id.clone(),
    };
    let title = format!("Rate of {}", operation.id);
    let mut form = Form::new(purpose, title, "Set rate")
        .fields(&[("rate cap", &text)])
        .must_type(name_of_production(state));
    let line = format!(
        "now {}, cap {}; over all senders, none: as fast as it goes",
        rate(operation.bytes_per_second),
        rate(now)
    );
    form.lines = vec![(Tone::Normal, line)];
    state.dialog = Some(Dialog::Form(Box::new(form)));
}

/// What a confirmed question asks for.
pub fn wanted(form: &Form) -> Result<Ask, String> {
    match &form.purpose {
        Purpose::Rate { id } => {
            let bytes = read_size(form.value("rate cap"), "rate cap")?;
            let control = Control::Rate(bytes);
            Ok(Ask::Control {
                id: id.clone(),
                control,
            })
        }
        Purpose::Cancel { id } => Ok(Ask::Control {
            id: id.clone(),
            control: Control::Cancel,
        }),
        _ => Err("nothing to do".to_owned()),
    }
}
