//! What counters become over time: per-second rates with their maxima, averages over the last requests, ages.
//!
//! Control calls [`Rates::tick`] once per second; readers on any thread take the last complete [`Reading`] without
//! waiting. Nothing here changes a counter, and a reading of one plan is never mixed with another's: after a reload the
//! history begins again, as the counters do.
//!
//! HAProxy averages queue, connect, response and total time over the last 1024 requests, one request at a time. Here the
//! average moves once per tick by the mean of the requests since the tick before, with the same weight that they would
//! have had one by one; until 1024 requests were seen it is the exact mean.

use super::process::Process;
use crate::log::LogQueue;
use crate::metrics::{Counter, ObjectId, PHASES, Phase, PhaseTime, Registry};
use crate::plan::{Backend, Plan};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests that averages of durations look back on.
const WINDOW: u64 = 1024;
/// Ticks closer together than this would give wild rates and are ignored.
const TICK_MIN_MS: u64 = 100;

/// A value per second: of the last whole tick, and the greatest so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Per second over the last tick.
    pub now: u64,
    /// Greatest `now` so far.
    pub max: u64,
}

impl Rate {
    fn update(&mut self, delta: u64, elapsed_ms: u64) {
        self.set((delta as f64 * 1000.0 / elapsed_ms as f64).round() as u64);
    }

    fn set(&mut self, now: u64) {
        self.now = now;
        self.max = self.max.max(now);
    }
}

/// What was computed for one object.
#[derive(Clone, Debug, Default)]
pub struct ObjectReading {
    /// Sessions (frontends), streams (backends and servers).
    pub sessions: Rate,
    /// HTTP requests.
    pub requests: Rate,
    /// Connections.
    pub connections: Rate,
    /// Bytes received from clients.
    pub bytes_in: Rate,
    /// Bytes sent to clients.
    pub bytes_out: Rate,
    /// Average of each phase in microseconds.
    pub average_us: [f64; PHASES],
    /// Time since the last session; `None` without one.
    pub idle: Option<Duration>,
}

/// What was computed for the whole process.
#[derive(Clone, Debug, Default)]
pub struct ProcessReading {
    /// Client connections.
    pub connections: Rate,
    /// Client sessions.
    pub sessions: Rate,
    /// HTTP requests.
    pub requests: Rate,
    /// Bytes sent to clients.
    pub bytes_out: Rate,
    /// Share of the shards' time that no CPU time was used in, percent.
    pub idle_percent: Option<u32>,
}

/// Everything that one tick computed.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The time of the tick, on the clock that farms are driven with.
    pub now_ms: u64,
    /// How long the process ran at the tick.
    pub uptime: Duration,
    /// The whole process.
    pub process: ProcessReading,
    objects: Vec<ObjectReading>,
}

impl Reading {
    /// Returns what was computed for an object; zeros before its first tick.
    pub fn object(&self, object: ObjectId) -> ObjectReading {
        self.objects.get(object.0 as usize).cloned().unwrap_or_default()
    }
}

/// Rates of all objects; one writer (control), any number of readers.
pub struct Rates {
    process: Process,
    started_ms: u64,
    stopping: AtomicBool,
    state: Mutex<State>,
    published: ArcSwap<Reading>,
    logs: Option<Arc<LogQueue>>,
}

/// What a tick must remember for the next.
#[derive(Default)]
struct State {
    /// Address of the registry that was read, to notice a reload.
    registry: usize,
    last_ms: Option<u64>,
    cpu_time: Option<Duration>,
    objects: Vec<ObjectState>,
    reading: Reading,
}

#[derive(Clone, Default)]
struct ObjectState {
    counters: [u64; TRACKED.len()],
    phases: [(u64, u64); PHASES],
    last_session_ms: Option<u64>,
}

/// The counters whose rates are kept.
const TRACKED: [Counter; 5] = [
    Counter::Sessions,
    Counter::Requests,
    Counter::Connections,
    Counter::BytesIn,
    Counter::BytesOut,
];

impl Rates {
    /// Returns rates of a process that starts at `now_ms` on the clock that farms are driven with.
    pub fn new(process: Process, now_ms: u64) -> Self {
        let state = State { cpu_time: process.cpu_time(), ..State::default() };
        Self {
            process,
            started_ms: now_ms,
            stopping: AtomicBool::new(false),
            logs: None,
            state: Mutex::new(state),
            published: ArcSwap::from_pointee(Reading { now_ms, ..Reading::default() }),
        }
    }

    /// Adds the queue of the log, whose losses are counted.
    pub fn with_logs(self, queue: Arc<LogQueue>) -> Self {
        Self { logs: Some(queue), ..self }
    }

    /// Returns how many lines of the log were dropped so far.
    pub fn lost_logs(&self) -> u64 {
        self.logs.as_ref().map_or(0, |queue| queue.lost())
    }

