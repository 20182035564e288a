//! Operators' calls: the state of a cluster, its numbers, and changes to it.

mod events;
mod latency;
mod operations;
mod types;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use cached_proto::records::GroupRecord;
use cached_proto::types::{GroupName, Invalid, NodeName};
use futures_util::stream::{self, Stream};
use tokio::time::timeout;
use tonic::{Request, Response};

use crate::ask::{check_seeds, first_answer};
use crate::call::{timed, wrong_answer};
use crate::connections::{ConnectOptions, Connections, Link};
use crate::error::Error;
use crate::status::{error_of, time_over};
use crate::topology::{Cell, Topology, nodes};

use events::EventFeed;
pub use events::{EventRow, EventsFrom, Happened, HotKey, HotKeys, HotKeysAsk, Severity};
pub use latency::{Latency, RecentStats};
use operations::OperationFeed;
pub use operations::{
    ApplyOptions, BatchProgress, CheckResult, Control, Operation, OperationChange, PairProgress,
    Plan, PlanAsk, PlanCheck, PlanMove, PlanReceiver,
};
pub use types::{
    Answered, Blacklist, BlacklistEntry, Flushed, GetterStats, GroupStats, MemoryStats, NodeStats,
    RegistryHealth, RequestStats, Status,
};

/// Operators' calls, answered by any node or gateway of the cluster. Clones share
/// their connections.
///
/// What only asks is asked of several addresses at the same time, and the first
/// answer wins. What changes something is sent to one address that answers, once,
/// and not again: when its outcome is unknown, [`Error::applied`] says so.
///
/// ```no_run
/// # use cached_client::{Admin, connections::ConnectOptions};
/// # use std::time::Duration;
/// # async fn example() -> Result<(), cached_client::Error> {
/// let nodes = ["127.0.0.1:8001".to_owned(), "127.0.0.1:8002".to_owned()];
/// let admin = Admin::new(ConnectOptions::default(), &nodes, Duration::from_secs(5))?;
/// let status = admin.status().await?;
/// println!("{} says: healthy: {}", status.endpoint, status.value.healthy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    connections: Connections,
    endpoints: Endpoints,
    timeout: Duration,
}

/// Entries that a node looks at for one answer of a listing.
const KEYS_AT_A_TIME: u32 = 1_000;

/// Whom to ask.
#[derive(Clone, Debug)]
enum Endpoints {
    These(Arc<[String]>),
    /// Members and seeds, as a client knows them.
    Cluster(Arc<Cell>),
}

impl Admin {
    /// To these addresses. Connects when first used; `timeout` bounds each call. Fails
    /// when there is no address or one cannot be read.
    pub fn new(
        options: ConnectOptions,
        endpoints: &[String],
        timeout: Duration,
    ) -> Result<Self, Error> {
        let endpoints = Endpoints::These(check_seeds(endpoints)?);
        Ok(Self {
            connections: Connections::new(options),
            endpoints,
            timeout,
        })
    }

    pub(crate) fn of_cluster(connections: Connections, cell: Arc<Cell>, timeout: Duration) -> Self {
        Self {
            connections,
            endpoints: Endpoints::Cluster(cell),
            timeout,
        }
    }

    /// The same calls, to this address alone.
    pub fn at(&self, endpoint: impl Into<String>) -> Self {
        let endpoints = Endpoints::These(Arc::new([endpoint.into()]));
        Self {
            endpoints,
            ..self.clone()
        }
    }

    /// Members and rows.
    pub async fn topology(&self) -> Result<Answered<Topology>, Error> {
        let (value, feed) = nodes::open(&self.connections, self.addresses(), self.timeout).await?;
        Ok(Answered {
            endpoint: feed.address,
            value,
        })
    }

    /// Members and slots of one of the last layouts, as they were planned; `NotFound` says
    /// which are kept.
    pub async fn layout(&self, layout: u64) -> Result<Answered<Topology>, Error> {
        let answer = self
            .any(
                pb::LayoutRequest { layout },
                |mut admin, request| async move { admin.layout(request).await },
            )
            .await?;
        answer.read(|answer| {
            let missing = || Invalid::new("topology", "is missing");
            Topology::try_from(answer.topology.ok_or_else(missing)?)
        })
    }

