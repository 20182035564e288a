//! Whether a plan can be carried out, and what comes of it. Pure.
//!
//! What a sender gives away is estimated: its entries times the share of its slots.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::failure::Failure;
use cached_proto::operations::{OperationRecord, Want};
use cached_proto::pb::cached::admin::v1::{self as pb, CheckResult, NodeStats};
use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::types::NodeName;

use super::{names, pairs};
use crate::cluster::RegistryStatus;
use crate::cluster::draft::Ask;
use crate::cluster::view::{ClusterView, MemberView};

/// What a plan is checked against.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The cluster as this process sees it.
    pub(super) view: &'a ClusterView,
    /// What every member says of itself.
    pub(super) stats: &'a [NodeStats],
    /// The registry as this process reaches it.
    pub(super) registry: &'a RegistryStatus,
    /// What was planned.
    pub(super) record: &'a OperationRecord,
    /// What does not fit may be dropped.
    pub(super) shed: bool,
}

/// Checks that say no before anything is planned; empty: go on.
pub(super) fn impossible(view: &ClusterView, ask: &Ask) -> Vec<pb::PlanCheck> {
    let living: BTreeMap<&NodeName, &MemberRecord> = living(view).collect();
    let asked = [&ask.join, &ask.drain, &ask.remove].into_iter().flatten();
    // Of whom nobody has heard, the planning says so itself.
    let known = |name: &NodeName| view.members.iter().any(|member| member.id.name == *name);
    let dead: BTreeSet<&NodeName> = asked
        .filter(|name| !living.contains_key(name) && known(name))
        .collect();
    if !dead.is_empty() {
        let detail = format!(
            "{} is down and takes part in nothing: its slots return by themselves",
            names(dead)
        );
        return vec![check("members", CheckResult::Refused, detail)];
    }
    let owns = living.iter().any(|(name, record)| {
        let intent = view.intents.get(*name).filter(|intent| {
            let meant = intent.inc.is_none_or(|inc| inc == record.id.inc);
            meant && intent.want != Want::Serve
        });
        let asked = ask.join.contains(*name) || ask.undrain.contains(*name);
        let waits = record.state == MemberState::Joining && record.standby;
        let weight = ask.weights.get(*name).copied();
        !ask.drain.contains(*name)
            && !ask.remove.contains(*name)
            && weight != Some(0)
            && (asked || (intent.is_none() && !waits && record.state != MemberState::Draining))
    });
    if owns {
        return Vec::new();
    }
    let detail = "nobody would be left to own slots: join another member first";
    vec![check("members", CheckResult::Refused, detail)]
}

/// What a plan moves, what becomes of its receivers, and whether it can be carried out.
pub(super) fn preflight(known: &Known<'_>) -> Result<pb::PlanResponse, Failure> {
    let pairs = match &known.record.draft {
        Some(draft) => pairs::pairs(known.view, draft)?,
        None => pairs::Pairs::new(),
    };
    let stats: BTreeMap<&str, &NodeStats> = known
        .stats
        .iter()
        .filter(|node| node.error.is_empty())
        .map(|node| (node.name.as_str(), node))
        .collect();
    let moves: Vec<pb::PlanMove> = pairs
        .iter()
        .map(|((from, to), share)| {
            let slots = share.slots.len() as u32;
            let (keys, bytes) = estimate(stats.get(from.as_str()).copied(), slots);
            pb::PlanMove {
                from: from.to_string(),
                to: to.to_string(),
                slots,
                keys,
                bytes,
                ranges: share.ranges,
            }
        })
        .collect();
    let receivers = receivers(known, &moves, &stats);
    let checks = vec![
        memory(&receivers, known.shed),
        registry(known.registry),
        other_operation(known),
        members(known, &moves, &stats),
        something_to_do(&moves, known.record),
    ];
    Ok(pb::PlanResponse {
        id: known.record.id.clone(),
        base_layout: known.record.base_layout,
        moves,
        receivers,
        checks,
        operation: Some(super::describe::record(known.record)),
    })
}

/// Entries and bytes of so many of a sender's slots.
fn estimate(sender: Option<&NodeStats>, slots: u32) -> (u64, u64) {
    let Some(sender) = sender.filter(|sender| sender.slots > 0) else {
        return (0, 0);
    };
    let share = |whole: u64| {
        let part = u128::from(whole) * u128::from(slots) / u128::from(sender.slots);
        u64::try_from(part).unwrap_or(u64::MAX).min(whole)
    };
    let sum = |see: fn(&pb::GroupStats) -> u64| sender.groups.iter().map(see).sum();
    (
        share(sum(|group| group.keys)),
        share(sum(|group| group.bytes)),
    )
}

fn receivers(
    known: &Known<'_>,
    moves: &[pb::PlanMove],
    stats: &BTreeMap<&str, &NodeStats>,
) -> Vec<pb::PlanReceiver> {
    let names: BTreeSet<&str> = moves.iter().map(|to| to.to.as_str()).collect();
    let error = |name: &str| {
        let asked = known.stats.iter().find(|node| node.name == name);
        asked.map_or("is no member now".to_owned(), |node| node.error.clone())
    };
    let receiver = |name: &str| {
        let gets = moves.iter().filter(|it| it.to == name);
        let gives = moves.iter().filter(|it| it.from == name);
        let keys: u64 = gets.clone().map(|it| it.keys).sum();
        let bytes: u64 = gets.map(|it| it.bytes).sum();
        let mut told = pb::PlanReceiver {
            name: name.to_owned(),
            keys,
            ..pb::PlanReceiver::default()
        };
        let Some(stats) = stats.get(name) else {
            told.error = error(name);
            return told;
        };
        told.memory_limit_bytes = stats.memory_limit_bytes;
        told.memory_used_bytes = stats.memory_used_bytes;
        let given: u64 = gives.map(|it| it.bytes).sum();
        let after = stats.memory_used_bytes.saturating_add(bytes);
        told.memory_after_bytes = after.saturating_sub(given);
        let over = told
            .memory_after_bytes
            .saturating_sub(told.memory_limit_bytes);
        told.evictions = entries(over, keys, bytes);
        told
    };
    names.into_iter().map(receiver).collect()
}