    /// Returns the process that the rates are of.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Says that the process is finishing its sessions and will leave.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Returns whether the process is about to leave.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Returns the result of the last tick.
    pub fn reading(&self) -> Arc<Reading> {
        self.published.load_full()
    }

    /// Forgets the maxima (`clear counters`).
    pub fn clear_maxima(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let process = &mut state.reading.process;
        for rate in [
            &mut process.connections,
            &mut process.sessions,
            &mut process.requests,
            &mut process.bytes_out,
        ] {
            rate.max = 0;
        }
        for object in &mut state.reading.objects {
            for rate in object.rates_mut() {
                rate.max = 0;
            }
        }
        self.published.store(Arc::new(state.reading.clone()));
    }

    /// Computes everything anew; call it once per second with the plan in force and the clock of [`Rates::new`].
    pub fn tick(&self, plan: &Plan, now_ms: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let elapsed_ms = now_ms.saturating_sub(state.last_ms.unwrap_or(self.started_ms));
        if elapsed_ms < TICK_MIN_MS {
            return;
        }
        state.follow(plan);
        for (index, object) in state.objects.iter_mut().enumerate() {
            let id = ObjectId(index as u32);
            object.tick(plan, id, now_ms, elapsed_ms, &mut state.reading.objects[index]);
        }
        state.tick_backends(plan);
        state.tick_process(plan);
        state.tick_idle(&self.process, plan, elapsed_ms);
        state.last_ms = Some(now_ms);
        state.reading.now_ms = now_ms;
        state.reading.uptime = Duration::from_millis(now_ms.saturating_sub(self.started_ms));
        self.published.store(Arc::new(state.reading.clone()));
    }
}

impl State {
    /// Starts again when the plan is another than at the last tick.
    fn follow(&mut self, plan: &Plan) {
        let registry = std::ptr::from_ref(&plan.metrics) as usize;
        let objects = plan.metrics.objects();
        if self.registry != registry || self.objects.len() != objects {
            self.registry = registry;
            self.objects = vec![ObjectState::default(); objects];
            self.reading.objects = vec![ObjectReading::default(); objects];
        }
    }

    /// Averages the durations of backends.
    fn tick_backends(&mut self, plan: &Plan) {
        for backend in &plan.backends {
            let index = backend.object.0 as usize;
            let reading = &mut self.reading.objects[index];
            for (at, &phase) in Phase::ALL.iter().enumerate() {
                let time = backend_time(&plan.metrics, backend, phase);
                self.objects[index].average(reading, at, time);
            }
        }
    }

    /// Sums the frontends.
    fn tick_process(&mut self, plan: &Plan) {
        let (mut connections, mut sessions, mut requests, mut bytes_out) = (0, 0, 0, 0);
        for frontend in &plan.frontends {
            let reading = &self.reading.objects[frontend.object.0 as usize];
            connections += reading.connections.now;
            sessions += reading.sessions.now;
            requests += reading.requests.now;
            bytes_out += reading.bytes_out.now;
        }
        let process = &mut self.reading.process;
        process.connections.set(connections);
        process.sessions.set(sessions);
        process.requests.set(requests);
        process.bytes_out.set(bytes_out);
    }

    fn tick_idle(&mut self, process: &Process, plan: &Plan, elapsed_ms: u64) {
        let cpu_time = process.cpu_time();
        if let (Some(before), Some(now)) = (self.cpu_time, cpu_time) {
            let available = elapsed_ms as f64 / 1000.0 * plan.metrics.shards().max(1) as f64;
            let used = now.saturating_sub(before).as_secs_f64();
            let idle = 100.0 * (1.0 - used / available);
            self.reading.process.idle_percent = Some(idle.clamp(0.0, 100.0).round() as u32);
        }
        self.cpu_time = cpu_time;
    }
}

impl ObjectState {
    fn tick(
        &mut self,
        plan: &Plan,
        object: ObjectId,
        now_ms: u64,
        elapsed_ms: u64,
        reading: &mut ObjectReading,
    ) {
        let mut sessions = 0;
        for (at, (&counter, rate)) in TRACKED.iter().zip(reading.rates_mut()).enumerate() {
            let total = plan.metrics.total(object, counter);
            let delta = total.saturating_sub(self.counters[at]);
            if counter == Counter::Sessions {
                sessions = delta;
            }
            self.counters[at] = total;
            rate.update(delta, elapsed_ms);
        }
        if sessions > 0 {
            self.last_session_ms = Some(now_ms);
        }
        reading.idle =
            self.last_session_ms.map(|last| Duration::from_millis(now_ms.saturating_sub(last)));
        for (at, &phase) in Phase::ALL.iter().enumerate() {
            let time = plan.metrics.duration(object, phase);
            if time.count > 0 {
                self.average(reading, at, time);
            }
        }
    }

