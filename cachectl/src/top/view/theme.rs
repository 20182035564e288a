//! How tones look: 16 colours of the terminal's own palette, no background. Pure.

use ratatui::style::{Color, Modifier, Style};

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
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    mono: bool,
    light: bool,
}

impl Theme {
    /// As the look says.
    pub fn new(look: Look) -> Self {
        Self {
            mono: look.mono,
            light: look.light,
        }
    }

    /// The style of a tone. Without colours, words and attributes say it.
    pub fn style(&self, tone: Tone) -> Style {
        let plain = Style::default();
        if self.mono {
            return match tone {
                Tone::Strong | Tone::Accent => plain.add_modifier(Modifier::BOLD),
                Tone::Warn => plain.add_modifier(Modifier::UNDERLINED),
                Tone::Bad => plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
                Tone::Normal | Tone::Dim | Tone::Good | Tone::Node(_) => plain,
            };
        }
        let warn = if self.light {
            Color::Magenta
        } else {
            Color::Yellow
        };
        let accent = if self.light { Color::Blue } else { Color::Cyan };
        match tone {
            Tone::Normal => plain,
            Tone::Dim => plain.fg(Color::DarkGray),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
            Tone::Good => plain.fg(Color::Green),
            Tone::Warn => plain.fg(warn),
            Tone::Bad => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Accent => plain.fg(accent).add_modifier(Modifier::BOLD),
            Tone::Node(index) => plain.fg(self.node(index)),
        }
    }

    /// The colour of a node.
    pub fn node(&self, index: u16) -> Color {
        let index = usize::from(index);
        match (self.mono, self.light) {
            _ if index == usize::from(u16::MAX) => Color::Reset,
            (true, _) => Color::Reset,
            (_, true) => ON_LIGHT[index % ON_LIGHT.len()],
            (_, false) => ON_DARK[index % ON_DARK.len()],
        }
    }

    /// What is selected.
    pub fn selected(&self) -> Style {
        Style::default().add_modifier(Modifier::REVERSED)
    }

    /// What is old.
    pub fn faded(&self) -> Style {
        if self.mono {
            Style::default()
        } else {
            Style::default().add_modifier(Modifier::DIM)
        }
    }
}
