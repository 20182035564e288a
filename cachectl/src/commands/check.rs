//! `check`: one verdict for machines that watch.

use std::fmt::Write;

use cached_client::admin::{NodeStats, Status};
use serde_json::{Value, json};

use super::Session;
use super::status::members;
use crate::args::look::{self, CheckFormat};
use crate::error::{CliError, Code};
use crate::output::table::{Table, text};
use crate::output::{Body, Report};
use crate::units;

/// How one check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Critical,
    /// Nobody could be asked.
    Unknown,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Checked {
    name: &'static str,
    level: Level,
    detail: String,
}

fn checked(name: &'static str, level: Level, detail: impl Into<String>) -> Checked {
    Checked {
        name,
        level,
        detail: detail.into(),
    }
}

/// `check`.
pub async fn check(session: &Session, args: &look::Check) -> Result<Report, CliError> {
    let asked = async {
        let admin = session.admin().await?;
        let status = admin.status().await?.value;
        let stats = admin.stats(false).await?.value;
        Ok::<_, CliError>(checks(&status, &stats))
    };
    let checks = match asked.await {
        Ok(checks) => checks,
        Err(error) => vec![checked("cluster", Level::Unknown, error.message)],
    };
    let worst = checks.iter().map(|check| check.level).max();
    let worst = worst.unwrap_or(Level::Unknown);
    let report = Report {
        body: match args.format {
            CheckFormat::Text => as_lines(&checks),
            CheckFormat::Json => Body::Text(json_text(&checks, worst)?),
            CheckFormat::Nagios => Body::Text(nagios(&checks, worst)),
            CheckFormat::Prometheus => Body::Text(prometheus(&checks)),
        },
        json: checks_json(&checks, worst),
    };
    if worst == Level::Ok {
        return Ok(report);
    }
    session.output.report(&report)?;
    Err(match (args.format, worst) {
        (CheckFormat::Nagios, Level::Warning) => CliError::silent(Code::Failure),
        (CheckFormat::Nagios, Level::Critical) => CliError::silent(Code::Usage),
        (CheckFormat::Nagios, _) => CliError::silent(Code::NotFound),
        (_, Level::Unknown) => CliError::silent(Code::Unreachable),
        _ => CliError::silent(Code::Unhealthy),
    })
}

/// What is looked at, by what one node says of all. Pure.
fn checks(status: &Status, stats: &[NodeStats]) -> Vec<Checked> {
    let registry = &status.registry;
    let silent: Vec<_> = stats.iter().filter(|node| node.error.is_some()).collect();
    let silent: Vec<&str> = silent.iter().map(|node| node.name.as_str()).collect();
    let members = members(status);
    let members = match (status.members_down, status.members_joining) {
        (0, 0) => checked("members", Level::Ok, members),
        (0, _) => checked("members", Level::Warning, members),
        _ => checked("members", Level::Critical, members),
    };
    let unowned = status.slots_unowned;
    let slots = if unowned == 0 {
        Level::Ok
    } else {
        Level::Critical
    };
    let slots = checked("slots", slots, format!("{unowned} without a living owner"));
    let registry = if registry.reachable {
        let ms = registry.round_trip.as_secs_f64() * 1e3;
        checked(
            "registry",
            Level::Ok,
            format!("{} answers in {ms:.1} ms", registry.kind),
        )
    } else {
        let since = units::age(registry.unreachable_for);
        let detail = format!("{} has not answered for {since}", registry.kind);
        checked("registry", Level::Critical, detail)
    };
    let answers = match silent.as_slice() {
        [] => checked(
            "answers",
            Level::Ok,
            format!("{} nodes answer", stats.len()),
        ),
        names => {
            let detail = format!("no answer from {}", names.join(", "));
            checked("answers", Level::Critical, detail)
        }
    };
    let healthy = match status.problems.as_slice() {
        [] => checked("health", Level::Ok, "healthy"),
        problems => checked("health", Level::Warning, problems.join("; ")),
    };
    let migration = match status.operation.as_str() {
        "" => checked("migration", Level::Ok, "none is open"),
        id => {
            let detail = format!("{id}, {} slots left", status.slots_to_move);
            checked("migration", Level::Ok, detail)
        }
    };
    vec![members, slots, registry, answers, healthy, migration]
}

/// A line for each check.
fn as_lines(checks: &[Checked]) -> Body {
    let mut lines = String::new();
    let mut rows = Table::new([text("LEVEL"), text("CHECK"), text("DETAIL")]);
    for check in checks {
        let level = check.level.name();
        let _ = writeln!(lines, "{level:<8}  {:<9}  {}", check.name, check.detail);
        rows.row([level, check.name, check.detail.as_str()].map(str::to_owned));
    }
    Body::Drawn { text: lines, rows }
}

