//! `top`: the cluster on one screen, and what an operator does to it.
//!
//! Reading order: [`message`] (all that can happen), [`state`] and [`data`] (all that is
//! known), [`update`] (message and state -> state and effects), [`effect`] (all that can be
//! done), [`keys`] (the one table of keys), [`screen`] and [`dialog`] (one file each),
//! [`view`] (state -> picture). Those are pure. [`run`] is the loop around them, [`feed`]
//! the streams, [`ask`] carries effects out, [`term`] the terminal.

pub mod action;
pub mod ask;
pub mod data;
pub mod dialog;
pub mod effect;
pub mod feed;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod keys;
pub mod link;
pub mod list;
pub mod message;
pub mod noticed;
pub mod run;
pub mod screen;
pub mod shape;
#[cfg(test)]
mod snapshots;
pub mod state;
pub mod term;
pub mod update;
pub mod view;
mod world;

use std::io::{self, IsTerminal};

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::top::{ThemeName, Top};
use crate::commands::Session;
use crate::error::{CliError, Code};
use crate::output::{Body, Report};
use crate::settings::{self, Sources};
use file::Taste;
use run::Exit;
use state::{Look, Options, State};
use view::theme::Theme;

/// `top`.
pub async fn top(session: &Session, args: &Top) -> Result<Report, CliError> {
    let taste = Taste::load()?;
    if args.print_keys || args.print_theme {
        return Ok(printed(session, args, &taste));
    }
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let error = CliError::usage("top needs a terminal that can be drawn on");
        return Err(
            error.hint("`cachectl status` and `cachectl migrations watch -o jsonl` need none")
        );
    }
    let taken = session.interrupt.take();
    // Before the terminal is taken over: from then on they must not end the program.
    let mut signals = Signals::listen()
        .map_err(|error| CliError::new(Code::Failure, format!("signals: {error}")))?;
    let mut settings = session.settings.clone();
    let guard =
        term::Guard::enter().map_err(|error| CliError::usage(format!("the terminal: {error}")))?;
    loop {
        let mut state = State::new(options(args, &settings), look(session, args));
        state.theme = state.theme.painted(&taste.paints);
        state.keys = taste.keys.clone();
        state.screen = args.screen;
        state.choose(&args.filter, &args.sort);
        let exit = tokio::select! {
            biased;
            () = taken.pressed() => Ok(Exit::Quit),
            () = signals.told_to_end() => Ok(Exit::Quit),
            exit = world::show(&mut state, &settings, session, args) => exit,
        };
        match exit {
            Ok(Exit::Quit) => return Ok(Report::silent()),
            Ok(Exit::Context(name)) => {
                let mut global = session.global.clone();
                // What was named for the first cluster does not hold for another one.
                (global.endpoint, global.etcd, global.cluster) = (Vec::new(), Vec::new(), None);
                global.context = Some(name);
                settings = settings::resolve(&global, &Sources::default())?;
            }
            Err(error) => {
                drop(guard);
                return Err(error);
            }
        }
    }
}

/// Those that end a program in good order.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when one has come. Cancel-safe.
    async fn told_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

fn options(args: &Top, settings: &settings::Settings) -> Options {
    Options {
        context: settings.context.clone().unwrap_or_default(),
        production: settings.production,
        confirm: settings.confirm.clone().unwrap_or_default(),
        read_only: settings.read_only,
        replay: args.replay.is_some(),
    }
}

fn look(session: &Session, args: &Top) -> Look {
    Look {
        ascii: args.ascii || !session.output.unicode(),
        mono: args.theme == ThemeName::Mono || !session.output.colors(),
        light: args.theme == ThemeName::Light,
        wide: false,
    }
}

/// The keys or the theme, or both, as `top.toml` spells them.
fn printed(session: &Session, args: &Top, taste: &Taste) -> Report {
    let keys = args.print_keys.then(|| taste.keys.print());
    // As it looks on a terminal, wherever this goes.
    let look = Look {
        mono: args.theme == ThemeName::Mono,
        ..look(session, args)
    };
    let theme = Theme::new(look).painted(&taste.paints);
    let theme = args.print_theme.then(|| theme.print());
    let parts: Vec<String> = keys.into_iter().chain(theme).collect();
    let text = parts.join("\n");
    Report {
        json: json!({"kind": "taste", "text": text}),
        body: Body::Text(text),
    }
}
