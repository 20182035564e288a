//! The Redis protocol: commands in a stream that is cut anywhere, and what they come to.

use bytes::{Bytes, BytesMut};
use cached::clock::WallMs;
use cached::frontend::resp::args::{Args, Frame, Span};
use cached::frontend::resp::decode::{DecodeLimits, Decoded, Decoder, ProtocolError};
use cached::frontend::resp::plan::{Context, Plan};
use cached::frontend::resp::reply::{Reply, RespVersion};
use cached::frontend::resp::table::{Handler, ParseData, command_of, command_of_words};
use cached::store::{Executed, GroupId, GroupSettings, Store, StoreConfig};
use cached_proto::operation::{self, Operation};
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::{Epoch, GroupName, Slot};

/// Words are short, so that what is too long is met; commands are as long as an inline
/// one may be, which is not asked how long it is before it ends.
const LIMITS: DecodeLimits = DecodeLimits {
    word_bytes_max: 1_000,
    command_bytes_max: 66_000,
};

/// Longest value, so that ranges and appends soon reach it.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Room for a few dozen of the longest values.
const MEMORY_BYTES: u64 = 1 << 20;

type Words = Vec<Vec<u8>>;

/// The first byte says who sends and the next three where the rest is cut; it has to
/// come to the same commands, whole, cut, and byte by byte.
pub(crate) fn stream(bytes: &[u8]) {
    let [mode, cuts @ ..] = bytes else { return };
    let Some((cuts, rest)) = cuts.split_at_checked(3) else {
        return;
    };
    let is_stranger = mode & 1 != 0;
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| rest.len() * usize::from(*cut) / 256)
        .collect();
    cuts.extend([0, rest.len()]);
    cuts.sort_unstable();
    let pieces = cuts.windows(2).map(|cut| &rest[cut[0]..cut[1]]);
    let whole = read([rest].into_iter(), is_stranger);
    let words = whole.0.iter().flatten();
    assert!(
        words.map(Vec::len).sum::<usize>() <= rest.len(),
        "more than was sent"
    );
    assert_eq!(read(pieces, is_stranger), whole, "cut at {cuts:?}");
    if mode & 2 != 0 {
        assert_eq!(read(rest.chunks(1), is_stranger), whole, "byte by byte");
    }
}

/// Feeds pieces as a connection does; answers the commands, and the error at the end.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    is_stranger: bool,
) -> (Vec<Words>, Option<String>) {
    let mut decoder = Decoder::new(LIMITS);
    let (mut buffer, mut commands) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let taken = match decoder.decode(&buffer, is_stranger) {
                Err(ProtocolError(text)) => return (commands, Some(text)),
                Ok(Decoded::Partial) => break,
                Ok(Decoded::Blank(taken)) => taken,
                Ok(Decoded::Command(taken)) => {
                    commands.push(words(&buffer[..taken], decoder.spans()));
                    taken
                }
                Ok(Decoded::Inline(taken)) => {
                    commands.push(words(decoder.inline(), decoder.spans()));
                    taken
                }
            };
            assert!(taken > 0, "it would never end");
            drop(buffer.split_to(taken));
        }
    }
    (commands, None)
}

fn words(frame: &[u8], spans: &[Span]) -> Words {
    let word = |&(start, end): &Span| frame[start..end].to_vec();
    spans.iter().map(word).collect()
}

/// Commands on keys are carried out by a store, as a node does that owns every slot.
/// Every command gets one reply that a client can read, and the store keeps its bound.
pub(crate) fn commands(bytes: &[u8]) {
    let (commands, _) = read([bytes].into_iter(), false);
    let Some(mut node) = Node::new() else { return };
    for words in commands {
        node.answer(&words);
        let used = node.store.used_bytes();
        assert!(used <= MEMORY_BYTES, "{used} bytes of {MEMORY_BYTES}");
    }
}

struct Node {
    store: Store,
    group: GroupId,
    slot: Slot,
    /// Commands so far: each comes a second after the one before.
    commands: u64,
}

