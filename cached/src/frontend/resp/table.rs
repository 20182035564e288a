//! Every command: how it is written, what it needs, and what carries it out.

use std::sync::LazyLock;

use futures_util::future::BoxFuture;

use super::args::Args;
use super::errors::ErrorReply;
use super::plan::{Context, Plan};
use super::reply::Reply;
use super::session::Session;
use super::{commands, data};

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// In small letters; of a subcommand the second word alone.
    pub name: &'static str,
    /// Words with the name; negative: at least so many. As Redis counts: of a
    /// subcommand, with both names.
    pub arity: i16,
    /// What it is like.
    pub flags: Flags,
    /// Where the first key stands; 0: none.
    pub first_key: u8,
    /// Where the last key stands; negative: counted from the end.
    pub last_key: i8,
    /// From key to key.
    pub step: u8,
    /// `string`, `generic`, `connection`, `server` or `cluster`.
    pub group: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The version of Redis that has had it first.
    pub since: &'static str,
    /// What carries it out.
    pub handler: Handler,
}

/// What a command is like: bits that may be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Changes keys: needs the role to write.
    pub const WRITE: Self = Self(1);
    /// Reads keys: needs the role to read.
    pub const READONLY: Self = Self(2);
    /// May need memory.
    pub const DENYOOM: Self = Self(4);
    /// Needs the role to administer.
    pub const ADMIN: Self = Self(8);
    /// Constant time.
    pub const FAST: Self = Self(16);
    /// Lawful before the connection has said who it is.
    pub const NO_AUTH: Self = Self(32);
    /// Answered while this node serves no slots.
    pub const STALE: Self = Self(64);
    /// Answered at the start, too.
    pub const LOADING: Self = Self(128);

    /// All flags with the names that `COMMAND` shows.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self::WRITE, "write"),
        (Self::READONLY, "readonly"),
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
    ];

    /// These and those.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Reads the words of a data command; their number has been checked.
