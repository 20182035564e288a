//! A panic anywhere in a simulation is a failure of its seed, also in tasks whose end
//! nobody awaits.

use std::sync::Mutex;

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics that are kept.
const KEPT: usize = 5;

/// From now on panics are written down.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tracing::error!("{panic}");
        if seen.len() < KEPT {
            seen.push(format!("panic: {panic}"));
        }
    }));
}

/// Those seen so far.
pub fn seen() -> Vec<String> {
    SEEN.lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone()
}
