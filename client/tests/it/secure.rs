//! TLS with certificates on both sides, and the bearer token.

use cached_client::{Client, Error, Options, TlsOptions, Token};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::fake::{Fake, topology};

/// An authority, and what it signs, as PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn sign(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (
            certificate.pem().into_bytes(),
            key.serialize_pem().into_bytes(),
        )
    }
}

#[tokio::test]
async fn certificates_are_checked_on_both_sides() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("node.example");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let a = Fake::start_with("a", Some(tls)).await;
    a.publish(Some(topology(&[&a], 1))).await;

    let good = TlsOptions {
        ca_pem: Some(authority.pem()),
        identity_pem: Some(authority.sign("client.example")),
        server_name: Some("node.example".to_owned()),
    };
    let client = Client::connect(Options::nodes([a.address()]).tls(good.clone()))
        .await
        .unwrap();
    client.set("k", "v", None).await.unwrap();

    let other = Authority::new().pem();
    for bad in [
        TlsOptions {
            ca_pem: Some(other),
            ..good.clone()
        },
        TlsOptions {
            server_name: Some("other.example".to_owned()),
            ..good.clone()
        },
        TlsOptions {
            identity_pem: None,
            ..good
        },
    ] {
        let connected = Client::connect(Options::nodes([a.address()]).tls(bad)).await;
        assert!(
            matches!(connected, Err(Error::Unreachable(_))),
            "{connected:?}"
        );
    }
}

#[tokio::test]
async fn the_token_goes_with_every_call_and_can_be_replaced() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let options = Options::nodes([a.address()]).token(Token::new("one").unwrap());
    let client = Client::connect(options).await.unwrap();
    client.get("k").await.unwrap();
    client.set_token(Some(Token::new("two").unwrap()));
    client.get("k").await.unwrap();
    client.set_token(None);
    client.get("k").await.unwrap();
    assert_eq!(
        a.tokens(),
        [Some("Bearer one"), Some("Bearer two"), None].map(|it| it.map(str::to_owned))
    );
}
