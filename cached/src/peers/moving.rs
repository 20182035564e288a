//! What sender and receiver of a move say to each other, as it travels: checked types
//! <-> messages. The only place that knows both.

use bytes::Bytes;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::move_change::Kind;
use cached_proto::pb::cached::peer::v1::move_refused::Reason;
use cached_proto::pb::cached::peer::v1::{move_request, move_response};
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, GroupName, Invalid, Key, MemberId, Slot};

use crate::clock::WallMs;
use crate::registry::Record;
use crate::store::{Change, GroupId, SlotSum};
use crate::transfer::messages::{
    Changes, Declined, Offer, OfferedSlot, ToReceiver, ToSender, group_of,
};

/// A sender's message; `header` says who sends, and to which life, with an offer.
pub(crate) fn request_to_pb(
    message: ToReceiver,
    header: impl FnOnce() -> pb::Header,
) -> pb::MoveRequest {
    use move_request::Step;
    let step = match message {
        ToReceiver::Offer(_, offer) => Step::Offer(offer_to_pb(offer, header())),
        ToReceiver::Changes(Changes { groups, changes }) => Step::Changes(pb::MoveChanges {
            groups: groups.into_iter().map(String::from).collect(),
            changes: changes.into_iter().map(change_to_pb).collect(),
        }),
        ToReceiver::Committed(record) => Step::Committed(pb::MoveCommitted {
            key: record.key,
            value: record.value,
            mod_revision: record.mod_revision,
            create_revision: record.create_revision,
        }),
        ToReceiver::Aborted(reason) => Step::Aborted(pb::MoveAborted { reason }),
    };
    pb::MoveRequest { step: Some(step) }
}

/// Reads a sender's message; `from` is who sends, as the offer's header said.
pub(crate) fn request_from_pb(
    message: pb::MoveRequest,
    from: &MemberId,
) -> Result<ToReceiver, Invalid> {
    use move_request::Step;
    Ok(match message.step {
        Some(Step::Offer(offer)) => ToReceiver::Offer(from.clone(), offer_from_pb(offer)?),
        Some(Step::Changes(changes)) => ToReceiver::Changes(changes_from_pb(changes)?),
        Some(Step::Committed(committed)) => ToReceiver::Committed(Record {
            key: committed.key,
            value: committed.value,
            create_revision: committed.create_revision,
            mod_revision: committed.mod_revision,
            lease: 0,
        }),
        Some(Step::Aborted(aborted)) => ToReceiver::Aborted(aborted.reason),
        None => return Err(Invalid::new("step", "is missing")),
    })
}

/// A receiver's message.
pub(crate) fn response_to_pb(message: ToSender) -> pb::MoveResponse {
    use move_response::Step;
    let step = match message {
        ToSender::Granted { bytes } => Step::Granted(pb::MoveGranted { bytes }),
        ToSender::Refused(declined, message) => Step::Refused(pb::MoveRefused {
            reason: reason_of(declined).into(),
            message,
        }),
        ToSender::Applied {
            changes,
            bytes,
            skipped,
        } => Step::Applied(pb::MoveApplied {
            changes,
            bytes,
            skipped,
        }),
        ToSender::Sealed(slots) => {
            let slot = |(slot, sequence, sum): (Slot, u64, SlotSum)| pb::SealedSlot {
                slot: slot.number().into(),
                sequence,
                sum: Some(sum_to_pb(sum)),
            };
            let slots = slots.into_iter().map(slot).collect();
            Step::Sealed(pb::MoveSealed { slots })
        }
        ToSender::Done => Step::Done(pb::MoveDone {}),
    };
    pb::MoveResponse { step: Some(step) }
}

/// Reads a receiver's message.
pub(crate) fn response_from_pb(message: pb::MoveResponse) -> Result<ToSender, Invalid> {
    use move_response::Step;
    Ok(match message.step {
        Some(Step::Granted(granted)) => ToSender::Granted {
            bytes: granted.bytes,
        },
        Some(Step::Refused(refused)) => {
            let declined = declined_of(refused.reason())?;
            ToSender::Refused(declined, refused.message)
        }
        Some(Step::Applied(applied)) => ToSender::Applied {
            changes: applied.changes,
            bytes: applied.bytes,
            skipped: applied.skipped,
        },
        Some(Step::Sealed(sealed)) => {
            let slot = |sealed: pb::SealedSlot| {
                let slot = slot_from_pb(sealed.slot)?;
                Ok((slot, sealed.sequence, sum_from_pb(sealed.sum)?))
            };
            let slots = sealed.slots.into_iter().map(slot);
            ToSender::Sealed(slots.collect::<Result<_, Invalid>>()?)
        }
        Some(Step::Done(pb::MoveDone {})) => ToSender::Done,
        None => return Err(Invalid::new("step", "is missing")),
    })
}

