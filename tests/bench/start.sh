#!/usr/bin/env bash
# Times `fleet apply` of many small containers against scripted LXC, in one run, with the same root file system.
#
#   sudo tests/bench/start.sh [ROOTFS]
#
# ROOTFS (or FLEET_BENCH_ROOTFS): a tar archive or a directory; without one, fleet's built-in busybox.
# FLEET_BENCH_CONTAINERS (10), FLEET_BENCH_ROUNDS (7), FLEET_BENCH_JOBS (8), FLEET (target/release/fleet).
#
# Both sides get what they want before the clock starts: the image is unpacked (LXC uses fleet's own copy), LXC's
# configuration files, directories and bridge are there. fleet reads its file, looks at the host, makes bridge,
# containers and links while the clock runs. Timed on both sides until every init has been executed.
#
# LXC runs privileged: with `lxc.idmap` and `overlay:` over an image that belongs to root, liblxc's guests see a
# read-only root full of `nobody`. So LXC does less here than fleet, whose containers are unprivileged.
set -euo pipefail

containers=${FLEET_BENCH_CONTAINERS:-10}
rounds=${FLEET_BENCH_ROUNDS:-7}
jobs=${FLEET_BENCH_JOBS:-8}
rootfs=${1:-${FLEET_BENCH_ROOTFS:-}}
fleet=${FLEET:-$(dirname "$0")/../../target/release/fleet}
bridge=flbenchlxc
subnet=10.97.213
work=

main() {
    check
    work=$(mktemp -d /var/tmp/fleet-bench.XXXXXX)
    # Both sides work in memory: ext4 passes over the inodes of files deleted in the last minutes, one by one, when it
    # looks for a free one, which only a benchmark notices that deletes all the time.
    mount -t tmpfs -o mode=0711 fleet-bench "$work"
    trap clean EXIT
    trap 'exit 130' INT TERM
    write_fleet_file
    warm_up
    write_lxc_configs
    for round in $(seq "$rounds"); do
        settle
        fleet_round
        settle
        lxc_round
        printf 'round %s: fleet apply %4s ms, again %4s ms, destroy %4s ms | lxc-start %4s ms, lxc-stop %4s ms\n' \
            "$round" "$(last apply)" "$(last again)" "$(last destroy)" "$(last lxc-start)" "$(last lxc-stop)"
    done
    summary
}

