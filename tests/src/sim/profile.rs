//! Which kinds of trouble a seed has. Few at a time: each gets its chance, and a seed
//! stays short.

use rand::Rng;
use rand::rngs::StdRng;

/// What a seed has besides what all have: crashes, stops, joins, broken links.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
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
    /// Draws one.
    pub fn draw(chance: &mut StdRng) -> Self {
        Self {
            moves: chance.random_bool(0.5),
            cut_offs: chance.random_bool(0.4),
            pauses: chance.random_bool(0.4),
            evictions: chance.random_bool(0.3),
            loads: chance.random_bool(0.3),
        }
    }
}
