//! A load that remembers: it writes at a steady rate into keys over all slots, and
//! knows of every answer whether it is right. `memory` judges, `worker` sends,
//! `report` counts; `moves` is the
//! benchmark of moving slots.

mod memory;
pub mod moves;
mod report;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cached_client::Client;
use cached_client::types::Ttl;
use tokio::task::JoinSet;

pub use report::{Phase, Report};
use worker::Worker;
pub use worker::ttl;

/// What a load does.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Keys, over all workers.
    pub entries: usize,
    /// Bytes of every value, 16 at least.
    pub value_bytes: usize,
    /// Sets and deletes in a second, over all workers. Gets come on top.
    pub writes_per_second: u32,
    /// Of 100 operations, so many are gets …
    pub get_percent: u32,
    /// … and so many deletes; the others are sets.
    pub delete_percent: u32,
    /// Time to live of what is set.
    pub ttl: Option<Ttl>,
    /// Workers; each owns its share of the keys and has one batch under way.
    pub workers: usize,
    /// Operations of a batch, on different keys.
    pub batch: usize,
    /// Begins every key.
    pub prefix: String,
}

impl Default for LoadOptions {
    /// Small enough for a test: 20,000 entries of 100 bytes, 600 writes in a second.
    fn default() -> Self {
        Self {
            entries: 20_000,
            value_bytes: 100,
            writes_per_second: 600,
            get_percent: 40,
            delete_percent: 5,
            ttl: None,
            workers: 8,
            batch: 16,
            prefix: "load".to_owned(),
        }
    }
}

/// What workers look at.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Names and beginnings of all phases so far, the last one is on.
    phases: Mutex<Vec<(String, Instant)>>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn phases(&self) -> Vec<String> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.iter().map(|(name, _)| name.clone()).collect()
    }

    fn begin(&self, name: &str) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.push((name.to_owned(), Instant::now()));
    }

    /// How long each phase took, the last one until now.
    fn durations(&self) -> Vec<Duration> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = phases.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([Instant::now()]);
        phases
            .iter()
            .zip(ends)
            .map(|((_, start), end)| end - *start)
            .collect()
    }
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    resting: Vec<Worker>,
    running: JoinSet<Worker>,
}

impl Load {
    /// Writes every key once, as fast as it goes: the phase `fill`. Nothing runs then.
    pub async fn fill(client: &Client, options: &LoadOptions) -> Self {
        let workers = 0..options.workers;
        let workers = workers.map(|number| Worker::new(number, client.clone(), options));
        let mut load = Self {
            shared: Arc::new(Shared::default()),
            resting: workers.collect(),
            running: JoinSet::new(),
        };
        load.shared.begin("fill");
        load.resting = all(load.resting, async |worker| worker.fill().await).await;
        load
    }

    /// A new phase begins; the first one sets the workers going.
    pub fn begin(&mut self, phase: &str) {
        self.shared.begin(phase);
        for mut worker in self.resting.drain(..) {
            let shared = Arc::clone(&self.shared);
            self.running.spawn(async move {
                worker.run(&shared).await;
                worker
            });
        }
    }

    /// Sends nothing any more, until another phase begins; the phase is called `rest`.
    pub async fn rest(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(worker) = self.running.join_next().await {
            self.resting.push(worker.expect("a worker does not panic"));
        }
        self.shared.stop.store(false, Ordering::Relaxed);
        self.shared.begin("rest");
        for worker in &mut self.resting {
            worker.phases.push(Phase::new("rest"));
        }
    }

    /// Stops, and reads every key: the phase `verify`.
    pub async fn finish(mut self) -> Report {
        self.rest().await;
        self.shared.begin("verify");
        let workers = all(self.resting, async |worker| worker.verify().await).await;
        let mut durations = self.shared.durations().into_iter();
        let mut phases: Vec<Phase> = Vec::new();
        for name in self.shared.phases() {
            let mut phase = Phase::new(&name);
            phase.took = durations.next().expect("one for each phase");
            phases.push(phase);
        }
        for worker in workers {
            for (sum, phase) in phases.iter_mut().zip(worker.phases) {
                sum.add(phase);
            }
        }
        Report { phases }
    }
}

/// Does something with all workers at once.
async fn all(
    workers: Vec<Worker>,
    act: impl AsyncFn(&mut Worker) + Clone + 'static,
) -> Vec<Worker> {
    let tasks = workers.into_iter().map(|mut worker| {
        let act = act.clone();
        async move {
            act(&mut worker).await;
            worker
        }
    });
    futures_util::future::join_all(tasks).await
}
