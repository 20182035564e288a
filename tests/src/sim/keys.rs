//! The keys that clients work on, and the few slots in which they lie.

use std::collections::BTreeSet;

use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use cached_proto::table::{PAGES, PageIndex};
use cached_proto::types::Slot;
use rand::Rng;
use rand::rngs::StdRng;

/// Slots that all keys lie in: few, so that much happens in each while it moves.
const SLOTS_USED: usize = 24;

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
    /// Slots anywhere, or all in so many pages: then one batch moves many.
    pub fn draw(chance: &mut StdRng, pages: Option<u16>) -> Self {
        let count = pages.unwrap_or(PAGES);
        let first = chance.random_range(0..=PAGES - count);
        let pages = first..first + count;
        let page = |tag: &String| PageIndex::of(slot(tag)).index() as u16;
        let tags = (0_u32..).map(|number| number.to_string());
        let fits = |tag: &String| pages.contains(&page(tag));
        Self {
            tags: tags.filter(fits).take(SLOTS_USED).collect(),
        }
    }

    /// The slots that they lie in.
    pub fn slots(&self) -> Vec<Slot> {
        self.tags.iter().map(|tag| slot(tag)).collect()
    }

    /// The pages that they lie in.
    pub fn pages(&self) -> BTreeSet<PageIndex> {
        self.slots().into_iter().map(PageIndex::of).collect()
    }

    /// The slot of a key.
    pub fn slot(&self, number: u32) -> Slot {
        slot(self.tag(number))
    }

    fn tag(&self, number: u32) -> &str {
        &self.tags[number as usize % self.tags.len()]
    }

    /// The name of a key: of the plain ones every fifth is used with times to live.
    pub fn name(&self, kind: Kind, number: u32) -> String {
        let letter = match kind {
            Kind::Plain if has_ttl(number) => 't',
            Kind::Plain => 'k',
            Kind::Evicted => 'e',
            Kind::Loaded => 'g',
        };
        let tag = self.tag(number);
        format!("{letter}{number}{{{tag}}}")
    }
}

fn slot(tag: &str) -> Slot {
    slot_of(KeyHash::default(), tag.as_bytes())
}

/// Whether a plain key is never removed: once it is there, nothing but a crash of its
/// owner explains that it is gone.
pub fn is_kept(number: u32) -> bool {
    number.is_multiple_of(3) && !has_ttl(number)
}

/// Whether a plain key is used with times to live.
pub fn has_ttl(number: u32) -> bool {
    number % 5 == 4
}
