//! The command line as it is typed, the original system's single dashes included.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::raw::RawConfig;

/// Flags of the Go system that this one reimagines, as its guides write them.
/// Go reads one dash as two, and gives a value after `=` or a space.
const ORIGINAL_FLAGS: [(&str, &str, bool); 5] = [
    ("-port", "--port", false),
    ("-api", "--api", true),
    ("-groupname", "--groupname", false),
    ("-enableGetter", "--enable-getter", true),
    ("-etcd", "--etcd", false),
];

/// A distributed cache: one node, a gateway, or a whole cluster for trying out.
#[derive(Clone, Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Settings from a TOML file; environment and flags win over it.
    #[arg(long, value_name = "FILE", env = "CACHED_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check the settings, start nothing.
    #[arg(long)]
    pub check: bool,
    /// Print every setting with where it comes from, start nothing.
    #[arg(long)]
    pub print_config: bool,
    /// Settings.
    #[command(flatten)]
    pub raw: RawConfig,
    /// Something other than one process of a cluster.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the daemon can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// A whole cluster in this process, with a gateway: for trying out and for tests.
    Dev(DevArgs),
}

/// Settings of `cached dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub nodes: u16,
    /// `fixed`: nodes on 8001 and up, gateway on 9999; `auto`: whatever is free.
    #[arg(long, value_enum, default_value_t = Ports::Fixed)]
    pub ports: Ports,
    /// Settings of every node.
    #[command(flatten)]
    pub raw: RawConfig,
}

/// How `cached dev` chooses its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ports {
    /// 8001 and up for nodes, 9999 for the gateway.
    Fixed,
    /// Free ones, printed.
    Auto,
}

const EXAMPLES: &str = "\
Examples:
  cached                                              one node, no etcd needed, on 127.0.0.1:8001
  cached dev                                          three nodes and a gateway on 9999 in one process
  cached --name n1 --port 8001 --etcd localhost:2379  a node of a cluster that meets in etcd
  cached --api --port 9999 --etcd localhost:2379      a gateway in front of it
  cached --enable-getter --origin 'http://127.0.0.1:8080/items/{key}'

Every flag is also a key of the TOML file (without the dashes) and an environment
variable (CACHED_LEASE_TTL for --lease-ttl). Exit codes: 0 stopped and nothing left
behind, 1 failed, 2 usage, 3 stopped with entries left behind.";

/// Turns the original's `-port=8001` into `--port=8001`, and nothing else.
pub fn modernize(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    arguments.into_iter().map(modernize_one).collect()
}

fn modernize_one(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else {
        return argument;
    };
    let (flag, value) = match text.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (text, None),
    };
    // Go accepts two dashes as well: --enableGetter.
    let dashed = flag
        .strip_prefix('-')
        .filter(|rest| rest.starts_with('-'))
        .unwrap_or(flag);
    let Some((_, modern, switch)) = ORIGINAL_FLAGS.iter().find(|(old, _, _)| *old == dashed) else {
        return argument;
    };
    match value {
        // A switch takes its value with `=` in both worlds.
        Some(value) if *switch => format!("{modern}={}", go_bool(value)).into(),
        Some(value) => format!("{modern}={value}").into(),
        None => (*modern).into(),
    }
}

/// Go's strconv.ParseBool knows more spellings than clap.
fn go_bool(value: &str) -> &str {
    match value {
        "1" | "t" | "T" | "TRUE" | "True" => "true",
        "0" | "f" | "F" | "FALSE" | "False" => "false",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Cli {
        let words = line.split_whitespace().map(OsString::from);
        Cli::try_parse_from(modernize(words)).unwrap()
    }

    #[test]
    fn the_originals_lines_work_as_written() {
        let node =
            typed("cached -port=8001 -groupname=default-group -etcd=localhost:2379 -enableGetter");
        assert_eq!(node.raw.port, Some(8001));
        assert_eq!(node.raw.groupname.as_deref(), Some("default-group"));
        assert_eq!(node.raw.etcd, Some(vec!["localhost:2379".to_owned()]));
        assert_eq!(node.raw.enable_getter, Some(true));
        let gateway = typed("cached -port=9999 -api -groupname=default-group -etcd=localhost:2379");
        assert_eq!(gateway.raw.api, Some(true));
        assert_eq!(typed("cached -port 8002 -api=0").raw.api, Some(false));
        assert_eq!(
            typed("cached --enableGetter=T").raw.enable_getter,
            Some(true)
        );
    }

    #[test]
    fn other_single_dashes_stay_errors() {
        let words = ["cached", "-portal=1"].map(OsString::from);
        assert!(Cli::try_parse_from(modernize(words)).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
