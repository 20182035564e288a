//! Looks on while the cluster carries a change out: for as long as it takes, over
//! whichever node answers.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use cached_client::admin::{Operation, OperationChange};
use cached_client::operations::OperationState;
use cached_client::{Admin, Error as ClientError, FailureCode};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::super::Session;
use super::migrations;
use super::pace::Pace;
use super::progress::{self, Look, Told};
use crate::args::Format;
use crate::error::{CliError, Code};
use crate::output::Report;
use crate::output::canvas::Canvas;
use crate::units;

/// Between two tries to find a node that answers.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Silence after which another node is asked: nodes say something twice a second while
/// slots move, and ask others for a second at most.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Follows an operation to its end. Ctrl-C detaches.
pub(super) async fn follow(session: &Session, admin: &Admin, id: &str) -> Result<Report, CliError> {
    let taken = session.interrupt.take();
    let mut onlooker = Onlooker {
        session,
        id,
        sequence: 0,
        seen: None,
        open: None,
        addresses: BTreeSet::new(),
        lost: false,
        told: Told::default(),
        pace: Pace::default(),
        canvas: Canvas::default(),
    };
    let ended = tokio::select! {
        biased;
        () = taken.pressed() => None,
        ended = onlooker.until_end(admin.clone()) => Some(ended?),
    };
    let Some(ended) = ended else {
        return Err(onlooker.detached());
    };
    let output = &session.output;
    match outcome(&ended, onlooker.open.as_ref().unwrap_or(&ended)) {
        // Its last record said so.
        Ok(_) if output.format() == Format::Jsonl => Ok(Report::silent()),
        Ok(text) => Ok(migrations::one(&ended, &text)),
        Err(error) => {
            if !output.is_for_people() && output.format() != Format::Jsonl {
                output.report(&migrations::one(&ended, ""))?;
            }
            Err(error)
        }
    }
}

struct Onlooker<'a> {
    session: &'a Session,
    id: &'a str,
    sequence: u64,
    /// As it was told last.
    seen: Option<Operation>,
    /// As it was told last while it was open: what is left is known only then.
    open: Option<Operation>,
    /// Where members were: the node that is asked first may be the one that ends.
    addresses: BTreeSet<String>,
    lost: bool,
    told: Told,
    /// Of lines for a log.
    pace: Pace,
    canvas: Canvas,
}

impl Onlooker<'_> {
    async fn until_end(&mut self, mut admin: Admin) -> Result<Operation, CliError> {
        loop {
            match self.watch(&admin).await {
                Ok(ended) => return Ok(ended),
                Err(error) if is_last_word(&error) => return Err(error.into()),
                Err(error) => self.lose(&error),
            }
            sleep(LOOK_AGAIN).await;
            if let Ok(other) = self.anybody().await {
                admin = other;
            }
        }
    }

    /// Follows one node's word until the operation ends or the node does.
    async fn watch(&mut self, admin: &Admin) -> Result<Operation, ClientError> {
        let changes = admin.watch_operations(Some(self.id), self.sequence).await?;
        let mut changes = pin!(changes);
        self.learn_addresses(admin).await;
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            let patience = (heard + SILENT_FOR).saturating_duration_since(now);
            if patience.is_zero() {
                return Err(silent());
            }
            let wait = self
                .pace
                .wait(now)
                .map_or(patience, |wait| wait.min(patience));
            let Ok(next) = timeout(wait, changes.next()).await else {
                self.say_what_is_owed();
                continue;
            };
            heard = Instant::now();
            let change = next.unwrap_or_else(|| Err(silent()))?;
            self.find(&change.endpoint);
            if let Some(ended) = self.show(change.value) {
                return Ok(ended);
            }
        }
    }

    async fn learn_addresses(&mut self, admin: &Admin) {
        let Ok(answered) = admin.topology().await else {
            return;
        };
        let members = answered.value.members.into_iter();
        let addresses = members.map(|member| member.address);
        self.addresses = addresses.filter(|address| !address.is_empty()).collect();
    }

    /// Everybody who may answer: those that were named, and the members.
    async fn anybody(&self) -> Result<Admin, CliError> {
        let mut addresses = self.session.endpoints().await.unwrap_or_default();
        addresses.extend(self.addresses.iter().cloned());
        self.session.admin_at(&addresses)
    }

    fn lose(&mut self, error: &ClientError) {
        if !std::mem::replace(&mut self.lost, true) {
            let text = format!(
                "lost sight of {}: {error}; looking for another node",
                self.id
            );
            self.canvas.note(&self.session.output, &text);
        }
    }

    fn find(&mut self, endpoint: &str) {
        if std::mem::take(&mut self.lost) {
            let text = format!(
                "{endpoint} answers; looking on from change {}",
                self.sequence
            );
            self.canvas.note(&self.session.output, &text);
        }
    }

    /// Shows a change; answers the operation once it has ended.
    fn show(&mut self, change: OperationChange) -> Option<Operation> {
        let OperationChange {
            sequence,
            operation,
        } = change;
        self.sequence = self.sequence.max(sequence);
        let output = &self.session.output;
        if output.format() == Format::Jsonl {
            let at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            for record in self.told.records(&operation, sequence, &at) {
                output.line(&record.to_string());
            }
        } else if output.draws() {
            let look = Look {
                width: output.error_width(),
                unicode: output.unicode(),
            };
            let bars = progress::bars(&operation, look);
            self.canvas.draw(output, &bars);
        } else if self.told.changes(&operation)
            && self
                .pace
                .on_change(Instant::now(), operation.state.is_final())
        {
            output.note(&progress::line(&operation));
        }
        if operation.state.is_open() {
            self.open = Some(operation.clone());
        }
        let ended = operation.state.is_final();
        self.seen = Some(operation);
        if ended { self.seen.clone() } else { None }
    }

    /// A line for a log that had to wait.
    fn say_what_is_owed(&mut self) {
        if let Some(seen) = &self.seen
            && self.pace.on_time(Instant::now())
        {
            self.session.output.note(&progress::line(seen));
        }
    }

    fn detached(&self) -> CliError {
        let id = self.id;
        let percent = match &self.seen {
            Some(seen) if progress::share(seen, true).is_some() => {
                format!("{} done, ", progress::percent(seen, true))
            }
            _ => String::new(),
        };
        let text = format!("detached from {id} ({percent}still running on the cluster).");
        CliError::new(Code::Detached, text).hint(format!(
            "Re-attach: cachectl migrations watch {id}   Cancel: cachectl migrations cancel {id}"
        ))
    }
}

