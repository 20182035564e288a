# Builds both programs, then keeps nothing but them.
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked -p cached -p cachectl

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home cached
COPY --from=build /source/target/release/cached /source/target/release/cachectl /usr/local/bin/
USER cached
EXPOSE 8001 9999
# The port that the process was told; a gateway and a node answer alike.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD cachectl --endpoint "http://127.0.0.1:${CACHED_PORT:-8001}" --timeout 2s status >/dev/null || exit 1
ENTRYPOINT ["cached"]
