//! Receives one batch: takes the offer or refuses it, takes changes in, and holds what
//! was sealed until it is known what became of it. It calls no other node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::types::{GroupName, MemberId, Slot};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::messages::{Changes, Declined, Offer, ToReceiver, ToSender, group_of};
use super::stagings::{Dropped, ImportId};
use super::{Told, Transfers, welcome};
use crate::faults::{Fault, crash_point, planted};
use crate::store::{Applied, Change, ContainerId, GroupId, SlotSum, Store};
use crate::tasks::Stop;

/// How long to wait for this process to learn what the sender knows already.
const LEARN_MAX: Duration = Duration::from_millis(200);
/// How often to look whether a group is there.
const LEARN_STEP: Duration = Duration::from_millis(20);
/// How long an offer waits for its turn: less than its sender waits for an answer, and
/// longer than a batch takes.
pub(super) const TURN_MAX: Duration = Duration::from_secs(2);
/// Tries to reserve what is free, while others take it.
const RESERVE_TRIES: u64 = 8;
/// Changes that are taken in before other tasks get a turn.
const APPLY_STEP: usize = 512;
/// How late the planted fault R37 takes in what it has acknowledged.
const HELD_BACK: Duration = Duration::from_millis(200);

/// Why a stream goes no further.
type Refusal = (Declined, String);

/// The task that receives a batch.
pub(super) struct Receiver {
    pub(super) shared: Arc<Transfers>,
    pub(super) from: MemberId,
    pub(super) answers: mpsc::Sender<ToSender>,
    pub(super) stop: Stop,
}

/// What is being received.
struct Import {
    id: ImportId,
    slots: BTreeMap<Slot, Target>,
    /// Of what was reserved, what is not filled yet.
    reserved: u64,
    changes: u64,
    bytes: u64,
    skipped: u64,
    /// Its place among the batches that are received.
    turn: Option<OwnedSemaphorePermit>,
    /// With the planted fault R37: what was acknowledged and not taken in.
    held_back: Vec<(ContainerId, Change)>,
}

struct Target {
    container: ContainerId,
    /// What the sender holds, once it said that nothing more comes.
    seal: Option<(u64, SlotSum)>,
}

impl Receiver {
    pub(super) async fn run(self, mut messages: BoxStream<'static, ToReceiver>) {
        let stop = self.stop.clone();
        let first = tokio::select! {
            biased;
            () = stop.stopped() => return,
            first = messages.next() => first,
        };
        let import = match first {
            Some(ToReceiver::Offer(sender, offer)) if sender == self.from => {
                self.welcome(&offer).await
            }
            Some(_) => Err((Declined::Broken, "the first message is no offer".to_owned())),
            None => return,
        };
        let mut import = match import {
            Ok(import) => import,
            Err((declined, why)) => return self.answer(ToSender::Refused(declined, why)).await,
        };
        crash_point("after-offer");
        let bytes = import.reserved;
        self.answer(ToSender::Granted { bytes }).await;
        loop {
            let message = tokio::select! {
                biased;
                () = stop.stopped() => break,
                message = messages.next() => message,
            };
            let Some(message) = message else { break };
            match self.take(&mut import, message).await {
                Ok(true) => {}
                Ok(false) => break,
                Err((declined, why)) => {
                    let dropped = self.shared.stagings.lock().abort(import.id);
                    self.shared.give_up(dropped);
                    self.answer(ToSender::Refused(declined, why)).await;
                    break;
                }
            }
        }
        self.close(import).await;
    }

    /// Sums up what is there of an ended stream.
    async fn close(&self, import: Import) {
        self.shared.parts.store.give_back(import.reserved);
        let dropped = self.shared.stagings.lock().close(import.id);
        self.shared.give_up(dropped);
        if !import.held_back.is_empty() {
            self.shared.parts.clock.sleep(HELD_BACK).await;
            for (container, change) in import.held_back {
                self.shared.parts.store.apply(container, change, &mut 0);
            }
        }
    }

    /// Answers, if the sender still listens.
    async fn answer(&self, answer: ToSender) {
        tokio::select! {
            biased;
            _ = self.answers.send(answer) => {}
            () = self.stop.stopped() => {}
        }
    }

    /// Takes an offer: nothing serves yet, and its memory is reserved.
    async fn welcome(&self, offer: &Offer) -> Result<Import, Refusal> {
        welcome::check_form(offer)?;
        let turn = self.turn().await?;
        self.know_the_rows(offer).await?;
        let Transfers {
            parts, stagings, ..
        } = &*self.shared;
        let mut stagings = stagings.lock();
        stagings.check(offer)?;
        let reserved = reserve(&parts.store, offer)?;
        let stage = |slot, base| parts.store.stage(slot, base);
        let staged = offer.slots.iter().map(|it| stage(it.slot, it.base));
        let containers: Vec<_> = staged.collect();
        let (id, replaced) = stagings.begin(&self.from, offer, &containers);
        drop(stagings);
        self.shared.give_up(replaced);
        let target = |container| Target {
            container,
            seal: None,
        };
        let slots = offer.slots.iter().map(|it| it.slot);
        Ok(Import {
            id,
            slots: slots.zip(containers.into_iter().map(target)).collect(),
            reserved,
            changes: 0,
            bytes: 0,
            skipped: 0,
            turn: Some(turn),
            held_back: Vec::new(),
        })
    }

