//! The command line as it is typed.

pub mod bench;
pub mod blacklist;
pub mod data;
pub mod groups;
pub mod help;
pub mod layout;
pub mod look;
pub mod tools;
pub mod top;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

pub use blacklist::{Blacklist, BlacklistBy, BlacklistCommand};
pub use data::{Delete, Get, InGroup, KeyEncoding, Locate, Set};
pub use groups::{Groups, GroupsCommand};

/// Reads, writes and runs cached clusters.
#[derive(Clone, Debug, Parser)]
#[command(name = "cachectl", version, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// Where and how, for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  cachectl set greeting hello --ttl 10m
  cachectl get greeting
  cachectl nodes
  cachectl drain n3 --dry-run
  cachectl --etcd localhost:2379 status --wait 30s

Exit codes: 0 ok · 1 failure · 2 usage · 3 key or node not found · 4 unreachable ·
5 timeout · 6 conflict · 7 refused · 8 ended with failures · 9 detached · 10 unhealthy ·
130 interrupted";

/// Settings of every command: flags win over CACHECTL_* variables, those over the
/// context file.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// A cluster described in the context file [default: its `current`].
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CACHECTL_CONTEXT",
        add = ArgValueCompleter::new(complete::contexts),
        help_heading = "Global options"
    )]
    pub context: Option<String>,
    /// A node or gateway; repeat for several, which are tried at once [default: http://127.0.0.1:8001].
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CACHECTL_ENDPOINT",
        value_delimiter = ',',
        help_heading = "Global options"
    )]
    pub endpoint: Vec<String>,
    /// etcd: finds the nodes, and shows the cluster even when no node answers.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "CACHECTL_ETCD",
        value_delimiter = ',',
        help_heading = "Global options"
    )]
    pub etcd: Vec<String>,
    /// The cluster's name in etcd [default: default].
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CACHECTL_CLUSTER",
        help_heading = "Global options"
    )]
    pub cluster: Option<String>,
    /// How to print.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "CACHECTL_OUTPUT",
        default_value = "table",
        help_heading = "Global options"
    )]
    pub output: Format,
    /// Bound of one request.
    #[arg(long, global = true, value_name = "TIME", env = "CACHECTL_TIMEOUT", value_parser = humantime::parse_duration, default_value = "5s", help_heading = "Global options")]
    pub timeout: Duration,
    /// Colour, decided for each stream; NO_COLOR turns it off as well.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        env = "CACHECTL_COLOR",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub color: Color,
    /// No messages on standard error but errors.
    #[arg(
        short,
        long,
        global = true,
        env = "CACHECTL_QUIET",
        help_heading = "Global options"
    )]
    pub quiet: bool,
    /// Also say which settings hold, where they come from, and how long it took.
    #[arg(
        short,
        long,
        global = true,
        env = "CACHECTL_VERBOSE",
        conflicts_with = "quiet",
        help_heading = "Global options"
    )]
    pub verbose: bool,
    /// Refuse whatever would change something.
    #[arg(
        long,
        global = true,
        env = "CACHECTL_READ_ONLY",
        help_heading = "Global options"
    )]
    pub read_only: bool,
    /// Answer yes to questions about moderate changes.
    #[arg(long, global = true, help_heading = "Global options")]
    pub yes: bool,
    /// Answer the question for a name about severe changes.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub confirm: Option<String>,
    /// Never ask: fail and name the flag that would answer.
    #[arg(
        long,
        global = true,
        env = "CACHECTL_NO_INPUT",
        help_heading = "Global options"
    )]
    pub no_input: bool,
    /// File that holds the token to show.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CACHECTL_TOKEN_FILE",
        help_heading = "Global options"
    )]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the nodes' certificates.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CACHECTL_TLS_CA",
        help_heading = "Global options"
    )]
    pub tls_ca: Option<PathBuf>,
    /// PEM file of the certificate to show.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CACHECTL_TLS_CERT",
        requires = "tls_key",
        help_heading = "Global options"
    )]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CACHECTL_TLS_KEY",
        requires = "tls_cert",
        help_heading = "Global options"
    )]
    pub tls_key: Option<PathBuf>,
}

