//! Joins the parts: the terminal, the streams, the loop; and carries effects out.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;

use super::ask::ask;
use super::effect::{Ask, Effect};
use super::feed::record::Recorder;
use super::feed::replay::Recording;
use super::feed::{self, Hub};
use super::message::{Message, Now};
use super::run::{Exit, Next, run};
use super::state::State;
use super::term;
use crate::args::top::Top;
use crate::commands::Session;
use crate::error::{CliError, Code};
use crate::settings::{self, Settings, Sources};

/// Messages that wait: streams wait when the screen is slower than they are.
const MESSAGES_MAX: usize = 256;

/// Calls under way at the same time.
const ASKS_MAX: usize = 8;

/// Shows a cluster, or a recording, until somebody wants the end.
pub(super) async fn show(
    state: &mut State,
    settings: &Settings,
    session: &Session,
    args: &Top,
) -> Result<Exit, CliError> {
    let (sender, mut messages) = channel(MESSAGES_MAX);
    let mut tasks = JoinSet::new();
    tasks.spawn(input(sender.clone()));
    let start = Instant::now();
    let mut began_ms = unix_ms();
    let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    let hub = Hub::new(settings.clone(), sender.clone(), recorder);
    match &args.replay {
        Some(path) => {
            let recording = Recording::open(path)?;
            began_ms = recording.unix_ms;
            tasks.spawn(recording.play(sender.clone()));
        }
        None => feed::start(&mut tasks, &hub),
    }
    let now = || Now {
        since_start: start.elapsed(),
        unix_ms: began_ms + start.elapsed().as_millis() as u64,
    };
    let mut world = World {
        hub,
        sender,
        session,
        asks: JoinSet::new(),
    };
    let failed = |error: io::Error| CliError::new(Code::Failure, format!("the terminal: {error}"));
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(failed)?;
    terminal.clear().map_err(failed)?;
    state.columns = terminal.size().map_or(80, |size| size.width);
    planted_panic("loop");
    let carry_out = |effect| world.carry_out(effect);
    tokio::select! {
        biased;
        panicked = first_panic(&mut tasks) => Err(panicked),
        exit = run(&mut terminal, state, &mut messages, now, carry_out) => exit,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

/// Resolves when a task panicked: the terminal has been given back then.
async fn first_panic(tasks: &mut JoinSet<()>) -> CliError {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            return CliError::new(Code::Failure, "a part of the program panicked");
        }
    }
    std::future::pending().await
}

/// Hands keys, the mouse and sizes over.
async fn input(sender: Sender<Message>) {
    planted_panic("task");
    let mut events = EventStream::new();
    while let Some(event) = events.next().await {
        let message = match event {
            Ok(Event::Key(key)) => Message::Key(key),
            Ok(Event::Mouse(mouse)) => Message::Mouse(mouse),
            Ok(Event::Resize(columns, rows)) => Message::Resize(columns, rows),
            Ok(_) => continue,
            // The terminal is gone.
            Err(_) => Message::Quit,
        };
        if sender.send(message).await.is_err() {
            return;
        }
    }
    let _ = sender.send(Message::Quit).await;
}

/// In debug builds: panics where a test says, which then looks whether the terminal was
/// given back.
fn planted_panic(place: &str) {
    let here =
        cfg!(debug_assertions) && std::env::var("CACHECTL_PANIC").is_ok_and(|it| it == place);
    assert!(!here, "planted for a test");
}

struct World<'a> {
    hub: Arc<Hub>,
    sender: Sender<Message>,
    session: &'a Session,
    asks: JoinSet<()>,
}

impl World<'_> {
    fn carry_out(&mut self, effect: Effect) -> Next {
        match effect {
            Effect::Ask(ask) => self.ask(ask),
            Effect::Retry => self.hub.retry.notify_waiters(),
            Effect::Mouse(on) => term::mouse(on),
            Effect::Copy(text) => term::copy(&text),
            Effect::Suspend => {
                if let Err(error) = term::suspend() {
                    self.say(format!("it cannot be suspended: {error}"));
                }
                return Next::Redraw;
            }
            Effect::Context(name) => {
                let mut global = self.session.global.clone();
                global.context = Some(name.clone());
                match settings::resolve(&global, &Sources::default()) {
                    Ok(_) => return Next::End(Exit::Context(name)),
                    Err(error) => self.say(error.to_string()),
                }
            }
            Effect::Quit => return Next::End(Exit::Quit),
        }
        Next::Go
    }

    fn ask(&mut self, wanted: Ask) {
        while self.asks.try_join_next().is_some() {}
        if self.asks.len() >= ASKS_MAX {
            self.say(format!("{ASKS_MAX} calls are under way; try again"));
            return;
        }
        let (hub, sender) = (self.hub.clone(), self.sender.clone());
        self.asks.spawn(async move {
            let result = ask(hub, wanted.clone()).await;
            let _ = sender
                .send(Message::Answer {
                    ask: wanted,
                    result,
                })
                .await;
        });
    }

    /// What does not fit is not said: the channel is full of news then.
    fn say(&self, text: String) {
        let _ = self.sender.try_send(Message::Say { text, bad: true });
    }
}
