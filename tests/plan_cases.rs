//! Plans for fleets and hosts that differ in one thing each, as text.

#[path = "plan_cases/access.rs"]
mod access;
#[path = "sim/build.rs"]
mod build;
#[path = "plan_cases/containers.rs"]
mod containers;
#[path = "plan_cases/host.rs"]
mod host;
#[path = "plan_cases/ipv6.rs"]
mod ipv6;
#[path = "plan_cases/neighbours.rs"]
mod neighbours;
#[path = "plan_cases/network.rs"]
mod network;
#[path = "plan_cases/power.rs"]
mod power;
#[path = "plan_cases/segments.rs"]
mod segments;
#[path = "plan_cases/traffic.rs"]
mod traffic;

use std::fmt::Write as _;

use fleet::model::{
    Consequence, ContainerName, ContainerState, Fleet, Forwarding, Host, LinkState, Ownership, PerFamily, Plan,
    RunState, Running, StepId, TableState,
};
use fleet::plan::plan;

/// `plan` as text: a line for each step and each conflict.
fn drawn(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = write!(text, "+ {}  {}", step.id, step.reason);
        if step.consequence != Consequence::None {
            let _ = write!(text, "  ({:?})", step.consequence);
        }
        if !step.after.is_empty() {
            let after: Vec<String> = step.after.iter().map(StepId::to_string).collect();
            let _ = write!(text, "  after [{}]", after.join(", "));
        }
        text.push('\n');
    }
    for conflict in &plan.conflicts {
        let _ = writeln!(text, "! {}  {}", conflict.target, conflict.message);
        let _ = writeln!(text, "  hint: {}", conflict.hint);
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if text.is_empty() { "nothing to do\n".to_owned() } else { text }
}

fn planned(fleet: &Fleet, host: &Host) -> String {
    drawn(&plan(fleet, host))
}

fn one() -> Fleet {
    build::fleet_of(vec![build::spec("a", 11)])
}

fn two() -> Fleet {
    build::fleet_of(vec![build::spec("a", 11), build::spec("b", 12)])
}

/// A host on which all of `fleet` runs as it should.
fn converged_host(fleet: &Fleet) -> Host {
    let mut host = build::bare_host();
    set_traffic(&mut host, fleet);
    for (slot, spec) in (0..).zip(&fleet.containers) {
        host.containers.insert(spec.name.clone(), build::running_container(build::record(fleet, spec, slot)));
        host.links.extend(spec.links.iter().map(|link| (link.host_name.clone(), build::host_end(link))));
    }
    host
}

/// Gives `host` all of its network that `fleet` asks for.
fn set_traffic(host: &mut Host, fleet: &Fleet) {
    for network in fleet.networks_in_use() {
        let bridge = LinkState { loopback: fleet.is_on_loopback(network), ..build::bridge(network) };
        host.links.insert(network.bridge.clone(), bridge);
    }
    host.firewall.table = TableState::Ours;
    host.firewall.chains.extend(fleet.chains());
    host.forwarding = PerFamily::each(|family| {
        let needed = fleet.needs_forwarding(family);
        Forwarding { is_on: needed, is_recorded: needed }
    });
}

fn name(text: &str) -> ContainerName {
    build::container_name(text)
}

fn container<'a>(host: &'a mut Host, of: &str) -> &'a mut ContainerState {
    host.containers.get_mut(&name(of)).expect("the host has it")
}

fn running<'a>(host: &'a mut Host, of: &str) -> &'a mut Running {
    match &mut container(host, of).run {
        RunState::Running(running) => running,
        RunState::Stopped | RunState::Restarting(_) | RunState::Incomplete(_) => panic!("`{of}` runs"),
    }
}

fn make_foreign(host: &mut Host, of: &str) {
    container(host, of).ownership = Ownership::Foreign;
}
