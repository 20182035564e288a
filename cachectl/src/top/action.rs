//! What an action does to the state, where no dialog is open. Pure.

use cached_client::admin::Control;
use cached_client::operations::OperationState;

use super::dialog::{self, Dialog};
use super::effect::{Ask, Change, Effect};
use super::keys::{self, Action};
use super::list::Filter;
use super::screen;
use super::state::{Kind, Screen, State};
use super::update::show;

/// Carries an action out.
pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    let second_g = action == Action::First && state.first_g;
    state.first_g = action == Action::First && !second_g;
    if keys::changes(action)
        && let Some(obstacle) = state.obstacle()
    {
        state.toast(obstacle, false);
        return Vec::new();
    }
    match action {
        Action::Show(screen) => show(state, screen),
        Action::Next => step_screen(state, 1),
        Action::Previous => step_screen(state, Screen::ALL.len() - 1),
        Action::Move(by) => screen::step(state, by),
        Action::First if second_g => screen::step(state, isize::MIN),
        Action::First => {}
        Action::Last => screen::step(state, isize::MAX),
        Action::Open => return open(state),
        Action::Back => back(state),
        Action::Filter => state.typing_filter = true,
        Action::Sort => sort(state),
        Action::Reverse => state.choice_mut().reverse ^= true,
        Action::Hold => hold(state),
        Action::Expand => state.expanded ^= true,
        Action::Wide => state.look.wide ^= true,
        Action::Mouse => {
            state.mouse ^= true;
            let word = if state.mouse { "on" } else { "off" };
            state.toast(format!("mouse {word}"), false);
            return vec![Effect::Mouse(state.mouse)];
        }
        Action::Copy => return copy(state),
        Action::Retry => return vec![Effect::Retry],
        Action::Palette => state.dialog = Some(Dialog::Palette(String::new())),
        Action::Help => {
            state.dialog = Some(Dialog::Help {
                search: String::new(),
                top: 0,
            })
        }
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => return vec![Effect::Quit],
        changing => return change(state, changing),
    }
    Vec::new()
}

/// Actions that change the cluster, and looking keys up: most open a dialog.
fn change(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Drain => return dialog::plan::open(state, Change::Drain),
        Action::Undrain => return dialog::plan::open(state, Change::Undrain),
        Action::Join => return dialog::plan::open(state, Change::Join),
        Action::Block => dialog::blacklist::open(state),
        Action::Unblock => return dialog::blacklist::take_back(state),
        Action::Pause => return pause(state),
        Action::Cancel => dialog::control::open_cancel(state),
        Action::Faster => dialog::control::open_rate(state, true),
        Action::Slower => dialog::control::open_rate(state, false),
        Action::Locate => dialog::key::open_look_up(state),
        Action::Set => dialog::key::open_set(state),
        Action::Delete => dialog::key::open_delete(state),
        Action::Create => dialog::group::open_create(state),
        Action::Flush => dialog::group::open_flush(state),
        _ => {}
    }
    Vec::new()
}

fn step_screen(state: &mut State, by: usize) {
    let at = (state.screen as usize + by) % Screen::ALL.len();
    show(state, Screen::ALL[at]);
}

/// What is selected, in detail.
fn open(state: &mut State) -> Vec<Effect> {
    match state.screen {
        Screen::Overview => {
            let selected = state.choice().selected.clone();
            state.choices[Screen::Nodes as usize].selected = selected;
            show(state, Screen::Nodes);
        }
        Screen::Keys => return dialog::key::look_up_selected(state),
        _ => state.expanded ^= true,
    }
    Vec::new()
}

fn back(state: &mut State) {
    if !state.toasts.is_empty() {
        state.toasts.clear();
    } else if state.expanded {
        state.expanded = false;
    } else if !state.choice().filter.is_empty() {
        state.choice_mut().filter = Filter::default();
    } else if state.held.is_some() {
        state.held = None;
    }
}

fn sort(state: &mut State) {
    let columns = screen::list(state).columns;
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let choice = state.choice_mut();
    let at = titles
        .iter()
        .position(|it| it.eq_ignore_ascii_case(&choice.sort));
    // After the last column: as they come.
    let next = titles.get(at.map_or(0, |at| at + 1));
    choice.sort = next.map_or(String::new(), |title| (*title).to_owned());
    choice.reverse = false;
}

fn hold(state: &mut State) {
    state.held = match state.held.take() {
        Some(_) => None,
        None => Some((state.now.since_start, Box::new(state.data.clone()))),
    };
}

fn pause(state: &mut State) -> Vec<Effect> {
    let Some(operation) = screen::migrations::chosen(state) else {
        state.toast("no migration is open", false);
        return Vec::new();
    };
    let control = match operation.state {
        OperationState::Paused => Control::Resume,
        OperationState::Running => Control::Pause,
        other => {
            let text = format!("{} is {other}", operation.id);
            state.toast(text, false);
            return Vec::new();
        }
    };
    let id = operation.id.clone();
    ask(state, Ask::Control { id, control })
}

/// Asks the cluster, and writes the command that does the same into the log.
pub fn ask(state: &mut State, ask: Ask) -> Vec<Effect> {
    if !ask.only_looks() {
        state.log(Kind::Command, ask.command());
    }
    vec![Effect::Ask(ask)]
}

/// The command that was given last, else the one that shows what this screen does.
fn copy(state: &mut State) -> Vec<Effect> {
    let given = state
        .log
        .iter()
        .rev()
        .find(|line| line.kind == Kind::Command);
    let command = match (state.screen, given) {
        (Screen::Events, Some(line)) => line.text.clone(),
        _ => screen::command(state),
    };
    state.toast(format!("copied: {command}"), false);
    vec![Effect::Copy(command)]
}
