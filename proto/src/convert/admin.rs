//! What operators see and set: states of members, groups.

use super::ttl_from_pb;
use crate::pb::cached::admin::v1 as pb;
use crate::records::{GroupRecord, MemberState};
use crate::types::{GroupName, Invalid};

/// Spells a member's state; `None`: rows name it, but it is no member (DOWN).
pub fn member_state_to_pb(state: Option<MemberState>) -> pb::MemberState {
    match state {
        Some(MemberState::Joining) => pb::MemberState::Joining,
        Some(MemberState::Up) => pb::MemberState::Up,
        Some(MemberState::Draining) => pb::MemberState::Draining,
        Some(MemberState::Gone) => pb::MemberState::Gone,
        None => pb::MemberState::Down,
    }
}

/// Reads a member's state; `None`: DOWN.
pub fn member_state_from_pb(state: i32) -> Result<Option<MemberState>, Invalid> {
    match pb::MemberState::try_from(state) {
        Ok(pb::MemberState::Joining) => Ok(Some(MemberState::Joining)),
        Ok(pb::MemberState::Up) => Ok(Some(MemberState::Up)),
        Ok(pb::MemberState::Draining) => Ok(Some(MemberState::Draining)),
        Ok(pb::MemberState::Gone) => Ok(Some(MemberState::Gone)),
        Ok(pb::MemberState::Down) => Ok(None),
        Ok(pb::MemberState::Unspecified) | Err(_) => {
            let problem = format!("{state} is not one that this version knows");
            Err(Invalid::new("member state", problem))
        }
    }
}

impl From<GroupRecord> for pb::Group {
    fn from(group: GroupRecord) -> Self {
        Self {
            name: group.name.into(),
            max_bytes: group.max_bytes.unwrap_or(0),
            default_ttl_ms: group.default_ttl_ms.unwrap_or(0),
            policy: group.policy.to_string(),
            resp_db: group.resp_db,
        }
    }
}

impl TryFrom<pb::Group> for GroupRecord {
    type Error = Invalid;
    fn try_from(group: pb::Group) -> Result<Self, Invalid> {
        let default_ttl_ms = Some(group.default_ttl_ms).filter(|ms| *ms > 0);
        ttl_from_pb(default_ttl_ms).map_err(|bad| Invalid::new("default_ttl_ms", bad.problem))?;
        Ok(Self {
            name: GroupName::new(&group.name)?,
            max_bytes: Some(group.max_bytes).filter(|bytes| *bytes > 0),
            default_ttl_ms,
            // Empty: the caller leaves the choice to the cluster.
            policy: if group.policy.is_empty() {
                Default::default()
            } else {
                group.policy.parse()?
            },
            resp_db: group.resp_db,
        })
    }
}
