//! A fleet that commands are tried on which do not come to their end: whatever happens to them, the next apply brings the
//! host to where one that nobody disturbed does.

use std::fs;
use std::path::Path;

use crate::world::{self, World};

/// Three containers with something of everything that a start makes.
const FLEET: &str = "\
fleet: trial
network: {subnet: 10.213.19.0/24}
defaults:
  distro: busybox
  memory: 64MiB
  pids: 64
  stop_timeout: 1
  users: [{name: dev}]
  mounts: ['store:/home', './data:/srv/data:ro', './data:/srv/over:overlay']
containers:
  trial: {replicas: 3, ip: 10.213.19.11}
  web: {ip: 10.213.19.5, ports: ['127.0.0.1:18080:80'], restart: always}
";

/// The same containers, each changed: one part live, one with a restart, one less and one more.
pub(crate) fn changed() -> String {
    FLEET
        .replace("64MiB", "48MiB")
        .replace("'./data:/srv/data:ro'", "'./data:/srv/more'")
        .replace("replicas: 3, ip: 10.213.19.11", "replicas: 2, ip: 10.213.19.21")
        .replace("  web:", "  web-2:")
}

/// The fleet on a host of its own.
pub(crate) struct Trial {
    pub(crate) world: World,
    as_it_should_be: String,
}

impl Trial {
    /// With its containers running.
    pub(crate) fn new() -> Trial {
        let world = World::new();
        fs::create_dir(world.dir.path().join("data")).expect("made");
        world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
        Trial { as_it_should_be: state_of(&world), world }
    }

    /// The next apply finishes the work.
    pub(crate) fn finish(&self, when: &str) {
        self.world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
        assert_eq!(self.world.changes(), 0, "{when}");
        assert_eq!(state_of(&self.world), self.as_it_should_be, "{when}");
    }
}

/// All that the fleet makes of the host: names of files, groups, links and processes, the mounts and the rules.
fn state_of(world: &World) -> String {
    let mut lines = Vec::new();
    for (dir, depth) in [("lxc", 3), ("fleet", 4), ("run", 3)] {
        list(&world.root(), Path::new(dir), depth, &mut lines);
    }
    lines.extend(world.processes().into_iter().map(|(_, name)| format!("process {name}")));
    lines.extend(world.groups().into_iter().map(|group| format!("group {}", group.display())));
    for group in world.groups() {
        let names = world::names_in(&group).into_iter().filter(|name| group.join(name).is_dir());
        lines.extend(names.map(|name| format!("group of {name}")));
    }
    lines.extend(world::links().into_iter().map(|link| format!("link {link}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let root = world.root().display().to_string();
    lines.extend(mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned));
    lines.sort();
    lines.join("\n") + &world::traffic()
}

/// The files below `dir`, but for those that tell of the past.
fn list(root: &Path, dir: &Path, depth: usize, lines: &mut Vec<String>) {
    for name in world::names_in(&root.join(dir)) {
        let path = dir.join(&name);
        let is_past = ["last_exit.json", "console.log", "console.log.1"].contains(&name.as_str());
        // What guests and overlayfs make of their layers is theirs.
        if is_past || path.ends_with("fs/upper") || path.ends_with("fs/work") {
            continue;
        }
        lines.push(path.display().to_string());
        if depth > 1 && !name.ends_with("rootfs") {
            list(root, &path, depth - 1, lines);
        }
    }
}
