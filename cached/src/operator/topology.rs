//! A view as clients are told it. Pure.

use cached_proto::convert::member_state_to_pb;
use cached_proto::operations::Want;
use cached_proto::pb::cached::admin::v1::{self as pb, SlotRange, TopologyResponse};
use cached_proto::records::{PlanRecord, PlanRun};
use cached_proto::types::{GroupName, Slot};

use crate::clock::Moment;
use crate::cluster::view::{ClusterView, MemberView};

/// Members and table of a view; `now` tells how long members are down.
pub(super) fn topology(
    view: &ClusterView,
    default_group: &GroupName,
    now: Moment,
) -> TopologyResponse {
    let mut topology = TopologyResponse {
        layout: view.layout,
        view: view.number,
        hash: view.hash().to_string(),
        members: view
            .members
            .iter()
            .map(|member| describe(view, member, now))
            .collect(),
        ranges: ranges(view),
        default_group: default_group.to_string(),
        ..TopologyResponse::default()
    };
    if let Some(meta) = &view.meta {
        topology.cluster = meta.cluster.to_string();
        topology.cluster_uuid = meta.cluster_uuid.to_string();
        topology.generation = meta.generation;
        topology.virtual_nodes = meta.virtual_nodes;
        topology.mode = meta.mode.to_string();
    }
    topology
}

/// The same cluster as a plan wanted it: its members, as they are now, with the slots that
/// it gave them.
pub(super) fn planned(now: TopologyResponse, plan: &PlanRecord) -> TopologyResponse {
    let mut members: Vec<pb::Member> = Vec::new();
    for planned in &plan.members {
        let (name, incarnation) = (planned.id.name.to_string(), planned.id.inc.to_string());
        let same = |it: &&pb::Member| it.name == name && it.incarnation == incarnation;
        let known = now.members.iter().find(same).cloned();
        let gone = || pb::Member {
            state: member_state_to_pb(None).into(),
            name,
            incarnation,
            ..pb::Member::default()
        };
        members.push(pb::Member {
            slots: 0,
            weight: planned.weight,
            ..known.unwrap_or_else(gone)
        });
    }
    let mut ranges = Vec::new();
    for PlanRun(first, last, owner) in &plan.runs {
        let Some(owner) = members.get_mut(usize::from(*owner)) else {
            continue;
        };
        owner.slots += u32::from(last.saturating_sub(*first)) + 1;
        ranges.push(SlotRange {
            first: (*first).into(),
            last: (*last).into(),
            owner: owner.name.clone(),
            incarnation: owner.incarnation.clone(),
            epoch: 0,
        });
    }
    TopologyResponse {
        layout: plan.layout,
        virtual_nodes: plan.virtual_nodes,
        members,
        ranges,
        ..now
    }
}

/// One member; who is named by rows alone is DOWN.
fn describe(view: &ClusterView, member: &MemberView, now: Moment) -> pb::Member {
    let mut described = pb::Member {
        name: member.id.name.to_string(),
        incarnation: member.id.inc.to_string(),
        state: member_state_to_pb(None).into(),
        slots: member.slots,
        detail: member.detail.clone(),
        ..pb::Member::default()
    };
    described.intent = intent(view, member).to_owned();
    let Some(record) = &member.record else {
        let down_for = member
            .absent_since
            .map(|since| now.since(since))
            .unwrap_or_default();
        described.down_for_ms = u64::try_from(down_for.as_millis()).unwrap_or(u64::MAX);
        return described;
    };
    described.address = record.address.clone();
    described.state = member_state_to_pb(Some(record.state)).into();
    described.weight = record.weight;
    described.standby = record.standby;
    described.zone = record.zone.clone();
    described.software_version = record.version.clone();
    described.started_at_ms = record.started_ms;
    described.resp_address = record.resp_address.clone().unwrap_or_default();
    described.resp_cluster_address = record.resp_cluster_address.clone().unwrap_or_default();
    described
}

/// What an operator asked of this life of a member, other than to serve.
fn intent(view: &ClusterView, member: &MemberView) -> &'static str {
    let intent = view.intents.get(&member.id.name);
    match intent.filter(|intent| intent.inc.is_none_or(|inc| inc == member.id.inc)) {
        Some(intent) if intent.want == Want::Drain => "drain",
        Some(intent) if intent.want == Want::Leave => "leave",
        _ => "",
    }
}

/// Runs of neighbouring slots with one owner and epoch; slots without a row are
/// in none.
fn ranges(view: &ClusterView) -> Vec<SlotRange> {
    let mut ranges: Vec<SlotRange> = Vec::new();
    let mut last = None;
    for slot in Slot::all() {
        let number = u32::from(slot.number());
        let row = view.owners[slot.index()];
        if last == Some(row) {
            if let Some(range) = ranges.last_mut() {
                range.last = number;
            }
            continue;
        }
        last = None;
        if let Some((member, epoch)) = view.owner(slot) {
            last = Some(row);
            ranges.push(SlotRange {
                first: number,
                last: number,
                owner: member.id.name.to_string(),
                epoch: epoch.0,
                incarnation: member.id.inc.to_string(),
            });
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::SlotOwner;
    use crate::operator::fixture;
    use cached_proto::types::Epoch;

    fn group() -> GroupName {
        GroupName::new("default-group").unwrap()
    }

    #[test]
    fn neighbours_with_one_owner_and_epoch_are_one_range() {
        let mut view = fixture::view(&["a", "b"]);
        view.owners[2].epoch = Epoch(9);
        let told = topology(&view, &group(), Moment::from_micros(0));
        let ranges: Vec<_> = told
            .ranges
            .iter()
            .map(|r| (r.first, r.last, r.owner.as_str(), r.epoch))
            .collect();
        assert_eq!(
            ranges,
            [
                (0, 1, "a", 1),
                (2, 2, "a", 9),
                (3, 8191, "a", 1),
                (8192, 16383, "b", 1)
            ]
        );
        assert_eq!(told.cluster, "test");
        assert_eq!(told.hash, "crc16");
    }

    #[test]
    fn slots_without_a_row_are_in_no_range() {
        let mut view = fixture::view(&["a"]);
        view.owners[1] = SlotOwner::NOBODY;
        let told = topology(&view, &group(), Moment::from_micros(0));
        let ranges: Vec<_> = told.ranges.iter().map(|r| (r.first, r.last)).collect();
        assert_eq!(ranges, [(0, 0), (2, 16383)]);
        assert!(
            topology(&ClusterView::empty(), &group(), Moment::default())
                .ranges
                .is_empty()
        );
    }

    #[test]
    fn who_is_named_by_rows_alone_is_down() {
        let mut view = fixture::view(&["a", "b"]);
        view.members[1].record = None;
        view.members[1].absent_since = Some(Moment::from_micros(1_000_000));
        let told = topology(&view, &group(), Moment::from_micros(43_000_000));
        assert_eq!(told.members[0].state(), pb::MemberState::Up);
        assert_eq!(told.members[1].state(), pb::MemberState::Down);
        assert_eq!(told.members[1].down_for_ms, 42_000);
        assert_eq!(told.members[1].slots, 8192);
    }
}
