//! The commands that are not about single keys.

mod client;
mod cluster;
mod cluster_map;
mod command;
mod config;
mod connection;
mod info;
mod keyspace;

use super::args::Args;
use super::errors::ErrorReply;
use super::table::CommandSpec;

/// All of them; in any order.
pub(super) const COMMANDS: &[&[CommandSpec]] = &[
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    info::COMMANDS,
    keyspace::COMMANDS,
];

/// The word at `index` as a whole number.
fn number<T: std::str::FromStr>(args: &Args<'_>, index: usize) -> Result<T, ErrorReply> {
    std::str::from_utf8(args.get(index))
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ErrorReply::NOT_AN_INTEGER)
}

/// The word at `index` as text, with what is none replaced.
fn text(args: &Args<'_>, index: usize) -> String {
    String::from_utf8_lossy(args.get(index)).into_owned()
}
