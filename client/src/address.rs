//! Addresses of nodes as people write them, checked. Pure.

use cached_proto::types::Invalid;

/// An address that was checked: its scheme, if one was written, and `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// True: `https://`, false: `http://`, `None`: no scheme was written.
    pub tls: Option<bool>,
    /// `host:port`; an IPv6 host stands in brackets.
    pub authority: String,
}

impl Address {
    /// Reads `host:port`, `[v6]:port`, `http://…` or `https://…`; fails with a hint
    /// on how to write it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (tls, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some(_) => return Err(wrong(text, "has a scheme other than http and https")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Some((host, port)) = authority.rsplit_once(':') else {
            return Err(wrong(text, "has no port"));
        };
        match port.parse::<u16>() {
            Ok(0) | Err(_) => return Err(wrong(text, "has no port between 1 and 65535")),
            Ok(_) => check_host(text, host)?,
        }
        Ok(Self {
            tls,
            authority: authority.to_owned(),
        })
    }
}

fn check_host(text: &str, host: &str) -> Result<(), Invalid> {
    if let Some(inner) = host.strip_prefix('[') {
        let v6 = inner
            .strip_suffix(']')
            .and_then(|v6| v6.parse::<std::net::Ipv6Addr>().ok());
        return v6
            .map(drop)
            .ok_or_else(|| wrong(text, "has no IPv6 address in its brackets"));
    }
    if host.is_empty() {
        return Err(wrong(text, "has no host"));
    }
    if host.contains(':') {
        return Err(wrong(text, "has an IPv6 address without brackets"));
    }
    let lawful = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !host.chars().all(lawful) {
        return Err(wrong(
            text,
            "has a host with other characters than letters, digits, '.', '_', '-'",
        ));
    }
    Ok(())
}

fn wrong(text: &str, problem: &str) -> Invalid {
    // Whoever writes a password into an address shall not find it in a log.
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let shown: String = shown.chars().take(80).collect();
    Invalid::new(
        "address",
        format!(
            "{shown:?} {problem}; write host:port, [v6]:port, or either after http:// or https://"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_spellings_are_read() {
        for (text, tls, authority) in [
            ("localhost:8001", None, "localhost:8001"),
            ("10.0.0.7:65535", None, "10.0.0.7:65535"),
            ("[::1]:8001", None, "[::1]:8001"),
            (
                "http://n-1.example.org:80",
                Some(false),
                "n-1.example.org:80",
            ),
            ("https://[fe80::2]:443/", Some(true), "[fe80::2]:443"),
        ] {
            let expected = Address {
                tls,
                authority: authority.to_owned(),
            };
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_one_says_what_is_wrong() {
        for (text, part) in [
            ("", "has no port"),
            ("localhost", "has no port"),
            ("localhost:", "between 1 and 65535"),
            ("localhost:0", "between 1 and 65535"),
            ("localhost:65536", "between 1 and 65535"),
            ("localhost:80/path", "between 1 and 65535"),
            ("::1:8001", "without brackets"),
            ("[::x]:8001", "IPv6 address in its brackets"),
            ("[::1:8001", "IPv6 address in its brackets"),
            (":8001", "has no host"),
            ("a b:8001", "characters"),
            ("ftp://host:21", "scheme"),
        ] {
            let problem = Address::parse(text).unwrap_err().to_string();
            assert!(problem.contains(part), "{text:?}: {problem}");
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        let problem = Address::parse("http://me:secret@host:80")
            .unwrap_err()
            .to_string();
        assert!(!problem.contains("secret"), "{problem}");
    }
}
