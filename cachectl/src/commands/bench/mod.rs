//! `bench`: loads servers and says how fast they answered.
//!
//! Reading order: `plan` (what is done, checked), `source` with `mix` and `keys` (which
//! operations), `pace` (when, in an open loop), `work` (the clients), `wire` (how
//! operations travel), `record` and `report` (what was heard). Only `work`, `wire`,
//! `targets`, `trace` and `timer` touch the world.

pub mod keys;
pub mod mix;
pub mod pace;
pub mod panel;
pub mod plan;
pub mod progress;
pub mod record;
pub mod report;
mod run;
pub mod source;
pub mod targets;
pub mod timer;
pub mod trace;
pub mod wire;
pub mod work;
pub mod written;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use cached_client::types::GroupName;
use cached_client::{Client, Seeds};

use self::plan::{Plan, Shape};
use self::run::Run;
use self::targets::Targets;
use self::wire::{Grpc, Resp, Rest, RestOptions, Wire};
use super::Session;
use crate::args::Format;
use crate::args::bench::{Bench, Protocol};
use crate::error::{CliError, Code};
use crate::output::Report;
use crate::output::format::render;

/// `bench`.
pub async fn bench(session: &Session, args: &Bench) -> Result<Report, CliError> {
    let trace = args.trace.as_deref().map(trace::read).transpose()?;
    let plan = Plan::new(args, trace, rand::random())?;
    confirm(session).await?;
    let file = args.out.as_deref().map(ReportFile::create).transpose()?;
    let makers = Makers::new(session, &plan).await?;
    let outcome = Run::new(session, &plan, &makers)?.carry_out().await?;
    if let Some(file) = file {
        file.write(&outcome.report())?;
    }
    match outcome.verdict() {
        Ok(()) => Ok(outcome.report()),
        Err(error) => {
            session.output.report(&outcome.report())?;
            Err(error)
        }
    }
}

/// Where the report goes as well: opened before anything is measured.
#[derive(Debug)]
struct ReportFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> ReportFile<'a> {
    fn create(path: &'a Path) -> Result<Self, CliError> {
        let file = File::create(path);
        let file = file.map_err(|error| {
            CliError::usage(format!(
                "--out {} cannot be written: {error}",
                path.display()
            ))
        })?;
        Ok(Self { path, file })
    }

    fn write(mut self, report: &Report) -> Result<(), CliError> {
        let bytes = render(report, Format::Json, None, false)?;
        self.file.write_all(&bytes).map_err(|error| {
            CliError::new(
                Code::Failure,
                format!("--out {}: {error}", self.path.display()),
            )
        })
    }
}

/// Asks for the context's name where users would notice a load.
async fn confirm(session: &Session) -> Result<(), CliError> {
    let settings = &session.settings;
    let Some(name) = settings.confirm.as_ref().filter(|_| settings.production) else {
        return Ok(());
    };
    let what = format!(
        "Context {name} is marked as production; a load slows its users down and pushes entries out."
    );
    let given = session.global.confirm.as_deref();
    session
        .confirm_name(&what, name, given, session.global.no_input)
        .await
}

/// What connections are made of.
#[derive(Debug)]
struct Makers<'a> {
    session: &'a Session,
    plan: &'a Plan,
    targets: Rc<Targets>,
    /// The keys' group; of no meaning for RESP.
    group: Option<GroupName>,
    token: Option<String>,
}

impl<'a> Makers<'a> {
    async fn new(session: &'a Session, plan: &'a Plan) -> Result<Self, CliError> {
        let settings = &session.settings;
        let token = settings.token()?;
        let (targets, group) = match plan.args.protocol {
            Protocol::Resp if settings.options.connect.tls.is_some() => {
                return Err(CliError::usage(
                    "--protocol resp cannot speak TLS: name a listener without it",
                ));
            }
            Protocol::Resp => (Targets::servers(&plan.args.resp)?, None),
            Protocol::Grpc | Protocol::Rest => {
                let client = Client::connect(settings.options.clone()).await?;
                let topology = client.topology();
                session.source(&source_of(settings), topology.layout);
                let own = topology.default_group.clone();
                let group = plan.group.clone().unwrap_or(own);
                let endpoints = &settings.endpoints;
                let targets = Targets::cluster(client, plan.args.route, endpoints)?;
                (targets, Some(group))
            }
        };
        Ok(Self {
            session,
            plan,
            targets: Rc::new(targets),
            group,
            token,
        })
    }

    /// The connections of one client.
    fn wire(&self, shape: Shape) -> Result<Wire, CliError> {
        let options = &self.session.settings.options;
        let (targets, ttl) = (self.targets.clone(), self.plan.ttl);
        let timeout = options.timeout;
        let Some(group) = self.group.clone() else {
            let token = self.token.clone();
            return Ok(Wire::Resp(Resp::new(targets, token, ttl, timeout)));
        };
        if self.plan.args.protocol == Protocol::Grpc {
            let connect = options.connect.clone();
            let grpc = Grpc::new(connect, targets, group, ttl, timeout, shape);
            return Ok(Wire::Grpc(grpc));
        }
        let options = RestOptions {
            tls: options.connect.tls.clone(),
            token: self.token.clone(),
            group,
            ttl,
            timeout,
        };
        Rest::new(options, targets, shape).map(Wire::Rest)
    }
}

fn source_of(settings: &crate::settings::Settings) -> String {
    match &settings.options.seeds {
        Seeds::Nodes(nodes) => nodes.join(", "),
        Seeds::Etcd(_) => "etcd".to_owned(),
    }
}
