//! What the registry holds: records and pages of the table as JSON, and their keys. The
//! first byte chooses the record.

use std::fmt::Debug;

use cached_proto::operations::{IntentRecord, OperationRecord, ProgressRecord};
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberRecord, MetaRecord, PlanRecord};
use cached_proto::registry_keys::RegistryKeys;
use cached_proto::table::Page;
use cached_proto::types::ClusterName;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One record or key. What was read is written and read again as the same.
pub(crate) fn record(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 10 {
        0 => again::<Page>(rest),
        1 => again::<MetaRecord>(rest),
        2 => again::<MemberRecord>(rest),
        3 => again::<PlanRecord>(rest),
        4 => again::<GroupRecord>(rest),
        5 => again::<BlacklistRecord>(rest),
        6 => again::<IntentRecord>(rest),
        7 => again::<OperationRecord>(rest),
        8 => again::<ProgressRecord>(rest),
        _ => key(rest),
    }
}

fn again<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) {
    let Ok(record) = serde_json::from_slice::<T>(json) else {
        return;
    };
    let written = serde_json::to_vec(&record).expect("what was read can be written");
    let read: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(read, record);
}

fn key(bytes: &[u8]) {
    let Ok(cluster) = ClusterName::new("c") else {
        return;
    };
    let keys = RegistryKeys::new(&cluster);
    let path = [keys.prefix().as_bytes(), bytes].concat();
    for path in [bytes, &path] {
        if let Some(key) = keys.parse(path) {
            let written = keys.key(&key);
            assert_eq!(keys.parse(written.as_bytes()), Some(key), "{written}");
        }
    }
}
