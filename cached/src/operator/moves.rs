//! The streams on which slots are received, as front ends hand them in. Calls no other
//! node.

use std::sync::Arc;

use cached_proto::convert::member_id;
use cached_proto::failure::Failure;
use cached_proto::pb::cached::peer::v1::{MoveRequest, MoveResponse, move_request};
use cached_proto::types::{Invalid, MemberId};
use futures_util::future::{Either, ready};
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;

use super::Operator;
use crate::peers::moving;

/// What one message, and a failed stream, are answered with.
type Answer = Result<MoveResponse, Failure>;

impl Operator {
    /// Receives slots: answers the messages of one stream, whose first is the offer and
    /// says who sends.
    pub fn receive_move(
        self: Arc<Self>,
        mut messages: BoxStream<'static, MoveRequest>,
    ) -> BoxStream<'static, Answer> {
        let begin = async move {
            let first = messages.next().await;
            match self.sender_of(first.as_ref()) {
                Ok(from) => {
                    let messages = stream::iter(first).chain(messages);
                    Either::Left(self.receive_from(from, messages.boxed()))
                }
                Err(failure) => Either::Right(stream::once(ready(Err(failure)))),
            }
        };
        stream::once(begin).flatten().boxed()
    }

    fn sender_of(&self, first: Option<&MoveRequest>) -> Result<MemberId, Failure> {
        let Some(move_request::Step::Offer(offer)) = first.and_then(|first| first.step.as_ref())
        else {
            return Err(Invalid::new("step", "of the first message must be an offer").into());
        };
        self.check_header(offer.header.as_ref())?;
        let header = offer.header.clone().unwrap_or_default();
        Ok(member_id(&header.name, &header.incarnation)?)
    }

    fn receive_from(
        &self,
        from: MemberId,
        messages: BoxStream<'static, MoveRequest>,
    ) -> BoxStream<'static, Answer> {
        // What cannot be read ends the stream: for the receiver it then broke, and the
        // sender is told why in the end.
        let problem: Arc<Mutex<Option<Failure>>> = Arc::default();
        let (found, sender) = (problem.clone(), from.clone());
        let read = messages.map(move |message| {
            let message = moving::request_from_pb(message, &sender);
            message.map_err(|invalid| *found.lock() = Some(invalid.into()))
        });
        let read = read.take_while(|read| ready(read.is_ok()));
        let read = read.filter_map(|read| ready(read.ok()));
        let answers = self.parts.transfers.receive(from, read.boxed());
        let answers = answers.map(|answer| Ok(moving::response_to_pb(answer)));
        let last = stream::once(async move { problem.lock().take().map(Err) });
        answers.chain(last.filter_map(ready)).boxed()
    }
}
