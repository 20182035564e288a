//! The command line of groups.

use std::time::Duration;

use cached_client::records::Policy;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// `groups`.
#[derive(Clone, Debug, Args)]
pub struct Groups {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub command: Option<GroupsCommand>,
}

/// What can be done with groups.
#[derive(Clone, Debug, Subcommand)]
pub enum GroupsCommand {
    /// Every group.
    #[command(
        after_help = "Examples:\n  cachectl groups list\n  cachectl groups list -o name\n\nExit codes: 0 ok · 4 unreachable"
    )]
    List,
    /// A new group.
    #[command(
        after_help = "Examples:\n  cachectl groups create users --max-bytes 1GiB --ttl 10m\n  cachectl groups create scans --policy s3fifo\n\nExit codes: 0 there, also when it was · 4 unreachable · 6 exists with other settings"
    )]
    Create {
        /// Its name.
        name: String,
        /// Bound over the whole cluster [default: the nodes' memory].
        #[arg(long, value_name = "SIZE")]
        max_bytes: Option<bytesize::ByteSize>,
        /// Time to live of entries written without one [default: none].
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
        /// Who goes first when it is full: lru or s3fifo.
        #[arg(long, value_name = "POLICY", default_value_t = Policy::Lru)]
        policy: Policy,
        /// Number by which Redis clients SELECT it, 1 to 1024 [default: none].
        #[arg(long, value_name = "N")]
        resp_db: Option<u32>,
    },
    /// One group's settings.
    #[command(
        after_help = "Examples:\n  cachectl groups describe users\n  cachectl groups describe users -o yaml\n\nExit codes: 0 ok · 3 no such group · 4 unreachable"
    )]
    Describe {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::groups))]
        name: String,
    },
    /// Remove every entry of a group, on every node. Asks for the group's name.
    #[command(
        after_help = "Examples:\n  cachectl groups flush users\n  cachectl groups flush users --confirm users\n\nExit codes: 0 flushed · 2 not confirmed · 3 no such group · 8 some nodes failed"
    )]
    Flush {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::groups))]
        name: String,
    },
}
