//! Fleet files that are right, and what they ask for.

use std::fs;
use std::path::Path;

use super::super::parse;
use super::{accepted, environment};
use crate::model::{ContainerSpec, Distro, Fleet, ImageSource, Init, InitKind, MachineId};

fn container<'f>(fleet: &'f Fleet, name: &str) -> &'f ContainerSpec {
    fleet.containers.iter().find(|container| container.name.as_str() == name).expect("the fleet has it")
}

#[test]
#[expect(clippy::too_many_lines, reason = "the whole of a fleet is long")]
fn the_smallest_fleet_derives_all_the_rest() {
    let fleet = accepted("fleet: dev\ncontainers:\n  a: {distro: busybox}\n");
    insta::assert_snapshot!(format!("{fleet:#?}"), @r#"
    Fleet {
        name: FleetName(
            "dev",
        ),
        file: "/srv/fleet.yaml",
        engine: Native,
        scope: "",
        networks: [
            NetworkSpec {
                name: NetworkName(
                    "default",
                ),
                bridge: "fbde3214ee34",
                mac: MacAddress(
                    [
                        222,
                        50,
                        20,
                        238,
                        52,
                        89,
                    ],
                ),
                subnet: 10.142.82.0/24,
                gateway: 10.142.82.1,
                subnet6: None,
                dns: [],
                nat: true,
                isolated: false,
                egress: All,
                mtu: None,
                members_per_bridge: 1000,
            },
        ],
        outer: [],
        containers: [
            ContainerSpec {
                name: ContainerName(
                    "a",
                ),
                image: Busybox,
                arch: "amd64",
                init: Auto,
                limits: Limits {
                    memory: None,
                    memory_high: None,
                    swap: None,
                    cpus: None,
                    cpu_weight: None,
                    cpuset: None,
                    pids: None,
                    io_weight: None,
                    io: IoLimits {
                        read: None,
                        write: None,
                        read_iops: None,
                        write_iops: None,
                    },
                },
                links: [
                    LinkSpec {
                        network: NetworkName(
                            "default",
                        ),
                        name: "eth0",
                        way: Bridge,
                        parent: "fbde3214ee34",
                        host_name: "fv78fbb3b68c1c",
                        address: Some(
                            10.142.82.174/24,
                        ),
                        gateway: Some(
                            10.142.82.1,
                        ),
                        address6: None,
                        gateway6: None,
                        mac: MacAddress(
                            [
                                170,
                                80,
                                134,
                                98,
                                217,
                                210,
                            ],
                        ),
                        mtu: None,
                        port: PortMode {
                            isolated: false,
                            hairpin: false,
                        },
                    },
                ],
                is_on_host_network: false,
                guest: GuestSpec {
                    hostname: "a",
                    machine_id: MachineId(
                        "4999660db2cb42e6b9b26fb582e11f5f",
                    ),
                    users: [],
                    ssh_keys: [],
                    dns: [],
                    templates: {},
                },
                stop_timeout_s: 30,
                restart: No,
                security: SecuritySpec {
                    privileged: false,
                    nesting: false,
                    capabilities: CapabilityChanges {
                        add: {},
                        drop: {},
                    },
                    seccomp: Default,
                    sysctls: {},
                    rlimits: {},
                },
                mounts: [],
                devices: [],
                ports: [],
            },
        ],
        keeps_volumes: true,
        members: [
            Member {
                names: [
                    "a",
                    "a.dev",
                ],
                addresses: [
                    (
                        NetworkName(
                            "default",
                        ),
                        10.142.82.174,
                    ),
                ],
            },
        ],
        pins: [],
        signing_keys: {},
        profiles: {},
        private_keys: {},
    }
    "#);
}

#[test]
fn an_empty_fleet_is_one() {
    assert_eq!(accepted("fleet: dev\ncontainers: {}\n").containers, []);
}

#[test]
fn replicas_are_counted_from_one_with_a_run_of_addresses() {
    let fleet = accepted(
        "
fleet: dev
prefix: x-
network: {subnet: 10.42.0.0/24, bridge: br-dev, dns: [10.0.0.1, 'fd00::1']}
containers:
  agent: {distro: busybox, replicas: 3, ip: 10.42.0.11}
  db: {distro: busybox, ip: 10.42.0.5, hostname: store.example.org}
",
    );
    let hosts: Vec<String> =
        fleet.members.iter().map(|member| format!("{} {}", member.addresses[0].1, member.names.join(" "))).collect();
    insta::assert_snapshot!(hosts.join("\n"), @r"
    10.42.0.11 x-agent-1 x-agent-1.dev
    10.42.0.12 x-agent-2 x-agent-2.dev
    10.42.0.13 x-agent-3 x-agent-3.dev
    10.42.0.5 store x-db x-db.dev
    ");
    assert_eq!(fleet.networks[0].bridge, "br-dev");
    assert_eq!(fleet.networks[0].gateway.to_string(), "10.42.0.1");
    assert_eq!(container(&fleet, "x-db").guest.dns.len(), 2);
    assert_eq!(container(&fleet, "x-db").address().map(|address| address.to_string()).as_deref(), Some("10.42.0.5"));
    assert_eq!(container(&fleet, "x-db").guest.machine_id, MachineId::derive("dev", "x-db"));
}

#[test]
fn layers_replace_each_other_key_by_key() {
    let fleet = accepted(
        "
fleet: dev
defaults: {distro: busybox, memory: 256MiB, pids: 100, users: [{name: ops}], stop_timeout: 1m}
profiles:
  big: {memory: 2GiB, cpus: 2}
  slow: {cpus: 0.5, init: busybox}
  own: {image: 'file:root.tar.xz'}
containers:
  plain:
  both: {profiles: [big, slow]}
  reversed: {profiles: [slow, big], cpus: 3, users: [{name: dev, uid: 1500, shell: /bin/ash, sudo: true}]}
  image: {profiles: [own], init: /bin/my-init, stop_timeout: 5}
",
    );
    let draw = |container: &ContainerSpec| {
        let users: Vec<&str> = container.guest.users.iter().map(|user| user.name.as_str()).collect();
        let limits = &container.limits;
        format!(
            "{}: {} {:?} {:?} {:?} {:?} {users:?} {}s",
            container.name,
            container.image,
            container.init,
            limits.memory.map(|memory| memory.to_string()),
            limits.cpus.map(|cpus| cpus.to_string()),
            limits.pids,
            container.stop_timeout_s
        )
    };
    let drawn: Vec<String> = fleet.containers.iter().map(draw).collect();
    insta::assert_snapshot!(drawn.join("\n"), @r#"
    plain: busybox Auto Some("256MiB") None Some(100) ["ops"] 60s
    both: busybox Kind(Busybox) Some("2GiB") Some("0.5") Some(100) ["ops"] 60s
    reversed: busybox Kind(Busybox) Some("2GiB") Some("3") Some(100) ["dev"] 60s
    image: file:/srv/root.tar.xz Path("/bin/my-init") Some("256MiB") None Some(100) ["ops"] 5s
    "#);
    let dev = &container(&fleet, "reversed").guest.users[0];
    assert_eq!((dev.uid, dev.shell.as_deref(), dev.sudo), (Some(1500), Some("/bin/ash"), true));
}

#[test]
fn defaults_can_list_profiles() {
    let fleet = accepted(
        "
fleet: dev
defaults: {profiles: [small]}
profiles: {small: {distro: busybox, pids: 7}, other: {distro: busybox}}
containers: {a: {}, b: {profiles: [other]}}
",
    );
    assert_eq!(container(&fleet, "a").limits.pids, Some(7));
    assert_eq!(container(&fleet, "b").limits.pids, None);
}

#[test]
fn anchors_and_merge_keys_work() {
    let fleet = accepted(
        "
fleet: dev
containers:
  a: &base {distro: busybox, memory: 1G, pids: 5}
  b: {<<: *base, pids: 6}
  c: *base
",
    );
    let pids: Vec<_> = fleet.containers.iter().map(|container| container.limits.pids).collect();
    assert_eq!(pids, [Some(5), Some(6), Some(5)]);
}

#[test]
fn images_are_files_by_absolute_path() {
    let sum = "ab".repeat(32);
    let fleet = accepted(&format!(
        "
fleet: dev
containers:
  a: {{image: 'file:../images/./a.tar'}}
  b: {{image: 'file:~/b.tar@sha256:{sum}'}}
  c: {{image: {{source: 'file:/c.tar', sha256: {}}}}}
  d: {{image: busybox}}
",
        sum.to_uppercase()
    ));
    let file =
        |path: &str, sha256: Option<&str>| ImageSource::File { path: path.into(), sha256: sha256.map(str::to_owned) };
    assert_eq!(container(&fleet, "a").image, file("/images/a.tar", None));
    assert_eq!(container(&fleet, "b").image, file("/home/dev/b.tar", Some(&sum)));
    assert_eq!(container(&fleet, "c").image, file("/c.tar", Some(&sum)));
    assert_eq!(container(&fleet, "d").image, ImageSource::Busybox);
}

#[test]
fn distributions_come_from_the_server_that_is_named_or_else_from_the_usual_one() {
    let sum = "ab".repeat(32);
    let text = format!(
        "
fleet: dev
remotes: {{corp: 'https://images.corp.example/'}}
containers:
  a: {{distro: debian/12}}
  b: {{distro: 'corp:Alpine/3.20'}}
  c: {{image: 'https://a.example/x.tar.xz@sha256:{sum}'}}
  d: {{image: {{https: 'https://a.example/x.tar.xz', sha256: {sum}}}}}
  e: {{image: {{source: 'https://a.example/x.tar.xz', sha256: {sum}}}}}
  f: {{image: 'oci:reg.example:5000/app'}}
"
    );
    let fleet = accepted(&text);
    let distro = |server: &str, name: &str| {
        let (server, name) = (server.parse().expect("an address"), name.parse().expect("a name"));
        ImageSource::Distro(Distro { server, name })
    };
    assert_eq!(container(&fleet, "a").image, distro("https://images.linuxcontainers.org", "debian/12"));
    assert_eq!(container(&fleet, "b").image, distro("https://images.corp.example", "alpine/3.20"));
    let url = "https://a.example/x.tar.xz".parse().expect("an address");
    let archive = ImageSource::Https { url, sha256: sum };
    for name in ["c", "d", "e"] {
        assert_eq!(container(&fleet, name).image, archive);
    }
    let image = Distro::of_registry("reg.example:5000/app:latest").expect("a name");
    assert_eq!(container(&fleet, "f").image, ImageSource::Distro(image));
    let elsewhere = |name: &str| match name {
        "FLEET_IMAGE_SERVER" => Some("http://localhost:8000".to_owned()),
        _ => environment(name),
    };
    let fleet = parse(Path::new("/srv/fleet.yaml"), &text, "", &elsewhere).expect("it is right").fleet;
    assert_eq!(container(&fleet, "a").image, distro("http://localhost:8000", "debian/12"));
    assert_eq!(container(&fleet, "b").image, distro("https://images.corp.example", "alpine/3.20"));
}

#[test]
fn a_checksum_of_digits_alone_is_still_a_checksum() {
    let digits = "01".repeat(32);
    let fleet = accepted(&format!("fleet: d\ncontainers: {{a: {{image: {{source: 'file:/a', sha256: {digits}}}}}}}\n"));
    assert_eq!(fleet.containers[0].image, ImageSource::File { path: "/a".into(), sha256: Some(digits) });
}

#[test]
fn variables_come_from_the_environment() {
    let fleet = accepted(
        "fleet: ${NAME:-dev}\ncontainers: {a: {distro: busybox, memory: \"${MEMORY}\", pids: \"${PIDS:-9}\"}}\n",
    );
    assert_eq!(fleet.name.as_str(), "dev");
    assert_eq!(fleet.containers[0].limits.memory.map(|memory| memory.0), Some(1 << 30));
    assert_eq!(fleet.containers[0].limits.pids, Some(9));
}

#[test]
fn keys_and_templates_are_read_beside_the_fleet_file() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let keys = include_str!("../testdata/keys.pub");
    fs::write(directory.path().join("all.pub"), format!("# a comment\n\n{keys}")).expect("it can be written");
    fs::write(directory.path().join("hosts.hbs"), "{{hostname}}").expect("it can be written");
    let first = keys.lines().next().expect("there is one");
    let text = format!(
        "fleet: dev\ntemplates: {{hosts: hosts.hbs}}\ncontainers:\n  a:\n    distro: busybox\n    ssh_keys:\n    - all.pub\n    - {first}\n    users: [{{name: dev, ssh_keys: [./all.pub]}}]\n"
    );
    let fleet = parse(&directory.path().join("fleet.yaml"), &text, "", &environment).expect("nothing is wrong").fleet;
    let guest = &fleet.containers[0].guest;
    let expected: Vec<&str> = keys.lines().chain([first]).collect();
    assert_eq!(guest.ssh_keys, expected);
    assert_eq!(guest.users[0].ssh_keys, keys.lines().collect::<Vec<_>>());
    assert_eq!(guest.templates["hosts"], "{{hostname}}");
}

#[test]
fn names_of_links_differ_between_scopes_and_nothing_else_does() {
    let text = "fleet: dev\ncontainers: {a: {distro: busybox}}\n";
    let under = |scope: &str| parse(Path::new("f.yaml"), text, scope, &environment).expect("nothing is wrong").fleet;
    let (host, other) = (under(""), under("/srv/other"));
    assert_ne!(host.networks[0].bridge, other.networks[0].bridge);
    assert_ne!(host.networks[0].mac, other.networks[0].mac);
    assert_ne!(host.containers[0].links[0].host_name, other.containers[0].links[0].host_name);
    assert_eq!(host.containers[0].links[0].address, other.containers[0].links[0].address);
    assert_eq!(host.containers[0].guest, other.containers[0].guest);
    assert!(host.networks[0].bridge.len() <= 15 && host.containers[0].links[0].host_name.len() <= 15);
}

#[test]
fn every_init_has_its_word() {
    for (word, kind) in InitKind::ALL {
        let fleet = accepted(&format!("fleet: d\ncontainers: {{a: {{distro: busybox, init: {word}}}}}\n"));
        assert_eq!(fleet.containers[0].init, Init::Kind(kind));
    }
    assert_eq!(accepted("fleet: d\ncontainers: {a: {distro: busybox, init: auto}}\n").containers[0].init, Init::Auto);
}

#[test]
fn twenty_thousand_containers_are_a_fleet() {
    let groups = (0..5).map(|n| format!("  g{n}: {{replicas: 4000}}\n")).collect::<Vec<_>>().concat();
    let fleet = accepted(&format!(
        "fleet: dev\nnetwork: {{subnet: 10.0.0.0/17}}\ndefaults: {{distro: busybox}}\ncontainers:\n{groups}"
    ));
    assert_eq!(fleet.containers.len(), 20_000);
}

#[test]
fn a_full_subnet_is_used_to_the_last_address() {
    let fleet = accepted(
        "
fleet: dev
network: {subnet: 10.0.0.0/29}
containers: {a: {distro: busybox, replicas: 4}, b: {distro: busybox, ip: 10.0.0.4}}
",
    );
    let mut addresses: Vec<String> = fleet.members.iter().map(|member| member.addresses[0].1.to_string()).collect();
    addresses.sort();
    assert_eq!(addresses, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
}

#[test]
fn an_architecture_chooses_the_image() {
    let fleet = accepted(
        "fleet: d\ncontainers:\n  a: {distro: debian/12, arch: s390x}\n  b: {image: 'oci:reg.example/app', arch: s390x}\n  \
         c: {image: 'bootstrap:debian/12/s390x'}\n  d: {distro: busybox}\n",
    );
    let shown: Vec<String> = fleet.containers.iter().map(|spec| format!("{} {}", spec.image, spec.arch)).collect();
    let native = crate::model::native_architecture();
    assert_eq!(
        shown,
        [
            "debian/12/s390x s390x",
            "oci:reg.example/app:latest/s390x s390x",
            "bootstrap:debian/12/s390x s390x",
            &format!("busybox {native}")
        ]
    );
}
