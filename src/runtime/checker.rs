//! Health checks on the wire: one thread connects to servers, asks, and tells the farms what it found.
//!
//! What follows from a result is decided by [`crate::server::health`]; this module never counts rises and falls, and
//! it runs on epoll always, because a check is short and rare. A server in maintenance is not checked. An operator who
//! sets a server's state by hand is noticed before the next check and the count begins anew from there.
//! To add a kind of check, add a variant to [`crate::plan::CheckKind`] and a function to [`probe`].

pub mod probe;
pub mod report;

use crate::config::diagnostic::Severity;
use crate::log::{Line, ShardLog};
use crate::plan::{CheckSettings, Plan, Timeouts};
use crate::server::health::{Health, HealthSpec};
use crate::server::{Admin, CheckStatus, Operational, Wake};
use crate::stdx::rand::Rng;
use probe::Patience;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a check that is switched off looks whether it is on again, at most.
const OFF_POLL: Duration = Duration::from_millis(200);
/// Within what time every server is checked for the first time, however long its interval.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Calls the stream that a change of a farm woke; the first argument is the index of the backend.
pub type Waker = Arc<dyn Fn(u32, Wake) + Send + Sync>;
/// Says something to the person at the terminal.
pub type Console = Arc<dyn Fn(Severity, &str) + Send + Sync>;

/// Which servers are not to be checked for now (`disable health`).
pub struct Switches {
    off: Vec<Vec<AtomicBool>>,
}

impl Switches {
    /// Returns switches that are all on.
    pub fn new(plan: &Plan) -> Self {
        let off = plan.backends.iter().map(|b| b.servers.iter().map(|_| AtomicBool::new(false)));
        Self { off: off.map(Iterator::collect).collect() }
    }

    /// Switches the checks of a server on or off.
    pub fn set(&self, backend: usize, server: usize, on: bool) {
        self.off[backend][server].store(!on, Ordering::Relaxed);
    }

    /// Returns whether the checks of a server are on.
    pub fn is_on(&self, backend: usize, server: usize) -> bool {
        !self.off[backend][server].load(Ordering::Relaxed)
    }
}

/// What the checker is started with.
pub struct CheckerSetup {
    /// The plan whose servers are checked.
    pub plan: Arc<Plan>,
    /// Where the clock of the farms begins.
    pub start: Instant,
    /// Its end of the log.
    pub log: ShardLog,
    /// Tells shards whom a change woke.
    pub waker: Waker,
    /// Hears of servers that go up and down.
    pub console: Console,
    /// Which servers are not to be checked for now.
    pub switches: Arc<Switches>,
}

/// The running checker.
pub struct CheckerHandle {
    stop: Arc<AtomicBool>,
}

impl CheckerHandle {
    /// Ends all checks; those on the wire are not waited for.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts the thread; `None` when no server is to be checked.
///
/// # Errors
/// When the thread cannot be made.
pub fn spawn(setup: CheckerSetup) -> io::Result<Option<CheckerHandle>> {
    let checked =
        |plan: &Plan| plan.backends.iter().any(|b| b.servers.iter().any(|s| s.check.is_some()));
    if !checked(&setup.plan) {
        return Ok(None);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::Builder::new().name("checks".to_owned()).spawn(move || run(setup, stopped))?;
    Ok(Some(CheckerHandle { stop }))
}

fn run(setup: CheckerSetup, stop: Arc<AtomicBool>) {
    let console = Arc::clone(&setup.console);
    let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
    let mut runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            console(Severity::Error, &format!("health checks cannot run: {error}"));
            return;
        }
    };
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    let checker = Rc::new(Checker {
        plan: setup.plan,
        start: setup.start,
        log: RefCell::new(setup.log),
        rng: RefCell::new(Rng::new(seed)),
        waker: setup.waker,
        console: setup.console,
        switches: setup.switches,
        stop,
    });
    runtime.block_on(async move {
        let targets = checker.targets();
        let count = targets.len();
        for (position, (backend, server)) in targets.into_iter().enumerate() {
            monoio::spawn(Rc::clone(&checker).follow(backend, server, position, count));
        }
        while !checker.stopped() {
            monoio::time::sleep(OFF_POLL).await;
            checker.log.borrow_mut().flush();
        }
    });
}

/// What all checks share.
struct Checker {
    plan: Arc<Plan>,
    start: Instant,
    log: RefCell<ShardLog>,
    rng: RefCell<Rng>,
    waker: Waker,
    console: Console,
    switches: Arc<Switches>,
    stop: Arc<AtomicBool>,
}

impl Checker {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Returns backend and server of every check.
    fn targets(&self) -> Vec<(usize, usize)> {
        let backends = self.plan.backends.iter().enumerate().filter(|(_, b)| !b.disabled);
        backends
            .flat_map(|(at, backend)| {
                let servers = backend.servers.iter().enumerate();
                servers.filter(|(_, s)| s.check.is_some()).map(move |(server, _)| (at, server))
            })
            .collect()
    }

