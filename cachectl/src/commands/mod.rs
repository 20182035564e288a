//! What commands do: one file per noun; each answers a report and prints nothing.

pub mod bench;
pub mod blacklist;
pub mod bundle;
pub mod check;
pub mod config;
pub mod context;
pub mod data;
pub mod events;
mod explain;
pub mod groups;
pub mod hotkeys;
mod keys;
pub mod layout;
pub mod manual;
pub mod memory;
pub mod nodes;
mod rates;
pub mod ring;
mod ring_diff;
pub mod stats;
pub mod status;
pub mod version;
mod watch;

use cached_client::topology::Topology;
use cached_client::topology::etcd::{EtcdPicture, read_etcd};
use cached_client::{Admin, Client, Error as ClientError};

use crate::args::layout::{MigrationsCommand, PlanCommand};
use crate::args::tools::DebugCommand;
use crate::args::{BlacklistCommand, Command, Global, GroupsCommand};
use crate::error::{CliError, Code};
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};
use crate::settings::Settings;

/// One run of the tool: how to reach the cluster, and where words go.
#[derive(Debug)]
pub struct Session {
    /// How to reach the cluster.
    pub settings: Settings,
    /// Where words go.
    pub output: Output,
    /// The flags of every command.
    pub global: Global,
    /// Ctrl-C.
    pub interrupt: Interrupt,
}

/// The cluster's shape, and who told it.
#[derive(Clone, Debug)]
pub enum Picture {
    /// A node's or gateway's view.
    Node {
        /// Who.
        endpoint: String,
        /// Its view.
        topology: Topology,
    },
    /// What etcd holds: no node answered.
    Etcd(Box<EtcdPicture>),
}

impl Picture {
    /// Members and rows.
    pub fn topology(&self) -> &Topology {
        match self {
            Self::Node { topology, .. } => topology,
            Self::Etcd(picture) => &picture.topology,
        }
    }
}

/// Whether a command changes something in the cluster.
fn changes(command: &Command) -> bool {
    match command {
        Command::Set(_) | Command::Bench(_) => true,
        Command::Delete(args) => !args.dry_run,
        Command::Join(args) => !args.how.dry_run,
        Command::Drain(args) | Command::Undrain(args) => !args.how.dry_run,
        Command::Remove(args) => !args.how.dry_run,
        Command::Rebalance(args) => !args.how.dry_run,
        Command::Plan(args) => match &args.command {
            Some(PlanCommand::Apply { how, .. }) => !how.dry_run,
            Some(PlanCommand::Show { .. }) | None => false,
        },
        Command::Migrations(args) => matches!(
            args.command,
            Some(
                MigrationsCommand::Pause { .. }
                    | MigrationsCommand::Resume { .. }
                    | MigrationsCommand::Cancel { .. }
                    | MigrationsCommand::Rate { .. }
            )
        ),
        Command::Blacklist(args) => {
            !matches!(args.command, None | Some(BlacklistCommand::List { .. }))
        }
        Command::Groups(args) => matches!(
            args.command,
            Some(GroupsCommand::Create { .. } | GroupsCommand::Flush { .. })
        ),
        _ => false,
    }
}

/// Whether a command can do without the settings of a context: it sets them right, or asks
/// nobody.
pub fn needs_no_context(command: &Command) -> bool {
    matches!(
        command,
        Command::Context(_) | Command::Completions(_) | Command::Man(_) | Command::Cheat
    )
}