fn silent() -> ClientError {
    let text = "the node fell silent".to_owned();
    ClientError::Unreachable(text)
}

/// Whether asking another node would come to the same.
fn is_last_word(error: &ClientError) -> bool {
    match error {
        ClientError::Invalid(_) => true,
        ClientError::Failed(failure) => matches!(
            failure.code,
            FailureCode::NotFound
                | FailureCode::Invalid
                | FailureCode::Unauthenticated
                | FailureCode::PermissionDenied
                | FailureCode::Unsupported
        ),
        ClientError::Unreachable(_) | ClientError::Lost { .. } => false,
    }
}

/// What an operation that has ended came to; `open`: as it was told last while it was
/// open.
pub(super) fn outcome(ended: &Operation, open: &Operation) -> Result<String, CliError> {
    let id = &ended.id;
    let because = if ended.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", ended.reason)
    };
    let moved = &ended.moved;
    match ended.state {
        OperationState::Refused => {
            let text = format!("{id} was refused{because}");
            Err(CliError::new(Code::Conflict, text).hint("plan it again"))
        }
        OperationState::Failed | OperationState::Cancelled => {
            let left = left(open);
            let text = format!(
                "{id} {}{because}; {} slots have moved{left}",
                ended.state, moved.slots
            );
            Err(CliError::new(Code::Partly, text)
                .hint(format!("cachectl migrations describe {id}")))
        }
        OperationState::Done => {
            let ms = ended.finished_at_ms.saturating_sub(ended.started_at_ms);
            let shed = match moved.shed {
                0 => String::new(),
                shed => format!(
                    ", {} keys were dropped for want of room",
                    units::count(shed)
                ),
            };
            Ok(format!(
                "{id} done: {} slots, {} keys, {} moved in {}{shed}",
                moved.slots,
                units::count(moved.keys),
                units::bytes(moved.bytes),
                units::age(Duration::from_millis(ms)),
            ))
        }
        state => Ok(format!("{id} is {state}")),
    }
}

/// What had not moved when it was told last.
fn left(open: &Operation) -> String {
    let pairs = open.pairs.iter().filter(|pair| pair.slots_left > 0);
    let pairs: Vec<String> = pairs
        .take(10)
        .map(|pair| format!("{}→{} {} slots", pair.from, pair.to, pair.slots_left))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("; left: {}", pairs.join(", "))
    }
}

#[cfg(test)]
mod tests;
