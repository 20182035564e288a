//! Where etcd is and how to be let in: checked, and turned into links.

use std::fmt;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::RegistryError;
use super::links::{Credentials, Link, Links};

/// An etcd cluster has 3 to 7 members; each endpoint also gets its share of a
/// call's timeout, which a long list would make uselessly short.
const ENDPOINTS_MAX: usize = 16;

/// A connection that is silent this long while something waits on it is pinged.
/// etcd closes connections that ping more often than every 5 s while nothing else is
/// sent (`--grpc-keepalive-min-time`; with 1 s its 3.4.23 ended an idle watch after
/// 4 s, with 6 s it lived on), so this leaves a second for jitter.
const PING_AFTER: Duration = Duration::from_secs(6);

/// An unanswered ping ends the connection, and with it every watch on it, after so
/// long. Together 8 s: less than the 10 s after which members re-read by themselves.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls that may queue on one link before it takes no more; a member has fewer
/// than ten under way.
const CALLS_MAX: usize = 256;

/// Where etcd is, and how to be let in.
#[derive(Clone, Default)]
pub struct EtcdOptions {
    /// `host:port` or URLs; a call goes to the first that answers.
    pub endpoints: Vec<String>,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// PEM of the authority that signed etcd's certificate; `https` needs it.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM of the client's certificate and key.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Bound of every single call; more than zero.
    pub timeout: Duration,
}

/// Shows whether secrets are set, never what they are.
impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("endpoints", &self.endpoints)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("ca_pem", &self.ca_pem.is_some())
            .field("client_pem", &self.client_pem.is_some())
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Checks the options; connects to nothing. Needs a tokio runtime around it.
pub(super) fn links(options: EtcdOptions) -> Result<Links, RegistryError> {
    if options.timeout.is_zero() {
        return Err(invalid("etcd timeout: 0 s; it must be more".into()));
    }
    let mut uris: Vec<Uri> = Vec::new();
    for text in &options.endpoints {
        let uri = parse_endpoint(text, options.wants_tls())?;
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    if uris.is_empty() || uris.len() > ENDPOINTS_MAX {
        let count = uris.len();
        return Err(invalid(format!(
            "etcd endpoints: {count}; 1 to {ENDPOINTS_MAX} are possible"
        )));
    }
    // One share more than there are endpoints: the last still has time to answer.
    let connect_timeout = options.timeout / (uris.len() as u32 + 1);
    let tls = tls_config(&options)?;
    let credentials: Option<Credentials> = options.credentials;
    let mut links = Vec::new();
    for uri in uris {
        let name = uri.authority().map(ToString::to_string).unwrap_or_default();
        let secure = uri.scheme_str() == Some("https");
        let mut endpoint = tuned(Endpoint::from(uri)).connect_timeout(connect_timeout);
        if secure {
            endpoint = endpoint
                .tls_config(tls.clone())
                .map_err(|error| invalid(format!("etcd certificates: {}", chain(&error))))?;
        }
        let link = Link::new(name, endpoint.connect_lazy(), credentials.clone());
        links.push(if secure { link.secure() } else { link });
    }
    Ok(Links::new(links, options.timeout))
}

impl EtcdOptions {
    fn wants_tls(&self) -> bool {
        self.ca_pem.is_some() || self.client_pem.is_some()
    }
}

/// Keep-alive and bounds that every connection has, to etcd or embedded.
pub(super) fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        // etcd counts any ping without an open stream as abuse. A connection that
        // died while nothing waited on it is found by the next call's timeout.
        .keep_alive_while_idle(false)
        .buffer_size(CALLS_MAX)
}

