//! Putting a member key on a new lease, and learning whether it is there.

use std::time::Duration;

use cached_proto::records::MemberRecord;
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};

use super::state::event::Registration;
use crate::registry::{Compare, Range, Record, Registry, RegistryError, Txn, Write};

/// Creates the member key iff it is absent. What a read shows afterwards decides,
/// whatever the transaction was answered: one without an answer may have landed. On
/// an error the lease is ended, so that a transaction that lands later cannot succeed.
/// Not cancel-safe: a lease that is left behind expires.
pub(super) async fn register(
    registry: &Registry,
    keys: &RegistryKeys,
    member: &MemberRecord,
    ttl: Duration,
) -> Result<Registration, RegistryError> {
    let key = keys.key(&RegistryKey::Member(member.id.name.clone()));
    let value = serde_json::to_vec(member).expect("a record has string keys and no failing parts");
    let (lease, _) = registry.grant(ttl).await?;
    let txn = Txn {
        compares: vec![Compare::CreateRevision(key.clone(), 0)],
        writes: vec![Write::Put {
            key: key.clone(),
            value: value.into(),
            lease,
        }],
    };
    let answer = registry.txn(txn).await;
    let seen = read_member(registry, key).await;
    if let Ok(Some((record, found))) = &seen
        && found.id == member.id
    {
        if record.lease != lease {
            // An earlier try had landed.
            revoke(registry, lease).await;
        }
        let create_revision = record.create_revision;
        return Ok(Registration::Ours {
            lease: record.lease,
            create_revision,
        });
    }
    revoke(registry, lease).await;
    match seen? {
        Some((_, found)) => Ok(Registration::TakenBy(Box::new(found))),
        None => Err(answer.err().unwrap_or_else(|| {
            RegistryError::Unknown("the member key is gone right after it was put".to_owned())
        })),
    }
}

/// What a member key holds.
pub(super) async fn read_member(
    registry: &Registry,
    key: String,
) -> Result<Option<(Record, MemberRecord)>, RegistryError> {
    let snapshot = registry.read(Range::Key(key)).await?;
    let Some(record) = snapshot.records.into_iter().next() else {
        return Ok(None);
    };
    match serde_json::from_slice(&record.value) {
        Ok(member) => Ok(Some((record, member))),
        Err(error) => {
            let text = format!("{} holds no member record: {error}", record.key);
            Err(RegistryError::Unavailable(text))
        }
    }
}

async fn revoke(registry: &Registry, lease: i64) {
    if let Err(error) = registry.revoke(lease).await {
        tracing::debug!("an unused lease could not be ended and will expire: {error}");
    }
}
