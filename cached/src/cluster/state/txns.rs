//! Transactions: one way to send them, one way to learn what came of them.

use std::time::Duration;

use super::State;
use super::event::{Effect, Level, Purpose};
use crate::clock::Moment;
use crate::registry::{Compare, RegistryError, Txn, TxnOutcome, Write};

/// Pause after a transaction that failed, before one of its purpose is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where a transaction of one purpose is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Sent,
    /// Answered, or given up and put off, until then; a read that begins later shows
    /// what came of it.
    Ended(Moment),
}

impl State {
    /// Sends a transaction, unless one of its purpose is under way. The one place
    /// that builds them: it adds the comparison of the own member key (I3).
    pub(super) fn submit(
        &mut self,
        purpose: Purpose,
        mut compares: Vec<Compare>,
        writes: Vec<Write>,
    ) {
        let Some((me, create_revision)) = self.registered() else {
            return;
        };
        if self.txns.contains_key(&purpose) {
            return;
        }
        let own = Compare::CreateRevision(self.member_key(&me.name), create_revision);
        if !compares.contains(&own) {
            compares.push(own);
        }
        self.txns.insert(purpose.clone(), Stage::Sent);
        self.effects.push(Effect::Txn {
            purpose,
            txn: Txn { compares, writes },
        });
    }

    pub(super) fn on_txn_done(
        &mut self,
        purpose: Purpose,
        took: Duration,
        result: Result<TxnOutcome, RegistryError>,
        now: Moment,
    ) {
        self.reads.note_trip(took);
        // These answers decide at once: slots are sealed meanwhile.
        match &purpose {
            Purpose::Commit(id) => {
                self.txns.remove(&purpose);
                return self.on_commit_answered(id, result, now);
            }
            Purpose::AbortCommit(id) => {
                self.txns.remove(&purpose);
                return self.on_doubt_answered(id, result, now);
            }
            _ => {}
        }
        let succeeded = result.as_ref().is_ok_and(|outcome| outcome.succeeded);
        match &purpose {
            Purpose::SayGone => self.said_gone(),
            Purpose::Remove(id) if !succeeded => drop(self.removals.remove(id)),
            _ => {}
        }
        let again = match &result {
            Ok(_) => now,
            Err(error) => {
                self.log(
                    Level::Warn,
                    format!("a write to the registry failed: {error}"),
                );
                now + AGAIN
            }
        };
        self.txns.insert(purpose, Stage::Ended(again));
    }

    /// Whether transactions wait for a read to decide them.
    pub(super) fn undecided(&self, now: Moment) -> bool {
        self.txns
            .values()
            .any(|stage| matches!(stage, Stage::Ended(at) if *at <= now))
    }

    /// A read that began at `started` is applied: transactions that had ended by
    /// then are decided.
    pub(super) fn settle(&mut self, started: Moment) {
        self.txns
            .retain(|_, stage| !matches!(stage, Stage::Ended(at) if *at <= started));
    }
}
