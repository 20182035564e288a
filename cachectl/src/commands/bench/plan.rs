//! What was typed -> what is done, checked before anything is sent. Pure.

use std::time::Duration;

use cached_client::types::{GroupName, Ttl};

use super::keys::{KeyChooser, Sizes};
use super::mix::Kind;
use super::pace::Schedule;
use super::source::{Keys, Source};
use super::trace::Trace;
use super::written::Written;
use crate::args::bench::{Bench, OnMiss, Protocol};
use crate::error::CliError;

/// Most distinct keys: those written are remembered, a bit for each.
const KEYS_MAX: u64 = 1_000_000_000;
/// How long a load runs that nothing else ends.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// Longest run: a month.
const DURATION_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Highest rate: far above what one core can send.
const RATE_MAX: f64 = 10_000_000.0;
/// Longest prefix of keys: what is left of a key's 64 KiB is enough for any number.
const PREFIX_BYTES_MAX: usize = 1024;
/// Longest key in bytes.
const KEY_BYTES_MAX: usize = 64 * 1024;
/// Operations under way while keys are filled in and removed: enough to keep a server
/// busy over one connection.
const SWEEP_OPERATIONS: u16 = 256;

/// How many requests of how many operations a client sends at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Requests.
    pub pipeline: u16,
    /// Operations of each.
    pub batch: u16,
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As it was typed.
    pub args: Bench,
    /// Rounds while measuring.
    pub shape: Shape,
    /// Rounds while keys are filled in and removed.
    pub sweep: Shape,
    /// When measuring ends; `None`: when the operations are over.
    pub duration: Option<Duration>,
    /// The seed in force.
    pub seed: u64,
    /// Time to live of what is written.
    pub ttl: Option<Ttl>,
    /// The keys' group; `None`: the cluster's own.
    pub group: Option<GroupName>,
    /// Number of distinct keys.
    pub keys: u64,
    trace: Option<Trace>,
}

impl Plan {
    /// Checks what was typed. `trace`: what `--trace` holds; `chance`: the seed if none
    /// was given.
    pub fn new(args: &Bench, trace: Option<Trace>, chance: u64) -> Result<Self, CliError> {
        check_protocol(args)?;
        check_bounds(args)?;
        let ended = args.requests.is_some() || trace.is_some();
        let duration = args.duration.or((!ended).then_some(DURATION_DEFAULT));
        let names = trace.as_ref().map(|trace| trace.names.as_slice());
        let longest = names.and_then(|names| names.iter().map(Vec::len).max());
        if longest.unwrap_or(0) + args.prefix.len() + 16 > KEY_BYTES_MAX {
            return Err(CliError::usage(format!(
                "--trace has a key of {} bytes, which with its prefix is over {KEY_BYTES_MAX}",
                longest.unwrap_or(0)
            )));
        }
        let keys = match names {
            Some(names) => names.len() as u64 * u64::from(args.copies),
            None => args.keys,
        };
        if keys > KEYS_MAX {
            return Err(CliError::usage(format!(
                "--copies makes {keys} keys; the limit is {KEYS_MAX}"
            )));
        }
        let plan = Self {
            shape: Shape {
                pipeline: args.pipeline,
                batch: args.batch,
            },
            sweep: sweep(args.protocol),
            duration,
            seed: args.seed.unwrap_or(chance),
            ttl: args.ttl.map(ttl).transpose()?,
            group: args.group.as_deref().map(GroupName::new).transpose()?,
            keys,
            trace,
            args: args.clone(),
        };
        // Whether such a spread can be had shows here, not in the middle of the work.
        plan.chooser()?;
        Ok(plan)
    }

    fn chooser(&self) -> Result<KeyChooser, CliError> {
        KeyChooser::new(self.args.dist, self.args.keys)
            .map_err(|problem| CliError::usage(format!("--dist: {problem}")))
    }

    /// The operations to measure.
    pub fn source(&self) -> Result<Source, CliError> {
        let limit = self.args.requests.unwrap_or(u64::MAX);
        let (sizes, seed) = (self.args.size, self.seed);
        Ok(match &self.trace {
            Some(trace) => Source::trace(trace.order.clone(), self.args.copies, sizes, seed, limit),
            None => Source::mixed(self.args.mix, self.chooser()?, sizes, seed, limit),
        })
    }

    /// The writes that fill in every key; `None`: not asked for.
    pub fn fill(&self) -> Option<Source> {
        let keys = Keys::Below(self.keys);
        (self.args.fill).then(|| Source::sweep(Kind::Set, keys, self.args.size, self.seed))
    }

    /// The deletes that remove these keys; `None`: they shall stay.
    pub fn removal(&self, keys: Written) -> Option<Source> {
        let keys = Keys::These(keys);
        let sizes = Sizes { min: 0, max: 0 };
        (!self.args.keep).then(|| Source::sweep(Kind::Delete, keys, sizes, self.seed))
    }

    /// When requests are due in an open loop.
    pub fn schedule(&self) -> Option<Schedule> {
        let rate = self.args.rate? / f64::from(self.args.batch);
        Some(Schedule::new(rate, self.duration.unwrap_or(DURATION_MAX)))
    }

    /// Whether a read that found nothing is followed by a write.
    pub fn sets_on_miss(&self) -> bool {
        self.args.on_miss == OnMiss::Set
    }

