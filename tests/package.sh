#!/usr/bin/env bash
# Installs umpire as its users would, and tries the file that comes out in an empty folder, with nothing of the source tree in reach.
#
# Usage: tests/package.sh [TARGET|FILE...]     a FILE, which has a / in its name, is tried as it is; by default the host's own, and x86_64-unknown-linux-musl if it can be built here
#   UMPIRE_PACKAGE_LIMIT=15     MiB that a file may have
#
# Each C library makes other system calls, and a filter ends a thread that makes one which is not on its list: so every kind of thread
# is tried, and every way to end a run. What needs KVM, gdb or script is left out where there is none.
#
# Prints a line a target: its size, whether it is static, and what it did. Needs for musl: `rustup target add x86_64-unknown-linux-musl` and musl-gcc (apt-get install musl-tools).
#
# Exit: 0 if every file is small enough and does what it should; 1 if one is not; 2 if nothing could be built.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace=$(dirname "$here")
limit=${UMPIRE_PACKAGE_LIMIT:-15}
host=$(rustc -vV | sed -n 's/^host: //p')
musl=x86_64-unknown-linux-musl

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=("$host")
    if [ -d "$(rustc --print target-libdir --target $musl)" ] && command -v musl-gcc >/dev/null; then
        targets+=("$musl")
    else
        echo "package: $musl was left out: it needs its target and musl-gcc" >&2
    fi
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failed=0

# alone COMMAND...: becomes it, in an empty folder and with an environment of its own: to be called by a shell of its own.
alone() {
    cd "$root/empty" && exec env -i HOME="$root/empty" XDG_RUNTIME_DIR="$root/empty" TERM=xterm PATH=/usr/bin:/bin "$@"
}

# ends NAME CODES COMMAND...: runs it so, and it has to end with one of these codes.
ends() {
    local name=$1 codes=$2 found=0
    shift 2
    (alone "$@") >"$root/out" 2>"$root/err" </dev/null || found=$?
    if [[ " $codes " = *" $found "* ]]; then
        said+=" $name"
    else
        echo "package: $target: $name exited with $found, not $codes: $(head -c 300 "$root/err")" >&2
        failed=1
    fi
}

tried() { # NAME COMMAND...
    ends "$1" 0 "${@:2}"
}

# signalled NAME SIGNAL CODE WORDS COMMAND...: likewise, with a signal when these words have been said.
signalled() {
    local name=$1 signal=$2 code=$3 words=$4 found=0 pid n
    shift 4
    # What a shell starts in the background ignores SIGINT.
    alone env --default-signal=INT,HUP "$@" >"$root/out.signalled" 2>&1 </dev/null &
    pid=$!
    for ((n = 0; n < 600; n++)); do grep -qs "$words" "$root/out.signalled" && break; kill -0 $pid || break; sleep 0.1; done
    kill "-$signal" $pid
    wait $pid || found=$?
    if [ "$found" = "$code" ]; then
        said+=" $name"
    else
        echo "package: $target: $name exited with $found, not $code: $(head -c 300 "$root/out.signalled")" >&2
        failed=1
    fi
}

# What looks into a run, while it runs; then the run is ended.
live() {
    local pid n found=0
    alone "$umpire" run i1532 --variant kpreemptpri=99 --run 300s --gdb --record "$root/empty/live.rec" --latency >"$root/out.run" 2>&1 </dev/null &
    pid=$!
    for ((n = 0; n < 600; n++)); do (alone "$umpire" ps) | grep -q running && break; kill -0 $pid || break; sleep 0.1; done
    tried ps "$umpire" ps --json
    tried mdb "$umpire" mdb i1532 -e '::cpuinfo -v' -e '::stacks' -e ':s' -e '::regs' -e ':c' -e '!true'
    tried kick "$umpire" mdb -k i1532 -e '::walk thread | ::findstack'
    tried dump "$umpire" mdb i1532 -e "::dump $root/empty/live.core" -e "::dump -z $root/empty/live.core.zst"
    tried mpstat "$umpire" mpstat i1532 1 2
    tried events "$umpire" events i1532 --live --by probe
    if command -v gdb >/dev/null; then
        tried gdb timeout 60 gdb -nx -q -batch -ex "target remote | $umpire gdb i1532 --stdio" -ex 'info threads' -ex detach
        signalled gdb-port INT 130 'Ctrl-C ends this' "$umpire" gdb i1532 --listen 127.0.0.1:0
    fi
    if command -v script >/dev/null; then
        tried watch sh -c "(sleep 1; printf q) | timeout 60 script -qec '$umpire watch i1532' /dev/null"
        tried prompt sh -c "(sleep 1; printf '::cpuinfo\r'; sleep 1; printf '::quit\r') | timeout 60 script -qec '$umpire mdb i1532' /dev/null"
    fi
    kill -TERM $pid
    wait $pid || found=$?
    if [ "$found" = 143 ]; then
        said+=" term"
    else
        echo "package: $target: a run that got SIGTERM exited with $found: $(head -c 300 "$root/out.run")" >&2
        failed=1
    fi
}

for target in "${targets[@]}"; do
    umpire=$root/$target/bin/umpire
    [[ "$target" != */* ]] || umpire=$(realpath "$target")
    [[ "$target" = */* ]] || cargo install --quiet --locked --path "$workspace" --profile dist --target "$target" --root "$root/$target" 2>"$root/err" ||
        { cat "$root/err" >&2; exit 2; }
    rm -rf "$root/empty"
    mkdir "$root/empty"
    said=""
    size=$(stat -c %s "$umpire")
    mib=$(awk "BEGIN { printf \"%.1f\", $size / 1048576 }")
    [[ "$target" = */* ]] || awk "BEGIN { exit !($size <= $limit * 1048576) }" || { echo "package: $target: $mib MiB, which is more than $limit" >&2; failed=1; }
    kind=dynamic
    if [ "$(LC_ALL=C ldd "$umpire" 2>&1 | grep -cE 'statically linked|not a dynamic')" -gt 0 ]; then kind=static; fi
    [ "$target" != "$musl" ] || [ "$kind" = static ] || { echo "package: $target: it is not static" >&2; failed=1; }
    tried version "$umpire" --version
    tried list "$umpire" list
    tried man "$umpire" man
    tried completions "$umpire" completions bash
    tried image "$umpire" image "$root/empty/guest.elf"
    tried simulator "$umpire" run i1532 --sim --variant kpreemptpri=100
    tried recording "$umpire" run i1532 --sim --variant kpreemptpri=100 --record "$root/empty/a.rec"
    tried page "$umpire" timeline "$root/empty/a.rec" -o "$root/empty/a.html"
    tried why "$umpire" why i1532 --sim
    tried report "$umpire" run i1532 --sim --variant kpreemptpri=100 --report r --junit j --tap t --markdown m --core-on end c
    tried core "$umpire" mdb c/i1532.kpreemptpri=100.1.core -e ::cpuinfo
    tried doctor "$umpire" doctor
    signalled int INT 130 'outcome' "$umpire" run i1532 --sim --seeds 1000000 --json
    if [ -w /dev/kvm ]; then
        # A busy host may make any of these runs inconclusive, or be blamed on the guest, which is no fault of the file.
        ends kvm "0 1 4" "$umpire" run i1532
        ends core-on "0 1 4" "$umpire" run i1532 --variant kpreemptpri=100 --core-on violation k --core-zstd --report kr
        signalled hold INT 130 ': held' "$umpire" run i1532 --variant kpreemptpri=100 --hold violation
        live
    fi
    echo "$target: $mib MiB, $kind:$said"
done
exit $failed
