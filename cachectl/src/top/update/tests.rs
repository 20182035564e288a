//! Tables of messages: what they do to the state, and what is to be done.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::top::dialog::Dialog;
use crate::top::effect::Change;
use crate::top::fixture::{
    at, busy, draining, empty, five, hear, lose, plan, press, stats, status, type_in,
};
use crate::top::message::Source;
use crate::top::shape::NodeState;
use cached_client::admin::Control;
use cached_client::operations::OperationState;

fn form(state: &State) -> &dialog::form::Form {
    match &state.dialog {
        Some(Dialog::Form(form)) => form,
        other => panic!("no form: {other:?}"),
    }
}

fn toast(state: &State) -> &str {
    state.toasts.last().map_or("", |toast| &toast.text)
}

fn planned(state: &mut State, node: &str) {
    let ask = Ask::Plan {
        change: Change::Drain,
        node: node.to_owned(),
    };
    let now = state.now;
    let result = Ok(Reply::Plan(Box::new(plan())));
    update(state, now, Message::Answer { ask, result });
}

#[test]
fn digits_and_tab_choose_screens() {
    let mut state = busy();
    for (key, screen) in [
        (KeyCode::Char('3'), Screen::Ring),
        (KeyCode::Tab, Screen::Migrations),
        (KeyCode::BackTab, Screen::Ring),
        (KeyCode::Char('8'), Screen::Events),
        (KeyCode::Tab, Screen::Overview),
        (KeyCode::BackTab, Screen::Events),
        (KeyCode::Esc, Screen::Events),
    ] {
        assert_eq!(press(&mut state, key), []);
        assert_eq!(state.screen, screen, "{key:?}");
    }
}

#[test]
fn only_q_and_ctrl_c_end_it() {
    let mut state = busy();
    assert_eq!(press(&mut state, KeyCode::Esc), []);
    assert_eq!(press(&mut state, KeyCode::Char('q')), [Effect::Quit]);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    type_in(&mut state, "?");
    assert_eq!(
        update(&mut state, at(60.0), Message::Key(ctrl_c)),
        [Effect::Quit]
    );
    assert_eq!(update(&mut state, at(60.0), Message::Quit), [Effect::Quit]);
}

#[test]
fn a_drain_is_planned_shown_and_confirmed() {
    let mut state = busy();
    let asked = type_in(&mut state, "d");
    let plan_of = Ask::Plan {
        change: Change::Drain,
        node: "n1".to_owned(),
    };
    assert_eq!(asked, [Effect::Ask(plan_of)]);
    assert!(!form(&state).ready(), "there is no plan yet");
    planned(&mut state, "n2");
    assert!(!form(&state).ready(), "that was another node's");
    planned(&mut state, "n1");
    assert!(form(&state).ready());
    assert_eq!(form(&state).focus, form(&state).cancel());
    press(&mut state, KeyCode::Right);
    let effects = press(&mut state, KeyCode::Enter);
    let [
        Effect::Ask(
            ask @ Ask::Apply {
                id,
                base_layout: 58,
                ..
            },
        ),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}");
    };
    assert_eq!(id, "op-5c1e0000");
    assert!(state.dialog.is_none());
    let line = state.log.back().unwrap();
    assert_eq!(
        (line.kind, line.text.as_str()),
        (Kind::Command, ask.command().as_str())
    );
}

#[test]
fn enter_alone_never_changes_anything() {
    for (keys, screen) in [
        ("d", Screen::Nodes),
        ("x", Screen::Migrations),
        ("F", Screen::Groups),
        ("b", Screen::Nodes),
    ] {
        let mut state = busy();
        state.screen = screen;
        type_in(&mut state, keys);
        planned(&mut state, "n1");
        assert_eq!(press(&mut state, KeyCode::Enter), [], "{keys}");
        assert!(state.dialog.is_none(), "{keys}: Cancel had the focus");
    }
}

#[test]
fn production_asks_for_its_name() {
    let mut state = busy();
    state.options.context = "prod".to_owned();
    state.options.production = true;
    state.options.confirm = "prod".to_owned();
    type_in(&mut state, "d");
    planned(&mut state, "n1");
    press(&mut state, KeyCode::Right);
    assert_eq!(press(&mut state, KeyCode::Enter), []);
    // From the button back to Cancel, to the name.
    press(&mut state, KeyCode::Up);
    press(&mut state, KeyCode::Up);
    type_in(&mut state, "prod");
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Right);
    assert!(matches!(
        press(&mut state, KeyCode::Enter)[..],
        [Effect::Ask(Ask::Apply { .. })]
    ));
}

#[test]
fn nothing_can_be_changed_where_it_must_not() {
    let keys = [
        (Screen::Nodes, "d"),
        (Screen::Nodes, "b"),
        (Screen::Migrations, "p"),
        (Screen::Migrations, "x"),
        (Screen::Groups, "F"),
        (Screen::Keys, "i"),
    ];
    let mut read_only = busy();
    read_only.options.read_only = true;
    let mut replay = busy();
    replay.options.replay = true;
    let mut lost = busy();
    lose(&mut lost, 60.0, Source::Status);
    let mut stale = busy();
    stale.now = at(70.0);
    for (mut state, word) in [
        (read_only, "read-only"),
        (replay, "recording"),
        (lost, "nobody answers"),
        (stale, "nothing heard"),
    ] {
        for (screen, key) in keys {
            state.screen = screen;
            assert_eq!(type_in(&mut state, key), [], "{key}");
            assert!(state.dialog.is_none(), "{key}");
            assert!(toast(&state).contains(word), "{key}: {}", toast(&state));
        }
    }
}

