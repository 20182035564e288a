//! Flags, environment and context file -> how to reach the cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cached_client::connections::{ConnectOptions, TlsOptions, Token};
use cached_client::types::ClusterName;
use cached_client::{EtcdSeed, Options, Seeds};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::args::Global;
use crate::contexts::{self, Context, ContextFile};
use crate::error::CliError;

/// Asked when nothing else is named: where a node listens by default.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8001";

/// Where a value comes from; what stands first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// A CACHECTL_* variable.
    Environment,
    /// The context.
    Context,
    /// Nowhere: it is built in.
    Default,
}

impl Origin {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Context => "context",
            Self::Default => "default",
        }
    }
}

/// Which global settings were typed, and which stood in the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<String, Origin>);

impl Sources {
    /// Those of a command line.
    pub fn of(matches: &ArgMatches) -> Self {
        let mut sources = BTreeMap::new();
        let mut next = Some(matches);
        while let Some(matches) = next {
            for id in matches.ids() {
                let origin = match matches.value_source(id.as_str()) {
                    Some(ValueSource::CommandLine) => Origin::Flag,
                    Some(ValueSource::EnvVariable) => Origin::Environment,
                    _ => continue,
                };
                sources.insert(id.as_str().to_owned(), origin);
            }
            next = matches.subcommand().map(|(_, matches)| matches);
        }
        Self(sources)
    }

    /// Where a setting comes from that the context has, or has not.
    fn origin(&self, id: &str, in_context: bool) -> Origin {
        let below = if in_context {
            Origin::Context
        } else {
            Origin::Default
        };
        self.0.get(id).copied().unwrap_or(below)
    }
}

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name, as its flag's.
    pub name: &'static str,
    /// Its value; empty: none.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The context's name, if one is used.
    pub context: Option<String>,
    /// The context is marked as one whose users would notice.
    pub production: bool,
    /// Nothing may be changed.
    pub read_only: bool,
    /// The name that changes ask for; `None`: they ask for yes or no.
    pub confirm: Option<String>,
    /// File that holds the token to show.
    pub token_file: Option<PathBuf>,
    /// Nodes to ask; empty: found through etcd.
    pub endpoints: Vec<String>,
    /// etcd to read from; `None`: not named.
    pub etcd: Option<EtcdSeed>,
    /// Options of the client.
    pub options: Options,
    /// Every setting, and where it comes from.
    pub values: Vec<Value>,
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
pub fn resolve(global: &Global, sources: &Sources) -> Result<Settings, CliError> {
    let file = ContextFile::load(contexts::path().as_deref())?;
    let (name, context) = choose(&file, global.context.as_deref())?;
    let values = values(global, sources, name.as_deref(), &context);
    with_context(global, name, context, values)
}

/// The same without context: for commands that need none, or set it right.
pub fn without_context(global: &Global) -> Result<Settings, CliError> {
    with_context(global, None, Context::default(), Vec::new())
}

fn with_context(
    global: &Global,
    name: Option<String>,
    context: Context,
    values: Vec<Value>,
) -> Result<Settings, CliError> {
    let mut endpoints = first(&global.endpoint, &context.endpoints);
    let etcd = first(&global.etcd, &context.etcd);
    let cluster = global.cluster.clone().or(context.cluster);
    let cluster = ClusterName::new(cluster.unwrap_or("default".to_owned()))?;
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
    let asked = context
        .confirm
        .or(name.clone().filter(|_| context.production));
    Ok(Settings {
        production: context.production,
        read_only: global.read_only || context.read_only,
        confirm: asked,
        context: name,
        token_file,
        endpoints,
        etcd: seed,
        options,
        values,
    })
}

/// Every setting as it is in force.
fn values(global: &Global, sources: &Sources, name: Option<&str>, context: &Context) -> Vec<Value> {
    let mut all = places(global, name, context);
    all.extend(manners(global, context));
    let values = all.into_iter().map(|(name, value, in_context)| Value {
        origin: sources.origin(&name.replace('-', "_"), in_context),
        name,
        value,
    });
    values.collect()
}

