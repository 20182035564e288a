//! The cluster's shape as it is drawn and recorded: nodes, and runs of slots. Pure.

use cached_client::records::MemberState;
use cached_client::topology::{Member, Topology};
use serde::{Deserialize, Serialize};

/// All slots.
pub const SLOTS: usize = 16_384;

/// Owner of a run that has none.
pub const NOBODY: u16 = cached_client::topology::NOBODY;

/// Members and rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// The cluster's name.
    pub cluster: String,
    /// Number of the plan in force.
    pub layout: u64,
    /// Points on the ring for each unit of weight.
    pub virtual_nodes: u32,
    /// Key to slot.
    pub hash: String,
    /// `available` or `strict`.
    pub mode: String,
    /// Group of calls that name none.
    pub default_group: String,
    /// Members by name; a name may stand twice, dead and alive.
    pub nodes: Vec<Node>,
    /// All slots, in order.
    pub runs: Vec<Run>,
}

/// Neighbouring slots with one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first slot.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Index into the nodes, or [`NOBODY`].
    pub owner: u16,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// This life of it.
    pub incarnation: String,
    /// `host:port`; empty when it is down.
    pub address: String,
    /// Where it stands.
    pub state: NodeState,
    /// Slots it owns.
    pub slots: u32,
    /// Its share relative to the others'.
    pub weight: u32,
    /// Failure zone.
    pub zone: String,
    /// Its software.
    pub version: String,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// How long it is down, when it was told.
    pub down_for_ms: u64,
    /// Why it is in this state, for people.
    pub detail: String,
}

impl Node {
    /// What tells it from every other one, its former lives included.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.incarnation)
    }
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It waits for slots.
    Joining,
    /// It joins when an operator says so.
    Standby,
    /// It serves.
    #[default]
    Up,
    /// It gives its slots away.
    Draining,
    /// It has given all away, and stays a member.
    Drained,
    /// It signed off.
    Gone,
    /// Rows name it, but it is no member.
    Down,
}

impl NodeState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Standby => "standby",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Gone => "gone",
            Self::Down => "DOWN",
        }
    }
}

impl Shape {
    /// The node of this name that lives, else the one that does not.
    pub fn node(&self, name: &str) -> Option<&Node> {
        let named = || self.nodes.iter().filter(|node| node.name == name);
        named()
            .find(|node| node.state != NodeState::Down)
            .or_else(|| named().next())
    }

    /// The owner of each slot.
    pub fn owners(&self) -> Vec<u16> {
        let mut owners = vec![NOBODY; SLOTS];
        for run in &self.runs {
            let (first, last) = (usize::from(run.first), usize::from(run.last));
            if let Some(slots) = owners.get_mut(first..=last.min(SLOTS - 1)) {
                slots.fill(run.owner);
            }
        }
        owners
    }
}

impl From<&Topology> for Shape {
    fn from(topology: &Topology) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (slot, (owner, _)) in (0..).zip(&topology.owners) {
            match runs.last_mut() {
                Some(run) if run.owner == *owner => run.last = slot,
                _ => runs.push(Run {
                    first: slot,
                    last: slot,
                    owner: *owner,
                }),
            }
        }
        Self {
            cluster: topology.cluster.to_string(),
            layout: topology.layout,
            virtual_nodes: topology.virtual_nodes,
            hash: topology.hash.to_string(),
            mode: topology.mode.to_string(),
            default_group: topology.default_group.to_string(),
            nodes: topology.members.iter().map(Node::from).collect(),
            runs,
        }
    }
}

impl From<&Member> for Node {
    fn from(member: &Member) -> Self {
        Self {
            name: member.id.name.to_string(),
            incarnation: member.id.inc.to_string(),
            address: member.address.clone(),
            state: state(member),
            slots: member.slots,
            weight: member.weight,
            zone: member.zone.clone(),
            version: member.version.clone(),
            started_ms: member.started_ms,
            down_for_ms: member.down_for_ms,
            detail: member.detail.clone(),
        }
    }
}

/// The member's own word, or what an operator wants of it.
fn state(member: &Member) -> NodeState {
    let Some(state) = member.state else {
        return NodeState::Down;
    };
    match (state, member.intent.as_str()) {
        (MemberState::Joining, "") if member.standby => NodeState::Standby,
        (MemberState::Up | MemberState::Draining, "drain") if member.slots == 0 => {
            NodeState::Drained
        }
        (MemberState::Up, "drain" | "leave") => NodeState::Draining,
        (MemberState::Joining, _) => NodeState::Joining,
        (MemberState::Up, _) => NodeState::Up,
        (MemberState::Draining, _) => NodeState::Draining,
        (MemberState::Gone, _) => NodeState::Gone,
    }
}

/// The owner of most of the slots from `first` up to, not including, `end`.
pub fn majority(owners: &[u16], first: usize, end: usize) -> u16 {
    let end = end.max(first + 1).min(owners.len());
    let slots = owners.get(first.min(end)..end).unwrap_or_default();
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|one, other| one == other);
    let longest = runs.max_by_key(|run| run.len());
    longest
        .and_then(|run| run.first().copied())
        .unwrap_or(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_slots() {
        let run = |first, last, owner| Run { first, last, owner };
        let shape = Shape {
            runs: vec![run(0, 9, 0), run(10, 16_383, 1)],
            ..Shape::default()
        };
        let owners = shape.owners();
        assert_eq!((owners[9], owners[10], owners.len()), (0, 1, SLOTS));
        let beyond = Shape {
            runs: vec![run(5, u16::MAX, 3)],
            ..Shape::default()
        };
        assert_eq!(beyond.owners()[16_383], 3);
        assert_eq!(beyond.owners()[0], NOBODY);
    }

    #[test]
    fn the_majority_owns_a_cell() {
        let owners = [1, 1, 2, 2, 2, 3];
        assert_eq!(majority(&owners, 0, 2), 1);
        assert_eq!(majority(&owners, 0, 6), 2);
        assert_eq!(majority(&owners, 5, 5), 3);
        assert_eq!(majority(&owners, 9, 12), NOBODY);
    }
}
