//! What was received and is not in service yet, by slot. Pure: the containers
//! themselves are the store's.

use std::collections::BTreeMap;

use cached_proto::types::{Epoch, MemberId, Slot};

use super::messages::{Declined, Offer};
use crate::store::ContainerId;

/// One batch that is or was received; no other of this process has the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ImportId(u64);

/// One slot's staging.
#[derive(Debug)]
struct Staging {
    import: ImportId,
    container: ContainerId,
    /// Epoch of the row under which its source owns the slot.
    epoch: Epoch,
    attempt: u64,
    source: MemberId,
    /// It holds everything, and its source may commit it.
    sealed: bool,
    bytes: u64,
}

/// Containers that came to nothing, to be given up.
pub(super) type Dropped = Vec<(Slot, ContainerId)>;

/// At most one staging for each slot: that of its newest attempt.
#[derive(Debug, Default)]
pub(super) struct Stagings {
    by_slot: BTreeMap<Slot, Staging>,
    last: u64,
    /// Epoch and attempt of every row that was read. The view is published after them,
    /// so an offer that looks right by the view may be too late for its row.
    rows: BTreeMap<Slot, (Epoch, u64)>,
}

/// Whether a row says that an attempt under an epoch comes to nothing, whatever follows.
fn is_over((epoch, attempt): (Epoch, u64), (row_epoch, row_attempt): (Epoch, u64)) -> bool {
    epoch < row_epoch || attempt <= row_attempt
}

impl Stagings {
    /// Whether an offer may be taken. It must be newer than what is there of its slots:
    /// an owner that offers anew has moved on from what it offered before, and it alone
    /// could have committed that.
    pub(super) fn check(&self, offer: &Offer) -> Result<(), (Declined, String)> {
        for offered in &offer.slots {
            let slot = offered.slot;
            let row = self.rows.get(&slot).copied();
            if let Some(row) = row.filter(|row| is_over((offered.epoch, offer.attempt), *row)) {
                let (epoch, attempt) = row;
                let why = format!("the row of slot {slot} is of epoch {epoch}, attempt {attempt}");
                return Err((Declined::Stale, why));
            }
            let Some(staging) = self.by_slot.get(&slot) else {
                continue;
            };
            if (staging.epoch, staging.attempt) >= (offered.epoch, offer.attempt) {
                let (epoch, attempt) = (staging.epoch, staging.attempt);
                let why = format!(
                    "attempt {attempt} of epoch {epoch} for slot {slot}, from {}, is no older",
                    staging.source.name
                );
                return Err((Declined::Stale, why));
            }
        }
        Ok(())
    }

    /// Notes a batch that [`Stagings::check`] let in, with the container of each slot of
    /// the offer in its order. What it takes the place of is answered.
    pub(super) fn begin(
        &mut self,
        source: &MemberId,
        offer: &Offer,
        containers: &[ContainerId],
    ) -> (ImportId, Dropped) {
        self.last += 1;
        let import = ImportId(self.last);
        let mut dropped = Dropped::new();
        for (offered, container) in offer.slots.iter().zip(containers) {
            let staging = Staging {
                import,
                container: *container,
                epoch: offered.epoch,
                attempt: offer.attempt,
                source: source.clone(),
                sealed: false,
                bytes: 0,
            };
            if let Some(before) = self.by_slot.insert(offered.slot, staging) {
                dropped.push((offered.slot, before.container));
            }
        }
        (import, dropped)
    }

    /// Whether so many slots are still staged by this batch: a newer attempt or a row
    /// may have ended it.
    pub(super) fn holds(&self, import: ImportId, slots: usize) -> bool {
        let held = self.by_slot.values().filter(|it| it.import == import);
        held.count() == slots
    }

    /// So many bytes came into a slot.
    pub(super) fn grow(&mut self, import: ImportId, slot: Slot, bytes: u64) {
        if let Some(staging) = self.by_slot.get_mut(&slot)
            && staging.import == import
        {
            staging.bytes += bytes;
        }
    }

    /// The batch of so many slots is complete: its stagings outlive its stream, until it is
    /// known what became of them. False: some of them are gone.
    pub(super) fn seal(&mut self, import: ImportId, slots: usize) -> bool {
        if !self.holds(import, slots) {
            return false;
        }
        let of_import = self.by_slot.values_mut().filter(|it| it.import == import);
        of_import.for_each(|staging| staging.sealed = true);
        true
    }

    /// The batch's stream is over. What is not sealed is dropped.
    pub(super) fn close(&mut self, import: ImportId) -> Dropped {
        self.drop_if(|it| it.import == import && !it.sealed)
    }

    /// The batch comes to nothing, sealed or not.
    pub(super) fn abort(&mut self, import: ImportId) -> Dropped {
        self.drop_if(|it| it.import == import)
    }

    /// The sealed staging of a slot for exactly that attempt.
    pub(super) fn take(&mut self, slot: Slot, attempt: u64) -> Option<ContainerId> {
        let fits = |it: &Staging| it.sealed && it.attempt == attempt;
        if !self.by_slot.get(&slot).is_some_and(fits) {
            return None;
        }
        self.by_slot.remove(&slot).map(|staging| staging.container)
    }

    /// A row was read: what is not newer comes to nothing.
    pub(super) fn row_read(&mut self, slot: Slot, epoch: Epoch, attempt: u64) -> Dropped {
        self.rows.insert(slot, (epoch, attempt));
        let old = |it: &Staging| is_over((it.epoch, it.attempt), (epoch, attempt));
        if !self.by_slot.get(&slot).is_some_and(old) {
            return Dropped::new();
        }
        let dropped = self.by_slot.remove(&slot);
        dropped.map(|it| (slot, it.container)).into_iter().collect()
    }

