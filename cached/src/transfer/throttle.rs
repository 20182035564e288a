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

    /// So many bytes are sent because writers would wait for them. They count as any, but
    /// no more than a burst of them is owed: a move goes on after users wrote a lot.
    pub(super) fn spend_for_writers(&mut self, now: Moment, bytes: u64) {
        let (before, burst) = (self.credit, self.burst());
        self.spend(now, bytes);
        self.credit = self.credit.max(before.min(-burst));
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

/// When the next message of a batch may be sent, on a node that has other work: one is
/// under way at a time, and after it was taken in there is a rest of several times as long
/// as that took. So a move has its share of whatever is slowest, and requests the others:
/// where they have to wait, messages take longer, and so do the rests.
#[derive(Debug, Default)]
pub(super) struct Breath {
    /// A message is under way since then, and the next one waits for it.
    sent_at: Option<Moment>,
    until: Moment,
}

/// How many times the time that a message took the rest after it is.
const REST: u32 = 4;

/// Longest such rest: a batch goes on, if slowly, on a machine that is never idle.
const REST_MAX: Duration = Duration::from_millis(40);

/// How long to wait at most for what is under way before looking again.
const TAKEN_WITHIN: Duration = Duration::from_millis(250);

impl Breath {
    /// How long to wait before looking again; zero: the next message may be sent.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        match self.sent_at {
            Some(_) => TAKEN_WITHIN,
            None => self.until.since(now),
        }
    }

    /// A message is sent. `others_work`: requests came since the one before it.
    pub(super) fn sent(&mut self, now: Moment, others_work: bool) {
        self.sent_at = others_work.then_some(now);
    }

    /// Everything under way was taken in.
    pub(super) fn taken(&mut self, now: Moment) {
        if let Some(sent_at) = self.sent_at.take() {
            let rest = now.since(sent_at).saturating_mul(REST);
            self.until = now + rest.min(REST_MAX);
        }
    }
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
    fn a_move_rests_longer_where_it_takes_longer() {
        let mut breath = Breath::default();
        for (took, rest) in [(1, 4), (3, 12), (60, 40)] {
            breath.sent(at(100), true);
            assert_eq!(breath.wait(at(101)), TAKEN_WITHIN, "one at a time");
            breath.taken(at(100 + took));
            let rest = Duration::from_millis(rest);
            assert_eq!(breath.wait(at(100 + took)), rest);
            assert_eq!(breath.wait(at(100 + took) + rest), Duration::ZERO);
        }
        breath.sent(at(200), false);
        assert_eq!(breath.wait(at(200)), Duration::ZERO, "nobody else is there");
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
    fn what_writers_make_it_send_is_owed_for_a_moment_only() {
        let mut throttle = Throttle::new();
        throttle.set_rate(at(0), 1_000_000);
        for _ in 0..100 {
            throttle.spend_for_writers(at(0), 100_000);
        }
        let wait = throttle.wait(at(0));
        assert!(wait > Duration::from_millis(90), "{wait:?}");
        assert!(wait < Duration::from_millis(110), "{wait:?}");
        // It forgives nothing else.
        throttle.spend(at(0), 1_000_000);
        throttle.spend_for_writers(at(0), 1_000_000);
        assert!(throttle.wait(at(0)) > Duration::from_secs(1));
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
