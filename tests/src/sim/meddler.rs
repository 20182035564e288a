//! Stands between a node and the registry, and makes it slow, deaf or a liar.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use cached_proto::table::PageIndex;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

use super::jam::{self, Jams};
use super::liar;

/// How much later than half a second a late call may be done: it may be long after who
/// made it has given it up, and looked.
const LATE_MAX: Duration = Duration::from_secs(9);

/// What is wrong with the registry as one node sees it. Chances are 0..1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Every call takes so much longer, at most.
    pub delay: Duration,
    /// A call is refused and does nothing.
    pub refuse: f64,
    /// A call is never answered and does nothing.
    pub lose_request: f64,
    /// A call is done and never answered.
    pub lose_answer: f64,
    /// A call is never answered, and done some seconds later.
    pub late: f64,
    /// Calls other than transactions are well: so the registry seems quick to those who
    /// commit.
    pub writes_only: bool,
    /// Watch events are lost.
    pub lose_events: f64,
    /// Watch events come twice.
    pub double_events: f64,
    /// Watches say nothing.
    pub silent: bool,
    /// Keep-alives are acknowledged whatever has become of the lease.
    pub false_acks: bool,
}

/// Sets the faults of one node.
#[derive(Debug)]
pub struct Switch {
    /// What is wrong with transactions that change some pages.
    pub jams: Jams,
    faults: Mutex<Faults>,
    chance: Mutex<StdRng>,
    /// How often watches ended.
    ends: watch::Sender<u64>,
}

/// What becomes of a call.
enum Fate {
    Pass,
    Refuse,
    LoseRequest,
    LoseAnswer,
    Late(Duration),
}

impl Switch {
    /// No faults; its chance comes from `seed`, and `pages` are those that can be jammed.
    pub fn new(seed: u64, pages: BTreeSet<PageIndex>) -> Arc<Self> {
        Arc::new(Self {
            jams: Jams::new(pages),
            faults: Mutex::default(),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            ends: watch::Sender::new(0),
        })
    }

    /// From now on these.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    /// Watches that are open now end: whoever has one reads everything anew.
    pub fn end_watches(&self) {
        self.ends.send_modify(|ends| *ends += 1);
    }

    /// Ends when a watch that begins now does.
    fn watch_ended(&self) -> Ended {
        let mut ends = self.ends.subscribe();
        Box::pin(async move {
            if ends.changed().await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn get(&self) -> Faults {
        self.faults.lock().unwrap().clone()
    }

    fn happens(&self, chance: f64) -> bool {
        chance > 0.0 && self.chance.lock().unwrap().random_bool(chance)
    }

    fn delay(&self, most: Duration) -> Duration {
        most.mul_f64(self.chance.lock().unwrap().random::<f64>())
    }

    fn fate(&self, faults: &Faults) -> Fate {
        if self.happens(faults.refuse) {
            Fate::Refuse
        } else if self.happens(faults.lose_request) {
            Fate::LoseRequest
        } else if self.happens(faults.lose_answer) {
            Fate::LoseAnswer
        } else if self.happens(faults.late) {
            Fate::Late(Duration::from_millis(500) + self.delay(LATE_MAX))
        } else {
            Fate::Pass
        }
    }
}

/// Passes one node's calls on.
#[derive(Clone)]
pub struct Meddler {
    registry: Channel,
    switch: Arc<Switch>,
}

impl Meddler {
    /// In front of this registry.
    pub fn new(registry: Channel, switch: Arc<Switch>) -> Self {
        Self { registry, switch }
    }

    async fn pass(self, request: Request<Body>) -> Response<Body> {
        let request = request.map(tonic::body::Body::new);
        match self.registry.oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => refusal(&error.to_string()),
        }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let faults = self.switch.get();
        let switch = self.switch.clone();
        tokio::time::sleep(switch.delay(faults.delay)).await;
        let (request, jammed) = match request.uri().path().ends_with("/Txn") {
            true => switch.jams.look(request).await,
            false => (request, None),
        };
        match jammed {
            Some(jam::Fate::Lost) => return std::future::pending().await,
            Some(jam::Fate::DoneAfter(after)) => return self.pass_late(request, after).await,
            None => {}
        }
        let path = request.uri().path();
        if path.ends_with("/Watch") {
            let answer = self.pass(request).await;
            return answer.map(|body| Body::new(Meddled::new(body, switch)));
        }
        if path.ends_with("/LeaseKeepAlive") && faults.false_acks {
            return liar::acknowledge(request).await;
        }
        let fate = match faults.writes_only && !path.ends_with("/Txn") {
            true => Fate::Pass,
            false => switch.fate(&faults),
        };
        match fate {
            Fate::Pass => self.pass(request).await,
            Fate::Refuse => refusal("the registry is not well"),
            Fate::LoseRequest => std::future::pending().await,
            Fate::LoseAnswer => {
                self.pass(request).await;
                std::future::pending().await
            }
            Fate::Late(after) => self.pass_late(request, after).await,
        }
    }

    /// Passes a call on after some time, even if its caller does not wait, and does not
    /// answer.
    async fn pass_late(self, request: Request<Body>, after: Duration) -> Response<Body> {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            self.pass(request).await;
        });
        std::future::pending().await
    }
}

