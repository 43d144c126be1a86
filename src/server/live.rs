//! The atomics of one server, shared by all shards and by the plans before and after a reload.

use super::ServerSpec;
use super::health::Outcome;
use super::state::{Admin, CheckResult, CheckStatus, Operational};
use crossbeam::utils::CachePadded;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// What changes about a server while it runs.
#[derive(Debug)]
pub struct Live {
    /// Written with every stream; everything else is read often and written seldom.
    hot: CachePadded<Hot>,
    uid: u64,
    maxconn: AtomicU32,
    /// Streams in the server's own queue; changed under the lock of the queues only.
    pub(super) waiting: AtomicU32,
    pub(super) waiting_max: AtomicU32,
    maxqueue: AtomicU32,
    weight: AtomicU16,
    operational: AtomicU8,
    admin: AtomicU8,
    /// `done << 16 | of` while checks are about to change the state, else 0.
    progress: AtomicU32,
    changed_ms: AtomicU64,
    /// Finished downtime; the running one counts from `changed_ms`.
    downtime_ms: AtomicU64,
    downs: AtomicU64,
    checks_failed: AtomicU64,
    check_status: AtomicU8,
    check_code: AtomicU16,
    check_duration_ms: AtomicU32,
    check_text: Mutex<String>,
}

#[derive(Debug, Default)]
struct Hot {
    current: AtomicU32,
    current_max: AtomicU32,
    picked_total: AtomicU64,
    /// Idle connections in the low half, those of them that were reused before in the high half.
    idle: AtomicU64,
    consecutive_errors: AtomicU32,
}

/// Names every `Live` of the process, so that farms around a reload know whether they mean the same one.
static NEXT_UID: AtomicU64 = AtomicU64::new(0);

impl Live {
    pub(super) fn new(spec: &ServerSpec, now_ms: u64) -> Self {
        Self {
            hot: CachePadded::new(Hot::default()),
            uid: NEXT_UID.fetch_add(1, Relaxed),
            maxconn: AtomicU32::new(spec.maxconn),
            waiting: AtomicU32::new(0),
            waiting_max: AtomicU32::new(0),
            maxqueue: AtomicU32::new(spec.maxqueue),
            weight: AtomicU16::new(spec.weight),
            operational: AtomicU8::new(Operational::Up as u8),
            admin: AtomicU8::new(configured_admin(spec) as u8),
            progress: AtomicU32::new(0),
            changed_ms: AtomicU64::new(now_ms),
            downtime_ms: AtomicU64::new(0),
            downs: AtomicU64::new(0),
            checks_failed: AtomicU64::new(0),
            check_status: AtomicU8::new(CheckStatus::Unknown as u8),
            check_code: AtomicU16::new(0),
            check_duration_ms: AtomicU32::new(0),
            check_text: Mutex::new(String::new()),
        }
    }

    pub(super) fn live(&self) -> &Live {
        self
    }

    pub(super) fn uid(&self) -> u64 {
        self.uid
    }

    /// Returns how many streams are in service (or have been given a slot) now.
    pub fn current(&self) -> u32 {
        self.hot.current.load(SeqCst)
    }

    /// Returns the most streams that were ever in service at once.
    pub fn current_max(&self) -> u32 {
        self.hot.current_max.load(Relaxed)
    }

    /// Returns how many streams the server was chosen for since the start.
    pub fn picked_total(&self) -> u64 {
        self.hot.picked_total.load(Relaxed)
    }

