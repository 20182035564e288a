//! REST: a request for each operation, or batches.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cached_client::connections::TlsOptions;
use cached_client::types::{GroupName, Ttl};
use futures_util::future::join_all;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::{Ask, Heard, Message, in_order, messages};
use crate::commands::bench::mix::Kind;
use crate::commands::bench::plan::Shape;
use crate::commands::bench::record::Failed;
use crate::commands::bench::targets::Targets;
use crate::error::CliError;

/// What is the same for all clients.
#[derive(Clone)]
pub struct RestOptions {
    /// Certificates; `None`: plaintext.
    pub tls: Option<TlsOptions>,
    /// Token to show.
    pub token: Option<String>,
    /// The keys' group.
    pub group: GroupName,
    /// Time to live of what is written.
    pub ttl: Option<Ttl>,
    /// Bound of one request.
    pub timeout: Duration,
}

impl std::fmt::Debug for RestOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("RestOptions");
        shown.field("tls", &self.tls).field("group", &self.group);
        shown.field("token", &self.token.is_some()).finish()
    }
}

/// Connections of one client to all nodes.
#[derive(Debug)]
pub struct Rest {
    http: Client,
    targets: Rc<Targets>,
    options: RestOptions,
    shape: Shape,
}

impl Rest {
    /// Connects when something is sent; fails for certificates that cannot be used.
    pub fn new(options: RestOptions, targets: Rc<Targets>, shape: Shape) -> Result<Self, CliError> {
        let http = client(&options)
            .map_err(|error| CliError::usage(format!("HTTP cannot be set up: {error}")))?;
        Ok(Self {
            http,
            targets,
            options,
            shape,
        })
    }

    /// See [`super::Wire::round`].
    pub async fn round(&mut self, asks: &[Ask]) -> Vec<Heard> {
        let batch = usize::from(self.shape.batch);
        if batch == 1 {
            return join_all(asks.iter().map(|ask| self.one(ask))).await;
        }
        let calls = messages(asks, batch, false)
            .into_iter()
            .map(|message| self.batch(asks, message));
        in_order(asks.len(), join_all(calls).await)
    }

    async fn one(&self, ask: &Ask) -> Heard {
        let key = percent_encode(&ask.key, NON_ALPHANUMERIC);
        let url = format!("{}/keys/{key}", self.group_url(ask.server));
        let request = match ask.kind {
            Kind::Get => self.http.get(format!("{url}?no_load")),
            Kind::Delete => self.http.delete(url),
            Kind::Set => {
                let ttl = self.options.ttl.map(Ttl::as_ms);
                let query = ttl.map(|ms| format!("?ttl={ms}ms")).unwrap_or_default();
                self.http
                    .put(format!("{url}{query}"))
                    .body(ask.value.clone())
            }
        };
        let answer = request.send().await;
        Heard::now(match answer {
            Ok(response) => found(ask.kind, response).await,
            Err(error) => Err(failed(&error)),
        })
    }

    async fn batch(&self, asks: &[Ask], message: Message) -> (Vec<usize>, Vec<Heard>) {
        let places = message.places.iter().filter_map(|place| asks.get(*place));
        let operations: Vec<_> = places.map(|ask| self.item(ask)).collect();
        let url = format!("{}/batch", self.group_url(message.server));
        let body = json!({ "operations": operations });
        let answer = self.http.post(url).json(&body).send().await;
        let results = match answer {
            Ok(response) => results(response).await,
            Err(error) => Err(failed(&error)),
        };
        let count = message.places.len();
        let heard = match results {
            Ok(results) => results.iter().map(result).map(Heard::now).collect(),
            Err(failed) => vec![Heard::now(Err(failed)); count],
        };
        (message.places, heard)
    }

    fn item(&self, ask: &Ask) -> Value {
        let mut item = json!({"op": ask.kind.name(), "key_base64": STANDARD.encode(&ask.key)});
        match ask.kind {
            Kind::Get => item["no_load"] = true.into(),
            Kind::Set => {
                item["value"] = String::from_utf8_lossy(&ask.value).into();
                if let Some(ttl) = self.options.ttl {
                    item["ttl_ms"] = ttl.as_ms().into();
                }
            }
            Kind::Delete => {}
        }
        item
    }

