//! A message and the state before -> the state after, and what is to be done. Pure.

use std::time::Duration;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::action;
use super::dialog;
use super::effect::{Ask, Effect};
use super::link::Freshness;
use super::list::Filter;
use super::message::{Message, Now, Reply, Told, Update};
use super::noticed;
use super::screen;
use super::state::{Kind, Screen, State};

/// Most characters of what is typed.
const TYPED_MAX: usize = 200;

/// Takes a message over.
pub fn update(state: &mut State, now: Now, message: Message) -> Vec<Effect> {
    let before = state.now;
    state.now = now;
    match message {
        Message::Key(event) if event.kind != KeyEventKind::Release => {
            state.dirty = true;
            on_key(state, &event)
        }
        Message::Key(_) => Vec::new(),
        Message::Mouse(event) => on_mouse(state, event),
        Message::Resize(columns, _) => {
            state.columns = columns;
            state.dirty = true;
            Vec::new()
        }
        Message::Tick => {
            on_tick(state, before);
            Vec::new()
        }
        Message::Told(told) => {
            on_told(state, told);
            Vec::new()
        }
        Message::Answer { ask, result } => {
            state.dirty = true;
            on_answer(state, &ask, result);
            Vec::new()
        }
        Message::Say { text, bad } => {
            state.dirty = true;
            state.toast(text, bad);
            Vec::new()
        }
        Message::Quit => vec![Effect::Quit],
    }
}

/// Ages and the clock are shown in seconds, so a second is what makes a difference.
fn on_tick(state: &mut State, before: Now) {
    state.drop_old_toasts();
    state.dirty |= before.unix_ms / 1000 != state.now.unix_ms / 1000;
    let counts_down = matches!(state.freshness(), Freshness::Reconnecting { .. });
    state.dirty |= counts_down;
}

fn on_told(state: &mut State, told: Told) {
    match told {
        Told::Heard { endpoint, update } => on_heard(state, &endpoint, *update),
        Told::Lost {
            source,
            reason,
            attempt,
            retry_in_ms,
        } => {
            let retry = Duration::from_millis(retry_in_ms);
            state.links.lose(state.now, source, reason, attempt, retry);
            state.dirty = true;
        }
        Told::End => {
            state.ended = true;
            state.dirty = true;
            state.toast("the recording ends here", false);
        }
    }
}

fn on_heard(state: &mut State, endpoint: &str, update: Update) {
    let source = update.source();
    let fresh = matches!(state.freshness(), Freshness::Live(_));
    if let Some(before) = state.links.hear(state.now, source, endpoint)
        && matches!(update, Update::Topology(_))
    {
        state.toast(format!("{before} lost; {endpoint} answers now"), false);
    }
    noticed::notice(state, &update);
    if let Update::Topology(shape) = &update {
        say_skew(state, noticed::skew(shape, env!("CARGO_PKG_VERSION")));
    }
    if let Update::Event(event) = update {
        state.dirty |= state.log_event(event);
        return;
    }
    let same = match (&update, &state.data) {
        (Update::Topology(new), data) => data.shape.as_ref() == Some(new),
        (Update::Blacklist(new), data) => data.blacklist == *new,
        (Update::Groups(new), data) => data.groups == *new,
        (Update::HotKeys(new), data) => data.hot_keys == *new,
        _ => false,
    };
    state.data.absorb(state.now, update);
    state.dirty |= !fresh || (!same && state.held.is_none());
}

/// Says once that not everybody runs the same version.
fn say_skew(state: &mut State, skew: Option<String>) {
    if state.skew == skew {
        return;
    }
    if let Some(text) = &skew {
        state.toast(text.clone(), false);
    }
    state.skew = skew;
}

fn on_answer(state: &mut State, ask: &Ask, result: Result<Reply, String>) {
    match result {
        Ok(Reply::Plan(plan)) => dialog::planned(state, ask, *plan),
        Ok(Reply::Found(found)) => {
            if found.problem.is_empty() {
                state.found = Some(*found);
            } else {
                state.toast(found.problem.clone(), true);
                state.found = Some(*found);
            }
        }
        Ok(Reply::Operation(operation)) => {
            state.toast(format!("{} is {}", operation.id, operation.state), false);
            let update = Update::Operation(*operation);
            state.data.absorb(state.now, update);
        }
        Ok(Reply::Done(text)) => state.toast(text, false),
        Err(text) => {
            dialog::failed(state, ask, &text);
            let text = format!("{}: {text}", ask.command());
            state.log(Kind::Error, text.clone());
            state.toast(text, true);
        }
    }
}

fn on_key(state: &mut State, event: &KeyEvent) -> Vec<Effect> {
    let interrupt =
        event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    if interrupt {
        return vec![Effect::Quit];
    }
    if state.dialog.is_some() {
        return dialog::on_key(state, event);
    }
    if state.typing_filter {
        return type_filter(state, event);
    }
    let Some(action) = state.keys.action(state.screen, event) else {
        state.first_g = false;
        return Vec::new();
    };
    action::act(state, action)
}

fn type_filter(state: &mut State, event: &KeyEvent) -> Vec<Effect> {
    let mut text = state.choice().filter.text.clone();
    match event.code {
        KeyCode::Enter => state.typing_filter = false,
        KeyCode::Esc => {
            state.typing_filter = false;
            text.clear();
        }
        _ => edit(&mut text, event),
    }
    state.choice_mut().filter = Filter::new(&text);
    Vec::new()
}

/// What typing does to a text.
pub fn edit(text: &mut String, event: &KeyEvent) {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Char('u') if ctrl => text.clear(),
        KeyCode::Char(_) if ctrl => {}
        KeyCode::Char(c) if text.chars().count() < TYPED_MAX => text.push(c),
        KeyCode::Backspace => drop(text.pop()),
        _ => {}
    }
}

fn on_mouse(state: &mut State, event: MouseEvent) -> Vec<Effect> {
    match event.kind {
        MouseEventKind::ScrollDown => screen::step(state, 1),
        MouseEventKind::ScrollUp => screen::step(state, -1),
        // The second line has the screens' names, eight equal parts of it.
        MouseEventKind::Down(MouseButton::Left) if event.row == 1 && state.dialog.is_none() => {
            let tab = super::view::header::tab_at(state, event.column);
            if let Some(screen) = tab {
                show(state, screen);
            }
        }
        _ => return Vec::new(),
    }
    state.dirty = true;
    Vec::new()
}

/// Another screen.
pub fn show(state: &mut State, screen: Screen) {
    state.screen = screen;
    state.expanded = false;
    state.typing_filter = false;
}

#[cfg(test)]
mod tests;
