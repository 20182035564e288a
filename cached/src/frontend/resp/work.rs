//! Takes one command after the other, answers what it can at once, and collects what
//! has to wait. Never waits itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Outcome};
use cached_proto::ring::slot_of;
use cached_proto::types::Key;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

use super::ahead::Known;
use super::args::Args;
use super::encode;
use super::errors::ErrorReply;
use super::pass::{Finished, Pass, Place, REPLY_BYTES_MAX, Waiting, all_replies, value_bytes};
use super::plan::{Plan, Then};
use super::reply::Reply;
use super::session::{Replies, RespParts, Session, Side};
use super::table::{CommandSpec, Flags, Handler, ParseData, command_of};
use super::tally::Tally;
use crate::clock::Moment;
use crate::command::Command;
use crate::requests::{Kind, Protocol};
use crate::router::Router;
use crate::router::fast::{FastRead, Here, KeySpot};

/// Passes that wait for other nodes at a time: enough to hide a round trip; when so
/// many wait, no more is read, so that a client that sends faster than its answers come
/// is slowed down by its own connection.
const PASSES_MAX: usize = 32;

/// Operations of one pass, about what one message between nodes holds.
const PASS_OPERATIONS_MAX: usize = 1024;

/// Bytes of commands that wait; one command may always wait, however long it is.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// What has become of a command.
pub(super) enum Took {
    /// It is answered, or will be in its turn.
    Done,
    /// It has to be taken again when something that waits is done.
    Held,
    /// It is answered by this, alone.
    Ask(BoxFuture<'static, Reply>),
}

/// The commands of one connection.
pub(super) struct Work {
    pub(super) session: Session,
    /// Replies to be written.
    pub(super) out: BytesMut,
    /// When the commands that are being taken were read.
    started: Moment,
    /// One was taken.
    taken: bool,
    pass: Pass,
    /// What waits, in the order in which it came.
    waiting: FuturesOrdered<BoxFuture<'static, Finished>>,
    /// What is done, and comes before all that waits.
    finished: VecDeque<Finished>,
    /// The keys that `waiting` and `finished` are about.
    keys: BTreeSet<Key>,
    bytes: usize,
    tally: Tally,
}

impl Work {
    pub(super) fn new(session: Session) -> Self {
        let started = session.parts.frontends.clock.now();
        let pass = Pass::new(session.group.clone(), session.route(), started);
        Self {
            session,
            out: BytesMut::new(),
            started,
            taken: false,
            pass,
            waiting: FuturesOrdered::new(),
            finished: VecDeque::new(),
            keys: BTreeSet::new(),
            bytes: 0,
            tally: Tally::default(),
        }
    }

    fn parts(&self) -> &Arc<RespParts> {
        &self.session.parts
    }

    /// Some commands are about to be taken.
    pub(super) fn begin(&mut self) {
        self.started = self.parts().frontends.clock.now();
        self.pass.begin(self.started);
        self.taken = false;
    }

    /// Whether a command was taken since.
    pub(super) fn has_taken(&self) -> bool {
        self.taken
    }

    /// Those were all for now: what has to wait starts to. False: answers must not go
    /// out, because this process was not sure of its slots while it made them.
    #[must_use]
    pub(super) fn end(&mut self) -> bool {
        self.launch();
        let frontends = &self.session.parts.frontends;
        if self.tally.is_empty() {
            return true;
        }
        let now = frontends.clock.now();
        if frontends.router.vouches(now) {
            self.tally.count(frontends, now.since(self.started));
            return true;
        }
        self.tally = Tally::default();
        false
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.pass.is_empty() && self.waiting.is_empty() && self.finished.is_empty()
    }

    /// Whether something is on its way to other nodes.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Resolves when one pass more is done, which is then the last of `finished`.
    /// Never, if none waits. Cancel-safe.
    pub(super) async fn progress(&mut self) {
        match self.waiting.next().await {
            Some(finished) => self.finished.push_back(finished),
            None => std::future::pending().await,
        }
    }

    /// The pass whose replies are next, if it is done.
    pub(super) fn next_finished(&mut self) -> Option<Finished> {
        let finished = self.finished.pop_front()?;
        self.keys.retain(|key| !finished.keys.contains(key));
        self.bytes -= finished.bytes;
        Some(finished)
    }

    /// Sends what was collected on its way.
    fn launch(&mut self) {
        if self.pass.is_empty() && self.pass.group() == &self.session.group {
            return;
        }
        let parts = Arc::clone(self.parts());
        let next = Pass::new(
            self.session.group.clone(),
            self.session.route(),
            self.started,
        );
        let pass = std::mem::replace(&mut self.pass, next);
        if pass.is_empty() {
            return;
        }
        self.keys.extend(pass.keys().iter().cloned());
        self.bytes += pass.bytes();
        let frontends = Arc::clone(&parts.frontends);
        self.waiting.push_back(Box::pin(pass.carry_out(frontends)));
    }

