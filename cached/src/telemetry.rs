//! The log: to standard error, as text or JSON lines, filtered.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogSettings};

/// Puts another filter in force.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The process has one log, and so one way to change its filter.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Starts logging for the whole process; call once.
pub fn start(settings: &LogSettings) -> Result<(), ConfigError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(settings)?)
        .with_target(false)
        .with_writer(std::io::stderr);
    let failed = |error: &dyn std::fmt::Display| ConfigError::new("--log", error.to_string());
    if settings.json {
        let lines = lines.json().flatten_event(true).with_filter_reloading();
        let handle = lines.reload_handle();
        lines.try_init().map_err(|error| failed(&error))?;
        let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        let _ = SET_FILTER.set(Box::new(set));
    } else {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let lines = lines.with_ansi(std::io::stderr().is_terminal() && !no_color);
        let lines = lines.with_filter_reloading();
        let handle = lines.reload_handle();
        lines.try_init().map_err(|error| failed(&error))?;
        let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        let _ = SET_FILTER.set(Box::new(set));
    }
    Ok(())
}

/// Filters by other directives from now on.
pub fn set_filter(settings: &LogSettings) -> Result<(), ConfigError> {
    let filter = filter(settings)?;
    match SET_FILTER.get() {
        Some(set) => set(filter).map_err(|error| ConfigError::new("--log", error)),
        None => Ok(()),
    }
}

fn filter(settings: &LogSettings) -> Result<EnvFilter, ConfigError> {
    EnvFilter::try_new(&settings.filter).map_err(|error| {
        ConfigError::new(
            "--log",
            format!("{:?} is no filter: {error}", settings.filter),
        )
    })
}
