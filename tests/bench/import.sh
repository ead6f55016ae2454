#!/usr/bin/env bash
# Times `fleet image import` of one root file system in all its packings against `tar` and `unsquashfs`, in one run.
#
#   sudo tests/bench/import.sh [ROOTFS]
#
# ROOTFS (or FLEET_BENCH_ROOTFS): a tar archive that is not packed; without one, a Debian that mmdebstrap makes.
# FLEET_BENCH_ROUNDS (5), FLEET_BENCH_PACKINGS (xz-blocks xz zstd gzip squashfs), FLEET_BENCH_DIR (a directory to work below, /var/tmp), FLEET (target/release/fleet).
#
# Nobody has read the archive before: its pages are dropped from the cache. Each measurement has an ext4 of its own
# that was made just before: nothing of other programs is written with it, and no inode was deleted there lately
# (start.sh says why that matters). What it writes goes straight to the disk below, as it would from an ext4 there: a
# loop device by itself keeps it in memory until somebody waits for it, and nothing is gained by beginning early.
# fleet verifies the archive, notes what is in it so that it can be verified later, and ends when all of it is on the
# disk. tar and unsquashfs end when the kernel has it in memory: they are timed both so, and until `sync` has brought
# it to where fleet's is.
#
# xz packs a file as one block or as several, which alone can be decoded in parallel: `-T1` and `-T0`.
#
# Where Incus is installed and answers, its `image import` and the first `launch` are timed against `fleet image import`
# and the first `apply`: the default profile must have a root disk.
set -euo pipefail
. "$(dirname "$0")/measure.sh"

rounds=${FLEET_BENCH_ROUNDS:-5}
rootfs=${1:-${FLEET_BENCH_ROOTFS:-}}
fleet=${FLEET:-$(dirname "$0")/../../target/release/fleet}
packings=${FLEET_BENCH_PACKINGS:-xz-blocks xz zstd gzip squashfs}
image=fleet-bench-import
work=
device=

main() {
    check
    work=$(mktemp -d "${FLEET_BENCH_DIR:-/var/tmp}/fleet-bench.XXXXXX")
    trap clean EXIT
    trap 'exit 130' INT TERM
    mkdir "$work/disk"
    # Written once, for only then is it as quick as a disk.
    dd if=/dev/zero of="$work/disk.ext4" bs=1M count=4096 conv=fsync status=none
    device=$(losetup --find --show --direct-io=on "$work/disk.ext4")
    pack
    for round in $(seq "$rounds"); do
        for packing in $packings; do
            fleet_round "$packing"
            other_round "$packing"
            printf 'round %s, %s: fleet %s ms, alone %s ms, to the disk %s ms\n' \
                "$round" "$packing" "$(last "fleet-$packing")" "$(last "alone-$packing")" "$(last "disk-$packing")"
        done
        [ -z "$incus" ] || incus_round
    done
    summary
}

