//! What is under way of one batch, and when a sender must slow writers down or give
//! up. Pure.

use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

use crate::clock::Moment;

/// Weight of what writers may leave in the log before they wait.
pub(super) const WINDOW: u64 = 1 << 20;
/// The narrowest window.
pub(super) const WINDOW_MIN: u64 = 32 << 10;
/// Weight of one message, unless one value alone is larger.
pub(super) const CHUNK: u64 = 128 << 10;
/// Weight that may be sent and not acknowledged.
pub(super) const IN_FLIGHT_MAX: u64 = 4 << 20;
/// A batch with less than this to go has caught up: it is gone in a few milliseconds.
pub(super) const LAG_MAX: u64 = 64 << 10;
/// How often it is looked whether a batch has caught up.
pub(super) const CHECK_EVERY: Duration = Duration::from_millis(250);
/// How many looks in a row find that it has not before writers are slowed down (R21).
const CHECKS_MAX: u32 = 3;
/// How long writers may be held up by a receiver that takes nothing (R22).
const FULL_MAX: Duration = Duration::from_secs(1);
/// How long a receiver may take nothing while something is under way.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Sums and times of one batch.
#[derive(Debug)]
pub(super) struct Flow {
    /// Changes sent, without seals.
    pub(super) sent: u64,
    /// … that the receiver has taken in, skipped ones included.
    pub(super) applied: u64,
    /// … of which it had something newer.
    pub(super) skipped: u64,
    /// Bytes of keys and values that it has taken in.
    pub(super) bytes: u64,
    /// Messages under way: changes sent with it and before, and its weight.
    messages: VecDeque<(u64, u64)>,
    in_flight: u64,
    window: u64,
    /// Everything was scanned; looks since then that found too much to go.
    scanned: Option<u32>,
    caught_up: bool,
    next_check: Moment,
    /// The receiver took something, or had nothing to take.
    moved_at: Moment,
    /// Writers have found no room since then.
    full_since: Option<Moment>,
    /// Since the last look: writers were ahead, …
    pressed: bool,
    /// … a rate held messages back.
    rated: bool,
}

