//! How far a load is, as one line. Pure.

use std::time::Duration;

use super::record::Latency;
use crate::units;

/// A look at a phase.
#[derive(Debug)]
pub struct Look<'a> {
    /// Its name.
    pub phase: &'a str,
    /// Since it began.
    pub elapsed: Duration,
    /// When it ends, if time ends it.
    pub duration: Option<Duration>,
    /// Operations answered so far.
    pub answered: u64,
    /// Operations that failed so far.
    pub failed: u64,
    /// Operations that are left, if they are counted.
    pub left: Option<u64>,
    /// Latencies since the last look.
    pub recent: &'a Latency,
    /// Time since the last look.
    pub interval: Duration,
}

/// The line.
pub fn line(look: &Look<'_>) -> String {
    let seconds = look.interval.as_secs_f64().max(1e-3);
    let rate = (look.recent.count() as f64 / seconds).round() as u64;
    let mut time = format!("{:.0}s", look.elapsed.as_secs_f64());
    if let Some(duration) = look.duration {
        time.push_str(&format!("/{}", units::age(duration)));
    }
    let left = match look.left {
        Some(left) => format!(", {} left", units::count(left)),
        None => String::new(),
    };
    format!(
        "{} {time}  {} operations{left}  {}/s  p50 {}  p99 {}  {} failed",
        look.phase,
        units::count(look.answered),
        units::count(rate),
        units::latency(look.recent.us(0.5)),
        units::latency(look.recent.us(0.99)),
        units::count(look.failed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_and_how_fast() {
        let mut recent = Latency::default();
        for us in 1..=1000 {
            recent.add(Duration::from_micros(us));
        }
        let mut look = Look {
            phase: "bench",
            elapsed: Duration::from_millis(3100),
            duration: Some(Duration::from_secs(30)),
            answered: 123_456,
            failed: 2,
            left: None,
            recent: &recent,
            interval: Duration::from_millis(500),
        };
        assert_eq!(
            line(&look),
            "bench 3s/30s  123k operations  2.00k/s  p50 500us  p99 990us  2 failed"
        );
        look.duration = None;
        look.left = Some(10);
        assert!(line(&look).starts_with("bench 3s  123k operations, 10 left  "));
    }
}
