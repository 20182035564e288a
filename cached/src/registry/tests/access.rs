//! etcd that asks for a password or a certificate.

use etcd_client::Client;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::registry::etcd_process::EtcdProcess;
use crate::registry::{EtcdOptions, Range, Registry, RegistryError};

async fn read(options: EtcdOptions) -> Result<(), RegistryError> {
    let registry = Registry::etcd(options).await?;
    registry.read(Range::Key("k".into())).await.map(|_| ())
}

fn assert_denied(answer: Result<(), RegistryError>) {
    assert!(
        matches!(answer, Err(RegistryError::Denied(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_password_is_needed_and_outlives_a_restart() {
    let Some(mut etcd) = EtcdProcess::start().await else {
        return;
    };
    let credentials = ("root".to_owned(), "hunter2".to_owned());
    let right = EtcdOptions {
        credentials: Some(credentials),
        ..etcd.options()
    };
    assert_denied(read(right.clone()).await); // there are no passwords yet

    let early = Registry::etcd(right.clone()).await.unwrap();
    let admin = Client::connect(etcd.options().endpoints, None)
        .await
        .unwrap();
    let mut auth = admin.auth_client();
    auth.user_add("root", "hunter2", None).await.unwrap();
    auth.user_grant_role("root", "root").await.unwrap();
    auth.auth_enable().await.unwrap();

    early.read(Range::Key("k".into())).await.unwrap();
    let wrong = ("root".to_owned(), "hunter3".to_owned());
    assert_denied(
        read(EtcdOptions {
            credentials: Some(wrong),
            ..etcd.options()
        })
        .await,
    );
    assert_denied(read(etcd.options()).await);

    // Tokens live in etcd's memory; ours is now of no use.
    etcd.kill();
    etcd.restart().await;
    early.read(Range::Key("k".into())).await.unwrap();
    early.watch("k", 0).await.unwrap();
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for this machine, and its key.
    fn issue(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

#[tokio::test]
async fn certificates_are_needed_both_ways() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.issue();
    let arguments = vec![
        format!("--cert-file={}", file(&directory, "cert", &certificate)),
        format!("--key-file={}", file(&directory, "key", &key)),
        format!(
            "--trusted-ca-file={}",
            file(&directory, "ca", &authority.pem)
        ),
        "--client-cert-auth".into(),
    ];
    let (certificate, key) = authority.issue();
    let options = EtcdOptions {
        ca_pem: Some(authority.pem.clone().into()),
        client_pem: Some((certificate.into(), key.into())),
        ..EtcdOptions::default()
    };
    let Some(etcd) = EtcdProcess::start_with(arguments, options).await else {
        return;
    };
    read(etcd.options()).await.unwrap();
    let ca_pem = Some(stranger.pem.clone().into());
    assert_denied(
        read(EtcdOptions {
            ca_pem,
            ..etcd.options()
        })
        .await,
    );
    let (certificate, key) = stranger.issue();
    for client_pem in [None, Some((certificate.into(), key.into()))] {
        let error = read(EtcdOptions {
            client_pem,
            ..etcd.options()
        })
        .await
        .unwrap_err();
        assert!(error.to_string().contains("client certificate"), "{error}");
    }
}

fn file(directory: &TempDir, name: &str, contents: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, contents).unwrap();
    path.display().to_string()
}
