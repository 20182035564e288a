//! An origin behind HTTP: one GET for each load.

use std::time::Duration;

use bytes::Bytes;
use cached_proto::types::{GroupName, Invalid, Key};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::freshness::{Freshness, freshness};
use super::template::Template;
use super::{FLAG, LoadError, LoadFuture, Loaded, Origin};

/// Redirects that one load follows: enough for http → https → canonical path.
const REDIRECTS_MAX: usize = 5;

/// How long an unused connection to the origin is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Values by HTTP GET from a URL with `{key}` in it.
#[derive(Debug)]
pub struct Http {
    template: Template,
    client: Client,
    value_bytes_max: usize,
}

impl Http {
    /// Checks the template and prepares connections; connects to nobody yet.
    pub fn new(template: &str, value_bytes_max: usize) -> Result<Self, Invalid> {
        let template = Template::new(template)?;
        let client = client(template.shown().starts_with("https:"))
            .map_err(|error| Invalid::new(FLAG, format!("cannot be used: {error}")))?;
        Ok(Self {
            template,
            client,
            value_bytes_max,
        })
    }

    async fn get(&self, url: Url) -> Result<Loaded, LoadError> {
        let response = self.client.get(url).send().await.map_err(explain)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Loaded::NotThere),
            status => return Err(LoadError(format!("answered {status}"))),
        }
        let (ttl, no_store) = match freshness(response.headers()) {
            Freshness::Unsaid => (None, false),
            Freshness::For(ttl) => (Some(ttl), false),
            Freshness::NoStore => (None, true),
        };
        let value = self.body(response).await?;
        Ok(Loaded::Value {
            value,
            ttl,
            no_store,
        })
    }

    /// Reads the body and stops as soon as it is over the limit of values.
    async fn body(&self, mut response: Response) -> Result<Bytes, LoadError> {
        let limit = self.value_bytes_max;
        let too_large = || {
            LoadError(format!(
                "answered more than {limit} bytes, the limit of values"
            ))
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(explain)? {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        // It may be kept for long: without the room that growing left over.
        body.shrink_to_fit();
        Ok(Bytes::from(body))
    }
}

/// A client with rustls on ring. Where the system has no certificates, https
/// cannot work and says so, while a plain http origin needs none.
fn client(needs_tls: bool) -> Result<Client, String> {
    // An Err means that one is installed already: fine, every process uses ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        Client::builder()
            .redirect(redirect::Policy::custom(follow))
            // The origin is what `--origin` says; the environment has no say in it.
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("cached/", env!("CARGO_PKG_VERSION")))
    };
    match builder().build() {
        Err(_) if !needs_tls => builder().tls_certs_only([]).build(),
        result => result,
    }
    .map_err(|error| chain(&error))
}

/// Follows redirects on the origin's own host: a value must not make a node ask
/// others in its network, nor send keys in the clear that were sent by https.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    match refusal(attempt.previous(), attempt.url()) {
        Some(problem) => attempt.error(problem),
        None => attempt.follow(),
    }
}

/// Why a redirect is not followed; `previous` begins with the URL of the key.
fn refusal(previous: &[Url], next: &Url) -> Option<&'static str> {
    let (first, last) = (previous.first()?, previous.last()?);
    if previous.len() > REDIRECTS_MAX {
        return Some("too many redirects");
    }
    if first.host() != next.host() {
        return Some("a redirect to another host");
    }
    (last.scheme() == "https" && next.scheme() != "https")
        .then_some("a redirect from https to http")
}

/// An HTTP error without the URL, which may hold secrets.
fn explain(error: reqwest::Error) -> LoadError {
    LoadError(chain(&error.without_url()))
}

/// An error and its causes in one line: the outermost alone says too little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Origin for Http {
    fn load<'a>(&'a self, group: &'a GroupName, key: &'a Key) -> LoadFuture<'a> {
        Box::pin(async move {
            match self.template.fill(group, key) {
                Some(url) => self.get(url).await,
                None => Ok(Loaded::NotThere),
            }
        })
    }

    fn describe(&self) -> String {
        self.template.shown().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_their_host_and_encrypted() {
        let refused = |previous: &[&str], next: &str| {
            let url = |text: &&str| Url::parse(text).unwrap();
            let previous: Vec<Url> = previous.iter().map(url).collect();
            refusal(&previous, &url(&next))
        };
        assert_eq!(refused(&["http://h/k"], "http://h/other"), None);
        assert_eq!(refused(&["http://h/k"], "https://h/k"), None);
        assert_eq!(refused(&["http://h/k"; 5], "http://h/k"), None);
        for (previous, next, words) in [
            (&["http://h/k"; 6][..], "http://h/k", "too many"),
            (&["http://h/k"], "http://other/k", "another host"),
            (&["http://h/k"], "http://169.254.169.254/", "another host"),
            (&["http://h/k", "https://h/k"], "http://h/", "https to http"),
        ] {
            let problem = refused(previous, next).unwrap();
            assert!(problem.contains(words), "{next}: {problem}");
        }
    }
}
