//! An operation as it is told: what the registry holds of it, with what its senders
//! say now. Pure.

use std::collections::BTreeMap;

use cached_proto::operations::{MoveCounts, OperationRecord, OperationState};
use cached_proto::pb::cached::admin::v1 as pb;

use super::live::Live;
use super::pairs;
use crate::clock::Moment;
use crate::cluster::view::{ClusterView, OperationView};
use crate::operator::millis;

/// A record alone.
pub(super) fn record(record: &OperationRecord) -> pb::OperationRecord {
    pb::OperationRecord {
        id: record.id.clone(),
        kind: record.kind.to_string(),
        state: record.state.to_string(),
        nodes: record.nodes.iter().map(ToString::to_string).collect(),
        base_layout: record.base_layout,
        layout: record.layout,
        by: record.by.clone(),
        message: record.message.clone(),
        requested_at_ms: record.requested_ms,
        started_at_ms: record.started_ms,
        finished_at_ms: record.finished_ms,
        deadline_at_ms: record.deadline_ms,
        max_rate_bytes: record.max_rate,
        shed: record.shed,
        reason: record.reason.clone(),
        merged: record.merged.clone(),
        cancelling: record.cancel && !record.state.is_final(),
        ..pb::OperationRecord::default()
    }
}

/// An operation with what was moved for it, and while it is open with what is left.
/// What was moved is read from the registry alone, where it was written in the same
/// transactions as the ownership; what a sender says now is an estimate.
pub(super) fn operation(
    view: &ClusterView,
    operation: &OperationView,
    live: &Live,
    now: Moment,
) -> pb::OperationRecord {
    let mut told = record(&operation.record);
    let mut pairs: BTreeMap<(String, String), pb::PairProgress> = BTreeMap::new();
    let mut sum = MoveCounts::default();
    for (from, progress) in &operation.progress {
        for (to, counts) in &progress.to {
            let pair = pair(&mut pairs, from.as_str(), to.as_str());
            pair.moved = Some(counts_to_pb(counts));
            sum.add(counts);
        }
    }
    told.moved = Some(counts_to_pb(&sum));
    if operation.record.state.is_open() {
        add_what_is_left(view, live, now, &mut pairs);
        told.unanswered = live.unanswered.clone();
    } else if operation.record.state == OperationState::Planned {
        add_what_is_planned(view, &operation.record, &mut pairs);
    }
    for pair in pairs.values() {
        told.slots_left += pair.slots_left;
        told.keys_left += pair.keys_left;
        told.bytes_left += pair.bytes_left;
        told.bytes_per_second += pair.bytes_per_second;
    }
    told.eta_ms = eta_ms(&told);
    told.pairs = pairs.into_values().collect();
    told
}

fn pair<'a>(
    pairs: &'a mut BTreeMap<(String, String), pb::PairProgress>,
    from: &str,
    to: &str,
) -> &'a mut pb::PairProgress {
    let key = (from.to_owned(), to.to_owned());
    pairs.entry(key).or_insert_with(|| pb::PairProgress {
        from: from.to_owned(),
        to: to.to_owned(),
        moved: Some(pb::MoveCounts::default()),
        ..pb::PairProgress::default()
    })
}

fn add_what_is_left(
    view: &ClusterView,
    live: &Live,
    now: Moment,
    pairs: &mut BTreeMap<(String, String), pb::PairProgress>,
) {
    let left = pairs::left(view);
    for ((from, to), share) in &left {
        pair(pairs, from.as_str(), to.as_str()).slots_left = share.slots.len() as u32;
    }
    for told in &live.pairs {
        // A sender may have heard of a commit before this node has.
        let pair = pair(pairs, &told.from, &told.to);
        let (moved, slots_left) = (pair.moved.take(), pair.slots_left);
        // It may also have spoken before the last commits, whose keys count as moved now.
        let still = |then: u64| match u64::from(told.slots_left) {
            0 => then,
            slots => then.saturating_mul(u64::from(slots_left).min(slots)) / slots,
        };
        *pair = pb::PairProgress {
            moved,
            slots_left,
            keys_left: still(told.keys_left),
            bytes_left: still(told.bytes_left),
            ..told.clone()
        };
    }
    for ((from, to), _) in left {
        let pair = pair(pairs, from.as_str(), to.as_str());
        if !pair.blocked.is_empty() {
            continue;
        }
        if let Some(why) = away(view, from.as_str()).or_else(|| away(view, to.as_str())) {
            let member = view.members.iter().find(|member| member.id.name == why);
            let since = member.and_then(|member| member.absent_since);
            pair.blocked = format!("{why} is down");
            pair.blocked_for_ms = since.map_or(0, |since| millis(now.since(since)));
        }
    }
}

/// The name, if nobody of it lives.
fn away(view: &ClusterView, name: &str) -> Option<cached_proto::types::NodeName> {
    let mut lives = view
        .members
        .iter()
        .filter(|member| member.id.name.as_str() == name)
        .peekable();
    let named = lives.peek()?.id.name.clone();
    let alive = lives.any(|member| member.record.is_some());
    (!alive).then_some(named)
}

fn add_what_is_planned(
    view: &ClusterView,
    record: &OperationRecord,
    pairs: &mut BTreeMap<(String, String), pb::PairProgress>,
) {
    let draft = record.draft.as_ref();
    let planned = draft.and_then(|draft| pairs::pairs(view, draft).ok());
    for ((from, to), share) in planned.unwrap_or_default() {
        pair(pairs, from.as_str(), to.as_str()).slots_left = share.slots.len() as u32;
    }
}

/// How long the rest takes at the rate of now; 0: unknown.
fn eta_ms(told: &pb::OperationRecord) -> u64 {
    if told.bytes_per_second == 0 || told.state != OperationState::Running.to_string() {
        return 0;
    }
    let ms = u128::from(told.bytes_left) * 1000 / u128::from(told.bytes_per_second);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// Spells what was moved.
pub(super) fn counts_to_pb(counts: &MoveCounts) -> pb::MoveCounts {
    pb::MoveCounts {
        slots: counts.slots,
        keys: counts.keys,
        bytes: counts.bytes,
        sent: counts.sent,
        acknowledged: counts.acknowledged,
        skipped: counts.skipped,
        failed: counts.failed,
        failures: counts.failures,
        shed: counts.shed,
    }
}