/// Carries out a command.
pub async fn run(session: &Session, command: &Command) -> Result<Report, CliError> {
    if session.settings.read_only && changes(command) {
        let place = match &session.settings.context {
            Some(name) if !session.global.read_only => format!("context {name} is read-only"),
            _ => "--read-only".to_owned(),
        };
        let text = format!("{place}: nothing was done");
        return Err(CliError::new(Code::Refused, text));
    }
    match command {
        Command::Get(args) => data::get(session, args).await,
        Command::Set(args) => data::set(session, args).await,
        Command::Delete(args) => data::delete(session, args).await,
        Command::Locate(args) => data::locate(session, args).await,
        Command::Status(args) => status::status(session, args).await,
        Command::Nodes(args) => nodes::nodes(session, args).await,
        Command::Ring(args) => ring::ring(session, args).await,
        Command::Stats(args) => stats::stats(session, args).await,
        Command::Join(args) => layout::join(session, args).await,
        Command::Drain(args) => layout::drain(session, args).await,
        Command::Undrain(args) => layout::undrain(session, args).await,
        Command::Remove(args) => layout::remove(session, args).await,
        Command::Rebalance(args) => layout::rebalance(session, args).await,
        Command::Plan(args) => layout::plan(session, args).await,
        Command::Migrations(args) => layout::migrations(session, args).await,
        Command::Blacklist(args) => blacklist::blacklist(session, args).await,
        Command::Groups(args) => groups::groups(session, args).await,
        Command::Hotkeys(args) => hotkeys::hotkeys(session, args).await,
        Command::Events(args) => events::events(session, args).await,
        Command::Check(args) => check::check(session, args).await,
        Command::Context(args) => context::context(session, args).await,
        Command::Config(args) => Ok(config::config(session, args)),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args),
        Command::Cheat => Ok(manual::cheat()),
        Command::Debug(args) => match &args.command {
            DebugCommand::Bundle { out } => bundle::bundle(session, out.as_ref()).await,
        },
        Command::Bench(args) => bench::bench(session, args).await,
        Command::Top(args) => crate::top::top(session, args).await,
        Command::Version => version::version(session).await,
    }
}

impl Session {
    /// A client that knows the topology.
    pub async fn client(&self) -> Result<Client, CliError> {
        Ok(Client::connect(self.settings.options.clone()).await?)
    }

    /// Operators' calls: to the endpoints named, else to the members that etcd knows.
    pub async fn admin(&self) -> Result<Admin, CliError> {
        self.admin_at(&self.endpoints().await?)
    }

    /// Whom to ask: the endpoints named, else the members that etcd knows.
    pub async fn endpoints(&self) -> Result<Vec<String>, CliError> {
        endpoints(&self.settings).await
    }

    /// Operators' calls to these addresses.
    pub fn admin_at(&self, endpoints: &[String]) -> Result<Admin, CliError> {
        let options = &self.settings.options;
        Ok(Admin::new(
            options.connect.clone(),
            endpoints,
            options.timeout,
        )?)
    }

    /// The cluster's shape from any node; from etcd when none answers and etcd is named.
    pub async fn picture(&self) -> Result<Picture, CliError> {
        let asked = match self.admin().await {
            Ok(admin) => admin.topology().await.map_err(CliError::from),
            Err(error) => Err(error),
        };
        let Err(error) = asked else {
            let answered = asked?;
            self.source(&answered.endpoint, answered.value.layout);
            return Ok(Picture::Node {
                endpoint: answered.endpoint,
                topology: answered.value,
            });
        };
        let Some(seed) = self
            .settings
            .etcd
            .as_ref()
            .filter(|_| error.code == Code::Unreachable || error.code == Code::Timeout)
        else {
            return Err(error);
        };
        let picture = read_etcd(seed).await?;
        self.output.note(&format!(
            "no node answers ({}); this is what etcd holds",
            error.message
        ));
        Ok(Picture::Etcd(Box::new(picture)))
    }

    /// The cluster as one of the last layouts planned it. Only nodes tell.
    pub async fn planned(&self, layout: u64) -> Result<Topology, CliError> {
        let answered = self.admin().await?.layout(layout).await?;
        self.source(&answered.endpoint, layout);
        Ok(answered.value)
    }

