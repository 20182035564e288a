//! The cluster as clients that route by themselves are told it: who serves which
//! slots, and where its listener for them is. Pure.

use cached_proto::pb::cached::admin::v1::{Member, MemberState, TopologyResponse};

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// 40 hexadecimal digits, other ones after every start.
    pub(super) id: String,
    /// Where cluster clients reach it; `None`: nowhere.
    pub(super) address: Option<(String, u16)>,
    /// It is a member now.
    pub(super) alive: bool,
    /// First and last, ascending.
    pub(super) slots: Vec<(u16, u16)>,
    /// Highest epoch of its slots.
    pub(super) epoch: u64,
    /// It is this process.
    pub(super) me: bool,
}

/// Everybody with slots or a listener, in the topology's order. `me`: name and
/// incarnation of this process.
pub(super) fn nodes(topology: &TopologyResponse, me: (&str, &str)) -> Vec<Node> {
    let node = |member: &Member| {
        let own = topology
            .ranges
            .iter()
            .filter(|range| range.owner == member.name && range.incarnation == member.incarnation);
        let slot = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let mut slots: Vec<(u16, u16)> = Vec::new();
        let mut epoch = 0;
        for range in own {
            epoch = epoch.max(range.epoch);
            let (first, last) = (slot(range.first), slot(range.last));
            match slots.last_mut() {
                // Neighbours that differ in their epoch only.
                Some(before) if before.1 + 1 == first => before.1 = last,
                _ => slots.push((first, last)),
            }
        }
        Node {
            id: format!("{:0>40}", member.incarnation),
            address: split(&member.resp_cluster_address),
            alive: member.state() != MemberState::Down,
            slots,
            epoch,
            me: (member.name.as_str(), member.incarnation.as_str()) == me,
        }
    };
    topology.members.iter().map(node).collect()
}

/// Host and port.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

/// The lines of `CLUSTER NODES`.
pub(super) fn lines(nodes: &[Node]) -> String {
    let line = |node: &Node| {
        let (host, port) = node.address.clone().unwrap_or_default();
        let myself = if node.me { "myself," } else { "" };
        let (role, link) = if node.alive {
            ("master", "connected")
        } else {
            ("master,fail", "disconnected")
        };
        let slots: String = node
            .slots
            .iter()
            .map(|(first, last)| match first == last {
                true => format!(" {first}"),
                false => format!(" {first}-{last}"),
            })
            .collect();
        format!(
            "{} {host}:{port}@{port} {myself}{role} - 0 0 {} {link}{slots}\n",
            node.id, node.epoch
        )
    };
    nodes.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use cached_proto::pb::cached::admin::v1::SlotRange;

    use super::*;

    fn range(first: u32, last: u32, owner: &str, epoch: u64) -> SlotRange {
        SlotRange {
            first,
            last,
            owner: owner.to_owned(),
            incarnation: "ab".to_owned(),
            epoch,
        }
    }

    fn member(name: &str, resp_cluster_address: &str, state: MemberState) -> Member {
        Member {
            name: name.to_owned(),
            incarnation: "ab".to_owned(),
            resp_cluster_address: resp_cluster_address.to_owned(),
            state: state.into(),
            ..Member::default()
        }
    }

    #[test]
    fn nodes_are_told_with_their_slots_and_listeners() {
        let topology = TopologyResponse {
            members: vec![
                member("n1", "[::1]:7101", MemberState::Up),
                member("n2", "", MemberState::Down),
            ],
            ranges: vec![
                range(0, 1, "n1", 1),
                range(2, 8191, "n1", 4),
                range(8192, 8192, "n2", 2),
                range(8193, 16383, "n1", 1),
            ],
            ..TopologyResponse::default()
        };
        let nodes = nodes(&topology, ("n1", "ab"));
        let id = format!("{}ab", "0".repeat(38));
        assert_eq!(nodes[0].slots, [(0, 8191), (8193, 16383)]);
        assert_eq!(nodes[0].address, Some(("::1".to_owned(), 7101)));
        assert_eq!(
            lines(&nodes),
            format!(
                "{id} ::1:7101@7101 myself,master - 0 0 4 connected 0-8191 8193-16383\n\
                 {id} :0@0 master,fail - 0 0 2 disconnected 8192\n"
            )
        );
    }
}