/// How many entries so many bytes are, by the size of those that come.
fn entries(over: u64, keys: u64, bytes: u64) -> u64 {
    if over == 0 || bytes == 0 {
        return 0;
    }
    let entries = (u128::from(over) * u128::from(keys)).div_ceil(u128::from(bytes));
    u64::try_from(entries).unwrap_or(u64::MAX)
}

fn memory(receivers: &[pb::PlanReceiver], shed: bool) -> pb::PlanCheck {
    let lacks = |to: &pb::PlanReceiver| {
        let over = to.memory_after_bytes.saturating_sub(to.memory_limit_bytes);
        (over > 0).then(|| (to.name.clone(), over, to.evictions))
    };
    let short: Vec<_> = receivers.iter().filter_map(lacks).collect();
    let silent = receivers.iter().filter(|to| !to.error.is_empty());
    let silent: Vec<&str> = silent.map(|to| to.name.as_str()).collect();
    if short.is_empty() && silent.is_empty() {
        return check("memory", CheckResult::Ok, "memory headroom");
    }
    if short.is_empty() {
        let detail = format!("{} could not be asked for its memory", silent.join(", "));
        return check("memory", CheckResult::Warning, detail);
    }
    let each: Vec<String> = short
        .iter()
        .map(|(name, over, entries)| format!("{name} lacks {over} bytes (about {entries} entries)"))
        .collect();
    let result = if shed {
        CheckResult::Warning
    } else {
        CheckResult::Refused
    };
    let then = if shed {
        "the coldest entries will be dropped"
    } else {
        "add memory or members, or allow the coldest entries to be dropped"
    };
    let mut told = check("memory", result, format!("{}: {then}", each.join(", ")));
    told.shortfall_bytes = short.iter().map(|(_, over, _)| over).sum();
    told
}

fn registry(registry: &RegistryStatus) -> pb::PlanCheck {
    match registry.unreachable_for {
        None => check(
            "registry",
            CheckResult::Ok,
            format!("{} answers", registry.kind),
        ),
        Some(lost) => check(
            "registry",
            CheckResult::Refused,
            format!(
                "{} has not answered for {} s",
                registry.kind,
                lost.as_secs()
            ),
        ),
    }
}

fn other_operation(known: &Known<'_>) -> pb::PlanCheck {
    let open = known.view.operations.iter().find(|other| {
        let record = &other.record;
        let asked = record.state == cached_proto::operations::OperationState::Requested;
        (record.state.is_open() || asked) && record.id != known.record.id
    });
    match open {
        None => check("operation", CheckResult::Ok, "no other operation"),
        Some(open) => {
            let record = &open.record;
            let (kind, of) = (record.kind, names(&record.nodes));
            let detail = format!("{} is {}: {kind} {of}", record.id, record.state);
            check("operation", CheckResult::Refused, detail)
        }
    }
}

fn members(
    known: &Known<'_>,
    moves: &[pb::PlanMove],
    stats: &BTreeMap<&str, &NodeStats>,
) -> pb::PlanCheck {
    let down = known
        .view
        .members
        .iter()
        .filter(|member| member.record.is_none());
    let mut warnings: Vec<String> = down
        .map(|member| format!("{} is down and receives nothing", member.id.name))
        .collect();
    let uncounted: BTreeSet<&str> = moves
        .iter()
        .map(|it| it.from.as_str())
        .filter(|from| !stats.contains_key(from))
        .collect();
    for from in uncounted {
        warnings.push(format!(
            "what {from} sends is not counted: it does not answer"
        ));
    }
    warnings.truncate(MEMBERS_NAMED_MAX);
    if warnings.is_empty() {
        check("members", CheckResult::Ok, "all members answer")
    } else {
        check("members", CheckResult::Warning, warnings.join("; "))
    }
}

/// Most members that one check names: it stands in one line.
const MEMBERS_NAMED_MAX: usize = 10;

fn something_to_do(moves: &[pb::PlanMove], record: &OperationRecord) -> pb::PlanCheck {
    let name = "nothing-to-do";
    if !moves.is_empty() {
        return check(name, CheckResult::Ok, "slots move");
    }
    if record.intents.is_empty() {
        return check(name, CheckResult::Warning, "every slot is where it belongs");
    }
    let detail = "no slot moves, what is asked of members is noted";
    check(name, CheckResult::Ok, detail)
}

fn check(name: &str, result: CheckResult, detail: impl Into<String>) -> pb::PlanCheck {
    pb::PlanCheck {
        name: name.to_owned(),
        result: result.into(),
        detail: detail.into(),
        shortfall_bytes: 0,
    }
}

fn living(view: &ClusterView) -> impl Iterator<Item = (&NodeName, &MemberRecord)> {
    let alive = |member: &'_ MemberView| {
        member
            .record
            .as_ref()
            .is_some_and(|record| record.state != MemberState::Gone)
    };
    view.members
        .iter()
        .filter(move |member| alive(member))
        .filter_map(|member| Some((&member.id.name, member.record.as_ref()?)))
}

#[cfg(test)]
mod tests;