impl Flow {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            sent: 0,
            applied: 0,
            skipped: 0,
            bytes: 0,
            messages: VecDeque::new(),
            in_flight: 0,
            window: WINDOW,
            scanned: None,
            caught_up: false,
            next_check: now,
            moved_at: now,
            full_since: None,
            pressed: false,
            rated: false,
        }
    }

    /// Whether one more message may be sent. Where writers are slowed down, what is under
    /// way is bounded as what waits is: only both together say how far behind it is.
    pub(super) fn has_room(&self) -> bool {
        let bound = match self.throttled() {
            true => self.window.max(WINDOW_MIN),
            false => IN_FLIGHT_MAX,
        };
        self.in_flight < bound
    }

    /// A message of so many changes and so much weight is sent.
    pub(super) fn on_sent(&mut self, now: Moment, changes: u64, weight: u64) {
        if self.messages.is_empty() {
            self.moved_at = now;
        }
        self.sent += changes;
        self.in_flight += weight;
        self.messages.push_back((self.sent, weight));
    }

    /// The receiver tells its sums. The error says what cannot be.
    pub(super) fn on_applied(
        &mut self,
        now: Moment,
        (changes, bytes, skipped): (u64, u64, u64),
    ) -> Result<(), String> {
        if changes > self.sent || changes < self.applied || skipped > changes {
            return Err(format!(
                "the receiver speaks of {changes} changes, {skipped} of them skipped; {} were sent",
                self.sent
            ));
        }
        (self.applied, self.bytes, self.skipped) = (changes, bytes, skipped);
        while let Some((upto, weight)) = self.messages.front()
            && *upto <= changes
        {
            self.in_flight -= weight;
            self.messages.pop_front();
        }
        self.moved_at = now;
        self.full_since = None;
        Ok(())
    }

    /// Whether everything that was sent was taken in.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Everything was scanned once.
    pub(super) fn on_scanned(&mut self, now: Moment) {
        if self.scanned.is_none() {
            self.scanned = Some(0);
            self.next_check = now + CHECK_EVERY;
        }
    }

    /// Whether everything was scanned.
    pub(super) fn is_scanned(&self) -> bool {
        self.scanned.is_some()
    }

    /// True once: when little enough is left for the first time.
    pub(super) fn catches_up(&mut self, queued: u64) -> bool {
        let now_caught = !self.caught_up && self.is_close(queued);
        self.caught_up |= now_caught;
        now_caught
    }

    /// Whether little enough is left now.
    pub(super) fn is_close(&self, queued: u64) -> bool {
        self.scanned.is_some() && queued.saturating_add(self.in_flight) < LAG_MAX
    }

    /// Whether it was told that little is left.
    pub(super) fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Weight above which writers wait.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Whether writers are about to wait for what is queued. It goes out then, whatever the
    /// rate: that is for what a move adds, not for users.
    pub(super) fn is_pressed(&self, queued: u64) -> bool {
        queued >= self.window / 2
    }

    /// Whether writers wait earlier than usual.
    pub(super) fn throttled(&self) -> bool {
        self.window < WINDOW
    }

    /// Looks at the times; `queued` is what waits in the log, `rated` whether a rate holds
    /// it back. The error says why the attempt is given up. The window may be narrower
    /// afterwards.
    pub(super) fn check(&mut self, now: Moment, queued: u64, rated: bool) -> Result<(), String> {
        self.pressed |= self.is_pressed(queued);
        self.rated |= rated;
        if self.messages.is_empty() {
            // Whoever has nothing to take is not slow.
            (self.moved_at, self.full_since) = (now, None);
        } else if queued < self.window {
            self.full_since = None;
        } else {
            self.full_since.get_or_insert(now);
        }
        if self
            .full_since
            .is_some_and(|since| now.since(since) > FULL_MAX)
        {
            return Err(format!(
                "the receiver has taken nothing for {FULL_MAX:?} while writers waited"
            ));
        }
        if now.since(self.moved_at) > SILENCE_MAX {
            return Err(format!(
                "the receiver has taken nothing for {SILENCE_MAX:?}"
            ));
        }
        self.narrow(now, self.is_close(queued));
        Ok(())
    }

    /// Makes the window narrower while it does not get close, and in the end shuts writers
    /// out until it has: then it has an end, whatever is written. Writers do not pay for a
    /// rate that alone keeps it behind.
    fn narrow(&mut self, now: Moment, is_close: bool) {
        let Some(checks) = &mut self.scanned else {
            return;
        };
        if is_close {
            *checks = 0;
            if self.window == 0 {
                self.window = WINDOW_MIN;
            }
        } else if now >= self.next_check {
            self.next_check = now + CHECK_EVERY;
            let (pressed, rated) = (take(&mut self.pressed), take(&mut self.rated));
            if rated && !pressed {
                return;
            }
            *checks += 1;
            if *checks >= CHECKS_MAX {
                *checks = 0;
                self.window = match self.window / 2 {
                    narrower if narrower >= WINDOW_MIN => narrower,
                    _ => 0,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    #[test]
    fn what_is_under_way_is_bounded_and_leaves_with_its_acknowledgement() {
        let mut flow = Flow::new(at(0));
        let mut sent = 0;
        while flow.has_room() {
            flow.on_sent(at(0), 10, CHUNK);
            sent += 10;
        }
        assert_eq!(flow.in_flight, IN_FLIGHT_MAX);
        flow.on_applied(at(1), (15, 100, 3)).unwrap();
        assert_eq!(flow.in_flight, IN_FLIGHT_MAX - CHUNK);
        assert!(flow.has_room());
        flow.on_applied(at(1), (sent, 200, 3)).unwrap();
        assert_eq!((flow.in_flight, flow.bytes, flow.skipped), (0, 200, 3));
        for wrong in [(sent + 1, 0, 0), (sent - 1, 0, 0), (sent, 0, sent + 1)] {
            flow.on_applied(at(1), wrong).unwrap_err();
        }
    }

    #[test]
    fn it_catches_up_once_and_only_after_the_scan() {
        let mut flow = Flow::new(at(0));
        assert!(!flow.catches_up(0));
        flow.on_scanned(at(0));
        assert!(!flow.catches_up(LAG_MAX));
        assert!(flow.catches_up(LAG_MAX - 1));
        assert!(!flow.catches_up(0) && flow.has_caught_up());
    }

    #[test]
    fn who_does_not_catch_up_has_writers_wait_earlier() {
        let mut flow = Flow::new(at(0));
        flow.on_scanned(at(0));
        let mut windows = Vec::new();
        for ms in (0..=10_000).step_by(50) {
            flow.on_sent(at(ms), 1, 1);
            flow.on_applied(at(ms), (flow.sent, 0, 0)).unwrap();
            flow.check(at(ms), LAG_MAX, false).unwrap();
            if windows.last() != Some(&flow.window()) {
                windows.push(flow.window());
            }
            assert_eq!(flow.throttled(), ms >= 750);
        }
        assert_eq!(
            windows,
            [1024, 512, 256, 128, 64, 32, 0].map(|kib| kib << 10)
        );
        assert!(flow.has_room(), "what waits can still be sent");
        flow.check(at(10_001), LAG_MAX - 1, false).unwrap();
        assert_eq!(
            flow.window(),
            WINDOW_MIN,
            "it got close: writers are let in again"
        );
    }

    #[test]
    fn a_rate_alone_makes_no_writer_wait() {
        let mut flow = Flow::new(at(0));
        flow.on_scanned(at(0));
        let mut check = |ms, queued| {
            flow.on_sent(at(ms), 1, 1);
            flow.on_applied(at(ms), (flow.sent, 0, 0)).unwrap();
            flow.check(at(ms), queued, true).unwrap();
            flow.throttled()
        };
        assert!((0..10_000).step_by(50).all(|ms| !check(ms, LAG_MAX)));
        // With writers ahead of it, it would never end.
        assert!((10_000..11_000).step_by(50).any(|ms| check(ms, WINDOW / 2)));
    }

    #[test]
    fn a_receiver_that_takes_nothing_is_given_up() {
        let mut flow = Flow::new(at(0));
        flow.on_sent(at(0), 1, 1);
        flow.check(at(0), WINDOW, false).unwrap();
        flow.check(at(1000), WINDOW, false).unwrap();
        let why = flow.check(at(1001), WINDOW, false).unwrap_err();
        assert!(why.contains("writers"), "{why}");
        // Nobody waits: it is given more time.
        let mut flow = Flow::new(at(0));
        flow.on_sent(at(0), 1, 1);
        flow.check(at(3000), 0, false).unwrap();
        flow.check(at(3001), 0, false).unwrap_err();
    }

    #[test]
    fn nobody_is_blamed_for_what_was_not_sent() {
        let mut flow = Flow::new(at(0));
        flow.check(at(60_000), WINDOW, false).unwrap();
        flow.on_sent(at(60_000), 1, 1);
        flow.check(at(60_900), WINDOW, false).unwrap();
        flow.on_applied(at(60_950), (1, 0, 0)).unwrap();
        flow.check(at(120_000), WINDOW, false).unwrap();
    }
}
