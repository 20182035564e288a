//! TLS of the listening side: certificate, key and client authorities from PEM
//! files, which can be read again while the process runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They may; whoever shows one must show a valid one.
    Optional,
    /// Without one the handshake fails.
    Required,
}

/// Where the PEM files are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, with intermediates after it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities that sign clients' certificates; `None`: clients show none.
    pub client_authority: Option<(PathBuf, ClientCertificates)>,
}

/// Why the files were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM of what it should be.
    #[error("{what} {path}: {problem}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The files do not fit together.
    #[error("certificate {certificate} and key {key}: {problem}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The certificates in force.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let config = read(&files)?;
        Ok(Arc::new(Self {
            files,
            config: ArcSwap::new(config),
        }))
    }

    /// Reads the files again, for connections to come. After an error the
    /// certificates stay as they were.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(read(&self.files)?);
        Ok(())
    }

    /// Accepts one connection with what is in force now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    // Named here, because a process may link several providers and then none is the default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates("certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| file_error("private key", &files.key, &error))?;
    let mismatch = |error: rustls::Error| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        problem: error.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(mismatch)?;
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some((path, mode)) => builder.with_client_cert_verifier(verifier(path, *mode, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn verifier(
    path: &Path,
    mode: ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let what = "client authority";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        roots
            .add(certificate)
            .map_err(|error| file_error(what, path, &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match mode {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    builder
        .build()
        .map_err(|error| file_error(what, path, &error))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(what, path, &error))?;
    if found.is_empty() {
        return Err(file_error(what, path, &"holds no PEM certificate"));
    }
    Ok(found)
}

fn file_error(what: &'static str, path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        what,
        path: path.into(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        _folder: tempfile::TempDir,
        files: TlsFiles,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = folder.path().join("cert.pem");
        let key = folder.path().join("key.pem");
        std::fs::write(&certificate, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let files = TlsFiles {
            certificate,
            key,
            client_authority: None,
        };
        Files {
            _folder: folder,
            files,
        }
    }

    #[test]
    fn a_pair_is_taken_and_read_again() {
        let Files { files, .. } = &files();
        let tls = Tls::load(files.clone()).unwrap();
        assert_eq!(
            tls.config.load().alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
        let before = Arc::as_ptr(&tls.config.load());
        tls.reload().unwrap();
        assert_ne!(before, Arc::as_ptr(&tls.config.load()));

        std::fs::write(&files.certificate, "nothing").unwrap();
        assert!(tls.reload().is_err());
        assert_ne!(before, Arc::as_ptr(&tls.config.load()));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let (first, second) = (files(), files());
        let crossed = TlsFiles {
            key: second.files.key.clone(),
            ..first.files.clone()
        };
        assert!(matches!(Tls::load(crossed), Err(TlsError::Mismatch { .. })));

        let missing = TlsFiles {
            certificate: "/nowhere/cert.pem".into(),
            ..first.files.clone()
        };
        let error = Tls::load(missing).unwrap_err().to_string();
        assert!(
            error.starts_with("certificate /nowhere/cert.pem: "),
            "{error}"
        );

        let no_key = TlsFiles {
            key: first.files.certificate.clone(),
            ..first.files.clone()
        };
        let error = Tls::load(no_key).unwrap_err().to_string();
        assert!(error.starts_with("private key "), "{error}");

        let authority = Some((first.files.key.clone(), ClientCertificates::Required));
        let no_authority = TlsFiles {
            client_authority: authority,
            ..first.files.clone()
        };
        let error = Tls::load(no_authority).unwrap_err().to_string();
        assert!(error.contains("holds no PEM certificate"), "{error}");
    }
}
