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

use std::io::IsTerminal;

use serde_json::json;

use crate::args::top::{FirstScreen, ThemeName, Top};
use crate::commands::Session;
use crate::error::CliError;
use crate::output::{Body, Report};
use crate::settings::{self, Sources};
use run::Exit;
use state::{Look, Options, Screen, State};

/// `top`.
pub async fn top(session: &Session, args: &Top) -> Result<Report, CliError> {
    if args.print_keys {
        return Ok(Report {
            body: Body::Text(keys::print()),
            json: json!({"kind": "keys", "text": keys::print()}),
        });
    }
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let error = CliError::usage("top needs a terminal that can be drawn on");
        return Err(
            error.hint("`cachectl status` and `cachectl migrations watch -o jsonl` need none")
        );
    }
    let taken = session.interrupt.take();
    let mut settings = session.settings.clone();
    let guard =
        term::Guard::enter().map_err(|error| CliError::usage(format!("the terminal: {error}")))?;
    loop {
        let mut state = State::new(options(args, &settings), look(session, args));
        state.screen = first(args.screen);
        state.choose(&args.filter, &args.sort);
        let exit = tokio::select! {
            biased;
            () = taken.pressed() => Ok(Exit::Quit),
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

fn first(screen: FirstScreen) -> Screen {
    match screen {
        FirstScreen::Overview => Screen::Overview,
        FirstScreen::Nodes => Screen::Nodes,
        FirstScreen::Ring => Screen::Ring,
        FirstScreen::Migrations => Screen::Migrations,
        FirstScreen::Keys => Screen::Keys,
        FirstScreen::Groups => Screen::Groups,
        FirstScreen::Blacklist => Screen::Blacklist,
        FirstScreen::Events => Screen::Events,
    }
}
