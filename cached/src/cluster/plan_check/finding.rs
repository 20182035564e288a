//! What can be wrong with a plan, and how people are told.

use std::fmt;

use cached_proto::types::{Invalid, MemberId};

use crate::cluster::plan::Move;

/// Something wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Not every slot has exactly one owner among the plan's members.
    Malformed(Invalid),
    /// A member may not be given slots, and does not hold these by right either.
    NotEligible {
        /// Who.
        member: MemberId,
        /// How many it would own.
        slots: u32,
    },
    /// A member's slots are not its share rounded down or up.
    QuotaBroken {
        /// Who.
        member: MemberId,
        /// How many it would own.
        slots: u32,
        /// Its share rounded down.
        low: u32,
        /// Its share rounded up.
        high: u32,
    },
    /// Slots of a living owner are moved although only orphans may be.
    MovedFromLiving(Move),
    /// A member both gives slots away and is given some.
    Swapped {
        /// Who.
        member: MemberId,
        /// Slots that it gives away.
        lost: u32,
        /// Slots that it is given.
        gained: u32,
    },
    /// More slots leave owners that may keep them than the quotas ask for.
    NeedlessMoves {
        /// How many leave.
        moved: u32,
        /// How many have to.
        least: u32,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(invalid) => write!(f, "{invalid}"),
            Self::NotEligible { member, slots } => {
                write!(
                    f,
                    "{} would own {slots} slots and is not eligible",
                    member.name
                )
            }
            Self::QuotaBroken {
                member,
                slots,
                low,
                high,
            } => {
                let name = &member.name;
                write!(
                    f,
                    "{name} would own {slots} slots; its share is {low} to {high}"
                )
            }
            Self::MovedFromLiving(Move { from, to, slots }) => {
                let from = from.as_ref().map_or("nobody", |from| from.name.as_str());
                write!(
                    f,
                    "{slots} slots would move from {from}, which lives, to {}",
                    to.name
                )
            }
            Self::Swapped {
                member,
                lost,
                gained,
            } => {
                let name = &member.name;
                write!(
                    f,
                    "{name} would give {lost} slots away and be given {gained} others"
                )
            }
            Self::NeedlessMoves { moved, least } => {
                write!(f, "{moved} slots would move; {least} have to")
            }
        }
    }
}
