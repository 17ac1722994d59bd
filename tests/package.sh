#!/usr/bin/env bash
# Installs umpire as its users would, and tries the file that comes out in an empty folder, with nothing of the source tree in reach.
#
# Usage: tests/package.sh [TARGET...]     by default the host's own, and x86_64-unknown-linux-musl if it can be built here
#   UMPIRE_PACKAGE_LIMIT=15     MiB that a file may have
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

# tried NAME COMMAND...: runs it in an empty folder, with an environment of its own.
tried() {
    local name=$1
    shift
    if (cd "$root/empty" && env -i HOME="$root/empty" PATH=/usr/bin:/bin "$@" >"$root/out" 2>"$root/err"); then
        said+=" $name"
    else
        echo "package: $target: $name exited with $?: $(head -c 300 "$root/err")" >&2
        failed=1
    fi
}

for target in "${targets[@]}"; do
    cargo install --quiet --locked --path "$workspace" --profile dist --target "$target" --root "$root/$target" 2>"$root/err" ||
        { cat "$root/err" >&2; exit 2; }
    umpire=$root/$target/bin/umpire
    rm -rf "$root/empty"
    mkdir "$root/empty"
    said=""
    size=$(stat -c %s "$umpire")
    mib=$(awk "BEGIN { printf \"%.1f\", $size / 1048576 }")
    awk "BEGIN { exit !($size <= $limit * 1048576) }" || { echo "package: $target: $mib MiB, which is more than $limit" >&2; failed=1; }
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
    [ ! -w /dev/kvm ] || tried kvm "$umpire" run i1532 --variant kpreemptpri=100
    echo "$target: $mib MiB, $kind:$said"
done
exit $failed
