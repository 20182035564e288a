//! The commands that work on keys: words in, a plan out. Pure: no network, no clock.

mod strings;

use super::table::CommandSpec;

/// All of them; in any order.
pub(super) const COMMANDS: &[&[CommandSpec]] = &[strings::COMMANDS];
