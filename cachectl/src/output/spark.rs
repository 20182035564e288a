//! Rows of small bars. Pure.

/// Bars from the lowest to the highest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where nothing but ASCII can be shown.
const LETTERS: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];

/// The last `cells` values as bars, the largest of them as high as a cell.
pub fn sparkline(
    values: impl DoubleEndedIterator<Item = f64>,
    cells: usize,
    unicode: bool,
) -> String {
    let bars = if unicode { BARS } else { LETTERS };
    let mut values: Vec<f64> = values.rev().take(cells).collect();
    values.reverse();
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let part = if most > 0.0 { value / most } else { 0.0 };
        bars[((part * 7.0).round() as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_end_with_the_newest() {
        let values = || [0.0, 7.0, 3.5].into_iter();
        assert_eq!(sparkline(values(), 9, true), "▁█▅");
        assert_eq!(sparkline(values(), 1, true), "█");
        assert_eq!(sparkline([0.0].into_iter(), 3, true), "▁");
        assert_eq!(sparkline(values(), 9, false), "_#=");
    }
}
