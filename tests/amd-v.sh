#!/usr/bin/env bash
# Runs `umpire run i1532` on true AMD-V semantics, without AMD hardware: QEMU's software CPU emulates SVM with nested
# paging, a Debian cloud kernel under it loads kvm_amd, and the static umpire runs there. See docs/amd-v.md.
#
# Usage: tests/amd-v.sh
#   UMPIRE_AMDV_RUN=2s        how long each variant of i1532 runs, in the emulated machine's time
#   UMPIRE_AMDV_ARGS=         more arguments of `umpire run i1532`, separated by commas, such as --cpus,4
#   UMPIRE_AMDV_TIMEOUT=120   seconds after which QEMU is stopped; there are at most 3 boots
#   UMPIRE_AMDV_BINARY=       a static umpire built before; unless set, one is built
#   UMPIRE_AMDV_TARGET_DIR=   cargo's target directory; target/amd-v of the workspace unless set
#   KEEP=1                    keep the work directory (kernel, initramfs, console) and say where it is
#
# Needs Debian's apt and cargo. Root only where a tool is missing (it is installed then), and to run QEMU at a higher
# priority, which a busy host calls for.
# Exit: 0 and the last line `amd-v: pass`; 1 and what failed; 2 if the machine cannot be set up; 4 if each of 3 boots
# failed on a host too busy to tell, or QEMU stood still.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace=$(dirname "$here")
run=${UMPIRE_AMDV_RUN:-2s}
args=${UMPIRE_AMDV_ARGS:-}
limit=${UMPIRE_AMDV_TIMEOUT:-120}
target_dir=${UMPIRE_AMDV_TARGET_DIR:-$workspace/target/amd-v}
host_triple=x86_64-unknown-linux-gnu
cpus=2
# Share of the time, in percent, that the host may keep QEMU's threads waiting before a failure is blamed on that.
noise_percent=2
# Seconds without a sign of life after which the emulated Linux itself counts as dead.
silence=25

say() { echo "amd-v: $*" >&2; }
cannot() {
    say "$*"
    exit 2
}

work=$(mktemp -d "${TMPDIR:-/tmp}/umpire-amd-v.XXXXXX")
qemu_pid=
clean_up() {
    [[ -n $qemu_pid ]] && kill -KILL "$qemu_pid" 2>/dev/null
    if [[ ${KEEP:-0} == 1 ]]; then
        say "kept $work"
    else
        rm -rf "$work"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Fetches the packages' lists, at most once, and only if those that are there do not suffice.
lists_are_fresh=0
refresh_lists() {
    ((lists_are_fresh)) && return 1
    ((EUID == 0)) || cannot "the package lists are old or missing: run \`apt-get update\` as root, then this script again"
    say "apt-get update"
    apt-get update -qq >&2
    lists_are_fresh=1
}

install_tools() {
    local missing=()
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    command -v cpio >/dev/null || missing+=(cpio)
    dpkg-query -W -f '${Status}' busybox-static 2>/dev/null | grep -q 'ok installed' || missing+=(busybox-static)
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || cannot "missing tools: run \`apt-get install ${missing[*]}\` as root, then this script again"
    say "apt-get install ${missing[*]}"
    local install=(apt-get install -qq -y --no-install-recommends "${missing[@]}")
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" >"$work/apt.log" 2>&1 || { refresh_lists && "${install[@]}" >"$work/apt.log" 2>&1; } ||
        { cat "$work/apt.log" >&2 && cannot "apt-get could not install ${missing[*]}"; }
}

# The name of the package that linux-image-cloud-amd64 stands for now; empty if apt does not know.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1
}

# Unpacks the kernel package into $work/linux; nothing of it is installed.
fetch_kernel() {
    local package
    package=$(kernel_package)
    if [[ -z $package ]] || ! download "$package"; then
        refresh_lists || cannot "apt-get cannot download the kernel package: $(cat "$work/apt.log" 2>/dev/null)"
        package=$(kernel_package)
        [[ -n $package ]] || cannot "apt knows no linux-image-cloud-amd64: this script needs a Debian package archive"
        download "$package" || cannot "apt-get cannot download $package: $(cat "$work/apt.log")"
    fi
    dpkg -x "$work"/linux-image-*.deb "$work/linux"
    say "kernel package: $package"
}

download() {
    (cd "$work" && apt-get -o APT::Sandbox::User=root -q download "$1" >"$work/apt.log" 2>&1)
}

# Appends a module, after what it depends on, to $work/root/modules/order.
add_module() {
    local name=${1//_/-} file depends dependency
    file=$(find "$work/linux/lib/modules" \( -name "$name.ko*" -o -name "${name//-/_}.ko*" \) | head -n 1)
    [[ -n $file ]] || cannot "the kernel package has no module $name"
    local plain=$work/root/modules/$name.ko
    [[ -e $plain ]] && return 0
    case $file in
        *.xz) xz -dc "$file" >"$plain" ;;
        *.zst) zstd -dqc "$file" >"$plain" ;;
        *.gz) gzip -dc "$file" >"$plain" ;;
        *) cp "$file" "$plain" ;;
    esac
    depends=$(tr '\0' '\n' <"$plain" | sed -n 's/^depends=//p' | tr ',' ' ')
    for dependency in $depends; do
        add_module "$dependency"
    done
    echo "$name.ko" >>"$work/root/modules/order"
}

