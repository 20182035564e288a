//! Random commands on a few keys, lawful and not, whose replies Redis and `cached` must
//! agree on. Times lie far in the future or in the past, and no two are alike, so that
//! it does not matter that two servers carry a command out a moment apart.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::Words;

/// How replies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exactly,
    /// Numbers that may differ by so much, because a clock was read.
    Within(i64),
}

/// A command, and how its replies are compared.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its words.
    pub words: Words,
    /// How its replies are compared.
    pub compare: Compare,
}

/// Keys of one slot, which `MSETNX` may take together.
const TAGGED: [&str; 4] = ["{t}a", "{t}b", "{t}c", "{t}d"];

/// Keys of other slots.
const UNTAGGED: [&str; 3] = ["x", "y", "key:3"];

const VALUES: [&[u8]; 20] = [
    b"",
    b"0",
    b"10",
    b"-5",
    b"3.0",
    b"-0.0",
    b"1e3",
    b"0.1",
    b" 12",
    b"012",
    b"+1",
    b"nan",
    b"inf",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"hello",
    b"with\r\nline\0and \xff",
    b"forty-four bytes long, no more, or it is raw",
    b"forty-five bytes long, and so it is a raw one",
];

const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "7",
    "-100",
    "5000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "",
    "abc",
    "1.5",
    "+3",
    " 4",
    "4 ",
    "007",
];

const FLOATS: [&str; 18] = [
    "0.1", "0.2", "-0.3", "1", "-1", "3.0e3", "5e-18", "1e-17", "1e17", "1e300", "-1e4900", "inf",
    "-inf", "nan", "", "abc", "0x1p-3", "1.",
];

/// Times that are refused, or lie in the past.
const BAD_TIMES: [&str; 7] = [
    "0",
    "-1",
    "-9223372036854775808",
    "-9223372036854775",
    "abc",
    "",
    "1.5",
];

/// The same for times in seconds; in milliseconds they are lawful.
const HUGE_TIMES: [&str; 2] = ["9223372036854775807", "9223372036854776"];

/// Makes commands from a seed.
#[derive(Debug)]
pub struct Commands {
    rng: StdRng,
    /// Unix time in milliseconds when they are carried out, about.
    wall_ms: u64,
    /// Every time is another number of thousands of seconds.
    times: Vec<u64>,
}

impl Commands {
    /// The commands of a seed. More than a hundred thousand repeat times.
    pub fn new(seed: u64, wall_ms: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut times: Vec<u64> = (1..=100_000).collect();
        times.shuffle(&mut rng);
        Self {
            rng,
            wall_ms,
            times,
        }
    }

    /// Some commands that belong together.
    pub fn more(&mut self) -> Vec<Asked> {
        let mut some = match self.rng.random_range(0..100) {
            0..30 => self.whole_values(),
            30..45 => self.edits(),
            45..70 => self.times(),
            70..85 => self.many(),
            _ => self.looks(),
        };
        if self.rng.random_bool(0.08)
            && let [only] = &mut some[..]
        {
            self.spoil(&mut only.words);
        }
        some
    }

    /// Leaves words out at the end, or adds one.
    fn spoil(&mut self, words: &mut Words) {
        if self.rng.random() {
            let extra = ["nx", "GET", "x", "EX", "100", "KEEPTTL"];
            words.push(self.pick(&extra).as_bytes().to_vec());
        } else {
            words.truncate(self.rng.random_range(1..=words.len()));
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.rng).expect("never empty")
    }

    fn key(&mut self) -> Vec<u8> {
        let keys = [&TAGGED[..], &UNTAGGED[..]].concat();
        self.pick(&keys).as_bytes().to_vec()
    }

    fn value(&mut self) -> Vec<u8> {
        self.pick(&VALUES).to_vec()
    }

    fn word(&mut self, from: &[&str]) -> Vec<u8> {
        let word = self.pick(from);
        let word = if self.rng.random() {
            word.to_owned()
        } else {
            word.to_ascii_uppercase()
        };
        word.into_bytes()
    }