#[test]
fn a_drain_waits_for_the_registry() {
    let mut state = busy();
    hear(&mut state, 60.0, Update::Status(status(false)));
    assert_eq!(type_in(&mut state, "d"), []);
    assert!(
        toast(&state).contains("etcd is unreachable"),
        "{}",
        toast(&state)
    );
}

#[test]
fn a_refused_plan_cannot_be_confirmed() {
    let mut state = busy();
    type_in(&mut state, "d");
    let mut refused = plan();
    refused.checks[0].result = cached_client::admin::CheckResult::Refused;
    let ask = Ask::Plan {
        change: Change::Drain,
        node: "n1".to_owned(),
    };
    let result = Ok(Reply::Plan(Box::new(refused)));
    update(
        &mut state,
        at(60.0),
        Message::Answer {
            ask: ask.clone(),
            result,
        },
    );
    press(&mut state, KeyCode::Right);
    assert_eq!(press(&mut state, KeyCode::Enter), []);
    press(&mut state, KeyCode::Esc);
    type_in(&mut state, "d");
    update(
        &mut state,
        at(60.0),
        Message::Answer {
            ask,
            result: Err("no room".to_owned()),
        },
    );
    assert_eq!(form(&state).obstacle, "no room");
    assert!(state.toasts.last().is_some_and(|toast| toast.bad));
}

#[test]
fn nodes_that_do_not_fit_are_not_drained() {
    let mut state = busy();
    state.screen = Screen::Nodes;
    type_in(&mut state, "G");
    for (key, text) in [
        ("d", "n5 is DOWN: nothing to drain"),
        ("J", "n5 is DOWN: nothing to join"),
    ] {
        assert_eq!(type_in(&mut state, key), []);
        assert_eq!(toast(&state), text);
    }
}

#[test]
fn pausing_and_going_on_is_one_key() {
    let mut state = busy();
    let control = |control| {
        [Effect::Ask(Ask::Control {
            id: "op-7f3a90c1".to_owned(),
            control,
        })]
    };
    assert_eq!(type_in(&mut state, "p"), control(Control::Pause));
    let mut paused = draining();
    paused.state = OperationState::Paused;
    hear(&mut state, 60.0, Update::Operation(paused));
    assert_eq!(type_in(&mut state, "p"), control(Control::Resume));
    let mut done = draining();
    done.state = OperationState::Done;
    hear(&mut state, 60.0, Update::Operation(done));
    assert_eq!(type_in(&mut state, "p"), []);
    assert_eq!(toast(&state), "no migration is open");
}

#[test]
fn the_rate_is_typed() {
    let mut state = busy();
    type_in(&mut state, "-");
    assert_eq!(form(&state).value("rate cap"), "25.0 MiB");
    press(&mut state, KeyCode::Up);
    for _ in 0..12 {
        press(&mut state, KeyCode::Backspace);
    }
    type_in(&mut state, "fast");
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Right);
    assert_eq!(press(&mut state, KeyCode::Enter), []);
    assert!(
        form(&state).mistake.contains("\"fast\""),
        "{}",
        form(&state).mistake
    );
    press(&mut state, KeyCode::Up);
    press(&mut state, KeyCode::Up);
    for _ in 0..4 {
        press(&mut state, KeyCode::Backspace);
    }
    type_in(&mut state, "20MiB");
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Right);
    let rate = Ask::Control {
        id: "op-7f3a90c1".to_owned(),
        control: Control::Rate(20 << 20),
    };
    assert_eq!(press(&mut state, KeyCode::Enter), [Effect::Ask(rate)]);
}

#[test]
fn a_key_is_looked_up_written_and_removed() {
    let mut state = busy();
    state.screen = Screen::Keys;
    type_in(&mut state, "luser:1");
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Right);
    // The group's field, Cancel, the button.
    let effects = press(&mut state, KeyCode::Tab);
    assert_eq!(effects, []);
    state.dialog = None;
    state.found = Some(crate::top::message::Found {
        key: "user:1".to_owned(),
        ..Default::default()
    });
    type_in(&mut state, "D");
    press(&mut state, KeyCode::Right);
    let delete = Ask::Delete {
        group: String::new(),
        key: "user:1".to_owned(),
    };
    assert_eq!(press(&mut state, KeyCode::Enter), [Effect::Ask(delete)]);
    type_in(&mut state, "i");
    press(&mut state, KeyCode::Tab);
    type_in(&mut state, "hello");
    for _ in 0..4 {
        press(&mut state, KeyCode::Tab);
    }
    let set = Ask::Set {
        group: String::new(),
        key: "user:1".to_owned(),
        value: "hello".to_owned(),
        ttl: None,
    };
    assert_eq!(press(&mut state, KeyCode::Enter), [Effect::Ask(set)]);
}

