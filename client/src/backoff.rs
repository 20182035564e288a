//! When to try again: exponential, with jitter, bounded by the deadline. Pure.

use std::time::Duration;

/// The pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause before the second attempt, before jitter.
    pub first: Duration,
    /// No pause is longer.
    pub max: Duration,
    /// Attempts after the first.
    pub retries: u32,
}

impl Backoff {
    /// The pauses of a client's call: 25 ms is several round trips within a data
    /// centre, 1 s still leaves room for attempts within the timeout of 3 s.
    pub const fn call(retries: u32) -> Self {
        Self {
            first: Duration::from_millis(25),
            max: Duration::from_secs(1),
            retries,
        }
    }

    /// The pauses of a background task that never gives up: prompt after a blip,
    /// and one cheap attempt every 5 s from each process while the cluster is away.
    pub const fn for_ever() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
            retries: u32::MAX,
        }
    }

    /// The pause after `attempt` failed (counted from 0), or `None` to give up:
    /// attempts are used up, or the pause would outlast `time_left`. `jitter` is a
    /// random number in 0..1: half of the pause is fixed, half is drawn by it, so
    /// that callers that failed together do not come back together.
    pub fn pause(&self, attempt: u32, time_left: Duration, jitter: f64) -> Option<Duration> {
        if attempt >= self.retries {
            return None;
        }
        // 2^31 times any sensible first pause is beyond any sensible maximum.
        let factor = 1_u32 << attempt.min(31);
        let whole = self.first.saturating_mul(factor).min(self.max);
        let half = whole / 2;
        // A NaN clamps to NaN, which would panic below: take it for "no jitter".
        let jitter = if jitter.is_nan() {
            0.0
        } else {
            jitter.clamp(0.0, 1.0)
        };
        let pause = half + half.mul_f64(jitter);
        (pause < time_left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_the_maximum_and_end() {
        let backoff = Backoff {
            first: ms(100),
            max: ms(350),
            retries: 4,
        };
        for (attempt, jitter, expected) in [
            (0, 0.0, Some(ms(50))),
            (0, 0.5, Some(ms(75))),
            (0, 1.0, Some(ms(100))),
            (1, 0.0, Some(ms(100))),
            (1, 1.0, Some(ms(200))),
            (2, 1.0, Some(ms(350))),
            (3, 0.0, Some(ms(175))),
            (4, 0.0, None),
            (u32::MAX, 0.0, None),
        ] {
            assert_eq!(
                backoff.pause(attempt, LONG, jitter),
                expected,
                "{attempt} {jitter}"
            );
        }
    }

    #[test]
    fn a_pause_that_would_outlast_the_time_left_gives_up() {
        let backoff = Backoff {
            first: ms(100),
            max: ms(100),
            retries: 9,
        };
        for (time_left, expected) in [
            (ms(0), None),
            (ms(50), None),
            (ms(51), Some(ms(50))),
            (LONG, Some(ms(50))),
        ] {
            assert_eq!(backoff.pause(0, time_left, 0.0), expected, "{time_left:?}");
        }
    }

    #[test]
    fn no_input_panics() {
        let backoff = Backoff {
            first: Duration::MAX,
            max: Duration::MAX,
            retries: u32::MAX,
        };
        for jitter in [f64::NAN, f64::INFINITY, -1.0, 0.5] {
            backoff.pause(u32::MAX - 1, Duration::MAX, jitter);
        }
        assert!(Backoff::for_ever().pause(1_000_000, LONG, 0.0).is_some());
    }
}
