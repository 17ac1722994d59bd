#!/usr/bin/env bash
# Runs every file of tests/cases many times, on KVM with two busy loops beside it and under many seeds in the simulator, and prints
# how often each verdict came. What is right stands in the first line of each file (see tests/runs/cases.rs).
#
# Usage: tests/cases.sh [CASE...]        names without .toml; none means all
#   UMPIRE_CASES_RUNS=20      runs of each variant on KVM; 0 for none
#   UMPIRE_CASES_SEEDS=200    seeds of each variant in the simulator; 0 for none
#   UMPIRE_CASES_BURNERS=2    busy loops beside the runs on KVM, on CPU 0, 1, ...
#   UMPIRE_BINARY=            the umpire to run; unless set, one is built
#
# Exit: 0 if every verdict was right, inconclusive ones on KVM included; 1 if one was not; 2 if nothing could be run.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace=$(dirname "$here")
runs=${UMPIRE_CASES_RUNS:-20}
seeds=${UMPIRE_CASES_SEEDS:-200}
burners=${UMPIRE_CASES_BURNERS:-2}
umpire=${UMPIRE_BINARY:-}
if [ -z "$umpire" ]; then
    cargo build --quiet --release --manifest-path "$workspace/Cargo.toml" || exit 2
    umpire=$workspace/target/release/umpire
fi

pids=()
stop_burners() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    pids=()
}
trap stop_burners EXIT

# start_burners N: busy loops, each on a CPU of its own if the host has taskset.
start_burners() {
    local n
    for ((n = 0; n < $1; n++)); do
        (while :; do :; done) &
        pids+=($!)
        taskset -pc "$n" $! >/dev/null 2>&1 || true
    done
}

wrong=0
row() { printf '%-26s %-16s %-4s %5s %5s %12s %5s %5s  %s\n' "$@"; }

# judge CASE RIGHT WHERE ARGS...: runs the file with these arguments and prints a row a variant.
judge() {
    local case=$1 right=$2 where=$3 out code=0 want line
    shift 3
    out=$("$umpire" run "$here/cases/$case.toml" --json "$@" 2>/dev/null) || code=$?
    if [ "$right" = refused ] || [ "$code" = 2 ]; then
        [ "$right" = refused ] && [ "$code" = 2 ] && want=ok || { want=WRONG; wrong=1; }
        row "$case" - "$where" - - - - - "$want: exit $code"
        return
    fi
    # One object a run and line; summaries and what belongs to all have no outcome of their own.
    line=$(printf '%s\n' "$out" | awk -v right="$right" -v where="$where" '
        match($0, /"variant":"[^"]*"/) && /"schema":"umpire.run\// {
            variant = substr($0, RSTART + 11, RLENGTH - 12)
            if (!match($0, /"outcome":"[a-z]*"/)) next
            count[variant, substr($0, RSTART + 11, RLENGTH - 12)]++
            if (!total[variant]++) names[++n] = variant
        }
        END {
            for (i = 1; i <= n; i++) {
                v = names[i]
                good = count[v, right] + (where == "kvm" ? count[v, "inconclusive"] : 0)
                printf "%s|%d|%d|%d|%d|%d|%s\n", v, total[v], count[v, "pass"], count[v, "inconclusive"], count[v, "fail"], count[v, "error"], good == total[v] ? "ok" : "WRONG"
            }
        }')
    [ -n "$line" ] || { row "$case" - "$where" - - - - - "WRONG: exit $code, no run"; wrong=1; return; }
    while IFS='|' read -r variant total pass inconclusive fail error want; do
        row "$case" "$variant" "$where" "$total" "$pass" "$inconclusive" "$fail" "$error" "$want"
        [ "$want" = ok ] || wrong=1
    done <<<"$line"
}

if [ $# -eq 0 ]; then
    set -- "$here"/cases/*.toml
fi
row CASE VARIANT ON RUNS PASS INCONCLUSIVE FAIL ERROR ""
for name in "$@"; do
    case=$(basename "$name" .toml)
    file=$here/cases/$case.toml
    [ -r "$file" ] || { echo "cases: there is no $file" >&2; exit 2; }
    right=$(sed -n '1s/^# right: //p' "$file")
    [ "$seeds" = 0 ] || judge "$case" "$right" sim --sim --seeds "$seeds"
    if [ "$runs" != 0 ] && [ -w /dev/kvm ]; then
        start_burners "$burners"
        judge "$case" "$right" kvm --repeat "$runs"
        stop_burners
    fi
done
exit "$wrong"
