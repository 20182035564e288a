//! How a load goes on, as some lines with the last minute's rates and latencies. Pure.

use std::collections::VecDeque;

use super::progress::{Look, line};
use crate::output::spark::sparkline;
use crate::units;

/// Looks that are remembered.
const LOOKS_MAX: usize = 240;

/// What stands before and behind a row of bars, in columns.
const BESIDE: usize = 32;

/// What the looks so far have shown.
#[derive(Debug, Default)]
pub struct Panel {
    /// Operations a second, and the latency in µs that one in a hundred exceeds.
    seen: VecDeque<(f64, u64)>,
}

impl Panel {
    /// The lines after another look, for a terminal of so many columns.
    pub fn lines(&mut self, look: &Look<'_>, width: usize, unicode: bool) -> Vec<String> {
        let seconds = look.interval.as_secs_f64().max(1e-3);
        let rate = look.recent.count() as f64 / seconds;
        if self.seen.len() == LOOKS_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back((rate, look.recent.us(0.99)));
        let cells = width.saturating_sub(BESIDE).max(1);
        let rates = self.seen.iter().map(|seen| seen.0);
        let p99s = self.seen.iter().map(|seen| seen.1);
        let most = rates.clone().fold(0.0, f64::max);
        let longest = p99s.clone().max().unwrap_or(0);
        let row = |name: &str, bars: String, now: String, most: String| {
            format!("  {name:<5} {bars:<cells$}  {now:>7}, most {most}")
        };
        let of = |quantile| units::latency(look.recent.us(quantile));
        vec![
            line(look),
            row(
                "ops/s",
                sparkline(rates, cells, unicode),
                units::count(rate.round() as u64),
                units::count(most.round() as u64),
            ),
            row(
                "p99",
                sparkline(p99s.map(|us| us as f64), cells, unicode),
                of(0.99),
                units::latency(longest),
            ),
            format!(
                "  now   p50 {}  p90 {}  p99 {}  p99.9 {}  longest {}",
                of(0.5),
                of(0.9),
                of(0.99),
                of(0.999),
                of(1.0)
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::Latency;
    use super::*;

    #[test]
    fn it_shows_what_was_and_what_is() {
        let mut panel = Panel::default();
        let mut look = |us: u64, count: usize| {
            let mut recent = Latency::default();
            (0..count).for_each(|_| recent.add(Duration::from_micros(us)));
            let look = Look {
                phase: "bench",
                elapsed: Duration::from_secs(3),
                duration: None,
                answered: 7_000,
                failed: 0,
                left: None,
                recent: &recent,
                interval: Duration::from_millis(500),
            };
            panel.lines(&look, 38, true)
        };
        look(100, 500);
        look(200, 1000);
        let lines = look(400, 500);
        assert_eq!(lines[1], "  ops/s ▅█▅       1.00k, most 2.00k");
        assert_eq!(lines[2], "  p99   ▃▅█       400us, most 400us");
        let now = "  now   p50 400us  p90 400us  p99 400us  p99.9 400us  longest 400us";
        assert_eq!(lines[3], now);
        for _ in 0..LOOKS_MAX {
            look(100, 1);
        }
        assert_eq!(panel.seen.len(), LOOKS_MAX);
    }
}
