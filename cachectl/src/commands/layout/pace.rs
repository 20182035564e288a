//! How often a log is told how far an operation is: the first line and the last one at
//! once, and between them one now and then. Pure.

use std::time::{Duration, Instant};

/// Least time between two lines that are neither the first nor the last.
const BETWEEN: Duration = Duration::from_millis(500);

/// When the last line was said, and whether one is owed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    said: Option<Instant>,
    owed: bool,
}

impl Pace {
    /// Something has changed: whether it is to be said now. It is owed otherwise.
    pub(super) fn on_change(&mut self, now: Instant, last: bool) -> bool {
        self.owed = true;
        if last {
            self.owed = false;
            self.said = Some(now);
            return true;
        }
        self.on_time(now)
    }

    /// Time went on: whether what is owed is to be said now.
    pub(super) fn on_time(&mut self, now: Instant) -> bool {
        let due = self.owed && self.wait(now).is_none_or(|wait| wait.is_zero());
        if due {
            self.owed = false;
            self.said = Some(now);
        }
        due
    }

    /// How long what is owed has to wait; `None`: nothing does.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let said = self.said.filter(|_| self.owed)?;
        Some((said + BETWEEN).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_said_at_once_and_others_twice_a_second() {
        let start = Instant::now();
        let mut pace = Pace::default();
        // When, whether something changed (and was the last), and whether a line is said.
        for (ms, change, said) in [
            (0, Some(false), true),
            (100, Some(false), false),
            (200, Some(false), false),
            (499, None, false),
            (500, None, true),
            (600, None, false),
            (1000, None, false),
            (1700, Some(false), true),
            (1701, Some(false), false),
            (1702, Some(true), true),
            (9000, None, false),
        ] {
            let now = start + Duration::from_millis(ms);
            let told = match change {
                Some(last) => pace.on_change(now, last),
                None => pace.on_time(now),
            };
            assert_eq!(told, said, "{ms} ms");
        }
    }

    #[test]
    fn only_what_is_owed_has_to_wait() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.wait(now), None);
        assert!(pace.on_change(now, false));
        assert_eq!(pace.wait(now), None, "said");
        let later = now + Duration::from_millis(300);
        assert!(!pace.on_change(later, false));
        assert_eq!(pace.wait(later), Some(Duration::from_millis(200)));
        assert_eq!(pace.wait(now + BETWEEN * 3), Some(Duration::ZERO));
    }
}