pub type ParseData = fn(&Args<'_>, &Context) -> Result<Plan, ErrorReply>;

/// Answers from what the connection knows, or changes it.
pub type InSession = fn(&mut Session, &Args<'_>) -> Result<Reply, ErrorReply>;

/// Reads the words of a command that has to ask others; the answer takes its time.
/// Everything that was asked before has been answered by then.
pub type AskOthers = fn(&Session, &Args<'_>) -> Result<BoxFuture<'static, Reply>, ErrorReply>;

/// What carries a command out.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Works on keys.
    Data(ParseData),
    /// The plain `GET key`: a data command with a shorter way where the key is here.
    Get(ParseData),
    /// The plain `SET key value`, if there are no more words: the same.
    Set(ParseData),
    /// About the connection itself, or about what never changes.
    Session(InSession),
    /// About this node or the cluster.
    Ask(AskOthers),
    /// The second word says what is meant.
    Container(&'static [CommandSpec]),
    /// The same, and something by itself.
    ContainerOr(&'static [CommandSpec], InSession),
}

impl CommandSpec {
    /// A command without keys.
    pub const fn keyless(
        name: &'static str,
        arity: i16,
        flags: Flags,
        group: &'static str,
        since: &'static str,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            first_key: 0,
            last_key: 0,
            step: 0,
            group,
            summary,
            since,
            handler,
        }
    }

    /// Whether so many words, the name included, are lawful.
    pub fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        let arity = i64::from(self.arity);
        if arity < 0 {
            words >= -arity
        } else {
            words == arity
        }
    }

    /// Where the keys stand in a command of so many words.
    pub fn keys(&self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let first = usize::from(self.first_key);
        let last = match usize::try_from(self.last_key) {
            Ok(last) => last,
            Err(_) => words.saturating_sub(usize::from(self.last_key.unsigned_abs())),
        };
        let end = match first {
            0 => 0,
            _ => (last + 1).min(words),
        };
        (first..end).step_by(usize::from(self.step.max(1)))
    }
}

/// Longest name of a command.
const NAME_BYTES_MAX: usize = 16;

/// Places of the table of names: four for each command, so that most are found at once.
const PLACES: usize = 512;

/// Every command, and where each name leads.
#[derive(Debug)]
pub struct Table {
    /// By name.
    commands: Vec<CommandSpec>,
    /// One more than the index of a command; 0: nothing.
    places: [u16; PLACES],
}

/// All commands of this process.
pub static COMMANDS: LazyLock<Table> = LazyLock::new(|| {
    let all = commands::COMMANDS.iter().chain(data::COMMANDS);
    Table::new(all.flat_map(|some| some.iter().copied()).collect())
});

impl Table {
    fn new(mut commands: Vec<CommandSpec>) -> Self {
        commands.sort_unstable_by_key(|command| command.name);
        let mut places = [0; PLACES];
        for (index, command) in commands.iter().enumerate() {
            let mut place = place_of(command.name.as_bytes());
            while places[place] != 0 {
                place = (place + 1) % PLACES;
            }
            places[place] = index as u16 + 1;
        }
        Self { commands, places }
    }

    /// The command of that name, in whatever case.
    pub fn find(&self, name: &[u8]) -> Option<&CommandSpec> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut place = place_of(name);
        loop {
            let index = usize::from(self.places[place]).checked_sub(1)?;
            let command = &self.commands[index];
            if command.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(command);
            }
            place = (place + 1) % PLACES;
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> &[CommandSpec] {
        &self.commands
    }
}

/// Where the search for a name begins: FNV-1a of its letters in one case.
fn place_of(name: &[u8]) -> usize {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193);
    name.iter().fold(0x811c_9dc5, step) as usize % PLACES
}

/// The command that `args` name, with the right number of words; of a container, the
/// subcommand.
pub fn command_of(args: &Args<'_>) -> Result<&'static CommandSpec, ErrorReply> {
    let spec = COMMANDS.find(args.get(0)).ok_or_else(|| unknown(args))?;
    let spec = match spec.handler {
        Handler::Container(subcommands) | Handler::ContainerOr(subcommands, _)
            if args.len() > 1 =>
        {
            return subcommand_of(args, spec, subcommands);
        }
        _ => spec,
    };
    if !spec.takes(args.len()) {
        return Err(ErrorReply::arity(spec.name));
    }
    Ok(spec)
}

/// The command that the words of another one name.
pub fn command_of_words(words: &[&[u8]]) -> Result<&'static CommandSpec, ErrorReply> {
    let invalid = || ErrorReply::fixed("ERR Invalid command specified");
    let name = words.first().ok_or_else(invalid)?;
    let mut spec = COMMANDS.find(name).ok_or_else(invalid)?;
    if let (Handler::Container(subcommands), Some(second)) = (spec.handler, words.get(1)) {
        let named = |sub: &&CommandSpec| sub.name.as_bytes().eq_ignore_ascii_case(second);
        spec = subcommands.iter().find(named).ok_or_else(invalid)?;
    }
    if !spec.takes(words.len()) {
        let text = "ERR Invalid number of arguments specified for command";
        return Err(ErrorReply::fixed(text));
    }
    Ok(spec)
}

fn subcommand_of(
    args: &Args<'_>,
    container: &CommandSpec,
    subcommands: &'static [CommandSpec],
) -> Result<&'static CommandSpec, ErrorReply> {
    let Some(spec) = subcommands.iter().find(|spec| args.is(1, spec.name)) else {
        let word = shown(args.get(1), WORD_SHOWN_MAX);
        let name = container.name.to_ascii_uppercase();
        let text = format!("ERR unknown subcommand '{word}'. Try {name} HELP.");
        return Err(ErrorReply::new(text));
    };
    if !spec.takes(args.len()) {
        return Err(ErrorReply::arity(&format!(
            "{}|{}",
            container.name, spec.name
        )));
    }
    Ok(spec)
}

