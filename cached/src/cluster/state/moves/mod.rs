//! Moving slots at their source: which batches are under way, when each may be sealed
//! and committed, and how it ends.
//!
//! Reading order: this file (what a move is, and the steps), `survey` (what is not where
//! the plan wants it), `choose` (what to move next), `commit` (from the seal to the proof
//! of what became of it), `unheard` (receivers that could not be told of an end),
//! `trouble` (those that do not take what they should) and `put_off` (how the planner
//! learns of them).
//!
//! A slot whose commit was sent is not served before it is *proven* what became of it:
//! no timer ends that (R1, R2, I5). Everything before the commit can be ended at any
//! time, because the receiver owns nothing yet.

mod choose;
mod commit;
mod put_off;
mod survey;
mod trouble;
mod unheard;

use std::collections::BTreeMap;

use cached_proto::operations::{MoveCounts, OperationRecord};
use cached_proto::records::MemberState;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, MemberId, NodeName, Slot};

use super::State;
use super::event::Effect;
use crate::clock::Moment;
use crate::peers::Peer;
use crate::registry::{Change, Record};
use crate::transfer::order::{MoveEnd, MoveId, MoveNews};
use commit::{Doubt, Sent};
use survey::Survey;
use trouble::Kind;
pub(crate) use trouble::Trouble;

/// What is moved, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Moves {
    survey: Survey,
    /// Under way. Each leaves here exactly once: when its end is certain.
    running: BTreeMap<MoveId, Move>,
    /// Number of the last try for each page: none is used twice.
    tried: BTreeMap<PageIndex, u64>,
    /// By receiver.
    trouble: BTreeMap<NodeName, Trouble>,
    /// What was sent in vain and is in no progress record yet, by operation and receiver.
    in_vain: BTreeMap<(String, NodeName), MoveCounts>,
    /// The last attempt of each slot that a receiver may hold sealed for nothing, with
    /// its epoch: kept until a row says so.
    unheard: BTreeMap<Slot, (Epoch, u64)>,
    /// Ends to be told once the view is published.
    ended: Vec<(MoveId, MoveEnd)>,
    /// A source serves again without having been told to.
    unsealed: bool,
    /// The rate last ordered.
    rate: u64,
}

/// One batch under way: slots of one page to one receiver.
#[derive(Debug)]
struct Move {
    operation: String,
    to: Peer,
    /// Ascending, each with the epoch of the row that names this process.
    slots: Vec<(Slot, Epoch)>,
    /// Known from the seal on.
    counts: MoveCounts,
    /// How often its commit was sent.
    commits: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Entries are sent, and the slots are served.
    Copying,
    /// Little is under way any more, since then.
    CaughtUp(Moment),
    /// The order to seal was given.
    Sealing,
    /// Both ends hold the same. No commit is under way; one may have been refused.
    Sealed { refused: Option<Refused> },
    /// The commit was sent and is not answered.
    Committing(Sent),
    /// It was sent, and nobody knows what became of it.
    InDoubt(Box<Doubt>),
}

/// A commit that certainly did nothing, because something had changed.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// Revision of the page that it compared.
    revision: i64,
    at: Moment,
}

/// What the rows of a batch say, as far as is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// All are as they were when it began.
    Mine,
    /// The receiver's, by this very try.
    Given,
    /// Something else.
    Changed,
}

impl Move {
    /// Whether it is past the order to seal: then it is finished first (R10).
    fn is_sealed(&self) -> bool {
        !matches!(self.stage, Stage::Copying | Stage::CaughtUp(_))
    }
}

impl Moves {
    pub(super) fn page_changed(&mut self, page: PageIndex) {
        self.survey.page_changed(page);
    }

    pub(super) fn plan_changed(&mut self) {
        self.survey.plan_changed();
    }
}

impl State {
    /// Decides what can be decided about the batches under way.
    pub(super) fn step_moves(&mut self, now: Moment) {
        self.end_hopeless();
        self.decide_moves(now);
        self.tell_by_rows();
    }

