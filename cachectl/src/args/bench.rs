//! `bench` as it is typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::commands::bench::keys::{Sizes, Spread};
use crate::commands::bench::mix::Mix;

/// `bench`.
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// How servers are talked to.
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value = "grpc")]
    pub protocol: Protocol,
    /// Servers for `--protocol resp`; clients take turns.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub resp: Vec<String>,
    /// Who is asked for a key; not for `--protocol resp`.
    #[arg(long, value_enum, value_name = "WHOM", default_value = "owner")]
    pub route: Route,
    /// Group of the keys [default: the cluster's own].
    #[arg(short, long, value_name = "GROUP", env = "CACHECTL_GROUP")]
    pub group: Option<String>,

    /// Clients, each with connections of its own.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Load")]
    pub clients: u16,
    /// Requests that a client sends at once, before it waits for all their answers.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Load")]
    pub pipeline: u16,
    /// Operations of a request.
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Load")]
    pub batch: u16,
    /// Open loop: so many operations are due in a second, whether answers come or not,
    /// and latency counts from when one was due [default: closed loop, a client goes on
    /// when it was answered].
    #[arg(long, value_name = "R", help_heading = "Load")]
    pub rate: Option<f64>,
    /// End after this time [default: 10s, unless --requests or --trace ends it].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Load")]
    pub duration: Option<Duration>,
    /// End after so many operations.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Load")]
    pub requests: Option<u64>,

    /// Shares of the operations.
    #[arg(
        long,
        value_name = "SHARES",
        default_value = "get=90,set=10",
        help_heading = "Operations"
    )]
    pub mix: Mix,
    /// Number of keys.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000), help_heading = "Operations")]
    pub keys: u64,
    /// How requests spread over them: uniform, zipf:0.99 or sequential.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "uniform",
        help_heading = "Operations"
    )]
    pub dist: Spread,
    /// Length of values: 100, 4KiB or 32-64KiB.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "100",
        help_heading = "Operations"
    )]
    pub size: Sizes,
    /// Time to live of what is written [default: the group's].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Operations")]
    pub ttl: Option<Duration>,
    /// Read the keys of this file in their order, one a line, packed if it ends in .xz.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mix", "keys", "dist", "fill"], help_heading = "Operations")]
    pub trace: Option<PathBuf>,
    /// So many keys for each key of the trace, read one after another.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "trace", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Operations")]
    pub copies: u32,
    /// What follows when a read finds nothing.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "nothing",
        help_heading = "Operations"
    )]
    pub on_miss: OnMiss,
    /// The same number, the same operations [default: any].
    #[arg(long, value_name = "N", help_heading = "Operations")]
    pub seed: Option<u64>,

    /// Write every key once before measuring.
    #[arg(long, help_heading = "Keys")]
    pub fill: bool,
    /// What keys begin with.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "bench:",
        help_heading = "Keys"
    )]
    pub prefix: String,
    /// Leave the keys that were written; without it they are removed at the end.
    #[arg(long, help_heading = "Keys")]
    pub keep: bool,

    /// Draw the rates and latencies of the last minute while it runs; a line every five
    /// seconds where nothing can be drawn.
    #[arg(long, help_heading = "Report")]
    pub tui: bool,
    /// Also write the report into this file, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub out: Option<PathBuf>,
}

/// How servers are talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Unary calls; with --batch batch calls, with --pipeline the Pipeline stream.
    Grpc,
    /// HTTP/1.1, a request for each operation, or batches with --batch.
    Rest,
    /// The Redis protocol: GET, SET and DEL, also to other servers.
    Resp,
}

/// Who is asked for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// Its owner.
    Owner,
    /// Another node than its owner, which has to pass the request on.
    Other,
    /// The endpoints as they were named; clients take turns.
    Endpoint,
}

/// What follows when a read finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnMiss {
    /// Nothing.
    Nothing,
    /// The key is written, as a program would that fetched the value elsewhere.
    Set,
}
