//! gRPC: unary calls, batches of one kind, or the Pipeline stream.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use cached_client::connections::{ConnectOptions, Connections};
use cached_client::direct::{Direct, Pipeline};
use cached_client::operation::{Answer, Condition, Operation, Reply};
use cached_client::types::{GroupName, Key, Ttl};
use cached_client::{Error, FailureCode};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Ask, Heard, Message, in_order, messages};
use crate::commands::bench::mix::Kind;
use crate::commands::bench::plan::Shape;
use crate::commands::bench::record::Failed;
use crate::commands::bench::targets::Targets;

/// Connections of one client to all nodes.
#[derive(Debug)]
pub struct Grpc {
    connections: Connections,
    targets: Rc<Targets>,
    group: GroupName,
    ttl: Option<Ttl>,
    timeout: Duration,
    shape: Shape,
    /// By number of the node; only with a pipeline.
    streams: BTreeMap<usize, Pipeline>,
}

impl Grpc {
    /// Connects when something is sent.
    pub fn new(
        connect: ConnectOptions,
        targets: Rc<Targets>,
        group: GroupName,
        ttl: Option<Ttl>,
        timeout: Duration,
        shape: Shape,
    ) -> Self {
        Self {
            connections: Connections::new(connect),
            targets,
            group,
            ttl,
            timeout,
            shape,
            streams: BTreeMap::new(),
        }
    }

    /// See [`super::Wire::round`].
    pub async fn round(&mut self, asks: &[Ask]) -> Vec<Heard> {
        let batch = usize::from(self.shape.batch);
        if self.shape.pipeline > 1 {
            return self.over_streams(asks, messages(asks, batch, false)).await;
        }
        let calls = messages(asks, batch, true)
            .into_iter()
            .map(|message| self.call(asks, message));
        in_order(asks.len(), join_all(calls).await)
    }

    /// A call for one message, unary where it holds one operation.
    async fn call(&self, asks: &[Ask], message: Message) -> (Vec<usize>, Vec<Heard>) {
        let direct = self.direct(message.server);
        let operations = self.operations(asks, &message);
        let answers = match operations {
            Err(failed) => vec![Err(failed); message.places.len()],
            Ok(mut operations) => match (self.shape.batch, operations.pop()) {
                (1, Some(one)) => vec![read(direct.execute(one).await)],
                (_, last) => {
                    operations.extend(last);
                    let answers = direct.batch(operations).await;
                    answers.into_iter().map(read).collect()
                }
            },
        };
        let heard = answers.into_iter().map(Heard::now).collect();
        (message.places, heard)
    }

    /// The messages of each node over its stream, all nodes at the same time.
    async fn over_streams(&mut self, asks: &[Ask], messages: Vec<Message>) -> Vec<Heard> {
        let mut by_server: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
        for message in messages {
            by_server.entry(message.server).or_default().push(message);
        }
        let mut streams = std::mem::take(&mut self.streams);
        let exchanges = by_server.into_iter().map(|(server, messages)| {
            let stream = streams.remove(&server);
            self.exchange(asks, server, messages, stream)
        });
        let exchanged = join_all(exchanges).await;
        let mut answers = Vec::new();
        for (server, stream, heard) in exchanged {
            answers.extend(heard);
            streams.extend(stream.map(|stream| (server, stream)));
        }
        self.streams = streams;
        in_order(asks.len(), answers)
    }

