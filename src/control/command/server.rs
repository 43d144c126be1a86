//! Commands about servers: state, weight, limits, checks.

use super::Call;
use crate::control::rates::Reading;
use crate::control::shared::Control;
use crate::control::subject::{Detail, Overview};
use crate::plan::{Address, Server};
use crate::runtime::checker::report;
use crate::server::{Admin, CheckStatus, Farm, Live, Operational};
use std::fmt::Write;

const USAGE: &str = "usage: set server <backend>/<server> health | state | weight";

/// A server that a command names.
struct Target<'a> {
    control: &'a Control,
    backend: usize,
    server: usize,
}

impl<'a> Target<'a> {
    /// Finds `<backend>/<server>`.
    fn find(control: &'a Control, word: Option<&&str>) -> Result<Self, String> {
        let Some((backend, server)) = word.and_then(|word| word.split_once('/')) else {
            return Err("Require 'backend/server'.\n".to_owned());
        };
        let plan = &control.plan;
        let backend = plan.backends.iter().position(|b| b.name == backend);
        let backend = backend.ok_or("No such backend.\n")?;
        let server = plan.farms[backend].find(server).ok_or("No such server.\n")?;
        Ok(Self { control, backend, server })
    }

    fn farm(&self) -> &'a Farm {
        &self.control.plan.farms[self.backend]
    }

    fn live(&self) -> &'a Live {
        self.farm().server(self.server)
    }

    fn configured(&self) -> &'a Server {
        &self.control.plan.backends[self.backend].servers[self.server]
    }

    /// Reports a change, and that the backend has no server left if that came of it.
    fn announce(&self, level: u8, text: &str, usable_before: usize) {
        let backend = &self.control.plan.backends[self.backend];
        self.control.announce_of(backend, level, text);
        if usable_before > 0 && self.farm().nbsrv() == 0 {
            let text = report::no_server(&backend.name);
            self.control.announce_of(backend, report::EMERGENCY, &text);
        }
    }

    fn set_admin(&self, to: Admin) {
        let before = self.live().admin();
        if before == to {
            return;
        }
        let (farm, now_ms, usable) = (self.farm(), self.control.now_ms(), self.farm().nbsrv());
        if before == Admin::Maint {
            // Nothing is known of it yet: it serves until a check says otherwise.
            let wakes = farm.set_operational(self.server, Operational::Up, now_ms);
            self.control.wake(self.backend, wakes);
        }
        self.control.wake(self.backend, farm.set_admin(self.server, to, now_ms));
        let text = report::by_admin(&self.control.plan, self.backend, self.server, before, to);
        self.announce(report::admin_level(to), &text, usable);
    }

    fn set_health(&self, to: Operational) {
        if self.live().operational() == to {
            return;
        }
        let usable = self.farm().nbsrv();
        let wakes = self.farm().set_operational(self.server, to, self.control.now_ms());
        self.control.wake(self.backend, wakes);
        let text = report::by_operator(&self.control.plan, self.backend, self.server, to);
        self.announce(report::level(to), &text, usable);
    }

    fn set_weight(&self, text: &str) -> Result<String, String> {
        let weight = weight(text, self.configured().weight)?;
        let wakes = self.farm().set_weight(self.server, weight, self.control.now_ms());
        self.control.wake(self.backend, wakes);
        Ok(String::new())
    }
}

/// Returns the weight that `10` or `50%` means for a server of that initial weight.
fn weight(text: &str, initial: u32) -> Result<u16, String> {
    let (digits, percent) = match text.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("Empty weight string empty or preceded by garbage\n".to_owned());
    }
    let number: u32 = digits.parse().map_err(|_| "Trailing garbage in weight string\n")?;
    let weight = if percent { u64::from(number) * u64::from(initial) / 100 } else { number.into() };
    match weight {
        0..=256 => Ok(weight as u16),
        _ if percent => Ok(256),
        _ => Err("Absolute weight can only be between 0 and 256 inclusive.\n".to_owned()),
    }
}

pub(super) fn disable(call: &mut Call<'_>) -> Result<String, String> {
    Target::find(call.control, call.words.first())?.set_admin(Admin::Maint);
    Ok(String::new())
}

pub(super) fn enable(call: &mut Call<'_>) -> Result<String, String> {
    Target::find(call.control, call.words.first())?.set_admin(Admin::Ready);
    Ok(String::new())
}

pub(super) fn disable_health(call: &mut Call<'_>) -> Result<String, String> {
    switch_checks(call, false)
}

pub(super) fn enable_health(call: &mut Call<'_>) -> Result<String, String> {
    switch_checks(call, true)
}

fn switch_checks(call: &Call<'_>, on: bool) -> Result<String, String> {
    let target = Target::find(call.control, call.words.first())?;
    if target.configured().check.is_none() {
        let why = "Health checks are not configured on this server, cannot change them.\n";
        return Err(why.to_owned());
    }
    call.control.switches.set(target.backend, target.server, on);
    Ok(String::new())
}

pub(super) fn get_weight(call: &mut Call<'_>) -> Result<String, String> {
    let target = Target::find(call.control, call.words.first())?;
    Ok(format!("{} (initial {})\n", target.live().weight(), target.configured().weight))
}

pub(super) fn set_weight(call: &mut Call<'_>) -> Result<String, String> {
    let target = Target::find(call.control, call.words.first())?;
    let text = call.words.get(1).ok_or("Require <weight> or <weight%>.\n")?;
    target.set_weight(text)
}

