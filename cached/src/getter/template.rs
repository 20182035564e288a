//! A URL with `{key}` in it, checked once and filled in for each load. Pure.

use cached_proto::types::{GroupName, Invalid, Key};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use reqwest::Url;

use super::FLAG;

/// What a correct origin looks like, shown with every mistake.
const EXAMPLE: &str = "http://origin.example/values/{key}";

/// Bytes that stand for themselves in a path segment: RFC 3986's unreserved ones.
/// All others are encoded, so that a key can neither end its segment nor the path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Stand for `{key}` and `{group}` while a template is parsed as a URL, which
/// would encode the braces.
const KEY_MARK: &str = "cachedkeymark0";
const GROUP_MARK: &str = "cachedgroupmark0";

/// A piece of a template.
#[derive(Clone)]
enum Part {
    Text(String),
    Key,
    Group,
}

/// A checked template.
#[derive(Clone)]
pub(super) struct Template {
    /// Normalised, in pieces.
    parts: Vec<Part>,
    /// For people: no user, no password, no values of the query.
    shown: String,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.shown).finish()
    }
}

impl Template {
    /// Checks a template. Errors name the flag, never the template itself, which
    /// may hold a password.
    pub(super) fn new(text: &str) -> Result<Self, Invalid> {
        let refuse =
            |problem: &str| Invalid::new(FLAG, format!("{problem}; for example: {EXAMPLE}"));
        if !text.contains("{key}") {
            return Err(refuse("must contain {key}, where the key goes"));
        }
        if text.contains(KEY_MARK) || text.contains(GROUP_MARK) {
            return Err(refuse(
                "contains a word that is reserved for the place of the key",
            ));
        }
        let marked = text
            .replace("{key}", KEY_MARK)
            .replace("{group}", GROUP_MARK);
        if marked.contains(['{', '}']) {
            return Err(refuse("may hold {key} and {group}, and no other braces"));
        }
        let url = Url::parse(&marked).map_err(|error| refuse(&format!("is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("must start with http://, https:// or dir:"));
        }
        let rest = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let marks = |text: &str| text.matches(KEY_MARK).count() + text.matches(GROUP_MARK).count();
        if marks(&rest) != marks(&marked) {
            return Err(refuse(
                "may hold {key} and {group} only in the path and the query",
            ));
        }
        Ok(Self {
            shown: shown(&url),
            parts: parts(url.as_str()),
        })
    }

    /// The URL of a key. `None` for keys of dots that would climb to another path.
    pub(super) fn fill(&self, group: &GroupName, key: &Key) -> Option<Url> {
        let key = percent_encode(key.as_bytes(), SEGMENT).to_string();
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Key => &key,
                Part::Group => group.as_str(),
            });
        }
        // Parsing resolves "." and ".."; every other encoded key stays as it is.
        Url::parse(&text).ok().filter(|url| url.as_str() == text)
    }

    /// For people: without secrets.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// Cuts a marked text at its marks. Filled in piece by piece: what a key spells is
/// never looked at again.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (number, piece) in text.split(KEY_MARK).enumerate() {
        parts.extend((number > 0).then_some(Part::Key));
        for (number, text) in piece.split(GROUP_MARK).enumerate() {
            parts.extend((number > 0).then_some(Part::Group));
            parts.push(Part::Text(text.to_owned()));
        }
    }
    parts
}

fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let query = if url.query().is_some() {
        "?(hidden)"
    } else {
        ""
    };
    format!("{}://{host}{port}{}{query}", url.scheme(), url.path())
        .replace(KEY_MARK, "{key}")
        .replace(GROUP_MARK, "{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, key: &[u8]) -> Option<String> {
        let group = GroupName::new("g").unwrap();
        let key = Key::new(key.to_vec()).unwrap();
        Template::new(template)
            .unwrap()
            .fill(&group, &key)
            .map(String::from)
    }

    #[test]
    fn keys_stay_in_their_place() {
        let check = |template: &str, key: &[u8], expected: &str| {
            assert_eq!(
                fill(template, key).as_deref(),
                Some(expected),
                "{}",
                key.escape_ascii()
            );
        };
        let path = "http://host:81/a/{key}";
        check(path, b"Tom-1_2.3~", "http://host:81/a/Tom-1_2.3~");
        check(
            path,
            b"a/b?c#d%e&f=g+h i",
            "http://host:81/a/a%2Fb%3Fc%23d%25e%26f%3Dg%2Bh%20i",
        );
        check(path, b"../../x", "http://host:81/a/..%2F..%2Fx");
        check(path, b"%2e%2e", "http://host:81/a/%252e%252e");
        check(path, b"\xff\x00\r\n", "http://host:81/a/%FF%00%0D%0A");
        check(path, "ä".as_bytes(), "http://host:81/a/%C3%A4");
        check("http://h/{group}/{key}/raw", b"k", "http://h/g/k/raw");
        check(
            "http://h/get?group={group}&key={key}&x=1",
            b"a&b",
            "http://h/get?group=g&key=a%26b&x=1",
        );
        check(
            "http://h/{group}/{key}",
            b"cachedgroupmark0",
            "http://h/g/cachedgroupmark0",
        );
        check("http://h/{key}/{key}", b"k", "http://h/k/k");
        check("http://user:pw@h/x.{key}", b".", "http://user:pw@h/x..");
        check("HTTP://HOST:80/a/../b/{key}", b"k", "http://host/b/k");
    }

    #[test]
    fn keys_of_dots_climb_nowhere() {
        for key in [b".".as_slice(), b".."] {
            assert_eq!(fill("http://h/a/{key}", key), None);
            assert_eq!(fill("http://h/a/{key}/b", key), None);
            assert!(fill("http://h/a?k={key}", key).is_some(), "no path there");
        }
        assert_eq!(fill("http://h/a/.{key}", b"."), None);
    }

    #[test]
    fn mistakes_name_the_flag_and_show_an_example() {
        for (template, problem) in [
            ("http://host/path", "must contain {key}"),
            ("", "must contain {key}"),
            ("host/{key}", "is no URL"),
            ("ftp://host/{key}", "must start with http://"),
            ("http://{key}/", "only in the path and the query"),
            (
                "http://{group}.host/{key}",
                "only in the path and the query",
            ),
            ("http://host/{key}#{key}", "only in the path and the query"),
            ("http://host/{key}/{id}", "no other braces"),
            ("http://host:99999/{key}", "is no URL"),
            ("http://user:hunter2@[::/{key}", "is no URL"),
        ] {
            let error = Template::new(template).unwrap_err();
            assert_eq!(error.field, "--origin");
            assert!(error.problem.contains(problem), "{template}: {error}");
            assert!(
                error
                    .problem
                    .ends_with("for example: http://origin.example/values/{key}")
            );
            assert!(!error.problem.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let template = Template::new("https://me:pw1@h:8443/v/{group}/{key}?token=pw2").unwrap();
        assert_eq!(template.shown(), "https://h:8443/v/{group}/{key}?(hidden)");
        assert!(!format!("{template:?}").contains("pw"));
    }
}
