//! How the world speaks to this process in Redis's protocol, RESP2 and RESP3.
//!
//! ```text
//! bytes → decode → Args → table: CommandSpec ─┬ data: Args → Plan → runner → router
//!                                             ├ session: answered from the connection
//!                                             └ server: asks the cluster
//! bytes ← encode ← Reply ←────────────────────┘
//! ```
//! Reading order: [`args`] and [`reply`] (what comes and what goes), [`table`] (every
//! command), [`plan`] (what a data command comes to), [`data`] (the data commands).

pub mod args;
pub mod data;
mod encode;
pub mod errors;
pub mod plan;
pub mod reply;
pub mod table;