pub(super) fn set_maxconn(call: &mut Call<'_>) -> Result<String, String> {
    let target = Target::find(call.control, call.words.first())?;
    let text = call.words.get(1).ok_or("Integer value expected.\n")?;
    let maxconn = text.parse().map_err(|_| "Integer value expected.\n")?;
    let wakes = target.farm().set_maxconn(target.server, maxconn, call.control.now_ms());
    call.control.wake(target.backend, wakes);
    Ok(String::new())
}

pub(super) fn set(call: &mut Call<'_>) -> Result<String, String> {
    let target = Target::find(call.control, call.words.first())?;
    match call.words[1..] {
        ["weight", text] => return target.set_weight(text),
        ["state", "ready"] => target.set_admin(Admin::Ready),
        ["state", "drain"] => target.set_admin(Admin::Drain),
        ["state", "maint"] => target.set_admin(Admin::Maint),
        ["state", ..] => {
            let text = "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n";
            return Err(text.to_owned());
        }
        ["health", "up"] => target.set_health(Operational::Up),
        ["health", "stopping"] => target.set_health(Operational::Stopping),
        ["health", "down"] => target.set_health(Operational::Down),
        ["health", ..] => {
            let text = "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n";
            return Err(text.to_owned());
        }
        _ => return Err(USAGE.to_owned()),
    }
    Ok(String::new())
}

/// The columns of `show servers state`, version 1 (management manual).
const STATE_COLUMNS: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
     srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
     srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
     srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

pub(super) fn states(call: &mut Call<'_>) -> Result<String, String> {
    let control = call.control;
    let reading = Reading::default();
    let overview = Overview::new(&control.plan, &reading);
    let wanted = call.words.first();
    let mut text = format!("1\n{STATE_COLUMNS}\n");
    let mut found = false;
    for proxy in overview.proxies().iter().filter(|p| wanted.is_none_or(|name| *name == p.name)) {
        let Some(subject) = overview.backend(proxy) else { continue };
        let Detail::Backend(backend, farm) = subject.detail else { continue };
        found = true;
        for (at, server) in backend.servers.iter().enumerate() {
            let state = state_columns(server, farm.server(at), control.now_ms());
            let (number, name) = (at + 1, &server.name);
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{} {} {number} {name} {state}", proxy.id, backend.name);
        }
    }
    if !found && wanted.is_some() {
        return Err("Can't find backend.\n".to_owned());
    }
    Ok(text)
}

fn state_columns(server: &Server, live: &Live, now_ms: u64) -> String {
    let (address, port) = match &server.address {
        Address::Tcp(address) => (address.ip().to_string(), address.port()),
        _ => ("-".to_owned(), 0),
    };
    let operational = match live.operational() {
        Operational::Down => 0,
        Operational::Up => 2,
        Operational::Stopping => 3,
    };
    let admin = match live.admin() {
        Admin::Ready => 0,
        Admin::Maint if server.disabled => 4,
        Admin::Maint => 1,
        Admin::Drain => 8,
    };
    let since = now_ms.saturating_sub(live.changed_ms()) / 1000;
    let (status, result, health, running) = check_columns(server, live);
    format!(
        "{address} {operational} {admin} {} {} {since} {status} {result} {health} {running} 0 0 0 \
         - {port} - 0 0 - - 0",
        live.weight(),
        server.weight,
    )
}

/// Returns status, result, counter and flags of a server's checks as the state file numbers them.
fn check_columns(server: &Server, live: &Live) -> (u8, u8, u32, u8) {
    let Some(check) = &server.check else { return (1, 0, 2, 0) };
    let status = live.last_check().status;
    let result = match status {
        CheckStatus::Unknown | CheckStatus::Initializing => 0,
        CheckStatus::L7OkConditional => 4,
        status if status.passed() => 3,
        _ => 2,
    };
    let number = match status {
        CheckStatus::Unknown => 0,
        CheckStatus::Initializing => 1,
        CheckStatus::SocketError => 5,
        CheckStatus::L4Ok => 6,
        CheckStatus::L4Timeout => 7,
        CheckStatus::L4Connection => 8,
        CheckStatus::L6Ok => 9,
        CheckStatus::L6Timeout => 10,
        CheckStatus::L6Response => 11,
        CheckStatus::L7Timeout => 12,
        CheckStatus::L7Response => 13,
        CheckStatus::L7Ok => 15,
        CheckStatus::L7OkConditional => 16,
        CheckStatus::L7Status => 17,
    };
    let health = match (live.operational(), live.progress()) {
        (Operational::Down, None) => 0,
        (Operational::Down, Some((done, _))) => u32::from(done),
        (_, None) => check.rise + check.fall - 1,
        (_, Some((done, _))) => check.rise + u32::from(done) - 1,
    };
    (number, result, health, 6)
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weights_are_absolute_or_relative_to_the_initial_one() {
        assert_eq!(weight("0", 10), Ok(0));
        assert_eq!(weight("256", 10), Ok(256));
        assert_eq!(weight("50%", 10), Ok(5));
        assert_eq!(weight("200%", 10), Ok(20));
        assert_eq!(weight("9999%", 100), Ok(256));
        for (wrong, start) in [
            ("257", "Absolute"),
            ("", "Empty"),
            ("x1", "Empty"),
            ("1x", "Trailing"),
            ("%", "Empty"),
        ] {
            let error = weight(wrong, 10).expect_err(wrong);
            assert!(error.starts_with(start), "{wrong}: {error}");
        }
    }
}
