//! What a group counts.

/// Counters of one group, summed over shards. Entries that only say "not there"
/// take bytes, but are counted neither as keys nor when they go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Entries, without those that only say "not there".
    pub keys: u64,
    /// Bytes of keys, values and overhead.
    pub bytes: u64,
    /// Reads answered with an entry, or with its metadata.
    pub hits: u64,
    /// Reads answered without.
    pub misses: u64,
    /// Writes stored; fills are not counted.
    pub sets: u64,
    /// Entries removed on request, by delete or flush.
    pub deletes: u64,
    /// Entries removed for lack of room.
    pub evictions: u64,
    /// Entries removed because their time was over.
    pub expirations: u64,
    /// Reads answered "not there" from a remembered answer of the origin.
    pub negative_hits: u64,
    /// Fills that came after a write, and were refused.
    pub fills_rejected: u64,
}

impl GroupCounters {
    /// Adds what another shard counted.
    pub(crate) fn add(&mut self, other: &Self) {
        // Taken apart, so that a new counter cannot be forgotten here.
        let Self {
            keys,
            bytes,
            hits,
            misses,
            sets,
            deletes,
            evictions,
            expirations,
            negative_hits,
            fills_rejected,
        } = *other;
        self.keys += keys;
        self.bytes += bytes;
        self.hits += hits;
        self.misses += misses;
        self.sets += sets;
        self.deletes += deletes;
        self.evictions += evictions;
        self.expirations += expirations;
        self.negative_hits += negative_hits;
        self.fills_rejected += fills_rejected;
    }
}
