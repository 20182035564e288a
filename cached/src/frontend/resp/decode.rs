//! Finds commands in a stream of bytes, however it is cut into pieces. Pure: it copies
//! nothing but inline commands, and remembers how far it has looked.

use super::args::Span;

/// Most words of a command: the keys and values of one large `MSET`.
const WORDS_MAX: usize = 128 * 1024;

/// Longest inline command in bytes, as Redis has it.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Most words, and longest word, of one who has not said who he is: as Redis has it,
/// so that strangers cannot make a node keep much.
const STRANGERS_WORDS_MAX: usize = 10;
const STRANGERS_WORD_BYTES_MAX: usize = 16 * 1024;

/// Spans that are kept room for: more only after a command that had more.
const SPANS_KEPT: usize = 1024;

/// What one connection may send.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Longest word in bytes.
    pub word_bytes_max: usize,
    /// Longest command in bytes.
    pub command_bytes_max: usize,
}

/// What the bytes from the start of a command on are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A beginning: read more, and call again with all of it.
    Partial,
    /// So many bytes that mean nothing: an empty line.
    Blank(usize),
    /// So many bytes are a command; its words are in [`Decoder::spans`].
    Command(usize),
    /// The same, with the words in [`Decoder::inline`].
    Inline(usize),
}

/// What is sent is no command, and nobody knows where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub String);

impl ProtocolError {
    fn new(problem: &str) -> Self {
        Self(format!("ERR Protocol error: {problem}"))
    }
}

/// Looks for the end of a command.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    spans: Vec<Span>,
    inline: Vec<u8>,
    /// How far it has looked, from the start of the command.
    seen: usize,
    /// Words still to come; `None` before it is known how many.
    left: Option<usize>,
}

/// A number and where what follows it begins.
type Number = (i64, usize);

impl Decoder {
    /// At the start of a command.
    pub fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            spans: Vec::new(),
            inline: Vec::new(),
            seen: 0,
            left: None,
        }
    }

    /// Forgets what it has looked at: the next bytes are the start of a command again.
    pub fn restart(&mut self) {
        (self.seen, self.left) = (0, None);
    }

    /// Where the words of the command stand that was found last.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The words of the inline command that was found last, one behind the other.
    pub fn inline(&self) -> &[u8] {
        &self.inline
    }

    /// Looks at `bytes`, which begin where the command does. After anything but
    /// [`Decoded::Partial`] the next call is about the next command. `stranger`: the
    /// connection has not said who it is, and has to.
    pub fn decode(&mut self, bytes: &[u8], stranger: bool) -> Result<Decoded, ProtocolError> {
        let decoded = match bytes.first() {
            None => return Ok(Decoded::Partial),
            Some(b'*') => self.multibulk(bytes, stranger)?,
            Some(_) => self.inline_command(bytes)?,
        };
        if decoded == Decoded::Partial {
            if bytes.len() > self.limits.command_bytes_max {
                return Err(self.too_long());
            }
        } else {
            self.restart();
        }
        Ok(decoded)
    }

    fn too_long(&self) -> ProtocolError {
        let limit = self.limits.command_bytes_max;
        ProtocolError::new(&format!("a command is longer than {limit} bytes"))
    }

    fn multibulk(&mut self, bytes: &[u8], stranger: bool) -> Result<Decoded, ProtocolError> {
        let mut left = match self.left {
            Some(left) => left,
            None => {
                let invalid = || ProtocolError::new("invalid multibulk length");
                let Some((words, next)) = number(bytes, 1).map_err(|()| invalid())? else {
                    return Ok(Decoded::Partial);
                };
                let Some(words) = usize::try_from(words).ok().filter(|words| *words > 0) else {
                    return Ok(Decoded::Blank(next));
                };
                if stranger && words > STRANGERS_WORDS_MAX {
                    return Err(ProtocolError::new("unauthenticated multibulk length"));
                }
                if words > WORDS_MAX {
                    return Err(invalid());
                }
                self.spans.clear();
                self.spans.shrink_to(SPANS_KEPT);
                self.seen = next;
                words
            }
        };
        while left > 0 {
            self.left = Some(left);
            if !self.word(bytes, stranger)? {
                return Ok(Decoded::Partial);
            }
            left -= 1;
        }
        Ok(Decoded::Command(self.seen))
    }

    /// Takes one word in, if it is there whole.
    fn word(&mut self, bytes: &[u8], stranger: bool) -> Result<bool, ProtocolError> {
        let Some(first) = bytes.get(self.seen) else {
            return Ok(false);
        };
        if *first != b'$' {
            let got = first.escape_ascii();
            return Err(ProtocolError::new(&format!("expected '$', got '{got}'")));
        }
        let invalid = || ProtocolError::new("invalid bulk length");
        let Some((length, start)) = number(bytes, self.seen + 1).map_err(|()| invalid())? else {
            return Ok(false);
        };
        let length = usize::try_from(length).map_err(|_| invalid())?;
        if stranger && length > STRANGERS_WORD_BYTES_MAX {
            return Err(ProtocolError::new("unauthenticated bulk length"));
        }
        if length > self.limits.word_bytes_max {
            return Err(invalid());
        }
        let end = start + length;
        if end + 2 > self.limits.command_bytes_max {
            return Err(self.too_long());
        }
        let Some(after) = bytes.get(end..end + 2) else {
            return Ok(false);
        };
        if after != b"\r\n" {
            return Err(ProtocolError::new("a word is longer than its length"));
        }
        self.spans.push((start, end));
        self.seen = end + 2;
        Ok(true)
    }

    fn inline_command(&mut self, bytes: &[u8]) -> Result<Decoded, ProtocolError> {
        let from = self.seen.min(bytes.len());
        let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\n') else {
            if bytes.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::new("too big inline request"));
            }
            self.seen = bytes.len();
            return Ok(Decoded::Partial);
        };
        let end = from + found;
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::new("too big inline request"));
        }
        let line = &bytes[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // As in Redis, what follows a zero byte is not looked at.
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        self.spans.clear();
        self.inline.clear();
        split_words(line, &mut self.inline, &mut self.spans)
            .map_err(|()| ProtocolError::new("unbalanced quotes in request"))?;
        if self.spans.is_empty() {
            return Ok(Decoded::Blank(end + 1));
        }
        Ok(Decoded::Inline(end + 1))
    }
}