    /// A time in the unit of a command or option, mostly a lawful one.
    fn time(&mut self, name: &[u8]) -> Vec<u8> {
        let name = name.to_ascii_lowercase();
        let milliseconds = name.starts_with(b"p");
        if self.rng.random_bool(0.15) {
            return self.pick(&BAD_TIMES).as_bytes().to_vec();
        }
        if !milliseconds && self.rng.random_bool(0.03) {
            return self.pick(&HUGE_TIMES).as_bytes().to_vec();
        }
        let seconds = self.times.pop().unwrap_or(1) * 1000;
        let from = if name.ends_with(b"at") {
            self.wall_ms / 1000
        } else {
            0
        };
        let unit = if milliseconds { 1000 } else { 1 };
        ((from + seconds) * unit).to_string().into_bytes()
    }

    fn whole_values(&mut self) -> Vec<Asked> {
        let (key, value) = (self.key(), self.value());
        let name = self.word(&[
            "get", "get", "set", "set", "set", "setnx", "setex", "psetex", "getset", "getdel",
            "getex",
        ]);
        let lower = name.to_ascii_lowercase();
        let mut words = vec![name.clone(), key];
        match &lower[..] {
            b"get" | b"getdel" => {}
            b"setnx" | b"getset" => words.push(value),
            b"setex" | b"psetex" => {
                words.push(self.time(&name));
                words.push(value);
            }
            b"getex" => self.options(&mut words, &["persist", "ex", "px", "exat", "pxat"]),
            _ => {
                words.push(value);
                let options = ["nx", "xx", "get", "keepttl", "ex", "px", "exat", "pxat"];
                self.options(&mut words, &options);
            }
        }
        vec![exactly(words)]
    }

    fn options(&mut self, words: &mut Words, from: &[&str]) {
        for _ in 0..self.pick(&[0, 0, 1, 1, 1, 2, 2, 3]) {
            let option = self.word(from);
            let timed = matches!(option[0] | 0x20, b'e' | b'p') && option.len() < 5;
            let time = self.time(&option);
            words.push(option);
            if timed {
                words.push(time);
            }
        }
    }

    fn edits(&mut self) -> Vec<Asked> {
        let key = self.key();
        let name = self.word(&[
            "append",
            "setrange",
            "incr",
            "decr",
            "incrby",
            "decrby",
            "incrbyfloat",
        ]);
        let lower = name.to_ascii_lowercase();
        let mut words = vec![name, key];
        match &lower[..] {
            b"append" => words.push(self.value()),
            b"setrange" => {
                let offsets = ["0", "1", "5", "40", "-1", "536870912", "x", ""];
                words.push(self.word(&offsets));
                words.push(self.value());
            }
            b"incrby" | b"decrby" => words.push(self.pick(&NUMBERS).as_bytes().to_vec()),
            b"incrbyfloat" => words.push(self.pick(&FLOATS).as_bytes().to_vec()),
            _ => {}
        }
        vec![exactly(words)]
    }

