//! What is logged about proxies and servers when somebody asks by a signal, or when the process leaves.

use super::shared::Control;
use crate::config::diagnostic::Severity;
use crate::metrics::Counter;
use crate::plan::{Backend, Frontend, Plan};
use crate::server::Farm;

const WARNING: u8 = 4;
const NOTICE: u8 = 5;

/// Logs every proxy and server with its state and connections (SIGHUP).
pub fn dump(control: &Control) {
    let plan = &control.plan;
    for frontend in plan.frontends.iter().filter(|frontend| frontend.backend.is_none()) {
        let (current, total) = (frontend.connections.current(), connections(plan, frontend));
        let text = format!(
            "SIGHUP: Proxy {} has no servers. Conn: act(FE+BE): {current}+0, 0 pend (0 unass), \
             tot(FE+BE): {total}+0.",
            frontend.name,
        );
        control.announce(&frontend.log.targets, NOTICE, &text);
    }
    for (backend, farm) in plan.backends.iter().zip(&plan.farms) {
        for (index, server) in backend.servers.iter().enumerate() {
            let live = farm.server(index);
            let text = format!(
                "SIGHUP: Server {}/{} is {}. Conn: {} act, {} pend, {} tot.",
                backend.name,
                server.name,
                if live.is_up() { "UP" } else { "DOWN" },
                live.current(),
                live.queued(),
                plan.metrics.total(server.object, Counter::Sessions),
            );
            control.announce_of(backend, NOTICE, &text);
        }
        control.announce_of(backend, NOTICE, &backend_line(plan, backend, farm));
    }
}

fn backend_line(plan: &Plan, backend: &Backend, farm: &Farm) -> String {
    let (active, backup) = (farm.count_usable(false), farm.count_usable(true));
    let name = &backend.name;
    let about = match (active, backup) {
        _ if backend.servers.is_empty() => format!("Proxy {name} has no servers."),
        (0, 0) => format!("Proxy {name} has no server available !"),
        (0, _) => format!("Proxy {name} is running on backup server(s)."),
        _ => {
            format!(
                "Proxy {name} has {active} active servers and {backup} backup servers available."
            )
        }
    };
    let front = front_half(plan, backend);
    let (current, total) =
        front.map_or((0, 0), |front| (front.connections.current(), connections(plan, front)));
    let queued: u32 = farm.servers().iter().map(|server| server.queued()).sum();
    format!(
        "SIGHUP: {about} Conn: act(FE+BE): {current}+{}, {queued} pend (0 unass), \
         tot(FE+BE): {total}+{}.",
        backend.streams.current(),
        plan.metrics.total(backend.object, Counter::Sessions),
    )
}

/// Returns the front half of a `listen` section.
fn front_half<'p>(plan: &'p Plan, backend: &Backend) -> Option<&'p Frontend> {
    backend.frontend.map(|index| &plan.frontends[index as usize])
}

fn connections(plan: &Plan, frontend: &Frontend) -> u64 {
    plan.metrics.total(frontend.object, Counter::Connections)
}

/// Says how much memory is in use and by how many connections (SIGQUIT).
pub fn dump_memory(control: &Control) {
    let resident = control.rates.process().resident_bytes().unwrap_or(0) / 1024;
    let mut text = format!(
        "SIGQUIT: {resident} KiB resident, {} connections",
        control.plan.connections.current()
    );
    for (shard, inbox) in control.inboxes.iter().enumerate() {
        text.push_str(&format!(", {} sessions on shard {shard}", inbox.sessions()));
    }
    (control.console)(Severity::Notice, &text);
}

/// Logs every proxy as stopped (SIGUSR1).
pub fn dump_stopped(control: &Control) {
    let plan = &control.plan;
    let line = |name: &str, front: u64, back: u64| {
        format!("Proxy {name} stopped (cumulated conns: FE: {front}, BE: {back}).")
    };
    for frontend in plan.frontends.iter().filter(|frontend| frontend.backend.is_none()) {
        let text = line(&frontend.name, connections(plan, frontend), 0);
        control.announce(&frontend.log.targets, WARNING, &text);
    }
    for backend in &plan.backends {
        let front = front_half(plan, backend).map_or(0, |front| connections(plan, front));
        let back = plan.metrics.total(backend.object, Counter::Sessions);
        control.announce(&backend.logs, WARNING, &line(&backend.name, front, back));
    }
}