    /// Moves the average of the phase at `at` to what `time` has become.
    fn average(&mut self, reading: &mut ObjectReading, at: usize, time: PhaseTime) {
        let after = (time.count, time.sum_micros);
        let before = std::mem::replace(&mut self.phases[at], after);
        reading.average_us[at] = average(reading.average_us[at], before, after);
    }
}

impl ObjectReading {
    /// The rates in the order of [`TRACKED`].
    fn rates_mut(&mut self) -> [&mut Rate; TRACKED.len()] {
        [
            &mut self.sessions,
            &mut self.requests,
            &mut self.connections,
            &mut self.bytes_in,
            &mut self.bytes_out,
        ]
    }
}

/// Returns the sums of a phase over the servers of a backend: shards record durations for servers only.
pub(super) fn backend_time(registry: &Registry, backend: &Backend, phase: Phase) -> PhaseTime {
    let mut sum = PhaseTime::default();
    for server in &backend.servers {
        let time = registry.duration(server.object, phase);
        sum.count = sum.count.wrapping_add(time.count);
        sum.sum_micros = sum.sum_micros.wrapping_add(time.sum_micros);
        sum.max_micros = sum.max_micros.max(time.max_micros);
    }
    sum
}

/// Moves an average by what came between two pairs of count and sum.
fn average(average: f64, before: (u64, u64), after: (u64, u64)) -> f64 {
    let count = after.0.saturating_sub(before.0);
    if count == 0 {
        return average;
    }
    if after.0 <= WINDOW {
        return after.1 as f64 / after.0 as f64;
    }
    let mean = after.1.saturating_sub(before.1) as f64 / count as f64;
    let kept = (1.0 - 1.0 / WINDOW as f64).powf(count as f64);
    average * kept + mean * (1.0 - kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{self, app_1, web};
    use std::sync::Arc;

    #[test]
    fn rates_are_those_of_the_last_tick_and_maxima_stay() {
        let plan = fixture::plan();
        let rates = Rates::new(Process::capture(), 0);
        rates.tick(&plan, 2_000);
        let reading = rates.reading();
        assert_eq!(reading.object(web(&plan)).sessions, Rate { now: 200, max: 200 });
        assert_eq!(reading.process.connections, Rate { now: 40, max: 40 });
        plan.metrics.shard(0).add(web(&plan), Counter::Sessions, 50);
        rates.tick(&plan, 3_000);
        assert_eq!(rates.reading().object(web(&plan)).sessions, Rate { now: 50, max: 200 });
        assert_eq!(rates.reading().uptime, Duration::from_secs(3));
        rates.clear_maxima();
        assert_eq!(rates.reading().object(web(&plan)).sessions, Rate { now: 50, max: 0 });
    }

    #[test]
    fn a_tick_that_comes_too_soon_changes_nothing() {
        let plan = fixture::plan();
        let rates = Rates::new(Process::capture(), 0);
        rates.tick(&plan, 1_000);
        let before = rates.reading();
        rates.tick(&plan, 1_000 + TICK_MIN_MS - 1);
        assert!(Arc::ptr_eq(&before, &rates.reading()));
        rates.tick(&plan, 500);
        assert!(Arc::ptr_eq(&before, &rates.reading()));
    }

    #[test]
    fn the_age_of_the_last_session_grows_until_the_next() {
        let plan = fixture::plan();
        let rates = Rates::new(Process::capture(), 0);
        assert_eq!(rates.reading().object(web(&plan)).idle, None);
        rates.tick(&plan, 1_000);
        rates.tick(&plan, 9_000);
        assert_eq!(rates.reading().object(web(&plan)).idle, Some(Duration::from_secs(8)));
        plan.metrics.shard(1).add(web(&plan), Counter::Sessions, 1);
        rates.tick(&plan, 10_000);
        assert_eq!(rates.reading().object(web(&plan)).idle, Some(Duration::ZERO));
    }

    #[test]
    fn another_plan_begins_another_history() {
        let (before, after) = (fixture::plan(), fixture::plan());
        let rates = Rates::new(Process::capture(), 0);
        rates.tick(&before, 1_000);
        before.metrics.shard(0).add(app_1(&before), Counter::Sessions, 1_000_000);
        rates.tick(&before, 2_000);
        rates.tick(&after, 3_000);
        assert_eq!(rates.reading().object(app_1(&after)).sessions, Rate { now: 400, max: 400 });
    }

    #[test]
    fn averages_are_exact_at_first_and_then_forget_what_is_1024_requests_old() {
        assert_eq!(average(0.0, (0, 0), (4, 40)), 10.0);
        assert_eq!(average(10.0, (4, 40), (4, 40)), 10.0);
        let one_by_one = (0..2_048).fold(10.0, |sum, _| sum * (1.0 - 1.0 / 1024.0) + 20.0 / 1024.0);
        let at_once = average(10.0, (4_000, 40_000), (6_048, 40_000 + 2_048 * 20));
        assert!((one_by_one - at_once).abs() < 1e-9, "{one_by_one} {at_once}");
    }
}
