//! The gRPC shell of Kv, Lease and Maintenance: takes a request, asks, answers.

use std::pin::Pin;
use std::sync::Arc;

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbCompactionRequest, PbCompactionResponse,
    PbDefragmentRequest, PbDefragmentResponse, PbDeleteRequest, PbDeleteResponse,
    PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest,
    PbHashResponse, PbKvService, PbLeaseGrantRequest, PbLeaseGrantResponse,
    PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse, PbLeaseLeasesRequest, PbLeaseLeasesResponse,
    PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbLeaseService, PbLeaseTimeToLiveRequest,
    PbLeaseTimeToLiveResponse, PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse,
    PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest, PbStatusResponse, PbTxnRequest,
    PbTxnResponse,
};
use futures_util::Stream;
use futures_util::stream::{self, Empty};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Shared;
use super::requests::{self, header};
use super::state::Refusal;

/// What the version says: the subset is that of etcd 3.5.
const VERSION: &str = "3.5.30-embedded";

pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All services of the registry.
#[derive(Clone)]
pub(super) struct RegistryService(pub(super) Arc<Shared>);

#[async_trait]
impl PbKvService for RegistryService {
    async fn range(
        &self,
        request: Request<PbRangeRequest>,
    ) -> Result<Response<PbRangeResponse>, Status> {
        self.0
            .answer(|state, _| requests::range(state, request.into_inner()))
    }

    type RangeStreamStream = Empty<Result<PbRangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        unsupported("range as a stream")
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        self.0
            .answer(|state, _| requests::put(state, request.into_inner()))
    }

    async fn delete_range(
        &self,
        request: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        self.0
            .answer(|state, _| requests::delete(state, request.into_inner()))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        self.0
            .answer(|state, _| requests::txn(state, request.into_inner()))
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        self.0.answer(|state, _| {
            state.compact(request.into_inner().revision)?;
            Ok(PbCompactionResponse {
                header: header(state.revision()),
            })
        })
    }
}

#[async_trait]
impl PbLeaseService for RegistryService {
    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.answer(|state, now| {
            let (id, ttl) = state.grant(request.id, request.ttl, now)?;
            let header = header(state.revision());
            Ok(PbLeaseGrantResponse {
                header,
                id,
                ttl,
                error: String::new(),
            })
        });
        self.0.granted.notify_one();
        answer
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        self.0.answer(|state, _| {
            state.revoke(request.into_inner().id)?;
            Ok(PbLeaseRevokeResponse {
                header: header(state.revision()),
            })
        })
    }

    type LeaseKeepAliveStream = Answers<PbLeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let start = (self.0.clone(), request.into_inner());
        let answers = stream::unfold(start, |(shared, mut requests)| async move {
            let request = tokio::select! {
                biased;
                () = shared.stop.stopped() => return None,
                request = requests.message() => request,
            };
            let answer = request.transpose()?.and_then(|request| {
                let ttl = shared.ask(|state, now| {
                    let ttl = state.keep_alive(request.id, now);
                    let header = header(state.revision());
                    Ok(PbLeaseKeepAliveResponse {
                        header,
                        id: request.id,
                        ttl,
                    })
                });
                ttl.map_err(status)
            });
            Some((answer, (shared, requests)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        _: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        unsupported("time to live of a lease")
    }

    async fn lease_leases(
        &self,
        _: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        unsupported("list of leases")
    }
}

#[async_trait]
impl PbMaintenanceService for RegistryService {
    async fn status(
        &self,
        _: Request<PbStatusRequest>,
    ) -> Result<Response<PbStatusResponse>, Status> {
        self.0.answer(|state, _| {
            let header = header(state.revision());
            let version = VERSION.into();
            Ok(PbStatusResponse {
                header,
                version,
                leader: 1,
                ..PbStatusResponse::default()
            })
        })
    }

    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Result<Response<PbAlarmResponse>, Status> {
        unsupported("alarm")
    }

    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        unsupported("defragment")
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        unsupported("hash")
    }

    async fn hash_kv(
        &self,
        _: Request<PbHashKvRequest>,
    ) -> Result<Response<PbHashKvResponse>, Status> {
        unsupported("hash of keys")
    }

    type SnapshotStream = Empty<Result<PbSnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        unsupported("snapshot")
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        unsupported("move of the leader")
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        unsupported("downgrade")
    }
}

fn unsupported<T>(what: &'static str) -> Result<T, Status> {
    Err(status(Refusal::Unsupported(what)))
}

/// A refusal in etcd's words, which are part of its API.
pub(super) fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::EmptyKey => Status::invalid_argument("etcdserver: key is not provided"),
        Refusal::TooManyOperations => {
            Status::invalid_argument("etcdserver: too many operations in txn request")
        }
        Refusal::RequestTooLarge => Status::invalid_argument("etcdserver: request is too large"),
        Refusal::DuplicateKey => {
            Status::invalid_argument("etcdserver: duplicate key given in txn request")
        }
        Refusal::LeaseNotFound => Status::not_found("etcdserver: requested lease not found"),
        Refusal::LeaseExists => Status::failed_precondition("etcdserver: lease already exists"),
        Refusal::TooManyLeases => Status::resource_exhausted("etcdserver: too many leases"),
        Refusal::TtlTooLarge => Status::out_of_range("etcdserver: too large lease TTL"),
        Refusal::Compacted => {
            Status::out_of_range("etcdserver: mvcc: required revision has been compacted")
        }
        Refusal::FutureRevision => {
            Status::out_of_range("etcdserver: mvcc: required revision is a future revision")
        }
        Refusal::NoSpace => Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
        Refusal::Unsupported(what) => {
            Status::unimplemented(format!("the embedded registry has no {what}"))
        }
    }
}