build_umpire() {
    umpire=${UMPIRE_AMDV_BINARY:-}
    [[ -n $umpire ]] && return 0
    say "building the static umpire in $target_dir"
    (cd "$workspace" &&
        RUSTFLAGS='-C target-feature=+crt-static' CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=debuginfo \
            cargo build --quiet --locked --release --target "$host_triple" --target-dir "$target_dir" >&2) ||
        cannot "cargo could not build umpire"
    umpire=$target_dir/$host_triple/release/umpire
}

make_initramfs() {
    local root=$work/root
    mkdir -p "$root"/{bin,dev,proc,sys,modules}
    add_module kvm-amd
    cp "$umpire" "$root/bin/umpire"
    cp /bin/busybox "$root/bin/busybox"
    local applet
    for applet in sh cat dmesg echo grep insmod mount poweroff sleep tail tr uname; do
        ln -s busybox "$root/bin/$applet"
    done
    install -m 755 "$here/amd-v/init" "$root/init"
    # Not compressed: the emulated CPU would take longer to unpack it than QEMU takes to load it.
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 >"$work/initramfs")
}

# Boots; the console goes to $work/console and, as it comes, to standard output. Sets `is_noisy` if the host kept
# QEMU waiting: the emulated Linux cannot see that, and takes it for time in which its CPUs ran. Sets `is_dead` if
# that Linux stood still as a whole, which no guest of a KVM may bring about: that is the emulator.
boot() {
    local qemu=(
        qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none
        -serial "file:$work/console" -serial "file:$work/heartbeat"
        -accel "tcg,thread=multi" -cpu "max,+svm" -smp "$cpus" -m 2G
        -kernel "$(ls "$work"/linux/boot/vmlinuz-*)" -initrd "$work/initramfs"
        # The emulated time-stamp counters are the host's, which agree; Linux would not believe it and use the HPET,
        # whose every reading is an exit to QEMU's device thread.
        -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable rdinit=/init AMDV_RUN=$run AMDV_ARGS=$args"
    )
    ((EUID == 0)) && qemu=(nice -n -10 "${qemu[@]}")
    say "booting under QEMU's software CPU with SVM, at most ${limit}s"
    : >"$work/console"
    : >"$work/heartbeat"
    is_dead=0
    local begin=$SECONDS beat=$SECONDS beats=0 now_beats waited_ms=0 now_ms took
    "${qemu[@]}" </dev/null >&2 &
    qemu_pid=$!
    tail -n +1 -f --pid="$qemu_pid" "$work/console" | sed -u 's/\r$//' &
    local tail_pid=$!
    while kill -0 "$qemu_pid" 2>/dev/null; do
        now_ms=$(waited_ms_of "$qemu_pid")
        ((now_ms > waited_ms)) && waited_ms=$now_ms
        now_beats=$(stat -c %s "$work/heartbeat")
        ((now_beats > beats)) && beats=$now_beats beat=$SECONDS
        if ((SECONDS - beat >= silence)); then
            say "the emulated Linux itself has given no sign of life for ${silence}s"
            is_dead=1
            kill -KILL "$qemu_pid"
        elif ((SECONDS - begin >= limit)); then
            say "stopping QEMU after ${limit}s"
            kill -KILL "$qemu_pid"
        fi
        sleep 0.5
    done
    wait "$qemu_pid" || say "QEMU ended with $?"
    qemu_pid=
    wait "$tail_pid" || true
    took=$((SECONDS - begin + 1))
    is_noisy=$((waited_ms > took * 10 * noise_percent * cpus))
    say "QEMU ran for ${took}s; the host kept its threads waiting for ${waited_ms} ms of that"
}

# How long the threads of a process have been ready without running, in ms.
waited_ms_of() {
    cat "/proc/$1"/task/*/schedstat 2>/dev/null | awk '{ waited += $2 } END { printf "%d\n", waited / 1000000 }'
}

# The guest's own lines decide; each missing line is reported. The arguments say how i1532 and the others may have ended.
judge() {
    local ok=0 line
    for line in 'doctor ended with 0' 'kind svm' "i1532 ended with $1" "others ended with $2" 'done'; do
        tr -d '\r' <"$work/console" | grep -q "^amd-v-guest: $line at " && continue
        say "missing from the guest: \"$line\""
        ok=1
    done
    return "$ok"
}

[[ $(uname -m) == x86_64 ]] || cannot "this host is $(uname -m): the static umpire is built for x86_64"
command -v apt-get >/dev/null || cannot "there is no apt-get: this script needs a Debian package archive"
install_tools
build_umpire
fetch_kernel
make_initramfs
for try in 1 2 3; do
    boot
    if judge 0 '[04]'; then
        echo "amd-v: pass"
        exit 0
    fi
    if ((is_dead)); then
        say "try $try ended: QEMU's fault, not umpire's"
    elif ((is_noisy)) && judge '[014]' '[014]' 2>/dev/null; then
        # A bound missed is what noise can do. No KVM, a panic or an umpire that hangs is not.
        say "try $try failed, but on a busy host: starved by the host is not starved by the kernel"
    else
        echo "amd-v: fail"
        exit 1
    fi
done
echo "amd-v: inconclusive"
exit 4
