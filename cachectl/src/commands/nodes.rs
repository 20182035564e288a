//! `nodes`: the members, with what each says of itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cached_client::admin::{NodeStats, RecentStats};
use cached_client::records::MemberState;
use cached_client::topology::{Member, Topology};
use serde_json::{Value, json};

use super::stats::quantile;
use super::{Picture, Session};
use crate::args;
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// `nodes`.
pub async fn nodes(session: &Session, args: &args::Nodes) -> Result<Report, CliError> {
    let picture = session.picture().await?;
    let stats = match &picture {
        Picture::Node { .. } => match session.admin().await?.stats(false).await {
            Ok(answered) => answered.value,
            Err(error) => {
                session
                    .output
                    .note(&format!("counters are missing: {error}"));
                Vec::new()
            }
        },
        Picture::Etcd(_) => Vec::new(),
    };
    let topology = picture.topology();
    let wanted = |member: &&Member| match &args.node {
        Some(name) => member.id.name.as_str() == name,
        None => true,
    };
    let members: Vec<&Member> = topology.members.iter().filter(wanted).collect();
    if let (Some(name), true) = (&args.node, members.is_empty()) {
        let known: Vec<&str> = topology
            .members
            .iter()
            .map(|member| member.id.name.as_str())
            .collect();
        let message = format!("no node is named {name}; there are {}", known.join(", "));
        return Err(CliError::new(Code::NotFound, message));
    }
    let stats: BTreeMap<&str, &NodeStats> = stats
        .iter()
        .map(|node| (node.incarnation.as_str(), node))
        .collect();
    Ok(report(topology, &members, &stats, now()))
}

fn report(
    topology: &Topology,
    members: &[&Member],
    stats: &BTreeMap<&str, &NodeStats>,
    now: Duration,
) -> Report {
    let mut table = Table::new([
        text("NODE"),
        text("STATE"),
        text("ADDRESS").rank(4),
        number("OWNS"),
        number("KEYS").rank(1),
        number("MEM").rank(1),
        number("OPS/S").rank(1),
        number("HIT%").rank(3),
        number("P99MS").rank(2),
        number("EVICT/S").rank(5),
        number("AGE").rank(4),
        number("SLOTS").wide(),
        number("WEIGHT").wide(),
        text("ZONE").wide(),
        text("VERSION").wide(),
        text("INCARNATION").wide(),
        text("DETAIL").rank(6),
    ]);
    let slots = topology.owners.len() as u64;
    let mut items = Vec::new();
    for member in members {
        let inc = member.id.inc.to_string();
        let stats = stats.get(inc.as_str()).copied();
        table.row(cells(member, stats, slots, now));
        items.push(member_json(member, stats, slots, now));
    }
    let json = json!({"kind": "nodes", "layout": topology.layout, "items": items});
    Report {
        body: Body::Table(table),
        json,
    }
}

fn cells(member: &Member, stats: Option<&NodeStats>, slots: u64, now: Duration) -> Vec<String> {
    let state = match member.state {
        Some(state) => state_word(member, state),
        None => format!(
            "DOWN {}",
            units::age(Duration::from_millis(member.down_for_ms))
        ),
    };
    let known = stats.filter(|stats| stats.error.is_none());
    let number = |see: &dyn Fn(&NodeStats) -> String| known.map_or("?".to_owned(), see);
    let recent = known.and_then(|stats| stats.recent.as_ref());
    let lately = |see: &dyn Fn(&RecentStats) -> String| recent.map_or("?".to_owned(), see);
    let age = match member.state {
        Some(_) => units::age(now.saturating_sub(Duration::from_millis(member.started_ms))),
        None => "-".to_owned(),
    };
    let mut detail = member.detail.clone();
    if let Some(error) = stats.and_then(|stats| stats.error.as_ref()) {
        detail = format!("no counters: {error}");
    }
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    vec![
        member.id.name.to_string(),
        state,
        or_dash(&member.address),
        units::percent(member.slots.into(), slots),
        number(&|stats| units::count(keys(stats))),
        number(&|stats| units::percent(stats.memory_used_bytes, stats.memory_limit_bytes)),
        lately(&|recent| per_second(recent, recent.operations)),
        lately(&|recent| {
            let ratio = units::percent(recent.hits, recent.hits + recent.misses);
            ratio.trim_end_matches('%').to_owned()
        }),
        lately(&|recent| quantile(&recent.latency, 0.99)),
        lately(&|recent| per_second(recent, recent.evictions)),
        age,
        member.slots.to_string(),
        member.weight.to_string(),
        or_dash(&member.zone),
        or_dash(&member.version),
        member.id.inc.to_string(),
        or_dash(&detail),
    ]
}

