//! Small nouns for this room's tests.

use std::collections::BTreeMap;

use super::{FleetLogins, LoginState, StateWord};
use crate::model::{
    Action, Bytes, Consequence, ContainerRecord, ContainerSpec, ContainerState, Cpus, Egress, EngineKind, Fleet,
    GuestSpec, Host, IdRange, ImageDigest, ImageSource, Init, InitKind, Limits, LinkSpec, LinkWay, Login, MacAddress,
    MachineId, MonitorState, NetworkName, NetworkSpec, Ownership, Plan, PortMode, Restart, RunState, Running,
    SecuritySpec, Step, StepId, UserSpec,
};

pub(super) fn plan_of(steps: Vec<Step>) -> Plan {
    Plan { fleet: "dev".parse().expect("a name"), steps, conflicts: Vec::new(), notes: Vec::new() }
}

pub(super) fn step(action: Action, reason: &str, consequence: Consequence) -> Step {
    let id = StepId(format!("{}:{}", action.verb(), action.target()));
    Step { id, action, reason: reason.to_owned(), consequence, after: Vec::new() }
}

pub(super) fn spec(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.parse().expect("a name"),
        image: ImageSource::Busybox,
        arch: "amd64".to_owned(),
        init: Init::Auto,
        limits: Limits {
            memory: Some(Bytes(64 << 20)),
            cpus: Some(Cpus { millis: 500 }),
            pids: None,
            ..Limits::default()
        },
        links: vec![LinkSpec {
            network: NetworkName::default(),
            name: LinkSpec::first_name(),
            way: LinkWay::default(),
            parent: "br0".into(),
            host_name: format!("v{name}"),
            address: "10.42.0.11/24".parse().ok(),
            gateway: "10.42.0.1".parse().ok(),
            address6: None,
            gateway6: None,
            mac: MacAddress::derive(&[name]),
            mtu: None,
            port: PortMode::default(),
        }],
        is_on_host_network: false,
        guest: GuestSpec {
            hostname: name.into(),
            machine_id: MachineId::derive("dev", name),
            users: Vec::new(),
            ssh_keys: Vec::new(),
            dns: Vec::new(),
            templates: BTreeMap::new(),
        },
        stop_timeout_s: 10,
        restart: Restart::default(),
        security: SecuritySpec::default(),
        mounts: Vec::new(),
        devices: Vec::new(),
        ports: Vec::new(),
    }
}

pub(super) fn record(name: &str) -> Box<ContainerRecord> {
    Box::new(ContainerRecord {
        fleet: "dev".parse().expect("a name"),
        engine: EngineKind::Native,
        spec: spec(name),
        image: ImageDigest("0".repeat(64)),
        ids: IdRange { base: 1_879_048_192 },
        hosts: String::new(),
    })
}

pub(super) fn fleet(names: &[&str]) -> Fleet {
    Fleet {
        name: "dev".parse().expect("a name"),
        file: "fleet.yaml".into(),
        engine: EngineKind::Native,
        scope: String::new(),
        networks: vec![NetworkSpec {
            name: NetworkName::default(),
            bridge: "br0".into(),
            mac: MacAddress::derive(&["dev"]),
            subnet: "10.42.0.0/24".parse().expect("a subnet"),
            gateway: "10.42.0.1".parse().expect("an address"),
            subnet6: None,
            dns: Vec::new(),
            nat: true,
            isolated: false,
            egress: Egress::All,
            mtu: None,
            members_per_bridge: 1000,
        }],
        outer: Vec::new(),
        containers: names.iter().map(|name| spec(name)).collect(),
        keeps_volumes: true,
        pins: Vec::new(),
        signing_keys: BTreeMap::new(),
        members: Vec::new(),
        profiles: BTreeMap::new(),
        private_keys: BTreeMap::new(),
    }
}

/// A host on which the containers `names` of the example's fleet have run for 90 seconds.
pub(super) fn running_host(names: &[&str]) -> Host {
    let states = names.iter().map(|name| {
        let record = record(name);
        let running = Running {
            pid: 4711,
            init: Some(InitKind::Busybox),
            monitor: MonitorState::Alive(4710),
            frozen: false,
            is_stopping: false,
            limits: record.spec.limits.clone(),
            memory_used: Some(Bytes(1 << 20)),
            mounts: Vec::new(),
            network: None,
            uptime_s: 90,
        };
        let name = record.spec.name.clone();
        let ownership = Ownership::Ours(record);
        (name.clone(), ContainerState { name, ownership, run: RunState::Running(Box::new(running)), last_exit: None })
    });
    Host { containers: states.collect(), ..Host::default() }
}

/// The containers `agent-1`, which runs, has the one user `dev` and lets a key of this host in, and `agent-2`, which is
/// absent.
pub(super) fn logins() -> FleetLogins {
    let mut record = record("agent-1");
    let ssh_keys = vec!["ssh-ed25519 AAAA".to_owned()];
    record.spec.guest.users = vec![UserSpec { name: "dev".into(), uid: None, shell: None, sudo: false, ssh_keys }];
    let private_keys = [("ssh-ed25519 AAAA".to_owned(), "/home/dev/my keys/id".into())].into();
    let login = Login::new(&record, None, "/var/lib/fleet/fleets/dev/known_hosts".into(), &private_keys);
    let names = ["agent-1", "agent-2"].map(|name| name.parse().expect("a name"));
    let [first, second] = names.clone();
    FleetLogins {
        fleet: "dev".parse().expect("a name"),
        containers: vec![
            LoginState { name: first, state: StateWord::Running, login },
            LoginState { name: second, state: StateWord::Absent, login: None },
        ],
        profiles: [("big one".to_owned(), names.to_vec())].into(),
    }
}
