//! The one language between the front ends and the router.

use cached_proto::operation::{Operation, Route};
use cached_proto::types::GroupName;

use crate::clock::Moment;

/// An operation on a group, with what bounds it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The group; front ends fill in the process's own where none is named.
    pub group: GroupName,
    /// What to do.
    pub operation: Operation,
    /// Who finds the owner.
    pub route: Route,
    /// When the caller stops waiting; expired commands are not carried out.
    pub deadline: Moment,
}
