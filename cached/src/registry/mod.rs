//! The registry that the cluster agrees through: real etcd, or the embedded one
//! that answers the same subset of its API inside one process.
//!
//! Reading order: this file says what can be asked; `client` asks it over one of its
//! `links`; `failure` says what an error of etcd's means; `watch` turns a stream into
//! complete batches; `embedded` is the server in this process.

mod client;
mod connect;
mod embedded;
mod failure;
mod links;
mod options;
mod watch;

#[cfg(test)]
mod etcd_process;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use client::Registry;
pub use connect::connect;
pub use embedded::EmbeddedRegistry;
pub use options::EtcdOptions;
pub use watch::Watch;

/// Why a call to the registry failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// It did not answer in time, or the connection broke: a write may have
    /// landed, or may still land.
    #[error("registry did not answer: {0}")]
    Unknown(String),
    /// It certainly did nothing: refused, or never reached.
    #[error("registry unavailable: {0}")]
    Unavailable(String),
    /// The revision asked for is compacted; read everything anew.
    #[error("registry compacted up to revision {revision}")]
    Compacted {
        /// The oldest revision that can be watched from.
        revision: i64,
    },
    /// A lease that is not there any more.
    #[error("lease is gone")]
    LeaseGone,
    /// Wrong user, password or certificate: retrying will not help.
    #[error("registry refuses access: {0}")]
    Denied(String),
    /// A setting or a request that can never work; nothing was done. Fix it.
    #[error("{0}")]
    Invalid(String),
}

/// A key with its value and history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Revision at which the key was created.
    pub create_revision: i64,
    /// Revision of its last change.
    pub mod_revision: i64,
    /// Lease it lives on; 0: none.
    pub lease: i64,
}

/// What a linearizable read saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The registry's revision at the read.
    pub revision: i64,
    /// Ascending by key.
    pub records: Vec<Record>,
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// One key.
    Key(String),
    /// All keys that start so.
    Prefix(String),
    /// All keys that start so and changed at this revision or later.
    PrefixSince(String, i64),
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `create_revision` of a key; 0: the key is absent.
    CreateRevision(String, i64),
    /// `mod_revision` of a key; 0: the key is absent.
    ModRevision(String, i64),
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value, on a lease (0: none).
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// The lease, or 0.
        lease: i64,
    },
    /// Deletes a key.
    Delete(String),
}

/// All writes if all compares hold, else none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Conditions.
    pub compares: Vec<Compare>,
    /// Writes; at most 128, as etcd allows.
    pub writes: Vec<Write>,
}

/// What became of a transaction that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnOutcome {
    /// The compares held.
    pub succeeded: bool,
    /// The registry's revision afterwards.
    pub revision: i64,
}

/// A change that a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key was put.
    Put(Record),
    /// A key was deleted or its lease ended.
    Deleted {
        /// The key.
        key: String,
        /// Revision of the deletion.
        mod_revision: i64,
    },
}

/// Changes of one revision or more, complete up to `revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// Everything up to here has been told.
    pub revision: i64,
    /// In order.
    pub changes: Vec<Change>,
}