    /// What comes after the view that says who owns which slot: slots are closed, ends
    /// are told, further batches are sealed and begun, and whoever waited for any of it
    /// looks again.
    pub(super) fn step_ends(&mut self, now: Moment) {
        let mut wake = self.close_slots();
        wake |= std::mem::take(&mut self.moves.unsealed);
        for (id, end) in std::mem::take(&mut self.moves.ended) {
            self.effects.push(Effect::EndMove { id, end });
            wake = true;
        }
        self.forget_trouble();
        self.seal_next(now);
        self.start_moves(now);
        self.say_put_off(now);
        self.order_rate();
        if wake {
            self.effects.push(Effect::WakeParked);
        }
    }

    pub(super) fn on_move(&mut self, id: &MoveId, news: MoveNews, now: Moment) {
        if let MoveNews::Unheard { slots } = news {
            return self.note_unheard(id, slots);
        }
        // What is not under way has ended here while the news travelled.
        let Some(going) = self.moves.running.get_mut(id) else {
            return;
        };
        match (news, &going.stage) {
            (MoveNews::CaughtUp, Stage::Copying) => going.stage = Stage::CaughtUp(now),
            (MoveNews::Sealed(counts), Stage::Sealing) => {
                going.counts = counts;
                going.counts.slots = going.slots.len() as u64;
                going.stage = Stage::Sealed { refused: None };
            }
            (
                MoveNews::Failed {
                    why,
                    busy,
                    over_capacity,
                    counts,
                },
                Stage::Copying | Stage::CaughtUp(_) | Stage::Sealing,
            ) => {
                let kind = match (busy, over_capacity) {
                    (true, _) => Kind::Busy,
                    (false, true) => Kind::OverCapacity,
                    (false, false) => Kind::Receiver,
                };
                let going = self.moves.running.remove(id).expect("just seen");
                self.moves.unsealed = true;
                self.note_in_vain(&going, counts);
                self.move_failed(id, &going, why, kind, now);
            }
            _ => {}
        }
    }

    /// An owner says that it has committed slots to this process: only owners can, so
    /// it is believed like a watch.
    pub(super) fn on_committed(&mut self, record: Record, now: Moment) {
        let key = self.mirror.keys.parse(record.key.as_bytes());
        if matches!(key, Some(RegistryKey::Page(_))) {
            self.adopt([record], now);
        }
    }

    /// Applies records that are known to be in the registry.
    fn adopt(&mut self, records: impl IntoIterator<Item = Record>, now: Moment) {
        let mut notices = Vec::new();
        for record in records {
            self.mirror.watched(Change::Put(record), &mut notices);
        }
        for notice in notices {
            self.on_notice(notice, now);
        }
    }

    /// The operation that slots are moved for: open, not to be ended, and the one that
    /// carries out the plan in force. While only one of the two has been read: none.
    fn operation(&self) -> Option<&OperationRecord> {
        let operation = &self.mirror.open_operation()?.value;
        let layout = self.mirror.plan.as_ref()?.value.record.layout;
        (operation.layout == layout && !operation.cancel).then_some(operation)
    }

    /// Who may be given slots: a member that lives and does not give its own away.
    fn receiver(&self, id: &MemberId) -> Option<Peer> {
        let record = &self.mirror.living(id)?.value;
        let fit = matches!(record.state, MemberState::Joining | MemberState::Up);
        fit.then(|| Peer {
            id: record.id.clone(),
            address: record.address.clone(),
        })
    }

    fn rows_of(&self, id: &MoveId, going: &Move) -> Rows {
        let mut rows = Rows::Mine;
        for (slot, epoch) in &going.slots {
            let Some(row) = self.mirror.row(*slot) else {
                return Rows::Changed;
            };
            let given = row.owner == going.to.id && row.epoch == epoch.next();
            if given && row.attempt == id.attempt {
                return Rows::Given;
            }
            let mine = self.me.as_ref() == Some(&row.owner) && row.epoch == *epoch;
            if !mine || row.attempt >= id.attempt {
                rows = Rows::Changed;
            }
        }
        rows
    }

