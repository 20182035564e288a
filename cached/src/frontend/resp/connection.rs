//! One connection's bytes: read, gone through, answered in one write; nothing is read
//! while too much waits to be written or carried out.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Outcome, Route};
use cached_proto::types::GroupName;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ahead::{Ahead, Known};
use super::args::{Args, Frame};
use super::decode::{DecodeLimits, Decoded, Decoder, ProtocolError};
use super::ending::Ending;
use super::errors::ErrorReply;
use super::pass::{Finished, Part, Place, REPLY_BYTES_MAX, is_withheld, value_bytes};
use super::reply::Reply;
use super::session::Session;
use super::unfinished::{FREE_BYTES, Held};
use super::work::{Took, Work};
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::Limits;
use crate::frontend::server::Activity;
use crate::requests::{Kind, Protocol};
use crate::router::Router;
use crate::router::fast::Here;
use crate::tasks::Stop;

/// Replies that are collected before they are written, though more could be answered:
/// a connection holds about so much, and one reply beyond it.
const OUT_BYTES_MAX: usize = 1 << 20;

/// How long a client may take nothing of its answers before it is cut off: far beyond
/// any hiccup of a network, and short enough that what it holds is given back.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Room for one read: at first, and when the last reads have filled what there was.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// Commands from this size on get a buffer of their own, which values then share.
const OWN_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes of a command beyond its longest value: names, options, and other keys.
const COMMAND_SLACK_BYTES: usize = 1 << 20;

/// Longest command where values are short: many of them in one `MSET`.
const COMMAND_BYTES_MIN: usize = 64 << 20;

/// What one connection may send.
pub(super) fn decode_limits(limits: &Limits) -> DecodeLimits {
    let longest = limits.value_bytes_max + COMMAND_SLACK_BYTES;
    DecodeLimits {
        word_bytes_max: longest,
        command_bytes_max: longest.max(COMMAND_BYTES_MIN) + COMMAND_SLACK_BYTES,
    }
}

/// What all connections together may hold of commands whose end has not come: an eighth
/// of the node's memory, and a longest command in any case, whose buffer grows by doubling.
pub fn unfinished_bytes_max(limits: &Limits, memory_bytes: u64) -> u64 {
    let longest = decode_limits(limits).command_bytes_max as u64;
    (memory_bytes / 8).max(2 * longest)
}

/// What to do after going through what was read.
enum Next {
    /// Read more.
    Read,
    /// Write first: enough is to be said.
    Write,
    /// Wait until something is done.
    Wait,
    /// Ask, and say the answer. Nothing waits.
    Ask(BoxFuture<'static, Reply>),
    /// Write what is to be said, and end.
    End,
}

/// One connection.
pub(super) struct Connection<I> {
    stream: I,
    activity: Arc<Activity>,
    decoder: Decoder,
    input: BytesMut,
    /// The commands with which `input` begins.
    ahead: Ahead,
    /// What `input` counts with among all connections'.
    held: Held,
    read_bytes: usize,
    work: Work,
}

impl<I: AsyncRead + AsyncWrite + Send + Unpin> Connection<I> {
    pub(super) fn new(stream: I, session: Session, activity: Arc<Activity>) -> Self {
        let limits = decode_limits(&session.parts.frontends.limits);
        Self {
            stream,
            activity,
            decoder: Decoder::new(limits),
            input: BytesMut::new(),
            ahead: Ahead::default(),
            held: Held::nothing(Arc::clone(&session.parts.unfinished)),
            read_bytes: READ_BYTES_MIN,
            work: Work::new(session),
        }
    }

    /// Answers until the client ends it, or `stop` does.
    pub(super) async fn run(mut self, stop: Stop) -> io::Result<()> {
        let stopped = pin!(stop.stopped());
        let mut ending = Ending::new(&stop, stopped);
        let parts = Arc::clone(&self.work.session.parts);
        let router = &parts.frontends.router;
        // A pool opens connections that it may need: silence is no slow request.
        drop(self.activity.begin());
        let mut answering = None;
        loop {
            let next = self.take_in(router)?;
            if self.work.has_taken() {
                answering.get_or_insert_with(|| self.activity.begin());
            }
            while let Some(finished) = self.work.next_finished() {
                self.answer(finished).await?;
            }
            let idle = self.work.is_idle();
            if idle && !matches!(next, Next::Ask(_)) && answering.take().is_some() {
                // What is left is the beginning of a command, and its end is awaited.
                if !self.input.is_empty() {
                    self.activity.begun_to_arrive();
                }
            }
            self.write().await?;
            match next {
                Next::Ask(ask) => {
                    let reply = ask.await;
                    self.work.say(&reply);
                }
                Next::End if idle => return self.stream.shutdown().await,
                Next::Wait | Next::End if !idle => self.work.progress().await,
                Next::Wait | Next::Write | Next::End => {}
                Next::Read if ending.is_there() => self.work.session.closing = true,
                Next::Read => self.read(&mut ending).await?,
            }
        }
    }

