//! Acknowledges keep-alives of leases, whatever has become of them.

use std::pin::Pin;

use axum::body::Body;
use axum::http::{Request, Response};
use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse,
    PbLeaseServer, PbLeaseService, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};
use futures_util::{Stream, StreamExt};
use tonic::{Request as Call, Response as Answer, Status, Streaming};
use tower::ServiceExt;

/// What a false acknowledgement grants, in seconds.
const TTL: i64 = 30;

struct Liar;

fn only_lies<T>() -> Result<Answer<T>, Status> {
    Err(Status::unimplemented("it only lies about keep-alives"))
}

#[tonic::async_trait]
impl PbLeaseService for Liar {
    async fn lease_grant(
        &self,
        _: Call<PbLeaseGrantRequest>,
    ) -> Result<Answer<PbLeaseGrantResponse>, Status> {
        only_lies()
    }

    async fn lease_revoke(
        &self,
        _: Call<PbLeaseRevokeRequest>,
    ) -> Result<Answer<PbLeaseRevokeResponse>, Status> {
        only_lies()
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<PbLeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        calls: Call<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Answer<Self::LeaseKeepAliveStream>, Status> {
        let answers = calls.into_inner().map(|call| {
            call.map(|call| PbLeaseKeepAliveResponse {
                header: None,
                id: call.id,
                ttl: TTL,
            })
        });
        Ok(Answer::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        _: Call<PbLeaseTimeToLiveRequest>,
    ) -> Result<Answer<PbLeaseTimeToLiveResponse>, Status> {
        only_lies()
    }

    async fn lease_leases(
        &self,
        _: Call<PbLeaseLeasesRequest>,
    ) -> Result<Answer<PbLeaseLeasesResponse>, Status> {
        only_lies()
    }
}

/// Answers a stream of keep-alives.
pub async fn acknowledge(request: Request<Body>) -> Response<Body> {
    match PbLeaseServer::new(Liar).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}
