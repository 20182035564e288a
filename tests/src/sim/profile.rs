//! Which kinds of trouble a seed has. Few at a time: each gets its chance, and a seed
//! stays short.

use rand::Rng;
use rand::rngs::StdRng;

/// What a seed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Whatever happens to clusters.
    Anything,
    /// Slots with keys move, and who gives them away is not told what became of it.
    Doubts,
    /// Slots with keys move, and what they move on breaks.
    Breaks,
    /// For long, one node reaches nobody and some clients reach it.
    CutOff,
}

impl Theme {
    /// By turns, so that any few seeds in a row have them all.
    pub fn of(seed: u64) -> Self {
        match seed % 5 {
            1 => Self::Doubts,
            2 => Self::Breaks,
            3 => Self::CutOff,
            _ => Self::Anything,
        }
    }
}

/// What a seed has besides what all have: crashes, stops, joins, broken links.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// What it is about; with a theme it has nothing else but groups of its own.
    pub theme: Theme,
    /// Entries are large and lie close together, operators move them at low rates, and
    /// trouble seeks those who move something.
    pub moves: bool,
    /// Nodes lose their leases and are cut off from all but some clients.
    pub cut_offs: bool,
    /// Processes stand still between what they decide and what they do.
    pub pauses: bool,
    /// A group has less room than is written to it.
    pub evictions: bool,
    /// A group is loaded from an origin.
    pub loads: bool,
}

impl Profile {
    /// In how many pages all keys lie, if in few: one batch then moves many. In one where
    /// connections break, or all that a receiver takes in at a time hangs until it is found
    /// out.
    pub fn pages(&self) -> Option<u16> {
        match self.theme {
            Theme::Breaks => Some(1),
            _ => self.moves.then_some(2),
        }
    }

    /// Whether it is about moves of slots with keys alone.
    pub fn moves_keys(&self) -> bool {
        matches!(self.theme, Theme::Doubts | Theme::Breaks)
    }

    /// Draws one.
    pub fn draw(chance: &mut StdRng, theme: Theme) -> Self {
        let drawn = Self {
            theme,
            moves: chance.random_bool(0.5),
            cut_offs: chance.random_bool(0.4),
            pauses: chance.random_bool(0.4),
            evictions: chance.random_bool(0.3),
            loads: chance.random_bool(0.3),
        };
        match theme {
            Theme::Anything => drawn,
            Theme::Doubts | Theme::Breaks => Self {
                moves: true,
                cut_offs: false,
                pauses: false,
                ..drawn
            },
            Theme::CutOff => Self {
                moves: false,
                cut_offs: true,
                pauses: true,
                ..drawn
            },
        }
    }
}
