//! Sends one batch: offers it, copies its slots with what happens to them meanwhile,
//! seals them, and tells the receiver how it ended. Thin: `flow` decides how much and
//! how long, the cluster's state decides what and when.

mod ending;
mod opening;
mod sealing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::operations::MoveCounts;
use cached_proto::types::GroupName;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::Permit;

use super::batch::Batch;
use super::flow::{CHECK_EVERY, CHUNK, Flow};
use super::late::Late;
use super::messages::{Changes, Declined, Sums, ToReceiver, ToSender, group_of, word};
use super::order::{MoveEnd, MoveNews};
use super::throttle::Breath;
use super::{Told, Transfers};
use crate::clock::Moment;
use crate::faults::{Fault, planted};
use crate::peers::{MoveStream, PeerError};
use crate::store::{Change, GroupId, KeyCursor, MoveLog, SlotInfo};
use crate::tasks::Stop;

/// How long the receiver may take to be reached, and again to answer the offer.
const OFFER_MAX: Duration = Duration::from_secs(3);
/// How long a seal may last before both ends are seen to hold the same.
const SEAL_MAX: Duration = Duration::from_secs(1);
/// How long a batch that shall be sealed may be too far behind for it.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// How long to wait for the receiver to take note of the end.
const DONE_MAX: Duration = Duration::from_secs(1);
/// Weight that is scanned under one hold of a shard's lock.
const SCAN_STEP: u64 = 64 << 10;
/// Scanning goes on while less than this waits: half a message ahead keeps the
/// connection busy, and leaves the window to writers.
const SCAN_AHEAD: u64 = 128 << 10;
/// How often an idle sender looks around while slots are sealed.
const HURRY_NAP: Duration = Duration::from_millis(20);

/// Why a sender goes no further.
#[derive(Debug)]
enum Over {
    /// The attempt came to nothing.
    Failed {
        why: String,
        declined: Option<Declined>,
    },
    /// The cluster's state ended it.
    Ended(MoveEnd),
    /// The process stops.
    Stopped,
}

fn failed(why: impl Into<String>) -> Over {
    Over::Failed {
        why: why.into(),
        declined: None,
    }
}

/// The task that sends a batch.
pub(super) struct Sender {
    shared: Arc<Transfers>,
    batch: Arc<Batch>,
    stop: Stop,
    log: Arc<MoveLog>,
    /// Told when something was appended to an empty log.
    appended: Arc<Notify>,
    /// As they were when their move began; they are logged since then.
    slots: Vec<SlotInfo>,
    /// Index of the slot that is scanned, and where in it.
    scan: (usize, Option<KeyCursor>),
    /// A message was sent since the last step of it.
    scan_owed: bool,
    flow: Flow,
    /// Operations that this node had been asked for at the last message.
    asked: u64,
    breath: Breath,
    shed: u64,
    /// The receiver may hold everything sealed, which outlives the stream there.
    may_be_kept: bool,
    /// `Sealed` was told: nothing but the outcome of the commit ends it (R1).
    decided_elsewhere: bool,
    /// Slots are sealed, and so many operations had been held up before.
    sealed: Option<u64>,
    /// What a planted fault holds back.
    late: Late,
}

