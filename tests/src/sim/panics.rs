//! A panic anywhere in a simulation, also in tasks whose end nobody awaits, and whatever
//! the product itself calls an error, is a failure of its seed.

use std::fmt::Write;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Alarms that are kept.
const KEPT: usize = 5;

/// From now on panics are written down.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
        keep(format!("panic: {panic}"));
    }));
}

/// Those seen so far.
pub fn seen() -> Vec<String> {
    let seen = SEEN.lock();
    seen.unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone()
}

fn keep(alarm: String) {
    let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if seen.len() < KEPT {
        seen.push(alarm);
    }
}

/// Writes down errors that the product logs.
#[derive(Debug)]
pub struct Errors;

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() == Level::ERROR && metadata.target().starts_with("cached::") {
            let mut text = format!("error in {}:", metadata.target());
            event.record(&mut Fields(&mut text));
            keep(text);
        }
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