    /// The bytes of a key.
    pub fn key(&self, number: u64) -> Vec<u8> {
        let prefix = self.args.prefix.as_bytes();
        let Some(trace) = &self.trace else {
            return [prefix, number.to_string().as_bytes()].concat();
        };
        let copies = u64::from(self.args.copies);
        let name = trace.names.get((number / copies) as usize);
        let name = name.map(Vec::as_slice).unwrap_or_default();
        match copies {
            1 => [prefix, name].concat(),
            _ => [prefix, name, format!("#{}", number % copies).as_bytes()].concat(),
        }
    }
}

fn sweep(protocol: Protocol) -> Shape {
    let (pipeline, batch) = match protocol {
        Protocol::Grpc => (4, SWEEP_OPERATIONS / 4),
        Protocol::Rest => (1, SWEEP_OPERATIONS),
        Protocol::Resp => (SWEEP_OPERATIONS, 1),
    };
    Shape { pipeline, batch }
}

fn ttl(ttl: Duration) -> Result<Ttl, CliError> {
    let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    Ttl::from_ms(ms).map_err(CliError::from)
}

fn check_protocol(args: &Bench) -> Result<(), CliError> {
    let refused = match args.protocol {
        Protocol::Rest if args.pipeline > 1 => {
            "REST has no pipelining: use --clients, or --batch for many operations in a request"
        }
        Protocol::Resp if args.batch > 1 => {
            "RESP has no batches here: --pipeline sends many commands at once"
        }
        Protocol::Resp if args.resp.is_empty() => "--protocol resp needs --resp HOST:PORT",
        Protocol::Resp if args.group.is_some() => {
            "--group means nothing for --protocol resp: commands work on database 0"
        }
        Protocol::Grpc | Protocol::Rest if !args.resp.is_empty() => {
            "--resp is for --protocol resp; name nodes with --endpoint"
        }
        _ => return Ok(()),
    };
    Err(CliError::usage(refused))
}

fn check_bounds(args: &Bench) -> Result<(), CliError> {
    if let Some(rate) = args.rate
        && !(rate > 0.0 && rate <= RATE_MAX)
    {
        return Err(CliError::usage(format!(
            "--rate {rate} is not above 0 and at most {RATE_MAX}"
        )));
    }
    if args
        .duration
        .is_some_and(|it| it.is_zero() || it > DURATION_MAX)
    {
        return Err(CliError::usage(format!(
            "--duration must be above 0 and at most {} days",
            DURATION_MAX.as_secs() / 86_400
        )));
    }
    if args.prefix.len() > PREFIX_BYTES_MAX {
        return Err(CliError::usage(format!(
            "--prefix has {} bytes; the limit is {PREFIX_BYTES_MAX}",
            args.prefix.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    /// The plan of a command line.
    pub(crate) fn plan_of(line: &str, trace: Option<Trace>) -> Result<Plan, CliError> {
        let words = ["cachectl", "bench"].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split_whitespace())).unwrap();
        let Command::Bench(args) = cli.command else {
            panic!("no bench");
        };
        Plan::new(&args, trace, 7)
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        for (line, part) in [
            ("--protocol rest --pipeline 2", "--batch"),
            ("--protocol resp", "--resp HOST:PORT"),
            ("--protocol resp --resp a:1 --batch 2", "--pipeline"),
            ("--protocol resp --resp a:1 -g x", "database 0"),
            ("--resp a:1", "--endpoint"),
            ("--rate 0", "above 0"),
            ("--rate NaN", "above 0"),
            ("--duration 0s", "above 0"),
            ("--group a/b", "group"),
            ("--ttl 99years", "ttl"),
        ] {
            let problem = plan_of(line, None).unwrap_err();
            assert_eq!(problem.code, crate::error::Code::Usage, "{line}");
            assert!(problem.message.contains(part), "{line}: {problem}");
        }
    }

    #[test]
    fn something_ends_every_run() {
        let of = |line: &str| plan_of(line, None).unwrap().duration;
        assert_eq!(of(""), Some(DURATION_DEFAULT));
        assert_eq!(of("--requests 5"), None);
        assert_eq!(
            of("--requests 5 --duration 3s"),
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn keys_are_spelled_with_their_prefix() {
        assert_eq!(plan_of("", None).unwrap().key(7), b"bench:7");
        let trace = Trace {
            names: vec![b"a".to_vec(), b"b".to_vec()],
            order: [0, 1].into(),
        };
        let plan = |line| plan_of(line, Some(trace.clone())).unwrap();
        assert_eq!(plan("--prefix x- --trace t").key(1), b"x-b");
        let copied = plan("--trace t --copies 3");
        assert_eq!((copied.key(5), copied.keys), (b"bench:b#2".to_vec(), 6));
        assert_eq!(copied.source().unwrap().count(), 6);
        let long = Trace {
            names: vec![vec![b'k'; KEY_BYTES_MAX]],
            order: [0].into(),
        };
        assert!(plan_of("--trace t", Some(long)).is_err());
    }

    #[test]
    fn a_rate_counts_operations_and_is_kept_by_requests() {
        let plan = plan_of("--rate 100 --batch 10 --duration 1s", None).unwrap();
        let mut schedule = plan.schedule().unwrap();
        assert_eq!(std::iter::from_fn(|| schedule.reserve()).count(), 10);
        assert!(plan_of("", None).unwrap().schedule().is_none());
    }
}
