//! The one source of time. Everything else takes `now` as an argument.

use std::time::Duration;

use crate::faults::{self, Pauses};

/// A point on the monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// A moment by its microseconds: for tests and replays.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if that lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// Unix time in milliseconds, for deadlines that travel between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMs(pub u64);

/// Reads time: from the system, or from tokio's clock, which tests may pause and
/// simulations drive.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// Added to wall-clock readings: lets a test run a member whose clock is off.
    wall_offset_ms: i64,
    pauses: Pauses,
}

#[derive(Clone, Debug)]
enum Source {
    /// CLOCK_BOOTTIME: goes on while the machine is suspended, so that a fence
    /// set before a suspend has passed after it.
    System,
    Tokio {
        start: tokio::time::Instant,
        wall_start_ms: u64,
    },
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self {
            source: Source::System,
            wall_offset_ms: faults::wall_offset_ms(),
            pauses: Pauses::default(),
        }
    }

    /// Tokio's clock, with the wall clock showing `wall_start_ms` now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn tokio(wall_start_ms: u64) -> Self {
        let start = tokio::time::Instant::now();
        Self {
            source: Source::Tokio {
                start,
                wall_start_ms,
            },
            wall_offset_ms: 0,
            pauses: Pauses::default(),
        }
    }

    /// The same clock with its wall readings off by so many milliseconds.
    pub fn with_wall_offset_ms(mut self, offset_ms: i64) -> Self {
        self.wall_offset_ms = offset_ms;
        self
    }

    /// The same clock for a process that does not get its time: it stands still at every
    /// [pause point](Clock::pause_point).
    pub fn with_pauses(mut self, pauses: Pauses) -> Self {
        self.pauses = pauses;
        self
    }

    /// Whether the process stands still at times, on purpose.
    pub fn pauses(&self) -> bool {
        self.pauses.any()
    }

    /// A place where it matters that a scheduler may let any time pass anywhere.
    pub async fn pause_point(&self) {
        let pause = self.pauses.next();
        if !pause.is_zero() {
            self.sleep(pause).await;
        }
    }

    /// The monotonic clock.
    pub fn now(&self) -> Moment {
        match &self.source {
            Source::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Moment(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
            }
            Source::Tokio { start, .. } => Moment(start.elapsed().as_micros() as u64),
        }
    }

    /// The wall clock.
    pub fn wall(&self) -> WallMs {
        let ms = match &self.source {
            Source::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
                time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
            }
            Source::Tokio {
                start,
                wall_start_ms,
            } => wall_start_ms + start.elapsed().as_millis() as u64,
        };
        WallMs(ms.saturating_add_signed(self.wall_offset_ms))
    }

    /// Waits; a task's loop calls this instead of tokio's own sleep.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
