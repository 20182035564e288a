//! Tokens and certificates: read at the start, and again on SIGHUP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cached_client::connections::{ConnectOptions, Connections, TlsOptions, Token};

use crate::config::{ClientAuth, Config, ConfigError, RegistrySettings, Security};
use crate::frontend::auth::Auth;
use crate::frontend::tls::{ClientCertificates, Tls, TlsFiles};

/// Bound of connecting to a peer: within one data centre it takes milliseconds,
/// and a third of a request's time is left for trying again.
const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Who may connect, and how this process shows itself.
#[derive(Debug)]
pub(super) struct Guard {
    /// Accepted tokens.
    pub(super) auth: Arc<Auth>,
    /// TLS of the listener.
    pub(super) tls: Option<Arc<Tls>>,
    /// TLS towards peers, as it was at the start.
    peer_tls: Option<TlsOptions>,
    /// Where the files are.
    security: Security,
}

impl Guard {
    /// Reads every file that the settings name.
    pub(super) async fn load(config: &Config) -> Result<Self, ConfigError> {
        let security = config.security.clone();
        let auth = match &security.token_file {
            Some(path) => Auth::load(path)
                .map_err(|error| ConfigError::new("--token-file", error.to_string()))?,
            None => Auth::open(),
        };
        warn_of_gaps(config, &auth);
        Ok(Self {
            auth,
            tls: listener_tls(&security)?,
            peer_tls: peer_tls(&security).await?,
            security,
        })
    }

    /// How this process connects to its peers.
    pub(super) fn connect_options(&self, config: &Config) -> ConnectOptions {
        let limits = crate::frontend::Limits {
            value_bytes_max: config.limits.value_bytes_max,
            ..crate::frontend::Limits::default()
        };
        ConnectOptions {
            token: self.peer_token(),
            tls: self.peer_tls.clone(),
            connect_timeout: PEER_CONNECT_TIMEOUT,
            message_bytes_max: limits.peer_message_bytes_max(),
            dialer: None,
        }
    }

    /// Reads tokens and certificates again; what cannot be used leaves the old in force.
    pub(super) async fn reload(&self, connections: &Connections) {
        match self.auth.reload() {
            Ok(tokens) => tracing::info!(tokens, "token file read again"),
            Err(error) => tracing::error!("tokens stay as they were: {error}"),
        }
        connections.set_token(self.peer_token());
        let Some(tls) = &self.tls else { return };
        let reloaded = match tls.reload() {
            Ok(()) => self.reload_peer_tls(connections).await,
            Err(error) => Err(error.to_string()),
        };
        match reloaded {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!("certificates stay as they were: {error}"),
        }
    }

    async fn reload_peer_tls(&self, connections: &Connections) -> Result<(), String> {
        let tls = peer_tls(&self.security).await;
        connections
            .set_tls(tls.map_err(|error| error.to_string())?)
            .map_err(|error| format!("towards peers: {error}"))
    }

    /// Nodes of a cluster share a token file and show each other its first admin token.
    fn peer_token(&self) -> Option<Token> {
        self.auth
            .admin_token()
            .and_then(|token| Token::new(&token).ok())
    }
}

/// Says what is lawful and seldom meant.
fn warn_of_gaps(config: &Config, auth: &Auth) {
    if config.admits_everybody() {
        tracing::warn!(
            "everybody who can reach {} may read, write and change the cluster: TLS alone \
             keeps nobody out; give --token-file or --tls-client-auth all",
            config.listen.host
        );
    }
    let in_cluster = config.registry != RegistrySettings::Embedded;
    if in_cluster && auth.is_required() && auth.admin_token().is_none() {
        tracing::warn!(
            "--token-file holds no token of role admin: nodes have none to show each other, \
             and will refuse each other's calls"
        );
    }
}

/// TLS of the listener.
fn listener_tls(security: &Security) -> Result<Option<Arc<Tls>>, ConfigError> {
    let Some((certificate, key)) = security.tls.clone() else {
        return Ok(None);
    };
    let demanded = match security.client_auth {
        ClientAuth::All => ClientCertificates::Required,
        // Nodes show theirs; whether a peer's call needs one is asked per call.
        ClientAuth::None | ClientAuth::Peers => ClientCertificates::Optional,
    };
    let authority = security.tls_ca.clone();
    let files = TlsFiles {
        certificate,
        key,
        client_authority: authority.map(|authority| (authority, demanded)),
    };
    let tls =
        Tls::load(files).map_err(|error| ConfigError::new("--tls-cert", error.to_string()))?;
    Ok(Some(tls))
}

/// TLS towards peers: the same certificate, shown by the one who calls.
async fn peer_tls(security: &Security) -> Result<Option<TlsOptions>, ConfigError> {
    let Some((certificate, key)) = &security.tls else {
        return Ok(None);
    };
    let ca_pem = match &security.tls_ca {
        Some(path) => Some(read("--tls-ca", path).await?),
        None => None,
    };
    let identity_pem = Some((
        read("--tls-cert", certificate).await?,
        read("--tls-key", key).await?,
    ));
    Ok(Some(TlsOptions {
        ca_pem,
        identity_pem,
        server_name: None,
    }))
}

async fn read(flag: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    tokio::fs::read(path)
        .await
        .map_err(|error| ConfigError::new(flag, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;
    use crate::config::raw::RawConfig;

    /// Writes a certificate that is its own authority.
    fn sign(folder: &Path) {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        write("cert.pem", signed.cert.pem());
        write("ca.pem", signed.cert.pem());
        write("key.pem", signed.signing_key.serialize_pem());
    }

    #[tokio::test]
    async fn peers_are_shown_the_certificate_that_was_read_again() {
        let folder = tempfile::tempdir().unwrap();
        sign(folder.path());
        let file = |name: &str| Some(folder.path().join(name).display().to_string());
        let raw = RawConfig {
            tls_cert: file("cert.pem"),
            tls_key: file("key.pem"),
            tls_ca: file("ca.pem"),
            ..RawConfig::default()
        };
        let origins = Default::default();
        let config = Config::check(&Layers { raw, origins }).unwrap();
        let guard = Guard::load(&config).await.unwrap();
        let connections = Connections::new(guard.connect_options(&config));
        connections.link("localhost:1").unwrap();

        guard.reload(&connections).await;
        assert_eq!(connections.len(), 1, "the files are as they were");
        std::fs::write(folder.path().join("key.pem"), "no PEM").unwrap();
        guard.reload(&connections).await;
        assert_eq!(connections.len(), 1, "a bad file changes nothing");
        sign(folder.path());
        guard.reload(&connections).await;
        assert!(connections.is_empty(), "all are made anew");
    }
}
