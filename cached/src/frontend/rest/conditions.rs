//! `ETag`, `If-Match` and `If-None-Match`: versions of entries as HTTP spells them.
//! Pure.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use cached_proto::operation::Condition;
use cached_proto::types::{Invalid, Version};

/// A version as an entity tag: 32 hexadecimal digits in quotes.
pub(super) fn etag(version: Version) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'"'; 34];
    for (index, byte) in version.to_bytes().into_iter().enumerate() {
        text[1 + 2 * index] = DIGITS[usize::from(byte >> 4)];
        text[2 + 2 * index] = DIGITS[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&text).expect("quotes and digits")
}

/// The tags of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: any entry.
    Any,
    /// Tags that are versions. Others match nothing and are left out.
    These(Vec<Tag>),
}

/// One tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    version: Version,
    /// `W/"…"`: good enough for a reader's cache, never for a write.
    weak: bool,
}

/// What a request makes its effect depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The entry.
    Entry,
    /// "You have it already."
    NotModified,
    /// "It is not what you think."
    Failed,
}

/// On what a write depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// On something that the store checks by itself.
    When(Condition),
    /// On the entry having one of several versions.
    OneOf(Vec<Version>),
}

impl Conditions {
    /// Reads the two headers.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Invalid> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH, "If-Match")?,
            if_none_match: tags(headers, &IF_NONE_MATCH, "If-None-Match")?,
        })
    }

    /// What a reader gets of an entry with this version.
    pub(super) fn reading(&self, version: Option<Version>) -> Reading {
        let matches = |tags: &Tags, weak_too: bool| match tags {
            Tags::Any => true,
            Tags::These(tags) => tags
                .iter()
                .any(|tag| Some(tag.version) == version && (weak_too || !tag.weak)),
        };
        if self
            .if_match
            .as_ref()
            .is_some_and(|tags| !matches(tags, false))
        {
            Reading::Failed
        } else if self
            .if_none_match
            .as_ref()
            .is_some_and(|tags| matches(tags, true))
        {
            Reading::NotModified
        } else {
            Reading::Entry
        }
    }

    /// On what a write depends.
    pub(super) fn writing(&self) -> Result<Writing, Invalid> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(Writing::When(Condition::Always)),
            (Some(_), Some(_)) => Err(Invalid::new(
                "If-Match",
                "and If-None-Match exclude each other in a write",
            )),
            (None, Some(Tags::Any)) => Ok(Writing::When(Condition::IfAbsent)),
            (None, Some(Tags::These(_))) => Err(Invalid::new(
                "If-None-Match",
                "takes only * in a write; versions go to If-Match",
            )),
            (Some(Tags::Any), None) => Ok(Writing::When(Condition::IfPresent)),
            (Some(Tags::These(tags)), None) => {
                let strong = tags.iter().filter(|tag| !tag.weak).map(|tag| tag.version);
                let versions: Vec<Version> = strong.collect();
                Ok(match versions.as_slice() {
                    [version] => Writing::When(Condition::IfVersion(*version)),
                    _ => Writing::OneOf(versions),
                })
            }
        }
    }
}

fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<Tags>, Invalid> {
    let wrong = || Invalid::new(field, "must be * or ETags in quotes, separated by commas");
    let mut found = None;
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| wrong())?;
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            match (&mut found, word) {
                (None, "*") => found = Some(Tags::Any),
                (None, _) => found = Some(Tags::These(tag(word).ok_or_else(wrong)?)),
                (Some(Tags::These(tags)), _) => tags.extend(tag(word).ok_or_else(wrong)?),
                (Some(Tags::Any), _) => return Err(wrong()),
            }
        }
    }
    Ok(found)
}

/// One tag; `None` when it is none, an empty list when it is no version of ours.
fn tag(word: &str) -> Option<Vec<Tag>> {
    let (weak, quoted) = match word.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if opaque.contains('"') {
        return None;
    }
    Some(
        opaque
            .parse()
            .map(|version| Tag { version, weak })
            .into_iter()
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use cached_proto::types::Epoch;

    use super::*;

    fn version(seq: u64) -> Version {
        Version {
            epoch: Epoch(1),
            seq,
        }
    }

    fn conditions(headers: &[(HeaderName, &str)]) -> Result<Conditions, Invalid> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        Conditions::of(&map)
    }

    fn tag_of(seq: u64) -> String {
        etag(version(seq)).to_str().unwrap().to_owned()
    }

    #[test]
    fn etags_are_quoted_versions() {
        let version = Version {
            epoch: Epoch(0x0123_4567_89ab_cdef),
            seq: 10,
        };
        assert_eq!(etag(version).to_str().unwrap(), format!("\"{version}\""));
    }

    #[test]
    fn readers() {
        let two = format!("{}, W/{}", tag_of(1), tag_of(2));
        let cases = [
            (IF_NONE_MATCH, "*", Some(1), Reading::NotModified),
            (IF_NONE_MATCH, two.as_str(), Some(1), Reading::NotModified),
            (IF_NONE_MATCH, two.as_str(), Some(2), Reading::NotModified),
            (IF_NONE_MATCH, two.as_str(), Some(3), Reading::Entry),
            (IF_NONE_MATCH, two.as_str(), None, Reading::Entry),
            (IF_NONE_MATCH, "\"other\"", Some(1), Reading::Entry),
            (IF_MATCH, "*", Some(1), Reading::Entry),
            (IF_MATCH, two.as_str(), Some(1), Reading::Entry),
            (IF_MATCH, two.as_str(), Some(2), Reading::Failed),
            (IF_MATCH, "\"other\"", Some(1), Reading::Failed),
        ];
        for (header, value, seq, expected) in cases {
            let conditions = conditions(&[(header.clone(), value)]).unwrap();
            let got = conditions.reading(seq.map(version));
            assert_eq!(got, expected, "{header}: {value} against {seq:?}");
        }
        assert_eq!(Conditions::default().reading(None), Reading::Entry);
    }

    #[test]
    fn writers() {
        let writing = |headers: &[(HeaderName, &str)]| conditions(headers).unwrap().writing();
        let (one, two) = (tag_of(1), tag_of(2));
        let both = format!("{one},{two}");
        let when = |condition| Ok(Writing::When(condition));
        let several = Ok(Writing::OneOf(vec![version(1), version(2)]));
        assert_eq!(writing(&[]), when(Condition::Always));
        assert_eq!(writing(&[(IF_MATCH, "*")]), when(Condition::IfPresent));
        assert_eq!(writing(&[(IF_NONE_MATCH, "*")]), when(Condition::IfAbsent));
        assert_eq!(
            writing(&[(IF_MATCH, &one)]),
            when(Condition::IfVersion(version(1)))
        );
        assert_eq!(writing(&[(IF_MATCH, &both)]), several);
        assert_eq!(writing(&[(IF_MATCH, &one), (IF_MATCH, &two)]), several);
        // No write may depend on tags that match nothing and go through.
        assert_eq!(
            writing(&[(IF_MATCH, "\"other\"")]),
            Ok(Writing::OneOf(Vec::new()))
        );
        assert_eq!(
            writing(&[(IF_MATCH, &format!("W/{one}"))]),
            Ok(Writing::OneOf(Vec::new()))
        );
        assert!(writing(&[(IF_NONE_MATCH, &one)]).is_err());
        assert!(writing(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")]).is_err());
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for bad in ["abc", "\"", "\"a\"b\"", "*, \"a\"", "W/abc", "\"a\" \"b\""] {
            let error = conditions(&[(IF_MATCH, bad)]).unwrap_err();
            assert_eq!(error.field, "If-Match", "{bad}");
        }
    }
}
