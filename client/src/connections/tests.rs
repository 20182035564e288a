//! Channels are shared, bounded and hide their secrets; dialers replace TCP.

use cached_proto::pb::cached::admin::v1::StatusRequest;
use tonic::service::Interceptor;

use super::*;

fn plain() -> Connections {
    Connections::new(ConnectOptions::default())
}

#[tokio::test]
async fn every_spelling_of_an_address_shares_a_channel() {
    let connections = plain();
    for address in [
        "127.0.0.1:1",
        "http://127.0.0.1:1",
        "http://127.0.0.1:1/",
        "127.0.0.1:1",
    ] {
        connections.link(address).unwrap();
    }
    assert_eq!(connections.len(), 1);
    connections.link("127.0.0.1:2").unwrap();
    connections.retain(&|authority| authority == "127.0.0.1:2");
    assert_eq!(connections.len(), 1);
}

#[tokio::test]
async fn the_number_of_channels_is_bounded_and_the_oldest_goes() {
    let connections = plain();
    for port in 1..=CHANNELS_MAX {
        connections.link(&format!("h:{port}")).unwrap();
    }
    connections.link("h:1").unwrap();
    connections.link("other:1").unwrap();
    assert_eq!(connections.len(), CHANNELS_MAX);
    let channels = connections.0.channels.lock();
    assert!(channels.by_authority.contains_key("h:1"));
    assert!(!channels.by_authority.contains_key("h:2"));
}

#[tokio::test]
async fn schemes_and_tls_must_agree() {
    let problem = plain().link("https://h:1").unwrap_err().to_string();
    assert!(problem.contains("needs a CA"), "{problem}");
    let tls = ConnectOptions {
        tls: Some(TlsOptions::default()),
        ..ConnectOptions::default()
    };
    let problem = Connections::new(tls.clone())
        .link("http://h:1")
        .unwrap_err()
        .to_string();
    assert!(problem.contains("contradicts"), "{problem}");
    let problem = Connections::new(tls).link("h:1").unwrap_err().to_string();
    assert!(problem.contains("needs the CA"), "{problem}");
}

#[tokio::test]
async fn new_certificates_are_for_all_connections_to_come() {
    let options = || {
        let signed = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
        TlsOptions {
            ca_pem: Some(certificate.clone().into()),
            identity_pem: Some((certificate.into(), key.into())),
            server_name: None,
        }
    };
    let (old, new) = (options(), options());
    let connections = Connections::new(ConnectOptions {
        tls: Some(old.clone()),
        ..ConnectOptions::default()
    });
    let tls = || connections.0.channels.lock().tls.clone();
    connections.link("h:1").unwrap();
    connections.set_tls(Some(old.clone())).unwrap();
    assert_eq!(connections.len(), 1, "nothing has changed");

    let mut bad = new.clone();
    bad.identity_pem = Some((b"no PEM".to_vec(), b"hush".to_vec()));
    let problem = connections.set_tls(Some(bad)).unwrap_err().to_string();
    assert!(
        problem.contains("tls") && !problem.contains("hush"),
        "{problem}"
    );
    assert!(connections.len() == 1 && tls() == Some(old));

    connections.set_tls(Some(new.clone())).unwrap();
    assert!(connections.is_empty() && tls() == Some(new));
    connections.link("h:1").unwrap();
    connections.set_tls(None).unwrap();
    assert!(connections.is_empty());
    assert!(
        connections.link("https://h:1").is_err(),
        "there is no TLS any more"
    );
}

#[test]
fn secrets_are_not_shown() {
    let identity = Some((b"certificate".to_vec(), b"private".to_vec()));
    let options = ConnectOptions {
        token: Some(Token::new("hush").unwrap()),
        tls: Some(TlsOptions {
            identity_pem: identity,
            ..TlsOptions::default()
        }),
        ..ConnectOptions::default()
    };
    let shown = format!("{options:?} {:?}", Connections::new(options.clone()));
    assert!(
        !shown.contains("hush") && !shown.contains("112, 114, 105"),
        "{shown}"
    );
    assert!(Token::new("").is_err());
    let problem = Token::new("a\nb").unwrap_err().to_string();
    assert!(!problem.contains("a\n"), "{problem}");
}

#[test]
fn calls_carry_the_token_in_force() {
    let connections = plain();
    let mut bearer = connections.0.token.clone();
    let mut sent = || {
        let request = bearer.call(tonic::Request::new(())).unwrap();
        request
            .metadata()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(sent(), None);
    connections.set_token(Some(Token::new("one").unwrap()));
    assert_eq!(sent().as_deref(), Some("Bearer one"));
    connections.set_token(Some(Token::new("two").unwrap()));
    assert_eq!(sent().as_deref(), Some("Bearer two"));
    connections.set_token(None);
    assert_eq!(sent(), None);
}

#[tokio::test(start_paused = true)]
async fn a_dialer_replaces_tcp_and_is_bounded() {
    for hangs in [false, true] {
        let dialer: Dialer = Arc::new(move |address| {
            Box::pin(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Err(io::Error::other(format!("no way to {address}")))
            })
        });
        let options = ConnectOptions {
            dialer: Some(dialer),
            ..ConnectOptions::default()
        };
        let mut admin = Connections::new(options).admin("somewhere:7").unwrap();
        let status = admin.status(StatusRequest {}).await.unwrap_err();
        let problem = chain(&status);
        let expected = if hangs {
            "timed out"
        } else {
            "no way to somewhere:7"
        };
        assert!(problem.contains(expected), "{problem}");
    }
}
