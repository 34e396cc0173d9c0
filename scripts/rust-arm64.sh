# Debian's Rust with the standard library for arm64, for machines where rustup has no such target and can fetch none. To be
# sourced from the repository's root; downloads some 400 MB into target/rust-arm64 once. No root is needed, nothing is installed.
#
# Sets: target (the target folder), work (the folder of this), rustc (the compiler to be called as).

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work="$target/rust-arm64"
apt="$work/apt"
root="$work/root"
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"

fail() {
    echo "$0: $1" >&2
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

rustc="$work/rustc"
cat >"$rustc" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$root/usr/bin/rustc" "\$@"
WRAPPER
chmod +x "$rustc"
"$rustc" --version || fail "Debian's rustc does not run"
