//! The state of a fleet as JSON, one row for each container.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{
    ContainerName, ContainerRecord, ContainerSpec, ContainerState, EngineKind, Fleet, FleetName, Host, InitKind,
    IpFamily, LastExit, MonitorState, Ownership, Restarting, RunState, Running,
};

/// The document of `fleet status`.
#[derive(Debug, Serialize)]
pub(crate) struct StatusJson {
    pub(super) fleet: String,
    /// In what the things that the containers share on the host differ from what is asked for.
    pub(super) drift: Vec<String>,
    pub(super) containers: Vec<RowJson>,
}

/// One container.
#[derive(Debug, Serialize)]
pub(super) struct RowJson {
    pub(super) name: String,
    pub(super) state: StateWord,
    pub(super) pid: Option<u32>,
    /// What runs as PID 1, if it is a known init.
    pub(super) init: Option<InitKind>,
    pub(super) ip: Option<String>,
    pub(super) ip6: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) image: Option<String>,
    pub(super) engine: EngineKind,
    pub(super) memory: MemoryJson,
    pub(super) cpus: Option<f64>,
    pub(super) pids: Option<u32>,
    pub(super) uptime_s: Option<u64>,
    /// The pid of the process that looks after it; absent when it does not run or was killed.
    pub(super) monitor: Option<u32>,
    /// How its last run ended.
    pub(super) last_exit: Option<LastExit>,
    /// What is wrong with one that is incomplete or being restarted, or whose it is.
    pub(super) detail: Option<String>,
    pub(super) drift: Vec<String>,
}

/// Memory in bytes.
#[derive(Debug, Serialize)]
pub(super) struct MemoryJson {
    pub(super) limit: Option<u64>,
    pub(super) used: Option<u64>,
}

/// What a container does, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateWord {
    /// Its init runs.
    Running,
    /// Its processes stand still.
    Frozen,
    /// Its init ended by itself, and is about to be started again.
    Restarting,
    /// Whole, and not running.
    Stopped,
    /// In the file, not on the host.
    Absent,
    /// Half made or half deleted.
    Incomplete,
    /// Something of this name is not this fleet's.
    Foreign,
}

impl StateWord {
    /// What a container that `fleet` asks for does, found as `state`.
    pub(crate) fn of(fleet: &FleetName, state: Option<&ContainerState>) -> StateWord {
        let Some(state) = state else { return StateWord::Absent };
        match (&state.ownership, &state.run) {
            (Ownership::Ours(record), run) if record.fleet == *fleet => match run {
                RunState::Running(running) if running.frozen => StateWord::Frozen,
                RunState::Running(_) => StateWord::Running,
                RunState::Restarting(_) => StateWord::Restarting,
                RunState::Stopped => StateWord::Stopped,
                RunState::Incomplete(_) => StateWord::Incomplete,
            },
            (Ownership::Ours(_) | Ownership::Foreign, _) => StateWord::Foreign,
        }
    }

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StateWord::Running => "running",
            StateWord::Frozen => "frozen",
            StateWord::Restarting => "restarting",
            StateWord::Stopped => "stopped",
            StateWord::Absent => "absent",
            StateWord::Incomplete => "incomplete",
            StateWord::Foreign => "foreign",
        }
    }
}

impl StatusJson {
    /// The containers of `fleet`'s file in its order, then those that the host has beyond it. `now_s` is the time in
    /// seconds since 1970.
    pub(crate) fn new(
        fleet: &Fleet,
        host: &Host,
        drift: &BTreeMap<ContainerName, Vec<String>>,
        now_s: u64,
    ) -> StatusJson {
        let asked = fleet.containers.iter().map(|spec| row(fleet, Some(spec), host.containers.get(&spec.name), now_s));
        let in_file = |state: &ContainerState| fleet.containers.iter().any(|spec| spec.name == state.name);
        let beyond = host.containers.values().filter(|state| is_member(fleet, state) && !in_file(state));
        let mut rows: Vec<RowJson> = asked.collect();
        rows.extend(beyond.map(|state| row(fleet, None, Some(state), now_s)));
        for row in &mut rows {
            let name = drift.iter().find(|(name, _)| name.as_str() == row.name);
            row.drift = name.map(|(_, differences)| differences.clone()).unwrap_or_default();
        }
        StatusJson { fleet: fleet.name.to_string(), drift: Vec::new(), containers: rows }
    }

    /// The same, with the `drift` of what the containers share on the host.
    #[must_use]
    pub(crate) fn with_host_drift(self, drift: Vec<String>) -> StatusJson {
        StatusJson { drift, ..self }
    }

    /// The fleet's name.
    pub(crate) fn fleet(&self) -> &str {
        &self.fleet
    }

    /// The containers' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|row| row.name.as_str())
    }

    /// Leaves out the containers whose names `chosen` does not want.
    pub(crate) fn keep(&mut self, chosen: impl Fn(&str) -> bool) {
        self.containers.retain(|row| chosen(&row.name));
    }
}

fn is_member(fleet: &Fleet, state: &ContainerState) -> bool {
    matches!(&state.ownership, Ownership::Ours(record) if record.fleet == fleet.name)
}