/// How much of an unknown command is shown, in bytes: as Redis has it.
const WORD_SHOWN_MAX: usize = 128;

fn unknown(args: &Args<'_>) -> ErrorReply {
    let name = shown(args.get(0), WORD_SHOWN_MAX);
    let mut words = String::new();
    for word in args.from(1) {
        if words.len() >= WORD_SHOWN_MAX {
            break;
        }
        let word = shown(word, WORD_SHOWN_MAX - words.len());
        words.push_str(&format!("'{word}' "));
    }
    ErrorReply::new(format!(
        "ERR unknown command '{name}', with args beginning with: {words}"
    ))
}

fn shown(word: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&word[..word.len().min(bytes_max)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::resp::args::tests::with_args;

    #[test]
    fn every_command_is_found_by_its_name_and_no_other() {
        let all = COMMANDS.all();
        assert!(all.windows(2).all(|two| two[0].name < two[1].name), "twice");
        assert!(all.len() * 3 < PLACES);
        for spec in all {
            assert!(spec.name.len() <= NAME_BYTES_MAX, "{}", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_lowercase());
            let upper = spec.name.to_ascii_uppercase();
            assert_eq!(COMMANDS.find(upper.as_bytes()).unwrap().name, spec.name);
            assert_ne!(spec.arity, 0);
            let keyed = matches!(
                spec.handler,
                Handler::Data(_) | Handler::Get(_) | Handler::Set(_)
            );
            if keyed {
                assert!(spec.first_key > 0, "{}", spec.name);
                let either = spec.flags.has(Flags::WRITE) != spec.flags.has(Flags::READONLY);
                assert!(either, "{} reads or writes", spec.name);
            }
        }
        assert!(COMMANDS.find(b"").is_none());
        assert!(COMMANDS.find(&[b'x'; 1000]).is_none());
    }

    #[test]
    fn every_command_stands_in_the_guide() {
        let guide = include_str!("../../../../docs/resp.md");
        for spec in COMMANDS.all() {
            let name = format!("`{}`", spec.name.to_ascii_uppercase());
            assert!(guide.contains(&name), "{name}");
        }
    }

    #[test]
    fn wrong_commands_are_refused_in_rediss_words() {
        let cases: [(&[&[u8]], &str); 5] = [
            (
                &[b"foo", b"a", b"b"],
                "ERR unknown command 'foo', with args beginning with: 'a' 'b' ",
            ),
            (&[b"GET"], "ERR wrong number of arguments for 'get' command"),
            (
                &[b"client"],
                "ERR wrong number of arguments for 'client' command",
            ),
            (
                &[b"CLIENT", b"nope"],
                "ERR unknown subcommand 'nope'. Try CLIENT HELP.",
            ),
            (
                &[b"client", b"SETNAME"],
                "ERR wrong number of arguments for 'client|setname' command",
            ),
        ];
        for (words, expected) in cases {
            with_args(words, |args| {
                assert_eq!(command_of(args).unwrap_err(), ErrorReply::new(expected));
            });
        }
    }

    #[test]
    fn keys_are_where_the_table_says() {
        let spec = |first_key, last_key, step| CommandSpec {
            first_key,
            last_key,
            step,
            ..COMMANDS.all()[0]
        };
        let keys = |spec: CommandSpec, words| spec.keys(words).collect::<Vec<_>>();
        assert_eq!(keys(spec(0, 0, 0), 3), [0; 0]);
        assert_eq!(keys(spec(1, 1, 1), 5), [1]);
        assert_eq!(keys(spec(1, -1, 1), 4), [1, 2, 3]);
        assert_eq!(keys(spec(1, -1, 2), 5), [1, 3]);
        assert_eq!(keys(spec(2, 2, 1), 3), [2]);
    }
}