    /// Returns the limit of streams at once, 0 for none.
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Relaxed)
    }

    /// Returns the limit of the server's own queue, 0 for none.
    pub fn maxqueue(&self) -> u32 {
        self.maxqueue.load(Relaxed)
    }

    /// Returns how many streams wait for this very server.
    pub fn queued(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Returns the most streams that ever waited for this very server.
    pub fn queued_max(&self) -> u32 {
        self.waiting_max.load(Relaxed)
    }

    /// Returns the effective weight.
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed).into()
    }

    /// Returns what health checks say.
    pub fn operational(&self) -> Operational {
        Operational::from_bits(self.operational.load(Relaxed))
    }

    /// Returns what the operator says.
    pub fn admin(&self) -> Admin {
        Admin::from_bits(self.admin.load(Relaxed))
    }

    /// Returns whether health checks and the operator both have it in service, as the fetch `srv_is_up` says.
    pub fn is_up(&self) -> bool {
        self.operational() != Operational::Down && self.admin() != Admin::Maint
    }

    /// Returns whether balancing may give it a stream, backup rules aside.
    pub fn takes_new(&self) -> bool {
        self.operational() == Operational::Up && self.admin() == Admin::Ready && self.weight() > 0
    }

    /// Returns whether a stream that is bound to it (by a cookie, by `use-server`) may go there.
    pub fn takes_persistent(&self) -> bool {
        self.is_up()
    }

    /// Returns whether a stream would get a slot now without waiting.
    pub fn has_room(&self) -> bool {
        match self.maxconn() {
            0 => true,
            max => self.waiting.load(Relaxed) == 0 && self.hot.current.load(Relaxed) < max,
        }
    }

    /// Returns the load that leastconn compares: streams in service and in the server's own queue.
    pub fn inflight(&self) -> u32 {
        let waiting = self.waiting.load(Relaxed);
        self.hot.current.load(Relaxed).saturating_add(waiting)
    }

    /// Returns how many checks of how many still have to agree before the state changes, as `UP 1/3` shows it.
    pub fn progress(&self) -> Option<(u16, u16)> {
        match self.progress.load(Relaxed) {
            0 => None,
            bits => Some(((bits >> 16) as u16, bits as u16)),
        }
    }

    /// Returns when the state last changed.
    pub fn changed_ms(&self) -> u64 {
        self.changed_ms.load(Relaxed)
    }

    /// Returns for how long it was down altogether, until `now_ms`.
    pub fn downtime_ms(&self, now_ms: u64) -> u64 {
        let running = match self.is_up() {
            true => 0,
            false => now_ms.saturating_sub(self.changed_ms()),
        };
        self.downtime_ms.load(Relaxed) + running
    }

    /// Returns how often it went from up to down.
    pub fn downs(&self) -> u64 {
        self.downs.load(Relaxed)
    }

    /// Returns how many checks failed while it was up.
    pub fn checks_failed(&self) -> u64 {
        self.checks_failed.load(Relaxed)
    }

    /// Returns the last health check.
    pub fn last_check(&self) -> CheckResult {
        CheckResult {
            status: CheckStatus::from_bits(self.check_status.load(Relaxed)),
            code: self.check_code.load(Relaxed),
            duration_ms: self.check_duration_ms.load(Relaxed),
            text: self.check_text.lock().map(|text| text.clone()).unwrap_or_default(),
        }
    }

    /// Returns how many idle connections to it the shards keep.
    pub fn idle(&self) -> u32 {
        self.hot.idle.load(Relaxed) as u32
    }

    /// Returns how many of the idle connections have carried more than one request.
    pub fn idle_proven(&self) -> u32 {
        (self.hot.idle.load(Relaxed) >> 32) as u32
    }

    /// Counts an idle connection more; `proven` when it has carried more than one request.
    pub fn add_idle(&self, proven: bool) {
        self.hot.idle.fetch_add(idle_unit(proven), Relaxed);
    }

    /// Counts an idle connection less.
    pub fn remove_idle(&self, proven: bool) {
        let before = self.hot.idle.fetch_sub(idle_unit(proven), Relaxed);
        debug_assert!(before as u32 > 0, "an idle connection leaves that never came");
    }

    /// Counts an error of live traffic and returns how many came in a row.
    pub fn count_error(&self) -> u32 {
        self.hot.consecutive_errors.fetch_add(1, Relaxed) + 1
    }

    /// Ends the row of errors; reads only while there is none.
    pub fn clear_errors(&self) {
        if self.hot.consecutive_errors.load(Relaxed) != 0 {
            self.hot.consecutive_errors.store(0, Relaxed);
        }
    }

    /// Takes a slot if the limit allows; an unlimited server always has one.
    pub(super) fn take(&self) -> bool {
        let current = &self.hot.current;
        let now = match self.maxconn() {
            0 => Some(current.fetch_add(1, SeqCst) + 1),
            max => current
                .fetch_update(SeqCst, SeqCst, |n| (n < max).then_some(n + 1))
                .ok()
                .map(|before| before + 1),
        };
        let Some(now) = now else {
            return false;
        };
        self.count_pick();
        if now > self.hot.current_max.load(Relaxed) {
            self.hot.current_max.fetch_max(now, Relaxed);
        }
        true
    }

    /// Takes a slot whatever the limit says.
    pub(super) fn take_beyond_limit(&self) {
        let now = self.hot.current.fetch_add(1, SeqCst) + 1;
        self.hot.current_max.fetch_max(now, Relaxed);
        self.count_pick();
    }

    /// Counts that the server was chosen.
    pub(super) fn count_pick(&self) {
        self.hot.picked_total.fetch_add(1, Relaxed);
    }

    /// Gives a slot back.
    pub(super) fn give(&self) {
        let before = self.hot.current.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "a slot comes back that was never taken");
    }

    /// Returns whether a stream that ends may pass its slot on: the limit was not lowered below the count.
    pub(super) fn within_limit(&self) -> bool {
        let max = self.maxconn();
        max == 0 || self.current() <= max
    }

    pub(super) fn set_operational(&self, to: Operational, now_ms: u64) {
        self.switch(now_ms, || self.operational.store(to as u8, SeqCst));
    }

    pub(super) fn set_admin(&self, to: Admin, now_ms: u64) {
        self.switch(now_ms, || self.admin.store(to as u8, SeqCst));
    }

    /// Applies a change and keeps the books of up and down; only control changes states.
    fn switch(&self, now_ms: u64, apply: impl FnOnce()) {
        let before = (self.is_up(), self.operational(), self.admin());
        apply();
        let after = (self.is_up(), self.operational(), self.admin());
        if before == after {
            return;
        }
        match (before.0, after.0) {
            (true, false) => {
                if after.1 == Operational::Down {
                    self.downs.fetch_add(1, Relaxed);
                }
            }
            (false, true) => {
                let since = self.changed_ms.load(Relaxed);
                self.downtime_ms.fetch_add(now_ms.saturating_sub(since), Relaxed);
            }
            // Maintenance of a server that is down, or a check while it is: the downtime goes on.
            (false, false) => return,
            (true, true) => {}
        }
        self.changed_ms.store(now_ms, Relaxed);
    }

    pub(super) fn set_weight(&self, weight: u16) {
        self.weight.store(weight.min(256), SeqCst);
    }

    pub(super) fn set_maxconn(&self, maxconn: u32) {
        self.maxconn.store(maxconn, SeqCst);
    }

    pub(super) fn store_check(&self, result: &CheckResult, outcome: &Outcome) {
        if !result.status.passed() && self.operational() != Operational::Down {
            self.checks_failed.fetch_add(1, Relaxed);
        }
        self.check_status.store(result.status as u8, Relaxed);
        self.check_code.store(result.code, Relaxed);
        self.check_duration_ms.store(result.duration_ms, Relaxed);
        if let Ok(mut text) = self.check_text.lock() {
            text.clone_from(&result.text);
        }
        self.store_progress(outcome.progress);
    }

    pub(super) fn store_progress(&self, progress: Option<(u16, u16)>) {
        let bits = progress.map_or(0, |(done, of)| u32::from(done) << 16 | u32::from(of));
        self.progress.store(bits, Relaxed);
    }

    /// Applies what differs between the file before and the file after a reload.
    pub(super) fn reconfigure(&self, before: &ServerSpec, after: &ServerSpec) {
        if before.weight != after.weight {
            self.set_weight(after.weight);
        }
        if before.disabled != after.disabled {
            self.admin.store(configured_admin(after) as u8, SeqCst);
        }
        if before.maxconn != after.maxconn {
            self.set_maxconn(after.maxconn);
        }
        self.maxqueue.store(after.maxqueue, Relaxed);
        if !after.checked {
            self.operational.store(Operational::Up as u8, SeqCst);
            self.progress.store(0, Relaxed);
        }
    }
}

fn configured_admin(spec: &ServerSpec) -> Admin {
    if spec.disabled { Admin::Maint } else { Admin::Ready }
}

/// Returns what one idle connection adds to the pair of counts.
fn idle_unit(proven: bool) -> u64 {
    1 | u64::from(proven) << 32
}
