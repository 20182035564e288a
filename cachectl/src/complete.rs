//! What a shell offers while somebody types: names that the cluster knows, if it tells
//! them fast enough.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Parser;
use clap_complete::CompletionCandidate;

use crate::args::Cli;
use crate::commands::Session;
use crate::contexts::{self, ContextFile};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::settings::{self, Sources};

/// How long somebody who has pressed Tab waits.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long an answer is good for: several Tabs in a row ask once.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// Names of members.
pub fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    names("nodes", typed, async |session| {
        let members = session.admin().await?.topology().await?.value.members;
        Ok(members
            .into_iter()
            .map(|it| it.id.name.to_string())
            .collect())
    })
}

/// Names of groups.
pub fn groups(typed: &OsStr) -> Vec<CompletionCandidate> {
    names("groups", typed, async |session| {
        let groups = session.admin().await?.groups().await?.value;
        Ok(groups.into_iter().map(|it| it.name.to_string()).collect())
    })
}

/// Ids of migrations, those that are only planned included.
pub fn operations(typed: &OsStr) -> Vec<CompletionCandidate> {
    names("operations", typed, async |session| {
        let operations = session.admin().await?.operations(true).await?.value;
        Ok(operations.into_iter().map(|it| it.id).collect())
    })
}

/// Names of contexts.
pub fn contexts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let file = ContextFile::load(contexts::path().as_deref());
    let names = file.unwrap_or_default().contexts.into_keys().collect();
    matching(names, typed)
}

/// Names of one kind, remembered for a moment. Nothing where nobody answers in time.
fn names(
    kind: &str,
    typed: &OsStr,
    ask: impl AsyncFnOnce(&Session) -> Result<Vec<String>, CliError>,
) -> Vec<CompletionCandidate> {
    let Ok(session) = session() else {
        return Vec::new();
    };
    let place = remembered_at(kind, &session);
    if let Some(names) = place.as_ref().and_then(recall) {
        return matching(names, typed);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let asked = async { tokio::time::timeout(PATIENCE, ask(&session)).await };
    let Ok(Ok(names)) = runtime.block_on(asked) else {
        return Vec::new();
    };
    if let Some(place) = &place {
        remember(place, &names);
    }
    matching(names, typed)
}

/// The context in use, and the environment; what else stands on the line is not known.
fn session() -> Result<Session, CliError> {
    let words = ["cachectl", "--quiet", "version"];
    let cli = Cli::try_parse_from(words).map_err(|bad| CliError::usage(bad.to_string()))?;
    Ok(Session {
        settings: settings::resolve(&cli.global, &Sources::default())?,
        output: Output::new(&cli.global),
        global: cli.global,
        interrupt: Interrupt::default(),
    })
}

fn matching(mut names: Vec<String>, typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.retain(|name| name.starts_with(&*typed));
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// A file for each kind and cluster, in the user's own cache folder.
fn remembered_at(kind: &str, session: &Session) -> Option<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    let settings = &session.settings;
    let whom = format!("{:?}{:?}", settings.context, settings.endpoints);
    let whom: String = whom
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(100)
        .collect();
    Some(cache.join("cachectl").join(format!("{kind}{whom}")))
}

fn recall(place: &PathBuf) -> Option<Vec<String>> {
    let written = std::fs::metadata(place).ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(written).ok()?;
    if age > FRESH_FOR {
        return None;
    }
    let text = std::fs::read_to_string(place).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// Best effort: without it the cluster is asked each time.
fn remember(place: &PathBuf, names: &[String]) {
    if let Some(folder) = place.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = std::fs::write(place, names.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_how_it_begins() {
        let names = vec![
            "n2".to_owned(),
            "m1".to_owned(),
            "n1".to_owned(),
            "n1".to_owned(),
        ];
        let offered = matching(names, OsStr::new("n"));
        let offered: Vec<_> = offered.iter().map(|it| it.get_value().to_owned()).collect();
        assert_eq!(offered, ["n1", "n2"]);
    }

    #[test]
    fn names_are_remembered_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a/b");
        assert_eq!(recall(&place), None);
        remember(&place, &["n1".to_owned(), "n2".to_owned()]);
        assert_eq!(recall(&place), Some(vec!["n1".to_owned(), "n2".to_owned()]));
    }
}
