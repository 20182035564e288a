//! Commands that have arrived whole and are not taken yet: found together, so that what
//! they look at can be fetched together.

use super::args::{Args, Frame, Span};
use super::decode::{Decoded, Decoder};
use super::table::{CommandSpec, Flags, command_of};
use crate::router::fast::{FETCHED_MAX, Here, KeySpot};

/// Words of all commands that are found together, about: their places fit into two pages.
const WORDS_MAX: usize = 512;

/// What was found out about a command before its turn came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// What it is.
    pub(super) spec: Option<&'static CommandSpec>,
    /// Where its key is looked for, if it has one key.
    pub(super) spot: Option<KeySpot>,
}

/// One of the commands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// From where it begins to where the next one does.
    pub(super) bytes: usize,
    /// What is known of it.
    pub(super) known: Known,
    /// Where its spans begin and end.
    spans: (usize, usize),
}

/// The commands, in the order in which they came: multibulk ones of everyday length.
/// Whatever else arrives is taken by itself when all before it are taken.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    found: Vec<Found>,
    spans: Vec<Span>,
    /// How many were taken.
    taken: usize,
    /// Kept for its memory only.
    spots: Vec<KeySpot>,
}

impl Ahead {
    /// The next command.
    #[inline]
    pub(super) fn next(&self) -> Option<Found> {
        self.found.get(self.taken).copied()
    }

    /// Its words.
    #[inline]
    pub(super) fn spans(&self, found: &Found) -> &[Span] {
        &self.spans[found.spans.0..found.spans.1]
    }

    /// It is taken.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.taken += 1;
    }

    /// Forgets those that are left. The decoder has to begin anew.
    pub(super) fn forget(&mut self) {
        self.taken = self.found.len();
    }

    /// Finds the commands with which `bytes` begin, if they are shorter than
    /// `command_bytes_max`. Those that were found before are all taken.
    pub(super) fn find(&mut self, decoder: &mut Decoder, bytes: &[u8], command_bytes_max: usize) {
        self.found.clear();
        self.spans.clear();
        self.taken = 0;
        let mut rest = bytes;
        // What else there is, and what is wrong with it, is found again in its turn.
        while self.found.len() < FETCHED_MAX
            && self.spans.len() < WORDS_MAX
            && rest.first() == Some(&b'*')
            && let Ok(Decoded::Command(bytes)) = decoder.decode(rest, false)
            && bytes < command_bytes_max
        {
            let start = self.spans.len();
            self.spans.extend_from_slice(decoder.spans());
            self.found.push(Found {
                bytes,
                known: Known::default(),
                spans: (start, self.spans.len()),
            });
            rest = &rest[bytes..];
        }
    }

    /// Finds out what the commands that were just found in `bytes` look at, and fetches
    /// it. `here` is found only if one of them has a key.
    pub(super) fn fetch<'r>(
        &mut self,
        bytes: &[u8],
        here: &mut Option<Here<'r>>,
        find_here: impl for<'h> Fn(&'h mut Option<Here<'r>>) -> Option<&'h Here<'r>>,
    ) {
        let (mut rest, mut writes) = (bytes, false);
        self.spots.clear();
        for found in &mut self.found {
            let (frame, after) = rest.split_at(found.bytes);
            rest = after;
            let spans = &self.spans[found.spans.0..found.spans.1];
            let args = Args::new(Frame::Borrowed(frame), spans);
            let Ok(spec) = command_of(&args) else {
                continue;
            };
            found.known.spec = Some(spec);
            let mut keys = spec.keys(args.len());
            let Some(first) = keys.next() else { continue };
            let Some(here) = find_here(here) else { return };
            let spot = here.spot(args.get(first));
            let others = keys.filter_map(|index| here.spot(args.get(index)));
            let before = self.spots.len();
            self.spots.extend(spot);
            self.spots.extend(others.take(FETCHED_MAX));
            if self.spots.len() - before == 1 {
                found.known.spot = spot;
            }
            writes |= spec.flags.has(Flags::WRITE);
            if self.spots.len() >= FETCHED_MAX {
                break;
            }
        }
        // A single one has nothing to wait for beside it.
        if self.spots.len() > 1
            && let Some(here) = here
        {
            here.fetch(self.spots.iter().copied(), writes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::DecodeLimits;
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits {
        word_bytes_max: 40,
        command_bytes_max: 60,
    };

    /// Everything that comes of `bytes` as they arrive in `pieces`: frames with their words,
    /// and what is neither.
    fn taken(bytes: &[u8], pieces: usize, looks_ahead: bool) -> Vec<String> {
        let (mut decoder, mut ahead) = (Decoder::new(LIMITS), Ahead::default());
        let (mut all, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            let input = &bytes[start..end];
            if looks_ahead && ahead.next().is_none() {
                ahead.find(&mut decoder, input, 30);
            }
            if let Some(found) = ahead.next() {
                let spans = ahead.spans(&found);
                all.push(format!("Command({}) {spans:?}", found.bytes));
                ahead.advance();
                start += found.bytes;
                continue;
            }
            let decoded = decoder.decode(input, false);
            start += match decoded {
                Ok(Decoded::Partial) if end == bytes.len() => return all,
                Ok(Decoded::Partial) => {
                    end = (end + pieces).min(bytes.len());
                    continue;
                }
                Ok(Decoded::Blank(bytes) | Decoded::Command(bytes) | Decoded::Inline(bytes)) => {
                    bytes
                }
                Err(_) => 0,
            };
            all.push(match &decoded {
                Ok(Decoded::Command(bytes)) => format!("Command({bytes}) {:?}", decoder.spans()),
                other => format!("{other:?}"),
            });
            if decoded.is_err() {
                return all;
            }
        }
    }

    /// What streams are made of.
    const PIECES: &[&[u8]] = &[
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*2\r\n$3\r\nGET\r\n$20\r\nkkkkkkkkkkkkkkkkkkkk\r\n",
        b"*2\r\n$3\r\nGET\r\n$50\r\n",
        b"*0\r\n",
        b"ping\r\n",
        b"\r\n",
        b"*1\r\n",
        b"$x",
    ];

    proptest! {
        #[test]
        fn what_is_found_together_is_what_is_found_one_by_one(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..90),
            cut in 1..200_usize,
        ) {
            let bytes = pieces.concat();
            prop_assert_eq!(taken(&bytes, cut, true), taken(&bytes, cut, false));
        }
    }

    #[test]
    fn so_many_are_found_together() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(2 * FETCHED_MAX);
        let mut ahead = Ahead::default();
        ahead.find(&mut Decoder::new(LIMITS), &bytes, 1_000);
        assert_eq!(ahead.found.len(), FETCHED_MAX);
        ahead.forget();
        assert!(ahead.next().is_none());
    }
}
