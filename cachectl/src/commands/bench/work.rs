//! A phase of the load: clients that take operations, send them, and record what they
//! hear. All of them are futures of one task, which its caller polls.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::mix::Kind;
use super::pace::Schedule;
use super::plan::{Plan, Shape};
use super::record::Record;
use super::source::{Source, Work};
use super::targets::Targets;
use super::timer::Timer;
use super::wire::{Ask, Wire};
use super::written::Written;
use crate::error::CliError;

/// How long a client waits after a round in which everything failed: a server that
/// refuses is not asked as fast as it can refuse. Open loops keep to their schedule.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// How far into the buffer of bytes a value may begin, so that values differ.
pub const OFFSETS: usize = 4096;

/// Whether the load shall end early.
#[derive(Debug, Default)]
pub struct Stop {
    set: Cell<bool>,
    changed: Notify,
}

impl Stop {
    /// From now on nothing new begins.
    pub fn set(&self) {
        self.set.set(true);
        self.changed.notify_waiters();
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }
}

/// One phase: filling in, measuring or removing.
#[derive(Debug)]
pub struct Phase<'a> {
    /// What is done.
    pub plan: &'a Plan,
    /// Who is asked.
    pub targets: &'a Targets,
    /// Bytes of values.
    pub bytes: &'a Bytes,
    /// Keys that may have been written.
    pub written: &'a RefCell<Written>,
    /// Whether it shall end early.
    pub stop: &'a Stop,
    /// Its operations.
    pub source: RefCell<Source>,
    /// Due times in an open loop.
    pub schedule: Option<RefCell<Schedule>>,
    /// Rounds.
    pub shape: Shape,
    /// Whether a read that found nothing is followed by a write.
    pub sets_on_miss: bool,
    /// When it began.
    pub start: Instant,
    /// When nothing new begins any more.
    pub end: Option<Instant>,
    /// What was heard.
    pub record: RefCell<Record>,
}

impl Phase<'_> {
    /// Runs every client until there is nothing left to do.
    pub async fn run(&self, wires: &mut [Wire]) -> Result<(), CliError> {
        let clients = wires.iter_mut().enumerate();
        let clients = clients.map(|(number, wire)| self.client(number, wire));
        join_all(clients).await.into_iter().collect()
    }

    async fn client(&self, number: usize, wire: &mut Wire) -> Result<(), CliError> {
        let timer = match self.schedule {
            Some(_) => Some(Timer::new().map_err(|error| timer_failed(&error))?),
            None => None,
        };
        loop {
            let due = match (&self.schedule, &timer) {
                (Some(schedule), Some(timer)) => self.due(schedule, timer).await?,
                _ => self.at_once(),
            };
            let operations = due.len() * usize::from(self.shape.batch);
            let works: Vec<Work> = {
                let mut source = self.source.borrow_mut();
                source.by_ref().take(operations).collect()
            };
            if works.is_empty() {
                return Ok(());
            }
            let batch = usize::from(self.shape.batch);
            let since = |place: usize| due.get(place / batch).copied();
            let came = self.exchange(number, wire, &works, since).await?;
            if self.sets_on_miss && !came.missed.is_empty() {
                let now = Instant::now();
                self.exchange(number, wire, &came.missed, |_| Some(now))
                    .await?;
            }
            if timer.is_none() && came.failed == works.len() {
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    /// When the requests of the next round are due in a closed loop: now; none: it ended.
    fn at_once(&self) -> Vec<Instant> {
        let now = Instant::now();
        match self.ended(now) {
            true => Vec::new(),
            false => vec![now; usize::from(self.shape.pipeline)],
        }
    }

    fn ended(&self, now: Instant) -> bool {
        self.stop.is_set() || self.end.is_some_and(|end| now >= end)
    }

    /// Waits for the next request of an open loop, and takes those that are late as well;
    /// none: it ended.
    async fn due(
        &self,
        schedule: &RefCell<Schedule>,
        timer: &Timer,
    ) -> Result<Vec<Instant>, CliError> {
        if self.ended(Instant::now()) {
            return Ok(Vec::new());
        }
        let Some(first) = schedule.borrow_mut().reserve() else {
            return Ok(Vec::new());
        };
        let first = self.start + first;
        tokio::select! {
            slept = timer.sleep_until(first) => slept.map_err(|error| timer_failed(&error))?,
            () = self.stop.changed.notified() => return Ok(Vec::new()),
        }
        let mut due = vec![first];
        let now = self.start.elapsed();
        while due.len() < usize::from(self.shape.pipeline)
            && let Some(late) = schedule.borrow_mut().take(now)
        {
            due.push(self.start + late);
        }
        Ok(due)
    }

    /// Sends a round and records what is heard. `since`: when the operation at a place
    /// was due.
    async fn exchange(
        &self,
        number: usize,
        wire: &mut Wire,
        works: &[Work],
        since: impl Fn(usize) -> Option<Instant>,
    ) -> Result<Came, CliError> {
        let asks: Vec<Ask> = works
            .iter()
            .map(|work| self.ask(number, work))
            .collect::<Result<_, _>>()?;
        let heard = wire.round(&asks).await;
        debug_assert_eq!(heard.len(), asks.len(), "one answer for each operation");
        let mut record = self.record.borrow_mut();
        let mut came = Came::default();
        for (place, heard) in heard.into_iter().enumerate() {
            let (Some(ask), Some(work)) = (asks.get(place), works.get(place)) else {
                break;
            };
            match heard.outcome {
                Ok(found) => {
                    let since = since(place).unwrap_or(heard.at);
                    let latency = heard.at.saturating_duration_since(since);
                    record.answered(ask.server, ask.kind, latency, found);
                    if ask.kind == Kind::Get && found == Some(false) {
                        let kind = Kind::Set;
                        came.missed.push(Work { kind, ..*work });
                    }
                }
                Err(failed) => {
                    came.failed += 1;
                    record.failed(ask.server, ask.kind, failed);
                }
            }
        }
        Ok(came)
    }

    fn ask(&self, number: usize, work: &Work) -> Result<Ask, CliError> {
        let key = Bytes::from(self.plan.key(work.key));
        let value = match work.kind {
            Kind::Set => {
                self.written.borrow_mut().add(work.key);
                let first = work.key as usize % OFFSETS;
                self.bytes.slice(first..first + work.value_bytes)
            }
            Kind::Get | Kind::Delete => Bytes::new(),
        };
        Ok(Ask {
            kind: work.kind,
            server: self.targets.choose(&key, number)?,
            key,
            value,
        })
    }
}

/// What a round came to.
#[derive(Debug, Default)]
struct Came {
    /// Writes of the keys that were read and not found.
    missed: Vec<Work>,
    /// Operations that failed.
    failed: usize,
}

fn timer_failed(error: &std::io::Error) -> CliError {
    CliError::usage(format!(
        "--rate: no timer for each client: {error}; use fewer --clients"
    ))
}
