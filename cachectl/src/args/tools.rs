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
    List,
    /// Describe a cluster: with --endpoint, --etcd, --cluster, --token-file, --tls-ca,
    /// --tls-cert, --tls-key, and --set. A context that is there is changed.
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
    Use {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Use the one that was used before.
    #[command(name = "-", alias = "previous")]
    Previous,
    /// The one in use.
    Current,
    /// Open the context file in $VISUAL or $EDITOR, and check what was written.
    Edit,
    /// Check descriptions: names, files, addresses.
    Validate {
        /// Only this one [default: all].
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: Option<String>,
        /// Also ask the cluster how it is.
        #[arg(long)]
        connect: bool,
    },
    /// The one in use for a shell prompt; nothing when there is none.
    Prompt,
    /// Forget a context.
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
    Bundle {
        /// The file [default: cachectl-CLUSTER-TIME.tar.gz].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}
