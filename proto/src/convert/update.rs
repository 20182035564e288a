//! Updates: what becomes of an entry, and what is told of it. Whatever is there but
//! says nothing that this version knows is refused: doing less than was asked would be
//! wrong.

use super::operation::{condition_from_pb, condition_to_pb};
use super::{version_from_pb, version_to_pb};
use crate::operation::{Answer, Condition, Reply};
use crate::pb::cached::cache::v1 as pb;
use crate::types::{Invalid, Key};
use crate::update::{Change, Expiry, Guard, Returns, Snapshot, Update, Updated};

/// Spells a request.
pub(super) fn request(
    group: String,
    key: Key,
    update: Update,
    route: Option<pb::Route>,
) -> pb::UpdateRequest {
    let Update {
        change,
        expiry,
        guard,
        returns,
    } = update;
    pb::UpdateRequest {
        group,
        key: key.into_bytes(),
        change: change_to_pb(change),
        expiry: expiry_to_pb(expiry),
        guard: guard_to_pb(guard),
        returns: match returns {
            Returns::Metadata => pb::Returns::Metadata,
            Returns::Value => pb::Returns::Value,
            Returns::Previous => pb::Returns::Previous,
        }
        .into(),
        route,
    }
}

/// Reads what a request asks for.
pub(super) fn read(
    change: Option<pb::Change>,
    expiry: Option<pb::Expiry>,
    guard: Option<pb::Guard>,
    returns: i32,
) -> Result<Update, Invalid> {
    let returns = match pb::Returns::try_from(returns) {
        Ok(pb::Returns::Metadata) => Returns::Metadata,
        Ok(pb::Returns::Value) => Returns::Value,
        Ok(pb::Returns::Previous) => Returns::Previous,
        Err(_) => return Err(unknown("returns")),
    };
    Ok(Update {
        change: change.map_or(Ok(Change::Keep), change_from_pb)?,
        expiry: expiry.map_or(Ok(Expiry::Keep), expiry_from_pb)?,
        guard: guard.map_or(Ok(Guard::default()), guard_from_pb)?,
        returns,
    })
}

fn unknown(field: &'static str) -> Invalid {
    Invalid::new(field, "is none that this version knows, or false")
}

fn change_to_pb(change: Change) -> Option<pb::Change> {
    use pb::change::{Kind, SetRange};
    let kind = match change {
        Change::Keep => return None,
        Change::Put(value) => Kind::Put(value),
        Change::Remove => Kind::Remove(true),
        Change::Append(bytes) => Kind::Append(bytes),
        Change::SetRange { offset, bytes } => Kind::SetRange(SetRange { offset, bytes }),
        Change::AddInteger(number) => Kind::AddInteger(number),
        Change::AddFloat(number) => Kind::AddFloat(number),
    };
    Some(pb::Change { kind: Some(kind) })
}

fn change_from_pb(change: pb::Change) -> Result<Change, Invalid> {
    use pb::change::Kind;
    Ok(match change.kind {
        Some(Kind::Keep(true)) => Change::Keep,
        Some(Kind::Put(value)) => Change::Put(value),
        Some(Kind::Remove(true)) => Change::Remove,
        Some(Kind::Append(bytes)) => Change::Append(bytes),
        Some(Kind::SetRange(range)) => Change::SetRange {
            offset: range.offset,
            bytes: range.bytes,
        },
        Some(Kind::AddInteger(number)) => Change::AddInteger(number),
        Some(Kind::AddFloat(number)) => Change::AddFloat(number),
        Some(Kind::Keep(false) | Kind::Remove(false)) | None => return Err(unknown("change")),
    })
}

fn expiry_to_pb(expiry: Expiry) -> Option<pb::Expiry> {
    use pb::expiry::Kind;
    let kind = match expiry {
        Expiry::Keep => return None,
        Expiry::Default => Kind::Default(true),
        Expiry::Never => Kind::Never(true),
        Expiry::In(ms) => Kind::InMs(ms),
        Expiry::At(ms) => Kind::AtMs(ms),
    };
    Some(pb::Expiry { kind: Some(kind) })
}

