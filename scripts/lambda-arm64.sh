#!/usr/bin/env bash
# Builds the Lambda for arm64 where rustup has no such target and can fetch none: with Debian's Rust and zig's linker.
# Everybody else builds it by `make lambda`.
#
#     scripts/lambda-arm64.sh        on Debian on x86_64, as any user; downloads some 400 MB into target/lambda-arm64
#
# What is made is the same as `make lambda` makes: bootstrap and bootstrap.zip in target/lambda/stream-publisher.
set -euo pipefail

cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work="$target/lambda-arm64"
apt="$work/apt"
root="$work/root"
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"

fail() {
    echo "scripts/lambda-arm64.sh: $1" >&2
    exit 1
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "this is for Debian on x86_64"

# The machine's own sources in folders of our own: no root is needed, and nothing is installed.
touch "$apt/status"
options=(
    -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"
    -o APT::Architecture=amd64 -o "APT::Architectures=amd64,arm64" -o APT::Sandbox::User=root
    -o Debug::NoLocking=1 -o Acquire::Languages=none
)

# What a package depends on, by the beginning of its name.
dependency() {
    local found
    found=$(apt-cache "${options[@]}" depends "$1" | sed -n "s/^ *Depends: \($2.*\)$/\1/p" | head -n 1)
    [ -n "$found" ] || fail "$1 depends on nothing like $2"
    echo "$found"
}

if [ ! -f "$root/.complete" ]; then
    apt-get "${options[@]}" -qq update || fail "apt-get update"
    std=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9]')
    llvm=$(dependency "$std" 'libllvm[0-9]')
    packages=(rustc-web "$std" "$llvm" libstd-rust-web-dev libstd-rust-web-dev:arm64)
    (cd "$apt/archives" && apt-get "${options[@]}" -qq download "${packages[@]}") || fail "apt-get download ${packages[*]}"
    for package in "$apt"/archives/*.deb; do
        dpkg -x "$package" "$root"
    done
    rm -f "$apt"/archives/*.deb
    touch "$root/.complete"
fi

# cargo-lambda links with zig.
python="$work/python"
if [ ! -f "$python/.complete" ]; then
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/python" -m pip install --quiet --no-input --no-deps cargo-lambda==1.9.2 ziglang==0.17.1
    touch "$python/.complete"
fi

cat >"$work/rustc" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$root/usr/bin/rustc" "\$@"
WRAPPER
chmod +x "$work/rustc"
"$work/rustc" --version || fail "Debian's rustc does not run"

# cargo-lambda asks rustup for the target; nobody answers at port 9, and it goes on with what it is given.
PATH="$python/bin:$PATH" RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTC="$work/rustc" CARGO_TARGET_DIR="$work/build" \
    "$python/bin/cargo-lambda" lambda build --release --arm64 --output-format zip --package stream-publisher \
    --lambda-dir "$target/lambda"

# As a folder too: that is what CDK takes.
cd "$target/lambda/stream-publisher"
python3 -m zipfile -e bootstrap.zip . && chmod +x bootstrap
ls -l bootstrap bootstrap.zip
