//! From the seal to the proof of what became of it: the commit, and what is done when
//! its answer is lost.

use std::time::Duration;

use cached_proto::operations::ProgressRecord;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{Epoch, Slot};

use super::super::State;
use super::super::event::{Level, Purpose};
use super::super::life::put;
use super::trouble::Kind;
use super::{Move, Refused, Rows, Stage};
use crate::clock::Moment;
use crate::faults::{Fault, planted};
use crate::registry::{Compare, Record, RegistryError, TxnOutcome, Write};
use crate::transfer::order::{MoveEnd, MoveId};

/// How often a commit is sent while the batch stays sealed: the first time, and twice
/// when only other rows of the page had changed.
const COMMITS_MAX: u32 = 3;

/// First and longest pause between tries to make an end of a commit in doubt.
const DOUBT_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// A commit as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Revision of the page that it compares.
    revision: i64,
    /// The own `create_revision` that it compares.
    own: i64,
    /// What it writes, the page first. The revisions are filled in when they are known.
    records: Vec<Record>,
}

/// A commit whose answer is lost.
#[derive(Debug)]
pub(super) struct Doubt {
    sent: Sent,
    pub(super) since: Moment,
    /// The page as the transaction that shall end the doubt writes it.
    end: Option<Record>,
    /// When that is sent (again).
    again_at: Moment,
    pause: Duration,
    /// It was refused then: a read that begins later says why.
    refused: Option<Moment>,
}

impl State {
    /// Looks at every sealed batch: most events bring none of them further.
    pub(super) fn decide_moves(&mut self, now: Moment) {
        let sealed = self.moves.running.iter().filter(|(_, m)| m.is_sealed());
        let sealed: Vec<MoveId> = sealed.map(|(id, _)| id.clone()).collect();
        for id in sealed {
            let Some(going) = self.moves.running.get(&id) else {
                continue;
            };
            match &going.stage {
                Stage::Sealed { refused } => self.commit_or_abort(&id, *refused, now),
                Stage::Committing(_) if self.rows_of(&id, going) == Rows::Given => {
                    // A watch or a read was faster than the answer.
                    self.committed_as_read(&id);
                }
                Stage::InDoubt(_) => self.end_doubt(&id, now),
                _ => {}
            }
        }
    }

    // ---- the commit

    fn commit_or_abort(&mut self, id: &MoveId, refused: Option<Refused>, now: Moment) {
        let Some(going) = self.moves.running.get(id) else {
            return;
        };
        if let Some(why) = self.not_to_be_committed(id, going) {
            return self.commit_failed(id, why, now);
        }
        let revision = self.mirror.pages[id.page.index()]
            .as_ref()
            .map_or(0, |held| held.mod_revision);
        if let Some(refused) = refused {
            let known = revision > refused.revision || self.reads.has_read_since(refused.at);
            if !known {
                return;
            }
        }
        if going.commits >= COMMITS_MAX {
            let why = "its commit came to nothing three times in a row";
            return self.commit_failed(id, why.to_owned(), now);
        }
        self.send_commit(id);
    }

    /// Nothing of the batch is under way, so it may be given up.
    fn not_to_be_committed(&self, id: &MoveId, going: &Move) -> Option<String> {
        if !self.settled() || !self.informed() {
            return Some("the registry does not confirm this node".to_owned());
        }
        if self.rows_of(id, going) != Rows::Mine {
            return Some("the rows were changed by others".to_owned());
        }
        let name = &going.to.id.name;
        let fit = self.receiver(&going.to.id).is_some();
        (!fit).then(|| format!("{name} does not take slots any more"))
    }

    fn commit_failed(&mut self, id: &MoveId, why: String, now: Moment) {
        if let Some(going) = self.abort_move(id, why.clone()) {
            let mut counts = going.counts;
            counts.failed = counts.sent;
            self.note_in_vain(&going, counts);
            self.move_failed(id, &going, why, Kind::Elsewhere, now);
        }
    }

    fn send_commit(&mut self, id: &MoveId) {
        let (Some(going), Some((_, own))) = (self.moves.running.get(id), self.registered()) else {
            return;
        };
        let Some(held) = &self.mirror.pages[id.page.index()] else {
            return;
        };
        let Some(receiver) = self.mirror.living(&going.to.id) else {
            return;
        };
        let to = &going.to.id;
        let page = rewritten(id.page, &held.value, &going.slots, |row| Row {
            owner: to.clone(),
            epoch: row.epoch.next(),
            attempt: id.attempt,
            isr: vec![to.inc],
        });
        let page_key = self.mirror.keys.key(&RegistryKey::Page(id.page));
        let compares = vec![
            Compare::ModRevision(page_key.clone(), held.mod_revision),
            // Any change of it, so that nothing is given to one that signs off meanwhile.
            Compare::ModRevision(self.member_key(&to.name), receiver.mod_revision),
        ];
        let (progress_key, progress, created) = self.progress_with(going);
        let writes = vec![put(page_key, &page, 0), put(progress_key, &progress, 0)];
        let records = [held.create_revision, created];
        let records = writes.iter().zip(records);
        let sent = Sent {
            revision: held.mod_revision,
            own,
            records: records.filter_map(|(w, c)| record(w, c)).collect(),
        };
        let slots = going.slots.clone();
        if let Some(going) = self.moves.running.get_mut(id) {
            going.stage = Stage::Committing(sent);
            going.commits += 1;
        }
        self.submit(Purpose::Commit(id.clone()), compares, writes);
        if planted(Fault::R4) {
            self.table.give_up(&slots);
        }
    }

