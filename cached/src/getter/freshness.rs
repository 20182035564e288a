//! How long an HTTP answer may be kept, by its headers. Pure.

use cached_proto::limits::TTL_MS_MAX;
use cached_proto::types::Ttl;
use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// The origin says nothing: the group decides.
    Unsaid,
    /// So long.
    For(Ttl),
    /// Not at all.
    NoStore,
}

/// Reads `Cache-Control` as a shared cache does (RFC 9111 §4.2.1): `s-maxage`
/// before `max-age`, less the `Age` that the answer has already. What forbids
/// storing, or storing without asking again, forbids it here, and so does a number
/// that cannot be read.
pub(super) fn freshness(headers: &HeaderMap) -> Freshness {
    let (mut max_age, mut shared) = (None, None);
    let fields = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .map(|field| field.to_str());
    for field in fields {
        let Ok(field) = field else {
            return Freshness::NoStore;
        };
        for directive in field.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim().trim_matches('"').parse::<u64>().unwrap_or(0);
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" | "private" => return Freshness::NoStore,
                "max-age" => max_age = max_age.or(Some(seconds())),
                "s-maxage" => shared = shared.or(Some(seconds())),
                _ => {}
            }
        }
    }
    let Some(seconds) = shared.or(max_age) else {
        return Freshness::Unsaid;
    };
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.trim().parse().ok())
        .unwrap_or(0);
    let ms = seconds
        .saturating_sub(age)
        .saturating_mul(1000)
        .min(TTL_MS_MAX);
    Ttl::from_ms(ms).map_or(Freshness::NoStore, Freshness::For)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str], age: Option<&str>) -> Freshness {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(CACHE_CONTROL, field.parse().unwrap());
        }
        if let Some(age) = age {
            headers.insert(AGE, age.parse().unwrap());
        }
        freshness(&headers)
    }

    fn seconds(seconds: u64) -> Freshness {
        Freshness::For(Ttl::from_ms(seconds * 1000).unwrap())
    }

    #[test]
    fn cache_control_is_read_as_a_shared_cache_does() {
        for (fields, age, expected) in [
            (&[][..], None, Freshness::Unsaid),
            (&["public"], None, Freshness::Unsaid),
            (&["max-age=60"], None, seconds(60)),
            (&["public, Max-Age=\"60\""], None, seconds(60)),
            (&["max-age=60, s-maxage=5"], None, seconds(5)),
            (&["s-maxage=5", "max-age=60"], None, seconds(5)),
            (&["max-age=60, max-age=5"], None, seconds(60)),
            (&["max-age=60"], Some("20"), seconds(40)),
            (&["max-age=60"], Some("60"), Freshness::NoStore),
            (&["max-age=60"], Some("x"), seconds(60)),
            (&["max-age=0"], None, Freshness::NoStore),
            (&["s-maxage=0, max-age=60"], None, Freshness::NoStore),
            (&["max-age=soon"], None, Freshness::NoStore),
            (&["max-age=-1"], None, Freshness::NoStore),
            (&["max-age=60, no-store"], None, Freshness::NoStore),
            (&["max-age=60", "No-Cache"], None, Freshness::NoStore),
            (&["private=\"x\", max-age=60"], None, Freshness::NoStore),
            (
                &["max-age=18446744073709551615"],
                None,
                Freshness::For(Ttl::from_ms(TTL_MS_MAX).unwrap()),
            ),
        ] {
            assert_eq!(of(fields, age), expected, "{fields:?} {age:?}");
        }
    }
}
