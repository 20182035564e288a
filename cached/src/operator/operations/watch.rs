//! Follows operations: every change, and while one runs how far it is.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operations::OperationState;
use cached_proto::pb::cached::admin::v1::WatchOperationsResponse;

use super::live::Live;
use super::{describe, unknown};
use crate::clock::Moment;
use crate::cluster::view::{ClusterView, OperationView};
use crate::operator::Operator;

/// How often a running operation is told although nothing changed in the registry,
/// and how often senders are asked at most: what an eye can follow.
const LIVE_EVERY: Duration = Duration::from_millis(500);

/// How long an operation may be unknown here: another node may have written it just now.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// How long the registry may be lost before a node that cannot say more sends whoever
/// follows elsewhere.
const LOST_FOR: Duration = Duration::from_secs(3);

/// How far somebody has followed.
#[derive(Debug)]
pub struct OperationWatch {
    /// Empty: all, but what is only planned.
    id: String,
    /// Newest revision told, and the last operation told of that revision.
    told: (i64, String),
    /// When something was told last.
    told_at: Option<Moment>,
    /// Since when the operation is unknown.
    unknown_since: Option<Moment>,
    /// What senders said last, and when.
    live: Option<(Moment, Live)>,
}

impl OperationWatch {
    /// Everything that changed after `from_sequence`; `id` empty: of all operations.
    pub fn new(id: String, from_sequence: u64) -> Self {
        let from = i64::try_from(from_sequence).unwrap_or(i64::MAX);
        Self {
            id,
            // Of that revision itself everything was told.
            told: (from, char::MAX.to_string()),
            told_at: None,
            unknown_since: None,
            live: None,
        }
    }

    fn follows(&self, operation: &OperationView) -> bool {
        let record = &operation.record;
        match self.id.as_str() {
            "" => record.state != OperationState::Planned,
            id => record.id == id,
        }
    }

    /// The oldest change that was not told yet.
    fn news<'a>(&self, view: &'a ClusterView) -> Option<&'a Arc<OperationView>> {
        let followed = view.operations.iter().filter(|known| self.follows(known));
        followed
            .filter(|known| (known.revision, &known.record.id) > (self.told.0, &self.told.1))
            .min_by_key(|known| (known.revision, &known.record.id))
    }

    /// From where another node would go on after this one was told: its revision, unless
    /// another operation of the same revision is still to be told.
    fn sequence_after(&self, view: &ClusterView, told: &OperationView) -> i64 {
        let more = view.operations.iter().any(|known| {
            known.revision == told.revision
                && known.record.id > told.record.id
                && self.follows(known)
        });
        told.revision - i64::from(more)
    }

    fn open<'a>(&self, view: &'a ClusterView) -> Option<&'a Arc<OperationView>> {
        view.open_operation().filter(|known| self.follows(known))
    }
}

/// How long a node that cannot read the registry goes on telling what it knows; `None`:
/// it can. Fails when that is over.
fn patience(view: &ClusterView, now: Moment) -> Result<Option<Duration>, Failure> {
    let Some(since) = view.registry_lost_since else {
        return Ok(None);
    };
    let left = LOST_FOR.saturating_sub(now.since(since));
    if left.is_zero() {
        let text = "this node cannot read the registry";
        return Err(Failure::new(FailureCode::Unavailable, text));
    }
    Ok(Some(left))
}

impl Operator {
    /// Fails when another node should be followed: this one cannot read the registry.
    pub fn may_be_followed(&self) -> Result<(), Failure> {
        patience(&self.parts.view.load(), self.parts.clock.now()).map(drop)
    }

    /// The next that there is to tell: a change, or how far a running operation is.
    /// Never returns when nothing changes: see [`Operator::stopped`]. Fails when there
    /// is no such operation (any more), and when the registry cannot be read for long. Dropping the future loses nothing.
    pub async fn next_operation(
        &self,
        watch: &mut OperationWatch,
    ) -> Result<WatchOperationsResponse, Failure> {
        loop {
            let view = self.parts.view.load_full();
            let now = self.parts.clock.now();
            let patience = patience(&view, now)?;
            if let Some(news) = watch.news(&view) {
                let sequence = watch.sequence_after(&view, news);
                let told = self.tell_watched(watch, &view, news, sequence).await;
                watch.told = (news.revision, news.record.id.clone());
                return Ok(told);
            }
            if let Some(open) = watch.open(&view) {
                let since = watch.told_at.map_or(LIVE_EVERY, |told| now.since(told));
                if since >= LIVE_EVERY {
                    let sequence = watch.told.0;
                    return Ok(self.tell_watched(watch, &view, open, sequence).await);
                }
                self.newer_or(view.number, Some(LIVE_EVERY - since)).await;
                continue;
            }
            if watch.id.is_empty() || view.operations.iter().any(|known| watch.follows(known)) {
                watch.unknown_since = None;
                self.newer_or(view.number, patience).await;
                continue;
            }
            let unknown_for = now.since(*watch.unknown_since.get_or_insert(now));
            if unknown_for >= UNKNOWN_FOR && patience.is_none() {
                return Err(unknown(&watch.id));
            }
            self.parts.view.ask_refresh();
            let left = patience.unwrap_or(UNKNOWN_FOR.saturating_sub(unknown_for));
            self.newer_or(view.number, Some(left)).await;
        }
    }

    /// Waits for a newer view, for so long at most; `None`: for as long as it takes.
    async fn newer_or(&self, seen: u64, wait: Option<Duration>) {
        let over = async {
            match wait {
                Some(wait) => self.parts.clock.sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased;
            _ = self.parts.view.newer_than(seen) => {}
            () = over => {}
        }
    }

    async fn tell_watched(
        &self,
        watch: &mut OperationWatch,
        view: &ClusterView,
        operation: &OperationView,
        sequence: i64,
    ) -> WatchOperationsResponse {
        let now = self.parts.clock.now();
        let fresh = |(asked, _): &(Moment, Live)| now.since(*asked) < LIVE_EVERY;
        if operation.record.state.is_open() && !watch.live.as_ref().is_some_and(fresh) {
            watch.live = Some((now, self.live(view).await));
        }
        let nothing = Live::default();
        let live = watch.live.as_ref().map_or(&nothing, |(_, live)| live);
        watch.told_at = Some(self.parts.clock.now());
        WatchOperationsResponse {
            sequence: u64::try_from(sequence).unwrap_or_default(),
            operation: Some(describe::operation(view, operation, live, now)),
        }
    }
}
