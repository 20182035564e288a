//! Commands are found wherever the bytes are cut, and nothing that is sent harms.

use proptest::prelude::*;

use super::*;

const LIMITS: DecodeLimits = DecodeLimits {
    word_bytes_max: 1_000,
    command_bytes_max: 4_000,
};

type Words = Vec<Vec<u8>>;

/// Feeds pieces as a connection does; answers the commands, and the error at the end.
fn feed(pieces: &[&[u8]], stranger: bool) -> (Vec<Words>, Option<String>) {
    let mut decoder = Decoder::new(LIMITS);
    let (mut buffer, mut commands) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let length = match decoder.decode(&buffer, stranger) {
                Err(ProtocolError(text)) => return (commands, Some(text)),
                Ok(Decoded::Partial) => break,
                Ok(Decoded::Blank(length)) => length,
                Ok(Decoded::Command(length)) => {
                    commands.push(words(&buffer, decoder.spans()));
                    length
                }
                Ok(Decoded::Inline(length)) => {
                    commands.push(words(decoder.inline(), decoder.spans()));
                    length
                }
            };
            buffer.drain(..length);
        }
    }
    (commands, None)
}

fn words(frame: &[u8], spans: &[Span]) -> Words {
    let word = |&(start, end): &Span| frame[start..end].to_vec();
    spans.iter().map(word).collect()
}

fn spell(command: &Words) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[test]
fn commands_are_told_apart() {
    let cases: [(&[u8], &[&[&str]]); 9] = [
        (b"*1\r\n$4\r\nPING\r\n", &[&["PING"]]),
        (b"*0\r\n*-1\r\n\r\n\n*1\r\n$0\r\n\r\n", &[&[""]]),
        (b"PING\r\nping\n", &[&["PING"], &["ping"]]),
        (b" set  a b \r\n", &[&["set", "a", "b"]]),
        (
            b"set \"a b\" 'c d'\r\n*1\r\n$1\r\nx\r\n",
            &[&["set", "a b", "c d"], &["x"]],
        ),
        (
            b"x \"\\x41\\n\\\"\" 'it\\'s' \"\"\r\n",
            &[&["x", "A\n\"", "it's", ""]],
        ),
        (b"*2\r\n$3\r\nGET\r\n", &[]),
        (b"PING", &[]),
        (b"a b\0c d\r\n\0\r\nx\n", &[&["a", "b"], &["x"]]),
    ];
    for (bytes, expected) in cases {
        let (commands, error) = feed(&[bytes], false);
        let shown = bytes.escape_ascii();
        assert_eq!(error, None, "{shown}");
        let expected: Vec<Words> = expected
            .iter()
            .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
            .collect();
        assert_eq!(commands, expected, "{shown}");
    }
}

#[test]
fn what_is_no_command_is_refused_in_rediss_words() {
    let long = vec![b'x'; INLINE_BYTES_MAX + 1];
    let many = b"*1\r\n$1001\r\n";
    let wide: Vec<u8> = [
        b"*6\r\n".to_vec(),
        [b"$900\r\n".to_vec(), vec![b'x'; 900], b"\r\n".to_vec()]
            .concat()
            .repeat(5),
    ]
    .concat();
    let cases: [(&[u8], &str); 14] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*131073\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\rx", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n\r\n", "expected '$', got '\\r'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870912\r\n", "invalid bulk length"),
        (many, "invalid bulk length"),
        (b"*1\r\n$1\r\nxyz", "a word is longer than its length"),
        (b"x \"y\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
        (&wide, "a command is longer than 4000 bytes"),
    ];
    for (bytes, expected) in cases {
        let (_, error) = feed(&[bytes], false);
        let expected = format!("ERR Protocol error: {expected}");
        assert_eq!(
            error,
            Some(expected),
            "{:.40}",
            bytes.escape_ascii().to_string()
        );
    }
}

#[test]
fn strangers_may_send_little() {
    let cases: [(&[u8], Option<&str>); 3] = [
        (b"*11\r\n", Some("unauthenticated multibulk length")),
        (b"*1\r\n$16385\r\n", Some("unauthenticated bulk length")),
        (b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", None),
    ];
    for (bytes, expected) in cases {
        let expected = expected.map(|text| format!("ERR Protocol error: {text}"));
        assert_eq!(feed(&[bytes], true).1, expected);
    }
}

#[test]
fn room_for_many_words_is_given_back() {
    let mut decoder = Decoder::new(LIMITS);
    let many = spell(&vec![vec![]; 600]);
    let few = spell(&vec![b"x".to_vec()]);
    decoder.decode(&many, false).unwrap();
    decoder.decode(&few, false).unwrap();
    assert!(decoder.spans.capacity() <= SPANS_KEPT);
}

fn command() -> impl Strategy<Value = Words> {
    let word = proptest::collection::vec(any::<u8>(), 0..40);
    proptest::collection::vec(word, 1..6)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_commands(
        commands in proptest::collection::vec(command(), 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = commands.iter().flat_map(spell).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(feed(&pieces, false), (commands, None));
    }

    #[test]
    fn no_bytes_do_harm(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..30),
                "[*$]-?[0-9]{0,4}\r?\n?".prop_map(String::into_bytes),
                "[\"' a\\\\x\r\n]{0,20}".prop_map(String::into_bytes),
            ],
            0..12,
        ),
        stranger: bool,
    ) {
        let whole = pieces.concat();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (commands, error) = feed(&pieces, stranger);
        let (again, same) = feed(&[&whole], stranger);
        prop_assert_eq!(error, same);
        prop_assert_eq!(commands, again);
    }
}