    /// Takes a command of so many bytes, of which that may be known already. `here` is
    /// kept from one to the next.
    pub(super) fn take<'r>(
        &mut self,
        args: &Args<'_>,
        bytes: usize,
        known: Known,
        router: &'r Router,
        here: &mut Option<Here<'r>>,
    ) -> Took {
        self.taken = true;
        let spec = match known.spec.map_or_else(|| command_of(args), Ok) {
            Ok(spec) => spec,
            Err(error) => {
                // A browser that was made to send a request here: it must not go on, or
                // its body is taken for commands.
                self.session.closing |= args.is(0, "post") || args.is(0, "host:");
                return self.failed(error);
            }
        };
        if let Err(error) = self.session.check(spec) {
            return self.failed(error);
        }
        match spec.handler {
            Handler::Get(parse) => {
                if let Some(here) = self.find_here(router, here)
                    && self.fast_get(args, known.spot, here)
                {
                    return Took::Done;
                }
                self.data(spec, parse, args, bytes)
            }
            Handler::Set(parse) => {
                if args.len() == 3
                    && let Some(here) = self.find_here(router, here)
                    && self.fast_set(args, known.spot, here)
                {
                    return Took::Done;
                }
                self.data(spec, parse, args, bytes)
            }
            Handler::Data(parse) => self.data(spec, parse, args, bytes),
            Handler::Session(answer) | Handler::ContainerOr(_, answer) => {
                let before = self.session.database;
                let reply = answer(&mut self.session, args).unwrap_or_else(Reply::Error);
                if before != self.session.database {
                    *here = None;
                    self.launch();
                }
                self.say(&reply);
                Took::Done
            }
            Handler::Ask(_) if !self.is_idle() => Took::Held,
            Handler::Ask(ask) => match ask(&self.session, args) {
                Ok(answer) => Took::Ask(answer),
                Err(error) => self.failed(error),
            },
            Handler::Container(_) => self.failed(ErrorReply::arity(spec.name)),
        }
    }

    /// What plain commands have in common, if they can be carried out here.
    pub(super) fn find_here<'h, 'r>(
        &self,
        router: &'r Router,
        here: &'h mut Option<Here<'r>>,
    ) -> Option<&'h Here<'r>> {
        if here.is_none() {
            *here = router.here(&self.session.group, self.started);
        }
        here.as_ref()
    }

    /// Whether a key may be touched now, although something waits.
    fn is_free(&self, key: &[u8]) -> bool {
        if self.is_idle() {
            return true;
        }
        let Ok(key) = Key::new(bytes::Bytes::copy_from_slice(key)) else {
            return true;
        };
        !self.keys.contains(&key) && !self.pass.waits_for(&key)
    }

    fn fast_get(&mut self, args: &Args<'_>, spot: Option<KeySpot>, here: &Here<'_>) -> bool {
        let key = args.get(1);
        if self.session.replies != Replies::On || !self.is_free(key) {
            return false;
        }
        let version = self.session.version;
        let out = self.sink();
        match here.get(key, spot, |value| encode::bulk(value, out)) {
            FastRead::Hit => self.tally.hits += 1,
            FastRead::Miss => {
                self.tally.misses += 1;
                encode::null(version, self.sink());
            }
            FastRead::NotHere => return false,
        }
        true
    }

    fn fast_set(&mut self, args: &Args<'_>, spot: Option<KeySpot>, here: &Here<'_>) -> bool {
        let (key, value) = (args.get(1), args.get(2));
        if self.session.replies != Replies::On || !self.is_free(key) {
            return false;
        }
        // A value with a buffer of its own is kept rather than copied.
        if args.is_shared() || !here.set(key, spot, value) {
            return false;
        }
        self.tally.sets += 1;
        encode::simple("OK", self.sink());
        true
    }

    /// Where the next reply is spelled.
    fn sink(&mut self) -> &mut BytesMut {
        if self.is_idle() {
            &mut self.out
        } else {
            self.pass.text()
        }
    }

    /// Spells a reply in its turn, if it is wanted.
    pub(super) fn say(&mut self, reply: &Reply) {
        if !self.is_silent() {
            let version = self.session.version;
            reply.encode(version, self.sink());
        }
    }

    /// Whether the client does not want the reply to the command that is taken.
    fn is_silent(&mut self) -> bool {
        match self.session.replies {
            Replies::On => false,
            Replies::Off => true,
            Replies::SkipNext => {
                self.session.replies = Replies::Skip;
                true
            }
            Replies::Skip => {
                self.session.replies = Replies::On;
                true
            }
        }
    }

    fn failed(&mut self, error: ErrorReply) -> Took {
        self.say(&Reply::Error(error));
        Took::Done
    }

