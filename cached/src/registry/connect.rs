//! Settings -> a registry to talk to: reads the files that they name.

use std::path::Path;
use std::time::Duration;

use super::{EtcdOptions, Registry, RegistryError};
use crate::config::RegistrySettings;

/// Bound of a single call. A healthy etcd answers in milliseconds; the self-check,
/// which must succeed every few seconds, has to notice that it does not.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The etcd that the settings name; `None`: the embedded registry is wanted. Does
/// not wait for a server.
pub async fn connect(settings: &RegistrySettings) -> Result<Option<Registry>, RegistryError> {
    let RegistrySettings::Etcd {
        endpoints,
        credentials,
        ca,
        client,
    } = settings
    else {
        return Ok(None);
    };
    let credentials = match credentials {
        Some((user, file)) => {
            let password = read("--etcd-password-file", file).await?;
            let password = String::from_utf8_lossy(&password).trim_end().to_owned();
            Some((user.clone(), password))
        }
        None => None,
    };
    let ca_pem = match ca {
        Some(file) => Some(read("--etcd-ca", file).await?),
        None => None,
    };
    let client_pem = match client {
        Some((cert, key)) => Some((
            read("--etcd-cert", cert).await?,
            read("--etcd-key", key).await?,
        )),
        None => None,
    };
    let endpoints = endpoints.clone();
    let options = EtcdOptions {
        endpoints,
        credentials,
        ca_pem,
        client_pem,
        timeout: CALL_TIMEOUT,
    };
    Registry::etcd(options).await.map(Some)
}

async fn read(flag: &str, path: &Path) -> Result<Vec<u8>, RegistryError> {
    tokio::fs::read(path)
        .await
        .map_err(|error| RegistryError::Invalid(format!("{flag} {}: {error}", path.display())))
}
