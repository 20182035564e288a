//! Many operations at once: grouped by owner, sent in parallel, answered in order.

mod round;

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::convert::outcome_from_pb;
use cached_proto::operation::Operation;
use cached_proto::pb::cached::cache::v1::PipelineRequest;
use cached_proto::types::GroupName;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout_at};

use self::round::{Chunk, Outcome, Pending, Round, Sent};
use crate::call::{Shared, check_size, no_node, timed, wrong_answer};
use crate::error::Error;
use crate::route::{Attempts, Next};
use crate::status::{error_of, time_over};

impl Shared {
    /// Carries out operations on any keys; results in the same order. Only what
    /// failed, and may be tried again, is sent again.
    pub(crate) async fn batch(
        &self,
        group: Option<&GroupName>,
        operations: Vec<Operation>,
    ) -> Vec<Outcome> {
        let deadline = self.deadline();
        let message_max = self.connections.message_bytes_max();
        let mut results: Vec<Option<Outcome>> = vec![None; operations.len()];
        let mut round = Round::new(Chunk::largest(message_max));
        for (index, operation) in operations.into_iter().enumerate() {
            match check_size(&operation, message_max) {
                Ok(()) => {
                    let attempts = Attempts::new(self.backoff);
                    round.pending.push(Pending {
                        index,
                        operation,
                        attempts,
                    });
                }
                Err(invalid) => results[index] = Some(Err(invalid.into())),
            }
        }
        while !round.pending.is_empty() {
            sleep(round.pause).await;
            let mut next = Round::new(round.chunk);
            for (sent, outcome) in self.send_round(group, round, deadline, &mut results).await {
                self.settle(sent, outcome, deadline, &mut results, &mut next);
            }
            round = next;
        }
        let unanswered = || Err(wrong_answer("left an operation without an answer"));
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(unanswered))
            .collect()
    }

    /// One attempt for each operation, all nodes at the same time.
    async fn send_round(
        &self,
        group: Option<&GroupName>,
        round: Round,
        deadline: Instant,
        results: &mut [Option<Outcome>],
    ) -> Vec<(Sent, Outcome)> {
        let known = self.cell.load_full();
        let group = group.unwrap_or(&known.topology.default_group);
        // One draw for all, so that what any node may pass on goes to the same one.
        let draw = rand::random();
        let mut by_node: BTreeMap<String, Vec<Sent>> = BTreeMap::new();
        for pending in round.pending {
            let slot = known.topology.slot_of(pending.operation.key());
            match pending.attempts.target(&known, slot, draw) {
                Some(target) => {
                    let node = by_node.entry(target.address.clone()).or_default();
                    node.push(Sent { pending, target });
                }
                None => results[pending.index] = Some(Err(no_node())),
            }
        }
        let chunk = round.chunk;
        let nodes = by_node.into_iter().map(|(address, sent)| async move {
            let outcomes = self.send_to(&address, group, &sent, chunk, deadline).await;
            sent.into_iter().zip(outcomes).collect::<Vec<_>>()
        });
        join_all(nodes).await.into_iter().flatten().collect()
    }

    /// All operations of one node over one pipeline; exactly one outcome for each.
    async fn send_to(
        &self,
        address: &str,
        group: &GroupName,
        sent: &[Sent],
        chunk: Chunk,
        deadline: Instant,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(sent.len());
        let requests = chunk.requests(group, sent);
        let receiving = self.receive(address, requests, deadline, sent.len(), &mut outcomes);
        let ended = match timeout_at(deadline, receiving).await {
            Ok(Ok(())) => wrong_answer("ended its answers early"),
            Ok(Err(error)) => error,
            Err(_) => time_over(address),
        };
        outcomes.resize_with(sent.len(), || Err(ended.clone()));
        outcomes
    }

    async fn receive(
        &self,
        address: &str,
        requests: Vec<PipelineRequest>,
        deadline: Instant,
        wanted: usize,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut client = self.connections.cache(address)?;
        let failed = |status| error_of(address, &status);
        let call = client.pipeline(timed(stream::iter(requests), left));
        let mut answers = call.await.map_err(failed)?.into_inner();
        while let Some(answer) = answers.message().await.map_err(failed)? {
            let room = wanted - outcomes.len();
            let read = answer.results.into_iter().take(room);
            outcomes.extend(read.map(|result| outcome_from_pb(result).map_err(Error::from)));
            if outcomes.len() == wanted {
                break;
            }
        }
        Ok(())
    }

    /// Keeps a result, or decides that the operation is sent again.
    fn settle(
        &self,
        sent: Sent,
        outcome: Outcome,
        deadline: Instant,
        results: &mut [Option<Outcome>],
        next: &mut Round,
    ) {
        let Sent {
            mut pending,
            target,
        } = sent;
        let error = match &outcome {
            Ok(answer) => {
                results[pending.index] = Some(pending.attempts.judge(answer.clone()));
                return;
            }
            Err(error) => error,
        };
        if pending.operation.is_read() && next.shrink_for(error) {
            next.keep(pending, Duration::ZERO);
            return;
        }
        match self.after(
            &mut pending.attempts,
            &pending.operation,
            &target,
            error,
            deadline,
        ) {
            Next::GiveUp => results[pending.index] = Some(outcome),
            Next::Redirect => next.keep(pending, Duration::ZERO),
            Next::Retry(pause) | Next::Refresh(pause) => next.keep(pending, pause),
        }
    }
}
