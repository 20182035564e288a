//! The gRPC shell of Watch: one stream carries any number of watches.
//!
//! It is pulled by the client's reads: nothing is queued for a client that does not
//! read, it is told from the log when it comes back, or that the log is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use etcd_client::EventType;
use etcd_client::proto::{
    PbEvent, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse, PbWatchService,
};
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Shared;
use super::log::Event;
use super::requests::{header, pb_kv};
use super::services::{Answers, RegistryService};
use super::state::{Span, State};

/// Watches on one stream; a member has one.
pub(super) const WATCHES_MAX: usize = 64;

/// etcd's id in answers that are about the stream and not about one watch.
const STREAM_ID: i64 = -1;

#[async_trait]
impl PbWatchService for RegistryService {
    type WatchStream = Answers<PbWatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let start = (self.0.clone(), request.into_inner(), Watches::default());
        let answers = stream::unfold(start, |(shared, mut requests, mut watches)| async move {
            let answer = next_answer(&shared, &mut requests, &mut watches).await?;
            Some((answer, (shared, requests, watches)))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn next_answer(
    shared: &Arc<Shared>,
    requests: &mut Streaming<PbWatchRequest>,
    watches: &mut Watches,
) -> Option<Result<PbWatchResponse, Status>> {
    loop {
        // Registered before the log is read: a change in between wakes us again.
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if let Some(answer) = watches.next(&shared.state.lock()) {
            return Some(Ok(answer));
        }
        let request = tokio::select! {
            biased;
            () = shared.stop.stopped() => return None,
            request = requests.message() => request,
            () = changed => continue,
        };
        match request.transpose()? {
            Ok(request) => watches.take(request, &shared.state.lock()),
            Err(status) => return Some(Err(status)),
        }
    }
}

struct OneWatch {
    span: Span,
    /// Everything before this revision was told.
    next: i64,
}

/// The watches of one stream, and what is to be said on it. Pure.
#[derive(Default)]
pub(super) struct Watches {
    watches: BTreeMap<i64, OneWatch>,
    last_id: i64,
    /// At most one answer per request, and no request is read before they are sent.
    answers: VecDeque<PbWatchResponse>,
    progress_asked: bool,
}

impl Watches {
    pub(super) fn take(&mut self, request: PbWatchRequest, state: &State) {
        let revision = state.revision();
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(create)) => {
                self.last_id += 1;
                let watch_id = self.last_id;
                self.answers.push_back(PbWatchResponse {
                    created: true,
                    ..answer(watch_id, revision)
                });
                let unsupported = create.prev_kv || !create.filters.is_empty();
                if unsupported || create.watch_id != 0 || self.watches.len() >= WATCHES_MAX {
                    let why = "the embedded registry has no such watch, or no more of them";
                    return self
                        .answers
                        .push_back(cancelled(watch_id, revision, 0, why));
                }
                let from_now = revision + 1;
                let next = if create.start_revision > 0 {
                    create.start_revision
                } else {
                    from_now
                };
                let span = Span::new(create.key, create.range_end);
                self.watches.insert(watch_id, OneWatch { span, next });
            }
            Some(PbWatchRequestUnion::CancelRequest(cancel)) => {
                let removed = self.watches.remove(&cancel.watch_id);
                let answer = removed.map(|_| cancelled(cancel.watch_id, revision, 0, ""));
                self.answers.extend(answer);
            }
            Some(PbWatchRequestUnion::ProgressRequest(_)) => self.progress_asked = true,
            None => {}
        }
    }

    /// What is to be said now, if anything: answers, then changes, and progress only
    /// when there are no more of them.
    pub(super) fn next(&mut self, state: &State) -> Option<PbWatchResponse> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let revision = state.revision();
        let mut gone = None;
        for (id, watch) in &mut self.watches {
            match state.tell(&watch.span, watch.next) {
                Ok(told) => {
                    watch.next = told.next;
                    if !told.events.is_empty() {
                        let events = told.events.into_iter().map(pb_event).collect();
                        return Some(PbWatchResponse {
                            events,
                            ..answer(*id, revision)
                        });
                    }
                }
                Err(compacted) => {
                    let why = "etcdserver: mvcc: required revision has been compacted";
                    gone = Some(cancelled(*id, revision, compacted, why));
                    break;
                }
            }
        }
        if let Some(gone) = gone {
            self.watches.remove(&gone.watch_id);
            return Some(gone);
        }
        let progress = std::mem::take(&mut self.progress_asked);
        progress.then(|| answer(STREAM_ID, revision))
    }
}

fn answer(watch_id: i64, revision: i64) -> PbWatchResponse {
    PbWatchResponse {
        header: header(revision),
        watch_id,
        ..PbWatchResponse::default()
    }
}

fn cancelled(watch_id: i64, revision: i64, compact_revision: i64, why: &str) -> PbWatchResponse {
    PbWatchResponse {
        canceled: true,
        compact_revision,
        cancel_reason: why.into(),
        ..answer(watch_id, revision)
    }
}

fn pb_event(event: Event) -> PbEvent {
    let kind = if event.deleted {
        EventType::Delete
    } else {
        EventType::Put
    };
    PbEvent {
        r#type: kind as i32,
        kv: Some(pb_kv(&event.kv, false)),
        prev_kv: None,
    }
}
