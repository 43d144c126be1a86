//! What control's threads share: the plan in force, its clock, the way to the shards, the log and the terminal.
//!
//! It never decides anything; commands, signals and services use it.

use super::rates::Rates;
use super::{prometheus, stats_page};
use crate::config::diagnostic::Severity;
use crate::log::{Line, LogTarget, ShardLog};
use crate::plan::{Backend, Plan, StatsPage};
use crate::proto::http::Head;
use crate::rules::action::Answer;
use crate::runtime::Services;
use crate::runtime::checker::{Console, Switches};
use crate::runtime::inbox::{Inbox, Message};
use crate::server::Wake;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What control's threads share.
pub struct Control {
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// Rates of its counters.
    pub rates: Arc<Rates>,
    /// How shards are told something.
    pub inboxes: Arc<[Inbox]>,
    /// Where the clock of the farms begins.
    pub start: Instant,
    /// Which servers are not to be checked for now.
    pub switches: Arc<Switches>,
    /// Which event loop the shards run, and why.
    pub driver: String,
    /// Addresses and levels of the runtime CLI, one line each.
    pub cli_sockets: Vec<String>,
    /// The person at the terminal.
    pub console: Console,
    pub(super) log: Mutex<ShardLog>,
    pub(super) stopping: AtomicBool,
}

impl Control {
    /// Returns milliseconds since the start, the clock of the farms.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Tells shards which of their waiting streams a change of a farm woke.
    pub fn wake(&self, backend: usize, wakes: Vec<Wake>) {
        for wake in wakes {
            call(&self.inboxes, backend as u32, wake);
        }
    }

    /// Writes a line about a backend to its log targets and tells the terminal.
    pub fn announce_of(&self, backend: &Backend, level: u8, text: &str) {
        self.write_line(&backend.logs, backend.log_tag.as_deref(), level, text);
    }

    /// Writes a line to log targets and tells the terminal.
    pub fn announce(&self, targets: &[LogTarget], level: u8, text: &str) {
        self.write_line(targets, None, level, text);
    }

    fn write_line(&self, targets: &[LogTarget], tag: Option<&str>, level: u8, text: &str) {
        let severity = if level == 0 { Severity::Error } else { Severity::Warning };
        (self.console)(severity, text);
        let now_us =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let tag = tag.unwrap_or(&self.plan.global.log_tag);
        let message = text.as_bytes();
        log.write(targets, Line { tag, level, now_us, structured: b"", message });
        log.flush();
    }

    /// Returns whether the process is about to leave.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Tells a shard that a stream of a backend waits no longer.
pub(super) fn call(inboxes: &[Inbox], backend: u32, wake: Wake) {
    if let Some(inbox) = inboxes.get(usize::from(wake.ticket.shard)) {
        inbox.send(Message::Wake { backend, wake });
    }
}

/// Answers that shards ask control for.
pub struct ProcessServices {
    /// Rates of the counters.
    pub rates: Arc<Rates>,
}

impl Services for ProcessServices {
    fn stats(&self, plan: &Arc<Plan>, page: &StatsPage, request: &Head) -> Answer {
        stats_page::serve(plan, page, &self.rates, request)
    }

    fn prometheus(&self, plan: &Arc<Plan>, request: &Head) -> Answer {
        prometheus::serve(plan, &self.rates, request)
    }
}
