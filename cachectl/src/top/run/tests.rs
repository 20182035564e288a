//! The whole loop over a terminal in memory: keys and streams in, pictures out.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::sync::mpsc::channel;

use super::*;
use crate::top::fixture::{at, busy, empty, five, status};
use crate::top::message::{Told, Update};

fn key(c: char) -> Message {
    Message::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
}

fn heard(update: Update) -> Message {
    let endpoint = "http://10.0.0.11:8001".to_owned();
    Message::Told(Told::Heard {
        endpoint,
        update: Box::new(update),
    })
}

async fn play(
    state: &mut State,
    script: Vec<Message>,
) -> (Terminal<TestBackend>, Result<Exit, CliError>) {
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let (sender, mut messages) = channel(64);
    for message in script {
        sender.send(message).await.unwrap();
    }
    let carry_out = |effect| match effect {
        Effect::Quit => Next::End(Exit::Quit),
        Effect::Context(name) => Next::End(Exit::Context(name)),
        Effect::Suspend => Next::Redraw,
        _ => Next::Go,
    };
    let running = run(&mut terminal, state, &mut messages, || at(60.0), carry_out);
    let exit = tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .unwrap();
    (terminal, exit)
}

fn drawn(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let lines = buffer.content.chunks(usize::from(buffer.area.width));
    lines
        .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
        .collect()
}

#[tokio::test]
async fn keys_and_streams_make_pictures() {
    let mut state = empty();
    let script = vec![
        heard(Update::Topology(five())),
        heard(Update::Status(status(true))),
        key('2'),
    ];
    let (sender, mut messages) = channel(64);
    for message in script {
        sender.send(message).await.unwrap();
    }
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let running = run(
        &mut terminal,
        &mut state,
        &mut messages,
        || at(60.0),
        |_| Next::Go,
    );
    // It waits for more.
    assert!(
        tokio::time::timeout(Duration::from_millis(300), running)
            .await
            .is_err()
    );
    let picture = drawn(&terminal);
    assert!(
        picture.contains("[2 Nodes]") && picture.contains("10.0.0.14:8001"),
        "{picture}"
    );
}

#[tokio::test]
async fn the_end_of_the_messages_is_the_end() {
    let mut terminal = Terminal::new(TestBackend::new(10, 3)).unwrap();
    let (sender, mut messages) = channel(1);
    drop(sender);
    let exit = run(
        &mut terminal,
        &mut busy(),
        &mut messages,
        || at(60.0),
        |_| Next::Go,
    )
    .await;
    assert_eq!(exit.unwrap(), Exit::Quit);
}

#[tokio::test]
async fn many_messages_end_in_order() {
    let mut state = busy();
    let mut script: Vec<Message> = (0..BATCH_MAX - 10)
        .map(|_| heard(Update::Topology(five())))
        .collect();
    script.push(Message::Key(KeyEvent::new(
        KeyCode::Char('z'),
        KeyModifiers::CONTROL,
    )));
    script.push(key('7'));
    script.push(key('q'));
    script.push(key('2'));
    let (_, exit) = play(&mut state, script).await;
    assert_eq!(exit.unwrap(), Exit::Quit);
    assert_eq!(state.screen, crate::top::state::Screen::Blacklist);
}