impl Sender {
    pub(super) fn new(shared: Arc<Transfers>, batch: Arc<Batch>, stop: Stop) -> Self {
        let appended = Arc::new(Notify::new());
        let wake = appended.clone();
        let flow = Flow::new(shared.parts.clock.now());
        let asked = shared.parts.counters.asked();
        Self {
            log: MoveLog::new(flow.window(), move || wake.notify_one()),
            shared,
            batch,
            stop,
            appended,
            slots: Vec::new(),
            scan: (0, None),
            scan_owed: false,
            flow,
            asked,
            breath: Breath::default(),
            shed: 0,
            may_be_kept: false,
            decided_elsewhere: false,
            sealed: None,
            late: Late::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut stream = None;
        let over = match self.up_to_the_seal(&mut stream).await {
            Err(over) => over,
            Ok(()) => self.wait_for_the_end(&mut stream).await,
        };
        self.end(over, &mut stream).await;
        self.shared.forget(&self.batch);
    }

    async fn up_to_the_seal(&mut self, stream: &mut Option<MoveStream>) -> Result<(), Over> {
        let offered = self.look()?;
        let stream = stream.insert(self.open().await?);
        let bytes = offered.iter().map(|info| info.bytes).sum();
        let granted = self.offer(stream, &offered, bytes).await?;
        self.make_room(&offered, bytes, granted).await?;
        self.begin(&offered)?;
        self.show("copying");
        self.copy(stream).await?;
        self.seal(stream).await
    }

    /// Sends what is there and what changes, until the cluster's state wants a seal.
    async fn copy(&mut self, stream: &mut MoveStream) -> Result<(), Over> {
        let mut wanted_since = None;
        loop {
            self.scan();
            let (now, queued) = (self.shared.parts.clock.now(), self.log.queued());
            let owed = !self.shared.throttle.lock().wait(now).is_zero();
            self.flow.check(now, queued, owed).map_err(failed)?;
            self.widen(queued);
            // What is left goes out under the seal whatever the rate, so nothing may be
            // owed before: many small batches would pass it by.
            if owed && !self.flow.is_pressed(queued) {
                wanted_since = None;
                self.step(stream, CHECK_EVERY).await?;
                continue;
            }
            if self.flow.catches_up(queued) {
                self.tell(MoveNews::CaughtUp).await;
            }
            if self.flow.has_caught_up() && self.batch.seal_wanted() {
                let asked = self.shared.parts.counters.asked();
                let rest = self.shared.seals.lock().wait(now, asked);
                if !rest.is_zero() && !self.batch.order.haste {
                    wanted_since = None;
                    self.step(stream, rest).await?;
                    continue;
                }
                if self.flow.is_close(queued) {
                    return Ok(());
                }
                let since = *wanted_since.get_or_insert(now);
                if now.since(since) > CLOSE_MAX {
                    let why = format!("more than can be sealed was under way for {CLOSE_MAX:?}");
                    return Err(failed(why));
                }
            }
            self.step(stream, CHECK_EVERY).await?;
        }
    }

    /// Tells the log its window, and writers that there is room again.
    fn widen(&self, queued: u64) {
        let was_full = self.log.is_full();
        self.log.set_window(self.flow.window());
        if was_full && queued < self.flow.window() {
            self.shared.parts.parking.wake();
        }
    }

    /// Scans ahead of what is sent; and a step for each message sent, because writers may
    /// keep the log full for good (R21).
    fn scan(&mut self) {
        while !self.flow.is_scanned() && self.flow.has_room() {
            let owed = std::mem::take(&mut self.scan_owed);
            if !owed && self.log.queued() >= SCAN_AHEAD {
                return;
            }
            let (index, from) = self.scan;
            let Some(info) = self.slots.get(index) else {
                self.flow.on_scanned(self.shared.parts.clock.now());
                return;
            };
            let scanned = self.shared.parts.store.scan(info.slot, from, SCAN_STEP);
            self.scan = match scanned.next {
                Some(next) => (index, Some(next)),
                None => (index + 1, None),
            };
        }
    }

    /// Sends one message or hears one, or waits for at most `nap`. Answers what the
    /// receiver holds once it says so. No `nap`: slots are sealed, so rates do not count.
    async fn step(&mut self, stream: &mut MoveStream, nap: Duration) -> Result<Option<Sums>, Over> {
        let hurry = nap.is_zero();
        let (now, queued) = (self.shared.parts.clock.now(), self.log.queued());
        let wait = match hurry {
            true => Duration::ZERO,
            false => self.rest(now, queued),
        };
        let may_send = queued > 0 && wait.is_zero() && (hurry || self.flow.has_room());
        let nap = match wait {
            Duration::ZERO if hurry => HURRY_NAP,
            Duration::ZERO => nap,
            wait => wait.min(nap),
        };
        let MoveStream { send, receive } = stream;
        let clock = self.shared.parts.clock.clone();
        tokio::select! {
            biased;
            () = self.batch.woken() => match self.batch.take_end() {
                Some(end) => Err(Over::Ended(end)),
                None => Ok(None),
            },
            () = self.stop.stopped() => Err(Over::Stopped),
            heard = receive.next() => self.hear(heard, hurry),
            permit = send.reserve(), if may_send => match permit {
                Ok(permit) => {
                    self.send(permit)?;
                    Ok(None)
                }
                // What is received says why, if anything does.
                Err(_) => {
                    let next = receive.next();
                    let heard = self.within(DONE_MAX, "say why it ended the stream", next).await?;
                    self.hear(heard, hurry)
                }
            },
            () = self.appended.notified(), if queued == 0 => Ok(None),
            () = clock.sleep(nap) => Ok(None),
        }
    }

    /// Whether this node was asked for anything since the last message.
    fn others_work(&mut self) -> bool {
        let asked = self.shared.parts.counters.asked();
        std::mem::replace(&mut self.asked, asked) != asked
    }

    /// How long the rate and requests go first. Writers are not kept waiting for either.
    fn rest(&self, now: Moment, queued: u64) -> Duration {
        if self.flow.is_pressed(queued) {
            return Duration::ZERO;
        }
        let rate = self.shared.throttle.lock().wait(now);
        match self.batch.order.haste {
            true => rate,
            false => rate.max(self.breath.wait(now)),
        }
    }

    /// Sends the next changes.
    fn send(&mut self, permit: Permit<'_, ToReceiver>) -> Result<(), Over> {
        let pressed = self.flow.is_pressed(self.log.queued());
        let mut taken = self.log.take(CHUNK);
        if planted(Fault::R19) {
            taken = self.late.put_off(taken);
        }
        let weight: u64 = taken.iter().map(Change::weight).sum();
        let (queued, window) = (self.log.queued(), self.flow.window());
        if queued < window && queued + weight >= window {
            self.shared.parts.parking.wake();
        }
        let seals = taken.iter().filter(|it| matches!(it, Change::Seal { .. }));
        let changes = (taken.len() - seals.count()) as u64;
        permit.send(ToReceiver::Changes(self.named(taken)?));
        self.scan_owed = true;
        let now = self.shared.parts.clock.now();
        self.flow.on_sent(now, changes, weight);
        let others_work = self.others_work();
        self.breath.sent(now, others_work);
        self.shared
            .on_sent(&self.batch.order.to.id.name, now, weight, pressed);
        self.show_counts();
        Ok(())
    }

    /// Changes whose groups are told by their names.
    fn named(&self, mut changes: Vec<Change>) -> Result<Changes, Over> {
        let mut numbers: BTreeMap<GroupId, u16> = BTreeMap::new();
        let mut groups: Vec<GroupName> = Vec::new();
        for change in &mut changes {
            let Some(group) = group_of(change) else {
                continue;
            };
            let number = match numbers.get(group) {
                Some(number) => *number,
                None => {
                    let name = self.shared.parts.store.group_name(*group);
                    groups.push(name.ok_or_else(|| failed("a group has no name"))?);
                    let number = (groups.len() - 1) as u16;
                    numbers.insert(*group, number);
                    number
                }
            };
            *group = GroupId(number);
        }
        Ok(Changes { groups, changes })
    }

    /// Takes in what the receiver says.
    fn hear(
        &mut self,
        heard: Option<Result<ToSender, PeerError>>,
        sealed: bool,
    ) -> Result<Option<Sums>, Over> {
        let name = &self.batch.order.to.id.name;
        match heard {
            Some(Ok(ToSender::Applied {
                changes,
                bytes,
                skipped,
            })) => {
                let now = self.shared.parts.clock.now();
                self.flow
                    .on_applied(now, (changes, bytes, skipped))
                    .map_err(failed)?;
                if self.flow.is_empty() {
                    self.breath.taken(now);
                }
                self.show_counts();
                Ok(None)
            }
            Some(Ok(ToSender::Sealed(theirs))) if sealed => Ok(Some(theirs)),
            Some(Ok(ToSender::Refused(declined, why))) => Err(Over::Failed {
                why: format!("{name} refuses: {why}"),
                declined: Some(declined),
            }),
            Some(Ok(other)) => Err(failed(format!("{name} said {} out of turn", word(&other)))),
            Some(Err(error)) => Err(failed(format!("{name}: {error}"))),
            None => Err(failed(format!("{name} ended the stream"))),
        }
    }

    /// Work that is bounded, and given up when the batch shall end.
    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, Over> {
        tokio::select! {
            biased;
            end = self.batch.ended() => Err(Over::Ended(end)),
            () = self.stop.stopped() => Err(Over::Stopped),
            done = work => Ok(done),
            () = self.shared.parts.clock.sleep(limit) => {
                let name = &self.batch.order.to.id.name;
                Err(failed(format!("{name} did not {what} within {limit:?}")))
            }
        }
    }

    async fn tell(&self, news: MoveNews) {
        let id = self.batch.order.id.clone();
        tracing::debug!(page = id.page.index(), attempt = id.attempt, ?news, "move");
        // Nobody listens any more when the process stops.
        let _ = self.shared.told.send(Told::Move { id, news }).await;
    }

    fn counts(&self) -> MoveCounts {
        let store = &self.shared.parts.store;
        let infos = self.slots.iter().filter_map(|info| store.slot(info.slot));
        let (keys, bytes) = infos.fold((0, 0), |(keys, bytes), info| {
            (keys + info.keys, bytes + info.bytes)
        });
        MoveCounts {
            slots: self.slots.len() as u64,
            keys,
            bytes,
            sent: self.flow.sent,
            acknowledged: self.flow.applied - self.flow.skipped,
            skipped: self.flow.skipped,
            shed: self.shed,
            ..MoveCounts::default()
        }
    }

    fn show(&self, state: &'static str) {
        self.batch.show(|batch| batch.state = state);
    }

    fn show_counts(&self) {
        let flow = &self.flow;
        self.batch.set_throttled(flow.throttled());
        self.batch.show(|batch| {
            batch.counts.bytes = flow.bytes;
            batch.counts.sent = flow.sent;
            batch.counts.acknowledged = flow.applied - flow.skipped;
            batch.counts.skipped = flow.skipped;
            batch.counts.shed = self.shed;
        });
    }
}
