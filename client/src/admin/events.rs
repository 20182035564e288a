//! What nodes say of hot keys, and of what happened, as plain data.

use std::time::Duration;

use bytes::Bytes;
use cached_proto::pb::cached::admin::v1 as pb;
use tonic::Streaming;

use crate::error::Error;
use crate::status::error_of;

/// Which hot keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKeysAsk {
    /// How far back, at most five minutes; zero: five minutes.
    pub window: Duration,
    /// How many; 0: 20.
    pub top: u32,
    /// By bytes instead of by operations.
    pub by_bytes: bool,
    /// Only of this group; `None`: of all.
    pub group: Option<String>,
}

impl HotKeysAsk {
    pub(super) fn message(&self) -> pb::HotKeysRequest {
        let order = match self.by_bytes {
            true => pb::HotKeysOrder::Bytes,
            false => pb::HotKeysOrder::Operations,
        };
        let seconds = self.window.as_millis().div_ceil(1_000);
        pb::HotKeysRequest {
            window_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            top: self.top,
            order: order.into(),
            group: self.group.clone().unwrap_or_default(),
        }
    }
}

/// The hot keys of one node: estimates, from what it carried out itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HotKeys {
    /// The node.
    pub node: String,
    /// How far back: about what was asked for, or since its start.
    pub window: Duration,
    /// Of all its keys.
    pub ops_per_second: f64,
    /// Bytes of keys and values that were read or written.
    pub bytes_per_second: f64,
    /// Hottest first.
    pub keys: Vec<HotKey>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HotKey {
    /// Its group.
    pub group: String,
    /// The key, or its beginning.
    pub key: Bytes,
    /// The key is longer than that.
    pub cut: bool,
    /// Operations on it.
    pub ops_per_second: f64,
    /// Bytes of it and its value that were read or written.
    pub bytes_per_second: f64,
    /// Of all operations, or bytes, of its node: 0 to 1.
    pub share: f64,
    /// Length of the value that was read or written last.
    pub value_bytes: u64,
}

impl From<pb::HotKeysResponse> for HotKeys {
    fn from(told: pb::HotKeysResponse) -> Self {
        let keys = told.keys.into_iter().map(|key| HotKey {
            group: key.group,
            key: key.key,
            cut: key.cut,
            ops_per_second: key.ops_per_second,
            bytes_per_second: key.bytes_per_second,
            share: key.share,
            value_bytes: key.value_bytes,
        });
        Self {
            keys: keys.collect(),
            node: told.node,
            window: Duration::from_millis(told.window_ms),
            ops_per_second: told.ops_per_second,
            bytes_per_second: told.bytes_per_second,
        }
    }
}

/// From where on events are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsFrom {
    /// The journal that `after_sequence` is from; in any other everything is new.
    pub journal: String,
    /// Those after it.
    pub after_sequence: u64,
    /// Not before this Unix time in milliseconds.
    pub since_ms: u64,
    /// Tell what comes, too.
    pub follow: bool,
}

impl EventsFrom {
    pub(super) fn message(&self) -> pb::EventsRequest {
        pb::EventsRequest {
            journal: self.journal.clone(),
            after_sequence: self.after_sequence,
            since_ms: self.since_ms,
            follow: self.follow,
        }
    }

    /// Goes on after what was told.
    pub fn advance(&mut self, told: &Happened) {
        if self.journal != told.journal {
            self.journal.clone_from(&told.journal);
            self.after_sequence = 0;
        }
        if let Some(event) = &told.event {
            self.after_sequence = event.sequence;
        }
    }
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    #[default]
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One message of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// The node.
    pub node: String,
    /// Its journal: another one after each start.
    pub journal: String,
    /// `None` in the first message, which says who answers.
    pub event: Option<EventRow>,
    /// Events before the next one that the node does not keep any more.
    pub missed: u64,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRow {
    /// Its number in the node's journal.
    pub sequence: u64,
    /// Unix time in milliseconds at which the node noticed it.
    pub at_ms: u64,
    /// How bad.
    pub severity: Severity,
    /// What kind, for programs.
    pub code: String,
    /// Member, operation, group or layout; empty: the node itself.
    pub subject: String,
    /// For people.
    pub text: String,
    /// Who asked, as `user@host`; empty: nobody did.
    pub by: String,
    /// The same at every node that saw it; empty: only this one did.
    pub identity: String,
}

impl From<pb::EventsResponse> for Happened {
    fn from(told: pb::EventsResponse) -> Self {
        Self {
            node: told.node,
            journal: told.journal,
            event: told.event.map(EventRow::from),
            missed: told.missed,
        }
    }
}

impl From<pb::Event> for EventRow {
    fn from(event: pb::Event) -> Self {
        let severity = match event.severity() {
            pb::EventSeverity::Error => Severity::Error,
            pb::EventSeverity::Warning => Severity::Warning,
            pb::EventSeverity::Info | pb::EventSeverity::Unspecified => Severity::Info,
        };
        Self {
            severity,
            sequence: event.sequence,
            at_ms: event.at_ms,
            code: event.code,
            subject: event.subject,
            text: event.text,
            by: event.by,
            identity: event.identity,
        }
    }
}

/// A node's stream of events.
#[derive(Debug)]
pub(super) struct EventFeed {
    pub(super) address: String,
    pub(super) stream: Streaming<pb::EventsResponse>,
}

impl EventFeed {
    /// The next one; `None`: there is nothing more. Whoever follows is told of an end.
    pub(super) async fn next(&mut self, follow: bool) -> Option<Result<Happened, Error>> {
        match self.stream.message().await {
            Ok(Some(told)) => Some(Ok(told.into())),
            Ok(None) if follow => {
                let text = format!("{}: ended its stream", self.address);
                Some(Err(Error::Unreachable(text)))
            }
            Ok(None) => None,
            Err(status) => Some(Err(error_of(&self.address, &status))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_goes_on_after_what_was_told_and_anew_in_another_life() {
        let told = |journal: &str, sequence| Happened {
            journal: journal.to_owned(),
            event: (sequence > 0).then(|| EventRow {
                sequence,
                ..EventRow::default()
            }),
            ..Happened::default()
        };
        let mut from = EventsFrom::default();
        from.advance(&told("a", 0));
        from.advance(&told("a", 7));
        assert_eq!((from.journal.as_str(), from.after_sequence), ("a", 7));
        from.advance(&told("b", 0));
        assert_eq!((from.journal.as_str(), from.after_sequence), ("b", 0));
    }

    #[test]
    fn parts_of_seconds_are_asked_for_as_whole_ones() {
        let ask = HotKeysAsk {
            window: Duration::from_millis(1_500),
            ..HotKeysAsk::default()
        };
        assert_eq!(ask.message().window_seconds, 2);
    }
}
