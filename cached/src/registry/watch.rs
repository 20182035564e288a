//! A running watch: a stream of messages becomes complete batches of changes.

use std::fmt;

use etcd_client::proto::{PbEvent, PbKeyValue, PbWatchResponse};
use etcd_client::{EventType, WatchResponse, WatchStream};

use super::links::ANSWER_BYTES_MAX;
use super::{Change, Record, RegistryError, WatchBatch};

/// A running watch; dropping it cancels it.
pub struct Watch {
    stream: WatchStream,
    assembly: Assembly,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("revision", &self.assembly.revision)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// From a stream and its first message, which says whether it was taken up.
    pub(super) fn opened(
        stream: WatchStream,
        first: Option<WatchResponse>,
        revision: i64,
    ) -> Result<Self, RegistryError> {
        match first {
            Some(first) if first.created() && !first.canceled() => {}
            Some(first) => return Err(cancelled(&first.0)),
            None => return Err(ended()),
        }
        Ok(Self {
            stream,
            assembly: Assembly::from_revision(revision),
        })
    }

    /// The next changes, however long they take to come. Cancel-safe. An error ends
    /// the watch: read anew, watch anew. A connection that died ends it within
    /// seconds; one that etcd forgot about may stay silent, so re-read sometimes.
    pub async fn next(&mut self) -> Result<WatchBatch, RegistryError> {
        loop {
            // Cancel-safe: a message is either still in the stream or already taken in.
            let message = self
                .stream
                .message()
                .await
                .map_err(super::failure::explain)?;
            let Some(message) = message else {
                return Err(ended());
            };
            if let Some(batch) = self.assembly.take(message.0)? {
                return Ok(batch);
            }
        }
    }
}

/// Puts batches together. Pure.
#[derive(Debug, Default)]
struct Assembly {
    /// Everything up to here has been told.
    revision: i64,
    /// Changes of a batch whose last fragment has not come yet.
    held: Vec<Change>,
    held_bytes: usize,
}

impl Assembly {
    /// Nothing told of what happens at `revision` or later.
    fn from_revision(revision: i64) -> Self {
        Self {
            revision: revision.saturating_sub(1).max(0),
            ..Self::default()
        }
    }

    /// Takes a message in; answers a batch when one is complete and says something.
    fn take(&mut self, message: PbWatchResponse) -> Result<Option<WatchBatch>, RegistryError> {
        if message.canceled {
            return Err(cancelled(&message));
        }
        if message.created {
            return Ok(None);
        }
        let progress = message.events.is_empty() && self.held.is_empty();
        for event in message.events {
            let (change, bytes) = change(event)?;
            self.held_bytes += bytes;
            self.held.push(change);
        }
        if self.held_bytes > ANSWER_BYTES_MAX {
            let why = format!("one batch of changes is larger than {ANSWER_BYTES_MAX} bytes");
            return Err(RegistryError::Unknown(why));
        }
        if message.fragment {
            return Ok(None);
        }
        // A message with changes may carry a later revision in its header than it
        // tells about, one without is etcd's word that there is nothing up to it.
        let told = match self.held.last() {
            Some(Change::Put(record)) => record.mod_revision,
            Some(Change::Deleted { mod_revision, .. }) => *mod_revision,
            None => message.header.map_or(0, |header| header.revision),
        };
        if progress && told <= self.revision {
            return Ok(None);
        }
        self.revision = self.revision.max(told);
        self.held_bytes = 0;
        let changes = std::mem::take(&mut self.held);
        Ok(Some(WatchBatch {
            revision: self.revision,
            changes,
        }))
    }
}

fn change(event: PbEvent) -> Result<(Change, usize), RegistryError> {
    let Some(kv) = event.kv else {
        return Err(RegistryError::Unknown("a change without a key".into()));
    };
    let bytes = kv.key.len() + kv.value.len();
    let record = record(kv);
    let change = if event.r#type == EventType::Delete as i32 {
        Change::Deleted {
            key: record.key,
            mod_revision: record.mod_revision,
        }
    } else {
        Change::Put(record)
    };
    Ok((change, bytes))
}

