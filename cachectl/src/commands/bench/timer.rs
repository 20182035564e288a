//! Waits until an exact time: the runtime's own timers round up to milliseconds, which
//! would show in every latency of an open loop.

#[cfg(target_os = "linux")]
pub use exact::Timer;
#[cfg(not(target_os = "linux"))]
pub use rounded::Timer;

#[cfg(target_os = "linux")]
mod exact {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;
    use tokio::time::Instant;

    /// A timer of the kernel.
    #[derive(Debug)]
    pub struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// Needs a tokio runtime; fails when the process has too many files open.
        #[expect(
            deprecated,
            reason = "its safe successor is not there yet; an OwnedFd stays open as long as it lives"
        )]
        pub fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self(AsyncFd::new(timer)?))
        }

        /// Resolves at `until`. Cancel-safe.
        pub async fn sleep_until(&self, until: Instant) -> io::Result<()> {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let zero = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let once = Itimerspec {
                it_interval: zero,
                it_value: Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            loop {
                let mut ready = self.0.readable().await?;
                // Setting a timer takes back what it had to tell before.
                let mut expirations = [0; 8];
                match rustix::io::read(self.0.get_ref(), &mut expirations) {
                    Ok(_) => return Ok(()),
                    Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod rounded {
    use std::io;

    use tokio::time::Instant;

    /// A timer of the runtime.
    #[derive(Debug)]
    pub struct Timer;

    impl Timer {
        /// Cannot fail.
        pub fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Resolves at `until`, or up to a millisecond later. Cancel-safe.
        pub async fn sleep_until(&self, until: Instant) -> io::Result<()> {
            tokio::time::sleep_until(until).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_never_ends_early_and_can_be_used_again() {
        let timer = Timer::new().unwrap();
        timer.sleep_until(Instant::now()).await.unwrap();
        for us in [700, 1, 1500] {
            let until = Instant::now() + Duration::from_micros(us);
            timer.sleep_until(until).await.unwrap();
            assert!(Instant::now() >= until);
        }
    }
}
