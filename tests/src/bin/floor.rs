//! The floor for `make bench`: a bare tonic service and a bare axum handler that
//! answer 100 bytes and do nothing else, on one port, as the daemon has them.

use std::pin::Pin;

use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::cache_server::{Cache, CacheServer};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

#[derive(Debug)]
struct Floor {
    value: Bytes,
}

#[tonic::async_trait]
impl Cache for Floor {
    type PipelineStream = Pin<Box<dyn Stream<Item = Result<pb::PipelineResponse, Status>> + Send>>;

    async fn get(&self, _: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        let value = self.value.clone();
        Ok(Response::new(pb::GetResponse {
            found: true,
            value_bytes: 100,
            value,
            ..Default::default()
        }))
    }

    async fn set(&self, _: Request<pb::SetRequest>) -> Result<Response<pb::SetResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn delete(
        &self,
        _: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn touch(
        &self,
        _: Request<pb::TouchRequest>,
    ) -> Result<Response<pb::TouchResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn update(
        &self,
        _: Request<pb::UpdateRequest>,
    ) -> Result<Response<pb::UpdateResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn set_many(
        &self,
        _: Request<pb::SetManyRequest>,
    ) -> Result<Response<pb::SetManyResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn batch_get(
        &self,
        _: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn batch_set(
        &self,
        _: Request<pb::BatchSetRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn batch_delete(
        &self,
        _: Request<pb::BatchDeleteRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }

    async fn pipeline(
        &self,
        _: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        Err(Status::unimplemented("the floor only reads"))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let value = Bytes::from(vec![b'x'; 100]);
    let service = CacheServer::new(Floor {
        value: value.clone(),
    });
    let router = tonic::service::Routes::new(service)
        .into_axum_router()
        .route("/api", get(move || async move { value.clone() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("floor listening on http://{} ", listener.local_addr()?);
    // As tonic's own server does, and as the daemon does: answers leave at once.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}
