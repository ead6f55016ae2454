#!/usr/bin/env bash
# Times `fleet apply` of many small containers against scripted LXC, in one run, with the same root file system.
#
#   sudo tests/bench/start.sh [ROOTFS]
#
# ROOTFS (or FLEET_BENCH_ROOTFS): a tar archive or a directory; without one, fleet's built-in busybox.
# FLEET_BENCH_CONTAINERS (10), FLEET_BENCH_ROUNDS (7), FLEET_BENCH_JOBS (8, of LXC), FLEET_BENCH_LXC (unprivileged),
# FLEET_BENCH_DIR (a directory to work below; without one, memory), FLEET (target/release/fleet).
#
# The image is unpacked before the clock starts (LXC uses fleet's own copy). fleet reads its file, looks at the host,
# makes bridge, containers and links while the clock runs. LXC is timed twice: `lxc-start` alone, with its configuration
# files, directories and bridge there beforehand, and as the script that a user would have, which makes each container
# from nothing, its bridge being there: directories, configuration, lxc-create, lxc-start; then lxc-stop -k, lxc-destroy.
# Timed on all sides until every init has been executed.
#
# LXC's containers are what lxc-create(1) configures for an id range (`common.conf` and `userns.conf` without lxcfs's
# hook), so that both sides isolate alike. LXC cannot map the ids of overlayfs's layers: it gets a copy of the image
# that belongs to its range, which all its containers share. FLEET_BENCH_LXC=privileged: without ids of their own, seccomp(2) and the
# like, the least that LXC can do, and less than fleet does.
set -euo pipefail
. "$(dirname "$0")/measure.sh"

containers=${FLEET_BENCH_CONTAINERS:-10}
rounds=${FLEET_BENCH_ROUNDS:-7}
jobs=${FLEET_BENCH_JOBS:-8}
lxc=${FLEET_BENCH_LXC:-unprivileged}
rootfs=${1:-${FLEET_BENCH_ROOTFS:-}}
fleet=${FLEET:-$(dirname "$0")/../../target/release/fleet}
bridge=flbenchlxc
subnet=10.97.208
ids=1000000
work=

main() {
    check
    work=$(mktemp -d "${FLEET_BENCH_DIR:-/var/tmp}/fleet-bench.XXXXXX")
    chmod 0711 "$work"
    # Both sides work in memory: ext4 passes over the inodes of files deleted in the last minutes, one by one, when it
    # looks for a free one, which only a benchmark notices that deletes all the time.
    [ -n "${FLEET_BENCH_DIR:-}" ] || mount -t tmpfs -o mode=0711 fleet-bench "$work"
    trap clean EXIT
    trap 'exit 130' INT TERM
    write_fleet_file
    warm_up
    timed lxc-configure write_lxc_configs
    for round in $(seq "$rounds"); do
        settle
        fleet_round
        settle
        lxc_round
        settle
        script_round
        printf 'round %s: fleet apply %s ms, again %s ms, destroy %s ms | lxc-start %s ms, lxc-stop %s ms' \
            "$round" "$(last apply)" "$(last again)" "$(last destroy)" "$(last lxc-start)" "$(last lxc-stop)"
        printf ' | script up %s ms, down %s ms\n' "$(last script-up)" "$(last script-down)"
    done
    summary
}

