//! The command line of keys: get, set, delete, locate.

use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// How keys are written on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyEncoding {
    /// As typed.
    #[default]
    Utf8,
    /// Two hexadecimal digits per byte.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Which key of which group.
#[derive(Clone, Debug, Args)]
pub struct InGroup {
    /// Group [default: the cluster's own].
    #[arg(short, long, value_name = "GROUP", env = "CACHECTL_GROUP", add = ArgValueCompleter::new(complete::groups))]
    pub group: Option<String>,
    /// How keys are written here.
    #[arg(long, value_enum, value_name = "ENCODING", default_value = "utf8")]
    pub key_encoding: KeyEncoding,
}

/// `get`.
#[derive(Clone, Debug, Args)]
pub struct Get {
    /// The key.
    pub key: String,
    /// Where.
    #[command(flatten)]
    pub place: InGroup,
    /// Version, size and time to live instead of the value.
    #[arg(long)]
    pub meta: bool,
    /// A miss stays a miss, also where a getter could load it.
    #[arg(long)]
    pub no_load: bool,
    /// Ask this node, which asks the owner if it is another.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub from: Option<String>,
}

/// `set`.
#[derive(Clone, Debug, Args)]
pub struct Set {
    /// The key.
    pub key: String,
    /// The value; `-` reads standard input, `@FILE` a file.
    #[arg(default_value = "-")]
    pub value: String,
    /// Where.
    #[command(flatten)]
    pub place: InGroup,
    /// Time to live.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
    /// Only if there is no entry.
    #[arg(long, conflicts_with_all = ["xx", "if_version"])]
    pub nx: bool,
    /// Only if there is an entry.
    #[arg(long, conflicts_with = "if_version")]
    pub xx: bool,
    /// Only if the entry has this version.
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
}

/// `delete`.
#[derive(Clone, Debug, Args)]
pub struct Delete {
    /// The keys.
    #[arg(required_unless_present = "pattern", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Every key that looks like this: `*` any characters, `?` one, `[ab]`, `{a,b}`.
    #[arg(long, value_name = "GLOB", conflicts_with = "keys")]
    pub pattern: Option<String>,
    /// Show what would be removed, with --pattern.
    #[arg(long, requires = "pattern")]
    pub dry_run: bool,
    /// Where.
    #[command(flatten)]
    pub place: InGroup,
}

/// `locate`.
#[derive(Clone, Debug, Args)]
pub struct Locate {
    /// The key.
    pub key: String,
    /// Where.
    #[command(flatten)]
    pub place: InGroup,
    /// Where it lived in this layout: one of the last few.
    #[arg(long, value_name = "N")]
    pub layout: Option<u64>,
    /// Also epoch, virtual node, the next on the ring, and the entry itself.
    #[arg(long)]
    pub explain: bool,
}
