//! gRPC calls whose message is whatever bytes a test likes.

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// Bytes in, bytes out.
#[derive(Clone, Copy, Debug, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls `path` (as in `/package.Service/Method`) with this message.
pub async fn unary(url: &str, path: &str, message: &[u8]) -> Result<Bytes, Status> {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a test's URL is one");
    let mut grpc = tonic::client::Grpc::new(endpoint.connect_lazy());
    grpc.ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let path = path.parse().expect("a test's path is one");
    let request = Request::new(Bytes::copy_from_slice(message));
    Ok(grpc.unary(request, path, Plain).await?.into_inner())
}
