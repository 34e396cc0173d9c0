# Two commands do everything: `cargo run --release` starts Roomcast on this machine, `make test` runs every test.

NEXTEST_VERSION := 0.9.143
CARGO ?= cargo

.PHONY: test tools format lint build unit web release measure replay bench-append bench-jitter hunt

## Everything that must hold before a change lands. Installs what it needs, into the user's cargo folder.
test: tools format lint build unit web

tools:
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest --version $(NEXTEST_VERSION)

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# One set of features for everything, so that dependencies are built once; the end-to-end tests run these binaries.
build:
	$(CARGO) build --workspace --all-targets

unit:
	$(CARGO) nextest run --workspace

web:
	node --test tests/web/*.test.mjs

release:
	$(CARGO) build --release

APPEND_LOAD = $(CARGO) run --release --package tests --bin append-load --

## How many publishes into one room two nodes take, from 20 publishers; and one node alone. Then how long a message
## takes to the other node when only one writes, with the stream polled as Lambda does and as often as it can be.
measure: release
	$(APPEND_LOAD) --nodes 2
	$(APPEND_LOAD) --nodes 1
	$(APPEND_LOAD) --publishers 1 --in-flight 1 --pause-ms 300 --seconds 30
	$(APPEND_LOAD) --publishers 1 --in-flight 1 --pause-ms 300 --seconds 30 --stream-poll-ms 20

## A recorded live chat through two nodes at 60 times its pace.
replay: release
	$(CARGO) run --release --package tests --bin replay

## How well many nodes write the same rooms when a commit takes 4 ms, held against goals; some seven minutes. It fails
## when a promise is broken, not when a goal is missed.
bench-append: release
	$(CARGO) run --release --package tests --bin bench-append

## 10,000 clients of one room on two nodes, each cut off about every 15 s and back 2 s later, on any node.
bench-jitter:
	$(CARGO) build --release --workspace
	"$${CARGO_TARGET_DIR:-target}/release/bench-load" jitter --seconds 60

HUNT ?= 100000
FROM ?= 0

## Clusters in virtual time, one a seed; ends with the first that breaks a promise, and with the command to replay it.
hunt:
	$(CARGO) run --release --package simulator -- --hunt $(HUNT) --from $(FROM)
