# Two commands do everything: `cargo run --release` starts Roomcast on this machine, `make test` runs every test.

NEXTEST_VERSION := 0.9.143
CARGO ?= cargo

# Parts that are not ours are kept below the build folder: a second run installs nothing.
TARGET := $(or $(CARGO_TARGET_DIR),target)
PARTS := $(abspath $(TARGET))/parts
INSTALL = STREAM_PUBLISHER=$(abspath $(TARGET))/debug/stream-publisher tests/parts/install.sh $(PARTS)

.DEFAULT_GOAL := help
.PHONY: help test tools format lint build unit web browser browser-firefox infra foreign soak e2e-aws-local test-autobahn test-dynamodb-local test-sns-moto \
	test-lambda-runtime test-redis templates publisher lambda deploy cost image-size lambda-figures release measure \
	replay bench-append bench-jitter bench-deflate bench bench-quick bench-pairs bench-programs peers bench-micro hunt fuzz

## This list, which is what `make` alone prints too.
help:
	@awk '/^## / { text = text (text ? " " : "") substr($$0, 4); next } \
		/^[a-z][a-z0-9-]*:/ && text { sub(/(: `make|\.) .*/, ".", text); printf "  make %-21s %s\n", substr($$1, 1, length($$1) - 1), text } \
		!/^#/ { text = "" }' $(firstword $(MAKEFILE_LIST))

## Everything that must hold before a change lands. Installs what it needs, into the user's cargo folder.
test: tools format lint build unit web browser infra foreign

## Installs what runs the tests, into the user's cargo folder.
tools:
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest --version $(NEXTEST_VERSION)

## Whether every file is formatted.
format:
	$(CARGO) fmt --all --check

## Clippy, whose every warning is an error.
lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

## Builds everything, without optimising it.
# One set of features for everything, so that dependencies are built once; the end-to-end tests run these binaries.
build:
	$(CARGO) build --workspace --all-targets

## Every test in Rust: units, properties, programs end to end.
unit:
	$(CARGO) nextest run --workspace

