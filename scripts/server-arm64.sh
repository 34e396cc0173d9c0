#!/usr/bin/env bash
# Builds the server for arm64 where rustup has no such target and can fetch none: with Debian's Rust and its gcc for arm64,
# which the Dockerfile links with, too. Everybody else builds the image, or by `rustup target add`.
#
#     scripts/server-arm64.sh        on Debian on x86_64 with gcc-aarch64-linux-gnu and libc6-dev-arm64-cross
#
# What is made: target/rust-arm64/build/aarch64-unknown-linux-gnu/dist/ws-server, to be weighed by scripts/image_size.py.
set -euo pipefail

cd "$(dirname "$0")/.."
gcc=aarch64-linux-gnu-gcc
command -v "$gcc" >/dev/null || {
    echo "$0: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross, as root" >&2
    exit 1
}
source scripts/rust-arm64.sh

RUSTC="$rustc" CARGO_TARGET_DIR="$work/build" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="$gcc" \
    cargo build --profile dist --locked --target aarch64-unknown-linux-gnu --package ws-server
ls -l "$work/build/aarch64-unknown-linux-gnu/dist/ws-server"
