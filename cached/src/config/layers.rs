//! File < environment < flags, and where each value came from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;
use super::raw::RawConfig;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in default.
    Default,
    /// In the file.
    File,
    /// In this environment variable.
    Environment(String),
    /// As a flag.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Settings put on top of each other.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The result.
    pub raw: RawConfig,
    /// Origin of every value that was written, by its name.
    pub origins: BTreeMap<String, Origin>,
}

/// Reads the file (if any), the environment handed in, and the flags.
pub fn merge(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &RawConfig,
) -> Result<Layers, ConfigError> {
    let known = names();
    let mut merged = Table::new();
    let mut origins = BTreeMap::new();
    let mut put = |name: &str, value: Value, origin: Origin| {
        merged.insert(name.to_owned(), value);
        origins.insert(name.to_owned(), origin);
    };
    if let Some(path) = file {
        for (name, value) in read(path)? {
            check_known(&name, &known, path)?;
            put(&name, value, Origin::File);
        }
    }
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix("CACHED_") else {
            continue;
        };
        let name = name.to_lowercase().replace('_', "-");
        if let Some(sample) = known.get(&name) {
            let value = parse_text(&name, &variable, text, sample)?;
            put(&name, value, Origin::Environment(variable));
        }
    }
    for (name, value) in table_of(flags) {
        put(&name, value, Origin::Flag);
    }
    let raw = merged.try_into().map_err(|error: toml::de::Error| {
        ConfigError::new("configuration", error.message().to_owned())
    })?;
    Ok(Layers { raw, origins })
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(
            "--config",
            format!("{} cannot be read: {error}", path.display()),
        )
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        ConfigError::new("--config", format!("{}: {error}", path.display()))
    })
}

fn table_of(raw: &RawConfig) -> Table {
    Table::try_from(raw).expect("settings are plain texts, numbers and switches")
}

/// What kind of text the environment must hold for a setting.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Switch,
}

/// Every setting's name, with its kind.
fn names() -> BTreeMap<String, Kind> {
    use clap::Args;
    let command = RawConfig::augment_args(clap::Command::new("settings"));
    let numbers = [
        "port",
        "weight",
        "expect",
        "virtual-nodes",
        "origin-concurrency",
        "max-connections",
        "retries",
        "blacklist-after",
    ];
    command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .map(|name| {
            let kind = match name {
                "api" | "enable-getter" | "insecure" => Kind::Switch,
                _ if numbers.contains(&name) => Kind::Number,
                _ => Kind::Text,
            };
            (name.to_owned(), kind)
        })
        .collect()
}

fn check_known(name: &str, known: &BTreeMap<String, Kind>, path: &Path) -> Result<(), ConfigError> {
    if known.contains_key(name) {
        return Ok(());
    }
    let problem = format!(
        "{}: there is no setting {name:?}; settings are named as the flags in --help",
        path.display()
    );
    Err(ConfigError::new("--config", problem))
}

fn parse_text(name: &str, variable: &str, text: String, kind: &Kind) -> Result<Value, ConfigError> {
    let wrong = |what: &str| {
        ConfigError::new(
            format!("--{name}"),
            format!("{text:?} in {variable} is not {what}"),
        )
    };
    match kind {
        Kind::Text => Ok(Value::String(text)),
        Kind::Number => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| wrong("a whole number")),
        Kind::Switch => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| wrong("true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "port = 1\nmemory = \"1GiB\"\netcd = [\"a:1\"]\n",
        )
        .unwrap();
        let variables = environment(&[
            ("CACHED_PORT", "2"),
            ("CACHED_ETCD", "b:1, c:2"),
            ("CACHED_API", "true"),
            ("CACHED_NOT_OURS", "x"),
        ]);
        let flags = RawConfig {
            port: Some(3),
            ..RawConfig::default()
        };
        let layers = merge(Some(file.path()), variables, &flags).unwrap();
        assert_eq!(layers.raw.port, Some(3));
        assert_eq!(layers.raw.memory.as_deref(), Some("1GiB"));
        assert_eq!(
            layers.raw.etcd,
            Some(vec!["b:1".to_owned(), "c:2".to_owned()])
        );
        assert_eq!(layers.raw.api, Some(true));
        assert_eq!(layers.origins["port"], Origin::Flag);
        assert_eq!(layers.origins["memory"], Origin::File);
        assert_eq!(
            layers.origins["etcd"],
            Origin::Environment("CACHED_ETCD".to_owned())
        );
    }

    #[test]
    fn mistakes_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let flags = RawConfig::default();
        for (text, expected) in [
            ("prot = 1", "there is no setting \"prot\""),
            ("port = \"x\"", "invalid type"),
            ("port = ", "--config"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = merge(Some(file.path()), [], &flags)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = merge(None, environment(&[("CACHED_PORT", "many")]), &flags).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--port: \"many\" in CACHED_PORT is not a whole number"
        );
        let missing = merge(Some(Path::new("/nonexistent")), [], &flags).unwrap_err();
        assert!(missing.to_string().contains("cannot be read"), "{missing}");
    }
}
