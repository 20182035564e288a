//! Words and what they come to, without carrying anything out: what cannot be told from
//! replies alone. Replies are compared with Redis's by the differential test.

use cached_proto::operation::{Condition, Operation};
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::{Key, Ttl};
use cached_proto::update::{Change, Expiry, Guard, Returns, Update};

use super::options::{Of, Options, Time};
use super::words::Unit;
use crate::frontend::resp::args::tests::with_args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan};
use crate::frontend::resp::reply::RespVersion;
use crate::frontend::resp::table::{Handler, command_of};

fn context() -> Context {
    Context {
        wall_ms: 1_700_000_000_000,
        hash: KeyHash::Crc16,
        value_bytes_max: 100,
        version: RespVersion::V2,
    }
}

/// What a line of words comes to.
fn plan(line: &str) -> Result<Vec<Operation>, ErrorReply> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    with_args(&words, |args| {
        let (Handler::Data(parse) | Handler::Get(parse) | Handler::Set(parse)) =
            command_of(args)?.handler
        else {
            panic!("{line} is no data command");
        };
        match parse(args, &context())? {
            Plan::Run { operations, .. } => Ok(operations),
            Plan::Answer(reply) => panic!("{line} is answered with {reply:?}"),
        }
    })
}

fn one(line: &str) -> Operation {
    plan(line).unwrap().remove(0)
}

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

#[test]
fn plain_writes_stay_plain() {
    let set = |ms: Option<u64>, condition| Operation::Set {
        key: key("k"),
        value: "v".into(),
        ttl: ms.map(|ms| Ttl::from_ms(ms).unwrap()),
        condition,
    };
    let cases = [
        ("set k v", set(None, Condition::Always)),
        ("SET k v EX 5", set(Some(5000), Condition::Always)),
        ("set k v nx px 5", set(Some(5), Condition::IfAbsent)),
        (
            "set k v ex 1 ex 2 XX",
            set(Some(2000), Condition::IfPresent),
        ),
        ("setex k 7 v", set(Some(7000), Condition::Always)),
        ("psetex k 7 v", set(Some(7), Condition::Always)),
        ("setnx k v", set(None, Condition::IfAbsent)),
    ];
    for (line, expected) in cases {
        assert_eq!(one(line), expected, "{line}");
        let repeatable = expected == set(None, Condition::Always);
        assert!(!repeatable || one(line).is_idempotent());
    }
}

#[test]
fn what_depends_on_the_entry_is_one_update() {
    let update = |change, expiry, guard, returns| Operation::Update {
        key: key("k"),
        update: Update {
            change,
            expiry,
            guard,
            returns,
        },
    };
    let put = || Change::Put("v".into());
    let always = Guard::default;
    let (none, previous) = (Returns::Metadata, Returns::Previous);
    let century = 100 * 365 * 24 * 3600;
    let cases = [
        (
            "set k v keepttl",
            update(put(), Expiry::Keep, always(), none),
        ),
        (
            "set k v exat 9",
            update(put(), Expiry::At(9000), always(), none),
        ),
        (
            "set k v get",
            update(put(), Expiry::Default, always(), previous),
        ),
        (
            "set k v ifeq w",
            update(put(), Expiry::Default, super::options::equal("w"), none),
        ),
        (
            "set k v get nx ex 1",
            update(
                put(),
                Expiry::In(1000),
                Guard::If(Condition::IfAbsent),
                previous,
            ),
        ),
        (
            "getex k persist",
            update(Change::Keep, Expiry::Never, always(), previous),
        ),
        (
            "expire k -5 xx lt",
            update(Change::Keep, Expiry::In(0), Guard::ExpiringSooner, none),
        ),
        (
            "pexpireat k -5",
            update(Change::Keep, Expiry::At(0), always(), none),
        ),
        (
            "decrby k 3",
            update(
                Change::AddInteger(-3),
                Expiry::Keep,
                always(),
                Returns::Value,
            ),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(one(line), expected, "{line}");
    }
    let long = format!("set k v ex {century}");
    assert_eq!(
        one(&long),
        update(put(), Expiry::In(century * 1000), always(), none)
    );
}

#[test]
fn several_keys_are_one_step_in_one_slot_only() {
    let many = |if_absent| Operation::SetMany {
        first: (key("{a}1"), "x".into()),
        others: vec![(key("{a}2"), "y".into())],
        if_absent,
    };
    assert_eq!(plan("mset {a}1 x {a}2 y").unwrap(), [many(false)]);
    assert_eq!(plan("msetnx {a}1 x {a}2 y").unwrap(), [many(true)]);
    assert_eq!(plan("mset a x b y").unwrap().len(), 2);
    assert_eq!(plan("msetnx a x b y"), Err(ErrorReply::CROSSSLOT));
    let long = "v".repeat(60);
    let line = format!("mset {{a}}1 {long} {{a}}2 {long}");
    assert_eq!(plan(&line).unwrap().len(), 2, "too much for one step");
    let line = format!("msetnx {{a}}1 {long} {{a}}2 {long}");
    let error = plan(&line).unwrap_err();
    assert_eq!(
        error.0,
        "ERR 'msetnx' takes at most 1024 keys and 100 bytes"
    );
}

#[test]
fn options_that_contradict_each_other_are_a_syntax_error() {
    let read = |line: &str, of| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        with_args(&words, |args| Options::parse(args, 0, of))
    };
    for line in [
        "nx xx",
        "ex 1 px 1",
        "keepttl ex 1",
        "ex",
        "ifeq",
        "nx ifeq v",
        "persist",
        "foo",
    ] {
        assert_eq!(read(line, Of::Set), Err(ErrorReply::SYNTAX), "{line}");
    }
    for line in [
        "nx",
        "get",
        "keepttl",
        "persist ex 1",
        "ex 1 persist",
        "ifeq v",
    ] {
        assert_eq!(read(line, Of::GetEx), Err(ErrorReply::SYNTAX), "{line}");
    }
    let options = read("nx NX px 5 PX 6 get", Of::Set).unwrap();
    assert_eq!(options.time, Time::Given(Unit::PX, 5));
    assert_eq!(options.guard, Guard::If(Condition::IfAbsent));
    assert!(options.get);
}

#[test]
fn times_beyond_64_bits_are_refused() {
    let wall = context().wall_ms;
    let last = i64::MAX - wall as i64;
    let cases = [
        (Unit::EX, i64::MAX / 1000, None),
        (
            Unit::EXAT,
            i64::MAX / 1000,
            Some(Expiry::At(9_223_372_036_854_775_000)),
        ),
        (Unit::EXAT, i64::MAX / 1000 + 1, None),
        (Unit::EX, i64::MIN / 1000 - 1, None),
        (Unit::EX, -1, Some(Expiry::In(0))),
        (Unit::PX, last, Some(Expiry::In(last as u64))),
        (Unit::PX, last + 1, None),
        (Unit::PXAT, i64::MIN, Some(Expiry::At(0))),
    ];
    for (unit, time, expected) in cases {
        assert_eq!(unit.expiry(time, wall), expected, "{unit:?} {time}");
    }
}
