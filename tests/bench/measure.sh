# Sourced by the benchmarks: takes measurements and prints them. Wants `work`, a directory to note them in, and
# `containers`, their number.

# Memory that the host could still give away, in kB.
available() {
    awk '/^MemAvailable:/ { print $2 }' /proc/meminfo
}

# measure LABEL BEFORE: notes how many kB each container has taken since BEFORE kB were available, all included.
measure() {
    settle
    sleep 1.5
    echo $((($2 - $(available)) / containers)) >>"$work/times.$1"
}

# The kernel takes network namespaces apart after their containers are gone: neither side is to pay for the other.
settle() {
    sleep 0.5
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

# row WORDS LABEL [LABEL OF LXC]
row() {
    local ours theirs=
    ours=$(median "$2")
    [ -z "${3:-}" ] || theirs=$(median "$3")
    printf '  %-28s %12s %12s %6s\n' "$1" "$ours" "$theirs" \
        "$([ -z "$theirs" ] || awk -v a="$ours" -v b="$theirs" 'BEGIN { printf b == 0 ? "-" : "%.2f", b == 0 ? 0 : a / b }')"
}
