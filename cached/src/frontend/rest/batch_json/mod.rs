//! Batches as JSON, from and to operations. Pure.
//!
//! Keys and values are bytes: each may be given as text (`key`, `value`) or in
//! base 64 (`key_base64`, `value_base64`). Answers use text wherever the bytes are
//! UTF-8, unless the request asks for base 64 throughout.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use cached_proto::failure::Failure;
use cached_proto::limits::BATCH_OPERATIONS_MAX;
use cached_proto::operation::{Condition, Entry, Operation, Outcome, Reply};
use cached_proto::types::{Invalid, Key, Ttl, Version};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::frontend::problem::{applied_word, code_word};

/// A batch as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// What to do, one after another, each on its own.
    #[serde(deserialize_with = "bounded")]
    pub(super) operations: Vec<Item>,
    /// How answers spell bytes.
    #[serde(default)]
    pub(super) encoding: Encoding,
}

/// How answers spell bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// As text where they are UTF-8, else in base 64.
    #[default]
    Text,
    /// Always in base 64.
    Base64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Set,
    Delete,
    Touch,
}

/// One operation as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    op: Op,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    ttl_ms: Option<u64>,
    #[serde(default)]
    no_load: bool,
    #[serde(default)]
    if_absent: bool,
    #[serde(default)]
    if_present: bool,
    if_version: Option<String>,
}

/// A list that ends before it fills the memory: short items in a long body would.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    struct Bounded;
    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Item>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {BATCH_OPERATIONS_MAX} operations")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Item>, A::Error> {
            let mut taken = Vec::new();
            while let Some(item) = items.next_element()? {
                if taken.len() == BATCH_OPERATIONS_MAX {
                    return Err(serde::de::Error::invalid_length(taken.len() + 1, &self));
                }
                taken.push(item);
            }
            Ok(taken)
        }
    }
    deserializer.deserialize_seq(Bounded)
}

impl Item {
    /// The operation that is meant. `value_bytes_max` bounds the value.
    pub(super) fn operation(&self, value_bytes_max: usize) -> Result<Operation, Invalid> {
        let key = bytes("key", self.key.as_deref(), self.key_base64.as_deref())?;
        let key = Key::new(key.ok_or_else(|| Invalid::new("key", "is missing"))?)?;
        let value = bytes("value", self.value.as_deref(), self.value_base64.as_deref())?;
        let ttl = self.ttl_ms.map(Ttl::from_ms).transpose()?;
        let condition = self.condition()?;
        self.refuse_idle_fields(value.is_some(), condition)?;
        Ok(match self.op {
            Op::Get => Operation::Get {
                key,
                no_load: self.no_load,
                metadata_only: false,
            },
            Op::Set => {
                let value = value.ok_or_else(|| Invalid::new("value", "is missing"))?;
                if value.len() > value_bytes_max {
                    let problem =
                        format!("has {} bytes; the limit is {value_bytes_max}", value.len());
                    return Err(Invalid::new("value", problem));
                }
                Operation::Set {
                    key,
                    value,
                    ttl,
                    condition,
                }
            }
            Op::Delete => Operation::Delete { key, condition },
            Op::Touch => Operation::Touch { key, ttl },
        })
    }

    fn condition(&self) -> Result<Condition, Invalid> {
        match (self.if_absent, self.if_present, &self.if_version) {
            (false, false, None) => Ok(Condition::Always),
            (true, false, None) => Ok(Condition::IfAbsent),
            (false, true, None) => Ok(Condition::IfPresent),
            (false, false, Some(version)) => match version.parse::<Version>() {
                Ok(version) => Ok(Condition::IfVersion(version)),
                Err(error) => Err(Invalid::new("if_version", error.problem)),
            },
            _ => Err(Invalid::new(
                "if_version",
                "if_absent and if_present exclude each other",
            )),
        }
    }

