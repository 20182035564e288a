//! How rounds of operations reach servers: one file for each protocol.

mod codec;
mod grpc;
mod resp;
mod rest;

use bytes::Bytes;
use tokio::time::Instant;

use super::mix::Kind;
use super::record::Failed;

pub use grpc::Grpc;
pub use resp::Resp;
pub use rest::{Rest, RestOptions};

/// One operation of a round.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What to do.
    pub kind: Kind,
    /// Its key.
    pub key: Bytes,
    /// What to write; empty unless it is a set.
    pub value: Bytes,
    /// Number of the server that is asked.
    pub server: usize,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When that was known.
    pub at: Instant,
    /// Whether the key was found, where that is told; or why it failed.
    pub outcome: Result<Option<bool>, Failed>,
}

impl Heard {
    /// Known just now.
    fn now(outcome: Result<Option<bool>, Failed>) -> Self {
        let at = Instant::now();
        Self { at, outcome }
    }
}

/// The connections of one client.
#[derive(Debug)]
pub enum Wire {
    /// gRPC.
    Grpc(Grpc),
    /// HTTP/1.1.
    Rest(Rest),
    /// The Redis protocol.
    Resp(Resp),
}

impl Wire {
    /// Carries out a round: everything is sent at once, then all answers are awaited,
    /// each within the timeout. One answer for each operation, in the same order.
    pub async fn round(&mut self, asks: &[Ask]) -> Vec<Heard> {
        match self {
            Self::Grpc(wire) => wire.round(asks).await,
            Self::Rest(wire) => wire.round(asks).await,
            Self::Resp(wire) => wire.round(asks).await,
        }
    }
}

/// Operations of a round that travel in one message: their places in the round.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    server: usize,
    kind: Kind,
    places: Vec<usize>,
}

/// Cuts a round into messages of at most `batch` operations for one server each, in
/// order. `pure`: each message holds one kind of operation.
fn messages(asks: &[Ask], batch: usize, pure: bool) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for (place, ask) in asks.iter().enumerate() {
        let fits = |it: &&mut Message| {
            it.server == ask.server && (!pure || it.kind == ask.kind) && it.places.len() < batch
        };
        // Only the newest of its sort can have room.
        match messages.iter_mut().rev().find(fits) {
            Some(message) => message.places.push(place),
            None => messages.push(Message {
                server: ask.server,
                kind: ask.kind,
                places: vec![place],
            }),
        }
    }
    messages
}

/// Puts the answers to messages back into the order of the round.
fn in_order(
    count: usize,
    answers: impl IntoIterator<Item = (Vec<usize>, Vec<Heard>)>,
) -> Vec<Heard> {
    let mut heard: Vec<Option<Heard>> = vec![None; count];
    for (places, answers) in answers {
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(free) = heard.get_mut(place) {
                *free = Some(answer);
            }
        }
    }
    let nothing = || Heard::now(Err(Failed::new("lost", "no answer was heard")));
    heard
        .into_iter()
        .map(|it| it.unwrap_or_else(nothing))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: Kind, server: usize) -> Ask {
        Ask {
            kind,
            key: Bytes::new(),
            value: Bytes::new(),
            server,
        }
    }

    #[test]
    fn rounds_are_cut_by_server_kind_and_length() {
        use Kind::{Get, Set};
        let round = [(Get, 0), (Get, 1), (Set, 0), (Get, 0), (Get, 0)].map(|(k, s)| ask(k, s));
        let places = |batch, pure| {
            let cut = messages(&round, batch, pure);
            cut.into_iter().map(|it| it.places).collect::<Vec<_>>()
        };
        assert_eq!(places(1, false), [[0], [1], [2], [3], [4]]);
        assert_eq!(places(3, false), [vec![0, 2, 3], vec![1], vec![4]]);
        assert_eq!(places(9, true), [vec![0, 3, 4], vec![1], vec![2]]);
    }

    #[test]
    fn answers_return_to_their_places() {
        let heard = |found| Heard::now(Ok(Some(found)));
        let answers = [
            (vec![2, 0], vec![heard(true), heard(false)]),
            (vec![1], vec![]),
        ];
        let outcomes: Vec<_> = in_order(3, answers)
            .into_iter()
            .map(|it| it.outcome)
            .collect();
        assert_eq!(
            (&outcomes[0], &outcomes[2]),
            (&Ok(Some(false)), &Ok(Some(true)))
        );
        assert_eq!(outcomes[1].as_ref().unwrap_err().kind, "lost");
    }
}
