//! What changes the layout: `join`, `drain`, `undrain`, `remove`, `rebalance`, `plan`,
//! and `migrations`, which shows and controls what runs.
//!
//! The cluster carries a change out; this program only asks for it and looks on.
//!
//! Reading order: `mod` (from what was typed to a plan that is carried out), `settled`
//! (pure: what is so already), `plan` (a plan as it is shown), `follow` (looks on),
//! `progress` (pure: what is seen) and `pace` (pure: how often), `migrations`.

#[cfg(test)]
mod fixture;
mod follow;
mod migrations;
mod pace;
mod plan;
pub(crate) mod progress;
mod settled;

use std::collections::BTreeMap;

use cached_client::admin::{ApplyOptions, Operation, Plan, PlanAsk};
use cached_client::operations::OperationKind;
use cached_client::types::NodeName;
use cached_client::{Admin, Error as ClientError};
use serde_json::json;

pub(super) use migrations::list_all;
pub use migrations::migrations;

use super::{Session, operator};
use crate::args::layout::{self, How, Percent, PlanCommand, Weight};
use crate::error::{CliError, Code};
use crate::output::{Body, Report};
use settled::Settled;

/// `join`.
pub async fn join(session: &Session, args: &layout::Join) -> Result<Report, CliError> {
    let weight = |name: &NodeName| args.weight.map(|weight| (name.clone(), weight));
    let ask = PlanAsk {
        join: args.nodes.clone(),
        weights: args.nodes.iter().filter_map(weight).collect(),
        ..PlanAsk::default()
    };
    change(session, OperationKind::Join, ask, &args.how).await
}

/// `drain`.
pub async fn drain(session: &Session, args: &layout::Drain) -> Result<Report, CliError> {
    let ask = PlanAsk {
        drain: args.nodes.clone(),
        ..PlanAsk::default()
    };
    change(session, OperationKind::Drain, ask, &args.how).await
}

/// `undrain`.
pub async fn undrain(session: &Session, args: &layout::Drain) -> Result<Report, CliError> {
    let ask = PlanAsk {
        undrain: args.nodes.clone(),
        ..PlanAsk::default()
    };
    change(session, OperationKind::Join, ask, &args.how).await
}

/// `remove`.
pub async fn remove(session: &Session, args: &layout::Remove) -> Result<Report, CliError> {
    let ask = PlanAsk {
        remove: args.nodes.clone(),
        ..PlanAsk::default()
    };
    let mut how = args.how.clone();
    if args.force && !how.dry_run {
        let [node] = args.nodes.as_slice() else {
            return Err(CliError::usage("--force takes one node at a time"));
        };
        confirm_removal(session, node.as_str()).await?;
    }
    how.shed |= args.force;
    let mut asked = Asked::new(session, &how);
    asked.named = args.force;
    asked.change(OperationKind::Remove, ask).await
}

/// Asks for the name of what is removed although the others have no room for everything.
async fn confirm_removal(session: &Session, name: &str) -> Result<(), CliError> {
    let what = format!("{name} will be removed, and what the others have no room for dropped.");
    let (confirm, no_input) = (&session.global.confirm, session.global.no_input);
    session
        .confirm_name(&what, name, confirm.as_deref(), no_input)
        .await
}

/// `rebalance`.
pub async fn rebalance(session: &Session, args: &layout::Rebalance) -> Result<Report, CliError> {
    let ask = PlanAsk {
        weights: weights(&args.weight),
        ..PlanAsk::default()
    };
    let mut asked = Asked::new(session, &args.how);
    asked.threshold = args.threshold;
    asked.change(OperationKind::Rebalance, ask).await
}

/// `plan`.
pub async fn plan(session: &Session, args: &layout::Plan) -> Result<Report, CliError> {
    match &args.command {
        Some(PlanCommand::Show { id }) => {
            let planned = session.admin().await?.plan_again(id, false).await?.value;
            Ok(plan::report(&planned, 0))
        }
        Some(PlanCommand::Apply { id, how }) => {
            let admin = session.admin().await?;
            let planned = admin.plan_again(id, how.shed).await?.value;
            Asked::new(session, how).carry_out(&admin, planned).await
        }
        None => {
            let ask = PlanAsk {
                join: args.join.clone(),
                drain: args.drain.clone(),
                undrain: args.undrain.clone(),
                remove: args.remove.clone(),
                weights: weights(&args.weight),
                shed: args.shed,
            };
            let planned = session.admin().await?.plan(&ask, &operator()).await?.value;
            let report = plan::report(&planned, 0);
            if let Some(refusal) = plan::refusal(&planned) {
                session.output.report(&report)?;
                return Err(refusal);
            }
            session.output.note(&format!(
                "Kept for 15 minutes.  Carry it out: cachectl plan apply {}",
                planned.id
            ));
            Ok(report)
        }
    }
}

fn weights(weights: &[Weight]) -> BTreeMap<NodeName, u32> {
    let weights = weights.iter();
    weights
        .map(|weight| (weight.node.clone(), weight.weight))
        .collect()
}

