//! One command as it arrived: its name and what follows, as slices of what was read.

use bytes::Bytes;

/// Where one argument stands in its frame: first byte, and the one after the last.
pub type Span = (usize, usize);

/// The bytes of one command.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// In the buffer that is read into: what is kept has to be copied.
    Borrowed(&'a [u8]),
    /// In a buffer of its own, because it is large: what is kept is shared.
    Shared(&'a Bytes),
}

/// Smallest argument in bytes that shares its frame instead of being copied: below,
/// the copy costs less than a large buffer that a small value keeps alive.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// The words of a command; the first is its name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    frame: Frame<'a>,
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Words at `spans` of a frame. Every span lies inside it; there is at least one.
    pub fn new(frame: Frame<'a>, spans: &'a [Span]) -> Self {
        Self { frame, spans }
    }

    /// How many words, the name included.
    #[expect(clippy::len_without_is_empty, reason = "a command has a name")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The word at `index`; 0 is the name. Empty where there is none: commands check
    /// their number of words first.
    pub fn get(&self, index: usize) -> &'a [u8] {
        let Some(&(start, end)) = self.spans.get(index) else {
            return &[];
        };
        let frame: &'a [u8] = match self.frame {
            Frame::Borrowed(bytes) => bytes,
            Frame::Shared(bytes) => bytes,
        };
        frame.get(start..end).unwrap_or_default()
    }

    /// Whether the command has a buffer of its own.
    pub fn is_shared(&self) -> bool {
        matches!(self.frame, Frame::Shared(_))
    }

    /// The word at `index`, to keep. Copied unless it is large.
    pub fn keep(&self, index: usize) -> Bytes {
        let word = self.get(index);
        match self.frame {
            Frame::Shared(bytes) if word.len() >= SHARED_BYTES_MIN => bytes.slice_ref(word),
            _ => Bytes::copy_from_slice(word),
        }
    }

    /// Whether the word at `index` is `word`, whatever its letters' case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// All words from `index` on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let this = *self;
        (index..this.len()).map(move |index| this.get(index))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Arguments out of texts, for tests of commands.
    pub(crate) fn with_args<T>(words: &[&[u8]], then: impl FnOnce(&Args<'_>) -> T) -> T {
        let bytes = words.concat();
        let mut spans = Vec::new();
        let mut start = 0;
        for word in words {
            spans.push((start, start + word.len()));
            start += word.len();
        }
        then(&Args::new(Frame::Borrowed(&bytes), &spans))
    }

    #[test]
    fn words_are_found_where_their_spans_point() {
        with_args(&[b"SET", b"", b"value"], |args| {
            assert_eq!(args.len(), 3);
            assert!(args.is(0, "set") && args.is(1, "") && !args.is(2, "val"));
            assert_eq!(args.get(3), b"", "there is none");
            assert_eq!(args.from(1).collect::<Vec<_>>(), [&b""[..], b"value"]);
            assert_eq!(args.keep(2), "value");
        });
    }

    #[test]
    fn only_large_words_share_their_frame() {
        let frame = Bytes::from(vec![b'x'; SHARED_BYTES_MIN + 8]);
        let spans = [(0, 8), (8, SHARED_BYTES_MIN + 8)];
        let args = Args::new(Frame::Shared(&frame), &spans);
        let start = frame.as_ptr();
        assert_ne!(args.keep(0).as_ptr(), start);
        assert_eq!(args.keep(1).as_ptr(), start.wrapping_add(8));
    }
}
