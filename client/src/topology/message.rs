//! A topology as nodes send it, checked. Pure.

use cached_proto::convert::{member_id, member_state_from_pb};
use cached_proto::limits::VIRTUAL_NODES_MAX;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::{Epoch, GroupName, Invalid, Slot};

use super::build::Builder;
use super::{Member, Topology};

impl TryFrom<pb::TopologyResponse> for Topology {
    type Error = Invalid;

    fn try_from(message: pb::TopologyResponse) -> Result<Self, Invalid> {
        if message.virtual_nodes > VIRTUAL_NODES_MAX {
            let problem = format!(
                "are {}; the limit is {VIRTUAL_NODES_MAX}",
                message.virtual_nodes
            );
            return Err(Invalid::new("virtual nodes", problem));
        }
        let mut builder = Builder::new();
        for member in message.members {
            builder.member(read_member(member)?)?;
        }
        for range in &message.ranges {
            read_range(range, &mut builder)?;
        }
        let (members, owners) = builder.build()?;
        Ok(Self {
            cluster: message.cluster.parse()?,
            cluster_uuid: message.cluster_uuid.parse()?,
            generation: message.generation,
            layout: message.layout,
            hash: message.hash.parse()?,
            virtual_nodes: message.virtual_nodes,
            mode: message.mode.parse()?,
            default_group: GroupName::new(&message.default_group)?,
            members,
            owners,
        })
    }
}

fn read_member(member: pb::Member) -> Result<Member, Invalid> {
    Ok(Member {
        id: member_id(&member.name, &member.incarnation)?,
        state: member_state_from_pb(member.state)?,
        address: member.address,
        weight: member.weight,
        zone: member.zone,
        version: member.software_version,
        started_ms: member.started_at_ms,
        // Counted from the rows.
        slots: 0,
        down_for_ms: member.down_for_ms,
        detail: member.detail,
        standby: member.standby,
        intent: member.intent,
    })
}

fn read_range(range: &pb::SlotRange, builder: &mut Builder) -> Result<(), Invalid> {
    let first = slot(range.first)?;
    let last = slot(range.last)?;
    if first > last {
        return Err(Invalid::new(
            "range",
            format!("begins at slot {first} and ends at {last}"),
        ));
    }
    // A slot without a row yet.
    if range.owner.is_empty() {
        return Ok(());
    }
    let owner = member_id(&range.owner, &range.incarnation)?;
    builder.own(first..=last, owner, Epoch(range.epoch))
}

fn slot(number: u32) -> Result<Slot, Invalid> {
    // Numbers beyond 16 bits are not below the number of slots either.
    Slot::new(u16::try_from(number).unwrap_or(u16::MAX))
}
