//! TLS for REST and gRPC, and certificates that nodes show each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cached_client::{Client, Options, TlsOptions};
use cached_proto::pb::cached::peer::v1::ProbeRequest;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_tests::command::Runner;
use cached_tests::plain::PlainCluster;
use cached_tests::process::Process;
use cached_tests::{binaries, etcd, redis, wait};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// An authority and what it signs, as PEM files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than that of what it signs, or OpenSSL takes those for self-signed.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, for this machine.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(hosts)
            .unwrap()
            .signed_by(&key, &self.issuer);
        let (certificate, key) = (certificate.unwrap().pem(), key.serialize_pem());
        std::fs::write(self.file(&format!("{name}.pem")), &certificate).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), &key).unwrap();
        (certificate, key)
    }

    /// The flags of a process that serves with what was signed for `name`.
    fn flags(&self, name: &str, client_auth: &str) -> Vec<String> {
        let file = |name: String| self.file(&name).display().to_string();
        [
            ("--tls-cert", file(format!("{name}.pem"))),
            ("--tls-key", file(format!("{name}.key"))),
            ("--tls-ca", file("ca.pem".to_owned())),
            ("--tls-client-auth", client_auth.to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    fn http(&self) -> reqwest::Client {
        // For its side effect: the provider of the whole test process.
        let _ = cached_tests::clients::http();
        let ca = reqwest::Certificate::from_pem(self.pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([ca])
            .build()
            .unwrap()
    }

    fn options(&self, address: impl ToString) -> Options {
        Options::nodes([address.to_string()]).tls(TlsOptions {
            ca_pem: Some(self.pem().into()),
            ..TlsOptions::default()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_know_each_other_by_their_certificates() {
    if !etcd::is_there() {
        return;
    }
    let authority = Authority::new();
    authority.sign("node");
    let http = authority.http();
    let flags = authority.flags("node", "peers");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = PlainCluster::start(2, &flags, "https", &http).await;
    let gateway = cluster.gateway();

    // A client without a certificate reads and writes keys of every node, through
    // every process: so nodes and gateway can speak to each other.
    let client = Client::connect(authority.options(gateway)).await.unwrap();
    for number in 0..30 {
        let key = format!("key-{number}");
        client.set(key.clone(), key.clone(), None).await.unwrap();
        for address in &cluster.addresses {
            let url = format!("https://{address}/api?key={key}");
            let answer = http.get(url).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), key);
        }
    }
    // Nothing is answered in the clear.
    let plain = reqwest::get(format!("http://{gateway}/healthz")).await;
    assert!(plain.is_err(), "{plain:?}");

    let mine = authority.sign("operator");
    let stranger = Authority::new();
    let strangers = stranger.sign("stranger");
    assert_eq!(
        probe(&authority, gateway.port(), None).await,
        Some(Code::Unauthenticated)
    );
    let node = cluster.addresses[0].port();
    assert_eq!(
        probe(&authority, node, None).await,
        Some(Code::Unauthenticated)
    );
    let certified = probe(&authority, node, Some(mine)).await;
    assert_ne!(
        certified,
        Some(Code::Unauthenticated),
        "the certificate is enough"
    );
    let foreign = probe(&authority, node, Some(strangers)).await;
    assert!(foreign.is_some_and(|code| code != Code::Ok), "{foreign:?}");

    let url = format!("https://{gateway}");
    let ca = authority.file("ca.pem");
    let status = [
        "--endpoint",
        &url,
        "--tls-ca",
        ca.to_str().unwrap(),
        "status",
        "--exit-code",
        "--wait",
        "20s",
    ];
    let ran = Runner::new(&binaries::cachectl(), &status).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Asks as a node would; the code of the refusal, if it is one.
async fn probe(
    authority: &Authority,
    port: u16,
    identity: Option<(String, String)>,
) -> Option<Code> {
    let ca = Certificate::from_pem(authority.pem());
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(ca)
        .domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
    let asked = PeerClient::new(channel)
        .probe(ProbeRequest { header: None })
        .await;
    asked.err().map(|status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_must_show_a_certificate_nobody_gets_in_without() {
    let authority = Authority::new();
    authority.sign("node");
    let (certificate, key) = authority.sign("client");
    let mut words = authority.flags("node", "all");
    words.extend(["--port".to_owned(), "0".to_owned()]);
    let log = authority.file("node.log");
    let mut node = Process::start(&binaries::cached(), &words, &log);
    let address = node.listening().await;

    let mut options = authority.options(address);
    let without = Client::connect(options.clone()).await.unwrap_err();
    assert!(
        without.to_string().contains(&address.to_string()),
        "{without}"
    );
    let tls = options.connect.tls.as_mut().unwrap();
    tls.identity_pem = Some((certificate.into(), key.into()));
    // It listens before it has its table.
    let client = wait::until("it is ready", Duration::from_secs(20), || async {
        let client = Client::connect(options.clone()).await?;
        client.set("k", "v", None).await.map(|_| client)
    })
    .await;
    assert!(client.get("k").await.unwrap().is_some());
    assert!(
        authority
            .http()
            .get(format!("https://{address}/healthz"))
            .send()
            .await
            .is_err()
    );

    let (url, file) = (format!("https://{address}"), |name: &str| {
        text(&authority.file(name))
    });
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let words = [
        "--endpoint",
        &url,
        "--tls-ca",
        &ca,
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "get",
        "k",
    ];
    let ran = Runner::new(&binaries::cachectl(), &words).run().await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "v"), "{ran:?}");
}

/// Redis's own tool, built with TLS.
#[tokio::test(flavor = "multi_thread")]
async fn redis_clients_are_answered_over_tls() {
    if !redis::is_there("redis-cli") {
        return;
    }
    let authority = Authority::new();
    authority.sign("node");
    let mut words = authority.flags("node", "none");
    words.extend(["--port", "0", "--resp", "127.0.0.1:0"].map(str::to_owned));
    let log = authority.file("node.log");
    let mut node = Process::start(&binaries::cached(), &words, &log);
    node.listening().await;
    let address = redis::listening(&node, "plain").await;
    let (port, ca) = (address.port().to_string(), text(&authority.file("ca.pem")));
    let cli = redis::program("redis-cli").unwrap();
    let run = async |line: &str| {
        let mut words = vec!["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert", &ca];
        words.extend(line.split(' '));
        Runner::new(&cli, &words).run().await
    };
    wait::until("it is ready", Duration::from_secs(20), || async {
        let ran = run("SET k v").await;
        (ran.out == "OK\n").then_some(()).ok_or(ran)
    })
    .await;
    assert_eq!(run("GET k").await.out, "v\n");
    // Nothing is answered in the clear.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PING\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = plain.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(read.is_ok(), "it hangs up");
    assert!(!answer.contains(&b'+'), "{}", answer.escape_ascii());
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