/// The member's own word, or what an operator wants of it.
fn state_word(member: &Member, state: MemberState) -> String {
    match (state, member.intent.as_str()) {
        (MemberState::Joining, "") if member.standby => "standby".to_owned(),
        (MemberState::Up | MemberState::Draining, "drain") if member.slots == 0 => {
            "drained".to_owned()
        }
        (MemberState::Up, "drain" | "leave") => "draining".to_owned(),
        (state, _) => state.to_string(),
    }
}

fn keys(stats: &NodeStats) -> u64 {
    stats.groups.iter().map(|group| group.keys).sum()
}

/// What the window comes to in a second.
fn per_second(recent: &RecentStats, count: u64) -> String {
    units::count(recent.per_second(count).round() as u64)
}

fn member_json(member: &Member, stats: Option<&NodeStats>, slots: u64, now: Duration) -> Value {
    let mut json = json!({
        "name": member.id.name.to_string(),
        "incarnation": member.id.inc.to_string(),
        "state": member.state.map_or("down".to_owned(), |state| state.to_string()),
        "address": member.address,
        "slots": member.slots,
        "owns": f64::from(member.slots) / slots as f64,
        "weight": member.weight,
        "zone": member.zone,
        "version": member.version,
        "started_ms": member.started_ms,
        "down_for_ms": member.down_for_ms,
        "detail": member.detail,
        "standby": member.standby,
        "intent": member.intent,
        "last_seen": last_seen(member, now),
    });
    match stats {
        Some(stats) if stats.error.is_none() => json["stats"] = super::stats::node_json(stats),
        Some(stats) => json["error"] = stats.error.clone().unwrap_or_default().into(),
        None => json["error"] = "not asked".into(),
    }
    json
}

/// When a member that is down was last seen; `None`: it is there.
fn last_seen(member: &Member, now: Duration) -> Option<String> {
    let down_for = Duration::from_millis(member.down_for_ms);
    let at = UNIX_EPOCH + now.saturating_sub(down_for);
    let is_down = member.state.is_none();
    is_down.then(|| humantime::format_rfc3339_seconds(at).to_string())
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cached_client::types::{Incarnation, MemberId, NodeName};

    fn member(name: &str, state: Option<MemberState>) -> Member {
        Member {
            id: MemberId {
                name: NodeName::new(name).unwrap(),
                inc: Incarnation(7),
            },
            address: state.map_or(String::new(), |_| "127.0.0.1:8001".to_owned()),
            state,
            weight: 1,
            zone: String::new(),
            version: "0.1.0".to_owned(),
            started_ms: 0,
            slots: 8192,
            down_for_ms: 42_000,
            detail: String::new(),
            standby: false,
            intent: String::new(),
        }
    }

    #[test]
    fn what_operators_asked_for_is_a_state() {
        let word = |state, slots, standby, intent: &str| {
            let mut member = member("n1", Some(state));
            (member.slots, member.standby) = (slots, standby);
            member.intent = intent.to_owned();
            state_word(&member, state)
        };
        let told = [
            word(MemberState::Joining, 0, true, ""),
            word(MemberState::Joining, 0, false, ""),
            word(MemberState::Up, 0, false, "drain"),
            word(MemberState::Draining, 0, false, "drain"),
            word(MemberState::Up, 3, false, "drain"),
            word(MemberState::Up, 3, false, "leave"),
            word(MemberState::Up, 3, true, ""),
            word(MemberState::Draining, 3, false, "leave"),
        ];
        let words = [
            "standby", "joining", "drained", "drained", "draining", "draining", "up", "draining",
        ];
        assert_eq!(told, words);
    }

    #[test]
    fn the_dead_stay_visible_and_unknown_numbers_are_marked() {
        let down = cells(&member("n5", None), None, 16_384, Duration::from_secs(60));
        assert_eq!(
            down[..5],
            ["n5", "DOWN 42s", "-", "50.0%", "?"].map(str::to_owned)
        );
        let up = cells(
            &member("n1", Some(MemberState::Up)),
            None,
            16_384,
            Duration::from_secs(60),
        );
        assert_eq!((up[1].as_str(), up[10].as_str()), ("up", "1m"));
        let noon = Duration::from_secs(1_767_355_447);
        let json = member_json(&member("n5", None), None, 16_384, noon);
        assert_eq!(json["last_seen"], "2026-01-02T12:03:25Z");
        assert_eq!(
            (&json["state"], &json["error"]),
            (&json!("down"), &json!("not asked"))
        );
    }
}