check() {
    local missing=()
    [ "$(id -u)" = 0 ] || { echo "the benchmark makes containers: run it as root" >&2; exit 1; }
    [ -x "$fleet" ] || { echo "no \`$fleet\`: run \`make build\` first, or set FLEET" >&2; exit 1; }
    for tool in lxc-start:lxc lxc-stop:lxc lxc-info:lxc lxc-ls:lxc lxc-attach:lxc ip:iproute2; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ ${#missing[@]} = 0 ] || { echo "missing packages: ${missing[*]}" >&2; exit 1; }
    [ "$containers" -le 1000 ] && [ "$rounds" -ge 5 ] || { echo "at most 1000 containers, at least 5 rounds" >&2; exit 1; }
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
network: {subnet: 10.97.224.0/20, nat: false}
defaults: {image: "$image", memory: 64MiB}
containers:
  bench: {replicas: $containers, ip: 10.97.224.11}
EOF
}

run_fleet() {
    "$fleet" -q --root "$work/root" "$@"
}

# Brings the image into the store and everything into the page cache.
warm_up() {
    run_fleet apply -y "$work/fleet.yaml"
    run_fleet destroy -y "$work/fleet.yaml"
}

write_lxc_configs() {
    local image number
    image=$(echo "$work"/root/fleet/images/*/rootfs)
    [ -d "$image" ] || { echo "no unpacked image at $image" >&2; exit 1; }
    [ "$lxc" = privileged ] || image=$(copy_for_ids "$image")
    ip link add "$bridge" type bridge
    ip address add "$subnet.1/20" dev "$bridge"
    ip link set "$bridge" up
    write_scripts "$image"
    for number in $(seq "$containers"); do
        mkdir -p "$work/lxc/bench-$number"
        { cat "$work/common"; sh "$work/own" "$number" "$work/lxc"; } >"$work/lxc/bench-$number/config"
    done
}

# What all containers' configurations have in common; a script for the rest, of container $1 in the directory $2; and
# those that make container $1 from nothing and start it, and that stop and remove it, with as few programs as they can.
write_scripts() {
    local limit=lxc.cgroup.memory.limit_in_bytes
    [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] || limit=lxc.cgroup2.memory.max
    {
        isolation
        printf '%s\n' 'lxc.init.cmd = /sbin/init' 'lxc.apparmor.profile = unconfined' "$limit = 64M" \
            'lxc.net.0.type = veth' "lxc.net.0.link = $bridge" 'lxc.net.0.flags = up' 'lxc.net.0.name = eth0' \
            "lxc.net.0.ipv4.gateway = $subnet.1"
    } >"$work/common"
    cat >"$work/own" <<EOF
echo "lxc.uts.name = bench-\$1
lxc.net.0.ipv4.address = ${subnet%.*}.\$((208 + (\$1 + 10) / 256)).\$(((\$1 + 10) % 256))/20 10.97.223.255
lxc.rootfs.path = overlay:$1:\$2/bench-\$1/upper"
EOF
    mkdir -p "$work/script"
    # lxc-create takes no overlay for a root file system that is there: it gets to know it afterwards.
    cat >"$work/up" <<EOF
set -e
lxc-create -P $work/script -n bench-\$1 -t none -f $work/common
set -- \$1 $work/script
. $work/own >>$work/script/bench-\$1/config
mkdir $work/script/bench-\$1/upper
[ $lxc = privileged ] || chown $ids:$ids $work/script/bench-\$1 $work/script/bench-\$1/upper
PATH=/usr/sbin exec $(command -v lxc-start) -P $work/script -d -n bench-\$1
EOF
    cat >"$work/down" <<EOF
set -e
lxc-stop -k -P $work/script -n bench-\$1
exec lxc-destroy -P $work/script -n bench-\$1
EOF
}

isolation() {
    if [ "$lxc" = privileged ]; then
        printf '%s\n' 'lxc.mount.auto = proc:mixed sys:mixed' 'lxc.tty.max = 0' 'lxc.pty.max = 1024'
        return
    fi
    printf '%s\n' 'lxc.mount.auto = cgroup:mixed proc:mixed sys:rw' 'lxc.tty.max = 4' 'lxc.pty.max = 1024' \
        'lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp' \
        "lxc.idmap = u 0 $ids 65536" "lxc.idmap = g 0 $ids 65536"
}

# A copy of the directory $1 whose files belong to the ids of LXC's containers; its path.
copy_for_ids() {
    local copy=$work/lxc-image uid gid path
    cp -a "$1" "$copy"
    while IFS= read -r -d '' uid && IFS= read -r -d '' gid && IFS= read -r -d '' path; do
        chown -h "$((ids + uid)):$((ids + gid))" "$path"
    done < <(find "$copy" -printf '%U\0%G\0%p\0')
    echo "$copy"
}

names() {
    seq -f 'bench-%g' "$containers"
}

fleet_round() {
    local before
    before=$(available)
    timed apply run_fleet apply -y "$work/fleet.yaml"
    expect_running fleet "$(run_fleet -o json status "$work/fleet.yaml" | grep -c '"state": "running"')"
    timed again run_fleet apply -y "$work/fleet.yaml"
    timed status run_fleet status "$work/fleet.yaml"
    timed exec run_fleet exec bench-1 -- true
    measure memory "$before"
    timed destroy run_fleet destroy -y "$work/fleet.yaml"
}

lxc_round() {
    local before
    # Fresh writable layers, as fleet's containers have.
    names | xargs -I{} sh -c "rm -rf '$work/lxc/{}/upper' '$work/lxc/{}/work'; mkdir '$work/lxc/{}/upper'"
    [ "$lxc" = privileged ] || names | xargs -I{} chown "$ids:$ids" "$work/lxc/{}" "$work/lxc/{}/upper"
    before=$(available)
    timed lxc-start lxc_all lxc-start -d
    expect_running lxc "$(names | xargs -I{} lxc-info -P "$work/lxc" -s -n {} | grep -c RUNNING)"
    timed lxc-status lxc-ls -P "$work/lxc" -f
    timed lxc-exec lxc-attach -P "$work/lxc" -n bench-1 -- true
    measure lxc-memory "$before"
    timed lxc-stop lxc_all lxc-stop -k
}

# The same by the script, from nothing and back.
script_round() {
    timed script-up for_each "$work/up"
    expect_running script "$(names | xargs -I{} lxc-info -P "$work/script" -s -n {} | grep -c RUNNING)"
    settle
    timed script-down for_each "$work/down"
    [ -z "$(ls "$work/script")" ] || { echo "the script left containers behind" >&2; exit 1; }
}

for_each() {
    seq "$containers" | xargs -P "$jobs" -n 1 sh "$1"
}

# Without newuidmap(1) in its PATH, LXC writes the id maps itself, as root may: no entry in /etc/subuid is needed.
lxc_all() {
    names | PATH=/usr/sbin "$(command -v xargs)" -P "$jobs" -I{} "$(command -v "$1")" -P "$work/lxc" "$2" -n {}
}

expect_running() {
    [ "$2" = "$containers" ] || { echo "$1: $2 of $containers containers run" >&2; exit 1; }
}

summary() {
    echo "medians of $rounds rounds, $containers containers, LXC $lxc and $jobs at a time, $(nproc) processors:"
    printf '  %-28s %12s %12s %6s\n' '' fleet LXC ratio
    row 'all inits executed, ms' apply lxc-start
    row '  from nothing by script' apply script-up
    row 'applied again, ms' again
    row 'status of all, ms' status lxc-status
    row 'a command in one, ms' exec lxc-exec
    row 'memory for each, kB' memory lxc-memory
    row 'all gone, ms' destroy lxc-stop
    row '  to nothing by script' destroy script-down
    echo "  Before the clock started, a shell wrote LXC's configurations in $(last lxc-configure) ms."
}

clean() {
    set +e
    if [ -d "$work/lxc" ]; then
        for path in lxc script; do
            names | xargs -P "$jobs" -I{} sh -c "lxc-stop -k -P '$work/$path' -n {} 2>/dev/null"
        done
        ip link delete "$bridge" 2>/dev/null
    fi
    # What cannot be destroyed is kept, so that it can be looked at.
    if [ ! -d "$work/root" ] || run_fleet destroy -y "$work/fleet.yaml"; then
        if mountpoint -q "$work"; then umount "$work"; fi
        rm -rf --one-file-system "$work"
    else
        echo "left behind: $work" >&2
    fi
}

main