    /// Waits until few enough others are received. Whoever sends one batch after another
    /// to here needs no luck to be next.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = self.shared.imports.clone().acquire_owned();
        let turn = tokio::select! {
            biased;
            () = self.stop.stopped() => None,
            turn = turn => turn.ok(),
            () = self.shared.parts.clock.sleep(TURN_MAX) => None,
        };
        turn.ok_or_else(|| {
            let why = format!("for {TURN_MAX:?} others were being received");
            (Declined::Busy, why)
        })
    }

    /// Waits a moment for a view that shows the rows of the offer.
    async fn know_the_rows(&self, offer: &Offer) -> Result<(), Refusal> {
        let parts = &self.shared.parts;
        let until = parts.clock.now() + LEARN_MAX;
        let mut asked = false;
        loop {
            let view = parts.view.load_full();
            let now = parts.clock.now();
            let serving = parts.view.fence().check(now);
            let refusal = match welcome::check(&view, serving, &self.from, offer) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            if !refusal.may_pass || now >= until {
                return Err((refusal.declined, refusal.why));
            }
            if !asked {
                parts.view.ask_refresh();
                asked = true;
            }
            tokio::select! {
                biased;
                _ = parts.view.newer_than(view.number) => {}
                () = parts.clock.sleep(until.since(now)) => {}
            }
        }
    }

    /// Takes a message in; false: it was the last one.
    async fn take(&self, import: &mut Import, message: ToReceiver) -> Result<bool, Refusal> {
        match message {
            ToReceiver::Changes(changes) => {
                self.take_changes(import, changes).await?;
                self.answer(ToSender::Applied {
                    changes: import.changes,
                    bytes: import.bytes,
                    skipped: import.skipped,
                })
                .await;
                if import.is_complete() {
                    self.seal(import).await?;
                }
                Ok(true)
            }
            ToReceiver::Committed(record) => {
                // Nobody listens any more when the process stops.
                let _ = self.shared.told.send(Told::Committed(record)).await;
                self.answer(ToSender::Done).await;
                Ok(false)
            }
            ToReceiver::Aborted(why) => {
                tracing::debug!(from = %self.from.name, why, "a move to here was given up");
                let dropped = self.shared.stagings.lock().abort(import.id);
                self.shared.give_up(dropped);
                self.answer(ToSender::Done).await;
                Ok(false)
            }
            ToReceiver::Offer(..) => {
                Err((Declined::Broken, "a stream is for one offer".to_owned()))
            }
        }
    }

    async fn take_changes(&self, import: &mut Import, changes: Changes) -> Result<(), Refusal> {
        crash_point("mid-copy");
        let groups = self.groups(&changes.groups).await?;
        if !self.is_staged(import) {
            return Err(overtaken());
        }
        let mut grown: BTreeMap<Slot, u64> = BTreeMap::new();
        for (index, mut change) in changes.changes.into_iter().enumerate() {
            if index % APPLY_STEP == APPLY_STEP - 1 {
                tokio::task::yield_now().await;
            }
            if let Some(group) = group_of(&mut change) {
                let known = groups.get(usize::from(group.0));
                *group = *known.ok_or_else(|| broken(format!("no group {}", group.0)))?;
            }
            let slot = change.slot();
            let bytes = self.apply(import, change)?;
            *grown.entry(slot).or_default() += bytes;
        }
        let mut stagings = self.shared.stagings.lock();
        for (slot, bytes) in grown {
            stagings.grow(import.id, slot, bytes);
        }
        Ok(())
    }

    /// Whether nothing newer has taken the batch's place.
    fn is_staged(&self, import: &Import) -> bool {
        let slots = import.slots.len();
        self.shared.stagings.lock().holds(import.id, slots)
    }

    /// Takes one change in; answers the bytes that it brought.
    fn apply(&self, import: &mut Import, change: Change) -> Result<u64, Refusal> {
        let store = &self.shared.parts.store;
        let slot = change.slot();
        let Some(target) = import.slots.get_mut(&slot) else {
            return Err(broken(format!("slot {slot} is none of the offer's")));
        };
        if target.seal.is_some() {
            return Err(broken(format!("slot {slot} changes after its seal")));
        }
        let (payload, charge) = sizes(&change);
        match &change {
            Change::Seal { seq, sum, .. } => target.seal = Some((*seq, *sum)),
            _ => import.changes += 1,
        }
        import.bytes += payload;
        if planted(Fault::R37) && target.seal.is_none() {
            import.held_back.push((target.container, change));
            return Ok(charge);
        }
        match store.apply(target.container, change, &mut import.reserved) {
            Applied::Yes => Ok(charge),
            Applied::Older => {
                import.skipped += 1;
                Ok(0)
            }
            Applied::No if !self.is_staged(import) => Err(overtaken()),
            Applied::No => {
                let why = format!("there is no memory for {charge} bytes more of slot {slot}");
                Err((Declined::OverCapacity, why))
            }
        }
    }

    /// Both ends must hold the same; then it is kept until its owner has decided.
    async fn seal(&self, import: &mut Import) -> Result<(), Refusal> {
        let mut sums = Vec::new();
        for (slot, target) in &import.slots {
            let Some((seq, theirs)) = target.seal else {
                continue;
            };
            let own = self.shared.parts.store.staged(*slot, target.container);
            let own = own.ok_or_else(|| broken(format!("slot {slot} is not staged any more")))?;
            // Without the comparison, which would find what these two do.
            let blind = planted(Fault::R37) || planted(Fault::R19);
            if (own.keys, own.digest) != (theirs.keys, theirs.digest) && !blind {
                // Everything came, and in order: one of the two ends is defective.
                tracing::error!(%slot, from = %self.from.name, "both ends of a move differ");
                return Err(broken(format!(
                    "slot {slot} has {} entries with digest {:016x} here, {} with {:016x} there",
                    own.keys, own.digest, theirs.keys, theirs.digest
                )));
            }
            let sum = if blind { theirs } else { own };
            sums.push((*slot, seq, sum));
        }
        let slots = import.slots.len();
        if !self.shared.stagings.lock().seal(import.id, slots) {
            return Err(overtaken());
        }
        // Nothing more comes: what was reserved beyond it is free.
        // Nor does it stand in the way of others, however long its commit is in doubt.
        import.turn = None;
        let rest = std::mem::take(&mut import.reserved);
        self.shared.parts.store.give_back(rest);
        self.answer(ToSender::Sealed(sums)).await;
        crash_point("after-sealed-reply");
        Ok(())
    }

    /// The numbers of groups here; waits a moment for those that are not known yet.
    async fn groups(&self, names: &[GroupName]) -> Result<Vec<GroupId>, Refusal> {
        let parts = &self.shared.parts;
        let until = parts.clock.now() + LEARN_MAX;
        let mut asked = false;
        loop {
            let known = names.iter().map(|name| parts.store.group(name).ok_or(name));
            let unknown = match known.collect::<Result<Vec<_>, _>>() {
                Ok(groups) => return Ok(groups),
                Err(unknown) => unknown,
            };
            if parts.clock.now() >= until {
                let why = format!("group {unknown} is not known here yet");
                return Err((Declined::NotReady, why));
            }
            if !asked {
                parts.view.ask_refresh();
                asked = true;
            }
            parts.clock.sleep(LEARN_STEP).await;
        }
    }
}

