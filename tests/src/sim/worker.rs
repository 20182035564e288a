//! A client that works on few keys, and writes down what it asked and was answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::{Key, Ttl, Version};
use cached_client::{Applied, Client, Error, Options};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::net;
use super::scene::{Scene, now};
use crate::history::{Answer, Ask};

/// Bound of one call.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How much later than its bound a call may be answered: a tick or two.
const SLACK: Duration = Duration::from_millis(50);

/// Times to live are a little uncertain: nodes' wall clocks differ by less than this.
const SKEW_MAX_MS: u64 = 1_000;

/// How clients behave.
pub fn options(scene: &Scene) -> Options {
    let mut options = Options::nodes(scene.addresses())
        .timeout(TIMEOUT)
        .retries(scene.setting.retries);
    options.connect = net::connect_options();
    options
}

/// Finds the cluster, however long that takes.
pub async fn connect(scene: &Scene) -> Client {
    loop {
        match Client::connect(options(scene)).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

struct Worker {
    scene: Arc<Scene>,
    client: Client,
    number: u32,
    chance: StdRng,
    /// Of the last write, to number the next; values are this times a thousand plus
    /// the client's number.
    writes: u64,
    /// The newest version that this client has seen of some key, to swap it.
    seen: Option<(u32, Version)>,
}

/// Works until the scene says that it is enough.
pub async fn work(scene: Arc<Scene>, number: u32) -> turmoil::Result {
    let chance = StdRng::seed_from_u64(scene.setting.seed.wrapping_add(u64::from(number) << 32));
    let client = connect(&scene).await;
    let mut worker = Worker {
        scene,
        client,
        number,
        chance,
        writes: 0,
        seen: None,
    };
    while worker.scene.is_working() {
        let pause = worker.scene.setting.pause * 2;
        let pause = pause.mul_f64(worker.chance.random::<f64>());
        tokio::time::sleep(pause).await;
        worker.step().await;
    }
    Ok(())
}

/// Slots that all keys lie in: few, so that much happens in each while it moves.
const SLOTS_USED: u32 = 24;

/// The name of a key: every fifth is used with times to live. What stands in braces
/// chooses the slot.
pub fn key_name(number: u32) -> String {
    let kind = if number % 5 == 4 { "t" } else { "k" };
    let slot = number % SLOTS_USED;
    format!("{kind}{number}{{{slot}}}")
}

impl Worker {
    async fn step(&mut self) {
        let mut number = self.chance.random_range(0..self.scene.setting.keys);
        let kind = self.chance.random_range(0..100);
        let ask = match kind {
            0..45 => Ask::Get,
            45..72 => Ask::Set(self.value()),
            72..80 => Ask::Add(self.value()),
            80..88 => match self.seen.take() {
                Some((seen, version)) => {
                    number = seen;
                    Ask::Swap(self.value(), version)
                }
                None => Ask::Get,
            },
            88..97 => Ask::Delete,
            _ => {
                let ttl = self.ttl(number);
                return self.touch(number, ttl).await;
            }
        };
        let ttl = self.ttl(number);
        self.carry_out(number, ask, ttl).await;
    }

    /// A time to live in milliseconds, for keys that are used with some.
    fn ttl(&mut self, number: u32) -> Option<u64> {
        let wanted = number % 5 == 4 && self.chance.random_bool(0.7);
        wanted.then(|| self.chance.random_range(200..4_000))
    }

    fn value(&mut self) -> u64 {
        self.writes += 1;
        self.writes * 1_000 + u64::from(self.number)
    }

    async fn carry_out(&mut self, number: u32, ask: Ask, ttl: Option<u64>) {
        let key = Key::new(key_name(number)).unwrap();
        let slot = self.client.locate(&key).slot.number();
        let operation = operation(&key, ask, ttl);
        let start = now();
        let history = &self.scene.history;
        let invoked = history.invoke(self.number, key_name(number), slot, ask, start);
        if let (Some(ttl), Some(_)) = (ttl, operation_value(ask)) {
            let from = start + ttl.saturating_sub(SKEW_MAX_MS) * 1_000;
            history.may_vanish(invoked, from);
        }
        let result = self.client.execute(operation).await;
        let end = now();
        let degraded = result.as_ref().is_ok_and(|answer| answer.degraded);
        let answer = match result {
            // Such an answer promises nothing.
            Ok(_) if degraded => Answer::Unknown,
            Ok(answer) => answered(ask, answer.reply),
            Err(error) => failed(&error),
        };
        self.scene.history.complete(invoked, answer, end);
        self.scene
            .trace((self.number, number, format!("{ask:?} {answer:?}")));
        self.check_time("an operation", start, end);
        if let Answer::Hit(_, version) | Answer::Stored(version) = answer {
            self.seen = Some((number, version));
        }
    }

    /// Changes no value; a time to live may end the entry.
    async fn touch(&mut self, number: u32, ttl: Option<u64>) {
        let key = Key::new(key_name(number)).unwrap();
        let slot = self.client.locate(&key).slot.number();
        let start = now();
        if let Some(ttl) = ttl {
            let from = start + ttl.saturating_sub(SKEW_MAX_MS) * 1_000;
            let history = &self.scene.history;
            let invoked = history.invoke(self.number, key_name(number), slot, Ask::Get, start);
            history.may_vanish(invoked, from);
        }
        let ttl = ttl.map(|ttl| Ttl::from_ms(ttl).unwrap());
        let result = self.client.execute(Operation::Touch { key, ttl }).await;
        self.scene.trace((self.number, number, result.is_ok()));
        self.check_time("a touch", start, now());
    }

    /// I18.
    fn check_time(&self, what: &str, start: u64, end: u64) {
        let took = Duration::from_micros(end - start);
        if took > TIMEOUT + SLACK {
            let number = self.number;
            let problem = format!("I18: {what} of client {number} took {took:?}");
            self.scene.problem(problem);
        }
    }
}

fn operation_value(ask: Ask) -> Option<u64> {
    match ask {
        Ask::Set(value) | Ask::Swap(value, _) | Ask::Add(value) => Some(value),
        Ask::Get | Ask::Delete => None,
    }
}

fn operation(key: &Key, ask: Ask, ttl: Option<u64>) -> Operation {
    let key = key.clone();
    let write = |value: u64, condition| Operation::Set {
        key: key.clone(),
        value: text_of(value).into(),
        ttl: ttl.map(|ttl| Ttl::from_ms(ttl).unwrap()),
        condition,
    };
    match ask {
        Ask::Get => Operation::Get {
            key,
            no_load: false,
            metadata_only: false,
        },
        Ask::Set(value) => write(value, Condition::Always),
        Ask::Swap(value, version) => write(value, Condition::IfVersion(version)),
        Ask::Add(value) => write(value, Condition::IfAbsent),
        Ask::Delete => Operation::Delete {
            key,
            condition: Condition::Always,
        },
    }
}

fn answered(ask: Ask, reply: Reply) -> Answer {
    match (ask, reply) {
        (_, Reply::Get(None)) => Answer::Miss,
        (_, Reply::Get(Some(entry))) => match entry.version {
            Some(version) => Answer::Hit(number_of(&entry.value), version),
            None => Answer::Unknown,
        },
        (
            _,
            Reply::Set {
                stored: true,
                version,
            },
        ) => match version {
            Some(version) => Answer::Stored(version),
            None => Answer::Unknown,
        },
        (_, Reply::Set { stored: false, .. }) => Answer::Refused,
        (_, Reply::Delete { deleted, .. }) => Answer::Deleted(deleted),
        (_, Reply::Touch { .. } | Reply::Update(_) | Reply::SetMany { .. }) => Answer::Unknown,
    }
}

/// A value as it is stored: some are long, so that a slot takes more than one message.
fn text_of(value: u64) -> String {
    let long = if value.is_multiple_of(7) { 4_000 } else { 0 };
    format!("{value} {}", "-".repeat(long))
}

/// 0, which nobody writes, for what is no number.
pub fn number_of(value: &Bytes) -> u64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let number = text.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

fn failed(error: &Error) -> Answer {
    match error.applied() {
        Applied::No => Answer::NotApplied,
        Applied::Unknown => Answer::Unknown,
    }
}
