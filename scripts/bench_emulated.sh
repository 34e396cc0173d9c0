#!/usr/bin/env bash
# Runs bench-fanout in an emulated machine (qemu), where this one allows too few open files for it: for what does not
# depend on time, which memory does not.
#
#     make bench-programs
#     scripts/bench_emulated.sh --repeat 1 --server roomcast --only '50000 idle'
#
# Debian 12, as any user; fetches a kernel into target/emulated. Needs the packages qemu-system-x86, busybox-static and cpio.
set -euo pipefail

cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
work="$target/emulated"
kernel=linux-image-cloud-amd64
for program in qemu-system-x86_64 busybox cpio; do
    command -v "$program" >/dev/null || {
        echo "$0: $program is not there: apt-get install qemu-system-x86 busybox-static cpio, as root" >&2
        exit 1
    }
done
mkdir -p "$work"

if [ ! -f "$work/kernel/.complete" ]; then
    rm -rf "$work/kernel"
    mkdir -p "$work/kernel"
    # The package of this name only names the one that has the kernel.
    named="$(apt-cache depends "$kernel" | sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -1)"
    (cd "$work/kernel" && apt-get -qq download "$named" && dpkg -x ./*.deb .)
    touch "$work/kernel/.complete"
fi

# All of the guest: the programs, the libraries that they link to, and what starts them.
root="$work/root"
rm -rf "$root"
mkdir -p "$root"/{bin,proc,sys,dev,tmp,etc}
programs=("$target"/release/{bench-fanout,roomcast-local,raw-server} "$target/dist/ws-server")
cp "$(command -v busybox)" "$(command -v taskset)" "${programs[@]}" "$root/bin"
strip "$root"/bin/*
ldd "${programs[@]}" "$(command -v taskset)" | grep -o '/[^ :]*\.so[^ :]*' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp "$library" "$root$library"
done
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
printf '%q ' "$@" >"$root/arguments"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs tmp /tmp
ifconfig lo 127.0.0.1 up
ulimit -n 1000000
echo 65535 >/proc/sys/net/core/somaxconn
eval "taskset -c 1 bench-fanout --node /bin/ws-server $(cat /arguments)"
echo "exit code: $?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"

# It ends by itself. Two processors, as the bench wants them.
log="$work/log"
timeout 3600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 8192 -nographic -no-reboot -nic none \
    -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1" | sed -u 's|\r||' | tee "$log"
grep -q '^exit code: 0$' "$log"