## The browser client and the page's parts, in virtual time.
web:
	node --test tests/web/*.test.mjs

BROWSER_PACKAGES := tests/browser/node_modules/.package-lock.json
BROWSER_TESTS = cd tests/browser && ROOMCAST_TARGET=$(abspath $(TARGET)) node --test --test-concurrency=1 --test-force-exit

$(BROWSER_PACKAGES): tests/browser/package.json tests/browser/package-lock.json
	cd tests/browser && npm ci --no-audit --no-fund
	@touch $@

## The page and the client in Chromium, on two nodes: the machine's, or else Debian's, which root installs. About a minute.
browser: build $(BROWSER_PACKAGES)
	$(INSTALL) chromium
	$(BROWSER_TESTS) page.test.mjs look.test.mjs client.test.mjs

## The same in Firefox, with an outage of 90 s. Not part of `make test`.
browser-firefox: build $(BROWSER_PACKAGES)
	$(INSTALL) firefox
	$(BROWSER_TESTS) firefox.test.mjs

## The failure table at length, one fault after the other, some half an hour. Prints what each of them cost.
soak: tools build
	ROOMCAST_SOAK=1 $(CARGO) nextest run --workspace --profile soak -E 'binary(/^fault/)'

## Against programs that are not ours: parts of AWS, Redis, a WebSocket test suite.
foreign: test-autobahn test-dynamodb-local test-sns-moto test-lambda-runtime test-redis e2e-aws-local

## End to end in ministack: the data plane by its CloudFormation template, the compiled Lambda behind the Runtime API.
e2e-aws-local: tools build
	$(INSTALL) python lambda-zip
	ROOMCAST_PARTS=$(PARTS) ROOMCAST_TEST_STACK=ministack $(CARGO) nextest run --workspace --profile aws-local

## The message log, the tables and the leases against Amazon's DynamoDB Local.
test-dynamodb-local: tools build
	$(INSTALL) dynamodb-local
	tests/parts/with-dynamodb-local.sh $(PARTS) $(CARGO) nextest run --workspace --profile dynamodb-local

## The connections themselves, with an echo above them, against the cases of the Autobahn test suite.
test-autobahn: tools build
	$(INSTALL) python
	ROOMCAST_PARTS=$(PARTS) $(CARGO) nextest run --workspace --profile autobahn

## What the endpoint thinks of posts that another implementation of SNS has signed.
test-sns-moto: tools build
	$(INSTALL) python
	ROOMCAST_PARTS=$(PARTS) $(CARGO) nextest run --workspace --profile moto

## The compiled Lambda behind another implementation of the Lambda Runtime API (cargo-lambda's).
test-lambda-runtime: tools build
	$(INSTALL) python
	ROOMCAST_PARTS=$(PARTS) $(CARGO) nextest run --workspace --profile lambda-runtime

## Hints through a real Redis or Valkey: killed, stopped, absent, with strangers at its channel, and behind TLS.
test-redis: tools build
	$(INSTALL) redis
	ROOMCAST_PARTS=$(PARTS) $(CARGO) nextest run --workspace --profile redis

# Packages of Node and Python, fetched again only when their lists change.
INFRA_PACKAGES := infra/node_modules/.package-lock.json
CFN_LINT := target/cfn-lint/bin/cfn-lint

$(INFRA_PACKAGES): infra/package.json infra/package-lock.json
	cd infra && npm ci
	@touch $@

$(CFN_LINT): infra/requirements.txt
	python3 -m venv target/cfn-lint
	target/cfn-lint/bin/pip install --quiet --requirement infra/requirements.txt
	@touch $@

## The stacks: types, assertions, AWS Solutions' rules, the kept templates, cfn-lint; and the model of costs. Needs no account.
infra: $(INFRA_PACKAGES) $(CFN_LINT)
	cd infra && node_modules/.bin/tsc
	cd infra && node --import tsx --test --test-reporter=spec test/all.ts
	cd infra && ../$(CFN_LINT) cloudformation/*.json
	python3 -B -m unittest discover --start-directory scripts --pattern 'test_*.py'

## Writes infra/cloudformation anew: templates for those who do not use CDK.
templates: $(INFRA_PACKAGES)
	cd infra && node --import tsx bin/templates.ts

LAMBDA = $(CARGO) lambda build --profile dist --arm64 --package stream-publisher

## The Lambda for AWS. Needs cargo-lambda (`pip install cargo-lambda`, which brings zig) and rustup's target for arm64;
## without the target, on Debian: scripts/lambda-arm64.sh.
publisher:
	$(LAMBDA)

## The same, as a zip file too, for those who do not use CDK.
lambda: publisher
	$(LAMBDA) --output-format zip

ENVIRONMENT ?= trial

## Builds the Lambda and deploys with the credentials of the shell; ARGS go to CDK (`ARGS='-c domainName=…'`).
deploy: publisher $(INFRA_PACKAGES)
	cd infra && node_modules/.bin/cdk deploy --all -c environment=$(ENVIRONMENT) $(ARGS)

## What a month costs, beside API Gateway, AppSync and ElastiCache: `make cost ARGS='--clients 100000 --messages 100'`. Without
## ARGS: an example, and how to ask for another load.
cost:
	@python3 -B scripts/cost.py $(ARGS)

# The server as its image has it.
DIST = $(CARGO) build --profile dist --package ws-server

## How large the server's image is, layer by layer, on Debian 12 without a container engine.
image-size:
	$(DIST)
	@python3 -B scripts/image_size.py $(TARGET)/dist/ws-server

## What the publisher takes of a Lambda: time to start, of invocations, and memory.
lambda-figures:
	$(CARGO) build --profile dist --package stream-publisher
	@python3 -B scripts/lambda_figures.py $(TARGET)/dist/stream-publisher

## The local stack, optimised: what `cargo run --release` starts.
release:
	$(CARGO) build --release

# Benches measure what is deployed: the profile `dist` builds every program of theirs, the server as for its image.
BENCH := $(abspath $(TARGET))/dist

## Builds what the benches run.
bench-programs:
	$(DIST)
	$(CARGO) build --profile dist --package bench --package tests --package load-generator --package local-stack

## How many publishes into one room two nodes take, from 20 publishers; and one node alone. Then how long a message
## takes to the other node when only one writes, with the stream polled as Lambda does and as often as it can be.
measure: bench-programs
	$(BENCH)/append-load --nodes 2
	$(BENCH)/append-load --nodes 1
	$(BENCH)/append-load --publishers 1 --in-flight 1 --pause-ms 300 --seconds 30
	$(BENCH)/append-load --publishers 1 --in-flight 1 --pause-ms 300 --seconds 30 --stream-poll-ms 20

## A recorded live chat through two nodes at 60 times its pace.
replay: bench-programs
	$(BENCH)/replay

## How well many nodes write the same rooms when a commit takes 4 ms, held against goals; some seven minutes. It fails
## when a promise is broken, not when a goal is missed.
bench-append: bench-programs
	$(BENCH)/bench-append

## 10,000 clients of one room on two nodes, each cut off about every 15 s and back 2 s later, on any node.
bench-jitter: bench-programs
	$(BENCH)/bench-load jitter --seconds 60

## What compression saves of a recorded live chat, and what it costs.
bench-deflate: bench-programs
	$(BENCH)/bench-deflate

# Programs that are not ours, for comparison. Those that cannot be built are named in the report.
PEERS_NODE := bench/peers/node/node_modules/.package-lock.json

$(PEERS_NODE): bench/peers/node/package.json bench/peers/node/package-lock.json
	cd bench/peers/node && npm ci --no-audit --no-fund
	@touch $@

## node ws, Socket.IO and socketioxide, from npm and crates.io.
peers: $(PEERS_NODE)
	$(CARGO) build --release --locked --manifest-path bench/peers/socketioxide/Cargo.toml \
		--target-dir $(abspath $(TARGET))/peers

# The server has core 0, the load and what stands in for AWS have core 1.
BENCH_FANOUT = taskset --cpu-list 1 $(BENCH)/bench-fanout

## Fan-out beside other servers; writes docs/performance.md with its pictures. Fails when a promise is
## broken, not when a goal is missed. A machine with nothing else to do, two cores at least.
bench: bench-programs
	-$(MAKE) peers
	$(BENCH_FANOUT) --out docs $(ARGS)

## What the goals depend on, once; writes nothing.
bench-quick: bench-programs
	$(BENCH_FANOUT) --quick $(ARGS)

## What a change costs or gains: this commit's node and another one's, in turn, nine times and more, at every point that a
## goal depends on: `make bench-pairs BEFORE=/path/to/ws-server`, built with `cargo build --profile dist`. Writes nothing.
bench-pairs: bench-programs
	$(BENCH_FANOUT) --before $(BEFORE) --quick --repeat 9 $(ARGS)

## The decisions, the encoding and the fan-out alone, by criterion.
bench-micro:
	$(CARGO) bench --profile dist --package protocol --bench encode
	$(CARGO) bench --profile dist --package room-core --bench timeline
	$(CARGO) bench --profile dist --workspace --bench fanout

HUNT ?= 100000
FROM ?= 0

## Clusters in virtual time, one a seed; ends with the first that breaks a promise, and with the command to replay it.
hunt:
	$(CARGO) run --profile dist --package simulator -- --hunt $(HUNT) --from $(FROM)

CARGO_FUZZ_VERSION := 0.13.2
FUZZ ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_TARGET := $(abspath $(TARGET))/fuzz

## Bytes that a fuzzer makes up, for every target (or those of FUZZ) so many seconds: `make fuzz ARGS=600`. What it finds
## interesting stays below the build folder; what is worth keeping goes into fuzz/corpus, which `make unit` replays.
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz --version $(CARGO_FUZZ_VERSION)
	$(foreach target,$(FUZZ),mkdir -p $(FUZZ_TARGET)/corpus/$(target) && \
		$(CARGO) fuzz run --sanitizer none --target-dir $(FUZZ_TARGET) $(target) \
		$(FUZZ_TARGET)/corpus/$(target) fuzz/corpus/$(target) -- -max_total_time=$(or $(ARGS),60) -max_len=4096 &&) true
