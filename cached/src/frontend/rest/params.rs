//! What an address says: keys, names and options in a URL. Pure.
//!
//! Keys are bytes: `%` escapes may spell any of them, UTF-8 or not. In a query `+`
//! is a space, as forms and Go's `url.Query()` have it; in a path it is a plus.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Uri};
use cached_proto::types::{GroupName, Invalid, Key, Ttl};

use crate::hotkeys::By;

/// A request header: how long the caller waits, in milliseconds.
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("cached-timeout-ms");

/// What `+` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plus {
    IsSpace,
    IsItself,
}

/// Undoes `%` escapes.
fn decode<'a>(text: &'a str, plus: Plus, field: &'static str) -> Result<Cow<'a, [u8]>, Invalid> {
    let special = |byte: u8| byte == b'%' || (byte == b'+' && plus == Plus::IsSpace);
    if !text.bytes().any(special) {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => escaped(bytes.next(), bytes.next())
                .ok_or_else(|| Invalid::new(field, "has a '%' that no two hex digits follow"))?,
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        });
    }
    Ok(Cow::Owned(decoded))
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The value of a query parameter, still escaped. Others are ignored; the same one
/// twice is refused, because either could be meant.
fn parameter<'a>(uri: &'a Uri, name: &'static str) -> Result<Option<&'a str>, Invalid> {
    let mut found = None;
    for pair in uri.query().unwrap_or_default().split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key == name && found.replace(value).is_some() {
            return Err(Invalid::new(name, "stands more than once in the query"));
        }
    }
    Ok(found)
}

/// The key of `?key=`.
pub(super) fn query_key(uri: &Uri) -> Result<Key, Invalid> {
    let Some(text) = parameter(uri, "key")? else {
        return Err(Invalid::new(
            "key",
            "is missing; add it to the address as ?key=…",
        ));
    };
    Key::new(decode(text, Plus::IsSpace, "key")?.into_owned())
}

/// The part of a path that stands where a route has a placeholder.
fn segment(uri: &Uri, index: usize) -> &str {
    uri.path().split('/').nth(index).unwrap_or_default()
}

/// The group of `/v1/groups/{group}…`.
pub(super) fn path_group(uri: &Uri) -> Result<GroupName, Invalid> {
    let name = decode(segment(uri, 3), Plus::IsItself, "group")?;
    GroupName::new(String::from_utf8_lossy(&name))
}

/// The key of `/v1/groups/{group}/keys/{key}`.
pub(super) fn path_key(uri: &Uri) -> Result<Key, Invalid> {
    Key::new(decode(segment(uri, 5), Plus::IsItself, "key")?.into_owned())
}

/// The time to live of `?ttl=10m`: a number and a unit, several in a row if need be.
pub(super) fn query_ttl(uri: &Uri) -> Result<Option<Ttl>, Invalid> {
    let Some(text) = parameter(uri, "ttl")? else {
        return Ok(None);
    };
    let text = decode(text, Plus::IsSpace, "ttl")?;
    parse_ttl(&String::from_utf8_lossy(&text)).map(Some)
}

fn parse_ttl(text: &str) -> Result<Ttl, Invalid> {
    let duration = humantime::parse_duration(text).map_err(|error| {
        let shown: String = text.chars().take(40).collect();
        Invalid::new(
            "ttl",
            format!("{shown:?} is not a duration such as 90s or 10m: {error}"),
        )
    })?;
    // Whatever does not fit is far over the limit that is checked next.
    Ttl::from_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A switch of the query: `?name`, `?name=true` or `?name=false`.
pub(super) fn query_flag(uri: &Uri, name: &'static str) -> Result<bool, Invalid> {
    match parameter(uri, name)? {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => Err(Invalid::new(name, "must be true or false")),
    }
}

/// What is asked of hot keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heat {
    /// 0: as long as can be.
    pub(super) window_seconds: u32,
    /// 0: some.
    pub(super) top: u32,
    pub(super) by: By,
    pub(super) group: Option<GroupName>,
}

/// `?window=60&top=20&by=bytes&group=users`; all of it may be left out.
pub(super) fn heat(uri: &Uri) -> Result<Heat, Invalid> {
    let group = match parameter(uri, "group")? {
        None => None,
        Some(text) => {
            let name = decode(text, Plus::IsSpace, "group")?;
            Some(GroupName::new(String::from_utf8_lossy(&name))?)
        }
    };
    Ok(Heat {
        window_seconds: query_number(uri, "window")?,
        top: query_number(uri, "top")?,
        by: match parameter(uri, "by")? {
            None | Some("ops") => By::Ops,
            Some("bytes") => By::Bytes,
            Some(_) => return Err(Invalid::new("by", "must be ops or bytes")),
        },
        group,
    })
}

