//! The keys that clients work on, and the few slots in which they lie.

use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use cached_proto::table::PageIndex;
use rand::Rng;
use rand::rngs::StdRng;

/// Slots that all keys lie in: few, so that much happens in each while it moves.
const SLOTS_USED: usize = 24;

/// Pages that they lie in, when they lie close together: then one batch moves many.
const PAGES_USED: u16 = 2;

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Written and read.
    Plain,
    /// The same, in a group that is too small.
    Evicted,
    /// Loaded from the origin.
    Loaded,
}

/// Names of keys. What stands in braces chooses the slot.
#[derive(Clone, Debug)]
pub struct Keys {
    tags: Vec<String>,
}

impl Keys {
    /// Slots anywhere, or all in few pages.
    pub fn draw(chance: &mut StdRng, close: bool) -> Self {
        let first = chance.random_range(0..256 - PAGES_USED);
        let pages = first..first + PAGES_USED;
        let page = |tag: &String| {
            let slot = slot_of(KeyHash::default(), tag.as_bytes());
            PageIndex::of(slot).index() as u16
        };
        let tags = (0_u32..).map(|number| number.to_string());
        let fits = |tag: &String| !close || pages.contains(&page(tag));
        Self {
            tags: tags.filter(fits).take(SLOTS_USED).collect(),
        }
    }

    /// The name of a key: of the plain ones every fifth is used with times to live.
    pub fn name(&self, kind: Kind, number: u32) -> String {
        let letter = match kind {
            Kind::Plain if has_ttl(number) => 't',
            Kind::Plain => 'k',
            Kind::Evicted => 'e',
            Kind::Loaded => 'g',
        };
        let tag = &self.tags[number as usize % self.tags.len()];
        format!("{letter}{number}{{{tag}}}")
    }
}

/// Whether a plain key is used with times to live.
pub fn has_ttl(number: u32) -> bool {
    number % 5 == 4
}
