//! `ring --diff`: what a plan would move, a layout still does, or what has moved since one.

use cached_client::admin::Operation;
use cached_client::operations::OperationState;
use serde_json::json;

use std::collections::BTreeMap;

use cached_client::topology::Topology;
use cached_client::types::Slot;

use super::Session;
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// Slots that go from one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    from: String,
    to: String,
    slots: u32,
    /// Keys and bytes in them; `None`: nobody knows what was there.
    size: Option<(u64, u64)>,
}

/// What separates the table of now from a plan, or from the layout in force.
pub(super) async fn diff(session: &Session, what: &str) -> Result<Report, CliError> {
    let admin = session.admin().await?;
    let operations = admin.operations(true).await?.value;
    if let Ok(wanted) = what.parse::<u64>() {
        let now = admin.topology().await?.value;
        if wanted != now.layout {
            let then = session.planned(wanted).await?;
            let verb = format!("not where layout {wanted} had them");
            return Ok(report(what, &moved_since(&then, &now), &verb));
        }
        let open = operations.iter().find(|it| it.state.is_open());
        let left = open.map(left_of).unwrap_or_default();
        return Ok(report(what, &left, ELSEWHERE));
    }
    let found = operations.iter().find(|it| it.id == what);
    let found = found.ok_or_else(|| {
        let text = format!("{what} is neither a plan nor the layout in force");
        CliError::new(Code::NotFound, text).hint("`cachectl migrations` names plans")
    })?;
    if found.state != OperationState::Planned {
        return Ok(report(what, &left_of(found), ELSEWHERE));
    }
    let plan = admin.plan_again(what, false).await?.value;
    let moves = plan.moves.into_iter().map(|it| Moved {
        from: it.from,
        to: it.to,
        slots: it.slots,
        size: Some((it.keys, it.bytes)),
    });
    Ok(report(what, &moves.collect::<Vec<_>>(), ELSEWHERE))
}

/// What an operation has not moved yet.
fn left_of(operation: &Operation) -> Vec<Moved> {
    let left = operation.pairs.iter().filter(|pair| pair.slots_left > 0);
    left.map(|pair| Moved {
        from: pair.from.clone(),
        to: pair.to.clone(),
        slots: pair.slots_left,
        size: Some((pair.keys_left, pair.bytes_left)),
    })
    .collect()
}

/// Slots that a layout gave to another member than the one that owns them now.
fn moved_since(then: &Topology, now: &Topology) -> Vec<Moved> {
    let owner = |topology: &Topology, slot| {
        let owner = topology.owner(slot);
        owner.map_or("nobody".to_owned(), |(member, _)| {
            member.id.name.to_string()
        })
    };
    let mut moves: BTreeMap<(String, String), u32> = BTreeMap::new();
    for slot in Slot::all() {
        let (from, to) = (owner(then, slot), owner(now, slot));
        if from != to {
            *moves.entry((from, to)).or_default() += 1;
        }
    }
    let moved = moves.into_iter().map(|((from, to), slots)| Moved {
        from,
        to,
        slots,
        size: None,
    });
    moved.collect()
}

/// What is said of slots that are not where they are to be.
const ELSEWHERE: &str = "elsewhere";

fn report(what: &str, moves: &[Moved], verb: &str) -> Report {
    let mut table = Table::new([
        text("FROM"),
        text("TO"),
        number("SLOTS"),
        number("KEYS"),
        number("SIZE"),
    ]);
    for it in moves {
        table.row([
            it.from.clone(),
            it.to.clone(),
            it.slots.to_string(),
            it.size
                .map_or("-".to_owned(), |(keys, _)| units::count(keys)),
            it.size
                .map_or("-".to_owned(), |(_, bytes)| units::bytes(bytes)),
        ]);
    }
    let slots: u32 = moves.iter().map(|it| it.slots).sum();
    table.footer = Some(match slots {
        0 => format!("no slot is {verb}"),
        slots => format!("{slots} slots are {verb}"),
    });
    let items = moves.iter().map(|it| {
        json!({
            "from": it.from,
            "to": it.to,
            "slots": it.slots,
            "keys": it.size.map(|(keys, _)| keys),
            "bytes": it.size.map(|(_, bytes)| bytes),
        })
    });
    Report {
        body: Body::Table(table),
        json: json!({"kind": "ring-diff", "name": what, "items": items.collect::<Vec<_>>()}),
    }
}
