//! What stands in the journal. Pure.

use crate::clock::WallMs;

/// How bad it is.
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

/// Something that happened, before it has its place in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// What kind, for programs: words with dashes.
    pub code: &'static str,
    /// The member, operation, group or plan that it is about; empty: the node itself.
    pub subject: String,
    /// What happened, for people.
    pub text: String,
    /// Who asked for it, as `user@host`; empty: nobody did.
    pub by: String,
    /// The same wherever the same happening is seen; empty: only this node sees it.
    pub identity: String,
}

impl Note {
    /// One that nobody asked for and only this node sees.
    pub fn new(
        severity: Severity,
        code: &'static str,
        subject: impl ToString,
        text: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            subject: subject.to_string(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// The same, asked for by somebody.
    pub fn by(mut self, by: &str) -> Self {
        by.clone_into(&mut self.by);
        self
    }

    /// The same, as all nodes see it: `what` tells it from others with its code.
    pub fn seen_by_all(mut self, what: impl std::fmt::Display) -> Self {
        self.identity = format!("{}/{what}", self.code);
        self
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the journal; the first is 1.
    pub sequence: u64,
    /// When it was noticed.
    pub at: WallMs,
    /// What.
    pub note: Note,
}