    /// Members and rows, now and at each change, from one node. An error ends the
    /// stream: watch again, and another node may answer.
    pub async fn watch_topology(
        &self,
    ) -> Result<impl Stream<Item = Result<Answered<Topology>, Error>> + Send + 'static + use<>, Error>
    {
        let (first, feed) = nodes::open(&self.connections, self.addresses(), self.timeout).await?;
        Ok(stream::unfold(
            (Some(first), Some(feed)),
            |(first, feed)| async move {
                let mut feed = feed?;
                let endpoint = feed.address.clone();
                let next = match first {
                    Some(first) => Ok(first),
                    None => feed.next().await,
                };
                let feed = next.is_ok().then_some(feed);
                Some((next.map(|value| Answered { endpoint, value }), (None, feed)))
            },
        ))
    }

    /// How the cluster is.
    pub async fn status(&self) -> Result<Answered<Status>, Error> {
        let answer = self
            .any(pb::StatusRequest {}, |mut admin, request| async move {
                admin.status(request).await
            })
            .await?;
        answer.read(Status::try_from)
    }

    /// Counters of every member, or of the answering node alone.
    pub async fn stats(&self, own_node_only: bool) -> Result<Answered<Vec<NodeStats>>, Error> {
        let answer = self
            .any(
                pb::StatsRequest { own_node_only },
                |mut admin, request| async move { admin.stats(request).await },
            )
            .await?;
        Ok(answer.map(|stats| stats.nodes.into_iter().map(NodeStats::from).collect()))
    }

    /// Whom the members, or the answering node alone, do not attempt.
    pub async fn blacklist(&self, own_node_only: bool) -> Result<Answered<Blacklist>, Error> {
        let answer = self
            .any(
                pb::ListBlacklistRequest { own_node_only },
                |mut admin, request| async move { admin.list_blacklist(request).await },
            )
            .await?;
        Ok(answer.map(|list| Blacklist {
            entries: list.entries.into_iter().map(BlacklistEntry::from).collect(),
            unanswered: list.unanswered,
        }))
    }

