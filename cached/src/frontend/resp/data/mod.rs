//! The commands that work on keys: words in, a plan out. Pure: no network, no clock.
//!
//! Reading order: `words` (numbers and keys), `options` (of `SET` and `GETEX`), then
//! the commands by what they are about.

mod edits;
mod expiry;
mod inspect;
mod keys;
mod many;
mod options;
mod strings;
#[cfg(test)]
mod tests;
mod words;

use super::table::CommandSpec;

/// All of them; in any order.
pub(super) const COMMANDS: &[&[CommandSpec]] = &[
    strings::COMMANDS,
    many::COMMANDS,
    edits::COMMANDS,
    expiry::COMMANDS,
    keys::COMMANDS,
    inspect::COMMANDS,
];
