//! Decides whom this process attempts: a circuit breaker for each member it
//! could not reach. Pure: no clock, no lock, no chance.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::types::{Incarnation, MemberId, NodeName};

use crate::clock::{Moment, WallMs};

/// Longest error text that is kept of a failed attempt, in characters: one line
/// of a table, and a bound on what a peer can make this process remember.
const ERROR_CHARS_MAX: usize = 200;

/// When a breaker opens, and how it finds out that it may close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it; at least 1.
    pub after: u32,
    /// How long it stays open at most.
    pub listed_for: Duration,
    /// Pause before the first attempt that is let through while it is open.
    pub probe_first: Duration,
    /// These pauses double up to this one.
    pub probe_max: Duration,
}

impl Default for BreakerConfig {
    /// 3 failures, 5 minutes: a restart or a lost link is found within one
    /// request and its retries, and forgotten if nobody asks any more. Probes
    /// after 1 s, doubling to 30 s: a peer that comes back is used again soon,
    /// one that does not costs two requests a minute.
    fn default() -> Self {
        Self {
            after: 3,
            listed_for: Duration::from_secs(300),
            probe_first: Duration::from_secs(1),
            probe_max: Duration::from_secs(30),
        }
    }
}

/// Whether an attempt may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes; its outcome should be reported.
    Allowed,
    /// No: this process has blacklisted the member.
    Listed {
        /// Failures in a row.
        failures: u32,
        /// When the next attempt is let through.
        next_probe_in: Duration,
        /// What the last one ended with.
        last_error: String,
    },
}

/// An open breaker as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whom this process does not attempt.
    pub target: MemberId,
    /// Failures in a row.
    pub failures: u32,
    /// When it was opened, Unix time.
    pub since: WallMs,
    /// When it is forgotten at the latest.
    pub expires_in: Duration,
    /// What the last attempt ended with.
    pub last_error: String,
    /// When the next attempt is let through.
    pub next_probe_in: Duration,
}

/// What is known of the attempts on one member.
#[derive(Clone, Debug)]
struct Breaker {
    inc: Incarnation,
    failures: u32,
    last_failure: Moment,
    last_error: String,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Moment,
    since_wall: WallMs,
    next_probe: Moment,
    probe_pause: Duration,
}

/// The breakers of one observing process. At most one life of each name: only
/// one can be alive, so a new incarnation's failures push the old ones out.
#[derive(Debug, Default)]
pub struct BreakerTable {
    config: BreakerConfig,
    breakers: BTreeMap<NodeName, Breaker>,
}

impl BreakerTable {
    /// Nobody is listed.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            breakers: BTreeMap::new(),
        }
    }

    /// Other figures from now on; open breakers stay open for at most the new time.
    pub fn set_config(&mut self, config: BreakerConfig) {
        self.config = config;
    }

    /// Whether `target` may be attempted. Answering "yes" for an open breaker
    /// uses its probe up: the next one is let through after the doubled pause.
    pub fn admit(&mut self, target: &MemberId, now: Moment) -> Admission {
        let config = self.config;
        let Some(breaker) = self.breakers.get_mut(&target.name) else {
            return Admission::Allowed;
        };
        if breaker.inc != target.inc || breaker.is_over(&config, now) {
            return Admission::Allowed;
        }
        let Some(open) = &mut breaker.open else {
            return Admission::Allowed;
        };
        if open.next_probe <= now {
            open.next_probe = now + open.probe_pause;
            open.probe_pause = (open.probe_pause * 2).min(config.probe_max);
            return Admission::Allowed;
        }
        Admission::Listed {
            failures: breaker.failures,
            next_probe_in: open.next_probe.since(now),
            last_error: breaker.last_error.clone(),
        }
    }

    /// Whether `target` is admitted, and without a probe being used up for it.
    pub fn is_clear(&self, target: &MemberId) -> bool {
        let breaker = self.breakers.get(&target.name);
        breaker.is_none_or(|breaker| breaker.inc != target.inc || breaker.open.is_none())
    }

    /// `target` answered, whatever it answered.
    pub fn success(&mut self, target: &MemberId) {
        if self
            .breakers
            .get(&target.name)
            .is_some_and(|breaker| breaker.inc == target.inc)
        {
            self.breakers.remove(&target.name);
        }
    }

    /// An attempt on `target` that began at `began` failed. Answers whether this
    /// opened its breaker. An attempt that was under way when the last one failed
    /// says nothing new: one broken connection fails all the calls on it at once.
    pub fn failure(
        &mut self,
        target: &MemberId,
        error: &str,
        began: Moment,
        now: Moment,
        wall: WallMs,
    ) -> bool {
        let config = self.config;
        let fresh = || Breaker {
            inc: target.inc,
            failures: 0,
            last_failure: now,
            last_error: String::new(),
            open: None,
        };
        let breaker = self
            .breakers
            .entry(target.name.clone())
            .or_insert_with(fresh);
        if breaker.inc != target.inc || breaker.is_over(&config, now) {
            *breaker = fresh();
        }
        if breaker.failures > 0 && began < breaker.last_failure {
            return false;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.last_failure = now;
        breaker.last_error = error.chars().take(ERROR_CHARS_MAX).collect();
        if breaker.open.is_some() || breaker.failures < config.after {
            return false;
        }
        breaker.open = Some(Open {
            since: now,
            since_wall: wall,
            next_probe: now + config.probe_first,
            probe_pause: (config.probe_first * 2).min(config.probe_max),
        });
        true
    }

    /// Forgets what is over; answers whom.
    pub fn sweep(&mut self, now: Moment) -> Vec<NodeName> {
        let config = self.config;
        let mut over = Vec::new();
        self.breakers.retain(|name, breaker| {
            if breaker.is_over(&config, now) {
                over.push(name.clone());
                return false;
            }
            true
        });
        over
    }

    /// The open breakers, by name.
    pub fn listed(&self, now: Moment) -> Vec<Listed> {
        let entry = |(name, breaker): (&NodeName, &Breaker)| {
            let open = breaker
                .open
                .filter(|_| !breaker.is_over(&self.config, now))?;
            Some(Listed {
                target: MemberId {
                    name: name.clone(),
                    inc: breaker.inc,
                },
                failures: breaker.failures,
                since: open.since_wall,
                expires_in: (open.since + self.config.listed_for).since(now),
                last_error: breaker.last_error.clone(),
                next_probe_in: open.next_probe.since(now),
            })
        };
        self.breakers.iter().filter_map(entry).collect()
    }
}

impl Breaker {
    /// Open for its whole time, or closed and without a failure for as long.
    fn is_over(&self, config: &BreakerConfig, now: Moment) -> bool {
        let start = self.open.map_or(self.last_failure, |open| open.since);
        start + config.listed_for <= now
    }
}
