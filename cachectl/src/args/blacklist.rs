//! The command line of the blacklist.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// `blacklist`.
#[derive(Clone, Debug, Args)]
pub struct Blacklist {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub command: Option<BlacklistCommand>,
}

/// What `blacklist list` is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BlacklistBy {
    /// Who does not attempt.
    #[default]
    Observer,
    /// Who is not attempted.
    Target,
}

/// What can be done with the blacklist.
#[derive(Clone, Debug, Subcommand)]
pub enum BlacklistCommand {
    /// Every entry: each node's own, and those made by hand.
    #[command(
        after_help = "Examples:\n  cachectl blacklist list\n  cachectl blacklist list --by target -o json\n\nExit codes: 0 ok · 4 unreachable"
    )]
    List {
        /// What entries are sorted by.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "observer")]
        by: BlacklistBy,
    },
    /// Nobody attempts this node for a while. Its slots stay its own.
    #[command(
        after_help = "Examples:\n  cachectl blacklist add n2 --ttl 10m --reason 'disk swap'\n  cachectl blacklist add n2 -o json\n\nExit codes: 0 ok · 3 no such node · 4 unreachable · 6 the last one that is not listed"
    )]
    Add {
        /// Whom.
        #[arg(add = ArgValueCompleter::new(complete::nodes))]
        node: String,
        /// For how long.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
        ttl: Duration,
        /// Why, for the others.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Take an entry made by hand back.
    #[command(
        after_help = "Examples:\n  cachectl blacklist remove n2\n  cachectl blacklist remove n2 -o json\n\nExit codes: 0 ok · 3 no such entry · 4 unreachable"
    )]
    Remove {
        /// Whom.
        #[arg(add = ArgValueCompleter::new(complete::nodes))]
        node: String,
    },
}
