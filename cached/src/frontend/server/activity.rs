//! What a connection has done lately, and when it has done too little. The verdict
//! is pure: the listener looks at the counters now and then (see `roster`), so that a
//! request costs no timer of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4). The whole of it decides:
/// a method of HTTP/1 may begin with its first letters.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Counters of one connection; relaxed, because nobody acts on a single reading.
#[derive(Debug, Default)]
pub(in crate::frontend) struct Activity {
    /// Bytes read.
    read: AtomicU64,
    /// Bytes written.
    written: AtomicU64,
    /// Bytes from the start that are those of the preface.
    preface: AtomicU64,
    /// Requests whose head arrived.
    begun: AtomicU64,
    /// Requests that are answered.
    ended: AtomicU64,
    /// Bytes read when the last request was answered.
    read_at_end: AtomicU64,
    /// HTTP/2: the protocol's own pings find out who is dead.
    http2: AtomicBool,
}

impl Activity {
    /// Bytes arrived. Only the connection's own reader calls this.
    pub(super) fn on_read(&self, bytes: &[u8]) {
        let before = self.read.load(Ordering::Relaxed);
        if before < PREFACE.len() as u64 {
            self.compare(before, bytes);
        }
        self.read
            .store(before + bytes.len() as u64, Ordering::Relaxed);
    }

    /// Finds out whether this is HTTP/2; `before` bytes came earlier.
    fn compare(&self, before: u64, bytes: &[u8]) {
        if self.preface.load(Ordering::Relaxed) != before {
            return;
        }
        let expected = &PREFACE[before as usize..];
        let common = expected.len().min(bytes.len());
        if expected[..common] == bytes[..common] {
            self.preface
                .store(before + common as u64, Ordering::Relaxed);
            self.http2
                .store(common == expected.len(), Ordering::Relaxed);
        }
    }

    /// Bytes left. Only the connection's own writer calls this.
    pub(super) fn on_write(&self, bytes: usize) {
        let before = self.written.load(Ordering::Relaxed);
        self.written.store(before + bytes as u64, Ordering::Relaxed);
    }