    /// Says who answered, for people.
    pub fn source(&self, endpoint: &str, layout: u64) {
        let context = self.settings.context.as_ref();
        let context = context
            .map(|name| format!("context {name} · "))
            .unwrap_or_default();
        self.output
            .note_once(&format!("{context}{endpoint} answered · layout {layout}"));
    }

    /// Asks before a severe change: the name must be typed, or given with `--confirm`.
    pub async fn confirm_name(
        &self,
        what: &str,
        name: &str,
        given: Option<&str>,
        no_input: bool,
    ) -> Result<(), CliError> {
        if let Some(given) = given {
            if given == name {
                return Ok(());
            }
            return Err(CliError::usage(format!(
                "--confirm {given:?} is not {name:?}"
            )));
        }
        let question = format!("{what} Type {name} to go on:");
        let answer = if no_input {
            None
        } else {
            self.output.ask(&question).await
        };
        match answer {
            Some(answer) if answer == name => Ok(()),
            Some(_) => Err(CliError::new(
                Code::Refused,
                "not confirmed; nothing was done",
            )),
            None => Err(CliError::usage(format!(
                "{what} Nobody can be asked here: say --confirm {name}"
            ))),
        }
    }

    /// Asks before a moderate change: for yes, which `--yes` answers, or in a context that
    /// says so for a name, which `--confirm` does.
    pub async fn confirm(&self, question: &str) -> Result<(), CliError> {
        if let Some(name) = &self.settings.confirm {
            let given = self.global.confirm.as_deref();
            let no_input = self.global.no_input;
            return self.confirm_name(question, name, given, no_input).await;
        }
        if self.global.yes {
            return Ok(());
        }
        self.confirm_yes(question).await
    }

    async fn confirm_yes(&self, question: &str) -> Result<(), CliError> {
        let answer = if self.global.no_input {
            None
        } else {
            self.output.ask(&format!("{question} [y/N]")).await
        };
        match answer.as_deref() {
            Some("y" | "Y" | "yes") => Ok(()),
            Some(_) => Err(CliError::new(
                Code::Refused,
                "not confirmed; nothing was done",
            )),
            None => Err(CliError::usage(format!(
                "{question} Nobody can be asked here: say --yes"
            ))),
        }
    }
}

/// Whom to ask: the endpoints named, else the members that etcd knows.
pub async fn endpoints(settings: &Settings) -> Result<Vec<String>, CliError> {
    let mut endpoints = settings.endpoints.clone();
    if endpoints.is_empty()
        && let Some(seed) = &settings.etcd
    {
        let members = read_etcd(seed).await?.members;
        endpoints = members.into_iter().map(|member| member.address).collect();
    }
    if endpoints.is_empty() {
        return Err(CliError::new(
            Code::Unreachable,
            "etcd knows of no member that could answer",
        ));
    }
    Ok(endpoints)
}

/// Who asks, for the records that others read: `user@host`.
pub fn operator() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "localhost"
    } else {
        host.trim()
    };
    format!("{}@{host}", user.unwrap_or_else(|_| "unknown".to_owned()))
}

/// Members that live, by name, and where they are reached; of one name: that alone.
fn living(topology: &Topology, only: Option<&str>) -> Result<Vec<(String, String)>, CliError> {
    let members = topology.members.iter();
    let living = members.filter(|member| member.state.is_some() && !member.address.is_empty());
    let mut found: Vec<_> = living
        .map(|member| (member.id.name.to_string(), member.address.clone()))
        .collect();
    let Some(only) = only else {
        return Ok(found);
    };
    let known: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    found.retain(|(name, _)| name == only);
    if found.is_empty() {
        let known = known.join(", ");
        let text = format!("no living node is named {only}; there are {known}");
        return Err(CliError::new(Code::NotFound, text));
    }
    Ok(found)
}

/// Whether nobody answered, so that etcd may be read instead.
pub fn unreachable(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unreachable(_) | ClientError::Lost { .. }
    )
}
