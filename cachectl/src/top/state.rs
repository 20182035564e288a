//! The whole state of the screen. Pure: `update` changes it, `view` draws it.

use std::collections::VecDeque;
use std::time::Duration;

use clap::ValueEnum;

use super::data::Data;
use super::dialog::Dialog;
use super::keys::Keymap;
use super::link::{Freshness, Links};
use super::list::{Choice, Filter};
use super::message::{EventLine, Found, Now};
use super::view::theme::Theme;

/// Lines of the log that are kept.
pub const LOG_MAX: usize = 500;

/// Messages on top of the screen that are kept.
const TOASTS_MAX: usize = 4;

/// How long good news stay.
const NEWS_FOR: Duration = Duration::from_secs(6);

/// The screens, as `--screen` spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Screen {
    /// Nodes, traffic, ring, migrations, events.
    Overview,
    /// Every node in detail.
    Nodes,
    /// Who owns what.
    Ring,
    /// Slots on the move.
    Migrations,
    /// Hot keys; look up, write, delete.
    Keys,
    /// Namespaces.
    Groups,
    /// Who does not attempt whom.
    Blacklist,
    /// What happened, and what was done from here.
    Events,
}

impl Screen {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Nodes,
        Self::Ring,
        Self::Migrations,
        Self::Keys,
        Self::Groups,
        Self::Blacklist,
        Self::Events,
    ];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Nodes => "Nodes",
            Self::Ring => "Ring",
            Self::Migrations => "Migrations",
            Self::Keys => "Keys",
            Self::Groups => "Groups",
            Self::Blacklist => "Blacklist",
            Self::Events => "Events",
        }
    }

    /// The same in a few letters.
    pub fn short(self) -> &'static str {
        match self {
            Self::Overview => "Over",
            Self::Migrations => "Migr",
            Self::Groups => "Grps",
            Self::Blacklist => "Blk",
            Self::Events => "Ev",
            other => other.title(),
        }
    }
}

/// What was decided at the start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The context's name; empty: none.
    pub context: String,
    /// Its users would notice: changes ask for its name.
    pub production: bool,
    /// The name that changes ask for; empty: they ask for yes or no.
    pub confirm: String,
    /// Nothing can be changed.
    pub read_only: bool,
    /// What is shown was recorded.
    pub replay: bool,
}

/// How things look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// ASCII characters alone.
    pub ascii: bool,
    /// No colours.
    pub mono: bool,
    /// Colours for light backgrounds.
    pub light: bool,
    /// More columns.
    pub wide: bool,
}

/// A message on top of the screen.
#[derive(Clone, Debug)]
pub struct Toast {
    /// What.
    pub text: String,
    /// Bad news stay until Esc.
    pub bad: bool,
    /// Since when.
    pub at: Duration,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Counts all lines ever written.
    pub number: u64,
    /// When, Unix milliseconds.
    pub unix_ms: u64,
    /// INFO, WARN, ERROR or CMD.
    pub kind: Kind,
    /// What.
    pub text: String,
    /// The same at every node that tells it; empty: it is told once.
    pub identity: String,
}

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be known.
    Info,
    /// To be looked at.
    Warn,
    /// Wrong.
    Error,
    /// A command, given from here.
    Command,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Command => "CMD",
        }
    }
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct State {
    /// When the last message came.
    pub now: Now,
    /// What was decided at the start.
    pub options: Options,
    /// How things look.
    pub look: Look,
    /// What tones look like.
    pub theme: Theme,
    /// What keys do.
    pub keys: Keymap,
    /// Columns of the terminal.
    pub columns: u16,
    /// Which screen is shown.
    pub screen: Screen,
    /// What was chosen on each screen.
    pub choices: [Choice; Screen::ALL.len()],
    /// What is open on top.
    pub dialog: Option<Dialog>,
    /// The filter is being typed.
    pub typing_filter: bool,
    /// `g` was pressed once.
    pub first_g: bool,
    /// What is known.
    pub data: Data,
    /// What is shown while the display is held, and since when.
    pub held: Option<(Duration, Box<Data>)>,
    /// The streams.
    pub links: Links,
    /// The key that was looked up last.
    pub found: Option<Found>,
    /// Messages on top.
    pub toasts: Vec<Toast>,
    /// What happened and what was done from here, oldest first.
    pub log: VecDeque<LogLine>,
    /// Lines that were ever written into it.
    pub lines: u64,
    /// One panel alone.
    pub expanded: bool,
    /// The mouse is reported.
    pub mouse: bool,
    /// Something that is seen has changed.
    pub dirty: bool,
    /// The recording has ended.
    pub ended: bool,
    /// What was said of versions that differ.
    pub skew: Option<String>,
}

