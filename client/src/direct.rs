//! One node, asked without a second try: for programs that choose nodes by themselves,
//! and for those that measure, from whom no failure may be hidden.

use std::time::Duration;

use cached_proto::convert::{operation_to_pb, outcome_from_pb};
use cached_proto::operation::{Answer, Operation, Route};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::operation::Kind;
use cached_proto::types::{GroupName, Invalid};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::{Response, Status, Streaming};

use crate::call::{send, timed, wrong_answer};
use crate::connections::Connections;
use crate::error::Error;
use crate::route::Target;
use crate::status::{error_of, time_over};

/// One node and one group. The node passes on what is not its own.
#[derive(Clone, Debug)]
pub struct Direct {
    connections: Connections,
    address: String,
    group: GroupName,
    timeout: Duration,
}

impl Direct {
    /// Asks the node at `address` over `connections`. `timeout` bounds each call.
    pub fn new(
        connections: Connections,
        address: impl Into<String>,
        group: GroupName,
        timeout: Duration,
    ) -> Self {
        Self {
            connections,
            address: address.into(),
            group,
            timeout,
        }
    }

    /// Carries out one operation.
    pub async fn execute(&self, operation: Operation) -> Result<Answer, Error> {
        let target = Target {
            address: self.address.clone(),
            route: Route::Forward,
        };
        send(
            &self.connections,
            &target,
            &self.group,
            operation,
            self.timeout,
        )
        .await
    }

    /// Carries out operations of one kind (all gets, all sets or all deletes) with one
    /// call; one result for each, in the same order.
    pub async fn batch(&self, operations: Vec<Operation>) -> Vec<Result<Answer, Error>> {
        let wanted = operations.len();
        let mut outcomes = Vec::with_capacity(wanted);
        let answer = match self.call(operations) {
            Ok(call) => timeout(self.timeout, call).await,
            Err(invalid) => return vec![Err(invalid.into()); wanted],
        };
        let ended = match answer {
            Ok(Ok(response)) => {
                let results = response.results.into_iter().take(wanted);
                outcomes.extend(results.map(|it| outcome_from_pb(it).map_err(Error::from)));
                wrong_answer("left an operation without an answer")
            }
            Ok(Err(status)) => error_of(&self.address, &status),
            Err(_) => time_over(&self.address),
        };
        outcomes.resize_with(wanted, || Err(ended.clone()));
        outcomes
    }

    fn call(
        &self,
        operations: Vec<Operation>,
    ) -> Result<impl Future<Output = Result<pb::BatchResponse, Status>>, Invalid> {
        let kinds = operations
            .into_iter()
            .filter_map(|it| operation_to_pb(&self.group, it, Route::Forward).kind);
        let batch = Batch::of(self.group.as_str(), kinds)?;
        let client = self.connections.cache(&self.address);
        let (address, left) = (self.address.clone(), self.timeout);
        Ok(async move {
            let mut client =
                client.map_err(|error| Status::invalid_argument(format!("{address}: {error}")))?;
            let answer = match batch {
                Batch::Get(get) => client.batch_get(timed(get, left)).await,
                Batch::Set(set) => client.batch_set(timed(set, left)).await,
                Batch::Delete(delete) => client.batch_delete(timed(delete, left)).await,
            };
            answer.map(Response::into_inner)
        })
    }

    /// Opens a stream of operations to the node, with room for so many messages that
    /// were not sent yet.
    pub async fn pipeline(&self, room: usize) -> Result<Pipeline, Error> {
        let (requests, receiver) = mpsc::channel(room.max(1));
        let requests_out = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|request| (request, receiver))
        });
        let mut client = self.connections.cache(&self.address)?;
        let opening = timeout(self.timeout, client.pipeline(requests_out));
        let answers = match opening.await {
            Ok(answer) => answer.map_err(|status| error_of(&self.address, &status))?,
            Err(_) => return Err(time_over(&self.address)),
        };
        Ok(Pipeline {
            requests,
            answers: answers.into_inner(),
            of: self.clone(),
        })
    }
}

/// A stream of operations to one node; answers come message for message, in the order
/// of the messages. After an error it is of no more use.
#[derive(Debug)]
pub struct Pipeline {
    requests: mpsc::Sender<pb::PipelineRequest>,
    answers: Streaming<pb::PipelineResponse>,
    of: Direct,
}

