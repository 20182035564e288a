//! How many bytes went out over the last seconds, for people. Pure.

use std::collections::VecDeque;

use crate::clock::Moment;

/// Seconds that are looked back.
const SECONDS: u64 = 5;

/// Bytes by second, newest last.
#[derive(Debug, Default)]
pub(super) struct Meter(VecDeque<(u64, u64)>);

impl Meter {
    /// So many bytes went out now.
    pub(super) fn add(&mut self, now: Moment, bytes: u64) {
        let second = second(now);
        match self.0.back_mut() {
            Some((last, sum)) if *last == second => *sum += bytes,
            _ => self.0.push_back((second, bytes)),
        }
        self.forget(second);
    }

    /// Bytes per second, on average.
    pub(super) fn rate(&mut self, now: Moment) -> u64 {
        self.forget(second(now));
        self.0.iter().map(|(_, bytes)| bytes).sum::<u64>() / SECONDS
    }

    /// Whether nothing went out for a while.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn forget(&mut self, now: u64) {
        while let Some((first, _)) = self.0.front()
            && first + SECONDS <= now
        {
            self.0.pop_front();
        }
    }
}

fn second(now: Moment) -> u64 {
    now.as_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_back_some_seconds_and_no_further() {
        let at = |s: u64| Moment::from_micros(s * 1_000_000);
        let mut meter = Meter::default();
        for second in 0..20 {
            meter.add(at(second), 500);
            meter.add(at(second), 500);
        }
        assert_eq!(meter.rate(at(19)), 1000);
        assert_eq!(meter.rate(at(21)), 600);
        assert_eq!(meter.rate(at(60)), 0);
        assert!(meter.is_empty());
    }
}
