//! What is said when a server's state changes, in HAProxy's words, so that existing log watchers understand it.

use crate::plan::Plan;
use crate::server::{Admin, CheckResult, CheckStatus, Operational};
use std::fmt::Write;

/// Level of "no server available".
pub const EMERGENCY: u8 = 0;
const ALERT: u8 = 1;
/// Level of a check that changed no state.
pub const NOTICE: u8 = 5;

/// Returns the log level of a server's new state.
pub fn level(state: Operational) -> u8 {
    if state == Operational::Down { ALERT } else { NOTICE }
}

/// Returns the log level of what the operator made of a server.
pub fn admin_level(state: Admin) -> u8 {
    if state == Admin::Maint { ALERT } else { NOTICE }
}

/// Returns the line for a backend whose last server went.
pub fn no_server(backend: &str) -> String {
    format!("backend {backend} has no server available!")
}

/// Returns the line for a change that a health check brought about.
pub fn by_check(
    plan: &Plan,
    backend: usize,
    server: usize,
    state: Operational,
    result: Option<&CheckResult>,
) -> String {
    let mut text = format!("{} is {}", named(plan, backend, server), word(state));
    if let Some(result) = result {
        reason(&mut text, result);
    }
    text.push('.');
    text + &tally(plan, backend, server, state == Operational::Down)
}

/// Returns the line for a check whose outcome is new (`option log-health-checks`); `tally` is that of its [`Health`].
///
/// [`Health`]: crate::server::Health
pub fn of_check(
    plan: &Plan,
    backend: usize,
    server: usize,
    result: &CheckResult,
    tally: (bool, u16, u16),
) -> String {
    let name = named(plan, backend, server);
    let name = name.replacen("Backup Server", "backup server", 1).replacen("Server", "server", 1);
    let outcome = match (result.status, result.status.passed()) {
        (CheckStatus::L7OkConditional, _) => "conditionally succeeded",
        (_, true) => "succeeded",
        (_, false) => "failed",
    };
    let mut text = format!("Health check for {name} {outcome}");
    reason(&mut text, result);
    let (up, done, of) = tally;
    // Writing into a string cannot fail.
    let _ = write!(text, ", status: {done}/{of} {}.", if up { "UP" } else { "DOWN" });
    text
}

/// Appends how a check ended.
fn reason(text: &mut String, result: &CheckResult) {
    // Writing into a string cannot fail.
    let _ = write!(text, ", reason: {}", result.status.description());
    if result.code > 0 {
        let _ = write!(text, ", code: {}", result.code);
    }
    if !result.text.is_empty() && !result.status.passed() {
        let _ = write!(text, ", info: \"{}\"", result.text);
    }
    let _ = write!(text, ", check duration: {}ms", result.duration_ms);
}

/// Returns the line for a change that an operator asked for with `set server … health`.
pub fn by_operator(plan: &Plan, backend: usize, server: usize, state: Operational) -> String {
    let text = format!("{} is {}, changed from CLI.", named(plan, backend, server), word(state));
    text + &tally(plan, backend, server, state == Operational::Down)
}

/// Returns the line for a server that enters or leaves maintenance or draining.
pub fn by_admin(plan: &Plan, backend: usize, server: usize, before: Admin, now: Admin) -> String {
    let text = named(plan, backend, server);
    match (before, now) {
        (_, Admin::Maint) => {
            text + " is going DOWN for maintenance." + &tally(plan, backend, server, true)
        }
        (_, Admin::Drain) => text + " enters drain state." + &tally(plan, backend, server, false),
        (Admin::Maint, Admin::Ready) => text + " is UP/READY (leaving forced maintenance).",
        (_, Admin::Ready) => text + " is UP (leaving forced drain).",
    }
}

fn named(plan: &Plan, backend: usize, server: usize) -> String {
    let (back, server) = (&plan.backends[backend], &plan.backends[backend].servers[server]);
    let kind = if server.backup { "Backup Server" } else { "Server" };
    format!("{kind} {}/{}", back.name, server.name)
}

fn word(state: Operational) -> &'static str {
    match state {
        Operational::Down => "DOWN",
        Operational::Up => "UP",
        Operational::Stopping => "stopping",
    }
}

/// Returns how many servers and streams are left.
fn tally(plan: &Plan, backend: usize, server: usize, down: bool) -> String {
    let farm = &plan.farms[backend];
    let (active, backup) = (farm.count_usable(false), farm.count_usable(true));
    let live = farm.server(server);
    let on_backup = if active == 0 && backup > 0 { " Running on backup." } else { "" };
    let (current, queued) = (live.current(), live.queued());
    if down {
        format!(
            " {active} active and {backup} backup servers left.{on_backup} {current} sessions \
             active, 0 requeued, {queued} remaining in queue."
        )
    } else {
        format!(
            " {active} active and {backup} backup servers online.{on_backup} 0 sessions \
             requeued, {queued} total in queue."
        )
    }
}