    /// Goes through what was read, up to something that has to be waited for.
    fn take_in(&mut self, router: &Router) -> io::Result<Next> {
        let mut here = None;
        self.work.begin();
        let next = loop {
            if self.work.session.closing {
                break Next::End;
            }
            if self.work.out.len() >= OUT_BYTES_MAX {
                break Next::Write;
            }
            if let Some(next) = self.take_one(router, &mut here) {
                break next;
            }
        };
        if self.work.end() {
            return Ok(next);
        }
        // Nobody knows what of it was applied, and a lost connection says just that.
        let text = "this node was not sure of its slots while it answered";
        Err(io::Error::other(text))
    }

    /// Takes the next command, if it is there; `None`: another may follow.
    fn take_one<'r>(&mut self, router: &'r Router, here: &mut Option<Here<'r>>) -> Option<Next> {
        let stranger = self.work.session.is_stranger();
        if self.ahead.next().is_none() {
            if stranger {
                return self.take_other(stranger, router, here);
            }
            self.ahead
                .find(&mut self.decoder, &self.input, OWN_BUFFER_BYTES);
            let work = &self.work;
            self.ahead
                .fetch(&self.input, here, |here| work.find_here(router, here));
        } else if stranger {
            self.ahead.forget();
            self.decoder.restart();
        }
        let Some(found) = self.ahead.next() else {
            return self.take_other(stranger, router, here);
        };
        let frame = Frame::Borrowed(&self.input[..found.bytes]);
        let args = Args::new(frame, self.ahead.spans(&found));
        let took = (self.work).take(&args, found.bytes, found.known, router, here);
        let next = match took {
            Took::Held => return Some(Next::Wait),
            Took::Ask(ask) => Some(Next::Ask(ask)),
            Took::Done => None,
        };
        self.ahead.advance();
        self.input.advance(found.bytes);
        next
    }

