//! Numbers as people read them. Pure.

use std::time::Duration;

/// 950, 12.3k, 2.59M, 1.20G: three digits that count.
pub fn count(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match UNITS.iter().find(|(size, _)| number >= *size) {
        None => number.to_string(),
        Some((size, unit)) => {
            let scaled = number as f64 / *size as f64;
            let digits = if scaled < 9.995 {
                2
            } else if scaled < 99.95 {
                1
            } else {
                0
            };
            format!("{scaled:.digits$}{unit}")
        }
    }
}

/// 1.2 KiB, 9.1 GiB.
pub fn bytes(number: u64) -> String {
    bytesize::ByteSize(number).display().iec().to_string()
}

/// 31.8%; `-` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1}%", part as f64 * 100.0 / whole as f64)
}

/// 310us, 1.20ms, 12.3s: microseconds with three digits that count.
pub fn latency(us: u64) -> String {
    let (scaled, unit) = match us {
        0..1_000 => return format!("{us}us"),
        1_000..1_000_000 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    let digits = match scaled {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$}{unit}")
}

/// 0.02, 0.8, 12: milliseconds with two digits that count, for columns that say so.
pub fn millis(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        small if small < 0.1 => format!("{small:.2}"),
        middle if middle < 9.95 => format!("{middle:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// 42s, 3m12s, 12d: the two largest units.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = parts.iter().position(|(size, _)| seconds >= *size) else {
        return format!("{}ms", duration.as_millis());
    };
    let (size, unit) = parts[first];
    let mut text = format!("{}{unit}", seconds / size);
    if let Some((smaller, unit)) = parts.get(first + 1) {
        let rest = seconds % size / smaller;
        if rest > 0 && first > 0 {
            text.push_str(&format!("{rest}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00k"),
            (12_345, "12.3k"),
            (999_600, "1000k"),
            (2_590_000, "2.59M"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn latencies_keep_three_digits() {
        for (us, text) in [
            (0, "0us"),
            (999, "999us"),
            (1_000, "1.00ms"),
            (12_340, "12.3ms"),
            (999_400, "999ms"),
            (61_000_000, "61.0s"),
        ] {
            assert_eq!(latency(us), text);
        }
    }

    #[test]
    fn ages_name_two_units() {
        for (ms, text) in [
            (20, "20ms"),
            (42_000, "42s"),
            (192_000, "3m12s"),
            (3_600_000, "1h"),
            (90_000_000, "1d"),
        ] {
            assert_eq!(age(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn shares_of_nothing_are_no_number() {
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(0, 0), "-");
    }

    #[test]
    fn milliseconds_keep_two_digits() {
        for (micros, text) in [
            (1, "0.00"),
            (20, "0.02"),
            (100, "0.1"),
            (1_000, "1.0"),
            (12_000, "12"),
            (2_000_000, "2000"),
        ] {
            assert_eq!(millis(Duration::from_micros(micros)), text);
        }
    }
}
