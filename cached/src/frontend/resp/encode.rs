//! Writes RESP2 and RESP3, piece by piece. Pure.

use bytes::{BufMut, BytesMut};

/// Which protocol a connection speaks; `HELLO` changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RespVersion {
    /// What every connection begins with.
    #[default]
    V2,
    /// With maps, sets, doubles, booleans and a null of its own.
    V3,
}

impl RespVersion {
    /// 2 or 3.
    pub fn number(self) -> i64 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// Longest line of a 64-bit number: its kind, sign and 19 digits, and CR LF.
const NUMBER_BYTES_MAX: usize = 23;

/// `+OK` and the like. `text` holds neither CR nor LF.
pub(super) fn simple(text: &str, out: &mut BytesMut) {
    line(b'+', text.as_bytes(), out);
}

/// `-ERR …`. What would end the line early is a blank.
pub(super) fn error(text: &str, out: &mut BytesMut) {
    out.reserve(text.len() + 3);
    out.put_u8(b'-');
    let lawful = |byte| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            byte
        }
    };
    out.extend(text.bytes().map(lawful));
    out.put_slice(b"\r\n");
}

/// `:7`.
pub(super) fn integer(number: i64, out: &mut BytesMut) {
    out.put_slice(number_line(b':', number, &mut [0; NUMBER_BYTES_MAX]));
}

/// `$3 foo`.
pub(super) fn bulk(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len() + NUMBER_BYTES_MAX + 2);
    head(b'$', bytes.len(), out);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// Nothing, where a bulk string would stand.
pub(super) fn null(version: RespVersion, out: &mut BytesMut) {
    out.put_slice(match version {
        RespVersion::V2 => b"$-1\r\n",
        RespVersion::V3 => b"_\r\n",
    });
}

/// Nothing, where an array would stand.
pub(super) fn null_array(version: RespVersion, out: &mut BytesMut) {
    out.put_slice(match version {
        RespVersion::V2 => b"*-1\r\n",
        RespVersion::V3 => b"_\r\n",
    });
}

/// What `length` elements follow: `kind` is `*`, `~` (a set) or `>` (a push), which
/// are arrays in RESP2.
pub(super) fn array(kind: u8, length: usize, version: RespVersion, out: &mut BytesMut) {
    let kind = match version {
        RespVersion::V2 => b'*',
        RespVersion::V3 => kind,
    };
    head(kind, length, out);
}

/// What `length` pairs follow; a flat array in RESP2.
pub(super) fn map(length: usize, version: RespVersion, out: &mut BytesMut) {
    match version {
        RespVersion::V2 => head(b'*', length * 2, out),
        RespVersion::V3 => head(b'%', length, out),
    }
}

/// A number with a fraction, spelled as Redis spells it (17 significant digits at
/// most); a bulk string in RESP2.
pub(super) fn double(number: f64, version: RespVersion, out: &mut BytesMut) {
    let text = if number.is_nan() {
        "nan".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else {
        number.to_string()
    };
    match version {
        RespVersion::V2 => bulk(text.as_bytes(), out),
        RespVersion::V3 => line(b',', text.as_bytes(), out),
    }
}

/// True or false; 1 or 0 in RESP2.
pub(super) fn boolean(value: bool, version: RespVersion, out: &mut BytesMut) {
    out.put_slice(match (version, value) {
        (RespVersion::V2, true) => b":1\r\n",
        (RespVersion::V2, false) => b":0\r\n",
        (RespVersion::V3, true) => b"#t\r\n",
        (RespVersion::V3, false) => b"#f\r\n",
    });
}

/// Text for people; a bulk string in RESP2.
pub(super) fn verbatim(text: &str, version: RespVersion, out: &mut BytesMut) {
    match version {
        RespVersion::V2 => bulk(text.as_bytes(), out),
        RespVersion::V3 => {
            head(b'=', text.len() + 4, out);
            out.put_slice(b"txt:");
            out.put_slice(text.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

fn line(kind: u8, text: &[u8], out: &mut BytesMut) {
    out.reserve(text.len() + 3);
    out.put_u8(kind);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn head(kind: u8, length: usize, out: &mut BytesMut) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    out.put_slice(number_line(kind, length, &mut [0; NUMBER_BYTES_MAX]));
}

/// The line of a number, at the end of `line`.
fn number_line(kind: u8, number: i64, line: &mut [u8; NUMBER_BYTES_MAX]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut start = NUMBER_BYTES_MAX - 2;
    line[start..].copy_from_slice(b"\r\n");
    loop {
        start -= 1;
        line[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        line[start] = b'-';
    }
    start -= 1;
    line[start] = kind;
    &line[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_to_the_last() {
        for number in [0, 7, -7, 10, 1_000_000, i64::MAX, i64::MIN] {
            let mut out = BytesMut::new();
            integer(number, &mut out);
            assert_eq!(out, format!(":{number}\r\n").as_bytes());
        }
        let mut out = BytesMut::new();
        bulk(b"0123456789", &mut out);
        assert_eq!(out, "$10\r\n0123456789\r\n");
    }
}
