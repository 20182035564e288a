//! How fresh what is shown is: each stream's state, and the word for all of them. Pure.

use std::time::Duration;

use super::message::{Now, Source};

/// Silence after which what is shown is called stale: three times the pause between two
/// questions.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// One stream.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// When it said something last.
    pub heard: Option<Duration>,
    /// Who said it.
    pub endpoint: String,
    /// Since nobody answers.
    pub lost: Option<Lost>,
}

/// Nobody answers a stream.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Why.
    pub reason: String,
    /// Tries that failed.
    pub attempt: u32,
    /// When the next one begins.
    pub retry_at: Duration,
}

/// Every stream.
#[derive(Clone, Debug, Default)]
pub struct Links([Link; Source::ALL.len()]);

/// How fresh what is shown is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing has been heard yet.
    Connecting,
    /// It is as it is.
    Live(Duration),
    /// It may have changed since.
    Stale(Duration),
    /// Nobody answers.
    Reconnecting {
        /// Tries that failed.
        attempt: u32,
        /// Until the next one.
        retry_in: Duration,
        /// How old what is shown is; `None`: nothing is shown yet.
        age: Option<Duration>,
        /// Why nobody answers.
        reason: String,
    },
}

impl Links {
    /// A stream.
    pub fn of(&self, source: Source) -> &Link {
        &self.0[source as usize]
    }

    /// It said something. Answers who said it before, if that was somebody else.
    pub fn hear(&mut self, now: Now, source: Source, endpoint: &str) -> Option<String> {
        let link = &mut self.0[source as usize];
        link.heard = Some(now.since_start);
        link.lost = None;
        if link.endpoint == endpoint {
            return None;
        }
        let before = std::mem::replace(&mut link.endpoint, endpoint.to_owned());
        Some(before).filter(|before| !before.is_empty())
    }

    /// Nobody answers it.
    pub fn lose(
        &mut self,
        now: Now,
        source: Source,
        reason: String,
        attempt: u32,
        retry: Duration,
    ) {
        self.0[source as usize].lost = Some(Lost {
            reason,
            attempt,
            retry_at: now.since_start + retry,
        });
    }

    /// The word for all of them: health is asked for every second, of everybody.
    pub fn freshness(&self, now: Now) -> Freshness {
        let link = self.of(Source::Status);
        let age = link.heard.map(|at| now.since_start.saturating_sub(at));
        if let Some(lost) = &link.lost {
            return Freshness::Reconnecting {
                attempt: lost.attempt,
                retry_in: lost.retry_at.saturating_sub(now.since_start),
                age,
                reason: lost.reason.clone(),
            };
        }
        match age {
            None => Freshness::Connecting,
            Some(age) if age < STALE_AFTER => Freshness::Live(age),
            Some(age) => Freshness::Stale(age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now {
            since_start: Duration::from_millis(ms),
            unix_ms: 0,
        }
    }

    #[test]
    fn silence_makes_stale_and_failures_are_counted_down() {
        let mut links = Links::default();
        assert_eq!(links.freshness(at(0)), Freshness::Connecting);
        assert_eq!(links.hear(at(1000), Source::Status, "a"), None);
        assert_eq!(
            links.freshness(at(1300)),
            Freshness::Live(Duration::from_millis(300))
        );
        assert_eq!(
            links.freshness(at(7000)),
            Freshness::Stale(Duration::from_secs(6))
        );
        links.lose(
            at(7000),
            Source::Status,
            "refused".to_owned(),
            3,
            Duration::from_secs(4),
        );
        let Freshness::Reconnecting {
            attempt,
            retry_in,
            age,
            ..
        } = links.freshness(at(8500))
        else {
            panic!("{links:?}");
        };
        assert_eq!((attempt, retry_in.as_millis()), (3, 2500));
        assert_eq!(age, Some(Duration::from_millis(7500)));
        assert_eq!(
            links.hear(at(9000), Source::Status, "b"),
            Some("a".to_owned())
        );
        assert!(matches!(links.freshness(at(9000)), Freshness::Live(_)));
    }

    #[test]
    fn each_source_has_a_place() {
        for (index, source) in Source::ALL.into_iter().enumerate() {
            assert_eq!(source as usize, index);
        }
    }
}