impl Pipeline {
    /// Sends one message of operations; waits while there is no room.
    pub async fn send(&self, operations: Vec<Operation>) -> Result<(), Error> {
        let spell = |it| operation_to_pb(&self.of.group, it, Route::Forward);
        let operations = operations.into_iter().map(spell).collect();
        let request = pb::PipelineRequest { operations };
        let sent = self.requests.send(request).await;
        sent.map_err(|_| wrong_answer("ended the stream"))
    }

    /// The results of the next message, or a timeout at `deadline`. Not cancel-safe.
    pub async fn next(&mut self, deadline: Instant) -> Result<Vec<Result<Answer, Error>>, Error> {
        match tokio::time::timeout_at(deadline, self.answers.message()).await {
            Ok(Ok(Some(answer))) => Ok(answer
                .results
                .into_iter()
                .map(|result| outcome_from_pb(result).map_err(Error::from))
                .collect()),
            Ok(Ok(None)) => Err(wrong_answer("ended its answers early")),
            Ok(Err(status)) => Err(error_of(&self.of.address, &status)),
            Err(_) => Err(time_over(&self.of.address)),
        }
    }
}

/// A batch of one kind.
enum Batch {
    Get(pb::BatchGetRequest),
    Set(pb::BatchSetRequest),
    Delete(pb::BatchDeleteRequest),
}

impl Batch {
    fn of(group: &str, kinds: impl Iterator<Item = Kind>) -> Result<Self, Invalid> {
        let mixed = || Invalid::new("operations", "of a batch must all be of one kind");
        let mut kinds = kinds.peekable();
        let group = group.to_owned();
        match kinds.peek() {
            Some(Kind::Get(first)) => {
                let no_load = first.no_load;
                let keys = kinds.map(|kind| match kind {
                    Kind::Get(get) if get.no_load == no_load && !get.metadata_only => Ok(get.key),
                    _ => Err(mixed()),
                });
                Ok(Self::Get(pb::BatchGetRequest {
                    group,
                    keys: keys.collect::<Result<_, _>>()?,
                    no_load,
                    route: None,
                }))
            }
            Some(Kind::Set(_)) => {
                let items = kinds.map(|kind| match kind {
                    Kind::Set(set) => Ok(pb::batch_set_request::Item {
                        key: set.key,
                        value: set.value,
                        ttl_ms: set.ttl_ms,
                        condition: set.condition,
                    }),
                    _ => Err(mixed()),
                });
                Ok(Self::Set(pb::BatchSetRequest {
                    group,
                    items: items.collect::<Result<_, _>>()?,
                    route: None,
                }))
            }
            Some(Kind::Delete(_)) => {
                let keys = kinds.map(|kind| match kind {
                    Kind::Delete(delete) if delete.condition.is_none() => Ok(delete.key),
                    _ => Err(mixed()),
                });
                Ok(Self::Delete(pb::BatchDeleteRequest {
                    group,
                    keys: keys.collect::<Result<_, _>>()?,
                    route: None,
                }))
            }
            _ => Err(mixed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::operation::Condition;
    use cached_proto::types::Key;

    use super::*;

    fn kinds(operations: &[Operation]) -> impl Iterator<Item = Kind> {
        let group = GroupName::new("g").unwrap();
        let spell = move |it: &Operation| operation_to_pb(&group, it.clone(), Route::Forward).kind;
        operations.iter().filter_map(spell)
    }

    #[test]
    fn a_batch_is_of_one_kind() {
        let key = Key::new("k").unwrap();
        let get = Operation::Get {
            key: key.clone(),
            no_load: true,
            metadata_only: false,
        };
        let delete = Operation::Delete {
            key,
            condition: Condition::Always,
        };
        assert!(
            matches!(Batch::of("g", kinds(&[get.clone(), get.clone()])), Ok(Batch::Get(it)) if it.keys.len() == 2 && it.no_load)
        );
        assert!(
            matches!(Batch::of("g", kinds(std::slice::from_ref(&delete))), Ok(Batch::Delete(it)) if it.keys.len() == 1)
        );
        assert!(Batch::of("g", kinds(&[get, delete])).is_err());
        assert!(Batch::of("g", kinds(&[])).is_err());
    }
}
