//! An answer, before it is known in which protocol it is spelled.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::encode;
use super::errors::ErrorReply;

pub use super::encode::RespVersion;

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `OK` and the like: one line without CR and LF.
    Simple(Cow<'static, str>),
    /// It failed.
    Error(ErrorReply),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// Nothing, where bytes would stand.
    Null,
    /// Nothing, where an array would stand.
    NullArray,
    /// In this order.
    Array(Vec<Self>),
    /// Pairs; a flat array in RESP2.
    Map(Vec<(Self, Self)>),
    /// Without an order; an array in RESP2.
    Set(Vec<Self>),
    /// A number with a fraction; bytes in RESP2.
    Double(f64),
    /// 1 or 0 in RESP2.
    Boolean(bool),
    /// Text for people; bytes in RESP2.
    Verbatim(String),
}

impl Reply {
    /// Done.
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// Text as bytes.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// Text that is always the same, as bytes.
    pub const fn fixed(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// Whether it failed.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Spells it.
    pub fn encode(&self, version: RespVersion, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => encode::simple(text, out),
            Self::Error(ErrorReply(text)) => encode::error(text, out),
            Self::Integer(number) => encode::integer(*number, out),
            Self::Bulk(bytes) => encode::bulk(bytes, out),
            Self::Null => encode::null(version, out),
            Self::NullArray => encode::null_array(version, out),
            Self::Array(elements) => encode_all(b'*', elements, version, out),
            Self::Set(elements) => encode_all(b'~', elements, version, out),
            Self::Map(pairs) => {
                encode::map(pairs.len(), version, out);
                for (name, value) in pairs {
                    name.encode(version, out);
                    value.encode(version, out);
                }
            }
            Self::Double(number) => encode::double(*number, version, out),
            Self::Boolean(value) => encode::boolean(*value, version, out),
            Self::Verbatim(text) => encode::verbatim(text, version, out),
        }
    }
}

fn encode_all(kind: u8, elements: &[Reply], version: RespVersion, out: &mut BytesMut) {
    encode::array(kind, elements.len(), version, out);
    for element in elements {
        element.encode(version, out);
    }
}

impl From<ErrorReply> for Reply {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}
