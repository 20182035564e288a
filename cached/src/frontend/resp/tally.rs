//! What a run of plain commands came to, counted together when the run ends.

use std::time::Duration;

use crate::frontend::FrontendParts;
use crate::requests::{Ending, Kind, Protocol};

/// Plain reads and writes that were carried out and are not counted yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Reads that found something.
    pub(super) hits: u64,
    /// Reads that found nothing.
    pub(super) misses: u64,
    /// Writes.
    pub(super) sets: u64,
}

impl Tally {
    /// Whether there is nothing to count.
    pub(super) fn is_empty(&self) -> bool {
        self.hits + self.misses + self.sets == 0
    }

    /// Counts them: all of them took as long as the run did, because their answers
    /// leave together.
    pub(super) fn count(&mut self, frontends: &FrontendParts, took: Duration) {
        let each = [
            (Kind::Get, Ending::Done, self.hits),
            (Kind::Get, Ending::Not, self.misses),
            (Kind::Set, Ending::Done, self.sets),
        ];
        for (kind, ending, times) in each {
            if times > 0 {
                frontends
                    .requests
                    .record_many(Protocol::Resp, kind, ending, took, times);
            }
        }
        frontends
            .counters
            .resp
            .add(self.hits + self.misses + self.sets);
        *self = Self::default();
    }
}
