//! Whether an offer is one that this node can take, by what it knows. Pure.

use cached_proto::operations::Want;
use cached_proto::records::MemberState;
use cached_proto::table::{PAGE_ROWS, PageIndex};
use cached_proto::types::MemberId;

use super::messages::{Declined, Offer};
use crate::cluster::view::{ClusterView, MemberView, Serving};

/// Why an offer is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) declined: Declined,
    pub(super) why: String,
    /// A newer view may show otherwise.
    pub(super) may_pass: bool,
}

/// Whether an offer is well-formed: some slots of one page, ascending.
pub(super) fn check_form(offer: &Offer) -> Result<(), (Declined, String)> {
    let number = offer.slots.len();
    if number == 0 || number > usize::from(PAGE_ROWS) {
        let why = format!("{number} slots are offered; from 1 to {PAGE_ROWS} are possible");
        return Err((Declined::Broken, why));
    }
    if !offer.slots.is_sorted_by(|one, next| one.slot < next.slot) {
        return Err((Declined::Broken, "the slots are not ascending".to_owned()));
    }
    if let Some(other) = offer
        .slots
        .iter()
        .find(|it| PageIndex::of(it.slot) != offer.page)
    {
        let why = format!("slot {} is not of page {}", other.slot, offer.page.index());
        return Err((Declined::Broken, why));
    }
    Ok(())
}

/// Whether this node serves, stays, and sees the sender own what it offers.
pub(super) fn check(
    view: &ClusterView,
    serving: Serving,
    from: &MemberId,
    offer: &Offer,
) -> Result<(), Refusal> {
    let refuse = |declined, why: String, may_pass| {
        Err(Refusal {
            declined,
            why,
            may_pass,
        })
    };
    let me = view.me.and_then(|me| view.members.get(usize::from(me)));
    let Some(me) = me.filter(|_| view.table_loaded) else {
        let why = "the slot table is not loaded yet".to_owned();
        return refuse(Declined::NotReady, why, true);
    };
    if let Serving::Fenced(reason) = serving {
        let why = format!("this node does not serve: {reason:?}");
        return refuse(Declined::NotReady, why, false);
    }
    if leaves(view, me) {
        let why = "this node gives its own slots away".to_owned();
        return refuse(Declined::Leaving, why, false);
    }
    for offered in &offer.slots {
        let slot = offered.slot;
        let Some((owner, epoch)) = view.owner(slot) else {
            let why = format!("no row of slot {slot} is known here");
            return refuse(Declined::NotReady, why, true);
        };
        if owner.id == *from && epoch == offered.epoch {
            continue;
        }
        let why = format!(
            "slot {slot} belongs to {} in epoch {epoch} here, not to {} in epoch {}",
            owner.id.name, from.name, offered.epoch
        );
        return refuse(Declined::Stale, why, epoch <= offered.epoch);
    }
    Ok(())
}

/// Whether this node gives its slots away, or will.
fn leaves(view: &ClusterView, me: &MemberView) -> bool {
    let state = me.record.as_ref().map(|record| record.state);
    if matches!(state, Some(MemberState::Draining | MemberState::Gone)) {
        return true;
    }
    view.intents.get(&me.id.name).is_some_and(|intent| {
        intent.want != Want::Serve && intent.inc.is_none_or(|inc| inc == me.id.inc)
    })
}

/// What of the free memory is granted to an offer that needs more; `None`: the offer
/// must not be cut.
pub(super) fn share(offer: &Offer, free: u64) -> Option<u64> {
    if !offer.shed {
        return None;
    }
    let planned = u128::from(offer.bytes_planned.max(offer.bytes).max(1));
    let share = u128::from(offer.bytes) * u128::from(free) / planned;
    Some(u64::try_from(share).unwrap_or(u64::MAX).min(offer.bytes))
}

#[cfg(test)]
mod tests {
    use cached_proto::operations::IntentRecord;
    use cached_proto::types::{Epoch, Incarnation, Slot};

