#!/usr/bin/env bash
# Times what the network of a fleet costs: `fleet apply` of containers that have a link, an address and a published port
# each, against the same without a network, in one run.
#
#   sudo tests/bench/network.sh
#
# FLEET_BENCH_SIZES ("10 100 1000", how many containers), FLEET_BENCH_ROUNDS (5), FLEET_BENCH_DIR (a directory to work
# below; without one, memory), FLEET (target/release/fleet).
#
# All are fleet's built-in busybox. What a container without a network has is a network namespace with nothing in it, so
# that the difference is links, bridge ports, addresses, routes, packet rules, and the names of the others in /etc/hosts:
# a line for each container in each. It should be the same for each container, however many there are.
set -euo pipefail
. "$(dirname "$0")/measure.sh"

read -ra sizes <<<"${FLEET_BENCH_SIZES:-10 100 1000}"
rounds=${FLEET_BENCH_ROUNDS:-5}
fleet=${FLEET:-$(dirname "$0")/../../target/release/fleet}
work=

main() {
    [ "$(id -u)" = 0 ] || { echo "the benchmark makes containers: run it as root" >&2; exit 1; }
    [ -x "$fleet" ] || { echo "no \`$fleet\`: run \`make build\` first, or set FLEET" >&2; exit 1; }
    work=$(mktemp -d "${FLEET_BENCH_DIR:-/var/tmp}/fleet-bench.XXXXXX")
    chmod 0711 "$work"
    # In memory, as ext4 looks for free inodes ever longer when many files have just been deleted.
    [ -n "${FLEET_BENCH_DIR:-}" ] || mount -t tmpfs -o mode=0711 fleet-bench "$work"
    trap clean EXIT
    trap 'exit 130' INT TERM
    echo "medians of $rounds rounds, $(nproc) processors, in ms; for each container in µs:"
    printf '  %10s %9s %9s %9s %13s %9s %9s\n' containers alone network each 'applied again' status destroy
    for containers in "${sizes[@]}"; do
        size
    done
}

# One line of the table.
size() {
    local round kind
    rm -f "$work"/times.*
    write_fleet_file none 'networks: none'
    write_fleet_file linked ''
    [ -d "$work/root" ] || rehearse
    for round in $(seq "$rounds"); do
        for kind in none linked; do
            # The kernel takes network namespaces apart after their containers are gone, the longer the more there were.
            settle
            sleep "$((containers / 250))"
            timed "apply-$kind" run_fleet apply -y "$work/$kind.yaml"
            expect_running "$kind"
            timed "again-$kind" run_fleet apply -y "$work/$kind.yaml"
            timed "status-$kind" run_fleet status "$work/$kind.yaml"
            timed "destroy-$kind" run_fleet destroy -y "$work/$kind.yaml"
        done
    done
    printf '  %10s %9s %9s %9s %13s %9s %9s\n' "$containers" "$(median apply-none)" "$(median apply-linked)" \
        "$(awk -v with="$(median apply-linked)" -v without="$(median apply-none)" -v containers="$containers" \
            'BEGIN { printf "%.0f", (with - without) * 1000 / containers }')" \
        "$(median again-linked)" "$(median status-linked)" "$(median destroy-linked)"
}

# write_fleet_file NAME KEYS: containers that have KEYS, or a published port each.
write_fleet_file() {
    local number keys
    {
        echo 'fleet: bench'
        echo 'network: {subnet: 10.97.224.0/20, nat: false}'
        echo 'defaults: {distro: busybox}'
        echo 'containers:'
        for number in $(seq "$containers"); do
            keys=${2:-"ports: [\"$((20000 + number)):80\"]"}
            echo "  bench-$number: {$keys}"
        done
    } >"$work/$1.yaml"
}

# Brings the image into the store and everything into the page cache.
rehearse() {
    run_fleet apply -y "$work/linked.yaml"
    run_fleet destroy -y "$work/linked.yaml"
}

run_fleet() {
    "$fleet" -q --root "$work/root" "$@"
}

expect_running() {
    local running
    running=$(run_fleet -o json status "$work/$1.yaml" | grep -c '"state": "running"')
    [ "$running" = "$containers" ] || { echo "$1: $running of $containers containers run" >&2; exit 1; }
}

clean() {
    set +e
    # What cannot be destroyed is kept, so that it can be looked at.
    if [ ! -f "$work/linked.yaml" ] || run_fleet destroy -y "$work/linked.yaml"; then
        if mountpoint -q "$work"; then umount "$work"; fi
        rm -rf --one-file-system "$work"
    else
        echo "left behind: $work" >&2
    fi
}

main