    /// Ends batches that are not sealed and shall not or cannot go on (R10).
    fn end_hopeless(&mut self) {
        let open = self.moves.running.iter();
        let hopeless: Vec<(MoveId, String)> = open
            .filter(|(_, going)| !going.is_sealed())
            .filter_map(|(id, going)| Some((id.clone(), self.hopeless(id, going)?)))
            .collect();
        for (id, why) in hopeless {
            self.abort_move(&id, why);
        }
    }

    fn hopeless(&self, id: &MoveId, going: &Move) -> Option<String> {
        let name = &going.to.id.name;
        if self.rows_of(id, going) != Rows::Mine {
            return Some("the rows were changed by others".to_owned());
        }
        if self.mirror.living(&going.to.id).is_none() {
            return Some(format!("{name} is no member any more"));
        }
        let operation = self.mirror.open_operation().map(|held| &held.value);
        let wanted = |op: &&OperationRecord| op.id == going.operation && !op.cancel;
        if operation.filter(wanted).is_none() {
            return Some(format!("operation {} has ended", going.operation));
        }
        let plan = &self.mirror.plan.as_ref()?.value.assignment;
        let moved = |(slot, _): &(Slot, Epoch)| *plan.owner(*slot) == going.to.id;
        (!going.slots.iter().all(moved)).then(|| "the plan has changed".to_owned())
    }

    /// Takes a batch off: the source keeps its slots.
    fn abort_move(&mut self, id: &MoveId, why: String) -> Option<Move> {
        let going = self.moves.running.remove(id)?;
        self.moves.ended.push((id.clone(), MoveEnd::Aborted(why)));
        Some(going)
    }

    /// Seals the next batch that has caught up: one at a time, so that a registry that
    /// stalls leaves little in doubt, and only while it is quick (R45).
    fn seal_next(&mut self, now: Moment) {
        if self.moves.running.values().any(Move::is_sealed) {
            return;
        }
        let mut waiting: Vec<(Moment, &MoveId)> = Vec::new();
        for (id, going) in &self.moves.running {
            if let Stage::CaughtUp(since) = going.stage {
                waiting.push((since, id));
            }
        }
        let Some((_, id)) = waiting.into_iter().min() else {
            return;
        };
        if !self.is_sure() {
            return;
        }
        if !self.reads.quick(self.config.seal_budget) {
            // One slow answer is no verdict: it is asked again at once, and not only when
            // the next self-check is due. If it fails, this node is not sure any more: a
            // registry that refuses everything is not asked without end.
            return self.check_now(now);
        }
        let id = id.clone();
        if let Some(going) = self.moves.running.get_mut(&id) {
            going.stage = Stage::Sealing;
            self.effects.push(Effect::SealMove(id));
        }
    }

    fn may_seal(&self) -> bool {
        self.is_sure() && self.reads.quick(self.config.seal_budget)
    }

    /// Whether this node knows what the registry holds, and serves.
    fn is_sure(&self) -> bool {
        self.settled() && self.informed() && self.life.open
    }

    /// The operation's rate is for all senders together; a process that is to end gives
    /// its slots away as fast as it can.
    fn order_rate(&mut self) {
        let operation = self.mirror.open_operation().map(|held| &held.value);
        let limit = operation.map_or(0, |operation| operation.max_rate);
        let rate = match limit {
            0 => 0,
            _ if self.leaves_by_itself() => 0,
            limit => {
                let living = |id: &&MemberId| self.mirror.living(id).is_some();
                let senders = self.moves.survey.owners();
                let senders = senders.into_iter().filter(living).count() as u64;
                (limit / senders.max(1)).max(1)
            }
        };
        if rate != self.moves.rate {
            self.moves.rate = rate;
            self.effects.push(Effect::SetMoveRate(rate));
        }
    }

    /// What keeps slots from being where they should be, for people.
    pub(super) fn move_problems(&self, now: Moment) -> Vec<String> {
        let mut problems = Vec::new();
        for (id, going) in &self.moves.running {
            if let Stage::InDoubt(doubt) = &going.stage {
                let (page, seconds) = (id.page, now.since(doubt.since).as_secs());
                problems.push(format!(
                    "page {page}: a commit has been in doubt for {seconds} s; its slots wait"
                ));
            }
        }
        problems.extend(self.trouble_problems());
        problems
    }
}