fn offer_to_pb(offer: Offer, header: pb::Header) -> pb::MoveOffer {
    let slot = |offered: OfferedSlot| pb::MoveSlot {
        slot: offered.slot.number().into(),
        epoch: offered.epoch.0,
        base_epoch: offered.base.0,
    };
    pb::MoveOffer {
        header: Some(header),
        operation: offer.operation,
        page: offer.page.index() as u32,
        attempt: offer.attempt,
        slots: offer.slots.into_iter().map(slot).collect(),
        keys: offer.keys,
        bytes: offer.bytes,
        shed: offer.shed,
        bytes_planned: offer.bytes_planned,
    }
}

fn offer_from_pb(offer: pb::MoveOffer) -> Result<Offer, Invalid> {
    let page = u16::try_from(offer.page).unwrap_or(u16::MAX);
    let slot = |offered: pb::MoveSlot| {
        Ok(OfferedSlot {
            slot: slot_from_pb(offered.slot)?,
            epoch: Epoch(offered.epoch),
            base: Epoch(offered.base_epoch),
        })
    };
    Ok(Offer {
        operation: offer.operation,
        page: PageIndex::new(page)?,
        attempt: offer.attempt,
        slots: offer
            .slots
            .into_iter()
            .map(slot)
            .collect::<Result<_, Invalid>>()?,
        keys: offer.keys,
        bytes: offer.bytes,
        shed: offer.shed,
        bytes_planned: offer.bytes_planned,
    })
}

fn change_to_pb(change: Change) -> pb::MoveChange {
    let slot = change.slot().number().into();
    let time = |deadline: Option<WallMs>| deadline.map_or(0, |at| at.0);
    match change {
        Change::Put {
            group,
            key,
            value,
            seq,
            deadline,
            stamp,
            ..
        } => pb::MoveChange {
            kind: match value {
                Some(_) => Kind::Put.into(),
                None => Kind::Absent.into(),
            },
            slot,
            group: group.0.into(),
            key: key.into_bytes(),
            value: value.unwrap_or_default(),
            sequence: seq,
            deadline_ms: time(deadline),
            stamp,
            sum: None,
        },
        Change::Remove {
            group, key, seq, ..
        } => pb::MoveChange {
            kind: Kind::Remove.into(),
            slot,
            group: group.0.into(),
            key: key.into_bytes(),
            sequence: seq,
            ..Default::default()
        },
        Change::Use {
            group,
            key,
            stamp,
            deadline,
            ..
        } => pb::MoveChange {
            kind: Kind::Use.into(),
            slot,
            group: group.0.into(),
            key: key.into_bytes(),
            deadline_ms: time(deadline),
            stamp,
            ..Default::default()
        },
        Change::Seal { seq, sum, .. } => pb::MoveChange {
            kind: Kind::Seal.into(),
            slot,
            sequence: seq,
            sum: Some(sum_to_pb(sum)),
            ..Default::default()
        },
    }
}

fn changes_from_pb(message: pb::MoveChanges) -> Result<Changes, Invalid> {
    let groups = message.groups.iter().map(GroupName::new);
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let changes = message.changes.into_iter().map(change_from_pb);
    let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
    for group in changes.iter_mut().filter_map(group_of) {
        if usize::from(group.0) >= groups.len() {
            let problem = format!("{} is none of the {} named", group.0, groups.len());
            return Err(Invalid::new("group", problem));
        }
    }
    Ok(Changes { groups, changes })
}

fn change_from_pb(change: pb::MoveChange) -> Result<Change, Invalid> {
    let slot = slot_from_pb(change.slot)?;
    let group = GroupId(u16::try_from(change.group).unwrap_or(u16::MAX));
    let deadline = Some(change.deadline_ms).filter(|at| *at != 0).map(WallMs);
    let (kind, seq, stamp) = (change.kind(), change.sequence, change.stamp);
    let put = |key, value| Change::Put {
        slot,
        group,
        key,
        value,
        seq,
        deadline,
        stamp,
    };
    Ok(match kind {
        // A copy: a slice would keep the whole message in memory for as long as the
        // entry lives.
        Kind::Put => put(
            Key::new(change.key)?,
            Some(Bytes::copy_from_slice(&change.value)),
        ),
        Kind::Absent => put(Key::new(change.key)?, None),
        Kind::Remove => Change::Remove {
            slot,
            group,
            key: Key::new(change.key)?,
            seq,
        },
        Kind::Use => Change::Use {
            slot,
            group,
            key: Key::new(change.key)?,
            stamp,
            deadline,
        },
        Kind::Seal => Change::Seal {
            slot,
            seq,
            sum: sum_from_pb(change.sum)?,
        },
        Kind::Unspecified => return Err(Invalid::new("kind", "of a change is missing")),
    })
}

fn sum_to_pb(sum: SlotSum) -> pb::SlotSum {
    pb::SlotSum {
        keys: sum.keys,
        digest: sum.digest,
        wall_ms: sum.wall.0,
    }
}