    /// The own progress record with this batch added: its key, the record, and its
    /// `create_revision` (0: there is none yet).
    fn progress_with(&self, going: &Move) -> (String, ProgressRecord, i64) {
        let me = &self.me.as_ref().expect("only members move slots").name;
        let operation = self.mirror.operations.get(&going.operation);
        let held = operation.and_then(|operation| operation.progress.get(me));
        let mut progress = held.map(|held| held.value.clone()).unwrap_or_default();
        let to = going.to.id.name.clone();
        // It takes slots again.
        progress.put_off.remove(&to);
        let in_vain = self
            .moves
            .in_vain
            .get(&(going.operation.clone(), to.clone()));
        let counts = progress.to.entry(to).or_default();
        counts.add(&going.counts);
        counts.add(&in_vain.copied().unwrap_or_default());
        let key = RegistryKey::Progress(going.operation.clone(), me.clone());
        let created = held.map_or(0, |held| held.create_revision);
        (self.mirror.keys.key(&key), progress, created)
    }

    /// The answer to a commit. It decides at once, unless it says nothing.
    pub(crate) fn on_commit_answered(
        &mut self,
        id: &MoveId,
        result: Result<TxnOutcome, RegistryError>,
        now: Moment,
    ) {
        let Some(going) = self.moves.running.get_mut(id) else {
            return;
        };
        let Stage::Committing(sent) = &going.stage else {
            return;
        };
        let revision = sent.revision;
        match result {
            Ok(outcome) if outcome.succeeded => {
                let records = landed(sent.records.clone(), outcome.revision);
                let page = records[0].clone();
                self.adopt(records, now);
                self.end_committed(id, page);
            }
            Ok(_) => {
                let refused = Some(Refused { revision, at: now });
                going.stage = Stage::Sealed { refused };
                self.read_now(now);
            }
            // It did nothing: it may be sent again as it was.
            Err(RegistryError::Unavailable(_) | RegistryError::Invalid(_)) => {
                going.stage = Stage::Sealed { refused: None };
            }
            Err(error) => {
                let doubt = Doubt {
                    sent: sent.clone(),
                    since: now,
                    end: None,
                    again_at: now,
                    pause: Duration::ZERO,
                    refused: None,
                };
                going.stage = Stage::InDoubt(Box::new(doubt));
                let (page, slots) = (id.page, going.slots.len());
                let text = format!(
                    "page {page}: nobody knows whether {slots} slots were given away, so they \
                     wait until it is certain: {error}"
                );
                self.log(Level::Warn, text);
            }
        }
    }

    // ---- in doubt

    /// Looks for proof of what became of a commit, and makes some (R2). A newer revision
    /// of the page is proof: the commit compares the older one, so from there on it can
    /// never land, and whether it had landed before is in the rows. So is a read of the
    /// page after the own key was gone, which the commit compares, too.
    fn end_doubt(&mut self, id: &MoveId, now: Moment) {
        let Some(going) = self.moves.running.get(id) else {
            return;
        };
        let Stage::InDoubt(doubt) = &going.stage else {
            return;
        };
        let Some(held) = &self.mirror.pages[id.page.index()] else {
            return;
        };
        if self.rows_of(id, going) == Rows::Given {
            self.doubt_is_over(id, "they were", now);
            return self.committed_as_read(id);
        }
        let reborn = self.settled() && self.registered().is_some_and(|(_, r)| r != doubt.sent.own);
        let early = planted(Fault::R1) && now.since(doubt.since) >= Duration::from_secs(1);
        let one_read = planted(Fault::R2) && self.reads.has_read_since(doubt.since);
        if held.mod_revision > doubt.sent.revision || reborn || early || one_read {
            self.doubt_is_over(id, "they were not", now);
            let why = "the commit in doubt did not land, and cannot any more";
            return self.commit_failed(id, why.to_owned(), now);
        }
        let waits = doubt
            .refused
            .is_some_and(|at| !self.reads.has_read_since(at));
        let purpose = Purpose::AbortCommit(id.clone());
        let due = doubt.again_at <= now && !waits && !self.txns.contains_key(&purpose);
        if due && self.registered().is_some() {
            self.send_end(id, purpose);
        }
    }