fn parse_endpoint(text: &str, wants_tls: bool) -> Result<Uri, RegistryError> {
    // A password must not be echoed, and would be shown as part of the endpoint.
    if text.contains('@') {
        return Err(invalid(
            "etcd endpoint with a user in it; give user and password apart".into(),
        ));
    }
    let bad = |why: &str| invalid(format!("etcd endpoint {text:?}: {why}"));
    let default_scheme = if wants_tls { "https" } else { "http" };
    let url = if text.contains("://") {
        text.into()
    } else {
        format!("{default_scheme}://{text}")
    };
    let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
    match uri.scheme_str() {
        Some("http") if wants_tls => {
            return Err(bad("certificates are given, but it is not https"));
        }
        Some("https") if !wants_tls => return Err(bad("https needs the authority's certificate")),
        Some("http" | "https") => {}
        _ => return Err(bad("neither host:port nor an http or https URL")),
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(bad("a path has no meaning here"));
    }
    match uri.port_u16() {
        Some(port) if port > 0 => Ok(uri),
        _ => Err(bad("no port; etcd usually listens on 2379")),
    }
}

fn tls_config(options: &EtcdOptions) -> Result<ClientTlsConfig, RegistryError> {
    let bad = |why: &str| Err(invalid(format!("etcd certificates: {why}")));
    let has_certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).is_ok();
    let mut tls = ClientTlsConfig::new();
    match &options.ca_pem {
        Some(ca) if has_certificate(ca) => tls = tls.ca_certificate(Certificate::from_pem(ca)),
        Some(_) => return bad("no PEM certificate in the authority's file"),
        None if options.client_pem.is_some() => return bad("a client's, but no authority's"),
        None => {}
    }
    if let Some((certificate, key)) = &options.client_pem {
        if !has_certificate(certificate) {
            return bad("no PEM certificate in the client's file");
        }
        if PrivateKeyDer::from_pem_slice(key).is_err() {
            return bad("no PEM private key in the client's key file");
        }
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

fn invalid(message: String) -> RegistryError {
    RegistryError::Invalid(message)
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoints: &[&str]) -> EtcdOptions {
        EtcdOptions {
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            timeout: Duration::from_secs(2),
            ..EtcdOptions::default()
        }
    }

    #[test]
    fn endpoints_are_checked() {
        let accepted = [
            ("localhost:2379", false, "http://localhost:2379/"),
            ("http://etcd:2379", false, "http://etcd:2379/"),
            ("[::1]:2379", false, "http://[::1]:2379/"),
            ("etcd:2379", true, "https://etcd:2379/"),
            ("https://etcd:2379", true, "https://etcd:2379/"),
        ];
        for (text, tls, uri) in accepted {
            assert_eq!(
                parse_endpoint(text, tls).unwrap().to_string(),
                uri,
                "{text}"
            );
        }
        let refused = [
            ("", false, "etcd endpoint"),
            ("localhost", false, "no port"),
            ("localhost:0", false, "no port"),
            ("localhost:99999", false, "etcd endpoint"),
            ("two words:1", false, "etcd endpoint"),
            ("ftp://etcd:2379", false, "neither host:port"),
            ("http://etcd:2379/v3", false, "a path"),
            ("https://etcd:2379", false, "authority"),
            ("http://etcd:2379", true, "not https"),
        ];
        for (text, tls, why) in refused {
            let error = parse_endpoint(text, tls).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn options_are_checked() {
        assert_eq!(
            links(options(&["a:1", "b:1", "http://a:1"]))
                .unwrap()
                .names(),
            ["a:1", "b:1"]
        );
        let refused = [
            (options(&[]), "endpoints: 0"),
            (
                EtcdOptions {
                    timeout: Duration::ZERO,
                    ..options(&["a:1"])
                },
                "timeout: 0 s",
            ),
            (
                EtcdOptions {
                    ca_pem: Some(b"no pem".to_vec()),
                    ..options(&["a:1"])
                },
                "certificates",
            ),
            (
                EtcdOptions {
                    client_pem: Some((vec![], vec![])),
                    ..options(&["a:1"])
                },
                "no authority's",
            ),
        ];
        for (options, why) in refused {
            let error = links(options).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut options = options(&["a:1"]);
        options.credentials = Some(("ann".into(), "hunter2".into()));
        options.client_pem = Some((b"cert".to_vec(), b"hunter2".to_vec()));
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = parse_endpoint("http://ann:hunter2@etcd:2379", false).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
