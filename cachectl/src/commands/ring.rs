//! `ring`: who owns what, as a table, a bar, a circle, or range by range.

use cached_client::topology::{Member, Topology};
use cached_client::types::Slot;
use serde_json::{Value, json};

use super::Session;
use crate::args::{self, RingAs};
use crate::error::CliError;
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// Letters for nodes in drawings, in the order of their names.
const LETTERS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A run of slots with one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u16,
    last: u16,
    owner: u16,
}

/// `ring`.
pub async fn ring(session: &Session, args: &args::Ring) -> Result<Report, CliError> {
    if let Some(what) = &args.diff {
        return super::ring_diff::diff(session, what).await;
    }
    if let Some(layout) = args.layout {
        return Ok(report(&session.planned(layout).await?, args));
    }
    Ok(report(session.picture().await?.topology(), args))
}

fn report(topology: &Topology, args: &args::Ring) -> Report {
    let runs = runs(topology);
    let drawn = |text| Body::Drawn {
        text,
        rows: by_node(topology, &runs),
    };
    let body = match args.shape {
        RingAs::Table => Body::Table(by_node(topology, &runs)),
        RingAs::Ranges => Body::Table(by_range(topology, &runs)),
        RingAs::Bar => drawn(bar(topology, usize::from(args.width))),
        RingAs::Circle => drawn(circle(topology)),
    };
    Report {
        body,
        json: ring_json(topology, &runs),
    }
}

fn runs(topology: &Topology) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for slot in Slot::all() {
        let owner = topology.owners[slot.index()].0;
        match runs.last_mut() {
            Some(run) if run.owner == owner => run.last = slot.number(),
            _ => runs.push(Run {
                first: slot.number(),
                last: slot.number(),
                owner,
            }),
        }
    }
    runs
}

fn owner_name(topology: &Topology, owner: u16) -> String {
    topology
        .members
        .get(usize::from(owner))
        .map_or("nobody".to_owned(), |it| it.id.name.to_string())
}

fn by_node(topology: &Topology, runs: &[Run]) -> Table {
    let mut table = Table::new([
        text("NODE"),
        text("STATE"),
        number("SLOTS"),
        number("OWNS"),
        number("RANGES").rank(1),
        number("WEIGHT").rank(2),
        text("ADDRESS").rank(3),
    ]);
    for (index, member) in topology.members.iter().enumerate() {
        let ranges = runs
            .iter()
            .filter(|run| usize::from(run.owner) == index)
            .count();
        table.row([
            member.id.name.to_string(),
            member
                .state
                .map_or("DOWN".to_owned(), |state| state.to_string()),
            member.slots.to_string(),
            units::percent(member.slots.into(), topology.owners.len() as u64),
            ranges.to_string(),
            member.weight.to_string(),
            member.address.clone(),
        ]);
    }
    table.footer = Some(summary(topology));
    table
}

fn by_range(topology: &Topology, runs: &[Run]) -> Table {
    let mut table = Table::new([text("RANGE"), number("SLOTS"), text("OWNER")]);
    for run in runs {
        table.row([
            format!("{}–{}", run.first, run.last),
            (run.last - run.first + 1).to_string(),
            owner_name(topology, run.owner),
        ]);
    }
    table
}

/// How even the ring is, over the members that own something.
fn summary(topology: &Topology) -> String {
    let owning: Vec<&Member> = topology
        .members
        .iter()
        .filter(|member| member.slots > 0)
        .collect();
    let most = owning.iter().map(|member| member.slots).max().unwrap_or(0);
    let mean = topology.owners.len() as f64 / owning.len().max(1) as f64;
    format!(
        "layout {} · {} slots · imbalance max/mean {:.4} · {} vnodes/node · hash {}",
        topology.layout,
        topology.owners.len(),
        f64::from(most) / mean,
        topology.virtual_nodes,
        topology.hash,
    )
}

/// The owner of most of the slots from `first` up to, not including, `end`.
fn majority(topology: &Topology, first: usize, end: usize) -> u16 {
    let mut counts = std::collections::BTreeMap::new();
    for (owner, _) in &topology.owners[first..end.max(first + 1)] {
        *counts.entry(*owner).or_insert(0) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(u16::MAX, |(owner, _)| owner)
}

fn letter(owner: u16) -> char {
    LETTERS
        .get(usize::from(owner))
        .map_or('?', |letter| char::from(*letter))
}

fn legend(topology: &Topology) -> String {
    let named = topology
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.slots > 0);
    let named = named.map(|(index, member)| {
        let share = units::percent(member.slots.into(), topology.owners.len() as u64);
        format!("{}={} {share}", letter(index as u16), member.id.name)
    });
    named.collect::<Vec<_>>().join("  ")
}

/// One letter for each `1/width` of the slots: the majority's.
fn bar(topology: &Topology, width: usize) -> String {
    let slots = topology.owners.len();
    let cells: String = (0..width)
        .map(|cell| {
            letter(majority(
                topology,
                cell * slots / width,
                (cell + 1) * slots / width,
            ))
        })
        .collect();
    format!("{cells}\n{}\n{}\n", legend(topology), summary(topology))
}

/// The ring as a circle of letters, slot 0 at the top, clockwise.
fn circle(topology: &Topology) -> String {
    // Twice as wide as high, because characters are twice as high as wide.
    const RADIUS: f64 = 9.0;
    let (rows, columns) = (2 * RADIUS as usize + 1, 4 * RADIUS as usize + 1);
    let mut canvas = vec![vec![' '; columns]; rows];
    let points = 240;
    let slots = topology.owners.len();
    for point in 0..points {
        let angle = std::f64::consts::TAU * point as f64 / points as f64;
        let x = (2.0 * RADIUS * (1.0 + angle.sin())).round() as usize;
        let y = (RADIUS * (1.0 - angle.cos())).round() as usize;
        let (first, end) = (point * slots / points, (point + 1) * slots / points);
        canvas[y][x] = letter(majority(topology, first, end));
    }
    let mut drawing: String = canvas
        .iter()
        .map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n")
        .collect();
    drawing.push_str(&format!("{}\n{}\n", legend(topology), summary(topology)));
    drawing
}

fn ring_json(topology: &Topology, runs: &[Run]) -> Value {
    let items: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "first": run.first,
                "last": run.last,
                "owner": owner_name(topology, run.owner),
                "epoch": topology.owners[usize::from(run.first)].1.0,
            })
        })
        .collect();
    json!({
        "kind": "ring",
        "layout": topology.layout,
        "hash": topology.hash.to_string(),
        "virtual_nodes": topology.virtual_nodes,
        "items": items,
    })
}
