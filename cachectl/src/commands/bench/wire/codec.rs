//! The client's half of the Redis protocol, as far as a load needs it. Pure.

use bytes::{Buf, BufMut, BytesMut};

use crate::commands::bench::record::Failed;

/// Longest line in bytes: status, error or number.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest value in bytes.
const BULK_BYTES_MAX: usize = 512 << 20;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A status.
    Simple,
    /// An error, as it was said.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value, which is skipped.
    Bulk,
    /// No value.
    Null,
}

/// Spells a command.
pub(super) fn command(into: &mut BytesMut, words: &[&[u8]]) {
    into.put_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        into.put_slice(format!("${}\r\n", word.len()).as_bytes());
        into.put_slice(word);
        into.put_slice(b"\r\n");
    }
}

/// Reads replies from whatever pieces they come in.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Bytes of a value, with its end of line, that are still to be skipped.
    skip: usize,
}

impl Decoder {
    /// Takes the next reply from the front of `bytes`; `None`: it is not complete. Fails
    /// for what is no reply, after which the connection is of no use.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Reply>, Failed> {
        if self.skip > 0 {
            return Ok(self.skipped(bytes));
        }
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return match bytes.len() > LINE_BYTES_MAX {
                true => Err(broken("a line without an end")),
                false => Ok(None),
            };
        };
        let line = bytes.split_to(end);
        bytes.advance(2);
        let (first, rest) = line.split_first().ok_or_else(|| broken("an empty line"))?;
        let rest = String::from_utf8_lossy(rest).into_owned();
        match first {
            b'+' => Ok(Some(Reply::Simple)),
            b'-' => Ok(Some(Reply::Error(rest))),
            b'_' => Ok(Some(Reply::Null)),
            b':' => match rest.parse() {
                Ok(number) => Ok(Some(Reply::Integer(number))),
                Err(_) => Err(broken("a number that is none")),
            },
            b'$' if rest == "-1" => Ok(Some(Reply::Null)),
            b'$' => match rest.parse::<usize>() {
                Ok(length) if length <= BULK_BYTES_MAX => {
                    self.skip = length + 2;
                    Ok(self.skipped(bytes))
                }
                _ => Err(broken("a value of an impossible length")),
            },
            _ => Err(broken("a reply of an unknown kind")),
        }
    }

    fn skipped(&mut self, bytes: &mut BytesMut) -> Option<Reply> {
        let there = self.skip.min(bytes.len());
        bytes.advance(there);
        self.skip -= there;
        (self.skip == 0).then_some(Reply::Bulk)
    }
}

fn broken(what: &str) -> Failed {
    Failed::new("protocol", format!("the server sent {what}"))
}

/// Whether the key was found, where a reply tells it, or why the command failed.
pub(super) fn outcome(reply: Reply) -> Result<Option<bool>, Failed> {
    match reply {
        Reply::Simple => Ok(None),
        Reply::Bulk => Ok(Some(true)),
        Reply::Null => Ok(Some(false)),
        Reply::Integer(number) => Ok(Some(number > 0)),
        Reply::Error(text) => {
            // The first word is what programs look at: MOVED, OOM, ERR.
            let kind = text.split(' ').next().unwrap_or_default().to_owned();
            Err(Failed::new(kind, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &[u8] = b"+OK\r\n$5\r\nab\r\nc\r\n$-1\r\n:3\r\n-MOVED 5 a:1\r\n$0\r\n\r\n_\r\n";

    fn all(pieces: &[&[u8]]) -> Vec<Reply> {
        let (mut decoder, mut buffer, mut replies) =
            (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(reply) = decoder.next(&mut buffer).unwrap() {
                replies.push(reply);
            }
        }
        replies
    }

    fn expected() -> Vec<Reply> {
        vec![
            Reply::Simple,
            Reply::Bulk,
            Reply::Null,
            Reply::Integer(3),
            Reply::Error("MOVED 5 a:1".to_owned()),
            Reply::Bulk,
            Reply::Null,
        ]
    }

    #[test]
    fn commands_are_spelled() {
        let mut bytes = BytesMut::new();
        command(&mut bytes, &[b"GET", b"a\r\n"]);
        assert_eq!(&bytes[..], b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }

    #[test]
    fn replies_say_what_became_of_a_command() {
        assert_eq!(outcome(Reply::Integer(0)), Ok(Some(false)));
        let failed = outcome(Reply::Error("OOM command not allowed".to_owned())).unwrap_err();
        assert_eq!(failed.kind, "OOM");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_replies(first in 0..STREAM.len(), second in 0..STREAM.len()) {
            let (first, second) = (first.min(second), first.max(second));
            let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
            prop_assert_eq!(all(&pieces), expected());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = decoder.next(&mut buffer) {}
        }
    }
}
