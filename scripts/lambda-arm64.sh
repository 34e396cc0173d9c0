#!/usr/bin/env bash
# Builds the Lambda for arm64 where rustup has no such target and can fetch none: with Debian's Rust and zig's linker.
# Everybody else builds it by `make lambda`.
#
#     scripts/lambda-arm64.sh        on Debian on x86_64, as any user; downloads some 400 MB into target/rust-arm64
#
# What is made is the same as `make lambda` makes: bootstrap and bootstrap.zip in target/lambda/stream-publisher.
set -euo pipefail

cd "$(dirname "$0")/.."
source scripts/rust-arm64.sh

# cargo-lambda links with zig.
python="$work/python"
if [ ! -f "$python/.complete" ]; then
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/python" -m pip install --quiet --no-input --no-deps cargo-lambda==1.9.2 ziglang==0.17.1
    touch "$python/.complete"
fi

# cargo-lambda asks rustup for the target; nobody answers at port 9, and it goes on with what it is given.
PATH="$python/bin:$PATH" RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTC="$rustc" CARGO_TARGET_DIR="$work/build" \
    "$python/bin/cargo-lambda" lambda build --profile dist --arm64 --output-format zip --package stream-publisher \
    --lambda-dir "$target/lambda"

# As a folder too: that is what CDK takes.
cd "$target/lambda/stream-publisher"
python3 -m zipfile -e bootstrap.zip . && chmod +x bootstrap
ls -l bootstrap bootstrap.zip