/// The row of the container that is asked for as `spec` and found as `state`; one of the two is there.
fn row(fleet: &Fleet, spec: Option<&ContainerSpec>, state: Option<&ContainerState>, now_s: u64) -> RowJson {
    let name = spec.map(|spec| &spec.name).or(state.map(|state| &state.name));
    let mut row = RowJson {
        name: name.map(ToString::to_string).unwrap_or_default(),
        state: StateWord::of(&fleet.name, state),
        pid: None,
        init: None,
        ip: None,
        ip6: None,
        hostname: None,
        image: None,
        engine: fleet.engine,
        memory: MemoryJson { limit: None, used: None },
        cpus: None,
        pids: None,
        uptime_s: None,
        monitor: None,
        last_exit: None,
        detail: None,
        drift: Vec::new(),
    };
    match state {
        None => {
            if let Some(spec) = spec {
                row.describe(spec);
            }
        }
        Some(ContainerState { ownership: Ownership::Foreign, .. }) => {
            row.detail = Some("not made by fleet".to_owned());
        }
        Some(state @ ContainerState { ownership: Ownership::Ours(record), .. }) => {
            row.fill(fleet, record, state, now_s);
        }
    }
    row
}

impl RowJson {
    fn describe(&mut self, spec: &ContainerSpec) {
        let address = |family| spec.addresses().find(|address| IpFamily::of(*address) == family);
        self.ip = address(IpFamily::Ipv4).map(|address| address.to_string());
        self.ip6 = address(IpFamily::Ipv6).map(|address| address.to_string());
        self.hostname = Some(spec.guest.hostname.clone());
        self.image = Some(spec.image.to_string());
        self.memory.limit = spec.limits.memory.map(|bytes| bytes.0);
        self.cpus = spec.limits.cpus.map(crate::model::Cpus::as_f64);
        self.pids = spec.limits.pids;
    }

    fn fill(&mut self, fleet: &Fleet, record: &ContainerRecord, state: &ContainerState, now_s: u64) {
        self.describe(&record.spec);
        self.engine = record.engine;
        if record.fleet != fleet.name {
            self.detail = Some(format!("belongs to fleet {}", record.fleet));
            return;
        }
        self.last_exit.clone_from(&state.last_exit);
        match &state.run {
            RunState::Stopped => {}
            RunState::Incomplete(why) => self.detail = Some(why.clone()),
            RunState::Running(running) => self.run(running),
            RunState::Restarting(restarting) => self.restart(*restarting, now_s),
        }
    }

    fn restart(&mut self, restarting: Restarting, now_s: u64) {
        self.monitor = Some(restarting.monitor);
        let why = self.last_exit.as_ref().map(|last| format!("{}; ", last.ending)).unwrap_or_default();
        let pause = restarting.next_start_s.saturating_sub(now_s);
        self.detail = Some(format!("{why}starts again in {pause}s"));
    }

    /// What the kernel says counts, not what was asked for.
    fn run(&mut self, running: &Running) {
        self.pid = Some(running.pid);
        self.init = running.init;
        self.memory = MemoryJson {
            limit: running.limits.memory.map(|bytes| bytes.0),
            used: running.memory_used.map(|bytes| bytes.0),
        };
        self.cpus = running.limits.cpus.map(crate::model::Cpus::as_f64);
        self.pids = running.limits.pids;
        self.uptime_s = Some(running.uptime_s);
        match running.monitor {
            MonitorState::Alive(pid) => self.monitor = Some(pid),
            MonitorState::Dead => self.detail = Some("its monitor was killed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::Ending;
    use crate::report::example::{fleet, running_host};

    #[test]
    fn a_running_container_has_what_scripts_ask_for() {
        let status = StatusJson::new(&fleet(&["agent-1"]), &running_host(&["agent-1"]), &BTreeMap::new(), 1090);
        let document = serde_json::to_string(&status).expect("it serialises");
        assert_eq!(
            document,
            concat!(
                r#"{"fleet":"dev","drift":[],"containers":[{"name":"agent-1","state":"running","pid":4711,"init":"busybox","ip":"10.42.0.11","ip6":null,"#,
                r#""hostname":"agent-1","image":"busybox","engine":"native","#,
                r#""memory":{"limit":67108864,"used":1048576},"cpus":0.5,"pids":null,"uptime_s":90,"monitor":4710,"#,
                r#""last_exit":null,"#,
                r#""detail":null,"drift":[]}]}"#
            )
        );
    }

    #[test]
    fn a_restarting_container_says_why_and_when() {
        let mut host = running_host(&["agent-1"]);
        for state in host.containers.values_mut() {
            state.run = RunState::Restarting(Restarting { monitor: 4710, next_start_s: 1012 });
            state.last_exit = Some(LastExit { ending: Ending::Exited { status: 3 }, at_s: 1000 });
        }
        let status = StatusJson::new(&fleet(&["agent-1"]), &host, &BTreeMap::new(), 1002);
        let row = serde_json::to_value(&status.containers[0]).expect("it serialises");
        assert_eq!((&row["state"], &row["monitor"], &row["pid"]), (&"restarting".into(), &4710.into(), &Value::Null));
        assert_eq!(row["last_exit"], serde_json::json!({"how": "exited", "status": 3, "at_s": 1000}));
        assert_eq!(row["detail"], "its init exited with status 3; starts again in 10s");
    }

    #[test]
    fn what_is_asked_for_and_what_is_beyond_it_are_both_rows() {
        let drift = BTreeMap::from([("b".parse().expect("a name"), vec!["not in the fleet file".to_owned()])]);
        let status = StatusJson::new(&fleet(&["a"]), &running_host(&["b"]), &drift, 0);
        let rows: Vec<_> = status.containers.iter().map(|row| (row.name.as_str(), row.state, &row.drift)).collect();
        let beyond = vec!["not in the fleet file".to_owned()];
        assert_eq!(rows, [("a", StateWord::Absent, &Vec::new()), ("b", StateWord::Running, &beyond)]);
    }
}
