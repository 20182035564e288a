//! Decimal numbers as Redis adds them: in the 80-bit numbers of x86 (64 bits of
//! mantissa), spelled with at most 17 digits after the point. Pure.

use rustc_apfloat::Float;
use rustc_apfloat::ieee::X87DoubleExtended;

/// Longest text that is read as a number, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Digits after the point, and ten to their power.
const DIGITS: usize = 17;
const SCALE: u128 = 10_u128.pow(DIGITS as u32);

/// A number; never "not a number".
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongDouble(X87DoubleExtended);

impl LongDouble {
    pub(crate) const ZERO: Self = Self(X87DoubleExtended::ZERO);

    /// Reads what C's `strtold` reads, all of it; `None` for anything else, for "nan",
    /// and for what is too large or too small for such a number.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if digits.eq_ignore_ascii_case("inf") || digits.eq_ignore_ascii_case("infinity") {
            let infinite = X87DoubleExtended::INFINITY;
            return Some(Self(if negative { -infinite } else { infinite }));
        }
        let (lawful, is_zero) = spelled(digits)?;
        let read: X87DoubleExtended = lawful.parse().ok()?;
        if read.is_infinite() || read.is_zero() != is_zero {
            return None;
        }
        Some(Self(if negative { -read } else { read }))
    }

    /// The sum; `None` if it is infinite or no number.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(Self(sum))
    }

    /// As `printf("%.17Lf")` spells it, without zeros at the end.
    pub(crate) fn text(self) -> String {
        let bits = self.0.to_bits();
        let mantissa = bits & u128::from(u64::MAX);
        let power = ((bits >> 64) as u32 & 0x7fff).max(1) as i32 - 16_383 - 63;
        let (whole, fraction) = if power >= 0 {
            (doubled(mantissa as u64, power as u32), 0)
        } else {
            let scaled = rounded_shift(mantissa * SCALE, power.unsigned_abs());
            ((scaled / SCALE).to_string(), scaled % SCALE)
        };
        let fraction = format!("{fraction:0DIGITS$}");
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{whole}{point}{fraction}");
        let negative = self.0.is_negative() && text != "0";
        if negative { format!("-{text}") } else { text }
    }
}

/// The digits as the parser takes them, and whether they say zero; `None`: they are no
/// number.
fn spelled(digits: &str) -> Option<(String, bool)> {
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (body, power_sign) = hexadecimal.map_or((digits, 'e'), |body| (body, 'p'));
    let at = body.find([power_sign, power_sign.to_ascii_uppercase()]);
    let (mantissa, power) = at.map_or((body, None), |at| (&body[..at], Some(&body[at + 1..])));
    let is_digit = |c: char| match hexadecimal {
        Some(_) => c.is_ascii_hexdigit(),
        None => c.is_ascii_digit(),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = || whole.chars().chain(fraction.chars());
    if all().next().is_none() || !all().all(is_digit) {
        return None;
    }
    if let Some(power) = power {
        let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
        if unsigned.is_empty() || !unsigned.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
    }
    let is_zero = all().all(|c| c == '0');
    let prefix = if hexadecimal.is_some() { "0x" } else { "" };
    let power = power.unwrap_or("0");
    Some((
        format!("{prefix}0{whole}.{fraction}0{power_sign}{power}"),
        is_zero,
    ))
}

/// `number / 2^power`, to the nearest whole number and of two to the even one.
fn rounded_shift(number: u128, power: u32) -> u128 {
    if power >= u128::BITS {
        return 0; // what is shifted has at most 121 bits
    }
    let (whole, rest) = (number >> power, number & ((1 << power) - 1));
    let half = 1 << (power - 1);
    let up = rest > half || (rest == half && whole & 1 == 1);
    whole + u128::from(up)
}

/// The digits of `number × 2^power`.
fn doubled(number: u64, mut power: u32) -> String {
    /// Digits of a limb, and what it counts to.
    const LIMB_DIGITS: usize = 9;
    const LIMB: u64 = 1_000_000_000;
    let mut limbs = vec![number % LIMB, number / LIMB % LIMB, number / LIMB / LIMB];
    while power > 0 {
        let step = power.min(29); // so that no product passes 64 bits
        power -= step;
        let mut carry = 0;
        for limb in &mut limbs {
            let product = (*limb << step) + carry;
            *limb = product % LIMB;
            carry = product / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let digits: String = limbs
        .iter()
        .rev()
        .map(|limb| format!("{limb:0LIMB_DIGITS$}"))
        .collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0" } else { digits }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (
            LongDouble::parse(a.as_bytes())?,
            LongDouble::parse(b.as_bytes())?,
        );
        a.add(b).map(LongDouble::text)
    }

    /// Recorded from redis-server 7.0.15 on x86-64 (`SET k a`, `INCRBYFLOAT k b`).
    #[test]
    fn sums_are_those_of_redis() {
        let cases = [
            ("10.50", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "1.1", "4.1"),
            ("1", "-1", "0"),
            ("-0.0", "-0", "0"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("1e20", "1", "100000000000000000000"),
            (".5", "5.", "5.5"),
            ("0x10", "+1", "17"),
            ("0x1.8p1", "0", "3"),
        ];
        for (a, b, expected) in cases {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        let huge = sum("1e4000", "1e3999").unwrap();
        let start = "1100000000000000000016052095785287304901";
        assert_eq!((huge.len(), &huge[..40]), (4001, start));
        assert_eq!(sum("0", "1e-4940").as_deref(), Some("0"));
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let cases = [
            "",
            " 1",
            "1 ",
            "1x",
            "e5",
            "1e",
            "1e+",
            ".",
            "+-1",
            "nan",
            "0x",
            "1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "-1e-99999999999999999999",
            "0x1p99999999999999999999",
            "--1",
            "1.2.3",
            "infinit",
            "\u{661}",
        ];
        for text in cases {
            assert!(LongDouble::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(LongDouble::parse(&[b'1'; TEXT_BYTES_MAX + 1]).is_none());
        assert!(LongDouble::parse(b"0e-99999").is_some());
    }

    #[test]
    fn a_half_goes_to_the_even_neighbour() {
        assert_eq!(rounded_shift(0b101, 1), 2);
        assert_eq!(rounded_shift(0b111, 1), 4);
        assert_eq!(rounded_shift(0b1101, 2), 3);
        assert_eq!(rounded_shift(u128::MAX >> 7, 128), 0);
        assert_eq!(doubled(0, 7), "0");
        assert_eq!(
            doubled(u64::MAX, 64),
            (u128::from(u64::MAX) << 64).to_string()
        );
    }
}
