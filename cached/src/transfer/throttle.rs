//! How fast entries may be sent: a bucket of bytes that all senders of the process
//! share. Pure.

use std::time::Duration;

use crate::clock::Moment;

/// How much may be sent at once after a silence: that of so much time.
const BURST: Duration = Duration::from_millis(100);

/// Bytes that may be sent, which grow with time. What is sent may be more than is
/// there, so that the largest value passes at the lowest rate; the debt is waited off
/// by whoever sends next.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Bytes per second; 0: no limit.
    rate: u64,
    /// Bytes that may be sent now; below 0: a debt.
    credit: i64,
    /// When the credit was that.
    at: Moment,
}

impl Throttle {
    /// No limit.
    pub(super) fn new() -> Self {
        Self {
            rate: 0,
            credit: 0,
            at: Moment::default(),
        }
    }

    /// Bytes per second from now on; 0: no limit.
    pub(super) fn set_rate(&mut self, now: Moment, bytes_per_second: u64) {
        if bytes_per_second == self.rate {
            return;
        }
        self.earn(now);
        self.rate = bytes_per_second;
        // A debt at the old rate is no debt at the new one.
        self.credit = self.credit.max(0).min(self.burst());
    }

    /// How long to wait before anything more is sent; zero: it may be sent now.
    pub(super) fn wait(&mut self, now: Moment) -> Duration {
        self.earn(now);
        if self.rate == 0 || self.credit > 0 {
            return Duration::ZERO;
        }
        let missing = self.credit.unsigned_abs() + 1;
        let micros = u128::from(missing) * 1_000_000 / u128::from(self.rate) + 1;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// So many bytes are sent, whether they may or not.
    pub(super) fn spend(&mut self, now: Moment, bytes: u64) {
        if self.rate > 0 {
            self.earn(now);
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.credit = self.credit.saturating_sub(bytes);
        }
    }

    fn earn(&mut self, now: Moment) {
        let earned = u128::from(self.rate) * now.since(self.at).as_micros() / 1_000_000;
        // What is less than a byte must not be lost by looking often.
        if earned == 0 && self.rate > 0 {
            return;
        }
        let earned = i64::try_from(earned).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(earned).min(self.burst());
        self.at = self.at.max(now);
    }

    fn burst(&self) -> i64 {
        let bytes = u128::from(self.rate) * BURST.as_millis() / 1000;
        i64::try_from(bytes).unwrap_or(i64::MAX).max(1)
    }
}

/// Pause after each message: the shortest that the runtime's timer knows.
pub(super) const BREATH: Duration = Duration::from_millis(1);

/// How late the end of such a pause may come on a machine that has nothing else to do:
/// timers end with the millisecond after theirs.
const BREATH_SLACK: Duration = Duration::from_micros(1200);

/// How many times its lateness a sender waits on: with that it takes about a tenth of the
/// time for which others wait.
const PATIENCE: u32 = 10;

/// Longest further pause: a batch goes on, if slowly, on a machine that is never idle.
const REST_MAX: Duration = Duration::from_millis(40);

/// How much longer to wait after a pause that took so long: where it ended late, others
/// wait for the processor, and a move is in less of a hurry than they are.
pub(super) fn rest(took: Duration) -> Duration {
    let late = took.saturating_sub(BREATH + BREATH_SLACK);
    late.saturating_mul(PATIENCE).min(REST_MAX)
}

/// When slots may be sealed next. Operations on sealed slots wait, so after a seal that
/// held some up there is a rest until they are few among all: then a move shows in nobody's
/// percentiles, however long a seal takes on that machine, and on an idle node it is not
/// slowed down at all.
#[derive(Debug, Default)]
pub(super) struct SealPace {
    /// The rest is over by then,
    until: Moment,
    /// … or when so many operations were asked for.
    until_asked: u64,
}

/// One operation among so many may wait for a seal. A request of 64 of them, spread over
/// all slots of some nodes, then meets a seal less than once in a hundred times.
const ASKED_PER_PARKED: u64 = 8000;

/// Longest rest after a seal. A node has 256 pages, and one seal for each and receiver, so
/// a move ends whatever the load.
const SEAL_REST_MAX: Duration = Duration::from_millis(500);

/// How often it is looked whether enough was asked for.
const SEAL_LOOK_EVERY: Duration = Duration::from_millis(20);

impl SealPace {
    /// How long to wait before looking again; zero: slots may be sealed.
    pub(super) fn wait(&self, now: Moment, asked: u64) -> Duration {
        match asked < self.until_asked {
            true => self.until.since(now).min(SEAL_LOOK_EVERY),
            false => Duration::ZERO,
        }
    }

    /// A seal has ended that held up so many operations.
    pub(super) fn rest(&mut self, now: Moment, asked: u64, parked: u64) {
        self.until = now + SEAL_REST_MAX;
        self.until_asked = asked.saturating_add(parked.saturating_mul(ASKED_PER_PARKED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    #[test]
    fn who_is_late_rests_longer() {
        for (took, expected) in [(0, 0), (1, 0), (2, 0), (3, 8), (4, 18), (60, 40)] {
            assert_eq!(
                rest(Duration::from_millis(took)),
                Duration::from_millis(expected)
            );
        }
    }

    #[test]
    fn seals_are_rare_where_operations_meet_them() {
        let mut pace = SealPace::default();
        assert_eq!(pace.wait(at(5), 0), Duration::ZERO);
        pace.rest(at(10), 100, 0);
        assert_eq!(pace.wait(at(10), 100), Duration::ZERO, "nobody waited");
        pace.rest(at(10), 100, 2);
        assert_eq!(pace.wait(at(10), 16_099), SEAL_LOOK_EVERY);
        assert_eq!(pace.wait(at(10), 16_100), Duration::ZERO);
        assert_eq!(pace.wait(at(505), 100), Duration::from_millis(5));
        assert_eq!(pace.wait(at(510), 100), Duration::ZERO);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut throttle = Throttle::new();
        throttle.spend(at(0), 1 << 40);
        assert_eq!(throttle.wait(at(0)), Duration::ZERO);
    }

    #[test]
    fn over_time_as_much_is_sent_as_the_rate_says() {
        for rate in [1_000, 1_000_000, 10_000_000_000] {
            let mut throttle = Throttle::new();
            throttle.set_rate(at(0), rate);
            let (mut now, mut sent) = (at(0), 0);
            while now < at(10_000) {
                now = now + throttle.wait(now);
                throttle.spend(now, 65_536);
                sent += 65_536;
            }
            let most = rate * 10 + rate / 10 + 2 * 65_536;
            assert!(sent <= most, "{sent} bytes at {rate}");
            assert!(sent + rate / 5 >= rate * 10, "{sent} bytes at {rate}");
        }
    }

    #[test]
    fn a_new_rate_forgives_the_debt_of_the_old_one() {
        let mut throttle = Throttle::new();
        throttle.set_rate(at(0), 10);
        throttle.spend(at(0), 1_000_000);
        assert!(throttle.wait(at(0)) > Duration::from_secs(3600));
        throttle.set_rate(at(1), 1_000_000);
        assert!(throttle.wait(at(1)) < Duration::from_millis(1));
        throttle.set_rate(at(2), 0);
        assert_eq!(throttle.wait(at(2)), Duration::ZERO);
    }

    #[test]
    fn a_silence_saves_no_more_than_a_burst() {
        let mut throttle = Throttle::new();
        throttle.set_rate(at(0), 1_000_000);
        throttle.spend(at(60_000), 200_000);
        let wait = throttle.wait(at(60_000));
        assert!(wait >= Duration::from_millis(100), "{wait:?}");
    }
}
