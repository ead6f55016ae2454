//! The names of containers: among each other, and on the host.

mod world;

use std::fs;

use serde_json::json;
use world::{World, eventually};

const AGENTS: &str = "fleet: lab
network: {subnet: 10.213.71.0/24}
defaults: {distro: busybox, memory: 64MiB}
profiles: {probe: {pids: 64}}
containers:
  agent: {replicas: 3, ip: 10.213.71.11, profiles: [probe]}
";

#[test]
fn members_find_each_other_by_short_and_by_full_name() {
    let world = World::new();
    world.write(AGENTS).fleet(&["apply"]).expect(0);
    for (from, to, address) in [("agent-1", "agent-3", "10.213.71.13"), ("agent-3", "agent-1", "10.213.71.11")] {
        for name in [to.to_owned(), format!("{to}.lab")] {
            let answer = world.sh(from, &format!("ping -c1 -W5 {name}"));
            assert!(answer.contains(&format!("PING {name} ({address})")), "{answer}");
        }
    }
    world.destroy();
}

#[test]
fn what_is_not_there_is_said_and_not_invented() {
    let world = World::new();
    world.write(AGENTS);
    let nothing = world.fleet(&["ssh-config"]).expect(0);
    assert_eq!(nothing.stdout, "# agent-1 is absent\n\n# agent-2 is absent\n\n# agent-3 is absent\n");

    world.fleet(&["apply"]).expect(0);
    world.fleet(&["stop", "agent-2"]).expect(0);
    // A fourth one stands in the file only, and so does another address of the first.
    world.write(&AGENTS.replace("replicas: 3, ip: 10.213.71.11", "replicas: 4, ip: 10.213.71.21"));
    let listed = world.fleet(&["ssh-config", "-o", "json"]).expect(0);
    assert_eq!(listed.stderr, "agent-2 is stopped\nagent-4 is absent, and left out\n");
    let document = listed.json();
    let facts = |number: usize| {
        let container = &document["containers"][number];
        json!([container["name"], container["state"], container["address"], container["user"]])
    };
    assert_eq!(facts(0), json!(["agent-1", "running", "10.213.71.11", "root"]));
    assert_eq!(facts(1), json!(["agent-2", "stopped", "10.213.71.12", "root"]));
    assert_eq!(facts(3), json!(["agent-4", "absent", null, null]));

    let refused = |name: &str| world.fleet(&["ssh", name]).expect(1).stderr;
    assert!(
        refused("agent-2").starts_with("error: the container `agent-2` does not run\n  hint: `fleet start agent-2`")
    );
    assert!(refused("agent-4").starts_with("error: there is no container `agent-4`\n"));
    world.fleet(&["freeze", "agent-1"]).expect(0);
    assert!(refused("agent-1").starts_with("error: the container `agent-1` is frozen\n"));
    world.fleet(&["thaw", "agent-1"]).expect(0);
    world.destroy();
}

#[test]
fn host_keys_are_known_before_there_is_a_container_that_has_them() {
    let world = World::new();
    let mut apply = world.write(AGENTS).spawn(&["apply"]);
    eventually("a container is made", || !world::names_in(&world.root().join("lxc")).is_empty());
    apply.kill().expect("killed or ended");
    apply.wait().expect("it ends");
    let known = fs::read_to_string(world.root().join("fleet/fleets/lab/known_hosts")).expect("it is there");
    assert_eq!(known.lines().count(), 3, "{known}");
    world.fleet(&["apply"]).expect(0);
    world.destroy();
    assert!(!world.root().join("fleet/fleets/lab").exists());
}
