//! One worker of a load: batches on its own keys, each answer checked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cached_client::operation::{Answer, Condition, Operation, Reply};
use cached_client::types::{Key, Ttl};
use cached_client::{Client, Error};
use cached_proto::failure::Applied;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::memory::{Memory, value};
use super::report::Phase;
use super::{LoadOptions, Shared};

/// Operations of a batch that only fills or verifies.
const SWEEP: u32 = 128;

/// What is done with a key.
#[derive(Clone, Copy, Debug)]
enum Act {
    Get,
    /// With the counter of the write.
    Set(u32),
    Delete,
}

/// One worker. Its keys have the names `PREFIX-WORKER-NUMBER`.
#[derive(Debug)]
pub(super) struct Worker {
    number: usize,
    client: Client,
    options: LoadOptions,
    memory: Memory,
    random: StdRng,
    /// One for each phase of the load that it took part in.
    pub(super) phases: Vec<Phase>,
}

impl Worker {
    pub(super) fn new(number: usize, client: Client, options: &LoadOptions) -> Self {
        Self {
            number,
            client,
            options: options.clone(),
            memory: Memory::new(options.entries / options.workers),
            random: StdRng::seed_from_u64(number as u64),
            phases: Vec::new(),
        }
    }

    /// Writes every key once, as fast as it goes.
    pub(super) async fn fill(&mut self) {
        self.sweep("fill", |memory, key| Act::Set(memory.issue(key)))
            .await;
    }

    /// Reads every key once.
    pub(super) async fn verify(&mut self) {
        self.sweep("verify", |_, _| Act::Get).await;
    }

    async fn sweep(&mut self, name: &str, act: impl Fn(&mut Memory, u32) -> Act) {
        self.phases.push(Phase::new(name));
        let mut first = 0;
        while first < self.memory.keys() {
            let keys = first..self.memory.keys().min(first + SWEEP);
            let acts = keys.map(|key| (key, act(&mut self.memory, key))).collect();
            self.batch(acts, Instant::now()).await;
            first += SWEEP;
        }
    }

    /// Batches at the target rate, until the load is told to stop. A batch that is due
    /// while the one before is under way is sent right after it, and its time counts
    /// from when it was due.
    pub(super) async fn run(&mut self, shared: &Shared) {
        let every = self.options.batch_every();
        // Workers take turns.
        let mut due = Instant::now() + every * self.number as u32 / self.options.workers as u32;
        loop {
            tokio::time::sleep_until(due.into()).await;
            let names = shared.phases();
            while self.phases.len() < names.len() {
                self.phases.push(Phase::new(&names[self.phases.len()]));
            }
            if shared.stopped() {
                return;
            }
            let acts = self.choose();
            self.batch(acts, due).await;
            due += every;
        }
    }

    fn choose(&mut self) -> Vec<(u32, Act)> {
        let keys = self.memory.keys();
        let mut chosen = BTreeSet::new();
        while chosen.len() < self.options.batch.min(keys as usize) {
            chosen.insert(self.random.random_range(0..keys));
        }
        chosen.into_iter().map(|key| (key, self.act(key))).collect()
    }

    fn act(&mut self, key: u32) -> Act {
        let percent = self.random.random_range(0..100);
        if percent < self.options.get_percent {
            Act::Get
        // What is gone is written again, so that the cache stays full.
        } else if percent < self.options.get_percent + self.options.delete_percent
            && self.memory.holds(key)
        {
            Act::Delete
        } else {
            Act::Set(self.memory.issue(key))
        }
    }

    async fn batch(&mut self, acts: Vec<(u32, Act)>, due: Instant) {
        let operations = acts
            .iter()
            .map(|(key, act)| self.operation(*key, *act))
            .collect();
        let sent = Instant::now();
        let answers = self.client.batch(operations).await;
        let (since_due, since_sent) = (due.elapsed(), sent.elapsed());
        assert_eq!(answers.len(), acts.len(), "one answer for each operation");
        let phase = self.phases.last_mut().expect("a phase has begun");
        phase.answered(acts.len(), since_due, since_sent);
        for ((key, act), answer) in acts.into_iter().zip(answers) {
            self.check(key, act, answer);
        }
    }

    fn operation(&self, key: u32, act: Act) -> Operation {
        let name = Key::new(self.key(key)).expect("short names are keys");
        match act {
            Act::Get => Operation::Get {
                key: name,
                no_load: true,
                metadata_only: false,
            },
            Act::Set(counter) => Operation::Set {
                key: name,
                value: value(key, counter, self.options.value_bytes).into(),
                ttl: self.options.ttl,
                condition: Condition::Always,
            },
            Act::Delete => Operation::Delete {
                key: name,
                condition: Condition::Always,
            },
        }
    }

    fn key(&self, key: u32) -> String {
        format!("{}-{}-{key}", self.options.prefix, self.number)
    }

    fn check(&mut self, key: u32, act: Act, answer: Result<Answer, Error>) {
        let name = self.key(key);
        let memory = &mut self.memory;
        let phase = self.phases.last_mut().expect("a phase has begun");
        if !matches!(act, Act::Get) {
            phase.writes += 1;
        }
        let reply = match answer {
            Ok(answer) => answer.reply,
            Err(error) => {
                phase.failed(&name, &error.to_string());
                match (act, error.applied()) {
                    (Act::Get, _) | (_, Applied::No) => (),
                    (Act::Set(counter), _) => memory.may_be(key, counter),
                    (Act::Delete, _) => memory.may_be(key, 0),
                }
                return;
            }
        };
        let verdict = match (act, reply) {
            (Act::Set(counter), Reply::Set { version, .. }) => {
                memory.was_set(key, counter, version)
            }
            (Act::Delete, Reply::Delete { deleted, .. }) => memory.was_deleted(key, deleted),
            (Act::Get, Reply::Get(entry)) => {
                phase.gets += 1;
                phase.hits += u64::from(entry.is_some());
                let seen = entry
                    .as_ref()
                    .map(|entry| (&entry.value[..], entry.version));
                memory.was_read(key, seen)
            }
            (_, other) => {
                phase.failed(&name, &format!("answered {other:?}"));
                return;
            }
        };
        phase.judge(&name, verdict);
    }
}

/// How often a worker sends a batch.
impl LoadOptions {
    fn batch_every(&self) -> Duration {
        let writes = 100 - self.get_percent;
        let operations = f64::from(self.writes_per_second) * 100.0 / f64::from(writes);
        Duration::from_secs_f64(self.batch as f64 * self.workers as f64 / operations.max(1.0))
    }
}

/// A time to live for every entry.
pub fn ttl(seconds: u64) -> Option<Ttl> {
    Some(Ttl::from_ms(seconds * 1000).expect("a sensible time"))
}