    /// Sends messages over one stream, which is opened where there is none, and hears
    /// the answers. A stream that failed is not given back.
    async fn exchange(
        &self,
        asks: &[Ask],
        server: usize,
        messages: Vec<Message>,
        stream: Option<Pipeline>,
    ) -> (usize, Option<Pipeline>, Vec<(Vec<usize>, Vec<Heard>)>) {
        let deadline = Instant::now() + self.timeout;
        let mut heard = Vec::new();
        let sent = self.send(asks, server, &messages, stream).await;
        let (mut stream, mut failed) = match sent {
            Ok(stream) => (Some(stream), None),
            Err(failed) => (None, Some(failed)),
        };
        for message in messages {
            let count = message.places.len();
            let answers = match (&mut stream, &failed) {
                (Some(stream), None) => stream.next(deadline).await,
                _ => Ok(Vec::new()),
            };
            let answers: Vec<_> = match answers {
                Ok(answers) => answers.into_iter().map(read).collect(),
                Err(error) => {
                    failed = Some(failed_of(&error));
                    Vec::new()
                }
            };
            if answers.len() != count && failed.is_none() {
                failed = Some(Failed::new("lost", "a message of the wrong length came"));
            }
            let unheard = failed
                .clone()
                .map(|failed| Heard::now(Err(failed)))
                .unwrap_or_else(|| Heard::now(Ok(None)));
            let mut known: Vec<Heard> = answers.into_iter().map(Heard::now).collect();
            known.resize(count, unheard);
            heard.push((message.places, known));
        }
        (server, stream.filter(|_| failed.is_none()), heard)
    }

    async fn send(
        &self,
        asks: &[Ask],
        server: usize,
        messages: &[Message],
        stream: Option<Pipeline>,
    ) -> Result<Pipeline, Failed> {
        let room = usize::from(self.shape.pipeline);
        let stream = match stream {
            Some(stream) => stream,
            None => self
                .direct(server)
                .pipeline(room)
                .await
                .map_err(|error| failed_of(&error))?,
        };
        for message in messages {
            let operations = self.operations(asks, message)?;
            let sent = tokio::time::timeout(self.timeout, stream.send(operations)).await;
            let sent = sent.map_err(|_| Failed::new("timeout", "the node takes no more"))?;
            sent.map_err(|error| failed_of(&error))?;
        }
        Ok(stream)
    }

    fn direct(&self, server: usize) -> Direct {
        let address = self.targets.address(server);
        Direct::new(
            self.connections.clone(),
            address,
            self.group.clone(),
            self.timeout,
        )
    }

    fn operations(&self, asks: &[Ask], message: &Message) -> Result<Vec<Operation>, Failed> {
        let places = message.places.iter().filter_map(|place| asks.get(*place));
        places.map(|ask| self.operation(ask)).collect()
    }

    fn operation(&self, ask: &Ask) -> Result<Operation, Failed> {
        let key = Key::new(ask.key.clone())
            .map_err(|invalid| Failed::new("invalid", invalid.to_string()))?;
        Ok(match ask.kind {
            Kind::Get => Operation::Get {
                key,
                no_load: true,
                metadata_only: false,
            },
            Kind::Set => Operation::Set {
                key,
                value: ask.value.clone(),
                ttl: self.ttl,
                condition: Condition::Always,
            },
            Kind::Delete => Operation::Delete {
                key,
                condition: Condition::Always,
            },
        })
    }
}

fn read(answer: Result<Answer, Error>) -> Result<Option<bool>, Failed> {
    match answer.map_err(|error| failed_of(&error))?.reply {
        Reply::Get(entry) => Ok(Some(entry.is_some())),
        Reply::Delete { deleted, .. } => Ok(Some(deleted)),
        Reply::Set { .. } => Ok(None),
        other => Err(Failed::new("internal", format!("answered {other:?}"))),
    }
}

fn failed_of(error: &Error) -> Failed {
    let kind = match error {
        Error::Failed(failure) => word(failure.code),
        Error::Invalid(_) => "invalid".to_owned(),
        Error::Unreachable(_) => "unreachable".to_owned(),
        Error::Lost { timed_out, .. } => if *timed_out { "timeout" } else { "lost" }.to_owned(),
    };
    Failed::new(kind, error.to_string())
}

/// `OutOfMemory` -> `out_of_memory`, as REST spells it.
fn word(code: FailureCode) -> String {
    let mut word = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_as_rest_does() {
        assert_eq!(word(FailureCode::OutOfMemory), "out_of_memory");
        assert_eq!(word(FailureCode::Busy), "busy");
    }
}