#[test]
fn what_is_held_stays_and_what_is_told_is_kept() {
    let mut state = busy();
    type_in(&mut state, " ");
    let mut shape = five();
    shape.nodes[4].state = NodeState::Up;
    hear(&mut state, 61.0, Update::Topology(shape));
    assert_eq!(state.shown().count(NodeState::Down), 1);
    assert_eq!(state.data.count(NodeState::Down), 0);
    type_in(&mut state, " ");
    assert_eq!(state.shown().count(NodeState::Down), 0);
}

#[test]
fn differences_are_written_down_where_no_journal_tells_them() {
    let mut state = busy();
    state.links = Default::default();
    let mut shape = five();
    shape.nodes[0].state = NodeState::Down;
    shape.nodes[0].detail = "lease expired".to_owned();
    shape.layout = 59;
    hear(&mut state, 61.0, Update::Topology(shape));
    hear(&mut state, 61.0, Update::Status(status(false)));
    hear(&mut state, 62.0, Update::Status(status(false)));
    hear(&mut state, 63.0, Update::Status(status(true)));
    let lines: Vec<&str> = state
        .log
        .iter()
        .rev()
        .take(4)
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(
        lines,
        [
            "etcd is reachable again",
            "etcd is unreachable",
            "layout 59 is in force",
            "n1 is DOWN: lease expired; owns 5.21k slots",
        ]
    );
}

#[test]
fn nothing_is_drawn_when_nothing_changes() {
    let mut state = busy();
    state.dirty = false;
    hear(&mut state, 60.1, Update::Topology(five()));
    assert!(!state.dirty, "the same shape");
    state.now = at(60.1);
    update(&mut state, at(60.2), Message::Tick);
    assert!(!state.dirty, "the same second");
    update(&mut state, at(61.2), Message::Tick);
    assert!(state.dirty, "the clock");
    state.dirty = false;
    type_in(&mut state, " ");
    state.dirty = false;
    hear(&mut state, 61.3, Update::Stats(stats(&five(), 61)));
    assert!(!state.dirty, "the display is held");
}

#[test]
fn the_loss_of_a_node_is_said_once_and_another_one_answers() {
    let mut state = empty();
    hear(&mut state, 1.0, Update::Topology(five()));
    let told = Told::Heard {
        endpoint: "http://10.0.0.12:8001".to_owned(),
        update: Box::new(Update::Topology(five())),
    };
    update(&mut state, at(2.0), Message::Told(told));
    assert_eq!(
        toast(&state),
        "http://10.0.0.11:8001 lost; http://10.0.0.12:8001 answers now"
    );
    update(&mut state, at(20.0), Message::Tick);
    assert!(state.toasts.is_empty(), "good news end by themselves");
    state.toast("bad", true);
    update(&mut state, at(99.0), Message::Tick);
    assert_eq!(state.toasts.len(), 1);
    press(&mut state, KeyCode::Esc);
    assert!(state.toasts.is_empty());
}

#[test]
fn the_palette_goes_to_screens_contexts_and_actions() {
    let mut state = busy();
    type_in(&mut state, ":ring");
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.screen, Screen::Ring);
    type_in(&mut state, ":ctx dev");
    assert_eq!(
        press(&mut state, KeyCode::Enter),
        [Effect::Context("dev".to_owned())]
    );
    type_in(&mut state, ":drain");
    let effects = press(&mut state, KeyCode::Enter);
    assert_eq!(state.screen, Screen::Overview);
    assert!(
        matches!(effects[..], [Effect::Ask(Ask::Plan { .. })]),
        "{effects:?}"
    );
    press(&mut state, KeyCode::Esc);
    type_in(&mut state, ":nonsense");
    assert_eq!(press(&mut state, KeyCode::Enter), []);
    assert!(toast(&state).contains("nonsense"));
}

#[test]
fn sorting_goes_through_the_columns_and_g_twice_to_the_top() {
    let mut state = busy();
    state.screen = Screen::Nodes;
    let mut sorts = Vec::new();
    for _ in 0..3 {
        type_in(&mut state, "s");
        sorts.push(state.choice().sort.clone());
    }
    assert_eq!(sorts, ["NODE", "STATE", "ADDR"]);
    type_in(&mut state, "G");
    assert_eq!(screen::list(&state).place(state.choice()), 4);
    type_in(&mut state, "g");
    assert_eq!(screen::list(&state).place(state.choice()), 4);
    type_in(&mut state, "g");
    assert_eq!(screen::list(&state).place(state.choice()), 0);
}

#[test]
fn the_command_is_copied() {
    let mut state = busy();
    state.screen = Screen::Migrations;
    assert_eq!(
        type_in(&mut state, "y"),
        [Effect::Copy("cachectl migrations".to_owned())]
    );
    type_in(&mut state, "p8");
    assert_eq!(
        type_in(&mut state, "y"),
        [Effect::Copy(
            "cachectl migrations pause op-7f3a90c1".to_owned()
        )]
    );
}