    /// Tells every node not to attempt `target` for `ttl`. `by` is `user@host`.
    pub async fn blacklist_add(
        &self,
        target: &NodeName,
        ttl: Duration,
        reason: &str,
        by: &str,
    ) -> Result<Answered<()>, Error> {
        let request = pb::AddBlacklistRequest {
            target: target.as_str().to_owned(),
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            reason: reason.to_owned(),
            by: by.to_owned(),
        };
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.add_blacklist(request).await
            })
            .await?;
        Ok(answer.map(|_| ()))
    }

    /// Takes an operator's entry away; false: there was none. `by` is `user@host`.
    pub async fn blacklist_remove(
        &self,
        target: &NodeName,
        by: &str,
    ) -> Result<Answered<bool>, Error> {
        let target = target.as_str().to_owned();
        let request = pb::RemoveBlacklistRequest {
            target,
            by: by.to_owned(),
        };
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.remove_blacklist(request).await
            })
            .await?;
        Ok(answer.map(|removed| removed.removed))
    }

    /// The groups and their settings.
    pub async fn groups(&self) -> Result<Answered<Vec<GroupRecord>>, Error> {
        let answer = self
            .any(pb::ListGroupsRequest {}, |mut admin, request| async move {
                admin.list_groups(request).await
            })
            .await?;
        answer.read(|list| list.groups.into_iter().map(GroupRecord::try_from).collect())
    }

    /// Creates a group; answers it as it is now. `by` is `user@host`.
    pub async fn group_create(
        &self,
        group: GroupRecord,
        by: &str,
    ) -> Result<Answered<GroupRecord>, Error> {
        let request = pb::CreateGroupRequest {
            group: Some(group.into()),
            by: by.to_owned(),
        };
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.create_group(request).await
            })
            .await?;
        let endpoint = answer.endpoint;
        let group = answer
            .value
            .group
            .ok_or_else(|| wrong_answer("did not say what it created"))?;
        Answered {
            endpoint,
            value: group,
        }
        .read(GroupRecord::try_from)
    }

    /// Removes all entries of a group, on every node; what it came to on each. `by` is
    /// `user@host`.
    pub async fn group_flush(
        &self,
        group: &GroupName,
        by: &str,
    ) -> Result<Answered<Vec<Flushed>>, Error> {
        let group = group.as_str().to_owned();
        let request = pb::FlushGroupRequest {
            group,
            by: by.to_owned(),
        };
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.flush_group(request).await
            })
            .await?;
        Ok(answer.map(|flushed| flushed.nodes.into_iter().map(Flushed::from).collect()))
    }

    /// Plans a change of the layout. Nothing is changed: the plan is kept under its id for
    /// 15 minutes. `by` is `user@host`.
    pub async fn plan(&self, ask: &PlanAsk, by: &str) -> Result<Answered<Plan>, Error> {
        self.planned(ask.message(by)).await
    }

    /// Checks once more whether what was planned under an id can be carried out; `shed`:
    /// what does not fit may be dropped.
    pub async fn plan_again(&self, id: &str, shed: bool) -> Result<Answered<Plan>, Error> {
        let request = pb::PlanRequest {
            id: id.to_owned(),
            shed,
            ..pb::PlanRequest::default()
        };
        self.planned(request).await
    }

    async fn planned(&self, request: pb::PlanRequest) -> Result<Answered<Plan>, Error> {
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.plan(request).await
            })
            .await?;
        answer.read(Plan::try_from)
    }

    /// Asks for what was planned, as it was shown: on any other layout it is refused.
    /// `by` is `user@host`.
    pub async fn plan_apply(
        &self,
        id: &str,
        base_layout: u64,
        options: &ApplyOptions,
        by: &str,
    ) -> Result<Answered<Operation>, Error> {
        let request = options.message(id, base_layout, by);
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.apply_plan(request).await
            })
            .await?;
        answer.read(|answer| Operation::read(answer.operation))
    }

    /// Operations that the cluster remembers, oldest first.
    pub async fn operations(&self, planned_too: bool) -> Result<Answered<Vec<Operation>>, Error> {
        let answer = self
            .any(
                pb::ListOperationsRequest { planned_too },
                |mut admin, request| async move { admin.list_operations(request).await },
            )
            .await?;
        answer.read(|list| {
            let operations = list.operations.into_iter();
            operations.map(Operation::try_from).collect()
        })
    }

    /// What changes of an operation (`None`: of all) after `from_sequence`, and while one
    /// runs how far it is, from one node. An error ends the stream: watch again from the
    /// last sequence, and another node may answer.
    pub async fn watch_operations(
        &self,
        id: Option<&str>,
        from_sequence: u64,
    ) -> Result<
        impl Stream<Item = Result<Answered<OperationChange>, Error>> + Send + 'static + use<>,
        Error,
    > {
        let request = pb::WatchOperationsRequest {
            id: id.unwrap_or_default().to_owned(),
            from_sequence,
        };
        let feed = first_answer(self.addresses(), self.timeout, |address| {
            let (connections, request) = (self.connections.clone(), request.clone());
            async move {
                let mut admin = connections.admin(&address)?;
                let answer = admin.watch_operations(request).await;
                let stream = answer.map_err(|status| error_of(&address, &status))?;
                Ok(OperationFeed {
                    address,
                    stream: stream.into_inner(),
                })
            }
        })
        .await?;
        Ok(stream::unfold(Some(feed), |feed| async move {
            let mut feed = feed?;
            let next = feed.next().await;
            let feed = next.is_ok().then_some(feed);
            Some((next, feed))
        }))
    }

    /// Pauses, resumes, cancels an operation, or changes its rate. `by` is `user@host`.
    pub async fn control_operation(
        &self,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<Answered<Operation>, Error> {
        let request = control.message(id, by);
        let answer = self
            .one(request, |mut admin, request| async move {
                admin.control_operation(request).await
            })
            .await?;
        answer.read(|answer| Operation::read(answer.operation))
    }

    /// Some keys of a group (`None`: the node's own) over all nodes, from a cursor on that
    /// is 0 at the beginning; the next cursor, 0 at the end. A key may come twice.
    pub async fn list_keys(
        &self,
        group: Option<&GroupName>,
        cursor: u64,
    ) -> Result<(Vec<Bytes>, u64), Error> {
        let request = pb::ListKeysRequest {
            group: group.map(ToString::to_string).unwrap_or_default(),
            cursor,
            count: KEYS_AT_A_TIME,
        };
        let answer = self
            .any(request, |mut admin, request| async move {
                admin.list_keys(request).await
            })
            .await?;
        Ok((answer.value.keys, answer.value.cursor))
    }

    /// The keys that are asked for most on one node: that of the address, if there is
    /// one alone (see [`Admin::at`]).
    pub async fn hot_keys(&self, ask: &HotKeysAsk) -> Result<Answered<HotKeys>, Error> {
        let answer = self
            .any(ask.message(), |mut admin, request| async move {
                admin.hot_keys(request).await
            })
            .await?;
        Ok(answer.map(HotKeys::from))
    }

    /// What happened at one node lately, and with `follow` what happens from now on. An
    /// error ends the stream: watch again from the last event. Without `follow` it ends
    /// after the newest event.
    pub async fn watch_events(
        &self,
        from: &EventsFrom,
    ) -> Result<impl Stream<Item = Result<Happened, Error>> + Send + 'static + use<>, Error> {
        let feed = first_answer(self.addresses(), self.timeout, |address| {
            let (connections, request) = (self.connections.clone(), from.message());
            async move {
                let mut admin = connections.admin(&address)?;
                let answer = admin.events(request).await;
                let stream = answer.map_err(|status| error_of(&address, &status))?;
                Ok(EventFeed {
                    address,
                    stream: stream.into_inner(),
                })
            }
        })
        .await?;
        let follow = from.follow;
        Ok(stream::unfold(Some(feed), move |feed| async move {
            let mut feed = feed?;
            let next = feed.next(follow).await?;
            let feed = next.is_ok().then_some(feed);
            Some((next, feed))
        }))
    }

    fn addresses(&self) -> Vec<String> {
        match &self.endpoints {
            Endpoints::These(addresses) => addresses.to_vec(),
            Endpoints::Cluster(cell) => cell.load().addresses(),
        }
    }

    /// Asks all, takes the first answer.
    async fn any<Q, A, F>(
        &self,
        question: Q,
        call: impl Fn(AdminClient<Link>, Request<Q>) -> F,
    ) -> Result<Answered<A>, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, tonic::Status>>,
    {
        first_answer(self.addresses(), self.timeout, |endpoint| {
            self.ask(endpoint, question.clone(), &call)
        })
        .await
    }

    /// Finds one that answers, and asks that one alone and once: one that reaches the
    /// registry and serves, if there is any.
    async fn one<Q, A, F>(
        &self,
        question: Q,
        call: impl Fn(AdminClient<Link>, Request<Q>) -> F,
    ) -> Result<Answered<A>, Error>
    where
        F: Future<Output = Result<Response<A>, tonic::Status>>,
    {
        let endpoint = match <[String; 1]>::try_from(self.addresses()) {
            Ok([only]) => only,
            Err(_) => self.fittest().await?,
        };
        let asked = self.ask(endpoint.clone(), question, call);
        let answer = timeout(self.timeout, asked).await;
        answer.unwrap_or_else(|_| Err(time_over(&endpoint)))
    }

    /// Whom to ask for a change.
    async fn fittest(&self) -> Result<String, Error> {
        let unfit = Mutex::new(None);
        let fit = first_answer(self.addresses(), self.timeout, |endpoint| {
            let (asked, unfit) = (self.at(endpoint.clone()), &unfit);
            async move {
                let status = asked.status().await?.value;
                if status.registry.reachable && !status.fenced {
                    return Ok(endpoint);
                }
                let text = format!("{endpoint} is cut off from the registry");
                if let Ok(mut unfit) = unfit.lock() {
                    unfit.get_or_insert(endpoint);
                }
                Err(Failure::new(FailureCode::Unavailable, text).into())
            }
        })
        .await;
        let unfit = unfit.into_inner().unwrap_or_default();
        fit.or_else(|error| unfit.ok_or(error))
    }

    async fn ask<Q, A, F>(
        &self,
        endpoint: String,
        question: Q,
        call: impl Fn(AdminClient<Link>, Request<Q>) -> F,
    ) -> Result<Answered<A>, Error>
    where
        F: Future<Output = Result<Response<A>, tonic::Status>>,
    {
        let admin = self.connections.admin(&endpoint)?;
        match call(admin, timed(question, self.timeout)).await {
            Ok(answer) => Ok(Answered {
                endpoint,
                value: answer.into_inner(),
            }),
            Err(status) => Err(error_of(&endpoint, &status)),
        }
    }
}