fn sum_from_pb(sum: Option<pb::SlotSum>) -> Result<SlotSum, Invalid> {
    let sum = sum.ok_or_else(|| Invalid::new("sum", "of a sealed slot is missing"))?;
    Ok(SlotSum {
        keys: sum.keys,
        digest: sum.digest,
        wall: WallMs(sum.wall_ms),
    })
}

fn slot_from_pb(number: u32) -> Result<Slot, Invalid> {
    Slot::new(u16::try_from(number).unwrap_or(u16::MAX))
}

fn reason_of(declined: Declined) -> Reason {
    match declined {
        Declined::Busy => Reason::Busy,
        Declined::OverCapacity => Reason::OverCapacity,
        Declined::Stale => Reason::Stale,
        Declined::NotReady => Reason::NotReady,
        Declined::Broken => Reason::Broken,
        Declined::Leaving => Reason::Leaving,
    }
}

fn declined_of(reason: Reason) -> Result<Declined, Invalid> {
    Ok(match reason {
        Reason::Busy => Declined::Busy,
        Reason::OverCapacity => Declined::OverCapacity,
        Reason::Stale => Declined::Stale,
        Reason::NotReady => Declined::NotReady,
        Reason::Broken => Declined::Broken,
        Reason::Leaving => Declined::Leaving,
        Reason::Unspecified => return Err(Invalid::new("reason", "of a refusal is missing")),
    })
}

#[cfg(test)]
mod tests {
    use cached_proto::types::{Incarnation, NodeName};

    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn from() -> MemberId {
        MemberId {
            name: NodeName::new("n1").unwrap(),
            inc: Incarnation(1),
        }
    }

    fn sum() -> SlotSum {
        SlotSum {
            keys: 3,
            digest: u64::MAX,
            wall: WallMs(7),
        }
    }

    /// One of each kind.
    fn changes() -> Vec<Change> {
        let (key, group) = (|| Key::new("k").unwrap(), GroupId(0));
        let put = |value, deadline| Change::Put {
            slot: slot(1),
            group,
            key: key(),
            value,
            seq: 5,
            deadline,
            stamp: 6,
        };
        vec![
            put(Some(Bytes::from_static(b"v")), Some(WallMs(9))),
            put(Some(Bytes::new()), None),
            put(None, Some(WallMs(9))),
            Change::Remove {
                slot: slot(2),
                group,
                key: key(),
                seq: 8,
            },
            Change::Use {
                slot: slot(3),
                group,
                key: key(),
                stamp: 4,
                deadline: None,
            },
            Change::Seal {
                slot: slot(1),
                seq: 9,
                sum: sum(),
            },
        ]
    }

    #[test]
    fn every_message_survives_the_wire() {
        let offer = Offer {
            operation: "op-00000001".into(),
            page: PageIndex::new(255).unwrap(),
            attempt: 3,
            slots: vec![OfferedSlot {
                slot: slot(1),
                epoch: Epoch(2),
                base: Epoch(1),
            }],
            keys: 4,
            bytes: 5,
            shed: true,
            bytes_planned: 6,
        };
        let record = Record {
            key: "table/0".into(),
            value: Bytes::from_static(b"{}"),
            create_revision: 1,
            mod_revision: 2,
            lease: 0,
        };
        let (groups, changes) = (vec![GroupName::new("g").unwrap()], changes());
        for message in [
            ToReceiver::Offer(from(), offer),
            ToReceiver::Changes(Changes { groups, changes }),
            ToReceiver::Committed(record),
            ToReceiver::Aborted("why".into()),
        ] {
            let wire = request_to_pb(message.clone(), pb::Header::default);
            assert_eq!(request_from_pb(wire, &from()), Ok(message));
        }
        for message in [
            ToSender::Granted { bytes: 1 },
            ToSender::Refused(Declined::Leaving, "why".into()),
            ToSender::Applied {
                changes: 1,
                bytes: 2,
                skipped: 3,
            },
            ToSender::Sealed(vec![(slot(1), 9, sum())]),
            ToSender::Done,
        ] {
            let wire = response_to_pb(message.clone());
            assert_eq!(response_from_pb(wire), Ok(message));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        request_from_pb(pb::MoveRequest { step: None }, &from()).unwrap_err();
        response_from_pb(pb::MoveResponse { step: None }).unwrap_err();
        let change = |kind: Kind, group| pb::MoveChange {
            kind: kind.into(),
            group,
            ..Default::default()
        };
        for wrong in [
            change(Kind::Unspecified, 0),
            change(Kind::Seal, 0),
            change(Kind::Remove, 1),
            pb::MoveChange {
                slot: 16_384,
                ..change(Kind::Remove, 0)
            },
        ] {
            let message = pb::MoveChanges {
                groups: vec!["g".into()],
                changes: vec![wrong.clone()],
            };
            assert!(changes_from_pb(message).is_err(), "{wrong:?}");
        }
    }
}