fn expiry_from_pb(expiry: pb::Expiry) -> Result<Expiry, Invalid> {
    use pb::expiry::Kind;
    Ok(match expiry.kind {
        Some(Kind::Keep(true)) => Expiry::Keep,
        Some(Kind::Default(true)) => Expiry::Default,
        Some(Kind::Never(true)) => Expiry::Never,
        Some(Kind::InMs(ms)) => Expiry::In(ms),
        Some(Kind::AtMs(ms)) => Expiry::At(ms),
        Some(Kind::Keep(false) | Kind::Default(false) | Kind::Never(false)) | None => {
            return Err(unknown("expiry"));
        }
    })
}

fn guard_to_pb(guard: Guard) -> Option<pb::Guard> {
    use pb::guard::{Kind, Time};
    let time = |time: Time| Kind::Time(time.into());
    let kind = match guard {
        Guard::If(Condition::Always) => return None,
        Guard::If(condition) => Kind::Condition(condition_to_pb(condition).unwrap_or_default()),
        Guard::Equal(value) => Kind::Equal(value),
        Guard::Persistent => time(Time::Persistent),
        Guard::Expiring => time(Time::Expiring),
        Guard::Later => time(Time::Later),
        Guard::Sooner => time(Time::Sooner),
        Guard::ExpiringSooner => time(Time::ExpiringSooner),
    };
    Some(pb::Guard { kind: Some(kind) })
}

fn guard_from_pb(guard: pb::Guard) -> Result<Guard, Invalid> {
    use pb::guard::{Kind, Time};
    let time = match guard.kind {
        Some(Kind::Condition(condition)) => {
            return condition_from_pb(Some(condition)).map(Guard::If);
        }
        Some(Kind::Equal(value)) => return Ok(Guard::Equal(value)),
        Some(Kind::Time(time)) => time,
        None => return Err(unknown("guard")),
    };
    Ok(match Time::try_from(time) {
        Ok(Time::Persistent) => Guard::Persistent,
        Ok(Time::Expiring) => Guard::Expiring,
        Ok(Time::Later) => Guard::Later,
        Ok(Time::Sooner) => Guard::Sooner,
        Ok(Time::ExpiringSooner) => Guard::ExpiringSooner,
        Ok(Time::Unspecified) | Err(_) => return Err(unknown("guard")),
    })
}

/// Spells an answer.
pub(super) fn response(updated: Updated, degraded: bool) -> pb::UpdateResponse {
    let applied = updated.applied;
    let Some(entry) = updated.entry else {
        return pb::UpdateResponse {
            applied,
            degraded,
            ..Default::default()
        };
    };
    pb::UpdateResponse {
        applied,
        found: true,
        value: entry.value,
        version: version_to_pb(Some(entry.version)),
        value_bytes: entry.value_bytes,
        deadline_ms: entry.deadline_ms,
        ttl_ms: entry.ttl_ms,
        idle_ms: entry.idle_ms,
        memory_bytes: entry.memory_bytes,
        degraded,
    }
}

/// Reads an answer.
pub(super) fn answer(response: pb::UpdateResponse) -> Result<Answer, Invalid> {
    let entry = if response.found {
        let version = version_from_pb(&response.version)?;
        Some(Snapshot {
            value: response.value,
            value_bytes: response.value_bytes,
            version: version.ok_or_else(|| Invalid::new("version", "is missing"))?,
            deadline_ms: response.deadline_ms,
            ttl_ms: response.ttl_ms,
            idle_ms: response.idle_ms,
            memory_bytes: response.memory_bytes,
        })
    } else {
        None
    };
    Ok(Answer {
        reply: Reply::Update(Updated {
            applied: response.applied,
            entry,
        }),
        degraded: response.degraded,
    })
}