async fn change(
    session: &Session,
    kind: OperationKind,
    ask: PlanAsk,
    how: &How,
) -> Result<Report, CliError> {
    Asked::new(session, how).change(kind, ask).await
}

/// A change that somebody asks for.
struct Asked<'a> {
    session: &'a Session,
    how: &'a How,
    /// The name of what is removed was given: nobody needs to be asked any more.
    named: bool,
    /// Nodes may be so far off their share without anything being moved.
    threshold: Percent,
}

impl<'a> Asked<'a> {
    fn new(session: &'a Session, how: &'a How) -> Self {
        Self {
            session,
            how,
            named: false,
            threshold: Percent::default(),
        }
    }

    /// Says what is so already, looks on where it is being done, else plans it.
    async fn change(&self, kind: OperationKind, mut ask: PlanAsk) -> Result<Report, CliError> {
        let admin = self.session.admin().await?;
        let operations = admin.operations(false).await?.value;
        let topology = admin.topology().await?;
        self.session
            .source(&topology.endpoint, topology.value.layout);
        match settled::settled(&topology.value, &operations, kind, &mut ask) {
            Settled::Not(notes) => notes.iter().for_each(|note| self.session.output.note(note)),
            Settled::Already(text) => return Ok(said(&text)),
            Settled::Runs(open) if !self.how.dry_run => {
                let (id, by) = (&open.id, &open.by);
                let text = format!("{id} does that already, started by {by}.");
                return self.look_on(&admin, open.clone(), &text).await;
            }
            Settled::Runs(_) => {}
        }
        ask.shed = self.how.shed;
        let planned = admin.plan(&ask, &operator()).await?.value;
        let members = topology.value.members.iter();
        let owned: Vec<(&str, u32)> = members.map(|it| (it.id.name.as_str(), it.slots)).collect();
        match plan::even_enough(&planned, &owned, self.threshold) {
            Some(text) => Ok(said(&text)),
            None => self.carry_out(&admin, planned).await,
        }
    }

    /// Shows a plan, asks, carries it out and looks on.
    async fn carry_out(&self, admin: &Admin, planned: Plan) -> Result<Report, CliError> {
        let output = &self.session.output;
        let report = plan::report(&planned, self.rate());
        if let Some(refusal) = plan::refusal(&planned) {
            output.report(&report)?;
            return Err(refusal);
        }
        if self.how.dry_run {
            return Ok(report);
        }
        if plan::nothing_to_do(&planned) {
            return Ok(said("nothing to do: every slot is where it belongs"));
        }
        if output.is_for_people() {
            output.report(&report)?;
        }
        self.confirm(&planned).await?;
        let options = ApplyOptions {
            max_rate_bytes: self.rate(),
            deadline: self.how.deadline(),
            shed: self.how.shed,
            message: self.how.message.clone(),
        };
        let applied = admin
            .plan_apply(&planned.id, planned.base_layout, &options, &operator())
            .await;
        let applied = applied.map_err(|error| unsure(&planned.id, error))?.value;
        let text = format!("{} started.", applied.id);
        self.look_on(admin, applied, &text).await
    }

    /// Asks before a plan is carried out.
    async fn confirm(&self, planned: &Plan) -> Result<(), CliError> {
        if self.named {
            return Ok(());
        }
        // `--yes` is for what can be undone.
        if let Some(names) = plan::severe(planned) {
            return confirm_removal(self.session, &names).await;
        }
        let context = self.session.settings.context.as_ref();
        let place = context.map_or(String::new(), |name| format!(" in context {name}"));
        let question = format!("Proceed{place}?");
        self.session.confirm(&question).await
    }

    async fn look_on(
        &self,
        admin: &Admin,
        operation: Operation,
        text: &str,
    ) -> Result<Report, CliError> {
        let id = &operation.id;
        let again = format!("cachectl migrations watch {id}");
        if operation.state.is_final() {
            let text = follow::outcome(&operation, &operation)?;
            return Ok(migrations::one(&operation, &text));
        }
        if self.how.detach {
            let report = migrations::one(&operation, &format!("{id} is {}", operation.state));
            self.session.output.report(&report)?;
            let hint = format!("Look on: {again}");
            return Err(CliError::new(Code::Detached, text).hint(hint));
        }
        self.session.output.note(&format!(
            "{text} Ctrl-C detaches, it does not cancel.  Re-attach: {again}"
        ));
        follow::follow(self.session, admin, id).await
    }

    fn rate(&self) -> u64 {
        self.how.max_rate.map_or(0, |rate| rate.as_u64())
    }
}

/// Nobody knows whether it was asked for: says how to find out.
fn unsure(id: &str, error: ClientError) -> CliError {
    let unknown = error.applied() == cached_client::Applied::Unknown;
    let error = CliError::from(error);
    if unknown {
        error.hint(format!(
            "it may have been started: cachectl migrations describe {id}"
        ))
    } else {
        error
    }
}

/// A sentence as a result.
fn said(text: &str) -> Report {
    Report {
        body: Body::Text(format!("{text}\n")),
        json: json!({"kind": "nothing", "text": text}),
    }
}
