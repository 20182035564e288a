//! A node that answers as a test tells it: a map, a script of failures, a log.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cached_client::Failure;
use cached_client::operation::{Answer, Condition, Entry, Operation, Outcome, Reply, Route};
use cached_client::types::{Epoch, Incarnation, MemberId, Slot, Version};
use cached_client::update::Updated;
use cached_proto::convert::{WireOperation, outcome_to_pb};
use cached_proto::failure::OwnerHint;
use cached_proto::pb::cached::admin::v1 as admin;
use cached_proto::pb::cached::admin::v1::admin_server::{Admin, AdminServer};
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::cache::v1::cache_server::{Cache, CacheServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::ServerTlsConfig;
use tonic::{Code, Request, Response, Status, Streaming};

/// What a node does with one operation, or one operators' call, instead of carrying
/// it out.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Fails with this.
    Fail(Failure),
    /// Fails without a word on whether it was applied.
    Break,
    /// Never answers.
    Hang,
}

/// One running node. Clones share it.
#[derive(Clone)]
pub(crate) struct Fake(Arc<State>);

struct State {
    name: String,
    address: String,
    entries: Mutex<BTreeMap<Bytes, Bytes>>,
    script: Mutex<VecDeque<Reaction>>,
    /// Operations as they came: key and route.
    seen: Mutex<Vec<(Bytes, Route)>>,
    /// The `authorization` of each get.
    tokens: Mutex<Vec<Option<String>>>,
    /// Calls by name.
    calls: Mutex<Vec<String>>,
    topology: Mutex<Option<admin::TopologyResponse>>,
    feeds: Mutex<Vec<mpsc::Sender<Result<admin::TopologyResponse, Status>>>>,
}