    /// A request's head has arrived; it is answered when the guard drops.
    pub(in crate::frontend) fn begin(self: &Arc<Self>) -> Answering {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// The beginning of a request has arrived, and not its end: from now on that is
    /// awaited, whether more of it comes or not.
    pub(in crate::frontend) fn begun_to_arrive(&self) {
        let read = self.read.load(Ordering::Relaxed);
        self.read_at_end
            .store(read.saturating_sub(1), Ordering::Relaxed);
    }

    /// The counters now.
    pub(super) fn look(&self) -> Look {
        let ended = self.ended.load(Ordering::Relaxed);
        let read = self.read.load(Ordering::Relaxed);
        Look {
            read,
            written: self.written.load(Ordering::Relaxed),
            begun: self.begun.load(Ordering::Relaxed),
            busy: self.begun.load(Ordering::Relaxed) > ended,
            partial: read > self.read_at_end.load(Ordering::Relaxed),
            http2: self.http2.load(Ordering::Relaxed),
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(in crate::frontend) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        let read = self.0.read.load(Ordering::Relaxed);
        self.0.read_at_end.store(read, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection's counters at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    read: u64,
    written: u64,
    begun: u64,
    /// A request is being answered.
    busy: bool,
    /// Bytes have arrived since the last answer, and they are no whole head yet.
    partial: bool,
    http2: bool,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tardy {
    /// A request's head took too long to arrive.
    Head,
    /// Nothing was asked, or nothing of an answer was taken, for too long.
    Idle,
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From a connection's start, or from the first byte after an answer, to the
    /// end of the next head.
    pub(super) head: Duration,
    /// Without a byte in either direction while nothing is being answered.
    pub(super) idle: Duration,
}

impl Patience {
    /// How often to look: often enough to be late by no more than a quarter.
    pub(super) fn interval(&self) -> Duration {
        self.head.min(self.idle) / 4
    }
}

/// Judges a connection by how its counters change from look to look.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Patience,
    last: Look,
    /// When the counters last differed from the ones before, or a request was open.
    moved: Moment,
    /// Since when a head is awaited of which something is there.
    head_since: Option<Moment>,
}

impl Watchdog {
    /// Watches a connection from its start: its first head is awaited from now on.
    pub(super) fn new(patience: Patience, now: Moment) -> Self {
        Self {
            patience,
            last: Look::default(),
            moved: now,
            head_since: Some(now),
        }
    }

    /// Whether the connection should be closed now.
    pub(super) fn judge(&mut self, look: Look, now: Moment) -> Option<Tardy> {
        if look.busy || look != self.last {
            self.moved = now;
        }
        let answered = look.begun != self.last.begun;
        let first = look.begun == 0;
        // A client that takes an answer may have sent more already, which is not
        // looked at before the answer has left.
        let taking = look.written != self.last.written;
        if look.busy || look.http2 || answered || taking || !(first || look.partial) {
            self.head_since = None;
        } else {
            self.head_since.get_or_insert(now);
        }
        self.last = look;
        if self
            .head_since
            .is_some_and(|since| now.since(since) >= self.patience.head)
        {
            return Some(Tardy::Head);
        }
        (now.since(self.moved) >= self.patience.idle).then_some(Tardy::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
    };

    /// Looks once a second, after `step` did what it does; answers the verdict and its second.
    fn watch(mut step: impl FnMut(u64, &Arc<Activity>)) -> (u64, Tardy) {
        let activity = Arc::new(Activity::default());
        let mut dog = Watchdog::new(PATIENCE, Moment::default());
        for second in 1..1_000 {
            step(second, &activity);
            let now = Moment::from_micros(second * 1_000_000);
            if let Some(tardy) = dog.judge(activity.look(), now) {
                return (second, tardy);
            }
        }
        panic!("never closed");
    }

    #[test]
    fn silence_from_the_start_is_a_head_that_does_not_come() {
        assert_eq!(watch(|_, _| ()), (10, Tardy::Head));
    }

    #[test]
    fn a_head_that_trickles_is_no_excuse() {
        assert_eq!(
            watch(|_, activity| activity.on_read(b"x")),
            (10, Tardy::Head)
        );
    }

    #[test]
    fn after_an_answer_idleness_is_allowed_for_longer() {
        let verdict = watch(|second, activity| {
            if second == 5 {
                activity.on_read(b"GET / HTTP/1.1\r\n\r\n");
                drop(activity.begin());
                activity.on_write(100);
            }
        });
        assert_eq!(verdict, (65, Tardy::Idle));
    }

    #[test]
    fn the_next_head_is_timed_from_its_first_byte() {
        let verdict = watch(|second, activity| match second {
            5 => drop(activity.begin()),
            30.. => activity.on_read(b"G"),
            _ => (),
        });
        assert_eq!(verdict, (40, Tardy::Head));
    }

    #[test]
    fn an_open_request_keeps_the_connection_and_a_taken_answer_does_too() {
        let mut open = None;
        let verdict = watch(|second, activity| match second {
            5 => open = Some(activity.begin()),
            200 => open = None,
            201..300 => activity.on_write(1),
            _ => (),
        });
        assert_eq!(verdict, (359, Tardy::Idle));
    }

    #[test]
    fn a_request_that_waits_behind_a_long_answer_is_no_slow_head() {
        let verdict = watch(|second, activity| match second {
            5 => {
                drop(activity.begin());
                activity.on_read(b"GET / HTTP/1.1\r\n\r\n");
            }
            6..100 => activity.on_write(1),
            100 => drop(activity.begin()),
            _ => (),
        });
        assert_eq!(verdict, (160, Tardy::Idle));
    }

    #[test]
    fn only_the_whole_preface_is_http2() {
        let http2 = |reads: &[&[u8]]| {
            let activity = Activity::default();
            reads.iter().for_each(|bytes| activity.on_read(bytes));
            activity.look().http2
        };
        let bytes: Vec<&[u8]> = PREFACE.chunks(1).collect();
        assert!(http2(&[PREFACE]) && http2(&bytes));
        assert!(http2(&[
            &PREFACE[..3],
            &[],
            &[&PREFACE[3..], b"more"].concat()
        ]));
        assert!(!http2(&[&PREFACE[..23]]), "one byte is missing");
        assert!(!http2(&[b"x", &PREFACE[1..]]), "the first one differs");
        assert!(!http2(&[b"x", PREFACE]), "it is not the beginning");
        assert!(!http2(&[&PREFACE[..3], b"x", &PREFACE[4..]]));
    }

    #[test]
    fn a_method_that_begins_like_http2_has_no_more_time() {
        let verdict = watch(|second, activity| {
            activity.on_read(if second == 1 { b"PRI" } else { b"X" });
        });
        assert_eq!(verdict, (10, Tardy::Head));
    }

    #[test]
    fn http2_needs_no_request_for_as_long_as_it_answers_pings() {
        let verdict = watch(|second, activity| {
            if second == 1 {
                activity.on_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            }
            if second % 20 == 0 && second < 500 {
                activity.on_read(b"ack");
            }
        });
        assert_eq!(verdict, (540, Tardy::Idle));
    }
}