impl Node {
    fn new() -> Option<Self> {
        let store = Store::new(StoreConfig {
            shards: 1,
            memory_bytes: MEMORY_BYTES,
        });
        let slot = Slot::new(0).ok()?;
        store.open_slot(slot, Epoch(1));
        let name = GroupName::new("g").ok()?;
        Some(Self {
            group: store.set_group(&name, GroupSettings::default()),
            store,
            slot,
            commands: 0,
        })
    }

    fn now(&self) -> WallMs {
        WallMs(1_700_000_000_000 + self.commands * 1000)
    }

    fn answer(&mut self, words: &Words) {
        self.commands += 1;
        let shown: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let _ = command_of_words(&shown);
        let frame = Bytes::from(words.concat());
        let mut start = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                let span = (start, start + word.len());
                start = span.1;
                span
            })
            .collect();
        let args = Args::new(Frame::Shared(&frame), &spans);
        let spec = match command_of(&args) {
            Ok(spec) => spec,
            Err(error) => return check(&Reply::Error(error)),
        };
        let mut keys = spec.keys(args.len());
        assert!(
            keys.all(|key| key < args.len()),
            "{} has no such key",
            spec.name
        );
        match spec.handler {
            Handler::Data(parse) | Handler::Get(parse) | Handler::Set(parse) => {
                self.carry_out(parse, &args);
            }
            // They need a connection, or a cluster.
            _ => {}
        }
    }

    fn carry_out(&self, parse: ParseData, args: &Args<'_>) {
        let version = match self.commands % 2 {
            0 => RespVersion::V2,
            _ => RespVersion::V3,
        };
        let context = Context {
            wall_ms: self.now().0,
            hash: KeyHash::Crc16,
            value_bytes_max: VALUE_BYTES_MAX,
            version,
        };
        match parse(args, &context) {
            Err(error) => check(&Reply::Error(error)),
            Ok(Plan::Answer(reply)) => check(&reply),
            Ok(Plan::Run { operations, then }) => {
                assert!(!operations.is_empty(), "nothing to do is an answer");
                let replies: Option<Vec<_>> = operations
                    .iter()
                    .map(|operation| self.execute(operation))
                    .collect();
                if let Some(replies) = replies {
                    check(&then(replies));
                }
            }
        }
    }

    /// `None`: it was refused.
    fn execute(&self, operation: &Operation) -> Option<operation::Reply> {
        if let Operation::Update { key, update } = operation {
            let (slot, group) = (self.slot, self.group);
            let updated = self
                .store
                .update(slot, group, key, update, VALUE_BYTES_MAX, self.now());
            return updated.ok().map(operation::Reply::Update);
        }
        match self
            .store
            .execute(self.slot, self.group, operation, self.now())
        {
            Ok(Executed::Reply(reply)) => Some(reply),
            Ok(Executed::KnownAbsent) | Err(_) => None,
        }
    }
}

/// A reply is spelled so that a client finds its end.
fn check(reply: &Reply) {
    for version in [RespVersion::V2, RespVersion::V3] {
        let mut out = BytesMut::new();
        reply.encode(version, &mut out);
        assert_eq!(after_value(&out), Some(&[][..]), "{reply:?}");
    }
}

/// What follows the value that bytes begin with.
fn after_value(bytes: &[u8]) -> Option<&[u8]> {
    let (kind, rest) = bytes.split_first()?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = (&rest[..end], &rest[end + 2..]);
    if line.contains(&b'\n') || line.contains(&b'\r') {
        return None;
    }
    let number: Option<i64> = std::str::from_utf8(line).ok()?.parse().ok();
    match kind {
        b'+' | b'-' | b',' | b'_' | b'#' => Some(rest),
        b':' => number.map(|_| rest),
        b'$' | b'=' => match usize::try_from(number?) {
            Err(_) => Some(rest),
            Ok(length) => rest.get(length..)?.strip_prefix(b"\r\n"),
        },
        b'*' | b'~' | b'%' => {
            let each = if *kind == b'%' { 2 } else { 1 };
            let elements = number?.max(0) * each;
            (0..elements).try_fold(rest, |rest, _| after_value(rest))
        }
        _ => None,
    }
}