    fn data(
        &mut self,
        spec: &CommandSpec,
        parse: ParseData,
        args: &Args<'_>,
        bytes: usize,
    ) -> Took {
        if self.is_full(bytes) {
            return Took::Held;
        }
        if let Err(error) = self.check_slots(spec, args) {
            return self.failed(error);
        }
        let context = self.session.context();
        match parse(args, &context) {
            Err(error) => self.failed(error),
            Ok(Plan::Answer(reply)) => {
                self.say(&reply);
                Took::Done
            }
            Ok(Plan::Run { operations, then }) => self.run(spec, operations, then, bytes),
        }
    }

    /// Whether a command of so many bytes has to wait before it may.
    fn is_full(&self, bytes: usize) -> bool {
        if self.is_idle() {
            return false;
        }
        let held = self.bytes + self.pass.bytes();
        self.waiting.len() + self.finished.len() >= PASSES_MAX
            || self.pass.len() >= PASS_OPERATIONS_MAX
            || held + bytes > WAITING_BYTES_MAX
    }

    /// A cluster client's keys lie in one slot: others may be other nodes' tomorrow.
    fn check_slots(&self, spec: &CommandSpec, args: &Args<'_>) -> Result<(), ErrorReply> {
        if self.parts().side == Side::Plain {
            return Ok(());
        }
        let mut keys = spec.keys(args.len());
        let (first, rest) = (keys.next(), keys);
        let hash = self.parts().frontends.router.hash();
        let slot = |index: usize| slot_of(hash, args.get(index));
        let Some(first) = first.map(slot) else {
            return Ok(());
        };
        for index in rest {
            if slot(index) != first {
                return Err(ErrorReply::CROSSSLOT);
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        spec: &CommandSpec,
        operations: Vec<Operation>,
        then: Then,
        bytes: usize,
    ) -> Took {
        let busy = |operation: &Operation| operation.keys().any(|key| self.keys.contains(key));
        if !self.keys.is_empty() && operations.iter().any(busy) {
            return Took::Held;
        }
        let writes = spec.flags.has(Flags::WRITE);
        let places: Vec<Place> = operations
            .into_iter()
            .map(|operation| self.attempt(operation))
            .collect();
        let waits = places.iter().any(|place| matches!(place, Place::Todo(..)));
        let silent = self.is_silent();
        if waits {
            let command = Waiting {
                places,
                then,
                version: self.session.version,
                silent,
                writes,
            };
            self.pass.push(command, bytes);
            return Took::Done;
        }
        let done = |place| match place {
            Place::Done(outcome) => Some(outcome),
            Place::Todo(..) => None,
        };
        let outcomes = places.into_iter().filter_map(done).collect();
        let reply = self.reply(outcomes, then, writes);
        if !silent {
            let version = self.session.version;
            reply.encode(version, self.sink());
        }
        Took::Done
    }

    /// Carries an operation out if that needs nobody else, and nothing before it on
    /// the same key waits.
    fn attempt(&mut self, operation: Operation) -> Place {
        if operation.keys().any(|key| self.pass.waits_for(key)) {
            return self.pass.add(operation);
        }
        let parts = Arc::clone(self.parts());
        let frontends = &parts.frontends;
        let kind = Kind::of(&operation);
        let command = Command {
            group: self.session.group.clone(),
            operation,
            route: self.session.route(),
            deadline: frontends.deadline(self.started, None),
        };
        match frontends.router.try_local(&command) {
            Some(outcome) => {
                frontends.count(Protocol::Resp, kind, &outcome, self.started);
                Place::Done(outcome)
            }
            None => self.pass.add(command.operation),
        }
    }

    /// What a command is answered with.
    pub(super) fn reply(&self, outcomes: Vec<Outcome>, then: Then, writes: bool) -> Reply {
        let bytes: usize = outcomes.iter().map(value_bytes).sum();
        if outcomes.len() > 1 && bytes > REPLY_BYTES_MAX {
            let text = format!(
                "ERR the values of this reply have {bytes} bytes; the limit is \
                 {REPLY_BYTES_MAX}: ask for fewer keys at a time"
            );
            return Reply::Error(ErrorReply::new(text));
        }
        match all_replies(outcomes, writes) {
            Ok(replies) => then(replies),
            Err(failure) => Reply::Error(self.error(&failure)),
        }
    }

    /// A failure in the words that a client of this listener looks at.
    fn error(&self, failure: &Failure) -> ErrorReply {
        let Some(hint) = &failure.owner else {
            return ErrorReply::from(failure);
        };
        if failure.code != FailureCode::WrongOwner {
            return ErrorReply::from(failure);
        }
        let router = &self.parts().frontends.router;
        match router.resp_cluster_address(&hint.owner) {
            Some(address) => ErrorReply::new(format!("MOVED {} {address}", hint.slot)),
            None => {
                let name = &hint.owner.name;
                let text = format!(
                    "CLUSTERDOWN Hash slot not served: slot {} is owned by {name}, which has no \
                     listener for cluster clients (--resp-cluster)",
                    hint.slot
                );
                ErrorReply::new(text)
            }
        }
    }
}
