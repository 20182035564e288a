# What people and CI type. Anything with an `if` lives in tools/.
.PHONY: run test sim lint docs bench bench-moves fuzz compose-test clean

# A cluster of three nodes in one process, REST on :9999. Nothing but protoc is needed.
run:
	@tools/need cc protoc
	@cargo build --release -p cached -p cachectl
	@target/release/cached dev $(ARGS)

# Everything, against real etcd.
test:
	@tools/need cc protoc etcd curl tmux redis-server redis-benchmark redis-py
	@CACHED_REQUIRE_ETCD=1 CACHED_REQUIRE_REDIS=1 CACHED_REQUIRE_TMUX=1 tools/test

# Whole clusters from seeds, with crashes, cut links and an ailing registry.
sim:
	@tools/need cc protoc
	@tools/sim $(or $(SEEDS),100) $(ARGS)

lint:
	@tools/need cc protoc
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	@tools/need cc protoc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The tables of docs/benchmarks.md; ARGS='--quick floor status' for a look at some.
bench:
	@tools/need cc protoc etcd curl taskset h2load redis-server redis-benchmark memcached
	@tools/bench $(ARGS)

# The tables on moving slots of docs/benchmarks.md; ARGS=--quick for a look.
bench-moves:
	@tools/need cc protoc etcd
	@tools/bench-moves $(ARGS)

# Random inputs for everything that reads bytes from outside; SECONDS for each target.
fuzz:
	@tools/need cc protoc
	@tools/fuzz $(or $(SECONDS),60) $(ARGS)

# docker compose: up, the quick start, one container killed.
compose-test:
	@tools/compose-test

clean:
	cargo clean
