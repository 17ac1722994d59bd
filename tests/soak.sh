#!/usr/bin/env bash
# Soak: a long run with everything that may look into it, many short ones, and many that are killed; prints figures.
#
#   tests/soak.sh [MINUTES] [STARTS] [KILLS]        60, 1000 and 1000 if nothing is said; each part takes what it is given
#   UMPIRE=target/release/umpire                    the program, if it is another than that of `cargo build`
#
# Exits 1 if anything grew, stayed behind, or was judged wrong. It is not part of the tests: it takes the time that it is given.
set -u
minutes=${1:-60} starts=${2:-1000} kills=${3:-1000}
here=$(cd "$(dirname "$0")/.." && pwd)
umpire=${UMPIRE:-$here/target/debug/umpire}
[ -x "$umpire" ] || { echo "there is no $umpire: cargo build"; exit 2; }
dir=$(mktemp -d)
export XDG_RUNTIME_DIR=$dir
failed=0
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT

say() { printf '%-44s %s\n' "$1" "$2"; }
wrong() { say "WRONG: $1" "$2"; failed=1; }
figures() { # of a process: resident KiB, descriptors, threads
    echo "$(awk '/^VmRSS/ {print $2}' "/proc/$1/status" 2>/dev/null) $(ls "/proc/$1/fd" 2>/dev/null | wc -l) $(ls "/proc/$1/task" 2>/dev/null | wc -l)"
}
left() { # processes, sockets and memory files that this soak has left
    local processes sockets
    processes=$(pgrep -fc "^$umpire run .*soak-mark" 2>/dev/null)
    sockets=$(find "$dir/umpire" -type s 2>/dev/null | wc -l)
    echo "${processes:-0} $sockets"
}

# 1. One run of so many minutes: two inspectors, a recorder, a gdb that attaches and leaves.
if [ "$minutes" != 0 ]; then
    seconds=$(awk "BEGIN {print int($minutes * 60)}")
    "$umpire" run healthy --run "${seconds}s" --record "$dir/soak.rec" --json >"$dir/out" 2>"$dir/err" &
    run=$!
    until "$umpire" ps | grep -q healthy; do kill -0 $run 2>/dev/null || break; done
    sleep 5
    read -r rss0 fds0 threads0 < <(figures $run)
    tries=0 looks=0 gdbs=0 attaches=0 most=$rss0
    end=$((SECONDS + seconds - 10)) next_gdb=$SECONDS
    while kill -0 $run 2>/dev/null && [ $SECONDS -lt $end ]; do
        "$umpire" mdb healthy -e '::cpuinfo -v' >/dev/null 2>&1 &
        one=$!
        tries=$((tries + 2))
        "$umpire" mpstat healthy 1 2 >/dev/null 2>&1 && looks=$((looks + 1))
        wait $one && looks=$((looks + 1))
        if command -v gdb >/dev/null && [ $SECONDS -ge $next_gdb ]; then
            gdbs=$((gdbs + 1))
            timeout 60 gdb -nx -q -batch -ex "target remote | $umpire gdb healthy --stdio" -ex 'info threads' -ex detach 2>&1 </dev/null \
                | grep -q detached && attaches=$((attaches + 1))
            next_gdb=$((SECONDS + 60))
        fi
        read -r rss _ _ < <(figures $run)
        [ "${rss:-0}" -gt "${most:-0}" ] && most=$rss
    done
    sleep 1
    read -r rss1 fds1 threads1 < <(figures $run)
    # With more CPUs than the host has, a run goes on until each has had three quarters of its time, which may be three times as long.
    kill -INT $run 2>/dev/null
    wait $run
    code=$?
    # A host that is too busy to say has a run be inconclusive.
    say "long run, seconds: asked for, run" "$seconds $(grep -o '"run_ns":[0-9]*' "$dir/out" | awk -F: '{ print int($2 / 1e9) }')"
    say "looks of inspectors that were answered" "$looks of $tries"
    say "gdbs that came and went" "$attaches of $gdbs"
    say "verdict" "$(grep -o '"outcome":"[a-z]*"' "$dir/out") exit $code"
    say "resident KiB: at 5 s, most, at the end" "$rss0 $most ${rss1:-gone}"
    say "descriptors: at 5 s, at the end" "$fds0 ${fds1:-gone}"
    say "threads: at 5 s, at the end" "$threads0 ${threads1:-gone}"
    say "recording, KiB" "$(du -k "$dir/soak.rec" | cut -f1)"
    [ "$looks $attaches" = "$tries $gdbs" ] || wrong "not everybody was answered" "$looks of $tries, $attaches of $gdbs"
    case $code in 0 | 4 | 130) ;; *) wrong "exit code of a healthy guest" "$code: $(head -3 "$dir/err")" ;; esac
    grep -q '"observed":"violated"' "$dir/out" && wrong "a healthy guest was accused" "$(head -c 400 "$dir/out")"
    [ -n "${rss1:-}" ] && [ "$rss1" -gt $((rss0 + 65536)) ] && wrong "memory grew" "$rss0 -> $rss1 KiB"
    [ -n "${fds1:-}" ] && [ "$fds1" -gt $((fds0 + 2)) ] && wrong "descriptors grew" "$fds0 -> $fds1"
    [ -n "${threads1:-}" ] && [ "$threads1" -gt $((threads0 + 2)) ] && wrong "threads grew" "$threads0 -> $threads1"
fi

# 2. Starts and ends.
bad=0
for ((n = 0; n < starts; n++)); do
    "$umpire" run i1532 --variant mode=user --run 10ms --junit "$dir/soak-mark" >/dev/null 2>&1
    case $? in 0 | 1 | 4) ;; *) bad=$((bad + 1)) ;; esac
done
read -r processes sockets < <(left)
say "starts and ends" "$starts, $bad of them with an error"
say "left by them: processes, sockets" "$processes $sockets"
[ "$bad$processes$sockets" = 000 ] || wrong "starts and ends" "$bad errors, $processes processes, $sockets sockets"

# 3. SIGKILL at random moments.
RANDOM=1
for ((n = 0; n < kills; n++)); do
    "$umpire" run i1532 --run 200ms --junit "$dir/soak-mark" >/dev/null 2>&1 &
    victim=$!
    sleep "0.$(printf '%03d' $((RANDOM % 400)))"
    kill -KILL $victim 2>/dev/null
    wait $victim 2>/dev/null
done
if [ "$kills" != 0 ]; then
    read -r processes sockets < <(left)
    # A name that nobody listens to is taken away by whoever meets it.
    listed=$("$umpire" ps --json | wc -l)
    read -r _ stale < <(left)
    say "killed at random moments" "$kills"
    say "left: processes, names before and after ps" "$processes, $sockets, $stale"
    [ "$processes" = 0 ] && [ "$listed" = 0 ] && [ "$stale" = 0 ] || wrong "after kills" "$processes processes, $listed VMs, $stale names"
    "$umpire" run i1532 --variant mode=user --run 10ms >/dev/null 2>&1
    case $? in 0 | 1 | 4) say "a run after them" "as ever" ;; *) wrong "a run after them" "fails" ;; esac
fi
exit $failed
