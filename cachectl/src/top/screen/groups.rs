//! Groups: settings, and what all nodes hold of each. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_client::admin::GroupStats;
use cached_client::records::GroupRecord;
use ratatui::layout::Rect;

use super::draw_list;
use crate::top::data::Rates;
use crate::top::list::{Cell, List, Row, Tone, number, text, wide};
use crate::top::state::{Screen, State};
use crate::top::view::ink::Ink;
use crate::units;

/// Rows: groups that have settings, and those that have entries.
pub fn list(state: &State) -> List {
    let data = state.shown();
    let mut sums: BTreeMap<&str, GroupStats> = BTreeMap::new();
    for record in &data.groups {
        sums.entry(record.name.as_str()).or_default();
    }
    for group in data.stats.values().flat_map(|node| &node.groups) {
        let sum = sums.entry(&group.group).or_default();
        sum.keys += group.keys;
        sum.bytes += group.bytes;
        sum.hits += group.hits;
        sum.misses += group.misses;
        sum.evictions += group.evictions;
        sum.expirations += group.expirations;
    }
    let rows = sums.iter().map(|(name, sum)| {
        let record = data
            .groups
            .iter()
            .find(|record| record.name.as_str() == *name);
        row(name, sum, record, data.group_rates.get(*name))
    });
    let columns = [
        text("GROUP", 0),
        number("KEYS", 0),
        number("BYTES", 1),
        number("LIMIT", 2),
        number("OPS/S", 1),
        number("HIT%", 1),
        number("EVICTED", 3),
        number("EXPIRED", 4),
        number("TTL", 3),
        text("POLICY", 5),
        wide(number("REDIS DB", 6)),
    ];
    List::new(columns, rows.collect())
}

fn row(name: &str, sum: &GroupStats, record: Option<&GroupRecord>, rates: Option<&Rates>) -> Row {
    let count = |value: u64| Cell::number(value as f64, units::count(value));
    let limit = record.and_then(|record| record.max_bytes);
    let limit_cell = limit.map_or_else(
        || Cell::unknown("-"),
        |limit| Cell::number(limit as f64, units::bytes(limit)),
    );
    let full = limit.is_some_and(|limit| sum.bytes >= limit / 10 * 9);
    let ttl = record.and_then(|record| record.default_ttl_ms);
    let hit = rates.and_then(Rates::hit_ratio);
    Row {
        id: name.to_owned(),
        cells: vec![
            Cell::text(name).tone(Tone::Strong),
            count(sum.keys),
            Cell::number(sum.bytes as f64, units::bytes(sum.bytes)).tone(if full {
                Tone::Warn
            } else {
                Tone::Normal
            }),
            limit_cell,
            rates.map_or_else(
                || Cell::unknown("-"),
                |it| count(it.operations.round() as u64),
            ),
            hit.map_or_else(
                || Cell::unknown("-"),
                |it| Cell::number(it, format!("{:.1}", it * 100.0)),
            ),
            count(sum.evictions),
            count(sum.expirations),
            ttl.map_or_else(
                || Cell::unknown("-"),
                |ms| Cell::number(ms as f64, units::age(Duration::from_millis(ms))),
            ),
            Cell::text(record.map_or(String::new(), |record| record.policy.to_string())),
            record
                .and_then(|it| it.resp_db)
                .map_or_else(|| Cell::unknown("-"), |db| count(db.into())),
        ],
    }
}

/// The selected group.
pub fn selected(state: &State) -> Option<String> {
    if state.screen != Screen::Groups {
        return None;
    }
    let list = super::list(state);
    list.selected(state.choice()).map(|row| row.id.clone())
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    draw_list(state, ink, area, "Groups");
}