    /// Checks one server until the checker stops.
    async fn follow(self: Rc<Self>, backend: usize, server: usize, position: usize, count: usize) {
        let plan = Arc::clone(&self.plan);
        let back = &plan.backends[backend];
        let Some(settings) = &back.servers[server].check else { return };
        let spec = health_spec(settings, plan.global.spread_checks);
        let patience = patience(settings, &back.timeouts);
        let mut health = Health::new(spec);
        let mut status = CheckStatus::Initializing;
        monoio::time::sleep(first_after(settings.inter, position, count)).await;
        let mut resting = false;
        while !self.stopped() {
            let live = plan.farms[backend].server(server);
            if live.admin() == Admin::Maint || !self.switches.is_on(backend, server) {
                resting = live.admin() == Admin::Maint;
                monoio::time::sleep(settings.inter.min(OFF_POLL)).await;
                continue;
            }
            if resting {
                resting = false;
                health = Health::new(spec);
            } else if live.operational() != health.state() {
                health = Health::resume(spec, live.operational());
            }
            let result = probe::run(&settings.address, &back.check, patience).await;
            if live.admin() == Admin::Maint {
                continue;
            }
            let before = health.tally();
            let outcome = health.on_result(&result, &mut self.rng.borrow_mut());
            let told = back.log_health_checks;
            if told
                && (std::mem::replace(&mut status, result.status), before)
                    != (result.status, health.tally())
            {
                let text = report::of_check(&plan, backend, server, &result, health.tally());
                self.note(backend, &text);
            }
            let usable_before = plan.farms[backend].nbsrv();
            let wakes = plan.farms[backend].record_check(server, &result, &outcome, self.now_ms());
            for wake in wakes {
                (self.waker)(backend as u32, wake);
            }
            if let Some(state) = outcome.change {
                // Why was said already.
                let reason = (!told).then_some(&result);
                let text = report::by_check(&plan, backend, server, state, reason);
                self.say(backend, state, &text, usable_before);
            }
            monoio::time::sleep(Duration::from_millis(outcome.next_in_ms.max(1))).await;
        }
    }

    /// Reports a check that changed no state (`option log-health-checks`).
    fn note(&self, backend: usize, text: &str) {
        let backend = &self.plan.backends[backend];
        let tag = backend.log_tag.as_ref().unwrap_or(&self.plan.global.log_tag);
        let line = Line {
            tag,
            level: report::NOTICE,
            now_us: wall_us(),
            structured: b"",
            message: text.as_bytes(),
        };
        let mut log = self.log.borrow_mut();
        log.write(&backend.logs, line);
        log.flush();
        (self.console)(Severity::Warning, text);
    }

    /// Reports a change to the terminal and to the backend's logs.
    fn say(&self, backend: usize, state: Operational, text: &str, usable_before: usize) {
        let level = report::level(state);
        let mut log = self.log.borrow_mut();
        let logs = &self.plan.backends[backend].logs;
        let tag = &self.plan.backends[backend].log_tag;
        let tag = tag.as_ref().unwrap_or(&self.plan.global.log_tag);
        let now_us = wall_us();
        let line = |level, message| Line { tag, level, now_us, structured: b"", message };
        log.write(logs, line(level, text.as_bytes()));
        (self.console)(Severity::Warning, text);
        if usable_before > 0 && self.plan.farms[backend].nbsrv() == 0 {
            let text = report::no_server(&self.plan.backends[backend].name);
            log.write(logs, line(report::EMERGENCY, text.as_bytes()));
            (self.console)(Severity::Error, &text);
        }
        log.flush();
    }
}

/// Returns the wall clock in microseconds since 1970.
fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// Returns when the check at `position` of `count` begins: each takes its part of the interval.
fn first_after(inter: Duration, position: usize, count: usize) -> Duration {
    let within_us = inter.min(FIRST_WITHIN).as_micros() as u64;
    Duration::from_micros(within_us * position as u64 / count.max(1) as u64)
}

fn health_spec(settings: &CheckSettings, spread_percent: u32) -> HealthSpec {
    let millis = |d: Duration| d.as_millis().max(1) as u64;
    HealthSpec {
        rise: settings.rise.min(u32::from(u16::MAX)) as u16,
        fall: settings.fall.min(u32::from(u16::MAX)) as u16,
        inter_ms: millis(settings.inter),
        fastinter_ms: Some(millis(settings.fast_inter)),
        downinter_ms: Some(millis(settings.down_inter)),
        spread_percent: spread_percent.min(50) as u8,
    }
}

/// Manual, `timeout check`: with it, connecting may take the lesser of `timeout connect` and `inter`, and the answer
/// `timeout check` more; without it, everything together may take `inter`.
fn patience(settings: &CheckSettings, timeouts: &Timeouts) -> Patience {
    match timeouts.check {
        Some(answer) => {
            let connect = timeouts.connect.unwrap_or(settings.inter).min(settings.inter);
            Patience { connect, answer: Some(answer) }
        }
        None => Patience { connect: settings.inter, answer: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_checks_are_spread_over_the_interval_but_not_over_a_long_one() {
        let first = |inter, position| first_after(Duration::from_secs(inter), position, 1000);
        assert_eq!(first(2, 0), Duration::ZERO);
        assert_eq!(first(2, 500), Duration::from_secs(1));
        assert_eq!(first(3600, 999), FIRST_WITHIN * 999 / 1000);
    }
}
