//! `debug bundle`: everything about a cluster that helps others to help, in one file.
//! Never a key, a value or a token.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::Session;
use crate::args::{self, BlacklistBy, look};
use crate::error::{CliError, Code};
use crate::output::{Body, Report};

/// How far back events are taken.
const EVENTS_SINCE: Duration = Duration::from_secs(24 * 3600);

/// One file of the bundle; what could not be asked says why.
type Part = (&'static str, Result<Value, CliError>);

/// `debug bundle`.
pub async fn bundle(session: &Session, out: Option<&PathBuf>) -> Result<Report, CliError> {
    let parts = gather(session).await;
    let cluster = parts.iter().find(|(name, _)| *name == "status");
    let cluster = cluster.and_then(|(_, told)| told.as_ref().ok()?["cluster"].as_str());
    let cluster = cluster.unwrap_or("unknown").to_owned();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = seconds.unwrap_or_default().as_secs();
    let name = format!("cachectl-{cluster}-{seconds}");
    let path = out
        .cloned()
        .unwrap_or_else(|| format!("{name}.tar.gz").into());
    let bytes = pack(&name, seconds, &parts).map_err(|error| {
        CliError::new(
            Code::Failure,
            format!("the bundle cannot be packed: {error}"),
        )
    })?;
    std::fs::write(&path, bytes)
        .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    let missing: Vec<&str> = parts
        .iter()
        .filter(|(_, told)| told.is_err())
        .map(|(name, _)| *name)
        .collect();
    for name in &missing {
        session
            .output
            .note(&format!("{name} could not be asked for"));
    }
    let shown = path.display().to_string();
    let report = Report {
        body: Body::Text(format!("{shown}\n")),
        json: json!({"kind": "bundle", "name": shown, "missing": missing}),
    };
    if missing.len() < parts.len() - 1 {
        return Ok(report);
    }
    session.output.report(&report)?;
    Err(CliError::new(
        Code::Unreachable,
        "nobody answered; the bundle holds the reasons",
    ))
}

async fn gather(session: &Session) -> Vec<Part> {
    let json = |told: Result<Report, CliError>| told.map(|report| report.json);
    let status = args::Status::default();
    let events = look::Events {
        follow: false,
        since: EVENTS_SINCE,
        severity: look::AtLeast::Info,
        node: None,
    };
    vec![
        // Names of files that hold secrets, not what is in them.
        ("config", Ok(super::config::show(session).json)),
        ("version", json(super::version::version(session).await)),
        (
            "status",
            json(super::status::status(session, &status).await),
        ),
        (
            "nodes",
            json(super::nodes::nodes(session, &args::Nodes { node: None }).await),
        ),
        (
            "ring",
            json(super::ring::ring(session, &args::Ring::default()).await),
        ),
        ("migrations", json(super::layout::list_all(session).await)),
        (
            "blacklist",
            json(super::blacklist::list(session, BlacklistBy::Observer).await),
        ),
        ("groups", json(super::groups::list(session, None).await)),
        (
            "events",
            json(super::events::events(session, &events).await),
        ),
    ]
}

fn pack(folder: &str, seconds: u64, parts: &[Part]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, told) in parts {
        let (ending, text) = match told {
            Ok(json) => ("json", serde_json::to_string_pretty(json)?),
            Err(error) => ("error.txt", error.to_string()),
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        header.set_cksum();
        let path = format!("{folder}/{name}.{ending}");
        archive.append_data(&mut header, path, text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_bundle_holds_what_was_told_and_why_the_rest_was_not() {
        let parts: [Part; 2] = [
            ("status", Ok(json!({"cluster": "c"}))),
            ("nodes", Err(CliError::new(Code::Timeout, "too late"))),
        ];
        let bytes = pack("here", 7, &parts).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.push((entry.path().unwrap().display().to_string(), text));
        }
        assert_eq!(files[0].0, "here/status.json");
        assert!(files[0].1.contains("\"cluster\": \"c\""));
        assert_eq!(
            files[1],
            ("here/nodes.error.txt".to_owned(), "too late".to_owned())
        );
    }
}