    /// Bytes in all stagings; what was overwritten counts twice.
    pub(super) fn bytes(&self) -> u64 {
        self.by_slot.values().map(|staging| staging.bytes).sum()
    }

    fn drop_if(&mut self, is_dropped: impl Fn(&Staging) -> bool) -> Dropped {
        let mut dropped = Dropped::new();
        self.by_slot.retain(|slot, staging| {
            let goes = is_dropped(staging);
            if goes {
                dropped.push((*slot, staging.container));
            }
            !goes
        });
        dropped
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::table::PageIndex;
    use cached_proto::types::{Incarnation, NodeName};

    use super::super::messages::OfferedSlot;
    use super::*;

    fn source() -> MemberId {
        MemberId {
            name: NodeName::new("n1").unwrap(),
            inc: Incarnation(1),
        }
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn offer(epoch: u64, attempt: u64, slots: &[u16]) -> Offer {
        let offered = |number: &u16| OfferedSlot {
            slot: slot(*number),
            epoch: Epoch(epoch),
            base: Epoch(1),
        };
        Offer {
            operation: "op-00000001".into(),
            page: PageIndex::new(0).unwrap(),
            attempt,
            slots: slots.iter().map(offered).collect(),
            keys: 0,
            bytes: 0,
            shed: false,
            bytes_planned: 0,
        }
    }

    /// Containers of slot `s` in attempt `a` are numbered a × 100 + s.
    fn begin(stagings: &mut Stagings, epoch: u64, attempt: u64, slots: &[u16]) -> ImportId {
        let offer = offer(epoch, attempt, slots);
        stagings.check(&offer).unwrap();
        let container = |number: &u16| ContainerId(attempt * 100 + u64::from(*number));
        let containers: Vec<_> = slots.iter().map(container).collect();
        stagings.begin(&source(), &offer, &containers).0
    }

    #[test]
    fn only_a_sealed_staging_of_that_attempt_is_taken_and_only_once() {
        let mut stagings = Stagings::default();
        let import = begin(&mut stagings, 1, 5, &[1, 2]);
        assert_eq!(stagings.take(slot(1), 5), None);
        assert!(!stagings.seal(import, 3));
        assert!(stagings.seal(import, 2));
        assert_eq!(stagings.take(slot(1), 4), None);
        assert_eq!(stagings.take(slot(1), 6), None);
        assert_eq!(stagings.take(slot(1), 5), Some(ContainerId(501)));
        assert_eq!(stagings.take(slot(1), 5), None);
        assert_eq!(stagings.close(import), [], "sealed ones outlive the stream");
        assert_eq!(stagings.take(slot(2), 5), Some(ContainerId(502)));
    }

    #[test]
    fn an_offer_must_be_newer_than_what_is_there() {
        let mut stagings = Stagings::default();
        let import = begin(&mut stagings, 2, 5, &[1, 2]);
        assert!(stagings.seal(import, 2));
        for (epoch, attempt) in [(2, 5), (2, 4), (1, 9)] {
            let (declined, why) = stagings.check(&offer(epoch, attempt, &[2])).unwrap_err();
            assert_eq!(declined, Declined::Stale);
            assert!(why.contains("slot 2"), "{why}");
        }
        let newer = offer(2, 6, &[2, 3]);
        stagings.check(&newer).unwrap();
        let containers = [ContainerId(602), ContainerId(603)];
        let (_, dropped) = stagings.begin(&source(), &newer, &containers);
        assert_eq!(dropped, [(slot(2), ContainerId(502))]);
        assert!(!stagings.holds(import, 2));
        assert_eq!(stagings.take(slot(1), 5), Some(ContainerId(501)));
        assert_eq!(stagings.take(slot(2), 5), None);
    }

    #[test]
    fn a_row_ends_what_is_not_newer() {
        for (epoch, attempt, ends) in [
            (3, 4, false),
            (3, 5, true),
            (3, 6, true),
            (4, 1, true),
            (2, 4, false),
        ] {
            let mut stagings = Stagings::default();
            let import = begin(&mut stagings, 3, 5, &[1]);
            assert!(stagings.seal(import, 1));
            stagings.grow(import, slot(1), 70);
            let dropped = stagings.row_read(slot(1), Epoch(epoch), attempt);
            assert_eq!(!dropped.is_empty(), ends, "{epoch} {attempt}");
            assert_eq!(stagings.bytes(), if ends { 0 } else { 70 });
        }
    }

    /// The row was read, and the view that says so is not published yet.
    #[test]
    fn an_offer_that_is_late_for_its_row_is_stale() {
        for (epoch, attempt, stale) in [(3, 5, true), (2, 9, true), (3, 6, false), (4, 6, false)] {
            let mut stagings = Stagings::default();
            assert_eq!(stagings.row_read(slot(1), Epoch(3), 5), []);
            let checked = stagings.check(&offer(epoch, attempt, &[1]));
            assert_eq!(checked.is_err(), stale, "{epoch} {attempt}: {checked:?}");
        }
    }

    #[test]
    fn an_abort_takes_sealed_ones_too() {
        let mut stagings = Stagings::default();
        let import = begin(&mut stagings, 1, 1, &[1, 2]);
        assert!(stagings.seal(import, 2));
        assert_eq!(stagings.abort(import).len(), 2);
        assert_eq!(stagings.close(import), []);
    }
}
