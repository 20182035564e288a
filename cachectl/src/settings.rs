//! Flags, environment and context file -> how to reach the cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cached_client::connections::{ConnectOptions, TlsOptions, Token};
use cached_client::types::ClusterName;
use cached_client::{EtcdSeed, Options, Seeds};
use serde::Deserialize;

use crate::args::Global;
use crate::error::CliError;

/// Asked when nothing else is named: where a node listens by default.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8001";

/// The context file: clusters by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct ContextFile {
    /// The one to use when none is named.
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// One cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Context {
    endpoints: Vec<String>,
    etcd: Vec<String>,
    cluster: Option<String>,
    token_file: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Its users would notice: what strains it asks for the context's name first.
    production: bool,
}

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The context's name, if one is used.
    pub context: Option<String>,
    /// The context is marked as one whose users would notice.
    pub production: bool,
    /// File that holds the token to show.
    pub token_file: Option<PathBuf>,
    /// Nodes to ask; empty: found through etcd.
    pub endpoints: Vec<String>,
    /// etcd to read from; `None`: not named.
    pub etcd: Option<EtcdSeed>,
    /// Options of the client.
    pub options: Options,
}

impl Settings {
    /// The token to show, as text: for protocols that the client does not speak.
    pub fn token(&self) -> Result<Option<String>, CliError> {
        let text = self
            .token_file
            .as_deref()
            .map(|path| read("--token-file", path))
            .transpose()?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    }
}

/// Puts flags (and the environment, which clap has read) over the context file.
pub fn resolve(global: &Global) -> Result<Settings, CliError> {
    let file = read_context_file(context_path().as_deref())?;
    let (name, context) = choose(&file, global.context.as_deref())?;
    let mut endpoints = first(&global.endpoint, &context.endpoints);
    let etcd = first(&global.etcd, &context.etcd);
    let cluster = global
        .cluster
        .clone()
        .or(context.cluster)
        .unwrap_or("default".to_owned());
    let cluster = ClusterName::new(cluster)?;
    if endpoints.is_empty() && etcd.is_empty() {
        endpoints.push(DEFAULT_ENDPOINT.to_owned());
    }
    let mut seed = None;
    if !etcd.is_empty() {
        let mut etcd = EtcdSeed::new(etcd, cluster);
        etcd.timeout = global.timeout;
        seed = Some(etcd);
    }
    let seeds = match &seed {
        Some(etcd) if endpoints.is_empty() => Seeds::Etcd(etcd.clone()),
        _ => Seeds::Nodes(endpoints.clone()),
    };
    let mut options = Options::new(seeds).timeout(global.timeout);
    let token_file = global.token_file.clone().or(context.token_file);
    let tls = [
        ("--tls-ca", global.tls_ca.clone().or(context.tls_ca)),
        ("--tls-cert", global.tls_cert.clone().or(context.tls_cert)),
        ("--tls-key", global.tls_key.clone().or(context.tls_key)),
    ];
    options.connect = connect_options(token_file.as_deref(), tls)?;
    Ok(Settings {
        context: name,
        production: context.production,
        token_file,
        endpoints,
        etcd: seed,
        options,
    })
}

fn first(flags: &[String], context: &[String]) -> Vec<String> {
    if flags.is_empty() {
        context.to_vec()
    } else {
        flags.to_vec()
    }
}

fn connect_options(
    token_file: Option<&Path>,
    tls: [(&str, Option<PathBuf>); 3],
) -> Result<ConnectOptions, CliError> {
    let mut connect = ConnectOptions {
        // Values up to the largest that any node can be told to accept.
        message_bytes_max: VALUE_MESSAGE_BYTES_MAX,
        ..ConnectOptions::default()
    };
    if let Some(path) = token_file {
        let text = read("--token-file", path)?;
        let text = String::from_utf8_lossy(&text);
        connect.token = Some(Token::new(text.trim())?);
    }
    let [ca, cert, key] = tls.map(|(flag, path)| path.map(|path| read(flag, &path)).transpose());
    let (ca, cert, key) = (ca?, cert?, key?);
    if ca.is_some() || cert.is_some() {
        let identity_pem = cert.zip(key);
        connect.tls = Some(TlsOptions {
            ca_pem: ca,
            identity_pem,
            server_name: None,
        });
    }
    Ok(connect)
}

/// One value at the nodes' own ceiling, with its key.
const VALUE_MESSAGE_BYTES_MAX: usize = 514 << 20;

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        CliError::usage(format!(
            "{flag}: {} cannot be read: {error}",
            path.display()
        ))
    })
}

/// `CACHECTL_CONFIG`, else the XDG place.
fn context_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CACHECTL_CONFIG") {
        return Some(path.into());
    }
    let config = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(config) if !config.is_empty() => PathBuf::from(config),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(config.join("cachectl").join("config.toml"))
}

fn read_context_file(path: Option<&Path>) -> Result<ContextFile, CliError> {
    let Some(path) = path else {
        return Ok(ContextFile::default());
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(ContextFile::default());
        }
        Err(error) => {
            return Err(CliError::usage(format!(
                "{} cannot be read: {error}",
                path.display()
            )));
        }
    };
    toml::from_str(&text).map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

fn choose(file: &ContextFile, named: Option<&str>) -> Result<(Option<String>, Context), CliError> {
    let Some(name) = named.or(file.current.as_deref()) else {
        return Ok((None, Context::default()));
    };
    match file.contexts.get(name) {
        Some(context) => Ok((Some(name.to_owned()), context.clone())),
        None => {
            let known: Vec<_> = file.contexts.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none is described".to_owned()
            } else {
                known.join(", ")
            };
            Err(CliError::usage(format!(
                "context {name:?} is not in the context file: {known}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        current = "prod"
        [contexts.prod]
        endpoints = ["https://a:8001"]
        cluster = "main"
        production = true
        [contexts.dev]
        etcd = ["localhost:2379"]
    "#;

    #[test]
    fn contexts_are_chosen_by_name_or_as_current() {
        let file: ContextFile = toml::from_str(FILE).unwrap();
        let (name, context) = choose(&file, None).unwrap();
        assert_eq!(
            (name.as_deref(), context.cluster.as_deref()),
            (Some("prod"), Some("main"))
        );
        let (_, dev) = choose(&file, Some("dev")).unwrap();
        assert_eq!(dev.etcd, ["localhost:2379"]);
        assert!(context.production && !dev.production);
        let error = choose(&file, Some("test")).unwrap_err().to_string();
        assert!(
            error.contains("\"test\"") && error.contains("dev, prod"),
            "{error}"
        );
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let error = toml::from_str::<ContextFile>("[contexts.a]\nendpoint = 1").unwrap_err();
        assert!(error.to_string().contains("endpoint"), "{error}");
    }

    #[test]
    fn flags_come_first() {
        let flags = ["http://x".to_owned()];
        assert_eq!(first(&flags, &["http://y".to_owned()]), flags);
        assert_eq!(first(&[], &flags), flags);
    }
}