/// A key that is not UTF-8 is none of ours, so it may look odd but must not make
/// the others unreadable.
pub(super) fn record(kv: PbKeyValue) -> Record {
    Record {
        key: String::from_utf8_lossy(&kv.key).into_owned(),
        value: kv.value.into(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        lease: kv.lease,
    }
}

fn cancelled(message: &PbWatchResponse) -> RegistryError {
    match message.compact_revision {
        0 => RegistryError::Unknown(format!("watch cancelled: {}", message.cancel_reason)),
        revision => RegistryError::Compacted { revision },
    }
}

fn ended() -> RegistryError {
    RegistryError::Unknown("the watch ended".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_client::proto::PbResponseHeader;

    fn message(revision: i64, events: Vec<PbEvent>) -> PbWatchResponse {
        let header = Some(PbResponseHeader {
            revision,
            ..PbResponseHeader::default()
        });
        PbWatchResponse {
            header,
            events,
            ..PbWatchResponse::default()
        }
    }

    fn event(kind: EventType, key: &str, mod_revision: i64) -> PbEvent {
        let kv = PbKeyValue {
            key: key.into(),
            mod_revision,
            ..PbKeyValue::default()
        };
        PbEvent {
            r#type: kind as i32,
            kv: Some(kv),
            prev_kv: None,
        }
    }

    #[test]
    fn a_batch_is_as_new_as_its_last_change() {
        let mut assembly = Assembly::from_revision(3);
        let events = vec![
            event(EventType::Put, "a", 4),
            event(EventType::Delete, "b", 5),
        ];
        let batch = assembly.take(message(9, events)).unwrap().unwrap();
        assert_eq!(batch.revision, 5);
        assert_eq!(
            batch.changes[1],
            Change::Deleted {
                key: "b".into(),
                mod_revision: 5
            }
        );
    }

    #[test]
    fn progress_is_told_once() {
        let mut assembly = Assembly::from_revision(3);
        assert_eq!(
            assembly.take(message(2, vec![])).unwrap(),
            None,
            "before the start"
        );
        let batch = assembly.take(message(7, vec![])).unwrap().unwrap();
        assert_eq!(
            batch,
            WatchBatch {
                revision: 7,
                changes: vec![]
            }
        );
        assert_eq!(
            assembly.take(message(7, vec![])).unwrap(),
            None,
            "nothing new"
        );
    }

    #[test]
    fn fragments_make_one_batch() {
        let mut assembly = Assembly::from_revision(1);
        let mut first = message(4, vec![event(EventType::Put, "a", 4)]);
        first.fragment = true;
        assert_eq!(assembly.take(first).unwrap(), None);
        let batch = assembly
            .take(message(4, vec![event(EventType::Put, "b", 4)]))
            .unwrap();
        assert_eq!(batch.unwrap().changes.len(), 2);
    }

    #[test]
    fn endless_fragments_are_refused() {
        let mut assembly = Assembly::from_revision(1);
        let mut fragment = message(4, vec![event(EventType::Put, "a", 4)]);
        fragment.fragment = true;
        fragment.events[0].kv.as_mut().unwrap().value = vec![0; 1 << 20];
        let refused = (0..64).any(|_| assembly.take(fragment.clone()).is_err());
        assert!(refused);
    }

    #[test]
    fn cancellation_says_why() {
        let mut gone = message(9, vec![]);
        gone.canceled = true;
        gone.compact_revision = 8;
        let error = Assembly::default().take(gone.clone()).unwrap_err();
        assert!(matches!(error, RegistryError::Compacted { revision: 8 }));
        gone.compact_revision = 0;
        gone.cancel_reason = "because".into();
        let error = Assembly::default().take(gone).unwrap_err();
        assert!(error.to_string().contains("because"));
    }
}
