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

#[test]
fn words_that_stand_for_all_networks_stand_alone() {
    insta::assert_snapshot!(hints(&["networks: ~", "networks: []", "networks: [host]", "networks: {none: {}}"]), @r"
    networks: ~
      5:5 `networks` has no value (write `networks: none`, or leave it out for the default one)
    networks: []
      5:5 `networks` names none (write `networks: none`, or leave it out for the default one)
    networks: [host]
      5:16 `host` is no network, and stands alone (write `networks: host`)
    networks: {none: {}}
      5:16 `none` is no network, and stands alone (write `networks: none`)
    ");
}

#[test]
fn a_restart_policy_is_never_taken_for_its_opposite() {
    insta::assert_snapshot!(hints(&["restart: on", "restart: off", "restart: unless-stopped", "restart: allways"]), @r"
    restart: on
      5:14 unknown restart policy `on` (did you mean `always`, or `on-failure`?)
    restart: off
      5:14 unknown restart policy `off` (did you mean `no`?)
    restart: unless-stopped
      5:14 unknown restart policy `unless-stopped` (did you mean `always`?)
    restart: allways
      5:14 unknown restart policy `allways` (did you mean `always`?)
    ");
}

#[test]
fn an_image_in_the_words_of_others_is_recognised() {
    let image = |line: &str| findings(&format!("fleet: dev\ncontainers:\n  a:\n    {line}\n"));
    insta::assert_snapshot!(image("distro: debian:12"), @"4:13 there is no image server `debian` (did you mean `debian/12`?)");
    insta::assert_snapshot!(image("distro: corp:debian/12"), @"4:13 there is no image server `corp` (`remotes: {corp: https://…}` would make it known; there are `images`)");
    insta::assert_snapshot!(image("distro: imags:debian/12"), @"4:13 there is no image server `imags` (did you mean `images`?)");
    insta::assert_snapshot!(image("image: debian/12"), @"4:12 `debian/12` is not an image source: write `busybox`, `file:PATH`, `file:PATH@sha256:HEX`, `https://…@sha256:HEX`, `oci:HOST/REPOSITORY:TAG` or `bootstrap:debian/12` (did you mean `distro: debian/12`?)");
    insta::assert_snapshot!(image("image: /etc/passwd"), @"4:12 `/etc/passwd` is not an image source: write `busybox`, `file:PATH`, `file:PATH@sha256:HEX`, `https://…@sha256:HEX`, `oci:HOST/REPOSITORY:TAG` or `bootstrap:debian/12` (did you mean `file:/etc/passwd`?)");
}

#[test]
fn a_path_with_a_colon_is_not_taken_for_an_option() {
    insta::assert_snapshot!(findings(&one("mounts: ['./d:x:/srv']")), @"5:14 `./d:x:/srv` has too many colons (paths with colons need the long form: `{type: bind, source: …, target: …}`)");
}

#[test]
fn a_source_that_is_not_there_says_where_it_is_looked_for() {
    insta::assert_snapshot!(hints(&["mounts: ['./no-such:/srv']", "mounts: ['/no/such:/srv']", "ssh_keys: [no-such.pub]"]), @r"
    mounts: ['./no-such:/srv']
      5:14 cannot find `/srv/no-such`: No such file or directory (make it first, or correct the path, which is looked up in `/srv`)
    mounts: ['/no/such:/srv']
      5:14 cannot find `/no/such`: No such file or directory (make it first, or correct the path)
    ssh_keys: [no-such.pub]
      5:16 cannot read `/srv/no-such.pub`: No such file or directory (make it with `ssh-keygen`, or name a public key that is there)
    ");
}

#[test]
fn an_initialism_at_the_beginning_of_a_sentence_keeps_its_letters() {
    insta::assert_snapshot!(findings("fleet: dev\n<<: 1\ncontainers: {}\n"), @"2:5 this is not YAML: YAML merge value must be mapping or sequence of mappings");
}