    use super::super::messages::OfferedSlot;
    use super::*;
    use crate::cluster::view::FenceReason;
    use crate::operator::fixture;

    /// n1 (this process), n2 and n3 own a third each, in epoch 1.
    fn view() -> ClusterView {
        fixture::view(&["n1", "n2", "n3"])
    }

    fn n2() -> MemberId {
        view().members[1].id.clone()
    }

    fn offer(slots: &[u16], epoch: u64) -> Offer {
        let offered = |number: &u16| OfferedSlot {
            slot: Slot::new(*number).unwrap(),
            epoch: Epoch(epoch),
            base: Epoch(1),
        };
        Offer {
            operation: "op-00000001".into(),
            page: PageIndex::new(100).unwrap(),
            attempt: 1,
            slots: slots.iter().map(offered).collect(),
            keys: 0,
            bytes: 100,
            shed: true,
            bytes_planned: 400,
        }
    }

    #[test]
    fn only_ascending_slots_of_one_page_are_an_offer() {
        check_form(&offer(&[6400, 6463], 1)).unwrap();
        for wrong in [&[][..], &[6400, 6400], &[6401, 6400], &[6399], &[6464]] {
            let (declined, _) = check_form(&offer(wrong, 1)).unwrap_err();
            assert_eq!(declined, Declined::Broken, "{wrong:?}");
        }
    }

    #[test]
    fn the_sender_must_own_what_it_offers() {
        let check = |view: &ClusterView, offer: &Offer| check(view, Serving::Yes, &n2(), offer);
        check(&view(), &offer(&[6400, 6401], 1)).unwrap();
        let newer = check(&view(), &offer(&[6400], 2)).unwrap_err();
        assert_eq!((newer.declined, newer.may_pass), (Declined::Stale, true));
        let mut moved_on = view();
        moved_on.owners[6400].epoch = Epoch(3);
        let older = check(&moved_on, &offer(&[6400], 2)).unwrap_err();
        assert_eq!((older.declined, older.may_pass), (Declined::Stale, false));
        let mut mine = view();
        mine.owners[6401].member = 0;
        let refusal = check(&mine, &offer(&[6400, 6401], 1)).unwrap_err();
        assert_eq!(refusal.declined, Declined::Stale);
        assert!(
            refusal.why.contains("slot 6401 belongs to n1"),
            "{}",
            refusal.why
        );
    }

    #[test]
    fn who_does_not_serve_or_stay_takes_nothing() {
        let offer = offer(&[6400], 1);
        let declined = |view: &ClusterView, serving| {
            check(view, serving, &n2(), &offer).map_err(|refusal| refusal.declined)
        };
        let fenced = Serving::Fenced(FenceReason::Expired);
        assert_eq!(declined(&view(), fenced), Err(Declined::NotReady));
        let empty = ClusterView::empty();
        assert_eq!(declined(&empty, Serving::Yes), Err(Declined::NotReady));
        for (want, inc, expected) in [
            (Want::Drain, None, Err(Declined::Leaving)),
            (Want::Leave, Some(Incarnation(1)), Err(Declined::Leaving)),
            (Want::Leave, Some(Incarnation(9)), Ok(())),
            (Want::Serve, None, Ok(())),
        ] {
            let mut view = view();
            let intent = IntentRecord {
                want,
                inc,
                weight: None,
                by: "n1".into(),
                at_ms: 1,
            };
            view.intents.insert(view.members[0].id.name.clone(), intent);
            assert_eq!(declined(&view, Serving::Yes), expected, "{want:?} {inc:?}");
        }
    }

    #[test]
    fn free_memory_is_shared_among_what_is_still_to_come() {
        let mut offer = offer(&[6400], 1);
        assert_eq!(share(&offer, 200), Some(50));
        assert_eq!(share(&offer, 0), Some(0));
        assert_eq!(share(&offer, u64::MAX), Some(100));
        offer.bytes_planned = 0;
        assert_eq!(share(&offer, 30), Some(30));
        offer.shed = false;
        assert_eq!(share(&offer, 30), None);
    }
}
