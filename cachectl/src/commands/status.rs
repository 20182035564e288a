//! `status`: is the cluster well, and if not, why?

use std::time::{Duration, Instant};

use cached_client::admin::Status;
use cached_client::topology::Topology;
use serde_json::{Value, json};

use super::watch::watch;
use super::{Picture, Session, unreachable};
use crate::args;
use crate::error::{CliError, Code};
use crate::output::{Body, Report};
use crate::units;

/// Between two looks of `--wait`.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// `status`.
pub async fn status(session: &Session, args: &args::Status) -> Result<Report, CliError> {
    let Some(patience) = args.wait else {
        return watch(session, args.watch.every, async || {
            let (report, healthy) = look(session).await?;
            // While it is watched, the words of the report are enough.
            let well = healthy || !args.exit_code || args.watch.every.is_some();
            finish(session, report, well)
        })
        .await;
    };
    let start = Instant::now();
    loop {
        let seen = look(session).await;
        let over = start.elapsed() >= patience;
        match seen {
            Ok((report, true)) => return Ok(report),
            Ok((report, false)) if over => return finish(session, report, false),
            Err(error) if over => return Err(error),
            _ => tokio::time::sleep(LOOK_AGAIN.min(patience)).await,
        }
    }
}

/// Prints an unhealthy report, too, before the exit code says so.
fn finish(session: &Session, report: Report, well: bool) -> Result<Report, CliError> {
    if well {
        return Ok(report);
    }
    session.output.report(&report)?;
    Err(CliError::new(Code::Unhealthy, "the cluster is not healthy"))
}

async fn look(session: &Session) -> Result<(Report, bool), CliError> {
    let asked = match session.admin().await {
        Ok(admin) => match admin.status().await {
            Ok(answered) => Ok(answered),
            Err(error) if unreachable(&error) && session.settings.etcd.is_some() => Err(None),
            Err(error) => Err(Some(error.into())),
        },
        Err(error) if session.settings.etcd.is_some() && error.code == Code::Unreachable => {
            Err(None)
        }
        Err(error) => Err(Some(error)),
    };
    match asked {
        Ok(answered) => {
            let healthy = answered.value.healthy;
            Ok((report(&answered.endpoint, &answered.value), healthy))
        }
        Err(Some(error)) => Err(error),
        Err(None) => match session.picture().await? {
            Picture::Node { endpoint, topology } => Ok((shape_only(&endpoint, &topology), false)),
            Picture::Etcd(picture) => Ok((shape_only("etcd", &picture.topology), false)),
        },
    }
}

fn report(endpoint: &str, status: &Status) -> Report {
    let registry = &status.registry;
    let reached = if registry.reachable {
        format!(
            "reachable, {:.1} ms",
            registry.round_trip.as_secs_f64() * 1000.0
        )
    } else {
        format!("UNREACHABLE for {}", units::age(registry.unreachable_for))
    };
    // The embedded registry's version is this program's own.
    let version = if registry.server_version.is_empty() || registry.kind == "embedded" {
        String::new()
    } else {
        format!(" {}", registry.server_version)
    };
    let serving = match (status.fenced, status.degraded) {
        (true, _) => ", FENCED",
        (_, true) => ", degraded",
        _ => "",
    };
    let health = if status.healthy {
        "healthy"
    } else {
        "NOT HEALTHY"
    };
    let or = |name: &str, other: &str| if name.is_empty() { other } else { name }.to_owned();
    let planner = or(&status.planner, "nobody");
    let node = or(&status.node, "a gateway");
    let (layout, unowned) = (status.layout, status.slots_unowned);
    let mut facts = vec![
        ("cluster", format!("{} — {health}", status.cluster)),
        (
            "layout",
            format!("{layout} (mode {}, planner {planner})", status.mode),
        ),
        ("members", members(status)),
        ("slots", format!("{unowned} without a living owner")),
        ("registry", format!("{}{version} {reached}", registry.kind)),
        (
            "answered",
            format!(
                "{node} ({} {endpoint}, version {}{serving})",
                status.role, status.version
            ),
        ),
    ];
    if !status.operation.is_empty() {
        let (id, left) = (&status.operation, status.slots_to_move);
        facts.push(("migration", format!("{id}, {left} slots left")));
    }
    let problems = status.problems.iter().cloned();
    facts.extend(problems.map(|problem| ("problem", problem)));
    Report {
        body: Body::facts(facts),
        json: status_json(endpoint, status),
    }
}

/// How many members are in which state; those that drain are named where there are some.
pub(super) fn members(status: &Status) -> String {
    let draining = match status.members_draining {
        0 => String::new(),
        draining => format!(" {draining} draining,"),
    };
    format!(
        "{} up, {} joining,{draining} {} down",
        status.members_up, status.members_joining, status.members_down
    )
}

fn status_json(endpoint: &str, status: &Status) -> Value {
    let registry = &status.registry;
    json!({
        "kind": "status",
        "source": endpoint,
        "cluster": status.cluster,
        "node": status.node,
        "role": status.role,
        "healthy": status.healthy,
        "problems": status.problems,
        "layout": status.layout,
        "mode": status.mode,
        "planner": status.planner,
        "members": {
            "up": status.members_up,
            "joining": status.members_joining,
            "draining": status.members_draining,
            "down": status.members_down,
        },
        "slots_unowned": status.slots_unowned,
        "slots_to_move": status.slots_to_move,
        "operation": status.operation,
        "fenced": status.fenced,
        "degraded": status.degraded,
        "version": status.version,
        "registry": {
            "kind": registry.kind,
            "reachable": registry.reachable,
            "unreachable_for_ms": registry.unreachable_for.as_millis() as u64,
            "version": registry.server_version,
            "endpoints": registry.endpoints,
            "round_trip_micros": registry.round_trip.as_micros() as u64,
        },
    })
}

/// What can be said when no node says how it is.
fn shape_only(source: &str, topology: &Topology) -> Report {
    let members = topology
        .members
        .iter()
        .filter(|member| member.state.is_some())
        .count();
    let (cluster, layout, mode) = (&topology.cluster, topology.layout, topology.mode);
    let facts = vec![
        ("cluster", format!("{cluster} — NOT HEALTHY")),
        ("layout", format!("{layout} (mode {mode})")),
        ("members", format!("{members} registered, none answers")),
        ("answered", source.to_owned()),
        ("problem", "no node answers".to_owned()),
    ];
    let json = json!({
        "kind": "status",
        "source": source,
        "cluster": topology.cluster.to_string(),
        "healthy": false,
        "problems": ["no node answers"],
        "layout": topology.layout,
        "mode": topology.mode.to_string(),
        "members": {"registered": members},
    });
    Report {
        body: Body::facts(facts),
        json,
    }
}
