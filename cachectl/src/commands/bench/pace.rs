//! When requests are due in an open loop, whether answers come or not. Pure.

use std::time::Duration;

/// A request every so often, from a start on.
#[derive(Clone, Debug)]
pub struct Schedule {
    per_second: f64,
    /// Requests that are due at this time or later are not made any more.
    end: Duration,
    taken: u64,
}

impl Schedule {
    /// `per_second` requests a second until `end`, counted from the start.
    pub fn new(per_second: f64, end: Duration) -> Self {
        Self {
            per_second,
            end,
            taken: 0,
        }
    }

    /// When the next request is due; `None`: there is none any more.
    pub fn due(&self) -> Option<Duration> {
        // From the number, not by adding up: no error grows however long it runs.
        let due = Duration::try_from_secs_f64(self.taken as f64 / self.per_second).ok()?;
        (due < self.end).then_some(due)
    }

    /// Takes the next request, if it is due by `now`.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        let due = self.due().filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }

    /// Takes the next request, due or not.
    pub fn reserve(&mut self) -> Option<Duration> {
        let due = self.due()?;
        self.taken += 1;
        Some(due)
    }

    /// How many were due before `now` and were taken by nobody.
    pub fn missed(&self, now: Duration) -> u64 {
        let until = now.min(self.end).as_secs_f64();
        ((until * self.per_second).ceil() as u64).saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn requests_are_due_at_even_distances() {
        let mut schedule = Schedule::new(4.0, SECOND);
        let mut due = Vec::new();
        while let Some(at) = schedule.reserve() {
            due.push(at.as_millis());
        }
        assert_eq!(due, [0, 250, 500, 750]);
        assert_eq!(schedule.missed(SECOND * 2), 0);
    }

    #[test]
    fn nothing_is_taken_before_it_is_due() {
        let mut schedule = Schedule::new(10.0, SECOND);
        let at = Duration::from_millis;
        assert_eq!(schedule.take(at(0)), Some(at(0)));
        assert_eq!(schedule.take(at(99)), None);
        assert_eq!(schedule.take(at(250)), Some(at(100)));
        assert_eq!(schedule.take(at(250)), Some(at(200)));
        assert_eq!(schedule.take(at(250)), None);
    }

    #[test]
    fn what_nobody_took_is_counted() {
        let mut schedule = Schedule::new(10.0, SECOND);
        schedule.reserve();
        assert_eq!(schedule.missed(Duration::from_millis(450)), 4);
        assert_eq!(schedule.missed(SECOND * 5), 9);
    }

    #[test]
    fn a_long_run_does_not_drift() {
        let mut schedule = Schedule::new(3.0, Duration::MAX);
        for _ in 0..3_000_000 {
            schedule.reserve();
        }
        assert_eq!(schedule.due(), Some(SECOND * 1_000_000));
    }
}