    fn times(&mut self) -> Vec<Asked> {
        let key = self.key();
        let name = self.word(&[
            "expire",
            "pexpire",
            "expireat",
            "pexpireat",
            "persist",
            "ttl",
            "pttl",
            "expiretime",
            "pexpiretime",
        ]);
        let lower = name.to_ascii_lowercase();
        let compare = match &lower[..] {
            b"ttl" | b"expiretime" => Compare::Within(10),
            b"pttl" | b"pexpiretime" => Compare::Within(10_000),
            _ => Compare::Exactly,
        };
        let mut words = vec![name.clone(), key];
        if lower.starts_with(b"expire") || lower.starts_with(b"pexpire") {
            if lower.ends_with(b"time") {
                return vec![Asked { words, compare }];
            }
            words.push(self.time(&name));
            for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2]) {
                words.push(self.word(&["nx", "xx", "gt", "lt", "gt", "lt", "foo"]));
            }
        }
        vec![Asked { words, compare }]
    }

    fn many(&mut self) -> Vec<Asked> {
        let name = self.word(&[
            "mget", "mset", "msetnx", "del", "unlink", "exists", "touch", "msetnx",
        ]);
        let pairs = name.to_ascii_lowercase().starts_with(b"mset");
        let one_slot = name.eq_ignore_ascii_case(b"msetnx");
        let mut words = vec![name];
        for _ in 0..self.rng.random_range(1..=4) {
            words.push(if one_slot {
                self.pick(&TAGGED).as_bytes().to_vec()
            } else {
                self.key()
            });
            if pairs {
                words.push(self.value());
            }
        }
        vec![exactly(words)]
    }

    fn looks(&mut self) -> Vec<Asked> {
        let key = self.key();
        let line = |line: &str, key: Vec<u8>| {
            let words = line.split(' ').map(|word| word.as_bytes().to_vec());
            words
                .map(|word| if word == b"K" { key.clone() } else { word })
                .collect::<Words>()
        };
        match self.rng.random_range(0..8) {
            0 => vec![exactly(line("strlen K", key))],
            1 => vec![exactly(line("TYPE K", key))],
            2 | 3 => {
                let mut words = vec![self.word(&["getrange", "substr"]), key];
                for _ in 0..2 {
                    words.push(self.pick(&NUMBERS).as_bytes().to_vec());
                }
                vec![exactly(words)]
            }
            4 => {
                // Redis tells how the value came to be; told from the value alone it is
                // the same only for one that was just set.
                let set = vec![b"set".to_vec(), key.clone(), self.value()];
                vec![exactly(set), exactly(line("object ENCODING K", key))]
            }
            5 => vec![Asked {
                words: line("object idletime K", key),
                compare: Compare::Within(10),
            }],
            _ => {
                let lines = [
                    "object freq K",
                    "object encoding nosuchkey",
                    "OBJECT refcount nosuchkey",
                    "object idletime nosuchkey",
                    "object help",
                    "object nosuch K",
                    "object",
                    "object encoding",
                    "memory usage nosuchkey",
                    "memory usage nosuchkey samples 5",
                    "memory usage nosuchkey samples -1",
                    "memory usage nosuchkey samples",
                    "memory usage nosuchkey nosuch 1",
                    "memory usage nosuchkey samples x",
                    "memory nosuch",
                    "nosuchcommand K 1",
                    "getex K EX",
                    "mget K nosuchkey K",
                ];
                let chosen = self.pick(&lines);
                vec![exactly(line(chosen, key))]
            }
        }
    }
}

fn exactly(words: Words) -> Asked {
    Asked {
        words,
        compare: Compare::Exactly,
    }
}

/// Whether replies agree.
pub fn agree(redis: &[u8], ours: &[u8], compare: Compare) -> bool {
    if redis == ours {
        return true;
    }
    let Compare::Within(tolerance) = compare else {
        return false;
    };
    let number = |reply: &[u8]| {
        let text = std::str::from_utf8(reply).ok()?;
        text.strip_prefix(':')?.trim_end().parse::<i64>().ok()
    };
    match (number(redis), number(ours)) {
        // What is negative says that there is no time.
        (Some(a), Some(b)) => a >= 0 && b >= 0 && (a - b).abs() <= tolerance,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        let words = |seed| {
            let mut commands = Commands::new(seed, 1_700_000_000_000);
            let some = (0..200).flat_map(|_| commands.more());
            some.map(|asked| asked.words).collect::<Vec<_>>()
        };
        assert_eq!(words(1), words(1));
        assert_ne!(words(1), words(2));
    }

    #[test]
    fn only_numbers_that_tell_a_time_may_differ() {
        let within = Compare::Within(10);
        assert!(agree(b":100\r\n", b":95\r\n", within));
        assert!(!agree(b":100\r\n", b":89\r\n", within));
        assert!(!agree(b":-1\r\n", b":1\r\n", within));
        assert!(!agree(b":100\r\n", b":99\r\n", Compare::Exactly));
        assert!(!agree(b"$-1\r\n", b"_\r\n", within));
    }
}
