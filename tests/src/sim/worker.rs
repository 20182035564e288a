//! A client that works on few keys, and writes down what it asked and was answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_client::connections::Connections;
use cached_client::direct::Direct;
use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::{GroupName, Key, Ttl, Version};
use cached_client::{Applied, Client, Error, Options};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::keys::{Kind, has_ttl, is_kept};
use super::net;
use super::scene::{LOADED_GROUP, PLAIN_GROUP, SMALL_GROUP, Scene, now};
use crate::history::{Answer, Ask};

/// How many operations go to their owner straight; the others go anywhere.
const ROUTED: f64 = 0.6;

/// How much later than its bound a call may be answered: a tick or two.
const SLACK: Duration = Duration::from_millis(50);

/// Times to live are a little uncertain: nodes' wall clocks differ by less than this.
const SKEW_MAX_MS: u64 = 1_000;

/// How clients behave.
fn options(scene: &Scene, group: &str) -> Options {
    let mut options = Options::nodes(scene.addresses())
        .group(GroupName::new(group).unwrap())
        .timeout(scene.setting.patience)
        .retries(scene.setting.retries);
    options.connect = net::connect_options();
    options
}

/// Finds the cluster, however long that takes.
pub async fn connect(scene: &Scene, group: &str) -> Client {
    loop {
        match Client::connect(options(scene, group)).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

struct Worker {
    scene: Arc<Scene>,
    client: Client,
    /// To any node, which has to pass on what is not its own.
    anywhere: Connections,
    /// For the group that is too small, if there is one.
    small: Option<Client>,
    /// For the group that is loaded, if there is one.
    loaded: Option<Client>,
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
    let profile = scene.setting.profile;
    let client = connect(&scene, PLAIN_GROUP).await;
    let small = match profile.evictions {
        true => Some(connect(&scene, SMALL_GROUP).await),
        false => None,
    };
    let loaded = match profile.loads {
        true => Some(connect(&scene, LOADED_GROUP).await),
        false => None,
    };
    let mut worker = Worker {
        scene,
        client,
        anywhere: Connections::new(net::connect_options()),
        small,
        loaded,
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

/// Keys of the group that is too small: several times as much as it has room for.
const EVICTED_KEYS: u32 = 96;
/// Keys that are loaded.
const LOADED_KEYS: u32 = 24;

/// One operation to be done.
struct Task {
    client: Client,
    group: &'static str,
    name: String,
    ask: Ask,
    /// Time to live in milliseconds.
    ttl: Option<u64>,
    /// Its entry may vanish as soon as it is written.
    may_vanish: bool,
}

impl Worker {
    async fn step(&mut self) {
        if let Some(keys) = self.scene.confined(self.number)
            && let Some(number) = keys.choose(&mut self.chance)
        {
            self.seen = None;
            return self.use_plain(*number).await;
        }
        if let Some(client) = self.small.clone()
            && self.chance.random_bool(0.35)
        {
            return self.use_small(client).await;
        }
        if let Some(client) = self.loaded.clone()
            && self.chance.random_bool(0.35)
        {
            return self.use_loaded(&client).await;
        }
        let number = self.chance.random_range(0..self.scene.setting.keys);
        self.use_plain(number).await;
    }

    async fn use_plain(&mut self, mut number: u32) {
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
            88..97 if is_kept(number) => Ask::Get,
            88..97 => Ask::Delete,
            _ => {
                let ttl = self.ttl(number);
                return self.touch(number, ttl).await;
            }
        };
        let task = Task {
            client: self.client.clone(),
            group: PLAIN_GROUP,
            name: self.scene.setting.names.name(Kind::Plain, number),
            ask,
            ttl: self.ttl(number),
            may_vanish: false,
        };
        let answer = self.carry_out(task).await;
        if let Answer::Hit(_, version) | Answer::Stored(version) = answer {
            self.seen = Some((number, version));
        }
    }

    async fn use_small(&mut self, client: Client) {
        let number = self.chance.random_range(0..EVICTED_KEYS);
        let ask = match self.chance.random_range(0..100) {
            0..40 => Ask::Get,
            40..90 => Ask::Set(self.value()),
            _ => Ask::Delete,
        };
        let task = Task {
            client,
            group: SMALL_GROUP,
            name: self.scene.setting.names.name(Kind::Evicted, number),
            ask,
            ttl: None,
            may_vanish: true,
        };
        self.carry_out(task).await;
    }

    /// Reads a loaded key, or changes it at the origin and removes it from the cache.
    async fn use_loaded(&mut self, client: &Client) {
        let number = self.chance.random_range(0..LOADED_KEYS);
        let name = self.scene.setting.names.name(Kind::Loaded, number);
        let key = Key::new(name.clone()).unwrap();
        let (start, scene) = (now(), self.scene.clone());
        let origin = &scene.origin;
        if self.chance.random_bool(0.3) {
            let value = origin.change(&name);
            let removal = operation(&key, Ask::Delete, None, 0);
            let result = self.execute(client, LOADED_GROUP, removal).await;
            if result.as_ref().is_ok_and(|answer| !answer.degraded) {
                origin.removed_before(&name, value);
            }
            self.scene.trace((self.number, name, value, result.is_ok()));
            return self.check_time("a removal", start, now());
        }
        let least = origin.least(&name);
        let read = operation(&key, Ask::Get, None, 0);
        let result = self.execute(client, LOADED_GROUP, read).await;
        let (number, end) = (self.number, now());
        self.check_time("a load", start, end);
        let Ok(answer) = result else { return };
        let (degraded, Reply::Get(Some(entry))) = (answer.degraded, answer.reply) else {
            return;
        };
        let value = number_of(&entry.value);
        self.scene.trace((number, &name, value));
        // What is not kept may be as old as its load, which may be older than the read.
        let promised = !degraded && entry.version.is_some();
        if promised && value < least {
            let start = start as f64 / 1e6;
            let problem = format!(
                "I12: client {number} reads {value} of {name} since {start:.3} s, which was \
                 removed before: {least} is there"
            );
            self.scene.problem(problem);
        }
    }

    /// Has it carried out: by the owner, whom the client finds, or by whatever node, which
    /// may have to pass it on.
    async fn execute(
        &mut self,
        client: &Client,
        group: &str,
        operation: Operation,
    ) -> Result<cached_client::operation::Answer, Error> {
        if self.chance.random_bool(ROUTED) {
            return client.execute(operation).await;
        }
        let addresses = self.scene.addresses();
        let Some(address) = addresses.choose(&mut self.chance) else {
            return client.execute(operation).await;
        };
        let group = GroupName::new(group).unwrap();
        let (anywhere, patience) = (self.anywhere.clone(), self.scene.setting.patience);
        let node = Direct::new(anywhere, address.clone(), group, patience);
        node.execute(operation).await
    }

    /// A time to live in milliseconds, for keys that are used with some.
    fn ttl(&mut self, number: u32) -> Option<u64> {
        let wanted = has_ttl(number) && self.chance.random_bool(0.7);
        wanted.then(|| self.chance.random_range(200..4_000))
    }

    fn value(&mut self) -> u64 {
        self.writes += 1;
        self.writes * 1_000 + u64::from(self.number)
    }

    /// Does it, and writes down what came of it.
    async fn carry_out(&mut self, task: Task) -> Answer {
        let Task {
            client,
            group,
            name,
            ask,
            ttl,
            may_vanish,
        } = task;
        let key = Key::new(name.clone()).unwrap();
        let slot = client.locate(&key).slot.number();
        let operation = operation(&key, ask, ttl, self.scene.setting.long);
        let start = now();
        let scene = self.scene.clone();
        let history = &scene.history;
        let invoked = history.invoke(self.number, name.clone(), slot, ask, start);
        if operation_value(ask).is_some() {
            let vanishes = match ttl {
                Some(ttl) => Some(start + ttl.saturating_sub(SKEW_MAX_MS) * 1_000),
                None => may_vanish.then_some(start),
            };
            if let Some(from) = vanishes {
                history.may_vanish(invoked, from);
            }
        }
        let result = self.execute(&client, group, operation).await;
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
            .trace((self.number, name, format!("{ask:?} {answer:?}")));
        self.check_time("an operation", start, end);
        answer
    }

    /// Changes no value; a time to live may end the entry.
    async fn touch(&mut self, number: u32, ttl: Option<u64>) {
        let name = self.scene.setting.names.name(Kind::Plain, number);
        let key = Key::new(name.clone()).unwrap();
        let slot = self.client.locate(&key).slot.number();
        let start = now();
        if let Some(ttl) = ttl {
            let from = start + ttl.saturating_sub(SKEW_MAX_MS) * 1_000;
            let history = &self.scene.history;
            let invoked = history.invoke(self.number, name, slot, Ask::Get, start);
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
        if took > self.scene.setting.patience + SLACK {
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

fn operation(key: &Key, ask: Ask, ttl: Option<u64>, long: usize) -> Operation {
    let key = key.clone();
    let write = |value: u64, condition| Operation::Set {
        key: key.clone(),
        value: text_of(value, long).into(),
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

/// A value as it is stored: of many lengths, so that a slot takes more than one message.
fn text_of(value: u64, long: usize) -> String {
    let fifths = (value / 1_000 * 3 + value) % 5;
    format!("{value} {}", "-".repeat(long * fifths as usize / 4))
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
