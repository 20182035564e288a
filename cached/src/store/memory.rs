//! What a store takes of the process's memory, part by part, and how it makes room for
//! what the rest of the process takes.

use super::Store;
use super::shard::Scope;

/// A store's memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryParts {
    /// What entries are counted with, staged ones included: see [`Store::entry_bytes`].
    pub charged: u64,
    /// What entries take, without large values.
    pub entries: u64,
    /// Freed, and kept for entries to come.
    pub free: u64,
    /// So much of that is kept; what is more goes back to the system, a little with every
    /// change.
    pub free_allowed: u64,
    /// Tables by which entries are found.
    pub tables: u64,
    /// What the due queue takes beside what stands in the entries.
    pub due: u64,
    /// Values of 32 KiB and more.
    pub large: u64,
    /// Fill tokens.
    pub fills: u64,
    /// Names of entries that are gone, which policies remember.
    pub names: u64,
    /// Promised to slots that arrive, and not filled yet.
    pub reserved: u64,
    /// What the store was told that the process takes beyond what is counted.
    pub overhead: u64,
}

impl MemoryParts {
    /// What the process takes beyond what entries are counted with, once free memory above
    /// what is allowed has gone back: to be told to [`Store::set_overhead`]. `resident` is
    /// what the system counts for the process.
    pub fn overhead_of(&self, resident: u64) -> u64 {
        let going = self.free.saturating_sub(self.free_allowed);
        resident.saturating_sub(going).saturating_sub(self.charged)
    }
}

/// What a store's memory is for, in bytes; the parts do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Keys and values in service.
    pub payload: u64,
    /// Keys and values that arrived from another node and are not in service yet.
    pub staged: u64,
    /// What stands before each key, and rounding.
    pub overhead: u64,
    /// Tables by which entries are found.
    pub tables: u64,
    /// Freed, and kept for entries to come.
    pub free: u64,
    /// Due queue, fill tokens, and names of evicted keys.
    pub index: u64,
}

impl MemoryUse {
    /// All of it.
    pub fn sum(&self) -> u64 {
        self.payload + self.staged + self.overhead + self.tables + self.free + self.index
    }
}

impl Store {
    /// What the store's memory is for. Takes every shard's lock for some microseconds:
    /// for people who ask.
    pub fn memory_use(&self) -> MemoryUse {
        let (mut payload, mut staged) = (0, 0);
        for shard in &self.shards {
            let sums = shard.lock().payload_bytes();
            payload += sums.0;
            staged += sums.1;
        }
        let parts = self.memory();
        MemoryUse {
            payload,
            staged,
            overhead: (parts.entries + parts.large).saturating_sub(payload + staged),
            tables: parts.tables,
            free: parts.free,
            index: parts.due + parts.fills + parts.names,
        }
    }

    /// What the store takes, part by part. Takes every shard's lock for a moment.
    pub fn memory(&self) -> MemoryParts {
        let mut parts = MemoryParts::default();
        for shard in &self.shards {
            shard.lock().add_memory(&mut parts);
        }
        MemoryParts {
            reserved: self.node.used().saturating_sub(parts.charged),
            overhead: self.node.overhead(),
            ..parts
        }
    }

    /// Says how many bytes the process uses beyond what entries are counted with: other
    /// parts, the allocator's slack, and where the count is lower than the truth. Entries
    /// are evicted at once, until they fit into what is left of the bound; half of it is
    /// theirs in any case.
    pub fn set_overhead(&self, bytes: u64) {
        self.node.set_overhead(bytes);
        self.relieve(Scope::Node, None);
    }

    /// Bytes that can be taken into use before anything is evicted.
    pub fn free_bytes(&self) -> u64 {
        self.node.limit().saturating_sub(self.node.used())
    }
}
