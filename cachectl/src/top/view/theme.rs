//! How tones look: 16 colours of the terminal's own palette, no background; unless a file
//! says otherwise. Pure.

use std::sync::Arc;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use super::paint::{Hue, Paint, hue_spelled, spelled};
use crate::top::list::Tone;
use crate::top::state::Look;

/// Colours of nodes on dark backgrounds.
const ON_DARK: [Color; 12] = [
    Color::LightGreen,
    Color::LightBlue,
    Color::LightYellow,
    Color::LightMagenta,
    Color::LightCyan,
    Color::LightRed,
    Color::Green,
    Color::Blue,
    Color::Yellow,
    Color::Magenta,
    Color::Cyan,
    Color::Red,
];

/// Colours of nodes on light backgrounds: nothing pale.
const ON_LIGHT: [Color; 6] = [
    Color::Green,
    Color::Blue,
    Color::Magenta,
    Color::Red,
    Color::Cyan,
    Color::Black,
];

/// How tones look.
#[derive(Clone, Debug)]
pub struct Theme {
    normal: Style,
    dim: Style,
    strong: Style,
    good: Style,
    warn: Style,
    bad: Style,
    accent: Style,
    selected: Style,
    old: Style,
    /// Colours of nodes, in turn; none: without colours.
    nodes: Arc<[Color]>,
}

/// What a file wants otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paints {
    normal: Option<Paint>,
    dim: Option<Paint>,
    strong: Option<Paint>,
    good: Option<Paint>,
    warn: Option<Paint>,
    bad: Option<Paint>,
    accent: Option<Paint>,
    selected: Option<Paint>,
    old: Option<Paint>,
    nodes: Option<Vec<Hue>>,
}

impl Theme {
    /// As the look says.
    pub fn new(look: Look) -> Self {
        let plain = Style::default();
        let bold = plain.add_modifier(Modifier::BOLD);
        let selected = plain.add_modifier(Modifier::REVERSED);
        if look.mono {
            // Words and attributes say it.
            return Self {
                normal: plain,
                dim: plain,
                strong: bold,
                good: plain,
                warn: plain.add_modifier(Modifier::UNDERLINED),
                bad: bold.add_modifier(Modifier::REVERSED),
                accent: bold,
                selected,
                old: plain,
                nodes: Arc::default(),
            };
        }
        let (warn, accent, nodes) = match look.light {
            true => (Color::Magenta, Color::Blue, ON_LIGHT.as_slice()),
            false => (Color::Yellow, Color::Cyan, ON_DARK.as_slice()),
        };
        Self {
            normal: plain,
            dim: plain.fg(Color::DarkGray),
            strong: bold,
            good: plain.fg(Color::Green),
            warn: plain.fg(warn),
            bad: bold.fg(Color::Red),
            accent: bold.fg(accent),
            selected,
            old: plain.add_modifier(Modifier::DIM),
            nodes: nodes.into(),
        }
    }

    /// The same, painted as a file says. Where there are no colours there are none.
    #[must_use]
    pub fn painted(mut self, paints: &Paints) -> Self {
        if self.nodes.is_empty() {
            return self;
        }
        for (style, paint) in [
            (&mut self.normal, paints.normal),
            (&mut self.dim, paints.dim),
            (&mut self.strong, paints.strong),
            (&mut self.good, paints.good),
            (&mut self.warn, paints.warn),
            (&mut self.bad, paints.bad),
            (&mut self.accent, paints.accent),
            (&mut self.selected, paints.selected),
            (&mut self.old, paints.old),
        ] {
            if let Some(Paint(painted)) = paint {
                *style = painted;
            }
        }
        if let Some(nodes) = paints.nodes.as_ref().filter(|nodes| !nodes.is_empty()) {
            self.nodes = nodes.iter().map(|Hue(color)| *color).collect();
        }
        self
    }

    /// The style of a tone.
    pub fn style(&self, tone: Tone) -> Style {
        match tone {
            Tone::Normal => self.normal,
            Tone::Dim => self.dim,
            Tone::Strong => self.strong,
            Tone::Good => self.good,
            Tone::Warn => self.warn,
            Tone::Bad => self.bad,
            Tone::Accent => self.accent,
            Tone::Node(_) if self.nodes.is_empty() => Style::default(),
            Tone::Node(index) => Style::default().fg(self.node(index)),
        }
    }

    /// The colour of a node.
    pub fn node(&self, index: u16) -> Color {
        if index == u16::MAX || self.nodes.is_empty() {
            return Color::Reset;
        }
        self.nodes[usize::from(index) % self.nodes.len()]
    }

    /// What is selected.
    pub fn selected(&self) -> Style {
        self.selected
    }

    /// What is old.
    pub fn faded(&self) -> Style {
        self.old
    }

    /// The theme as a file would spell it.
    pub fn print(&self) -> String {
        let lines = [
            ("normal", self.normal, "as usual"),
            ("dim", self.dim, "less important, and borders"),
            ("strong", self.strong, "to be seen first"),
            ("good", self.good, "as it should be"),
            ("warn", self.warn, "to be looked at"),
            ("bad", self.bad, "wrong"),
            ("accent", self.accent, "titles, and what can be chosen"),
            ("selected", self.selected, "the selected row"),
            ("old", self.old, "what is shown is old, or held"),
        ];
        let mut text = "[theme]\n".to_owned();
        for (name, style, help) in lines {
            let set = format!("{name} = \"{}\"", spelled(style));
            text.push_str(&format!("{set:<36}# {help}\n"));
        }
        let nodes = self
            .nodes
            .iter()
            .map(|color| format!("\"{}\"", hue_spelled(*color)));
        let nodes: Vec<String> = nodes.collect();
        text.push_str("# nodes, in the order of their names, over and over\n");
        text.push_str(&format!("nodes = [{}]\n", nodes.join(", ")));
        text
    }
}
