//! Commands about all keys of a database: over the whole cluster for plain clients,
//! over this node for cluster clients, who ask every node themselves.

use std::sync::Arc;

use bytes::Bytes;
use cached_proto::failure::Failure;
use cached_proto::types::{GroupName, Key};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::number;
use crate::frontend::FrontendParts;
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::glob;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::{Session, Side};
use crate::frontend::resp::table::{AskOthers, CommandSpec, Flags, Handler};
use crate::operator::{KeysPage, KeysPlace};

/// Who flushes for whom, in the log.
const BY: &str = "resp";

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    ask(
        "dbsize",
        1,
        Flags::READONLY.and(Flags::FAST),
        "server",
        "Counts the keys.",
        dbsize,
    ),
    ask(
        "flushall",
        -1,
        FLUSH,
        "server",
        "Removes all keys of all databases.",
        flushall,
    ),
    ask(
        "flushdb",
        -1,
        FLUSH,
        "server",
        "Removes all keys of the database.",
        flushdb,
    ),
    ask(
        "keys",
        2,
        Flags::READONLY,
        "generic",
        "Lists the keys that match.",
        keys,
    ),
    ask(
        "randomkey",
        1,
        Flags::READONLY,
        "generic",
        "Returns some key.",
        randomkey,
    ),
    ask(
        "scan",
        -2,
        Flags::READONLY,
        "generic",
        "Lists keys, some at a time.",
        scan,
    ),
];

const FLUSH: Flags = Flags::WRITE.and(Flags::ADMIN);

const fn ask(
    name: &'static str,
    arity: i16,
    flags: Flags,
    group: &'static str,
    summary: &'static str,
    answer: AskOthers,
) -> CommandSpec {
    CommandSpec::keyless(
        name,
        arity,
        flags,
        group,
        "1.0.0",
        summary,
        Handler::Ask(answer),
    )
}

type Asked = Result<BoxFuture<'static, Reply>, ErrorReply>;

/// Entries that one `SCAN` looks at: as Redis has it, and at most.
const SCAN_COUNT_DEFAULT: usize = 10;
const SCAN_COUNT_MAX: usize = 10_000;

/// Entries that are looked at in one go where all are wanted.
const SWEEP_COUNT: usize = 1_000;

/// Bytes of keys that `KEYS` answers with.
const KEYS_BYTES_MAX: usize = 64 << 20;

/// What a command works with after the connection has gone on.
struct Scope {
    frontends: Arc<FrontendParts>,
    side: Side,
    group: GroupName,
}

impl Scope {
    fn of(session: &Session) -> Self {
        Self {
            frontends: Arc::clone(&session.parts.frontends),
            side: session.parts.side,
            group: session.group.clone(),
        }
    }

    async fn page(&self, place: KeysPlace, count: usize) -> Result<KeysPage, Failure> {
        let operator = &self.frontends.operator;
        match self.side {
            Side::Plain => operator.keys(&self.group, place, count).await,
            Side::Cluster => operator.own_keys(&self.group, place, count),
        }
    }