fn refusal(why: &str) -> Response<Body> {
    Status::unavailable(why).into_http()
}

impl Service<Request<Body>> for Meddler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let meddler = self.clone();
        Box::pin(async move { Ok(meddler.answer(request).await) })
    }
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream of watch events that are lost, doubled or held back.
struct Meddled {
    body: Body,
    switch: Arc<Switch>,
    /// None once it has ended.
    ended: Option<Ended>,
    again: Option<Bytes>,
    /// Bytes of a message that further frames bring.
    unfinished: usize,
    /// The beginning of a message that was cut within its first bytes.
    prefix: Vec<u8>,
    silence: Option<Pin<Box<tokio::time::Sleep>>>,
    first: bool,
}

impl Meddled {
    fn new(body: Body, switch: Arc<Switch>) -> Self {
        Self {
            body,
            ended: Some(switch.watch_ended()),
            switch,
            again: None,
            unfinished: 0,
            prefix: Vec::new(),
            silence: None,
            first: true,
        }
    }

    /// Whether the frame holds whole messages only; keeps count otherwise.
    fn is_whole(&mut self, data: &[u8]) -> bool {
        let is_between = |this: &Self| this.unfinished == 0 && this.prefix.is_empty();
        let began_whole = is_between(self);
        let mut rest = data;
        while !rest.is_empty() {
            if self.unfinished > 0 {
                let step = rest.len().min(self.unfinished);
                self.unfinished -= step;
                rest = &rest[step..];
                continue;
            }
            // A message begins with a byte of flags and its length in four.
            self.prefix.push(rest[0]);
            rest = &rest[1..];
            if let [_, length @ ..] = &self.prefix[..]
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.unfinished = u32::from_be_bytes(length) as usize;
                self.prefix.clear();
            }
        }
        began_whole && is_between(self)
    }

    /// Whether the stream is silent now; then it wakes up to look again.
    fn is_silent(&mut self, context: &mut Context<'_>) -> bool {
        while self.switch.get().silent {
            let silence = self
                .silence
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(1))));
            if silence.as_mut().poll(context).is_pending() {
                return true;
            }
            self.silence = None;
        }
        false
    }
}

impl HttpBody for Meddled {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let Some(ended) = &mut self.ended else {
            return Poll::Ready(None);
        };
        if ended.as_mut().poll(context).is_ready() {
            self.ended = None;
            let why = "the registry ends this watch";
            return Poll::Ready(Some(Err(axum::Error::new(why))));
        }
        if let Some(again) = self.again.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(again))));
        }
        loop {
            if !self.first && self.is_silent(context) {
                return Poll::Pending;
            }
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(frame);
            };
            let Some(data) = frame.data_ref().cloned() else {
                return Poll::Ready(Some(Ok(frame)));
            };
            let whole = self.is_whole(&data);
            // The first message says that the watch was taken up.
            let first = std::mem::replace(&mut self.first, false);
            let faults = self.switch.get();
            if whole && !first && self.switch.happens(faults.lose_events) {
                continue;
            }
            if whole && !first && self.switch.happens(faults.double_events) {
                self.again = Some(data);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }
}
