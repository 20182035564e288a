//! How the world speaks to this process in Redis's protocol, RESP2 and RESP3.
//!
//! ```text
//! bytes → decode → Args → table: CommandSpec ─┬ data: Args → Plan → work → router
//!                                             ├ session: answered from the connection
//!                                             └ ask: asks this node or the cluster
//! bytes ← encode ← Reply ←────────────────────┘
//! ```
//! Reading order: [`args`] and [`reply`] (what comes and what goes), [`table`] (every
//! command), [`plan`] (what a data command comes to), [`data`] (the data commands),
//! `commands` (the others), `work` and `pass` (commands in their order, those that wait
//! for other nodes beside those that do not), `connection` (bytes in and out) with
//! [`unfinished`] (what all connections hold), `listener`.

use std::time::Duration;

mod ahead;
pub mod args;
pub mod clients;
mod commands;
mod connection;
pub mod data;
pub mod decode;
mod encode;
mod ending;
pub mod errors;
mod glob;
mod listener;
mod pass;
pub mod plan;
pub mod reply;
pub mod session;
pub mod table;
mod tally;
#[cfg(test)]
mod tests;
pub mod unfinished;
mod work;

pub use connection::unfinished_bytes_max;
pub use listener::serve_resp;

/// How long a connection may do nothing: pools keep theirs for minutes, and one whose
/// other end is gone is found out by nothing else.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