    /// Takes what is no multibulk command of everyday length, or the first words of one
    /// who has not said who he is.
    fn take_other<'r>(
        &mut self,
        stranger: bool,
        router: &'r Router,
        here: &mut Option<Here<'r>>,
    ) -> Option<Next> {
        let (bytes, inline) = match self.decoder.decode(&self.input, stranger) {
            Ok(Decoded::Partial) => return Some(Next::Read),
            Ok(Decoded::Blank(bytes)) => {
                self.input.advance(bytes);
                return None;
            }
            Ok(Decoded::Command(bytes)) => (bytes, false),
            Ok(Decoded::Inline(bytes)) => (bytes, true),
            Err(ProtocolError(text)) => {
                self.work.say(&Reply::Error(ErrorReply::new(text)));
                self.work.session.closing = true;
                return Some(Next::End);
            }
        };
        let spans = self.decoder.spans();
        let known = Known::default();
        if bytes >= OWN_BUFFER_BYTES {
            // What is taken when nothing waits is never held.
            if !self.work.is_idle() {
                return Some(Next::Wait);
            }
            let frame = self.input.split_to(bytes).freeze();
            let args = Args::new(Frame::Shared(&frame), spans);
            return match self.work.take(&args, bytes, known, router, here) {
                Took::Ask(ask) => Some(Next::Ask(ask)),
                Took::Done | Took::Held => None,
            };
        }
        let frame = if inline {
            self.decoder.inline()
        } else {
            &self.input[..bytes]
        };
        let args = Args::new(Frame::Borrowed(frame), spans);
        let next = match self.work.take(&args, bytes, known, router, here) {
            Took::Held => return Some(Next::Wait),
            Took::Ask(ask) => Some(Next::Ask(ask)),
            Took::Done => None,
        };
        self.input.advance(bytes);
        next
    }

    /// Reads what is there, or waits for it; ends earlier when something is done, or
    /// everything shall end. Cancel-safe.
    async fn read(&mut self, ending: &mut Ending<'_, impl Future<Output = ()>>) -> io::Result<()> {
        if self.input.is_empty() && self.input.capacity() > READ_BYTES_MAX {
            self.input = BytesMut::new();
        }
        self.input.reserve(self.read_bytes);
        if !self.held.set(self.input.capacity()) && !self.hold_little() {
            return Ok(());
        }
        let waits = !self.work.is_idle();
        let read = tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => read?,
            () = self.work.progress(), if waits => return Ok(()),
            () = ending.come(), if !waits => 0,
        };
        if read == 0 {
            self.work.session.closing = true;
        }
        if read >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Ok(())
    }

    /// All connections together hold too much: this one goes on with a small buffer, or
    /// ends where the beginning of its command is large already.
    fn hold_little(&mut self) -> bool {
        self.read_bytes = READ_BYTES_MIN;
        if self.input.len() + READ_BYTES_MIN > FREE_BYTES {
            let limit = self.work.session.parts.unfinished.limit();
            let text = format!(
                "ERR this node holds {limit} bytes of commands whose end has not come, the most \
                 it may: this one was not carried out; try again"
            );
            self.input = BytesMut::new();
            self.work.say(&Reply::Error(ErrorReply::new(text)));
            self.work.session.closing = true;
            return false;
        }
        let mut input = BytesMut::with_capacity(self.input.len() + READ_BYTES_MIN);
        input.extend_from_slice(&self.input);
        self.input = input;
        self.held.set(self.input.capacity())
    }

    /// Writes all that is to be said.
    async fn write(&mut self) -> io::Result<()> {
        if self.work.out.is_empty() {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.work.out);
        loop {
            let written = match write_some(&mut self.stream, &mut out).now_or_never() {
                Some(written) => written?,
                None => self.write_slowly(&mut out).await?,
            };
            if written {
                break;
            }
        }
        if out.capacity() <= READ_BYTES_MAX {
            self.work.out = out;
        }
        Ok(())
    }

    /// Waits for a client that takes its answers more slowly than they are made. What
    /// waits for other nodes goes on meanwhile.
    async fn write_slowly(&mut self, out: &mut BytesMut) -> io::Result<bool> {
        let clock = &self.work.session.parts.frontends.clock.clone();
        let mut stalled = pin!(clock.sleep(WRITE_STALL_MAX));
        loop {
            let waits = self.work.waits();
            tokio::select! {
                biased;
                written = write_some(&mut self.stream, out) => return written,
                () = self.work.progress(), if waits => {}
                () = stalled.as_mut() => {
                    let text = format!("nothing of the answers was taken for {WRITE_STALL_MAX:?}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            }
        }
    }

    /// Spells the replies of a pass.
    async fn answer(&mut self, finished: Finished) -> io::Result<()> {
        let mut outcomes = finished.outcomes.into_iter();
        for part in finished.parts {
            match part {
                Part::Text(text) => self.work.out.extend_from_slice(&text),
                Part::Command(command) => {
                    let again = (&finished.group, finished.route);
                    let done = self.settle(command.places, &mut outcomes, again).await;
                    let reply = self.work.reply(done, command.then, command.writes);
                    if !command.silent {
                        reply.encode(command.version, &mut self.work.out);
                    }
                }
            }
            if self.work.out.len() >= OUT_BYTES_MAX {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// The outcomes of one command. Reads whose values were left out because of what
    /// else was asked with them are asked again, one at a time.
    async fn settle(
        &mut self,
        places: Vec<Place>,
        outcomes: &mut impl Iterator<Item = Outcome>,
        (group, route): (&GroupName, Route),
    ) -> Vec<Outcome> {
        let mut all = Vec::with_capacity(places.len());
        let mut bytes = 0;
        for place in places {
            let outcome = match place {
                Place::Done(outcome) => outcome,
                Place::Todo(kind, kept) => {
                    let outcome = outcomes.next().unwrap_or_else(|| Err(unanswered()));
                    match kept {
                        Some(operation) if is_withheld(&outcome) && bytes < REPLY_BYTES_MAX => {
                            let command = Command {
                                group: group.clone(),
                                operation,
                                route,
                                deadline: Moment::default(),
                            };
                            self.ask_again(kind, command).await
                        }
                        _ => outcome,
                    }
                }
            };
            bytes += value_bytes(&outcome);
            all.push(outcome);
        }
        all
    }

    /// Carries out one read by itself. What waits goes on meanwhile.
    async fn ask_again(&mut self, kind: Kind, mut command: Command) -> Outcome {
        let parts = Arc::clone(&self.work.session.parts);
        let frontends = &parts.frontends;
        let started = frontends.clock.now();
        command.deadline = frontends.deadline(started, None);
        let mut asked = pin!(frontends.router.execute(command));
        loop {
            let waits = self.work.waits();
            tokio::select! {
                biased;
                outcome = asked.as_mut() => {
                    frontends.count(Protocol::Resp, kind, &outcome, started);
                    return outcome;
                }
                () = self.work.progress(), if waits => {}
            }
        }
    }
}

/// Writes some of `out`; true: all of it has left.
async fn write_some<W>(stream: &mut W, out: &mut BytesMut) -> io::Result<bool>
where
    W: AsyncWrite + Unpin,
{
    if out.is_empty() {
        // An encrypted stream may still hold some of it.
        stream.flush().await?;
        return Ok(true);
    }
    // One piece, so none of what the system does for several.
    match stream.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        bytes => {
            out.advance(bytes);
            Ok(false)
        }
    }
}

fn unanswered() -> Failure {
    Failure::new(FailureCode::Internal, "one operation came to no outcome").maybe_applied()
}
