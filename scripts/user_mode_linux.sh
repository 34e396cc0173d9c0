#!/usr/bin/env bash
# Runs a command where it may open as many files as it likes: in a Linux kernel that is itself a program (user-mode Linux), for a
# machine that allows too few and lets nobody raise that. The command sees this machine's files, may write to FOLDER (its working
# directory) and TMPDIR alone, and has one processor. System calls are slow there, so it is for what does not depend on time,
# which memory does not.
#
#     scripts/user_mode_linux.sh FOLDER COMMAND [ARGUMENT]...
#
# Debian 12, as any user, with the packages user-mode-linux and iproute2. Ends as the command does; 124 after an hour.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 FOLDER COMMAND [ARGUMENT]..." >&2
    exit 2
fi
for program in linux.uml ip; do
    command -v "$program" >/dev/null || {
        echo "$0: $program is not there: apt-get install user-mode-linux iproute2, as root" >&2
        exit 2
    }
done
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
shift

printf '%q ' "$@" >"$folder/command"
rm -f "$folder/exit-code"
cat >"$folder/init" <<INIT
#!/bin/bash
export PATH=$(printf %q "$PATH") TMPDIR=/dev/shm
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t hostfs none /mnt -o $(printf %q "$folder")
cd /mnt
ip link set lo up
ulimit -n 1000000
echo 65535 >/proc/sys/net/core/somaxconn
eval "\$(cat command)"
echo \$? >exit-code
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod +x "$folder/init"

# The guest's memory is a file that fills as it is used. Its first console is our output.
memory="$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/user-mode-linux.XXXXXX")"
trap 'rm -rf "$memory"' EXIT
ended=0
TMPDIR="$memory" timeout --kill-after 10 3600 linux.uml mem=6G uml_dir="$memory" root=/dev/root rootfstype=hostfs rootflags=/ ro quiet \
    init="$folder/init" con=null con0=null,fd:1 </dev/null | sed -u 's/\r//' || ended=$?
[ -f "$folder/exit-code" ] || exit "$((ended == 0 ? 1 : ended))"
exit "$(cat "$folder/exit-code")"