/// A setting, its value, and whether the context has it.
type Row = (&'static str, String, bool);

/// Where the cluster is, and who asks.
fn places(global: &Global, name: Option<&str>, context: &Context) -> Vec<Row> {
    let etcd = first(&global.etcd, &context.etcd);
    let mut endpoints = first(&global.endpoint, &context.endpoints);
    if endpoints.is_empty() && etcd.is_empty() {
        endpoints.push(DEFAULT_ENDPOINT.to_owned());
    }
    let cluster = global.cluster.clone().or(context.cluster.clone());
    let file = |name, flag: &Option<PathBuf>, other: &Option<PathBuf>| {
        let path = flag.as_ref().or(other.as_ref());
        let shown = path.map_or(String::new(), |path| path.display().to_string());
        (name, shown, other.is_some())
    };
    let (in_endpoints, in_etcd) = (!context.endpoints.is_empty(), !context.etcd.is_empty());
    vec![
        (
            "context",
            name.unwrap_or_default().to_owned(),
            name.is_some(),
        ),
        ("endpoint", endpoints.join(","), in_endpoints),
        ("etcd", etcd.join(","), in_etcd),
        (
            "cluster",
            cluster.unwrap_or("default".to_owned()),
            context.cluster.is_some(),
        ),
        file("token-file", &global.token_file, &context.token_file),
        file("tls-ca", &global.tls_ca, &context.tls_ca),
        file("tls-cert", &global.tls_cert, &context.tls_cert),
        file("tls-key", &global.tls_key, &context.tls_key),
    ]
}

/// What may be changed, and how it is shown.
fn manners(global: &Global, context: &Context) -> [Row; 6] {
    let read_only = global.read_only || context.read_only;
    let confirm = context.confirm.clone();
    let timeout = humantime::format_duration(global.timeout).to_string();
    [
        ("read-only", read_only.to_string(), context.read_only),
        (
            "production",
            context.production.to_string(),
            context.production,
        ),
        (
            "confirm-name",
            confirm.clone().unwrap_or_default(),
            confirm.is_some(),
        ),
        ("output", word(global.output), false),
        ("timeout", timeout, false),
        ("color", word(global.color), false),
    ]
}

/// A value as it is typed.
fn word(value: impl clap::ValueEnum) -> String {
    let known = value.to_possible_value();
    known.map_or(String::new(), |value| value.get_name().to_owned())
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

fn choose(file: &ContextFile, named: Option<&str>) -> Result<(Option<String>, Context), CliError> {
    match named.or(file.current.as_deref()) {
        Some(name) => Ok((Some(name.to_owned()), file.get(name)?.clone())),
        None => Ok((None, Context::default())),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::args::Cli;

    const FILE: &str = r#"
        current = "prod"
        [contexts.prod]
        endpoints = ["https://a:8001"]
        cluster = "main"
        production = true
        [contexts.dev]
        etcd = ["localhost:2379"]
        read-only = true
        confirm = "DEV"
    "#;

    fn settings(line: &str) -> Result<Settings, CliError> {
        let file = ContextFile::parse(FILE, Path::new("c.toml"))?;
        let matches = Cli::command().get_matches_from(line.split(' '));
        let global = Cli::from_arg_matches(&matches).unwrap().global;
        let (name, context) = choose(&file, global.context.as_deref())?;
        let sources = Sources::of(&matches);
        let values = values(&global, &sources, name.as_deref(), &context);
        with_context(&global, name, context, values)
    }

    fn told(settings: &Settings, name: &str) -> (String, Origin) {
        let value = settings.values.iter().find(|value| value.name == name);
        value
            .map(|value| (value.value.clone(), value.origin))
            .unwrap()
    }

    #[test]
    fn contexts_are_chosen_by_name_or_as_current() {
        let prod = settings("cachectl status").unwrap();
        assert_eq!(prod.endpoints, ["https://a:8001"]);
        assert!(prod.production && !prod.read_only);
        assert_eq!(prod.confirm.as_deref(), Some("prod"));
        let dev = settings("cachectl --context dev status").unwrap();
        assert!(dev.endpoints.is_empty() && dev.etcd.is_some());
        assert!(dev.read_only && !dev.production);
        assert_eq!(dev.confirm.as_deref(), Some("DEV"));
        let error = settings("cachectl status --context test").unwrap_err();
        assert!(error.message.contains("dev, prod"), "{error}");
    }

    #[test]
    fn every_value_says_where_it_is_from() {
        let line = "cachectl migrations list --endpoint http://x:1 --timeout 2s";
        let settings = settings(line).unwrap();
        assert_eq!(settings.endpoints, ["http://x:1"]);
        assert_eq!(
            told(&settings, "endpoint"),
            ("http://x:1".to_owned(), Origin::Flag)
        );
        assert_eq!(told(&settings, "timeout"), ("2s".to_owned(), Origin::Flag));
        assert_eq!(
            told(&settings, "cluster"),
            ("main".to_owned(), Origin::Context)
        );
        assert_eq!(
            told(&settings, "context"),
            ("prod".to_owned(), Origin::Context)
        );
        assert_eq!(told(&settings, "color").1, Origin::Default);
    }

    #[test]
    fn flags_come_first() {
        let flags = ["http://x".to_owned()];
        assert_eq!(first(&flags, &["http://y".to_owned()]), flags);
        assert_eq!(first(&[], &flags), flags);
    }
}