fn checks_json(checks: &[Checked], worst: Level) -> Value {
    let items = checks.iter().map(
        |check| json!({"name": check.name, "level": check.level.name(), "detail": check.detail}),
    );
    json!({
        "kind": "check",
        "level": worst.name(),
        "items": items.collect::<Vec<_>>(),
    })
}

fn json_text(checks: &[Checked], worst: Level) -> Result<String, CliError> {
    let mut document = checks_json(checks, worst);
    document["apiVersion"] = crate::output::format::API_VERSION.into();
    let text = serde_json::to_string_pretty(&document);
    let text = text.map_err(|error| CliError::new(Code::Failure, error.to_string()))?;
    Ok(text + "\n")
}

/// One line: the verdict, and what is behind it.
fn nagios(checks: &[Checked], worst: Level) -> String {
    let bad = checks.iter().filter(|check| check.level != Level::Ok);
    let bad: Vec<String> = bad
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    let said = if bad.is_empty() {
        let all = checks.iter().map(|check| check.detail.as_str());
        all.take(2).collect::<Vec<_>>().join(", ")
    } else {
        bad.join("; ")
    };
    // A bar would begin the performance data.
    let said = said.replace(['|', '\n'], " ");
    format!("CACHED {} - {said}\n", worst.name().to_uppercase())
}

fn prometheus(checks: &[Checked]) -> String {
    let mut text = String::from(
        "# HELP cachectl_check 0 ok, 1 warning, 2 critical, 3 unknown\n# TYPE cachectl_check gauge\n",
    );
    for check in checks {
        let (name, level) = (check.name, check.level as u8);
        let _ = writeln!(text, "cachectl_check{{check=\"{name}\"}} {level}");
    }
    text
}

#[cfg(test)]
mod tests {
    use cached_client::admin::RegistryHealth;

    use super::*;

    fn status() -> Status {
        Status {
            cluster: "c".to_owned(),
            node: "n1".to_owned(),
            healthy: true,
            problems: Vec::new(),
            layout: 1,
            members_up: 3,
            members_joining: 0,
            members_draining: 0,
            members_down: 0,
            registry: RegistryHealth {
                kind: "etcd".to_owned(),
                reachable: true,
                ..RegistryHealth::default()
            },
            slots_unowned: 0,
            planner: "n1".to_owned(),
            fenced: false,
            degraded: false,
            mode: "available".to_owned(),
            version: "0.1.0".to_owned(),
            role: "node".to_owned(),
            operation: String::new(),
            slots_to_move: 0,
        }
    }

    fn worst(change: impl FnOnce(&mut Status)) -> (Level, Vec<Checked>) {
        let mut status = status();
        change(&mut status);
        let checks = checks(&status, &[NodeStats::default()]);
        (
            checks.iter().map(|check| check.level).max().unwrap(),
            checks,
        )
    }

    #[test]
    fn each_trouble_has_its_level() {
        assert_eq!(worst(|_| {}).0, Level::Ok);
        assert_eq!(worst(|status| status.members_joining = 1).0, Level::Warning);
        let draining = worst(|status| status.members_draining = 1);
        assert_eq!(draining.0, Level::Ok, "somebody asked for it");
        assert_eq!(worst(|status| status.members_down = 1).0, Level::Critical);
        assert_eq!(worst(|status| status.slots_unowned = 9).0, Level::Critical);
        assert_eq!(
            worst(|status| status.registry.reachable = false).0,
            Level::Critical
        );
        let named = worst(|status| status.problems.push("n4 is joining".to_owned()));
        assert_eq!(named.0, Level::Warning);
        let silent = NodeStats {
            name: "n2".to_owned(),
            error: Some("timed out".to_owned()),
            ..NodeStats::default()
        };
        let checks = checks(&status(), &[silent]);
        let Body::Drawn { text, rows } = as_lines(&checks) else {
            panic!();
        };
        assert!(text.contains("critical  answers    no answer from n2"));
        assert_eq!(rows.rows[3], ["critical", "answers", "no answer from n2"]);
    }

    #[test]
    fn every_format_says_the_same() {
        let (level, checks) = worst(|status| status.members_down = 1);
        let line = nagios(&checks, level);
        assert_eq!(line, "CACHED CRITICAL - members: 3 up, 0 joining, 1 down\n");
        assert!(prometheus(&checks).contains("cachectl_check{check=\"members\"} 2\n"));
        let json = checks_json(&checks, level);
        assert_eq!(
            (&json["level"], &json["items"][0]["level"]),
            (&json!("critical"), &json!("critical"))
        );
        assert!(
            json_text(&checks, level)
                .unwrap()
                .contains("\"apiVersion\": \"v1\"")
        );
        let (level, checks) = worst(|_| {});
        let line = nagios(&checks, level);
        assert!(line.starts_with("CACHED OK - 3 up"), "{line}");
    }
}