impl State {
    /// Nothing is known yet.
    pub fn new(options: Options, look: Look) -> Self {
        Self {
            now: Now::default(),
            options,
            look,
            theme: Theme::new(look),
            keys: Keymap::default(),
            columns: 80,
            screen: Screen::Overview,
            choices: Default::default(),
            dialog: None,
            typing_filter: false,
            first_g: false,
            data: Data::default(),
            held: None,
            links: Links::default(),
            found: None,
            toasts: Vec::new(),
            log: VecDeque::new(),
            lines: 0,
            expanded: false,
            mouse: false,
            dirty: true,
            ended: false,
            skew: None,
        }
    }

    /// What is shown: what is known, or what was when the display was held.
    pub fn shown(&self) -> &Data {
        self.held.as_ref().map_or(&self.data, |(_, data)| data)
    }

    /// What was chosen on this screen.
    pub fn choice(&self) -> &Choice {
        &self.choices[self.screen as usize]
    }

    /// The same, to be changed.
    pub fn choice_mut(&mut self) -> &mut Choice {
        &mut self.choices[self.screen as usize]
    }

    /// Filters and sorts every screen: as the command line says.
    pub fn choose(&mut self, filter: &str, sort: &str) {
        for choice in &mut self.choices {
            choice.filter = Filter::new(filter);
            choice.sort = sort.to_owned();
        }
    }

    /// How fresh what is shown is.
    pub fn freshness(&self) -> Freshness {
        if self.options.replay {
            return Freshness::Live(Duration::ZERO);
        }
        self.links.freshness(self.now)
    }

    /// How long the registry is away, as far as is known; `None`: it is not.
    pub fn registry_away(&self) -> Option<Duration> {
        let status = self.data.status.as_ref()?;
        let since = self.now.since_start.saturating_sub(self.data.status_at);
        (!status.registry.reachable).then(|| status.registry.unreachable_for + since)
    }

    /// Why nothing can be changed now.
    pub fn obstacle(&self) -> Option<String> {
        if self.options.replay {
            return Some("this is a recording: nothing can be changed".to_owned());
        }
        if self.options.read_only {
            return Some("read-only: nothing can be changed from here".to_owned());
        }
        match self.freshness() {
            Freshness::Live(_) => None,
            Freshness::Connecting => Some("not connected yet".to_owned()),
            Freshness::Stale(age) => Some(format!("nothing heard for {}s", age.as_secs())),
            Freshness::Reconnecting { reason, .. } => Some(format!("nobody answers: {reason}")),
        }
    }

    /// Puts a message on top; the same one is not said twice.
    pub fn toast(&mut self, text: impl Into<String>, bad: bool) {
        let text = text.into();
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast {
            text,
            bad,
            at: self.now.since_start,
        });
        if self.toasts.len() > TOASTS_MAX {
            self.toasts.remove(0);
        }
    }

    /// Good news end by themselves.
    pub fn drop_old_toasts(&mut self) {
        let now = self.now.since_start;
        let before = self.toasts.len();
        self.toasts
            .retain(|toast| toast.bad || now.saturating_sub(toast.at) < NEWS_FOR);
        self.dirty |= self.toasts.len() != before;
    }

    /// Writes a line into the log.
    pub fn log(&mut self, kind: Kind, text: impl Into<String>) {
        let (unix_ms, text) = (self.now.unix_ms, text.into());
        self.insert(unix_ms, kind, text, String::new());
    }

    /// Writes what a node's journal has into the log, at its time, and once. False: it was
    /// there.
    pub fn log_event(&mut self, event: EventLine) -> bool {
        let known = |line: &LogLine| {
            line.unix_ms == event.at_ms && line.text.starts_with(&event.text)
                || !event.identity.is_empty() && line.identity == event.identity
        };
        if self.log.iter().any(known) {
            return false;
        }
        let kind = match event.severity.as_str() {
            "error" => Kind::Error,
            "warning" => Kind::Warn,
            _ => Kind::Info,
        };
        let by = match event.by.as_str() {
            "" => String::new(),
            by => format!(" (by {by})"),
        };
        let text = format!("{}{by}", event.text);
        self.insert(event.at_ms, kind, text, event.identity);
        true
    }

    fn insert(&mut self, unix_ms: u64, kind: Kind, text: String, identity: String) {
        self.lines += 1;
        let line = LogLine {
            number: self.lines,
            unix_ms,
            kind,
            text,
            identity,
        };
        let later = self.log.iter().rev().take_while(|it| it.unix_ms > unix_ms);
        let place = self.log.len() - later.count();
        self.log.insert(place, line);
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
    }
}
