//! Drain, undrain, join: the plan is shown with its checks before it is carried out. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_client::admin::{ApplyOptions, CheckResult, Plan, PlanReceiver};

use super::form::Form;
use super::{Dialog, Purpose, name_of_production, read_size, read_time};
use crate::top::effect::{Ask, Change, Effect};
use crate::top::list::Tone;
use crate::top::screen;
use crate::top::shape::NodeState;
use crate::top::state::State;
use crate::units;

/// Asks for a plan about the selected node.
pub fn open(state: &mut State, change: Change) -> Vec<Effect> {
    let Some(node) = screen::nodes::selected(state) else {
        state.toast("no node is selected", false);
        return Vec::new();
    };
    if let Some(obstacle) = unfit(change, node.state, &node.name) {
        state.toast(obstacle, false);
        return Vec::new();
    }
    if let Some(away) = state.registry_away() {
        let text = format!(
            "etcd is unreachable for {}: joins and drains wait until it is back",
            units::age(away)
        );
        state.toast(text, true);
        return Vec::new();
    }
    let node = node.name.clone();
    let purpose = Purpose::Plan {
        change,
        node: node.clone(),
        plan: None,
    };
    let button = match change {
        Change::Drain => "Drain",
        Change::Undrain => "Undrain",
        Change::Join => "Join",
    };
    let place = match state.options.context.as_str() {
        "" => String::new(),
        context => format!(" · {context}"),
    };
    let mut form = Form::new(purpose, format!("{button} {node}{place}"), button)
        .fields(&[("rate cap", ""), ("deadline", "1h"), ("message", "")])
        .must_type(name_of_production(state));
    form.lines
        .push((Tone::Dim, "asking for a plan…".to_owned()));
    form.obstacle = "asking for a plan".to_owned();
    state.dialog = Some(Dialog::Form(Box::new(form)));
    vec![Effect::Ask(Ask::Plan { change, node })]
}

/// Why this cannot be asked of such a node.
fn unfit(change: Change, state: NodeState, name: &str) -> Option<String> {
    let fits = match change {
        Change::Drain => matches!(state, NodeState::Up | NodeState::Draining),
        Change::Undrain => matches!(state, NodeState::Drained | NodeState::Draining),
        Change::Join => matches!(
            state,
            NodeState::Joining | NodeState::Standby | NodeState::Drained
        ),
    };
    (!fits).then(|| format!("{name} is {}: nothing to {}", state.name(), change.name()))
}

/// Shows a plan in the question that waits for it.
pub fn show(form: &mut Form, asked: Change, whom: &str, planned: Plan) {
    let Purpose::Plan { change, node, plan } = &mut form.purpose else {
        return;
    };
    if *change != asked || node != whom {
        return;
    }
    form.title = format!(
        "{} · plan {} @ layout {}",
        form.title, planned.id, planned.base_layout
    );
    form.lines = lines(&planned);
    let refused = |check: &&cached_client::admin::PlanCheck| check.result == CheckResult::Refused;
    let refused: Vec<&str> = planned
        .checks
        .iter()
        .filter(refused)
        .map(|it| it.detail.as_str())
        .collect();
    form.obstacle = refused.join("; ");
    *plan = Some(Box::new(planned));
}

fn lines(plan: &Plan) -> Vec<(Tone, String)> {
    let sum = |see: fn(&cached_client::admin::PlanMove) -> u64| plan.moves.iter().map(see).sum();
    let (slots, keys, bytes): (u64, u64, u64) = (
        sum(|it| it.slots.into()),
        sum(|it| it.keys),
        sum(|it| it.bytes),
    );
    let mut to: BTreeMap<&str, u32> = BTreeMap::new();
    for moved in &plan.moves {
        *to.entry(&moved.to).or_default() += moved.slots;
    }
    let to: Vec<String> = to
        .iter()
        .map(|(name, slots)| format!("{name} {slots}"))
        .collect();
    let head = format!(
        "{} slots · {} keys · {} → {}",
        units::count(slots),
        units::count(keys),
        units::bytes(bytes),
        few(&to)
    );
    let mut lines = vec![(Tone::Normal, head)];
    let receivers: Vec<String> = plan.receivers.iter().map(memory_after).collect();
    let evictions: u64 = plan.receivers.iter().map(|it| it.evictions).sum();
    if !receivers.is_empty() {
        let text = format!(
            "mem after: {}   est. evictions {}",
            few(&receivers),
            units::count(evictions)
        );
        lines.push((
            if evictions > 0 {
                Tone::Warn
            } else {
                Tone::Normal
            },
            text,
        ));
    }
    for check in &plan.checks {
        let (tone, word) = match check.result {
            CheckResult::Ok => continue,
            CheckResult::Warning => (Tone::Warn, "WARN"),
            CheckResult::Refused => (Tone::Bad, "REFUSED"),
        };
        lines.push((tone, format!("{word} {}", check.detail)));
    }
    lines
}

fn memory_after(receiver: &PlanReceiver) -> String {
    let after = match &receiver.error {
        Some(_) => "?".to_owned(),
        None => units::percent(receiver.memory_after_bytes, receiver.memory_limit_bytes),
    };
    format!("{} {after}", receiver.name)
}

/// The first ones, and how many more there are.
fn few(words: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = words.len().saturating_sub(SHOWN);
    let shown = words[..words.len().min(SHOWN)].join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

/// What a confirmed question asks for.
pub fn wanted(form: &Form) -> Result<Ask, String> {
    let Purpose::Plan {
        change,
        node,
        plan: Some(plan),
    } = &form.purpose
    else {
        return Err("there is no plan yet".to_owned());
    };
    let deadline: Option<Duration> = read_time(form.value("deadline"), "deadline")?;
    let options = ApplyOptions {
        max_rate_bytes: read_size(form.value("rate cap"), "rate cap")?,
        deadline,
        shed: false,
        message: form.value("message").to_owned(),
    };
    Ok(Ask::Apply {
        change: *change,
        node: node.clone(),
        id: plan.id.clone(),
        base_layout: plan.base_layout,
        options,
    })
}