fn query_number(uri: &Uri, name: &'static str) -> Result<u32, Invalid> {
    let Some(text) = parameter(uri, name)? else {
        return Ok(0);
    };
    let number = text.parse().ok();
    number.ok_or_else(|| Invalid::new(name, "must be a whole number"))
}

/// How long the caller waits, if it says so.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Invalid> {
    let Some(value) = headers.get(&TIMEOUT) else {
        return Ok(None);
    };
    let ms = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match ms {
        Some(ms) if ms > 0 => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Invalid::new(
            "Cached-Timeout-Ms",
            "must be a whole number of at least 1",
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn keys_of_queries_are_bytes() {
        let cases: [(&str, &[u8]); 7] = [
            ("/api?key=Tom", b"Tom"),
            ("/api?a=1&key=T%6fm&b", b"Tom"),
            ("/api?key=a+b%2Bc", b"a b+c"),
            ("/api?key=%00%ff%0a", b"\x00\xff\n"),
            ("/api?key=%c3%a4", "ä".as_bytes()),
            ("/api?key=a=b", b"a=b"),
            ("/api?key=a%26b", b"a&b"),
        ];
        for (text, key) in cases {
            assert_eq!(query_key(&uri(text)).unwrap().as_bytes(), key, "{text}");
        }
    }

    #[test]
    fn bad_keys_are_named() {
        let cases = [
            ("/api", "key is missing"),
            ("/api?kye=1", "key is missing"),
            ("/api?key=", "key is empty"),
            ("/api?key", "key is empty"),
            ("/api?key=a&key=b", "key stands more than once"),
            ("/api?key=100%", "key has a '%'"),
            ("/api?key=%zz", "key has a '%'"),
            ("/api?key=%+1", "key has a '%'"),
        ];
        for (text, expected) in cases {
            let error = query_key(&uri(text)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let long = format!("/v1/groups/g/keys/{}", "k".repeat(60_000));
        assert!(path_key(&uri(&long)).is_ok());
    }

    #[test]
    fn paths_hold_groups_and_keys() {
        let address = uri("/v1/groups/g%31/keys/a%2Fb+c%ff?key=no");
        assert_eq!(path_group(&address).unwrap().as_str(), "g1");
        assert_eq!(path_key(&address).unwrap().as_bytes(), b"a/b+c\xff");
        let bad = uri("/v1/groups/%20/keys/x");
        assert!(
            path_group(&bad)
                .unwrap_err()
                .to_string()
                .starts_with("group \" \"")
        );
        assert!(path_group(&uri("/v1/groups/%ff/keys/x")).is_err());
    }

    #[test]
    fn times_to_live_have_units_and_limits() {
        let ttl = |text: &str| query_ttl(&uri(&format!("/x?ttl={text}")));
        assert_eq!(query_ttl(&uri("/x")), Ok(None));
        assert_eq!(ttl("10m").unwrap().unwrap().as_ms(), 600_000);
        assert_eq!(ttl("1h+30m").unwrap().unwrap().as_ms(), 5_400_000);
        assert_eq!(ttl("250ms").unwrap().unwrap().as_ms(), 250);
        for bad in [
            "10",
            "",
            "-1s",
            "0s",
            "abc",
            "11years",
            "1us",
            "99999999999999years",
        ] {
            let error = ttl(bad).unwrap_err();
            assert_eq!(error.field, "ttl", "{bad}: {error}");
        }
    }

    #[test]
    fn hot_keys_are_asked_for_with_numbers() {
        assert_eq!(heat(&uri("/v1/hotkeys")), Ok(Heat::default()));
        let asked = heat(&uri("/v1/hotkeys?window=60&top=9&by=bytes&group=g")).unwrap();
        assert_eq!(
            (asked.window_seconds, asked.top, asked.by),
            (60, 9, By::Bytes)
        );
        for bad in ["window=5m", "top=-1", "by=size", "group=%20"] {
            assert!(heat(&uri(&format!("/v1/hotkeys?{bad}"))).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_and_timeouts() {
        let flag = |text: &str| query_flag(&uri(text), "no_load");
        assert_eq!(flag("/x"), Ok(false));
        assert_eq!(flag("/x?no_load"), Ok(true));
        assert_eq!(flag("/x?no_load=true"), Ok(true));
        assert_eq!(flag("/x?no_load=false"), Ok(false));
        assert!(flag("/x?no_load=1").is_err());

        let mut headers = HeaderMap::new();
        assert_eq!(timeout(&headers), Ok(None));
        headers.insert(TIMEOUT, HeaderValue::from_static("250"));
        assert_eq!(timeout(&headers), Ok(Some(Duration::from_millis(250))));
        for bad in ["0", "-1", "1.5", "soon", ""] {
            headers.insert(TIMEOUT, HeaderValue::from_static(bad));
            assert!(timeout(&headers).is_err(), "{bad}");
        }
    }
}
