//! In front of the gRPC services: who may send a message at all, and how long one may
//! take to arrive. The services themselves see a call when its message is whole,
//! which is too late for either.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use hyper::body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::server::NamedService;
use tower::Service;

use crate::clock::Clock;
use crate::frontend::FrontendParts;
use crate::frontend::auth::Role;
use crate::frontend::status::to_status;

/// The calls whose messages come one by one for as long as the caller likes.
const STREAMED: [&str; 3] = [
    "/cached.cache.v1.Cache/Pipeline",
    "/cached.peer.v1.Peer/Forward",
    "/cached.peer.v1.Peer/Move",
];

/// A service behind its gate. On the path of every call: it costs no allocation where
/// no token is wanted and the message is there.
#[derive(Clone, Debug)]
pub(in crate::frontend) struct Gate<S> {
    service: S,
    parts: Arc<FrontendParts>,
    /// The least role for any of the service's calls; `None`: it wants no token.
    least: Option<Role>,
}

impl<S> Gate<S> {
    /// For who has a token of role read; which call needs more is for the service.
    pub(super) fn for_known(service: S, parts: &Arc<FrontendParts>) -> Self {
        Self {
            service,
            parts: Arc::clone(parts),
            least: Some(Role::Read),
        }
    }

    /// For everybody.
    pub(super) fn for_all(service: S, parts: &Arc<FrontendParts>) -> Self {
        Self {
            service,
            parts: Arc::clone(parts),
            least: None,
        }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<Punctual<B>>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(least) = self.least
            && let Err(failure) = self.parts.auth.check_headers(request.headers(), least)
        {
            return Either::Right(ready(Ok(to_status(failure).into_http())));
        }
        let streamed = STREAMED.contains(&request.uri().path());
        let timeout = (!streamed).then_some(self.parts.limits.body_timeout);
        let clock = &self.parts.clock;
        let request = request.map(|body| Punctual {
            body,
            timeout,
            clock: clock.clone(),
            over: None,
        });
        Either::Left(self.service.call(request))
    }
}

/// A body that fails when it takes too long to arrive as a whole.
pub(in crate::frontend) struct Punctual<B> {
    body: B,
    /// `None`: it may take as long as it likes.
    timeout: Option<Duration>,
    clock: Clock,
    /// Resolves when the time is over. Made when the body is first waited for: most
    /// are there at once, and need no timer.
    over: Option<BoxFuture<'static, ()>>,
}

impl<B> HttpBody for Punctual<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(timeout) = this.timeout else {
            return Poll::Pending;
        };
        let clock = &this.clock;
        let over = this.over.get_or_insert_with(|| {
            let clock = clock.clone();
            Box::pin(async move { clock.sleep(timeout).await })
        });
        over.as_mut().poll(cx).map(|()| Some(Err(late(timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn late(timeout: Duration) -> StdError {
    let message = format!("the message did not arrive within {timeout:?}; nothing was done");
    to_status(Failure::new(FailureCode::Deadline, message)).into()
}
