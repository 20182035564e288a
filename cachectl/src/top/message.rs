//! Everything that can reach the state: one enum, so that all causes are seen in one place.

use std::time::Duration;

use cached_client::admin::{Blacklist, NodeStats, Operation, Plan, Status};
use cached_client::records::GroupRecord;
use crossterm::event::{KeyEvent, MouseEvent};
use serde::{Deserialize, Serialize};

use super::effect::Ask;
use super::shape::Shape;

/// When something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the program started.
    pub since_start: Duration,
    /// Unix milliseconds.
    pub unix_ms: u64,
}

/// What reaches the state.
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse, while it is on.
    Mouse(MouseEvent),
    /// The terminal has so many columns and rows.
    Resize(u16, u16),
    /// Time went on.
    Tick,
    /// A stream of the cluster said something.
    Told(Told),
    /// What was asked for came to this.
    Answer {
        /// What was asked.
        ask: Ask,
        /// What it came to; an error is for people.
        result: Result<Reply, String>,
    },
    /// Something to be said on top of the screen.
    Say {
        /// What.
        text: String,
        /// It stays until Esc.
        bad: bool,
    },
    /// The terminal is gone.
    Quit,
}

/// What streams say: the whole of what is recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A node said this.
    Heard {
        /// Which.
        endpoint: String,
        /// What.
        update: Box<Update>,
    },
    /// Nobody answers a stream now.
    Lost {
        /// Which stream.
        source: Source,
        /// Why.
        reason: String,
        /// Tries in a row that failed.
        attempt: u32,
        /// When the next one begins.
        retry_in_ms: u64,
    },
    /// The recording ends here.
    End,
}

/// The streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Members and rows.
    Topology,
    /// Health, and the registry's.
    Status,
    /// Counters.
    Stats,
    /// Changes of the layout.
    Operations,
    /// Who does not attempt whom.
    Blacklist,
    /// Groups and their settings.
    Groups,
    /// The keys that are asked for most.
    HotKeys,
    /// What happened.
    Events,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Topology,
        Self::Status,
        Self::Stats,
        Self::Operations,
        Self::Blacklist,
        Self::Groups,
        Self::HotKeys,
        Self::Events,
    ];
}

/// What one stream says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// Members and rows.
    Topology(Shape),
    /// Health.
    Status(Status),
    /// Counters of all nodes.
    Stats(Vec<NodeStats>),
    /// An operation as it is now.
    Operation(Operation),
    /// The whole blacklist.
    Blacklist(Blacklist),
    /// All groups.
    Groups(Vec<GroupRecord>),
    /// The hottest keys of all nodes, hottest first.
    HotKeys(Vec<HotKey>),
    /// Something happened.
    Event(EventLine),
}

/// A key that is asked for often.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HotKey {
    /// Its group.
    pub group: String,
    /// The key as text.
    pub key: String,
    /// The text is the whole key, so that it can be looked up.
    pub exact: bool,
    /// The node that carries it out.
    pub node: String,
    /// Operations on it.
    pub ops_per_second: f64,
    /// Of all operations of all nodes: 0 to 1.
    pub share: f64,
    /// Length of the value that was read or written last.
    pub value_bytes: u64,
}

/// Something that happened, as a node's journal has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventLine {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// For people.
    pub text: String,
    /// Who asked; empty: nobody did.
    pub by: String,
    /// The same at every node that saw it; empty: only this one did.
    pub identity: String,
}

impl Update {
    /// The stream that says such things.
    pub fn source(&self) -> Source {
        match self {
            Self::Topology(_) => Source::Topology,
            Self::Status(_) => Source::Status,
            Self::Stats(_) => Source::Stats,
            Self::Operation(_) => Source::Operations,
            Self::Blacklist(_) => Source::Blacklist,
            Self::Groups(_) => Source::Groups,
            Self::HotKeys(_) => Source::HotKeys,
            Self::Event(_) => Source::Events,
        }
    }
}

/// What came of something that was asked for.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A plan, to be shown.
    Plan(Box<Plan>),
    /// An operation as it is now.
    Operation(Box<Operation>),
    /// Where a key lives, and what it holds.
    Found(Box<Found>),
    /// It was done; a sentence about it.
    Done(String),
}

/// What is known of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its group; empty: the cluster's own.
    pub group: String,
    /// The key.
    pub key: String,
    /// Its slot.
    pub slot: u16,
    /// Its owner's name; empty: nobody.
    pub owner: String,
    /// The run of slots with the same owner.
    pub range: (u16, u16),
    /// The virtual node that it meets first.
    pub virtual_node: String,
    /// The next members on the ring.
    pub next: Vec<String>,
    /// What it holds; `None`: there is no entry.
    pub entry: Option<FoundEntry>,
    /// Why the entry could not be read.
    pub problem: String,
}

/// What a key holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundEntry {
    /// Bytes of the value.
    pub bytes: u64,
    /// The beginning of the value, as text.
    pub preview: String,
    /// Time to live; `None`: it does not expire.
    pub ttl: Option<Duration>,
    /// Its version.
    pub version: String,
}
