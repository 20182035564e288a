//! The loop: one message, a few more, one picture. Over any terminal and any world.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

use super::effect::Effect;
use super::message::{Message, Now};
use super::state::State;
use super::update::update;
use super::view::view;
use crate::error::{CliError, Code};

/// Messages taken over before the next picture.
const BATCH_MAX: usize = 64;

/// Time between two pictures that nobody waits for: ten in a second.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// Why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Somebody wanted it.
    Quit,
    /// Somebody wants to see another cluster.
    Context(String),
}

/// What follows an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next message.
    Go,
    /// A picture from nothing: somebody else drew on the terminal.
    Redraw,
    /// The end.
    End(Exit),
}

/// Runs until somebody wants the end. `now`: the time; `carry_out`: does what the state
/// wants done, without waiting for it.
pub async fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    state: &mut State,
    messages: &mut Receiver<Message>,
    now: impl Fn() -> Now,
    mut carry_out: impl FnMut(Effect) -> Next,
) -> Result<Exit, CliError> {
    let mut drawn: Option<Instant> = None;
    let mut tick = Instant::now() + TICK;
    let mut urgent = true;
    loop {
        let due = drawn.map_or_else(Instant::now, |drawn| drawn + BETWEEN_FRAMES);
        if state.dirty && (urgent || due <= Instant::now()) {
            draw(terminal, state)?;
            drawn = Some(Instant::now());
        }
        urgent = false;
        let wake = if state.dirty { due.min(tick) } else { tick };
        let first = tokio::select! {
            biased;
            message = messages.recv() => message,
            () = sleep_until(wake) => {
                if Instant::now() < tick {
                    continue;
                }
                tick = Instant::now() + TICK;
                Some(Message::Tick)
            }
        };
        let Some(first) = first else {
            return Ok(Exit::Quit);
        };
        let mut next = Some(first);
        for _ in 0..BATCH_MAX {
            let Some(message) = next else {
                break;
            };
            // Who pressed a key waits for what comes of it.
            urgent |= !matches!(message, Message::Told(_) | Message::Tick);
            for effect in update(state, now(), message) {
                match carry_out(effect) {
                    Next::Go => {}
                    Next::Redraw => {
                        terminal.clear().map_err(failed)?;
                        state.dirty = true;
                    }
                    Next::End(exit) => return Ok(exit),
                }
            }
            next = messages.try_recv().ok();
        }
        if let Some(message) = next {
            // The batch is full: what was taken out already belongs to the next one.
            for effect in update(state, now(), message) {
                if let Next::End(exit) = carry_out(effect) {
                    return Ok(exit);
                }
            }
        }
    }
}

fn draw<B: Backend>(terminal: &mut Terminal<B>, state: &mut State) -> Result<(), CliError> {
    terminal.draw(|frame| view(state, frame)).map_err(failed)?;
    state.dirty = false;
    Ok(())
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::new(Code::Failure, format!("the terminal: {error}"))
}

#[cfg(test)]
mod tests;
