//! One operation carried out: sent to its owner, again where that is safe.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::convert::{operation_to_pb, outcome_from_pb};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::MESSAGE_OVERHEAD_BYTES;
use cached_proto::operation::{Answer, Operation};
use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
use cached_proto::pb::cached::cache::v1::{operation::Kind, result};
use cached_proto::types::{GroupName, Invalid};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Response, Status};

use crate::backoff::Backoff;
use crate::connections::{Connections, Link};
use crate::error::Error;
use crate::route::{Attempts, Failed, Next, Target};
use crate::status::{error_of, time_over};
use crate::topology::{Cell, Follower};

/// Longest time of one call: what a day does not bring will not come, and deadlines
/// stay far from where clocks overflow.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What all clones of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) cell: Arc<Cell>,
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
    /// Ends with the last clone.
    pub(crate) _follower: Follower,
}

impl Shared {
    /// When a call that begins now must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout.min(TIMEOUT_MAX)
    }

    /// Carries out one operation in `group`, or in the cluster's default group.
    pub(crate) async fn execute(
        &self,
        group: Option<&GroupName>,
        operation: Operation,
    ) -> Result<Answer, Error> {
        check_size(&operation, self.connections.message_bytes_max())?;
        let deadline = self.deadline();
        let mut attempts = Attempts::new(self.backoff);
        loop {
            let known = self.cell.load_full();
            let slot = known.topology.slot_of(operation.key());
            let Some(target) = attempts.target(&known, slot, rand::random()) else {
                return Err(no_node());
            };
            let group = group.unwrap_or(&known.topology.default_group);
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = send(&self.connections, &target, group, operation.clone(), left).await;
            let error = match answer {
                Ok(answer) => return attempts.judge(answer),
                Err(error) => error,
            };
            match self.after(&mut attempts, &operation, &target, &error, deadline) {
                Next::GiveUp => return Err(error),
                Next::Redirect => {}
                Next::Retry(pause) | Next::Refresh(pause) => sleep(pause).await,
            }
        }
    }

    /// What follows a failed attempt; what its error tells is learned.
    pub(crate) fn after(
        &self,
        attempts: &mut Attempts,
        operation: &Operation,
        target: &Target,
        error: &Error,
        deadline: Instant,
    ) -> Next {
        let hint = match error {
            Error::Failed(failure) => failure.owner.as_deref(),
            _ => None,
        };
        let failed = Failed {
            error,
            target,
            idempotent: operation.is_idempotent(),
            learned: hint.is_some_and(|hint| self.cell.learn(hint)),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let next = attempts.next(&failed, left, rand::random());
        if matches!(next, Next::Refresh(_)) {
            self.cell.ask_refresh();
        }
        next
    }
}

/// The bytes that an operation brings into a message.
pub(crate) fn size(operation: &Operation) -> usize {
    operation.key().as_bytes().len() + operation.payload_bytes()
}

/// Refuses before sending what no message of this client can hold.
pub(crate) fn check_size(operation: &Operation, message_bytes_max: usize) -> Result<(), Invalid> {
    let (bytes, limit) = (
        size(operation),
        message_bytes_max.saturating_sub(MESSAGE_OVERHEAD_BYTES),
    );
    if bytes <= limit {
        return Ok(());
    }
    let problem = format!("and key have {bytes} bytes; this client's limit is {limit}");
    Err(Invalid::new("value", problem))
}

/// No address to ask: only a cluster without members, learned from its registry.
pub(crate) fn no_node() -> Error {
    Error::Unreachable("it has no members now".to_owned())
}

/// One attempt at one node.
pub(crate) async fn send(
    connections: &Connections,
    target: &Target,
    group: &GroupName,
    operation: Operation,
    left: Duration,
) -> Result<Answer, Error> {
    let client = connections.cache(&target.address)?;
    let kind = operation_to_pb(group, operation, target.route).kind;
    let answer = match timeout(left, send_kind(client, kind, left)).await {
        Ok(answer) => answer.map_err(|status| error_of(&target.address, &status))?,
        Err(_) => return Err(time_over(&target.address)),
    };
    Ok(outcome_from_pb(result_of(answer))?)
}

fn result_of(kind: result::Kind) -> cached_proto::pb::cached::cache::v1::Result {
    cached_proto::pb::cached::cache::v1::Result { kind: Some(kind) }
}

async fn send_kind(
    mut client: CacheClient<Link>,
    kind: Option<Kind>,
    left: Duration,
) -> Result<result::Kind, Status> {
    let into = Response::into_inner;
    match kind {
        Some(Kind::Get(get)) => client
            .get(timed(get, left))
            .await
            .map(into)
            .map(result::Kind::Get),
        Some(Kind::Set(set)) => client
            .set(timed(set, left))
            .await
            .map(Response::into_inner)
            .map(result::Kind::Set),
        Some(Kind::Delete(delete)) => {
            let answer = client.delete(timed(delete, left)).await;
            answer.map(Response::into_inner).map(result::Kind::Delete)
        }
        Some(Kind::Touch(touch)) => client
            .touch(timed(touch, left))
            .await
            .map(Response::into_inner)
            .map(result::Kind::Touch),
        Some(Kind::Update(update)) => client
            .update(timed(update, left))
            .await
            .map(Response::into_inner)
            .map(result::Kind::Update),
        Some(Kind::SetMany(set_many)) => client
            .set_many(timed(set_many, left))
            .await
            .map(Response::into_inner)
            .map(result::Kind::SetMany),
        None => Err(Status::internal("an operation of no kind")),
    }
}

/// With the time left as deadline, which travels to the owner: expired work is not done.
pub(crate) fn timed<T>(message: T, left: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(left);
    request
}

/// A node answered something else than it was asked.
pub(crate) fn wrong_answer(what: &str) -> Error {
    Failure::new(FailureCode::Internal, format!("the node {what}"))
        .maybe_applied()
        .into()
}
