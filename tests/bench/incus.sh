#!/usr/bin/env bash
# Times `fleet apply` of many small containers against Incus, in one run, with the same root file system.
#
#   sudo tests/bench/incus.sh ROOTFS
#
# ROOTFS: a tar archive. The server is the default remote of the `incus` client; its default profile must have a root
# disk. FLEET_BENCH_CONTAINERS (10), FLEET_BENCH_ROUNDS (5), FLEET_BENCH_JOBS (8, of Incus), FLEET.
#
# Both sides have the image unpacked before the clock starts. Incus makes and starts each container by `incus launch`,
# with a memory limit, on its own storage.
set -euo pipefail
. "$(dirname "$0")/measure.sh"

containers=${FLEET_BENCH_CONTAINERS:-10}
rounds=${FLEET_BENCH_ROUNDS:-5}
jobs=${FLEET_BENCH_JOBS:-8}
rootfs=$(realpath "${1:?usage: tests/bench/incus.sh ROOTFS}")
fleet=${FLEET:-$(dirname "$0")/../../target/release/fleet}
image=fleet-bench
work=

main() {
    incus info >/dev/null
    work=$(mktemp -d /var/tmp/fleet-bench.XXXXXX)
    trap clean EXIT
    trap 'exit 130' INT TERM
    cat >"$work/fleet.yaml" <<EOF
fleet: bench
network: {subnet: 10.97.224.0/20}
defaults: {image: "file:$rootfs", memory: 64MiB}
containers:
  bench: {replicas: $containers, ip: 10.97.224.11}
EOF
    run_fleet apply -y "$work/fleet.yaml"
    run_fleet destroy -y "$work/fleet.yaml"
    import
    incus launch -q "$image" bench-0 </dev/null
    incus delete -q -f bench-0
    for _ in $(seq "$rounds"); do
        settle
        fleet_round
        settle
        incus_round
    done
    echo "medians of $rounds rounds, $containers containers, Incus $jobs at a time, $(nproc) processors:"
    printf '  %-28s %12s %12s %6s\n' '' fleet Incus ratio
    row 'all made and started, ms' apply incus-launch
    row 'status of all, ms' status incus-list
    row 'a command in one, ms' exec incus-exec
    row 'memory for each, kB' memory incus-memory
    row 'all gone, ms' destroy incus-delete
}

# The archive with the metadata that Incus wants (https://linuxcontainers.org/incus/docs/main/reference/image_format/).
import() {
    printf 'architecture: %s\ncreation_date: 1\n' "$(uname -m)" >"$work/metadata.yaml"
    tar -C "$work" -cf "$work/metadata.tar" metadata.yaml
    incus image import -q "$work/metadata.tar" "$rootfs" --alias "$image" </dev/null
}

run_fleet() {
    "$fleet" -q --root "$work/root" "$@"
}

incus_all() {
    seq -f 'bench-%g' "$containers" | xargs -P "$jobs" -I{} "$@"
}

launch() {
    incus_all sh -c "incus launch -q $image {} -c limits.memory=64MiB </dev/null"
}

fleet_round() {
    local before
    before=$(available)
    timed apply run_fleet apply -y "$work/fleet.yaml"
    timed status run_fleet status "$work/fleet.yaml"
    timed exec run_fleet exec bench-1 -- true
    measure memory "$before"
    timed destroy run_fleet destroy -y "$work/fleet.yaml"
}

incus_round() {
    local before
    before=$(available)
    timed incus-launch launch
    timed incus-list incus list -f compact
    timed incus-exec incus exec bench-1 -- true
    measure incus-memory "$before"
    timed incus-delete incus_all incus delete -q -f '{}'
}

clean() {
    set +e
    incus_all incus delete -q -f '{}' 2>/dev/null
    incus image delete "$image" 2>/dev/null
    run_fleet destroy -y "$work/fleet.yaml" && rm -rf --one-file-system "$work"
}

main