/// How results are printed. Field names of the machine formats are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; fits the terminal.
    Table,
    /// The same with every column.
    Wide,
    /// One document.
    Json,
    /// One line per record.
    Jsonl,
    /// One document.
    Yaml,
    /// One line per record, tab separated, no header.
    Plain,
    /// Names only.
    Name,
    /// What the fields of the machine formats mean; nothing is asked.
    Help,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Read a key's value.
    #[command(
        after_help = "Examples:\n  cachectl get user:4411 -g users\n  cachectl get --meta user:4411 -o json\n\nExit codes: 0 found · 3 not there · 4 unreachable · 5 timeout"
    )]
    Get(Get),
    /// Write a key's value.
    #[command(
        after_help = "Examples:\n  cachectl set user:4411 '{\"name\":\"Ann\"}' --ttl 10m\n  cachectl set photo @photo.png --nx\n\nExit codes: 0 written · 6 the condition did not hold · 4 unreachable · 5 timeout"
    )]
    Set(Set),
    /// Remove keys.
    #[command(
        after_help = "Examples:\n  cachectl delete user:4411 -g users\n  cachectl delete --pattern 'session:*' --dry-run\n\nExit codes: 0 all removed · 3 one was not there · 4 unreachable · 5 timeout · 7 not confirmed"
    )]
    Delete(Delete),
    /// Show where a key lives.
    #[command(
        after_help = "Examples:\n  cachectl locate user:4411\n  cachectl locate user:4411 --explain\n\nExit codes: 0 ok · 4 unreachable"
    )]
    Locate(Locate),
    /// Is the cluster well, and if not, why?
    #[command(
        after_help = "Examples:\n  cachectl status --exit-code\n  cachectl status --wait 30s\n  cachectl status -w 2s\n\nExit codes: 0 ok · 10 unhealthy (with --exit-code, or after --wait) · 4 unreachable"
    )]
    Status(Status),
    /// The members: state, share, keys, memory.
    #[command(
        after_help = "Examples:\n  cachectl nodes\n  cachectl nodes n1 -o json\n\nExit codes: 0 ok · 3 no such node · 4 unreachable"
    )]
    Nodes(Nodes),
    /// Who owns what.
    #[command(
        after_help = "Examples:\n  cachectl ring\n  cachectl ring --as bar --width 64\n\nExit codes: 0 ok · 4 unreachable"
    )]
    Ring(Ring),
    /// Counters by node or group.
    #[command(
        after_help = "Examples:\n  cachectl stats\n  cachectl stats n1 --by group\n  cachectl stats --memory\n\nExit codes: 0 ok · 3 no such node · 4 unreachable"
    )]
    Stats(Stats),
    /// The keys that are asked for most.
    #[command(
        after_help = "Examples:\n  cachectl hotkeys\n  cachectl hotkeys --by bytes --window 1m -g users\n\nExit codes: 0 ok · 3 no such node or group · 4 unreachable"
    )]
    Hotkeys(look::HotKeys),
    /// What happened: members, takeovers, migrations, outages, and who asked.
    #[command(
        after_help = "Examples:\n  cachectl events --since 24h --severity warning\n  cachectl events -f -o jsonl\n\nExit codes: 0 ok · 3 no such node · 4 unreachable"
    )]
    Events(look::Events),
    /// One verdict for what watches: members, slots, registry, answers, health.
    #[command(
        after_help = "Examples:\n  cachectl check\n  cachectl check --format nagios\n\nExit codes: 0 ok · 4 unreachable · 10 a warning, or worse. With --format nagios:\n0 ok · 1 warning · 2 critical · 3 unknown"
    )]
    Check(look::Check),
    /// Give nodes that wait, or were drained, their share of the slots.
    #[command(
        after_help = "Examples:\n  cachectl join n4\n  cachectl join n4 n5 --weight 2 --dry-run\n\nExit codes: 0 done, or joined already · 3 no such node · 4 unreachable · 6 another migration is open ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Join(layout::Join),
    /// Move all slots off nodes; they stay members.
    #[command(
        after_help = "Examples:\n  cachectl drain n3\n  cachectl drain n3 --yes --max-rate 50MiB -m 'disk swap'\n\nExit codes: 0 done, or drained already · 3 no such node · 4 unreachable · 6 another migration is open ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Drain(layout::Drain),
    /// Give drained nodes their share of the slots again.
    #[command(
        after_help = "Examples:\n  cachectl undrain n3\n  cachectl undrain n3 --dry-run\n\nExit codes: 0 done, or not drained · 3 no such node · 4 unreachable · 6 another migration is open ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Undrain(layout::Drain),
    /// Move all slots off nodes, and end them.
    #[command(
        alias = "decommission",
        after_help = "Examples:\n  cachectl remove n3\n  cachectl remove n3 --force --confirm n3\n\nExit codes: 0 done, or gone already · 3 no such node · 4 unreachable · 6 another migration is open ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Remove(layout::Remove),
    /// Move slots until every node has its share.
    #[command(
        after_help = "Examples:\n  cachectl rebalance --dry-run\n  cachectl rebalance --weight n1=2 --weight n2=1\n\nExit codes: 0 done, or nothing to do · 3 no such node · 4 unreachable · 6 another migration is open ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Rebalance(layout::Rebalance),
    /// Plan several changes as one, show a plan, carry it out.
    #[command(
        subcommand_required = false,
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  cachectl plan --join n4 --drain n3\n  cachectl plan apply op-7f3a90c1\n\nExit codes: 0 ok · 3 no such node or plan · 4 unreachable · 6 another migration is open · 7 refused by a check"
    )]
    Plan(layout::Plan),
    /// Slots on the move: what runs, how far it is, what ran before.
    #[command(
        subcommand_required = false,
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  cachectl migrations\n  cachectl migrations watch op-7f3a90c1\n\nExit codes: 0 ok · 3 no such migration · 4 unreachable · 6 it has ended · 8 failed or cancelled ·\n9 detached, it goes on"
    )]
    Migrations(layout::Migrations),
    /// Who refuses to attempt whom, and entries made by hand.
    #[command(
        subcommand_required = false,
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  cachectl blacklist\n  cachectl blacklist add n2 --ttl 10m --reason 'disk swap'\n\nExit codes: 0 ok · 3 no such node or entry · 4 unreachable · 6 the last one that is not listed"
    )]
    Blacklist(Blacklist),
    /// Namespaces with limits of their own.
    #[command(
        subcommand_required = false,
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  cachectl groups create users --max-bytes 1GiB --ttl 10m\n  cachectl groups flush users --confirm users\n\nExit codes: 0 ok · 3 no such group · 6 exists with other settings · 8 some nodes failed"
    )]
    Groups(Groups),
    /// Load a cluster, and say how fast it answered.
    #[command(
        after_help = "Examples:\n  cachectl bench --duration 30s --fill --dist zipf:0.99 --mix get=90,set=10\n  cachectl bench --rate 20000 --clients 64 --size 32-4KiB -o json\n\nCtrl-C ends it early, with the same summary. One core sends: for more load start it\nseveral times, each with a --prefix of its own.\n\nExit codes: 0 ok · 4 unreachable · 8 some operations failed, or keys are left · 130 ended by Ctrl-C"
    )]
    Bench(bench::Bench),
    /// Clusters by name, kept in a file of this program.
    #[command(
        subcommand_required = false,
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  cachectl context add prod --endpoint https://a:8001 --set production=true\n  cachectl context use prod\n\nExit codes: 0 ok · 1 a description is wrong · 2 no such context · 3 none is in use"
    )]
    Context(tools::Context),
    /// Settings in force.
    #[command(
        after_help = "Examples:\n  cachectl config show\n  cachectl config show --context prod -o json\n\nExit codes: 0 ok · 2 no such context"
    )]
    Config(tools::Config),
    /// What a shell reads to complete commands, nodes, groups, migrations and contexts.
    #[command(
        after_help = "Examples:\n  cachectl completions bash > ~/.local/share/bash-completion/completions/cachectl\n  cachectl completions fish > ~/.config/fish/completions/cachectl.fish\n\nExit codes: 0 ok"
    )]
    Completions(tools::Completions),
    /// The manual, for `man`.
    #[command(
        after_help = "Examples:\n  cachectl man | man -l -\n  cachectl man --out ~/.local/share/man/man1\n\nExit codes: 0 ok · 2 the folder cannot be written"
    )]
    Man(tools::Man),
    /// What people do, and how it is typed.
    #[command(
        after_help = "Examples:\n  cachectl cheat\n  cachectl cheat | less\n\nExit codes: 0 ok"
    )]
    Cheat,
    /// What helps others to help.
    #[command(
        after_help = "Examples:\n  cachectl debug bundle\n  cachectl debug bundle --out cluster.tar.gz\n\nExit codes: 0 ok, also when some did not answer · 4 nobody answered"
    )]
    Debug(tools::Debug),
    /// The cluster on one screen, and what can be done to it.
    #[command(
        after_help = "Examples:\n  cachectl top\n  cachectl top --read-only --screen migrations\n\nKeys: ? lists them, 1-8 choose a screen, q ends; what runs on the cluster goes on.\n\nExit codes: 0 ok · 2 no terminal"
    )]
    Top(top::Top),
    /// This program's version, and the nodes'.
    #[command(
        after_help = "Examples:\n  cachectl version\n  cachectl version -o json\n\nExit codes: 0 ok"
    )]
    Version,
}

