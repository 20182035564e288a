//! The command line of the tools around it: contexts, completion, manual, bundle.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// `context`.
#[derive(Clone, Debug, Args)]
pub struct Context {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub command: Option<ContextCommand>,
}

/// What can be done with contexts.
#[derive(Clone, Debug, Subcommand)]
pub enum ContextCommand {
    /// Every context; the one in use is marked.
    #[command(
        after_help = "Examples:\n  cachectl context list\n  cachectl context list -o name\n\nExit codes: 0 ok"
    )]
    List,
    /// Describe a cluster: with --endpoint, --etcd, --cluster, --token-file, --tls-ca,
    /// --tls-cert, --tls-key, and --set. A context that is there is changed.
    #[command(
        after_help = "Examples:\n  cachectl context add prod --endpoint https://a:8001,https://b:8001 --set production=true\n  cachectl context add dev --endpoint http://localhost:8001 --use\n\nExit codes: 0 ok · 2 the description is wrong"
    )]
    Add {
        /// Its name.
        name: String,
        /// production, read-only: true or false; confirm: name to type before changes;
        /// color: of the prompt; description. Repeat for several.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Use it from now on.
        #[arg(long = "use")]
        and_use: bool,
    },
    /// Use a context from now on.
    #[command(
        after_help = "Examples:\n  cachectl context use prod\n  cachectl context use dev -q\n\nExit codes: 0 ok · 2 no such context"
    )]
    Use {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Use the one that was used before.
    #[command(
        name = "-",
        alias = "previous",
        after_help = "Examples:\n  cachectl context -\n  cachectl context previous\n\nExit codes: 0 ok · 2 there is none"
    )]
    Previous,
    /// The one in use.
    #[command(
        after_help = "Examples:\n  cachectl context current\n  cachectl context current -o json\n\nExit codes: 0 ok · 3 none is in use"
    )]
    Current,
    /// Open the context file in $VISUAL or $EDITOR, and check what was written.
    #[command(
        after_help = "Examples:\n  cachectl context edit\n  cachectl context edit && cachectl context validate\n\nExit codes: 0 ok · 1 the editor failed · 2 what was written is wrong"
    )]
    Edit,
    /// Check descriptions: names, files, addresses.
    #[command(
        after_help = "Examples:\n  cachectl context validate\n  cachectl context validate prod --connect\n\nExit codes: 0 ok · 1 a description is wrong · 2 no such context"
    )]
    Validate {
        /// Only this one [default: all].
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: Option<String>,
        /// Also ask the cluster how it is.
        #[arg(long)]
        connect: bool,
    },
    /// The one in use for a shell prompt; nothing when there is none.
    #[command(
        after_help = "Examples:\n  cachectl context prompt\n  cachectl context prompt --color always\n\nExit codes: 0 ok"
    )]
    Prompt,
    /// Forget a context.
    #[command(
        after_help = "Examples:\n  cachectl context remove dev\n  cachectl context remove dev -q\n\nExit codes: 0 ok · 2 no such context"
    )]
    Remove {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
}

/// `config`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with settings.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting, and where it comes from.
    #[command(
        after_help = "Examples:\n  cachectl config show\n  cachectl config show --context prod -o json\n\nExit codes: 0 ok · 2 no such context"
    )]
    Show,
}

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
    /// Elvish.
    Elvish,
    /// PowerShell.
    Powershell,
}

/// `completions`.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// Which.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`.
#[derive(Clone, Debug, Args)]
pub struct Man {
    /// Write a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// `debug`.
#[derive(Clone, Debug, Args)]
pub struct Debug {
    /// What to do.
    #[command(subcommand)]
    pub command: DebugCommand,
}

/// What helps others to help.
#[derive(Clone, Debug, Subcommand)]
pub enum DebugCommand {
    /// Everything about the cluster but keys, values and tokens, in one file.
    #[command(
        after_help = "Examples:\n  cachectl debug bundle\n  cachectl debug bundle --out cluster.tar.gz\n\nExit codes: 0 ok, also when some did not answer · 4 nobody answered"
    )]
    Bundle {
        /// The file [default: cachectl-CLUSTER-TIME.tar.gz].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}
