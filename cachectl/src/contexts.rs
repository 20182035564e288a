//! The context file: clusters by name. It holds no secrets, only files that do.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use cached_client::types::ClusterName;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// Clusters by name, and which is in use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ContextFile {
    /// The one to use when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The one that was in use before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// All.
    pub contexts: BTreeMap<String, Context>,
}

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Context {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Nodes or gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// etcd.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub etcd: Vec<String>,
    /// The cluster's name in etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// File that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// PEM file of the certificate to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Its users would notice: changes ask for a name first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub production: bool,
    /// Nothing is changed through it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The name that changes ask for, instead of the context's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<Paint>,
}

/// A colour of the terminal's own palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Paint {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Yellow.
    Yellow,
    /// Blue.
    Blue,
    /// Magenta.
    Magenta,
    /// Cyan.
    Cyan,
}

impl Paint {
    /// The number of the colour in the sequence that turns it on.
    pub fn ansi(self) -> u8 {
        31 + self as u8
    }
}

/// `CACHECTL_CONFIG`, else the XDG place; `None`: nobody's home is known.
pub fn path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CACHECTL_CONFIG") {
        return Some(path.into());
    }
    let config = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(config) if !config.is_empty() => PathBuf::from(config),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(config.join("cachectl").join("config.toml"))
}

impl ContextFile {
    /// Reads it; an empty one where there is no file.
    pub fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let text = format!("{} cannot be read: {error}", path.display());
                return Err(CliError::usage(text));
            }
        };
        Self::parse(&text, path)
    }

    /// Reads its text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CliError> {
        toml::from_str(text)
            .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
    }

    /// Writes it, whole or not at all. Comments in the file are lost.
    pub fn save(&self, path: &Path) -> Result<(), CliError> {
        let text = toml::to_string_pretty(self)
            .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let beside = path.with_extension("toml.new");
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|error| {
            CliError::usage(format!("{} cannot be written: {error}", path.display()))
        })
    }

    /// The context of a name.
    pub fn get(&self, name: &str) -> Result<&Context, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let known = match known.as_slice() {
                [] => {
                    "none is described; `cachectl context add NAME --endpoint URL` does".to_owned()
                }
                known => known.join(", "),
            };
            CliError::usage(format!(
                "context {name:?} is not in the context file: {known}"
            ))
        })
    }

    /// Uses a context from now on.
    pub fn switch(&mut self, name: &str) -> Result<(), CliError> {
        self.get(name)?;
        if self.current.as_deref() != Some(name) {
            self.previous = self.current.replace(name.to_owned());
        }
        Ok(())
    }
}

impl Context {
    /// Sets what stands in no flag, as `KEY=VALUE`.
    pub fn set(&mut self, text: &str) -> Result<(), CliError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| CliError::usage(format!("--set {text:?}: write it as KEY=VALUE")))?;
        let switch = || {
            value.parse().map_err(|_| {
                CliError::usage(format!("--set {key}: {value:?} is not true or false"))
            })
        };
        let some = (!value.is_empty()).then(|| value.to_owned());
        match key {
            "production" => self.production = switch()?,
            "read-only" => self.read_only = switch()?,
            "confirm" => self.confirm = some,
            "description" => value.clone_into(&mut self.description),
            "color" if value.is_empty() => self.color = None,
            "color" => {
                let paint = <Paint as clap::ValueEnum>::from_str(value, true);
                self.color = Some(paint.map_err(|_| {
                    let known = "red, green, yellow, blue, magenta, cyan";
                    CliError::usage(format!("--set color: {value:?} is none of {known}"))
                })?);
            }
            _ => {
                let known = "production, read-only, confirm, color, description";
                return Err(CliError::usage(format!("--set {key:?} is none of {known}")));
            }
        }
        Ok(())
    }

    /// Everything that is wrong with it, as far as it can be seen without the cluster.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.endpoints.is_empty() && self.etcd.is_empty() {
            problems.push("neither endpoints nor etcd are named".to_owned());
        }
        if let Some(cluster) = &self.cluster
            && let Err(bad) = ClusterName::new(cluster)
        {
            problems.push(bad.to_string());
        }
        for (what, file) in [
            ("token-file", &self.token_file),
            ("tls-ca", &self.tls_ca),
            ("tls-cert", &self.tls_cert),
            ("tls-key", &self.tls_key),
        ] {
            if let Some(path) = file
                && let Err(error) = std::fs::metadata(path)
            {
                problems.push(format!(
                    "{what}: {} cannot be read: {error}",
                    path.display()
                ));
            }
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push("tls-cert and tls-key need each other".to_owned());
        }
        problems
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
        color = "red"
        [contexts.dev]
        etcd = ["localhost:2379"]
    "#;

    fn file() -> ContextFile {
        ContextFile::parse(FILE, Path::new("config.toml")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.toml");
        assert_eq!(
            ContextFile::load(Some(&path)).unwrap(),
            ContextFile::default()
        );
        file().save(&path).unwrap();
        assert_eq!(ContextFile::load(Some(&path)).unwrap(), file());
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn mistakes_are_named() {
        let bad = ContextFile::parse("[contexts.a]\nendpoint = 1", Path::new("c.toml"));
        let error = bad.unwrap_err().message;
        assert!(
            error.contains("endpoint") && error.contains("c.toml"),
            "{error}"
        );
        let error = file().get("test").unwrap_err().message;
        assert!(
            error.contains("\"test\"") && error.contains("dev, prod"),
            "{error}"
        );
        let problems = Context::default().problems();
        assert_eq!(problems, ["neither endpoints nor etcd are named"]);
        let mut context = file().contexts["prod"].clone();
        assert_eq!(context.problems(), Vec::<String>::new());
        context.cluster = Some("a/b".to_owned());
        context.token_file = Some("/nonexistent/token".into());
        context.tls_cert = Some("/nonexistent/cert".into());
        assert_eq!(context.problems().len(), 4, "{:?}", context.problems());
    }

    #[test]
    fn the_one_before_is_remembered() {
        let mut file = file();
        file.switch("dev").unwrap();
        file.switch("dev").unwrap();
        assert_eq!(file.current.as_deref(), Some("dev"));
        assert_eq!(file.previous.as_deref(), Some("prod"));
        assert!(file.switch("nope").is_err());
    }

    #[test]
    fn values_are_set_by_name() {
        let mut context = Context::default();
        for text in [
            "production=true",
            "read-only=true",
            "confirm=PROD",
            "color=Red",
        ] {
            context.set(text).unwrap();
        }
        assert!(context.production && context.read_only);
        assert_eq!(
            (context.confirm.as_deref(), context.color),
            (Some("PROD"), Some(Paint::Red))
        );
        context.set("confirm=").unwrap();
        assert_eq!(context.confirm, None);
        for bad in ["production", "production=yes", "color=pink", "token=x"] {
            assert!(context.set(bad).is_err(), "{bad}");
        }
    }
}