check() {
    local missing=()
    [ "$(id -u)" = 0 ] || { echo "the benchmark makes containers: run it as root" >&2; exit 1; }
    [ -x "$fleet" ] || { echo "no \`$fleet\`: run \`make build\` first, or set FLEET" >&2; exit 1; }
    for tool in lxc-start:lxc lxc-stop:lxc lxc-info:lxc ip:iproute2; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ ${#missing[@]} = 0 ] || { echo "missing packages: ${missing[*]}" >&2; exit 1; }
    [ "$containers" -le 1000 ] && [ "$rounds" -ge 5 ] || { echo "at most 200 containers, at least 5 rounds" >&2; exit 1; }
    if ip link show "$bridge" >/dev/null 2>&1; then
        echo "a link named $bridge is there already: is another benchmark running?" >&2
        exit 1
    fi
}

write_fleet_file() {
    local image=busybox
    [ -z "$rootfs" ] || image="file:$(realpath "$rootfs")"
    cat >"$work/fleet.yaml" <<EOF
fleet: bench
network: {subnet: 10.97.214.0/24}
defaults: {image: "$image", memory: 64MiB}
containers:
  bench: {replicas: $containers, ip: 10.97.214.11}
EOF
}

run_fleet() {
    "$fleet" -q --root "$work/root" --jobs "$jobs" "$@"
}

# Brings the image into the store and everything into the page cache.
warm_up() {
    run_fleet apply -y "$work/fleet.yaml"
    run_fleet destroy -y "$work/fleet.yaml"
}

write_lxc_configs() {
    local image limit number
    image=$(echo "$work"/root/fleet/images/*/rootfs)
    [ -d "$image" ] || { echo "no unpacked image at $image" >&2; exit 1; }
    limit=lxc.cgroup.memory.limit_in_bytes
    [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] || limit=lxc.cgroup2.memory.max
    ip link add "$bridge" type bridge
    ip address add "$subnet.1/24" dev "$bridge"
    ip link set "$bridge" up
    for number in $(seq "$containers"); do
        mkdir -p "$work/lxc/bench-$number"
        cat >"$work/lxc/bench-$number/config" <<EOF
lxc.uts.name = bench-$number
lxc.init.cmd = /sbin/init
lxc.mount.auto = proc:mixed sys:mixed
lxc.tty.max = 0
lxc.pty.max = 1024
lxc.apparmor.profile = unconfined
$limit = 64M
lxc.net.0.type = veth
lxc.net.0.link = $bridge
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.ipv4.address = $subnet.$((number + 10))/24 $subnet.255
lxc.net.0.ipv4.gateway = $subnet.1
lxc.rootfs.path = overlay:$image:$work/lxc/bench-$number/upper
EOF
    done
}

names() {
    seq -f 'bench-%g' "$containers"
}

# The kernel takes network namespaces apart after their containers are gone: neither side is to pay for the other.
settle() {
    sleep 0.5
}

fleet_round() {
    timed apply run_fleet apply -y "$work/fleet.yaml"
    expect_running fleet "$(run_fleet -o json status "$work/fleet.yaml" | grep -c '"state": "running"')"
    timed again run_fleet apply -y "$work/fleet.yaml"
    timed destroy run_fleet destroy -y "$work/fleet.yaml"
}

lxc_round() {
    # Fresh writable layers, as fleet's containers have.
    names | xargs -I{} sh -c "rm -rf '$work/lxc/{}/upper' '$work/lxc/{}/work'; mkdir '$work/lxc/{}/upper'"
    timed lxc-start lxc_all lxc-start -d
    expect_running lxc "$(names | xargs -I{} lxc-info -P "$work/lxc" -s -n {} | grep -c RUNNING)"
    timed lxc-stop lxc_all lxc-stop -k
}

lxc_all() {
    names | xargs -P "$jobs" -I{} "$1" -P "$work/lxc" "$2" -n {}
}

expect_running() {
    [ "$2" = "$containers" ] || { echo "$1: $2 of $containers containers run" >&2; exit 1; }
}

# timed LABEL COMMAND…: runs it and notes how long it took, in milliseconds.
timed() {
    local label=$1 begin end
    shift
    begin=${EPOCHREALTIME/[.,]/}
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2; echo "failed: $*" >&2; exit 1; }
    end=${EPOCHREALTIME/[.,]/}
    awk -v us=$((end - begin)) 'BEGIN { printf "%.1f\n", us / 1000 }' >>"$work/times.$label"
}

last() {
    tail -n 1 "$work/times.$1"
}

median() {
    sort -n "$work/times.$1" | awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'
}

summary() {
    echo "medians of $rounds rounds, $containers containers, $jobs at a time, $(nproc) processors:"
    for label in apply again destroy lxc-start lxc-stop; do
        printf '  %-10s %8s ms\n' "$label" "$(median "$label")"
    done
    awk -v lxc="$(median lxc-start)" -v fleet="$(median apply)" \
        'BEGIN { printf "ratio: scripted LXC takes %.2f times as long as fleet apply\n", lxc / fleet }'
}

clean() {
    set +e
    if [ -d "$work/lxc" ]; then
        names | xargs -P "$jobs" -I{} sh -c "lxc-stop -k -P '$work/lxc' -n {} 2>/dev/null"
        ip link delete "$bridge" 2>/dev/null
    fi
    # What cannot be destroyed is kept, so that it can be looked at.
    if [ ! -d "$work/root" ] || run_fleet destroy -y "$work/fleet.yaml"; then
        umount "$work"
        rmdir "$work"
    else
        echo "left behind: $work" >&2
    fi
}

main
