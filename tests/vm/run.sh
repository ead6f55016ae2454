#!/usr/bin/env bash
# Runs the conformance suites in a virtual machine whose host side is what most users have: Debian SUITE with systemd
# as PID 1 and cgroups of version 2 alone. bookworm brings Linux 6.1, trixie 6.12.
#
#   tests/vm/run.sh SUITE [ARGUMENT OF THE TESTS]...
#
# The machine's disk is built once and kept in target/vm/SUITE; what a run writes to it is thrown away. Output is
# streamed and the exit status is the tests'. Needs root, and the programs that `make test-v2` installs.
# VM_MEMORY_MB (3072), VM_TIMEOUT_S (7200), VM_ACCEL (kvm where it works, else tcg: emulation, 10 times slower).
set -euo pipefail
cd "$(dirname "$0")/../.."

suite=${1:?usage: tests/vm/run.sh SUITE [ARGUMENT OF THE TESTS]...}
shift
home=$PWD
cache=$home/target/vm/$suite
# Beside a system that boots: what the tests call, as TOOLS in the Makefile.
packages=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,dbus,udev,kmod,procps
packages+=,iproute2,iputils-ping,nftables,busybox-static,openssh-client,xz-utils,zstd,gcc,libc6-dev

# Builds the disk: kernel, initial RAM disk and root file system.
build() {
    local draft=$cache.new
    rm -rf "$cache" "$draft"
    mkdir -p "$draft"
    echo "building the machine for $suite" >&2
    # Only the modules that find the disk: the rest is loaded from it, and unpacking them all takes an emulator long.
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
        --essential-hook='echo MODULES=list > "$1/etc/initramfs-tools/conf.d/machine"' \
        --essential-hook='printf "%s\n" virtio_pci virtio_blk ext4 > "$1/etc/initramfs-tools/modules"' \
        --customize-hook='copy-in tests/vm/tests.service /etc/systemd/system' \
        --customize-hook='systemctl --quiet --root="$1" enable tests.service' \
        --customize-hook='echo machine > "$1/etc/hostname"; passwd --root "$1" --delete root >/dev/null' \
        "$suite" "$draft/root"
    mv "$draft"/root/boot/vmlinuz-* "$draft/kernel"
    mv "$draft"/root/boot/initrd.img-* "$draft/initrd"
    truncate -s 8G "$draft/disk"
    mkfs.ext4 -q -d "$draft/root" "$draft/disk"
    rm -rf "$draft/root"
    key > "$draft/key"
    mv "$draft" "$cache"
}

# What the disk depends on.
key() {
    echo "$packages"
    cat tests/vm/run.sh tests/vm/tests.service
}

# Packs the program, the tests and how to run them, all at the paths that the tests were compiled with.
pack() {
    local name path
    mkdir -p "$work/root$home"
    while IFS=$'\t' read -r name path; do
        mkdir -p "$work/root$(dirname "$path")"
        strip -o "$work/root$path" "$path"
        [ "$name" = fleet ] || echo "$path" >> "$work/suites"
    done < <(executables)
    [ -s "$work/suites" ] || { echo 'no test of a name that begins with `conformance` was built' >&2; exit 1; }
    {
        echo 'status=0'
        while read -r path; do
            printf '%s --test-threads 1' "$path"
            [ $# -eq 0 ] || printf ' %q' "$@"
            echo ' || status=$?'
        done < "$work/suites"
        echo 'exit $status'
    } > "$work/root$home/run-tests"
    ln -s "$home/run-tests" "$work/root/run-tests"
    tar -C "$work/root" -cf "$work/job" .
}

# Name and path of the program and of the conformance suites.
executables() {
    cargo test --profile emulated --no-run --test 'conformance*' --message-format json |
        jq -r 'select(.executable != null) | [.target.name, .executable] | @tsv'
}

# Boots the machine; its second serial line is the tests' output, on the third it says how they ended.
boot() {
    timeout "${VM_TIMEOUT_S:-7200}" qemu-system-x86_64 -accel "${VM_ACCEL:-$(accelerator)}" -cpu max \
        -smp 2 -m "${VM_MEMORY_MB:-3072}" -nodefaults -display none -no-reboot \
        -kernel "$cache/kernel" -initrd "$cache/initrd" \
        -append 'root=/dev/vda rw console=ttyS0 quiet panic=1 systemd.show_status=false' \
        -drive "file=$cache/disk,format=raw,if=virtio,snapshot=on,cache=unsafe" \
        -drive "file=$work/job,format=raw,if=virtio,readonly=on" \
        -serial "file:$work/console" -serial stdio -serial "file:$work/status" < /dev/null
}

# kvm if the kernel gets as far with it as to the end of its RAM disk: some hosts offer a /dev/kvm that cannot do what it
# says, or takes longer than an emulator.
accelerator() {
    local words
    words=$(timeout 5 qemu-system-x86_64 -accel kvm -cpu max -nodefaults -display none -m 512 -no-reboot \
        -kernel "$cache/kernel" -initrd "$cache/initrd" -append console=ttyS0 -serial stdio 2>&1 < /dev/null) || true
    if [[ $words == *'Freeing initrd memory'* ]]; then echo kvm; else echo tcg,thread=multi; fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pack "$@"
[ "$(key)" = "$(cat "$cache/key" 2>/dev/null)" ] || build
ended=0
: > "$work/status"
boot || ended=$?
status=$(tr -dc '0-9' < "$work/status")
if [ -z "$status" ]; then
    echo "the machine ended before the tests did (status $ended); the end of its console:" >&2
    tail -n 40 "$work/console" >&2
    exit 125
fi
exit "$status"