    /// A field that would change nothing is a mistake that its sender should see.
    fn refuse_idle_fields(&self, has_value: bool, condition: Condition) -> Result<(), Invalid> {
        let by_version = matches!(condition, Condition::Always | Condition::IfVersion(_));
        let (value, ttl, no_load, condition) = match self.op {
            Op::Get => (false, false, true, condition == Condition::Always),
            Op::Set => (true, true, false, true),
            Op::Delete => (false, false, false, by_version),
            Op::Touch => (false, true, false, condition == Condition::Always),
        };
        let idle = [
            ("value", has_value && !value),
            ("ttl_ms", self.ttl_ms.is_some() && !ttl),
            ("no_load", self.no_load && !no_load),
            ("condition", !condition),
        ];
        match idle.into_iter().find(|(_, idle)| *idle) {
            None => Ok(()),
            Some((field, _)) => Err(Invalid::new(field, "means nothing for this op")),
        }
    }
}

fn bytes(
    field: &'static str,
    text: Option<&str>,
    base64: Option<&str>,
) -> Result<Option<Bytes>, Invalid> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        (None, Some(text)) => BASE64
            .decode(text)
            .map(|bytes| Some(bytes.into()))
            .map_err(|error| Invalid::new(field, format!("is not base 64: {error}"))),
        (Some(_), Some(_)) => Err(Invalid::new(field, "is given as text and in base 64")),
    }
}

/// What one operation came to, as JSON.
pub(super) fn result(key: &Key, outcome: &Outcome, encoding: Encoding) -> Value {
    let mut object = Map::new();
    put_bytes(&mut object, "key", key.as_bytes(), encoding);
    match outcome {
        Err(failure) => {
            object.insert("error".to_owned(), error(failure));
        }
        Ok(answer) => {
            put_reply(&mut object, &answer.reply, encoding);
            put_flag(&mut object, "degraded", answer.degraded);
        }
    }
    Value::Object(object)
}

/// A failure within a batch, with the words of a problem document.
pub(super) fn error(failure: &Failure) -> Value {
    let mut error = json!({
        "code": code_word(failure.code),
        "detail": failure.message,
        "applied": applied_word(failure.applied),
    });
    if let Some(field) = failure.field {
        error["field"] = field.into();
    }
    if let Some(pause) = failure.retry_after {
        error["retry_after_ms"] = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).into();
    }
    error
}

fn put_reply(object: &mut Map<String, Value>, reply: &Reply, encoding: Encoding) {
    let (word, done, version) = match reply {
        Reply::Get(entry) => {
            if let Some(entry) = entry {
                put_entry(object, entry, encoding);
            }
            (
                "found",
                entry.is_some(),
                entry.as_ref().and_then(|entry| entry.version),
            )
        }
        Reply::Set { stored, version } => ("stored", *stored, *version),
        Reply::Delete { deleted, version } => ("deleted", *deleted, *version),
        Reply::Touch { found } => ("found", *found, None),
        // Not offered here.
        Reply::Update(updated) => ("applied", updated.applied, None),
        Reply::SetMany { stored } => ("stored", *stored, None),
    };
    object.insert(word.to_owned(), done.into());
    if let Some(version) = version {
        object.insert("version".to_owned(), version.to_string().into());
    }
}

fn put_entry(object: &mut Map<String, Value>, entry: &Entry, encoding: Encoding) {
    put_bytes(object, "value", &entry.value, encoding);
    if let Some(ttl_ms) = entry.ttl_ms {
        object.insert("ttl_ms".to_owned(), ttl_ms.into());
    }
    put_flag(object, "loaded", entry.loaded);
    put_flag(object, "uncached", entry.uncached);
}

fn put_flag(object: &mut Map<String, Value>, name: &str, set: bool) {
    if set {
        object.insert(name.to_owned(), true.into());
    }
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8], encoding: Encoding) {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|_| encoding == Encoding::Text);
    match text {
        Some(text) => object.insert(name.to_owned(), text.into()),
        None => object.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}

#[cfg(test)]
mod tests;