    /// Writes the page as it is, but with a larger number of tries: whichever of the two
    /// comes second finds another revision than it compares.
    fn send_end(&mut self, id: &MoveId, purpose: Purpose) {
        let (Some(going), Some(held)) = (
            self.moves.running.get(id),
            &self.mirror.pages[id.page.index()],
        ) else {
            return;
        };
        let attempt = id.attempt + 1;
        let page = rewritten(id.page, &held.value, &going.slots, |row| Row {
            attempt,
            ..row.clone()
        });
        let key = self.mirror.keys.key(&RegistryKey::Page(id.page));
        let compares = vec![Compare::ModRevision(key.clone(), held.mod_revision)];
        let write = put(key, &page, 0);
        let end = record(&write, held.create_revision);
        self.moves.tried.insert(id.page, attempt);
        if let Some(going) = self.moves.running.get_mut(id)
            && let Stage::InDoubt(doubt) = &mut going.stage
        {
            doubt.end = end;
            doubt.refused = None;
        }
        self.submit(purpose, compares, vec![write]);
    }

    /// The answer to the transaction that shall end a doubt.
    pub(crate) fn on_doubt_answered(
        &mut self,
        id: &MoveId,
        result: Result<TxnOutcome, RegistryError>,
        now: Moment,
    ) {
        let Some(going) = self.moves.running.get_mut(id) else {
            return;
        };
        let Stage::InDoubt(doubt) = &mut going.stage else {
            return;
        };
        doubt.pause = (doubt.pause * 2).clamp(DOUBT_PAUSES.0, DOUBT_PAUSES.1);
        doubt.again_at = now + doubt.pause;
        match result {
            Ok(outcome) if outcome.succeeded => {
                let end = doubt.end.take();
                self.adopt(landed(end.into_iter().collect(), outcome.revision), now);
            }
            Ok(_) => {
                // The commit landed, or others changed the page, or the own key is gone.
                doubt.refused = Some(now);
                self.read_now(now);
                self.check_soon();
            }
            Err(_) => {}
        }
    }

    fn doubt_is_over(&mut self, id: &MoveId, what: &str, now: Moment) {
        let Some(going) = self.moves.running.get(id) else {
            return;
        };
        if let Stage::InDoubt(doubt) = &going.stage {
            let (page, slots) = (id.page, going.slots.len());
            let ms = now.since(doubt.since).as_millis();
            let text =
                format!("page {page}: certain after {ms} ms: {slots} slots, {what} given away");
            self.log(Level::Info, text);
        }
    }

    // ---- the end

    /// The mirror shows that the commit landed.
    fn committed_as_read(&mut self, id: &MoveId) {
        let key = self.mirror.keys.key(&RegistryKey::Page(id.page));
        let Some(held) = &self.mirror.pages[id.page.index()] else {
            return;
        };
        let write = put(key, &held.value, 0);
        if let Some(page) = record(&write, held.create_revision) {
            let page = Record {
                mod_revision: held.mod_revision,
                ..page
            };
            self.end_committed(id, page);
        }
    }

    fn end_committed(&mut self, id: &MoveId, page: Record) {
        let Some(going) = self.moves.running.remove(id) else {
            return;
        };
        let to = going.to.id.name;
        self.moves.went_well(&to);
        self.moves.in_vain.remove(&(going.operation, to));
        self.table.given(going.slots.iter().map(|(slot, _)| *slot));
        self.moves
            .ended
            .push((id.clone(), MoveEnd::Committed(page)));
    }
}

/// A page with the rows of these slots replaced.
fn rewritten(
    index: PageIndex,
    page: &Page,
    slots: &[(Slot, Epoch)],
    change: impl Fn(&Row) -> Row,
) -> Page {
    let listed = |slot: Slot| slots.binary_search_by_key(&slot, |(slot, _)| *slot).is_ok();
    let rows = index.slots().zip(&page.rows);
    let rows = rows.map(|(slot, row)| match listed(slot) {
        true => change(row),
        false => row.clone(),
    });
    Page {
        generation: page.generation,
        rows: rows.collect(),
    }
}

/// What a write will leave, but for its revision.
fn record(write: &Write, create_revision: i64) -> Option<Record> {
    let Write::Put { key, value, lease } = write else {
        return None;
    };
    Some(Record {
        key: key.clone(),
        value: value.clone(),
        create_revision,
        mod_revision: 0,
        lease: *lease,
    })
}

/// The records of a transaction that landed at a revision.
fn landed(mut records: Vec<Record>, revision: i64) -> Vec<Record> {
    for record in &mut records {
        record.mod_revision = revision;
        if record.create_revision == 0 {
            record.create_revision = revision;
        }
    }
    records
}