    async fn flush(&self, group: &GroupName) -> Result<(), Failure> {
        let operator = &self.frontends.operator;
        if self.side == Side::Cluster {
            return operator.flush_own(group).await.map(|_| ());
        }
        let flushed = operator.flush_group(group, BY).await?;
        match flushed.nodes.into_iter().find_map(|node| node.failure) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

fn failed(failure: &Failure) -> Reply {
    Reply::Error(ErrorReply::from(failure))
}

fn dbsize(session: &Session, _: &Args<'_>) -> Asked {
    let scope = Scope::of(session);
    Ok(async move {
        let operator = &scope.frontends.operator;
        match operator
            .count_keys(&scope.group, scope.side == Side::Cluster)
            .await
        {
            Ok(keys) => Reply::Integer(i64::try_from(keys).unwrap_or(i64::MAX)),
            Err(failure) => failed(&failure),
        }
    }
    .boxed())
}

fn check_flush(args: &Args<'_>) -> Result<(), ErrorReply> {
    match args.len() {
        1 => Ok(()),
        2 if args.is(1, "sync") || args.is(1, "async") => Ok(()),
        _ => Err(ErrorReply::SYNTAX),
    }
}

fn flushdb(session: &Session, args: &Args<'_>) -> Asked {
    check_flush(args)?;
    let scope = Scope::of(session);
    Ok(async move {
        match scope.flush(&scope.group).await {
            Ok(()) => Reply::OK,
            Err(failure) => failed(&failure),
        }
    }
    .boxed())
}

/// All groups that have a number; others are nothing to clients of this protocol.
fn flushall(session: &Session, args: &Args<'_>) -> Asked {
    check_flush(args)?;
    let scope = Scope::of(session);
    Ok(async move {
        let default = &scope.frontends.default_group;
        let groups = scope.frontends.operator.groups().into_iter();
        let numbered = groups.filter(|group| group.resp_db.is_some() || group.name == *default);
        for group in numbered {
            if let Err(failure) = scope.flush(&group.name).await {
                return failed(&failure);
            }
        }
        Reply::OK
    }
    .boxed())
}

/// What `SCAN` is asked for.
struct Scan {
    place: KeysPlace,
    pattern: Option<Bytes>,
    count: usize,
    /// Of another type than a string there is nothing.
    nothing: bool,
}

fn read_scan(args: &Args<'_>) -> Result<Scan, ErrorReply> {
    let cursor: u64 = number(args, 1).map_err(|_| ErrorReply::fixed("ERR invalid cursor"))?;
    let mut scan = Scan {
        place: KeysPlace::from_cursor(cursor),
        pattern: None,
        count: SCAN_COUNT_DEFAULT,
        nothing: false,
    };
    let mut index = 2;
    while index < args.len() {
        if index + 1 == args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        if args.is(index, "match") {
            scan.pattern = Some(args.keep(index + 1));
        } else if args.is(index, "count") {
            let count: i64 = number(args, index + 1)?;
            if count < 1 {
                return Err(ErrorReply::SYNTAX);
            }
            let count = usize::try_from(count).unwrap_or(SCAN_COUNT_MAX);
            scan.count = count.min(SCAN_COUNT_MAX);
        } else if args.is(index, "type") {
            scan.nothing = !args.is(index + 1, "string");
        } else {
            return Err(ErrorReply::SYNTAX);
        }
        index += 2;
    }
    Ok(scan)
}

fn scan(session: &Session, args: &Args<'_>) -> Asked {
    let scan = read_scan(args)?;
    let scope = Scope::of(session);
    Ok(async move {
        let page = match scope.page(scan.place, scan.count).await {
            Ok(page) => page,
            Err(failure) => return failed(&failure),
        };
        let cursor = page.next.map_or(0, KeysPlace::to_cursor);
        let matching = page.keys.into_iter().filter(|key| {
            let pattern = scan.pattern.as_ref();
            !scan.nothing && pattern.is_none_or(|pattern| glob::matches(pattern, key.as_bytes()))
        });
        let keys = matching.map(|key| Reply::Bulk(key.into_bytes())).collect();
        Reply::Array(vec![Reply::text(cursor.to_string()), Reply::Array(keys)])
    }
    .boxed())
}

fn keys(session: &Session, args: &Args<'_>) -> Asked {
    let pattern = args.keep(1);
    let scope = Scope::of(session);
    Ok(async move {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut place = Some(KeysPlace::START);
        while let Some(at) = place {
            let page = match scope.page(at, SWEEP_COUNT).await {
                Ok(page) => page,
                Err(failure) => return failed(&failure),
            };
            let matching = page.keys.into_iter();
            for key in matching.filter(|key| glob::matches(&pattern, key.as_bytes())) {
                bytes += key.as_bytes().len();
                found.push(Reply::Bulk(key.into_bytes()));
            }
            if bytes > KEYS_BYTES_MAX {
                let text = format!("ERR the keys have more than {KEYS_BYTES_MAX} bytes; use SCAN");
                return Reply::Error(ErrorReply::new(text));
            }
            place = page.next;
        }
        Reply::Array(found)
    }
    .boxed())
}

fn randomkey(session: &Session, _: &Args<'_>) -> Asked {
    let scope = Scope::of(session);
    Ok(async move {
        let start = KeysPlace::random();
        // From a slot by chance to the last, and then from the first.
        for from in [start, KeysPlace::START] {
            let mut place = Some(from);
            while let Some(at) = place {
                let page = match scope.page(at, SCAN_COUNT_DEFAULT).await {
                    Ok(page) => page,
                    Err(failure) => return failed(&failure),
                };
                if let Some(key) = any(page.keys) {
                    return Reply::Bulk(key.into_bytes());
                }
                place = page.next;
            }
        }
        Reply::Null
    }
    .boxed())
}

fn any(mut keys: Vec<Key>) -> Option<Key> {
    if keys.is_empty() {
        return None;
    }
    let index = rand::random_range(0..keys.len());
    Some(keys.swap_remove(index))
}
