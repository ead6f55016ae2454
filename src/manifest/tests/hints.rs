//! Hints: what they say to write is accepted.

use super::{accepted, findings};

/// A fleet whose one container has `lines` besides its image.
fn one(lines: &str) -> String {
    format!("fleet: dev\ncontainers:\n  a:\n    distro: busybox\n    {lines}\n")
}

fn hints(lines: &[&str]) -> String {
    let drawn = lines.iter().map(|line| format!("{line}\n  {}", findings(&one(line))));
    drawn.collect::<Vec<_>>().join("\n")
}

#[test]
fn unlimited_undoes_a_limit_of_a_lower_layer() {
    let fleet = accepted(
        "fleet: dev\ndefaults: {distro: busybox, memory: 64MiB, memory_high: 48MiB, swap: 0, cpus: 0.5, cpuset: 0-3, pids: 64}\n\
         containers:\n  a:\n    memory: unlimited\n    memory_high: unlimited\n    swap: unlimited\n    \
         cpus: unlimited\n    cpuset: unlimited\n    pids: unlimited\n  b: {}\n",
    );
    let [a, b] = [0, 1].map(|place| fleet.containers[place].limits.clone());
    assert_eq!(a, crate::model::Limits::default());
    assert_ne!(b, a);
    assert!(b.memory.is_some() && b.memory_high.is_some() && b.swap.is_some() && b.cpus.is_some());
    assert!(b.cpuset.is_some() && b.pids.is_some());
}

#[test]
fn no_limit_by_any_other_word_is_told_the_right_one() {
    insta::assert_snapshot!(
        hints(&[
            "memory: max", "memory_high: none", "swap: infinity", "cpus: -1", "cpuset: Unlimited", "pids: ~", "memory: 0",
        ]),
        @r"
    memory: max
      5:13 `max` is not a limit (did you mean `unlimited`?)
    memory_high: none
      5:18 `none` is not a limit (did you mean `unlimited`?)
    swap: infinity
      5:11 `infinity` is not a limit (did you mean `unlimited`?)
    cpus: -1
      5:11 `-1` is not a limit (did you mean `unlimited`?)
    cpuset: Unlimited
      5:13 `Unlimited` is not a limit (did you mean `unlimited`?)
    pids: ~
      5:5 `pids` has no value (write `unlimited` for no limit)
    memory: 0
      5:13 `0` is too little memory: a container needs 4MiB at least (write `unlimited` for no limit)
    "
    );
}

#[test]
fn an_amount_is_only_suggested_if_it_is_one_that_can_be() {
    insta::assert_snapshot!(hints(&["memory: 3", "memory: 4", "memory: 512m", "memory_high: 1.5gib", "swap: 5 parsecs"]), @r"
    memory: 3
      5:13 `3` is too little memory: a container needs 4MiB at least
    memory: 4
      5:13 `4` is too little memory: a container needs 4MiB at least (did you mean `4MiB`?)
    memory: 512m
      5:13 unknown unit `m`: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are decimal) (did you mean `512M`?)
    memory_high: 1.5gib
      5:18 unknown unit `gib`: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are decimal) (did you mean `1.5GiB`?)
    swap: 5 parsecs
      5:11 unknown unit `parsecs`: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are decimal)
    ");
}
