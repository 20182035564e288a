//! The standard health service: SERVING while requests should be sent here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::frontend::FrontendParts;

/// Services that can be asked for by name; the empty name is the whole server.
const SERVICES: [&str; 4] = [
    "",
    "cached.cache.v1.Cache",
    "cached.admin.v1.Admin",
    "cached.peer.v1.Peer",
];

/// How often a watched status is looked at again. Load balancers watch; they need
/// no better than this, and one look costs a few loads from memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Answers load balancers and supervisors.
#[derive(Debug)]
pub(super) struct HealthService {
    parts: Arc<FrontendParts>,
}

impl HealthService {
    pub(super) fn new(parts: Arc<FrontendParts>) -> Self {
        Self { parts }
    }
}

/// The status of a service; all of them live and die together.
fn status(parts: &FrontendParts, service: &str) -> ServingStatus {
    if !SERVICES.contains(&service) {
        return ServingStatus::ServiceUnknown;
    }
    match parts.operator.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// A watch: the last status told, and what it needs to look again.
struct Watch {
    parts: Arc<FrontendParts>,
    service: String,
    told: Option<ServingStatus>,
}

impl Watch {
    /// Waits for a status other than the last one; `None` when the process ends and
    /// that has been told.
    async fn next(&mut self) -> Option<HealthCheckResponse> {
        loop {
            let now = status(&self.parts, &self.service);
            if self.told != Some(now) {
                self.told = Some(now);
                return Some(response(now));
            }
            tokio::select! {
                biased;
                () = self.parts.operator.stopped() => {
                    // Stopping changes the status once, so look once more.
                    let last = status(&self.parts, &self.service);
                    let news = self.told.replace(last) != Some(last);
                    return news.then(|| response(last));
                }
                () = self.parts.clock.sleep(LOOK_EVERY) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match status(&self.parts, &service) {
            // So the protocol wants it; a watch may wait for a service to come.
            ServingStatus::ServiceUnknown => Err(Status::not_found("service is not known")),
            known => Ok(Response::new(response(known))),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let watch = Watch {
            parts: Arc::clone(&self.parts),
            service,
            told: None,
        };
        let next = async |mut watch: Watch| {
            let response = watch.next().await?;
            Some((Ok(response), watch))
        };
        Ok(Response::new(stream::unfold(watch, next).boxed()))
    }
}
