//! The command line of what looks on: hot keys, events, checks, rates.

use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// Shows again and again.
#[derive(Clone, Debug, Default, Args)]
pub struct Watch {
    /// Show it again so often, until Ctrl-C.
    #[arg(short = 'w', long = "watch", value_name = "TIME", value_parser = interval, num_args = 0..=1, default_missing_value = "1s")]
    pub every: Option<Duration>,
}

/// Shortest pause between two looks: each asks every node.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|bad| bad.to_string())?;
    if every < INTERVAL_MIN {
        return Err("at least 100ms".to_owned());
    }
    Ok(every)
}

/// By what keys are hot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HotBy {
    /// Operations.
    #[default]
    Ops,
    /// Bytes of keys and values, read or written.
    Bytes,
}

/// `hotkeys`.
#[derive(Clone, Debug, Args)]
pub struct HotKeys {
    /// How far back, at most 5 minutes.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    pub window: Duration,
    /// How many keys.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub top: u32,
    /// What makes a key hot.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "ops")]
    pub by: HotBy,
    /// Only this node's.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
    /// Only this group's [default: all].
    #[arg(short, long, value_name = "GROUP", add = ArgValueCompleter::new(complete::groups))]
    pub group: Option<String>,
    /// Again and again.
    #[command(flatten)]
    pub watch: Watch,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AtLeast {
    /// All.
    #[default]
    Info,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
}

/// `events`.
#[derive(Clone, Debug, Args)]
pub struct Events {
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// How far back.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
    pub since: Duration,
    /// Leave out what is less bad.
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "info")]
    pub severity: AtLeast,
    /// Only as this node saw it.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
}

/// Whose words `check` speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A line for each check.
    #[default]
    Text,
    /// One document.
    Json,
    /// One line and the exit codes 0, 1, 2 and 3 of a Nagios plugin.
    Nagios,
    /// The text format of Prometheus, for a node exporter's folder.
    Prometheus,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Whose words.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,
}
