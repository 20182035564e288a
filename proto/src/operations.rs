//! Records of changes of the layout: what operators ask of members, what runs because
//! of it, and how far it is.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::records::PlanRecord;
use crate::types::{Incarnation, Invalid, NodeName};

/// What a member shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Own its share of the slots.
    Serve,
    /// Own none, and stay a member.
    Drain,
    /// Own none, and end.
    Leave,
}

/// `intents/<name>`: what an operator, or the member itself, asked of a member. Written
/// with the plan that honours it, except for a member's own `leave`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// What it shall do.
    pub want: Want,
    /// Only this life of the name; `None`: every one. `leave` always names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inc: Option<Incarnation>,
    /// Instead of the weight that the member gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Who asked, as `user@host`; the member's name when it asked itself.
    pub by: String,
    /// Unix time in milliseconds.
    pub at_ms: u64,
}

/// What kind of change it is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Members get their share.
    Join,
    /// Members give all their slots away.
    Drain,
    /// Members give all their slots away and end.
    Remove,
    /// Shares or weights change.
    Rebalance,
    /// Several of these at once.
    Mixed,
}

impl OperationKind {
    /// The word for it, in records and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Drain => "drain",
            Self::Remove => "remove",
            Self::Rebalance => "rebalance",
            Self::Mixed => "mixed",
        }
    }
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Shown to an operator, not asked for yet.
    Planned,
    /// Asked for: the planner puts it in force, or refuses it.
    Requested,
    /// Its plan is in force, and slots move.
    Running,
    /// The same, but no further batch is begun.
    Paused,
    /// Everything is where the plan wants it.
    Done,
    /// It ended before that; `reason` says why and what is left.
    Failed,
    /// An operator ended it: what had moved stays where it is.
    Cancelled,
    /// It was never begun: the layout had changed, or another operation was open.
    Refused,
}

/// Spells and reads the words of a kind.
macro_rules! spelled {
    ($type:ident, $field:literal, $all:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let known = $all.into_iter().find(|it: &Self| it.name() == text);
                known.ok_or_else(|| Invalid::new($field, format!("{text:?} is not known")))
            }
        }
    };
}

spelled!(OperationKind, "kind", {
    use OperationKind::*;
    [Join, Drain, Remove, Rebalance, Mixed]
});
spelled!(OperationState, "state", {
    use OperationState::*;
    [
        Planned, Requested, Running, Paused, Done, Failed, Cancelled, Refused,
    ]
});

impl OperationState {
    /// The word for it, in records and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Requested => "requested",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// Whether slots may be moved for it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether nothing about it changes any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Done | Self::Failed | Self::Cancelled | Self::Refused
        )
    }
}

/// `operations/<id>`: a change of the layout. At most one is open at a time. Changes
/// that come up by themselves meanwhile (a crash, a SIGTERM) are merged into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// `op-` and eight hexadecimal digits.
    pub id: String,
    /// What kind.
    pub kind: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// The members that it is about.
    pub nodes: Vec<NodeName>,
    /// Layout that the operator was shown; the plan is refused on any other.
    pub base_layout: u64,
    /// Layout that carries it out; 0 before it runs. Grows when something is merged.
    pub layout: u64,
    /// The plan as it was shown, until it is in force. Its layout is `base_layout` + 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<PlanRecord>,
    /// Intents that are written together with the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<NodeName, IntentRecord>,
    /// What was asked of these members before; `None`: nothing. Known from when it runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<NodeName, Option<IntentRecord>>,
    /// Who asked, as `user@host`; `auto` when the cluster did by itself.
    pub by: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Unix time in milliseconds; 0: not yet.
    pub requested_ms: u64,
    /// Unix time in milliseconds; 0: not yet.
    pub started_ms: u64,
    /// Unix time in milliseconds; 0: not yet.
    pub finished_ms: u64,
    /// It fails when it is not done by then, Unix milliseconds; 0: never.
    #[serde(default)]
    pub deadline_ms: u64,
    /// Bytes per second over all senders; 0: as fast as it goes.
    #[serde(default)]
    pub max_rate: u64,
    /// What does not fit at a receiver may be dropped, coldest first.
    #[serde(default)]
    pub shed: bool,
    /// An operator wants it to end.
    #[serde(default)]
    pub cancel: bool,
    /// What was merged into it, for people; at most 20 lines, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl OperationRecord {
    /// Whether this can be the id of an operation.
    pub fn is_id(text: &str) -> bool {
        let digits = text.strip_prefix("op-");
        digits.is_some_and(|d| d.len() == 8 && d.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

/// What was moved from one member to another. Written in the same transactions that
/// move the ownership, so that the sums are what really happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveCounts {
    /// Slots that changed their owner.
    pub slots: u64,
    /// Entries in them at the seal.
    pub keys: u64,
    /// Bytes of keys, values and overhead of these entries.
    pub bytes: u64,
    /// Changes sent in attempts that were committed: entries, and what happened to them meanwhile.
    pub sent: u64,
    /// … that the receiver has taken over.
    pub acknowledged: u64,
    /// … that it had in a newer version already.
    pub skipped: u64,
    /// Changes sent in attempts that came to nothing.
    pub failed: u64,
    /// Attempts that came to nothing.
    pub failures: u64,
    /// Entries dropped because the receiver had no room.
    pub shed: u64,
}

impl MoveCounts {
    /// Adds what another batch came to.
    pub fn add(&mut self, other: &Self) {
        let Self {
            slots,
            keys,
            bytes,
            sent,
            acknowledged,
            skipped,
            failed,
            failures,
            shed,
        } = other;
        self.slots += slots;
        self.keys += keys;
        self.bytes += bytes;
        self.sent += sent;
        self.acknowledged += acknowledged;
        self.skipped += skipped;
        self.failed += failed;
        self.failures += failures;
        self.shed += shed;
    }
}

/// `operations/<id>/<node>`: what a member has sent for an operation, by receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRecord {
    /// By receiver.
    pub to: BTreeMap<NodeName, MoveCounts>,
    /// Receivers that take none of its slots, try after try.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put_off: BTreeMap<NodeName, PutOffRecord>,
}

/// A receiver that a sender has tried in vain: for a while the planner gives it nothing
/// that another member can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOffRecord {
    /// Which life of the receiver.
    pub inc: Incarnation,
    /// Tries in a row that came to nothing.
    pub tries: u32,
    /// Why the last one did, for people.
    pub why: String,
    /// Unix time in milliseconds.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_records() {
        for word in ["join", "drain", "remove", "rebalance", "mixed"] {
            let kind: OperationKind = word.parse().unwrap();
            assert_eq!(kind.to_string(), word);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{word:?}"));
        }
        for word in [
            "planned",
            "requested",
            "running",
            "paused",
            "done",
            "failed",
            "cancelled",
            "refused",
        ] {
            let state: OperationState = word.parse().unwrap();
            assert_eq!(state.to_string(), word);
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{word:?}"));
        }
        assert!("undecided".parse::<OperationState>().is_err());
    }
}
