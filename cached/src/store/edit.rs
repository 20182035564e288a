//! What an edit makes of a value. Pure.

use bytes::{Bytes, BytesMut};
use cached_proto::update::{Change, integer};

use super::long_double::LongDouble;

/// Why a value cannot be edited so; it stays as it is. The texts are those of Redis,
/// because its clients read them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A number is to be added to what is no whole number of 64 bits.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The sum would pass 64 bits.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// A number is to be added to what is no number, or what is added is none.
    #[error("value is not a valid float")]
    NotAFloat,
    /// The sum would not be finite.
    #[error("increment would produce NaN or Infinity")]
    NotFinite,
    /// The value would pass the bound on values.
    #[error("the value would have {bytes} bytes; the limit is {limit}")]
    TooLong {
        /// Length after the edit.
        bytes: u64,
        /// The bound.
        limit: usize,
    },
}

/// The value after an edit of `current` (`None`: there is no entry). Changes that are
/// no edits leave what is there.
pub(crate) fn edited(
    change: &Change,
    current: Option<Bytes>,
    value_bytes_max: usize,
) -> Result<Bytes, Unfit> {
    let fits = |bytes: u64| {
        if bytes <= value_bytes_max as u64 {
            return Ok(bytes as usize);
        }
        let limit = value_bytes_max;
        Err(Unfit::TooLong { bytes, limit })
    };
    let value = match change {
        Change::Keep | Change::Remove => current.unwrap_or_default(),
        Change::Put(value) => value.clone(),
        Change::Append(bytes) => {
            let current = current.unwrap_or_default();
            let length = fits(current.len() as u64 + bytes.len() as u64)?;
            let mut value = BytesMut::with_capacity(length);
            value.extend_from_slice(&current);
            value.extend_from_slice(bytes);
            value.freeze()
        }
        Change::SetRange { offset, bytes } => {
            let current = current.unwrap_or_default();
            let end = fits(offset.saturating_add(bytes.len() as u64))?;
            let start = end - bytes.len();
            let mut value = BytesMut::zeroed(end.max(current.len()));
            value[..current.len()].copy_from_slice(&current);
            value[start..end].copy_from_slice(bytes);
            value.freeze()
        }
        Change::AddInteger(number) => {
            let current = match current {
                Some(value) => integer(&value).ok_or(Unfit::NotAnInteger)?,
                None => 0,
            };
            let sum = current.checked_add(*number).ok_or(Unfit::Overflow)?;
            Bytes::from(sum.to_string())
        }
        Change::AddFloat(number) => {
            let current = match current {
                Some(value) => LongDouble::parse(&value),
                None => Some(LongDouble::ZERO),
            };
            let number = LongDouble::parse(number).ok_or(Unfit::NotAFloat)?;
            let current = current.ok_or(Unfit::NotAFloat)?;
            let sum = current.add(number).ok_or(Unfit::NotFinite)?;
            Bytes::from(sum.text())
        }
    };
    fits(value.len() as u64)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_range(offset: u64, bytes: &'static str) -> Change {
        let bytes = Bytes::from(bytes);
        Change::SetRange { offset, bytes }
    }

    #[test]
    fn edits_make_a_new_value_or_say_why_not() {
        let append = |bytes: &'static str| Change::Append(Bytes::from(bytes));
        let float = |number: &'static str| Change::AddFloat(Bytes::from(number));
        let add = Change::AddInteger;
        let too_long = |bytes| Err(Unfit::TooLong { bytes, limit: 10 });
        let cases: Vec<(Change, Option<&'static str>, Result<&'static str, Unfit>)> = vec![
            (append("b"), Some("a"), Ok("ab")),
            (append(""), None, Ok("")),
            (append("89012"), Some("1234567"), too_long(12)),
            (set_range(2, "xy"), Some("abcdef"), Ok("abxyef")),
            (set_range(5, "xy"), Some("abcdef"), Ok("abcdexy")),
            (set_range(2, "x"), None, Ok("\0\0x")),
            (set_range(8, "xyz"), Some("a"), too_long(11)),
            (set_range(u64::MAX, "xyz"), Some("a"), too_long(u64::MAX)),
            (add(1), None, Ok("1")),
            (add(-3), Some("1"), Ok("-2")),
            (add(1), Some("01"), Err(Unfit::NotAnInteger)),
            (add(1), Some("9223372036854775807"), Err(Unfit::Overflow)),
            (float("0.5"), None, Ok("0.5")),
            (float("0.5"), Some("x"), Err(Unfit::NotAFloat)),
            (float("x"), Some("1"), Err(Unfit::NotAFloat)),
            (float("inf"), Some("1"), Err(Unfit::NotFinite)),
        ];
        for (change, current, expected) in cases {
            let current = current.map(|text| Bytes::from_static(text.as_bytes()));
            let expected = expected.map(Bytes::from);
            assert_eq!(
                edited(&change, current.clone(), 10),
                expected,
                "{change:?} of {current:?}"
            );
        }
    }
}