impl Fake {
    /// Starts on a free port; it is a member of this name, and knows no topology.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, None).await
    }

    /// The same, speaking TLS.
    pub(crate) async fn start_with(name: &str, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self(Arc::new(State {
            name: name.to_owned(),
            address: listener.local_addr().unwrap().to_string(),
            entries: Mutex::default(),
            script: Mutex::default(),
            seen: Mutex::default(),
            tokens: Mutex::default(),
            calls: Mutex::default(),
            topology: Mutex::default(),
            feeds: Mutex::default(),
        }));
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let server = server
            .add_service(CacheServer::new(fake.clone()))
            .add_service(AdminServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        fake
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// What it does with the next operations, one each.
    pub(crate) fn script(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.0.script.lock().unwrap().extend(reactions);
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        self.0.entries.lock().unwrap().insert(key, value);
    }

    pub(crate) fn value(&self, key: &str) -> Option<Bytes> {
        self.0.entries.lock().unwrap().get(key.as_bytes()).cloned()
    }

    /// Takes the operations seen so far.
    pub(crate) fn seen(&self) -> Vec<(Bytes, Route)> {
        std::mem::take(&mut self.0.seen.lock().unwrap())
    }

    /// Takes the tokens seen with gets so far.
    pub(crate) fn tokens(&self) -> Vec<Option<String>> {
        std::mem::take(&mut self.0.tokens.lock().unwrap())
    }

    /// Takes the names of the operators' calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    /// What it answers and sends to its feeds from now on; `None` refuses.
    pub(crate) async fn publish(&self, topology: Option<admin::TopologyResponse>) {
        *self.0.topology.lock().unwrap() = topology.clone();
        let feeds = self.0.feeds.lock().unwrap().clone();
        for feed in feeds {
            if let Some(topology) = topology.clone() {
                drop(feed.send(Ok(topology)).await);
            }
        }
    }

    /// Ends its feeds.
    pub(crate) fn end_feeds(&self) {
        self.0.feeds.lock().unwrap().clear();
    }

    /// Waits until the clients have ended all its feeds.
    pub(crate) async fn feeds_ended(&self) {
        let feeds = self.0.feeds.lock().unwrap().clone();
        assert!(!feeds.is_empty(), "no feed was ever open");
        for feed in feeds {
            feed.closed().await;
        }
    }

    pub(crate) fn hint(&self, slot: Slot, epoch: u64) -> OwnerHint {
        let address = Some(self.0.address.clone());
        OwnerHint {
            slot,
            epoch: Epoch(epoch),
            owner: self.id(),
            address,
            also: Vec::new(),
        }
    }

    fn id(&self) -> MemberId {
        MemberId {
            name: self.0.name.parse().unwrap(),
            inc: Incarnation(1),
        }
    }

    async fn carry_out(&self, wire: WireOperation) -> Result<Outcome, Status> {
        let operation = wire.operation;
        let key = operation.key().clone().into_bytes();
        self.0.seen.lock().unwrap().push((key.clone(), wire.route));
        let reaction = self.0.script.lock().unwrap().pop_front();
        match reaction {
            Some(Reaction::Fail(failure)) => return Ok(Err(failure)),
            Some(Reaction::Break) => return Err(Status::unavailable("broken")),
            Some(Reaction::Hang) => std::future::pending().await,
            None => {}
        }
        let mut entries = self.0.entries.lock().unwrap();
        let version = Some(Version {
            epoch: Epoch(1),
            seq: 1,
        });
        let reply = match operation {
            Operation::Get { .. } => Reply::Get(entries.get(&key).map(|value| Entry {
                value: value.clone(),
                version,
                ttl_ms: None,
                value_bytes: value.len() as u64,
                loaded: false,
                uncached: false,
            })),
            Operation::Set {
                condition: Condition::IfAbsent,
                ..
            } if entries.contains_key(&key) => Reply::Set {
                stored: false,
                version,
            },
            Operation::Set { value, .. } => {
                entries.insert(key, value);
                Reply::Set {
                    stored: true,
                    version,
                }
            }
            Operation::Delete { .. } => Reply::Delete {
                deleted: entries.remove(&key).is_some(),
                version: None,
            },
            Operation::Touch { .. } => Reply::Touch {
                found: entries.contains_key(&key),
            },
            // As if there were nothing, ever.
            Operation::Update { .. } => Reply::Update(Updated {
                applied: false,
                entry: None,
            }),
            Operation::SetMany { .. } => Reply::SetMany { stored: false },
        };
        Ok(Ok(Answer {
            reply,
            degraded: false,
        }))
    }

    async fn single<A>(&self, wire: WireOperation) -> Result<Response<A>, Status>
    where
        A: TryFrom<Answer, Error = Failure>,
    {
        let outcome = self.carry_out(wire).await?;
        outcome
            .and_then(A::try_from)
            .map(Response::new)
            .map_err(|failure| status(&failure))
    }
}

/// A failure as a node sends it.
fn status(failure: &Failure) -> Status {
    let details = failure.to_wire_bytes().into();
    Status::with_details(Code::FailedPrecondition, failure.to_string(), details)
}

/// A topology in which each node owns an equal run of slots, at this epoch.
pub(crate) fn topology(nodes: &[&Fake], epoch: u64) -> admin::TopologyResponse {
    let share = 16_384 / u32::try_from(nodes.len()).unwrap();
    let members = nodes.iter().map(|node| admin::Member {
        name: node.0.name.clone(),
        incarnation: Incarnation(1).to_string(),
        address: node.0.address.clone(),
        state: admin::MemberState::Up.into(),
        weight: 1,
        ..admin::Member::default()
    });
    let last = nodes.len() - 1;
    let ranges = nodes.iter().enumerate().map(|(index, node)| {
        let first = u32::try_from(index).unwrap() * share;
        admin::SlotRange {
            first,
            last: if index == last {
                16_383
            } else {
                first + share - 1
            },
            owner: node.0.name.clone(),
            epoch,
            incarnation: Incarnation(1).to_string(),
        }
    });
    admin::TopologyResponse {
        cluster: "prod".to_owned(),
        cluster_uuid: Incarnation(7).to_string(),
        generation: 1,
        layout: epoch,
        hash: "crc16".to_owned(),
        virtual_nodes: 50,
        view: epoch,
        members: members.collect(),
        ranges: ranges.collect(),
        default_group: "default-group".to_owned(),
        mode: "available".to_owned(),
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn checked<T>(request: Request<T>) -> Result<WireOperation, Status>
where
    WireOperation: TryFrom<T, Error = cached_client::types::Invalid>,
{
    let wire = WireOperation::try_from(request.into_inner());
    wire.map_err(|invalid| Status::invalid_argument(invalid.to_string()))
}

#[tonic::async_trait]
impl Cache for Fake {
    type PipelineStream = Streamed<cache::PipelineResponse>;

    async fn get(
        &self,
        request: Request<cache::GetRequest>,
    ) -> Result<Response<cache::GetResponse>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        self.0.tokens.lock().unwrap().push(token);
        self.single(checked(request)?).await
    }

    async fn set(
        &self,
        request: Request<cache::SetRequest>,
    ) -> Result<Response<cache::SetResponse>, Status> {
        self.single(checked(request)?).await
    }

    async fn delete(
        &self,
        request: Request<cache::DeleteRequest>,
    ) -> Result<Response<cache::DeleteResponse>, Status> {
        self.single(checked(request)?).await
    }

    async fn touch(
        &self,
        request: Request<cache::TouchRequest>,
    ) -> Result<Response<cache::TouchResponse>, Status> {
        self.single(checked(request)?).await
    }

    async fn update(
        &self,
        request: Request<cache::UpdateRequest>,
    ) -> Result<Response<cache::UpdateResponse>, Status> {
        self.single(checked(request)?).await
    }

    async fn set_many(
        &self,
        request: Request<cache::SetManyRequest>,
    ) -> Result<Response<cache::SetManyResponse>, Status> {
        self.single(checked(request)?).await
    }

    async fn pipeline(
        &self,
        request: Request<Streaming<cache::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let fake = self.clone();
        let answers = request.into_inner().then(move |message| {
            let fake = fake.clone();
            async move {
                let mut results = Vec::new();
                for operation in message?.operations {
                    let wire = checked(Request::new(operation))?;
                    results.push(outcome_to_pb(fake.carry_out(wire).await?));
                }
                Ok(cache::PipelineResponse { results })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn batch_get(
        &self,
        _: Request<cache::BatchGetRequest>,
    ) -> Result<Response<cache::BatchResponse>, Status> {
        Err(Status::unimplemented("batches come over the pipeline"))
    }

    async fn batch_set(
        &self,
        _: Request<cache::BatchSetRequest>,
    ) -> Result<Response<cache::BatchResponse>, Status> {
        Err(Status::unimplemented("batches come over the pipeline"))
    }

    async fn batch_delete(
        &self,
        _: Request<cache::BatchDeleteRequest>,
    ) -> Result<Response<cache::BatchResponse>, Status> {
        Err(Status::unimplemented("batches come over the pipeline"))
    }
}

/// Calls that these tests do not make, and those that answer nothing of interest.
macro_rules! admin_calls {
    ($($name:ident($request:ident) -> $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl Admin for Fake {
            type TopologyStream = Streamed<admin::TopologyResponse>;
            type EventsStream = Streamed<admin::EventsResponse>;
            type WatchOperationsStream = Streamed<admin::WatchOperationsResponse>;

            async fn topology(
                &self,
                _: Request<admin::TopologyRequest>,
            ) -> Result<Response<Self::TopologyStream>, Status> {
                let now = self.0.topology.lock().unwrap().clone();
                let now = now.ok_or_else(|| Status::unavailable("no topology"))?;
                let (sender, receiver) = mpsc::channel(8);
                sender.try_send(Ok(now)).unwrap();
                self.0.feeds.lock().unwrap().push(sender);
                Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
            }

            async fn status(
                &self,
                _: Request<admin::StatusRequest>,
            ) -> Result<Response<admin::StatusResponse>, Status> {
                self.0.calls.lock().unwrap().push("status".to_owned());
                if self.0.topology.lock().unwrap().is_none() {
                    return std::future::pending().await;
                }
                Ok(Response::new(admin::StatusResponse {
                    node: self.0.name.clone(),
                    registry: Some(admin::RegistryHealth::default()),
                    ..admin::StatusResponse::default()
                }))
            }

            async fn events(
                &self,
                _: Request<admin::EventsRequest>,
            ) -> Result<Response<Self::EventsStream>, Status> {
                Err(Status::unimplemented("not here"))
            }

            async fn watch_operations(
                &self,
                _: Request<admin::WatchOperationsRequest>,
            ) -> Result<Response<Self::WatchOperationsStream>, Status> {
                Err(Status::unimplemented("not here"))
            }

            $(async fn $name(
                &self,
                _: Request<admin::$request>,
            ) -> Result<Response<admin::$response>, Status> {
                self.0.calls.lock().unwrap().push(stringify!($name).to_owned());
                let reaction = self.0.script.lock().unwrap().pop_front();
                if matches!(reaction, Some(Reaction::Hang)) {
                    return std::future::pending().await;
                }
                Ok(Response::new(admin::$response::default()))
            })*
        }
    };
}

admin_calls! {
    stats(StatsRequest) -> StatsResponse,
    hot_keys(HotKeysRequest) -> HotKeysResponse,
    list_keys(ListKeysRequest) -> ListKeysResponse,
    layout(LayoutRequest) -> LayoutResponse,
    list_blacklist(ListBlacklistRequest) -> ListBlacklistResponse,
    add_blacklist(AddBlacklistRequest) -> AddBlacklistResponse,
    remove_blacklist(RemoveBlacklistRequest) -> RemoveBlacklistResponse,
    list_groups(ListGroupsRequest) -> ListGroupsResponse,
    create_group(CreateGroupRequest) -> CreateGroupResponse,
    flush_group(FlushGroupRequest) -> FlushGroupResponse,
    plan(PlanRequest) -> PlanResponse,
    apply_plan(ApplyPlanRequest) -> ApplyPlanResponse,
    list_operations(ListOperationsRequest) -> ListOperationsResponse,
    control_operation(ControlOperationRequest) -> ControlOperationResponse,
}