/// The number that begins at `from` and ends with CR LF; `None`: its end has not come.
fn number(bytes: &[u8], from: usize) -> Result<Option<Number>, ()> {
    /// Digits of the longest number that is lawful anywhere, and then some.
    const DIGITS_MAX: usize = 18;
    let negative = bytes.get(from) == Some(&b'-');
    let start = from + usize::from(negative);
    let mut value: i64 = 0;
    for (index, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' if index - start < DIGITS_MAX => {
                value = value * 10 + i64::from(byte - b'0');
            }
            b'\r' if index > start => {
                return match bytes.get(index + 1) {
                    None => Ok(None),
                    Some(b'\n') if negative => Ok(Some((-value, index + 2))),
                    Some(b'\n') => Ok(Some((value, index + 2))),
                    Some(_) => Err(()),
                };
            }
            _ => return Err(()),
        }
    }
    Ok(None)
}

/// Words between blanks; `"…"` with escapes and `'…'` hold blanks, as in Redis.
fn split_words(line: &[u8], words: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), ()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        let start = words.len();
        rest = match rest.split_first() {
            Some((b'"', inside)) => double_quoted(inside, words)?,
            Some((b'\'', inside)) => single_quoted(inside, words)?,
            _ => bare(rest, words)?,
        };
        spans.push((start, words.len()));
    }
}

/// A word up to the next blank; a quote in it begins a quoted part.
fn bare<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ()> {
    while let Some((byte, after)) = rest.split_first() {
        match byte {
            b'"' => return double_quoted(after, words),
            b'\'' => return single_quoted(after, words),
            byte if byte.is_ascii_whitespace() => break,
            byte => words.push(*byte),
        }
        rest = after;
    }
    Ok(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ()> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return at_blank(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                words.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                words.push(*byte);
                after
            }
            [] => return Err(()),
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ()> {
    loop {
        rest = match rest {
            [b'\'', after @ ..] => return at_blank(after),
            [b'\\', b'\'', after @ ..] => {
                words.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                words.push(*byte);
                after
            }
            [] => return Err(()),
        };
    }
}

/// What follows a closing quote must be a blank, or nothing.
fn at_blank(rest: &[u8]) -> Result<&[u8], ()> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(()),
        _ => Ok(rest),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests;
