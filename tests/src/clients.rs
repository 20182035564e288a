//! One trait over every protocol, so that a case is written once.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Context, bail};
use cached_client::Client;
use cached_client::types::Ttl;
use reqwest::StatusCode;

/// A boxed answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>;

/// What every protocol can do.
pub trait AnyClient: Send + Sync + std::fmt::Debug {
    /// For messages.
    fn name(&self) -> String;
    /// `None`: a miss.
    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>>;
    /// Writes.
    fn set<'a>(&'a self, key: &'a [u8], value: &'a [u8], ttl_ms: Option<u64>) -> Answer<'a, ()>;
    /// False: there was none.
    fn delete<'a>(&'a self, key: &'a [u8]) -> Answer<'a, bool>;
}

/// REST, by the versioned paths.
#[derive(Clone, Debug)]
pub struct Rest {
    url: String,
    http: reqwest::Client,
}

impl Rest {
    /// `url` without a trailing slash.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: http(),
        }
    }

    fn path(&self, key: &[u8]) -> String {
        let key: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
        format!("{}/v1/groups/default-group/keys/{key}", self.url)
    }
}

/// An HTTP client; TLS is set up once for the whole test process.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a plain client can be built")
}

/// GET with a client of its own: connections must not outlive a test's runtime.
pub async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    http().get(url).send().await
}

impl AnyClient for Rest {
    fn name(&self) -> String {
        format!("REST on {}", self.url)
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let answer = self.http.get(self.path(key)).send().await?;
            match answer.status() {
                StatusCode::OK => Ok(Some(answer.bytes().await?.to_vec())),
                StatusCode::NOT_FOUND => Ok(None),
                status => bail!("{status}: {}", answer.text().await?),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a [u8], value: &'a [u8], ttl_ms: Option<u64>) -> Answer<'a, ()> {
        Box::pin(async move {
            let ttl = ttl_ms.map(|ms| format!("?ttl={ms}ms")).unwrap_or_default();
            let request = self.http.put(self.path(key) + &ttl).body(value.to_vec());
            let answer = request.send().await?;
            if !answer.status().is_success() {
                bail!("{}: {}", answer.status(), answer.text().await?);
            }
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a [u8]) -> Answer<'a, bool> {
        Box::pin(async move {
            let answer = self.http.delete(self.path(key)).send().await?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(false),
                status if status.is_success() => Ok(true),
                status => bail!("{status}: {}", answer.text().await?),
            }
        })
    }
}

/// gRPC, through the client crate.
#[derive(Clone, Debug)]
pub struct Grpc {
    client: Client,
}

impl Grpc {
    /// A connected client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl AnyClient for Grpc {
    fn name(&self) -> String {
        "gRPC".to_owned()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let entry = self.client.get(key.to_vec()).await?;
            Ok(entry.map(|entry| entry.value.to_vec()))
        })
    }

    fn set<'a>(&'a self, key: &'a [u8], value: &'a [u8], ttl_ms: Option<u64>) -> Answer<'a, ()> {
        Box::pin(async move {
            let ttl = ttl_ms.map(Ttl::from_ms).transpose().context("ttl")?;
            self.client.set(key.to_vec(), value.to_vec(), ttl).await?;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a [u8]) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.client.delete(key.to_vec()).await?) })
    }
}
