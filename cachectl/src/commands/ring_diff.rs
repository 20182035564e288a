//! `ring --diff`: what a plan would move, or a layout still does.

use cached_client::admin::Operation;
use cached_client::operations::OperationState;
use serde_json::json;

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
    keys: u64,
    bytes: u64,
}

/// What separates the table of now from a plan, or from the layout in force.
pub(super) async fn diff(session: &Session, what: &str) -> Result<Report, CliError> {
    let admin = session.admin().await?;
    let operations = admin.operations(true).await?.value;
    if let Ok(wanted) = what.parse::<u64>() {
        let layout = admin.topology().await?.value.layout;
        if wanted != layout {
            let text = format!("layout {wanted} is not kept: {layout} is in force");
            let hint = "`cachectl migrations` names plans";
            return Err(CliError::new(Code::NotFound, text).hint(hint));
        }
        let open = operations.iter().find(|it| it.state.is_open());
        let left = open.map(left_of).unwrap_or_default();
        return Ok(report(what, &left));
    }
    let found = operations.iter().find(|it| it.id == what);
    let found = found.ok_or_else(|| {
        let text = format!("{what} is neither a plan nor the layout in force");
        CliError::new(Code::NotFound, text).hint("`cachectl migrations` names plans")
    })?;
    if found.state != OperationState::Planned {
        return Ok(report(what, &left_of(found)));
    }
    let plan = admin.plan_again(what, false).await?.value;
    let moves = plan.moves.into_iter().map(|it| Moved {
        from: it.from,
        to: it.to,
        slots: it.slots,
        keys: it.keys,
        bytes: it.bytes,
    });
    Ok(report(what, &moves.collect::<Vec<_>>()))
}

/// What an operation has not moved yet.
fn left_of(operation: &Operation) -> Vec<Moved> {
    let left = operation.pairs.iter().filter(|pair| pair.slots_left > 0);
    left.map(|pair| Moved {
        from: pair.from.clone(),
        to: pair.to.clone(),
        slots: pair.slots_left,
        keys: pair.keys_left,
        bytes: pair.bytes_left,
    })
    .collect()
}

fn report(what: &str, moves: &[Moved]) -> Report {
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
            units::count(it.keys),
            units::bytes(it.bytes),
        ]);
    }
    let slots: u32 = moves.iter().map(|it| it.slots).sum();
    table.footer = Some(match slots {
        0 => "no slot is elsewhere".to_owned(),
        slots => format!("{slots} slots are elsewhere"),
    });
    let items = moves.iter().map(|it| {
        json!({"from": it.from, "to": it.to, "slots": it.slots, "keys": it.keys, "bytes": it.bytes})
    });
    Report {
        body: Body::Table(table),
        json: json!({"kind": "ring-diff", "name": what, "items": items.collect::<Vec<_>>()}),
    }
}