impl Import {
    /// Whether every slot is sealed, and was not before.
    fn is_complete(&self) -> bool {
        self.slots.values().all(|target| target.seal.is_some())
    }
}

/// Bytes of key and value, and bytes of memory that a change needs.
fn sizes(change: &Change) -> (u64, u64) {
    match change {
        Change::Put { key, value, .. } => {
            let (key, value) = (
                key.as_bytes().len(),
                value.as_ref().map_or(0, |it| it.len()),
            );
            ((key + value) as u64, Store::entry_bytes(key, value))
        }
        Change::Remove { key, .. } | Change::Use { key, .. } => (key.as_bytes().len() as u64, 0),
        Change::Seal { .. } => (0, 0),
    }
}

fn broken(why: String) -> Refusal {
    (Declined::Broken, why)
}

/// A newer attempt or a row has ended what was staged.
fn overtaken() -> Refusal {
    let why = "something newer has come of these slots";
    (Declined::Stale, why.to_owned())
}

/// Reserves what an offer needs, or this batch's part of what there is if the rest may be
/// dropped. What comes later counts from the first batch on: if it will not fit, every
/// batch gives its coldest, instead of the last ones everything.
fn reserve(store: &Store, offer: &Offer) -> Result<u64, Refusal> {
    let free = || store.free_bytes();
    if (!offer.shed || offer.bytes_planned <= free()) && store.reserve(offer.bytes) {
        return Ok(offer.bytes);
    }
    // Others take memory meanwhile: a little less is left each time.
    for part in (0..RESERVE_TRIES).rev() {
        let free = free();
        let Some(granted) = welcome::share(offer, free) else {
            let why = format!("{} bytes are needed, {free} are free", offer.bytes);
            return Err((Declined::OverCapacity, why));
        };
        let granted = granted / RESERVE_TRIES * (part + 1);
        if store.reserve(granted) {
            return Ok(granted);
        }
    }
    Ok(0)
}

impl Transfers {
    /// Frees stagings that came to nothing, in the background.
    pub(super) fn give_up(self: &Arc<Self>, dropped: Dropped) {
        let store = &self.parts.store;
        let discard = |(slot, container)| store.discard(slot, container);
        let purges: Vec<_> = dropped.into_iter().filter_map(discard).collect();
        if purges.is_empty() {
            return;
        }
        let store = store.clone();
        self.parts.tasks.spawn("drop staged", |stop| async move {
            for purge in purges {
                while !stop.is_stopped() && !store.purge(&purge, super::PURGE_STEP) {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}