check() {
    local missing=()
    [ "$(id -u)" = 0 ] || { echo "the benchmark unpacks root file systems: run it as root" >&2; exit 1; }
    [ -x "$fleet" ] || { echo "no \`$fleet\`: run \`make build\` first, or set FLEET" >&2; exit 1; }
    for tool in mmdebstrap:mmdebstrap tar:tar xz:xz-utils zstd:zstd gzip:gzip mksquashfs:squashfs-tools mkfs.ext4:e2fsprogs; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ ${#missing[@]} = 0 ] || { echo "missing packages: ${missing[*]}" >&2; exit 1; }
    [ "$rounds" -ge 5 ] || { echo "at least 5 rounds" >&2; exit 1; }
    incus=
    if ! command -v incus >/dev/null; then
        echo "Incus is not installed, and left out"
    elif ! incus info >/dev/null 2>&1 </dev/null; then
        echo "Incus does not answer, and is left out"
    else
        incus=yes
    fi
}

# The root file system in each packing.
pack() {
    if [ -z "$rootfs" ]; then
        rootfs=$work/rootfs.tar
        mmdebstrap --quiet --variant=minbase --include=systemd-sysv,iproute2,iputils-ping,openssh-server \
            bookworm "$rootfs"
    fi
    for packing in $packings; do
        "pack_$packing" <"$rootfs" >"$work/$packing"
    done
}

pack_xz-blocks() { xz -T0; }
pack_xz() { xz -T1; }
pack_zstd() { zstd -q -T0; }
pack_gzip() { gzip; }
# What it says, it says of attributes that no squashfs keeps.
pack_squashfs() { mksquashfs - "$work/squashfs.new" -tar -quiet -no-progress -comp zstd >&2; cat "$work/squashfs.new"; rm "$work/squashfs.new"; }

unpack() {
    tar --numeric-owner --xattrs --xattrs-include='*' -xpf "$1" -C "$2"
}

run_fleet() {
    "$fleet" -q --root "$work/disk/root" "$@"
}

fleet_round() {
    fresh "$work/$1"
    timed "fleet-$1" run_fleet image import "$work/$1"
}

other_round() {
    fresh "$work/$1"
    mkdir "$work/disk/tree"
    if [ "$1" = squashfs ]; then
        timed "alone-$1" unsquashfs -quiet -no-progress -force -dest "$work/disk/tree" "$work/$1"
    else
        timed "alone-$1" unpack "$work/$1" "$work/disk/tree"
    fi
    timed "sync-$1" sync -f "$work/disk/tree"
    echo "$(last "alone-$1") $(last "sync-$1")" | awk '{ print $1 + $2 }' >>"$work/times.disk-$1"
}

# An empty file system at $work/disk, and the file $1 as one that has not been read.
fresh() {
    if mountpoint -q "$work/disk"; then umount "$work/disk"; fi
    mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$device"
    mount "$device" "$work/disk"
    sync -f "$work/disk"
    sync -f "$work"
    dd if="$1" iflag=nocache count=0 status=none
    settle
}

incus_round() {
    fresh "$work/xz"
    timed fleet-first fleet_first
    run_fleet destroy -y "$work/fleet.yaml"
    fresh "$work/xz"
    timed incus-first incus_first
    incus delete -q -f "$image"
    incus image delete "$image"
}

fleet_first() {
    cat >"$work/fleet.yaml" <<END
fleet: bench
network: {subnet: 10.97.224.0/20, nat: false}
containers: {bench-import: {image: "file:$work/xz"}}
END
    run_fleet image import "$work/xz"
    run_fleet apply -y "$work/fleet.yaml"
}

# The archive with the metadata that Incus wants (https://linuxcontainers.org/incus/docs/main/reference/image_format/).
incus_first() {
    printf 'architecture: %s\ncreation_date: 1\n' "$(uname -m)" >"$work/metadata.yaml"
    tar -C "$work" -cf "$work/metadata.tar" metadata.yaml
    incus image import -q "$work/metadata.tar" "$work/xz" --alias "$image" </dev/null
    incus launch -q "$image" "$image" </dev/null
}

summary() {
    echo "medians of $rounds rounds, $(($(stat -c %s "$rootfs") >> 20)) MiB, in ms, $(nproc) processors:"
    printf '  %-28s %12s %12s %6s\n' '' fleet 'tar alone' ratio
    for packing in $packings; do
        row "$packing" "fleet-$packing" "alone-$packing"
        row '  and it on the disk' "fleet-$packing" "disk-$packing"
    done
    [ -z "$incus" ] || row 'to the first start (Incus)' fleet-first incus-first
}

clean() {
    set +e
    [ -z "$incus" ] || { incus delete -q -f "$image"; incus image delete "$image"; } 2>/dev/null
    [ ! -e "$work/fleet.yaml" ] || run_fleet destroy -y "$work/fleet.yaml"
    if mountpoint -q "$work/disk"; then umount "$work/disk"; fi
    [ -z "$device" ] || losetup --detach "$device"
    rm -rf --one-file-system "$work"
}

main