/// `status`.
#[derive(Clone, Debug, Default, Args)]
pub struct Status {
    /// End with 10 when unhealthy.
    #[arg(long)]
    pub exit_code: bool,
    /// Wait so long for health; 10 if it does not come.
    #[arg(long, alias = "wait-healthy", value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "every")]
    pub wait: Option<Duration>,
    /// Again and again.
    #[command(flatten)]
    pub watch: look::Watch,
}

/// `nodes`.
#[derive(Clone, Debug, Args)]
pub struct Nodes {
    /// Only this one.
    #[arg(add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
}

/// How `ring` draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RingAs {
    /// A line per node.
    #[default]
    Table,
    /// One line of letters.
    Bar,
    /// A circle of letters.
    Circle,
    /// A line per run of slots.
    Ranges,
}

/// `ring`.
#[derive(Clone, Debug, Default, Args)]
pub struct Ring {
    /// How to draw it.
    #[arg(long = "as", value_enum, value_name = "SHAPE", default_value = "table")]
    pub shape: RingAs,
    /// Width of the bar in characters.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=512))]
    pub width: u16,
    /// As this layout planned it: one of the last few.
    #[arg(long, value_name = "N", conflicts_with = "diff")]
    pub layout: Option<u64>,
    /// What a plan would move, what the layout in force still moves, or what has moved since
    /// an older one: a plan's id, or a layout's number.
    #[arg(long, value_name = "LAYOUT|PLAN", add = ArgValueCompleter::new(complete::operations))]
    pub diff: Option<String>,
}

/// What `stats` has a line for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StatsBy {
    /// Each node.
    #[default]
    Node,
    /// Each group.
    Group,
}

/// `stats`.
#[derive(Clone, Debug, Args)]
pub struct Stats {
    /// Only this node.
    #[arg(add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
    /// What a line stands for.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "node")]
    pub by: StatsBy,
    /// What the memory of each node is for: parts that sum up to its RSS.
    #[arg(long, conflicts_with = "by")]
    pub memory: bool,
    /// What is counted in a second, instead of since the start.
    #[arg(long)]
    pub delta: bool,
    /// Again and again.
    #[command(flatten)]
    pub watch: look::Watch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_two_examples_and_its_exit_codes() {
        let cli = Cli::command();
        let deeper = cli.get_subcommands();
        let deeper = deeper.flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(deeper) {
            let help = command.get_after_help().unwrap_or_default().to_string();
            assert!(
                help.matches("\n  cachectl ").count() >= 2,
                "{}",
                command.get_name()
            );
            assert!(help.contains("Exit codes: 0 "), "{}", command.get_name());
        }
    }
}
