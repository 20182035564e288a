//! TLS on the listener: both HTTP versions, clients with and without certificates.

use std::path::PathBuf;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::frontend::PeerCertificate;
use crate::frontend::tls::{ClientCertificates, Tls, TlsFiles};

/// A certificate with its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// An authority, a server's pair signed by it, and a client's.
struct Papers {
    folder: tempfile::TempDir,
    authority: String,
    client: Pair,
}

fn signed(issuer: &Issuer<'_, KeyPair>, purpose: ExtendedKeyUsagePurpose) -> Pair {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let server = signed(&issuer, ExtendedKeyUsagePurpose::ServerAuth);
        let client = signed(&issuer, ExtendedKeyUsagePurpose::ClientAuth);
        let papers = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
            client,
        };
        papers.write("cert.pem", &server.certificate);
        papers.write("key.pem", &server.key);
        papers.write("ca.pem", &papers.authority);
        papers
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn config(&self, clients: Option<ClientCertificates>) -> ServerConfig {
        let path = |name: &str| self.folder.path().join(name);
        let files = TlsFiles {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_authority: clients.map(|mode| (path("ca.pem"), mode)),
        };
        ServerConfig {
            tls: Some(Tls::load(files).unwrap()),
            ..ServerConfig::default()
        }
    }

    /// Connects as somebody with or without a certificate, speaking `protocol`.
    async fn connect(
        &self,
        server: &Listening,
        certified: bool,
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        roots.add(parse(&self.authority)).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if certified {
            let chain = vec![parse(&self.client.certificate)];
            let key = PrivateKeyDer::from_pem_slice(self.client.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, server.connect().await)
            .await
    }
}

/// Asks for `/certificate` over HTTP/1.1.
async fn ask(mut stream: TlsStream<TcpStream>) -> std::io::Result<String> {
    let request = b"GET /certificate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn clients_are_told_apart_by_their_certificates() {
    let papers = Papers::new();
    let optional = listen(papers.config(Some(ClientCertificates::Optional))).await;
    let known = papers.connect(&optional, true, "http/1.1").await.unwrap();
    assert!(ask(known).await.unwrap().ends_with("PeerCertificate(true)"));
    let unknown = papers.connect(&optional, false, "http/1.1").await.unwrap();
    assert!(
        ask(unknown)
            .await
            .unwrap()
            .ends_with("PeerCertificate(false)")
    );

    let required = listen(papers.config(Some(ClientCertificates::Required))).await;
    let known = papers.connect(&required, true, "http/1.1").await.unwrap();
    assert!(ask(known).await.unwrap().ends_with("PeerCertificate(true)"));
    // In TLS 1.3 the client learns of its refusal with the first answer.
    let refused = match papers.connect(&required, false, "http/1.1").await {
        Ok(stream) => ask(stream).await,
        Err(error) => Err(error),
    };
    assert!(refused.is_err(), "{refused:?}");

    // A plain port proves nothing.
    let plain = listen(quick()).await;
    let answer = plain
        .exchange(b"GET /certificate HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("none"), "{answer}");
}

#[tokio::test]
async fn http2_is_negotiated() {
    let papers = Papers::new();
    let server = listen(papers.config(None)).await;
    let stream = papers.connect(&server, false, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    Tasks::new().spawn("client", |_| async move { connection.await.ok() });
    let request = http::Request::get("https://localhost/certificate");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_its_connection() {
    let papers = Papers::new();
    let header_timeout = quick().header_timeout;
    let server = listen(ServerConfig {
        header_timeout,
        ..papers.config(None)
    })
    .await;
    assert_eq!(server.exchange(b"").await, "");
    // Plain HTTP on a TLS port is answered with an alert, and closed.
    let answer = server.exchange(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
}

/// What the router says of the client's certificate.
pub(super) async fn certificate(request: axum::extract::Request) -> String {
    let certificate = request.extensions().get::<PeerCertificate>();
    certificate.map_or("none".to_owned(), |certificate| format!("{certificate:?}"))
}
