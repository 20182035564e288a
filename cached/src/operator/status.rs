//! Health as a message. Pure; what is wrong is found by the cluster.
//!
//! Healthy: every member is up, none waits to be given slots (one on standby may),
//! every slot is owned as planned, no operation is open, and the registry answers. The
//! cluster itself says what is not as planned.

use cached_proto::pb::cached::admin::v1::{RegistryHealth, StatusResponse};
use cached_proto::records::MemberState;

use super::millis;
use crate::cluster::RegistryStatus;
use crate::cluster::view::{ClusterView, MemberView, Serving};

/// What a status is made from.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The cluster as this process sees it.
    pub(super) view: &'a ClusterView,
    /// Whether this process serves.
    pub(super) serving: Serving,
    /// This process's name; `None` for a gateway.
    pub(super) name: Option<&'a str>,
    /// The registry that it uses.
    pub(super) registry: RegistryStatus,
    /// What keeps the cluster from being healthy.
    pub(super) problems: Vec<String>,
}

/// The status of the cluster as one process sees it.
pub(super) fn status(known: Known<'_>) -> StatusResponse {
    let view = known.view;
    let mut problems = known.problems;
    problems.extend(view.members.iter().filter_map(unsettled));
    StatusResponse {
        cluster: view
            .meta
            .as_ref()
            .map(|meta| meta.cluster.to_string())
            .unwrap_or_default(),
        node: known.name.unwrap_or("gateway").to_owned(),
        healthy: problems.is_empty(),
        problems,
        layout: view.layout,
        operation: view
            .open_operation()
            .map(|operation| operation.record.id.clone())
            .unwrap_or_default(),
        slots_to_move: view.to_move,
        members_up: count(view, Some(MemberState::Up)),
        members_joining: count(view, Some(MemberState::Joining)),
        members_draining: count(view, Some(MemberState::Draining)),
        members_down: count(view, None),
        registry: Some(registry(known.registry)),
        slots_unowned: slots_unowned(view),
        planner: view
            .planner
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        fenced: known.name.is_some() && matches!(known.serving, Serving::Fenced(_)),
        degraded: known.serving == Serving::Degraded,
        mode: view
            .meta
            .as_ref()
            .map(|meta| meta.mode.to_string())
            .unwrap_or_default(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        role: if known.name.is_some() {
            "node"
        } else {
            "gateway"
        }
        .to_owned(),
    }
}

fn state(member: &MemberView) -> Option<MemberState> {
    member.record.as_ref().map(|record| record.state)
}

/// A member that is on its way in or out, and of which nothing else is said: the
/// cluster names those with a detail.
fn unsettled(member: &MemberView) -> Option<String> {
    let name = &member.id.name;
    match state(member)? {
        MemberState::Joining | MemberState::Draining if !member.detail.is_empty() => None,
        // It waits because an operator wants it to.
        MemberState::Joining if member.record.as_ref()?.standby => None,
        MemberState::Joining => Some(format!("{name} is joining")),
        MemberState::Draining => Some(format!(
            "{name} is draining, {} slots are left",
            member.slots
        )),
        MemberState::Up | MemberState::Gone => None,
    }
}

fn count(view: &ClusterView, wanted: Option<MemberState>) -> u32 {
    view.members
        .iter()
        .map(|member| u32::from(state(member) == wanted))
        .sum()
}

/// Slots whose rows name no living member; all of them before there are rows.
fn slots_unowned(view: &ClusterView) -> u32 {
    let alive = |member: &MemberView| member.record.is_some();
    let unowned = |row: &crate::cluster::view::SlotOwner| {
        !view.members.get(usize::from(row.member)).is_some_and(alive)
    };
    view.owners.iter().map(|row| u32::from(unowned(row))).sum()
}

fn registry(registry: RegistryStatus) -> RegistryHealth {
    RegistryHealth {
        kind: registry.kind.to_owned(),
        reachable: registry.unreachable_for.is_none(),
        unreachable_for_ms: millis(registry.unreachable_for.unwrap_or_default()),
        server_version: registry.server_version,
        endpoints: registry.endpoints,
        round_trip_micros: u64::try_from(registry.round_trip.as_micros()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cached_proto::operations::OperationState;

    use super::*;
    use crate::cluster::view::FenceReason;
    use crate::operator::fixture;

    fn told(change: impl FnOnce(&mut Known<'_>, &mut ClusterView)) -> StatusResponse {
        let mut view = fixture::view(&["a", "b"]);
        let empty = ClusterView::empty();
        let mut known = Known {
            view: &empty,
            serving: Serving::Yes,
            name: Some("a"),
            registry: fixture::registry(),
            problems: Vec::new(),
        };
        change(&mut known, &mut view);
        status(Known {
            view: &view,
            ..known
        })
    }

    #[test]
    fn a_cluster_without_problems_is_healthy() {
        let status = told(|_, _| {});
        assert_eq!(status.problems, Vec::<String>::new());
        assert!(status.healthy && !status.fenced && !status.degraded);
        assert_eq!(
            (status.members_up, status.members_down, status.slots_unowned),
            (2, 0, 0)
        );
        assert_eq!((status.node.as_str(), status.role.as_str()), ("a", "node"));
        let registry = status.registry.unwrap();
        assert!(registry.reachable && registry.round_trip_micros == 700);
    }

    #[test]
    fn what_the_cluster_complains_of_makes_it_unhealthy() {
        let status = told(|known, _| known.problems.push("the sky falls".to_owned()));
        assert!(!status.healthy);
        assert_eq!(status.problems, ["the sky falls"]);
    }

    #[test]
    fn members_on_their_way_are_named_once() {
        for (state, says) in [
            (MemberState::Joining, "b is joining"),
            (MemberState::Draining, "b is draining, 8192 slots are left"),
        ] {
            let status = told(|_, view| view.members[1].record.as_mut().unwrap().state = state);
            assert_eq!(status.problems, [says]);
            let status = told(|_, view| {
                view.members[1].record.as_mut().unwrap().state = state;
                view.members[1].detail = "said elsewhere".to_owned();
            });
            assert!(status.problems.is_empty(), "{:?}", status.problems);
        }
    }

    #[test]
    fn an_open_operation_is_named_and_standby_is_no_problem() {
        let status = told(|_, view| {
            view.to_move = 7;
            let record = fixture::operation("op-1", OperationState::Running);
            view.operations = vec![fixture::known(record, 3)];
            let record = view.members[1].record.as_mut().unwrap();
            (record.state, record.standby) = (MemberState::Joining, true);
        });
        assert!(status.healthy, "{:?}", status.problems);
        assert_eq!(
            (status.operation.as_str(), status.slots_to_move),
            ("op-1", 7)
        );
    }

    #[test]
    fn a_dead_owner_leaves_slots_unowned() {
        let status = told(|_, view| view.members[1].record = None);
        assert_eq!((status.members_up, status.members_down), (1, 1));
        assert_eq!(status.slots_unowned, 8192);
    }

    #[test]
    fn serving_and_reaching_the_registry_are_told_apart() {
        let status = told(|known, _| known.serving = Serving::Fenced(FenceReason::Removed));
        assert!(status.fenced && !status.degraded);
        let status = told(|known, _| {
            known.serving = Serving::Degraded;
            known.registry.unreachable_for = Some(Duration::from_secs(42));
        });
        assert!(status.degraded && !status.fenced);
        let registry = status.registry.unwrap();
        assert_eq!(
            (registry.reachable, registry.unreachable_for_ms),
            (false, 42_000)
        );
    }

    #[test]
    fn a_gateway_has_no_slots_to_be_fenced_from() {
        let status = told(|known, _| {
            known.serving = Serving::Fenced(FenceReason::Starting);
            known.name = None;
        });
        assert!(!status.fenced);
        assert_eq!(status.role, "gateway");
    }
}
