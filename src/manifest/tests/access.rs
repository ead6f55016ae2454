//! What containers may use, may do and see of the host: limits, opt-ins, mounts and devices.

use std::fs;
use std::path::Path;

use super::super::parse;
use super::{accepted, drawn, environment, findings};
use crate::model::{ContainerSpec, Fleet, Restart, Weight};

/// The one container of a fleet file whose container has these keys, one to a line.
fn container(keys: &str) -> ContainerSpec {
    accepted(&one(keys)).containers.remove(0)
}

/// The findings of the same.
fn wrong(keys: &str) -> String {
    findings(&one(keys))
}

fn one(keys: &str) -> String {
    let lines: Vec<String> = keys.trim_matches('\n').lines().map(|line| format!("    {line}\n")).collect();
    format!("fleet: d\ncontainers:\n  a:\n    distro: busybox\n{}", lines.concat())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).expect("it serialises")
}

#[test]
fn every_limit_can_be_given() {
    insta::assert_snapshot!(json(&container("
memory: 512MiB
memory_high: 448MiB
swap: 0
cpus: 1.5
cpu_weight: 50
cpuset: 0-3,8
pids: 100
io_weight: 200
io: {read: 50MiB, write: 20MiB, read_iops: 1000, write_iops: 500}
").limits), @r#"
    {
      "memory": 536870912,
      "memory_high": 469762048,
      "swap": 0,
      "cpus": 1500,
      "cpu_weight": 50,
      "cpuset": "0-3,8",
      "pids": 100,
      "io_weight": 200,
      "io": {
        "read": 52428800,
        "write": 20971520,
        "read_iops": 1000,
        "write_iops": 500
      }
    }
    "#);
}

#[test]
fn processors_are_a_text_a_number_or_a_list() {
    for (written, meant) in [("3", "3"), ("' 8,0-3'", "0-3,8"), ("[0, 1, 8-9]", "0-1,8-9"), ("[0-3,8]", "0-3,8")] {
        let set = container(&format!("cpuset: {written}")).limits.cpuset.expect("it is given");
        assert_eq!(set.to_string(), meant);
    }
    insta::assert_snapshot!(wrong("cpuset: 2-1"), @"5:13 `2-1` is no set of processors: write it as `0-3,8`");
    insta::assert_snapshot!(wrong("cpuset: [0, x]"), @"5:17 `x` is no set of processors: write it as `0-3,8`");
}

#[test]
fn the_weight_of_everything_undoes_that_of_a_lower_layer() {
    let fleet = accepted(
        "
fleet: d
defaults: {distro: busybox, cpu_weight: 500, io: {read: 1MiB, write: 1MiB}}
containers:
  a: {}
  b: {cpu_weight: 100, io: {read: 2MiB}}
",
    );
    let weights = fleet.containers.iter().map(|container| container.limits.cpu_weight.map(Weight::get));
    assert_eq!(weights.collect::<Vec<_>>(), [Some(500), None]);
    assert_eq!(fleet.containers[1].limits.io.write, None);
}

#[test]
fn limits_that_cannot_be_are_refused() {
    insta::assert_snapshot!(wrong("
memory_high: 1MiB
swap: much
cpu_weight: 0
io_weight: 10001
cpuset: []
io: {read: 0, write_iops: 0, reads: 1}
"), @"
    5:18 `1MiB` is too little memory: a container needs 4MiB at least
    6:11 `much` does not begin with a number
    7:17 `0` is not a whole number from 1 to 10000 (everything has 100 that nothing is said of)
    8:16 `10001` is not a whole number from 1 to 10000 (everything has 100 that nothing is said of)
    9:5 `cpuset` names no processor (write `unlimited` for all of them, or leave the key out)
    10:16 `0` is no amount (leave the key out for no limit)
    10:31 `0` is not a whole number from 1 to 4294967295
    10:34 unknown key `reads` (did you mean `read`?)
    ");
}

#[test]
fn restart_has_three_words_and_a_truth_value() {
    for (written, meant) in [
        ("no", Restart::No),
        ("false", Restart::No),
        ("'no'", Restart::No),
        ("on-failure", Restart::OnFailure),
        ("always", Restart::Always),
    ] {
        assert_eq!(container(&format!("restart: {written}")).restart, meant);
    }
    insta::assert_snapshot!(wrong("restart: on_failure"), @"5:14 unknown restart policy `on_failure` (did you mean `on-failure`?)");
    insta::assert_snapshot!(wrong("restart: unless-stopped"), @"5:14 unknown restart policy `unless-stopped` (did you mean `always`?)");
}

#[test]
fn every_opt_in_can_be_given() {
    insta::assert_snapshot!(json(&container("
privileged: false
nesting: true
capabilities: {add: [SYS_TIME, cap_net_raw], drop: [mknod]}
seccomp: unconfined
sysctls:
  net.ipv4.ip_forward: 1
  kernel.sem: 250 32000 100 128
rlimits: {nofile: 65536, core: 0, memlock: unlimited, nproc: {soft: 100, hard: 200}}
").security), @r#"
    {
      "privileged": false,
      "nesting": true,
      "capabilities": {
        "add": [
          "net_raw",
          "sys_time"
        ],
        "drop": [
          "mknod"
        ]
      },
      "seccomp": "unconfined",
      "sysctls": {
        "kernel.sem": "250 32000 100 128",
        "net.ipv4.ip_forward": "1"
      },
      "rlimits": {
        "core": {
          "soft": 0,
          "hard": 0
        },
        "nproc": {
          "soft": 100,
          "hard": 200
        },
        "nofile": {
          "soft": 65536,
          "hard": 65536
        },
        "memlock": {
          "soft": null,
          "hard": null
        }
      }
    }
    "#);
}

#[test]
fn opt_ins_that_cannot_be_are_refused() {
    insta::assert_snapshot!(wrong("
privileged: maybe
seccomp: off
capabilities: {add: [sys_tiem, net_raw], drop: [NET_RAW, root]}
rlimits: {nofil: 1, core: none, nproc: {soft: 2, hard: 1}, stack: {soft: 1}, data: {soft: unlimited, hard: 5}}
"), @"
    5:17 `maybe` is neither `true` nor `false`
    6:14 unknown filter `off` (write one of `default` and `unconfined`)
    7:26 there is no capability `sys_tiem` (did you mean `sys_time`?)
    7:53 `net_raw` is in `add` and in `drop` (leave one of them out)
    7:62 there is no capability `root`
    8:15 unknown key `nofil` (did you mean `nofile`?)
    8:31 `none` is not a resource limit (write a whole number or `unlimited`)
    8:51 the soft limit of `nproc` is above the hard one
    8:64 `stack` needs both `soft` and `hard` (write one number for both)
    8:95 the soft limit of `data` is above the hard one
    ");
}

#[test]
fn parameters_of_the_whole_host_are_for_the_host() {
    insta::assert_snapshot!(findings("
fleet: d
defaults: {distro: busybox, sysctls: {kernel.panic: 1, net.core.somaxconn: 9}}
containers:
  a: {privileged: true}
  b: {}
  c: {sysctls: {vm/swappiness: 1, net..x: 1, kernel.hostname: b, kernel.shmmax: '', net: 1, user.max_user_namespaces: 0}}
"), @"
    3:39 `kernel.panic` belongs to the whole host (set it on the host, or give the container `privileged: true`)
    7:17 `vm/swappiness` is not the name of a kernel parameter (names are written with dots, as in `net.ipv4.ip_forward`)
    7:35 `net..x` is not the name of a kernel parameter (names are written with dots, as in `net.ipv4.ip_forward`)
    7:46 the host name is no business of `sysctls` (write `hostname: NAME`)
    7:81 the value of a kernel parameter is one line
    7:85 `net` is not the name of a kernel parameter (names are written with dots, as in `net.ipv4.ip_forward`)
    ");
}

/// What `text` says, read from a directory that has `data/` and `notes`.
fn beside_files(text: &str) -> Result<Fleet, String> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    fs::create_dir(directory.path().join("data")).expect("it can be made");
    fs::write(directory.path().join("notes"), "").expect("it can be written");
    let hide = |text: String| text.replace(&directory.path().display().to_string(), "DIR");
    let file = directory.path().join("fleet.yaml");
    let mut fleet = parse(&file, text, "", &environment).map_err(|rejected| hide(drawn(&rejected)))?.fleet;
    for container in &mut fleet.containers {
        let mounts = hide(serde_json::to_string(&container.mounts).expect("it serialises"));
        container.mounts = serde_json::from_str(&mounts).expect("it was written so");
    }
    Ok(fleet)
}

#[test]
fn mounts_are_short_texts_or_mappings() {
    let fleet = beside_files(&one("
mounts:
- ./data:/srv/data
- /usr:/mnt/usr/:ro,rbind
- ./data:/home//dev/./x:idmap=owner,rw
- ./data/../notes:/y
- cache:/var/cache:ro
- ./data:/over:overlay
- {type: bind, source: data, target: /b, ids: guest, recursive: true, read_only: true}
- {type: overlay, source: ./data, target: /o}
- {type: volume, source: db.1, target: /v}
- {type: tmpfs, target: /t, size: 64MiB, mode: 1777}
- {type: tmpfs, target: /dev/hugepages}
"));
    let mounts: Vec<_> = fleet.expect("nothing is wrong").containers[0]
        .mounts
        .iter()
        .map(|mount| serde_json::to_string(mount).expect("it serialises"))
        .collect();
    insta::assert_snapshot!(mounts.join("\n"), @r#"
    {"source":{"type":"bind","path":"DIR/data","ids":"host","recursive":false},"target":"/srv/data","read_only":false}
    {"source":{"type":"bind","path":"/usr","ids":"host","recursive":true},"target":"/mnt/usr","read_only":true}
    {"source":{"type":"bind","path":"DIR/data","ids":"owner","recursive":false},"target":"/home/dev/x","read_only":false}
    {"source":{"type":"bind","path":"DIR/notes","ids":"host","recursive":false},"target":"/y","read_only":false}
    {"source":{"type":"volume","name":"cache"},"target":"/var/cache","read_only":true}
    {"source":{"type":"overlay","path":"DIR/data"},"target":"/over","read_only":false}
    {"source":{"type":"bind","path":"DIR/data","ids":"guest","recursive":true},"target":"/b","read_only":true}
    {"source":{"type":"overlay","path":"DIR/data"},"target":"/o","read_only":false}
    {"source":{"type":"volume","name":"db.1"},"target":"/v","read_only":false}
    {"source":{"type":"tmpfs","size":67108864,"mode":1023},"target":"/t","read_only":false}
    {"source":{"type":"tmpfs","size":null,"mode":null},"target":"/dev/hugepages","read_only":false}
    "#);
}

#[test]
fn mounts_that_cannot_be_are_refused() {
    insta::assert_snapshot!(beside_files(&one("
mounts:
- ./missing:/a
- ./data
- ./data:/a:ro:z
- ./data:a
- ./data:/a/../b
- ./data:/proc/sys
- ./data:/
- ./data:/b:ro,rw
- ./data:/c:readonly
- ./data:/d:overlay,idmap=guest
- ./data:/e:idmap=me
- data/x:/f
- cache:/g:rbind
- -x:/h
- ./notes:/i:overlay
- ./data:/j/k
- cache:/j/k/
- cache:/j
- {source: ./data}
- {type: tmpfs, target: /l, source: x, size: 0, mode: 8}
- {type: bind, target: /m, size: 1}
- {type: nfs, target: /n}
- [x]
-
")).expect_err("all of it is wrong"), @"
    5:5 a mount has no value
    6:7 cannot find `DIR/missing`: No such file or directory (make it first, or correct the path, which is looked up in `DIR`)
    7:7 `./data` has no target (write `SOURCE:TARGET`)
    8:7 `./data:/a:ro:z` has too many colons (paths with colons need the long form: `{type: bind, source: …, target: …}`)
    9:7 `a` is not an absolute path (in the guest, paths begin with `/`)
    10:7 `/a/../b` leads upwards (write the path without `..`)
    11:7 nothing can be mounted at `/proc/sys` (a container has its own file systems there)
    12:7 nothing can be mounted at `/` (a container has its own file systems there)
    13:7 `ro` and `rw` exclude each other
    14:7 unknown option `readonly` (the options are `ro`, `rw`, `rbind`, `overlay`, `idmap=host`, `idmap=guest` and `idmap=owner`)
    15:7 `overlay` goes with no other option but `ro` and `rw`
    16:7 unknown kind of `idmap` `me` (write one of `host`, `guest` and `owner`)
    17:7 `data/x` is neither a path nor the name of a volume (did you mean `./data/x`?)
    18:7 the volume `cache` takes no option but `ro` and `rw` (a path begins with `/`, `./`, `../` or `~/`)
    19:7 `-x` is neither a path nor the name of a volume (a volume's name is made of letters, digits, `.`, `_` and `-`, a letter or digit first)
    20:7 `DIR/notes` is a file: only a directory can be overlaid
    22:7 `/j/k` is mounted twice: first in line 21
    23:7 a mount at `/j` would cover the one at `/j/k` in line 21 (list the outer one first)
    24:7 a mount needs a `target` (write `{type: bind, source: PATH, target: PATH}`)
    24:7 a mount needs a `type` (write `{type: bind, source: PATH, target: PATH}`)
    25:33 `source` says nothing of a mount of type `tmpfs`
    25:50 `0` is no amount (leave the key out for no limit)
    25:59 `8` is not a mode of at most 0o1777 in octal (write it as `0640`)
    26:7 a mount of type `bind` needs a `source`
    26:32 `size` says nothing of a mount of type `bind`
    27:14 unknown type of mount `nfs` (write one of `bind`, `overlay`, `volume` and `tmpfs`)
    28:7 a mount must be a single value, not a list
    ");
}

#[test]
fn devices_are_short_names_paths_or_mappings() {
    let devices: Vec<_> = container(
        "
devices:
- fuse
- tun
- kvm
- /dev/ttyUSB0
- /dev/dri/renderD128:/dev/dri/render
- {source: /dev/loop0, mode: 0660}
- {source: /dev/sda, target: /dev/disk, mode: '0600'}
",
    )
    .devices
    .iter()
    .map(|device| format!("{} {} {:o}", device.source.display(), device.target.display(), device.mode))
    .collect();
    insta::assert_snapshot!(devices.join("\n"), @"
    /dev/fuse /dev/fuse 666
    /dev/net/tun /dev/net/tun 666
    /dev/kvm /dev/kvm 666
    /dev/ttyUSB0 /dev/ttyUSB0 666
    /dev/dri/renderD128 /dev/dri/render 666
    /dev/loop0 /dev/loop0 660
    /dev/sda /dev/disk 600
    ");
}

#[test]
fn devices_that_cannot_be_are_refused() {
    insta::assert_snapshot!(wrong("
devices:
- fues
- disk
- ./sda
- /dev/x:/tmp/x
- /opt/device
- /dev/null
- kvm
- /dev/other:/dev/kvm
- /dev/a:/dev/pts/1
- {target: /dev/x}
- {source: /dev/../sda, mode: 999}
- {source: /dev/b, mode: 01777, modes: 1}
"), @"
    6:7 unknown device `fues` (did you mean `fuse`?)
    7:7 unknown device `disk` (write a path below `/dev`, or one of `fuse`, `tun` and `kvm`)
    8:7 unknown device `./sda` (write a path below `/dev`, or one of `fuse`, `tun` and `kvm`)
    9:7 a device cannot be at `/tmp/x` in the guest (give it a target below `/dev`)
    10:7 a device cannot be at `/opt/device` in the guest (give it a target below `/dev`)
    11:7 every container has its own `/dev/null`
    13:7 `/dev/kvm` is there twice: first in line 12
    14:7 every container has its own `/dev/pts`
    15:7 a device needs a `source` (write `{source: /dev/NAME}`)
    16:16 `/dev/../sda` is not a device's path (write `/dev/NAME`)
    16:35 `999` is not a mode of at most 0o777 in octal (write it as `0640`)
    17:30 `01777` is not a mode of at most 0o777 in octal (write it as `0640`)
    17:37 unknown key `modes` (did you mean `mode`?)
    ");
}

#[test]
fn lists_of_a_container_replace_those_of_its_profiles() {
    let fleet = accepted(
        "
fleet: d
defaults: {distro: busybox, mounts: ['a:/a'], devices: [fuse]}
profiles: {p: {mounts: ['b:/b']}}
containers: {one: {}, two: {profiles: [p]}, three: {profiles: [p], mounts: [], devices: []}}
",
    );
    let targets = |spec: &ContainerSpec| {
        let mounts = spec.mounts.iter().map(|mount| mount.target.clone());
        mounts.chain(spec.devices.iter().map(|device| device.target.clone())).collect::<Vec<_>>()
    };
    let all: Vec<_> = fleet.containers.iter().map(targets).collect();
    let [a, b, fuse] = ["/a", "/b", "/dev/fuse"].map(|path| Path::new(path).to_owned());
    assert_eq!(all, [vec![a, fuse.clone()], vec![b, fuse], vec![]]);
}

#[test]
fn the_private_key_beside_a_public_one_is_known_and_the_profiles_of_each_container() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA3Jr8wbcWnPSbv8jX2HkuNVRwMsa0bVUvpDMGwP1o0s dev";
    for name in ["whole", "whole.pub", "alone.pub", "other.txt", "other"] {
        fs::write(dir.path().join(name), format!("{public} {name}\n")).expect("a file");
    }
    let text = "
fleet: d
defaults: {distro: busybox, ssh_keys: [whole.pub, alone.pub, other.txt]}
profiles: {big: {}, small: {}, none: {}}
containers:
  a: {replicas: 2, profiles: [big]}
  b: {profiles: [small, big]}
";
    let fleet = parse(&dir.path().join("fleet.yaml"), text, "", &environment).expect("it is right").fleet;
    let private_keys = [(format!("{public} whole.pub"), dir.path().join("whole"))];
    assert_eq!(fleet.private_keys, private_keys.into());
    assert_eq!(
        json(&fleet.profiles),
        "{\n  \"big\": [\n    \"a-1\",\n    \"a-2\",\n    \"b\"\n  ],\n  \"small\": [\n    \"b\"\n  ]\n}"
    );
}