    fn group_url(&self, server: usize) -> String {
        let scheme = match self.options.tls {
            Some(_) => "https",
            None => "http",
        };
        let address = self.targets.address(server);
        format!("{scheme}://{address}/v1/groups/{}", self.options.group)
    }
}

fn client(options: &RestOptions) -> reqwest::Result<Client> {
    // An Err means that one is installed already: all of ours use ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = reqwest::header::HeaderMap::new();
    let bearer = options.token.as_ref().map(|it| format!("Bearer {it}"));
    if let Some(mut value) = bearer.and_then(|it| it.parse::<reqwest::header::HeaderValue>().ok()) {
        value.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, value);
    }
    let mut authorities = Vec::new();
    let mut builder = Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(options.timeout);
    if let Some(tls) = &options.tls {
        if let Some(ca) = &tls.ca_pem {
            authorities = reqwest::Certificate::from_pem_bundle(ca)?;
        }
        if let Some((certificate, key)) = &tls.identity_pem {
            let both = [certificate.as_slice(), b"\n", key.as_slice()].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&both)?);
        }
    }
    builder.tls_certs_only(authorities).build()
}

/// Reads an answer to one operation to its end.
async fn found(kind: Kind, response: Response) -> Result<Option<bool>, Failed> {
    let status = response.status();
    let body = response.bytes().await.map_err(|error| failed(&error))?;
    match status {
        StatusCode::NOT_FOUND if problem_code(&body).as_deref() == Some("key_not_found") => {
            Ok(Some(false))
        }
        status if status.is_success() => Ok((kind != Kind::Set).then_some(true)),
        status => Err(refused(status, &body)),
    }
}

async fn results(response: Response) -> Result<Vec<Value>, Failed> {
    let status = response.status();
    let body = response.bytes().await.map_err(|error| failed(&error))?;
    if !status.is_success() {
        return Err(refused(status, &body));
    }
    let mut document: Value = serde_json::from_slice(&body)
        .map_err(|error| Failed::new("lost", format!("an answer that is no JSON: {error}")))?;
    match document["results"].take() {
        Value::Array(results) => Ok(results),
        _ => Err(Failed::new("lost", "an answer without results")),
    }
}

/// Reads one result of a batch.
fn result(result: &Value) -> Result<Option<bool>, Failed> {
    if let Some(error) = result.get("error") {
        let text = |name: &str| error[name].as_str().unwrap_or("internal").to_owned();
        return Err(Failed::new(text("code"), text("detail")));
    }
    let found = result.get("found").or_else(|| result.get("deleted"));
    Ok(found.and_then(Value::as_bool))
}

fn problem_code(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    problem["code"].as_str().map(str::to_owned)
}

fn refused(status: StatusCode, body: &[u8]) -> Failed {
    let kind = problem_code(body).unwrap_or_else(|| format!("http_{}", status.as_u16()));
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    Failed::new(kind, format!("{status}: {text}"))
}

fn failed(error: &reqwest::Error) -> Failed {
    let kind = match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "unreachable",
        _ => "lost",
    };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Failed::new(kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_batches_are_read() {
        for (text, expected) in [
            (r#"{"key":"a","value":"1","found":true}"#, Ok(Some(true))),
            (r#"{"key":"a","found":false}"#, Ok(Some(false))),
            (r#"{"key":"a","stored":true}"#, Ok(None)),
            (r#"{"key":"a","deleted":false}"#, Ok(Some(false))),
            (
                r#"{"key":"a","error":{"code":"busy","detail":"later"}}"#,
                Err(Failed::new("busy", "later")),
            ),
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(result(&value), expected, "{text}");
        }
    }

    #[test]
    fn refusals_have_the_problems_code_or_the_status() {
        let problem = refused(StatusCode::SERVICE_UNAVAILABLE, br#"{"code":"busy"}"#);
        assert_eq!(problem.kind, "busy");
        let other = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            (other.kind.as_str(), other.message.as_str()),
            ("http_502", "502 Bad Gateway: <html>")
        );
    }
}
