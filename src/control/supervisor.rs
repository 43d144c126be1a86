//! Starting the process, watching it, and ending it.
//!
//! [`run`] takes a checked plan and returns when the process is to leave. Everything that can be refused (ports, ids,
//! files) is tried before the first thread runs, so a start that fails explains itself and leaves nothing behind.
//! It never touches traffic: shards do, and hear from here only when to drain and when to stop.

use super::cores::Placement;
use super::daemon::{self, Side, Starting};
use super::log_writer::{LogThread, LogWriter};
use super::process::Process;
use super::rates::Rates;
use super::shared::{self, Control, ProcessServices};
use super::signal::{self, Wish};
use super::socket::{CliSockets, CliThread};
use super::{limits, states};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::log::{LogAddress, LogQueue, Origin};
use crate::plan::Plan;
use crate::runtime::checker::{self, CheckerHandle, CheckerSetup, Console, Switches};
use crate::runtime::inbox::{Message, inboxes};
use crate::runtime::listener::{self, ShardListeners};
use crate::runtime::shard::{self, ShardHandle, ShardSetup};
use crate::runtime::{Driver, Services, probe_io_uring};
use crate::stdx::sys::{self, Signals};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long shards and the log may take to end once they are told to stop.
const STOP_PATIENCE: Duration = Duration::from_millis(500);
/// How often rates are computed.
const TICK: Duration = Duration::from_secs(1);
/// How often a process that drains looks whether its shards are done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Which event loop shards are to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverWish {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

/// What the command line says about the process.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which CPU each shard runs on; its length is the number of shards.
    pub placement: Placement,
    /// `--driver`
    pub driver: DriverWish,
    /// `-D` or `daemon`
    pub daemon: bool,
    /// `-p` or `pidfile`
    pub pidfile: Option<PathBuf>,
    /// `-sf`: processes to drain once this one has started.
    pub finish: Vec<i32>,
    /// `-st`: processes to stop once this one has started.
    pub terminate: Vec<i32>,
}

/// Why the process could not start.
#[derive(Debug, Default)]
pub struct StartError {
    /// What was refused, with places where there are some; empty when it was explained already.
    pub findings: Vec<Diagnostic>,
}

impl From<String> for StartError {
    fn from(message: String) -> Self {
        Self { findings: vec![Diagnostic::new(Severity::Error, None, message)] }
    }
}

/// Runs a plan until a signal ends the process; returns its exit code.
///
/// # Errors
/// Why it could not start.
pub fn run(mut plan: Plan, options: &Options, console: Console) -> Result<u8, StartError> {
    let signals = signal::take().map_err(|e| format!("cannot take over signals: {e}"))?;
    let (driver, why) = choose_driver(options.driver)?;
    let shards = options.placement.len();
    plan.metrics = crate::metrics::Registry::new(shards, plan.metrics.objects());
    if let Some(warning) = limits::raise(&plan, shards) {
        console(Severity::Warning, &warning);
    }
    let opened = Opened::new(&plan, shards)?;
    let starting = match options.daemon {
        false => None,
        true => match daemon::detach().map_err(|e| format!("cannot go to the background: {e}"))? {
            Side::Parent(Ok(())) => return Ok(0),
            Side::Parent(Err(text)) if text.is_empty() => return Err(StartError::default()),
            Side::Parent(Err(text)) => return Err(text.into()),
            Side::Child(starting) => Some(starting),
        },
    };
    let started = start(plan, options, opened, driver, &why, Arc::clone(&console));
    let running = match (started, starting) {
        (Ok(running), starting) => running.announce(options, starting)?,
        (Err(error), None) => return Err(error),
        (Err(error), Some(starting)) => {
            for finding in &error.findings {
                console(Severity::Error, &finding.message);
            }
            starting.fail();
            return Err(StartError::default());
        }
    };
    Ok(running.watch(&signals))
}

/// What was opened before the process forked, changed its root or gave up its user.
struct Opened {
    listeners: Vec<ShardListeners>,
    sockets: CliSockets,
}

impl Opened {
    fn new(plan: &Plan, shards: usize) -> Result<Self, StartError> {
        let mut findings = Vec::new();
        let listeners = listener::bind_all(plan, shards).unwrap_or_else(|errors| {
            findings.extend(errors.into_iter().map(|e| Diagnostic::error(e.span, e.message)));
            Vec::new()
        });
        let sockets = CliSockets::bind(&plan.global).unwrap_or_else(|errors| {
            findings.extend(errors);
            CliSockets::default()
        });
        if findings.is_empty() {
            Ok(Self { listeners, sockets })
        } else {
            Err(StartError { findings })
        }
    }
}

fn choose_driver(wish: DriverWish) -> Result<(Driver, String), StartError> {
    if wish == DriverWish::Epoll {
        return Ok((Driver::Epoll, "epoll (asked for)".to_owned()));
    }
    match (probe_io_uring(), wish) {
        (Ok(()), _) => Ok((Driver::IoUring, "io_uring".to_owned())),
        (Err(error), DriverWish::IoUring) => Err(format!(
            "io_uring cannot be used here: {error}; see the sysctl kernel.io_uring_disabled and \
             the container's seccomp profile, or use --driver epoll"
        )
        .into()),
        (Err(error), _) => Ok((Driver::Epoll, format!("epoll (io_uring is refused: {error})"))),
    }
}

/// Starts all threads.
fn start(
    plan: Plan,
    options: &Options,
    opened: Opened,
    driver: Driver,
    why: &str,
    console: Console,
) -> Result<Running, StartError> {
    let global = &plan.global;
    if let Some(path) = &options.pidfile {
        daemon::write_pid(path)
            .map_err(|e| format!("cannot write the pid file `{}`: {e}", path.display()))?;
    }
    let origin = Origin { hostname: global.log_hostname.clone(), pid: std::process::id() };
    let queue = LogQueue::new(origin);
    let writer = LogWriter::open(&queue, log_addresses(&plan), &plan.rings);
    let process = Process::capture();
    daemon::confine(global.chroot.as_deref(), global.uid, global.gid)?;
    let no_thread = |e: io::Error| StartError::from(format!("cannot start a thread: {e}"));
    let log = writer.start().map_err(no_thread)?;
    let plan = Arc::new(plan);
    let start = Instant::now();
    let rates = Arc::new(Rates::new(process, 0).with_logs(Arc::clone(&queue)));
    let inboxes = inboxes(options.placement.len()).map_err(no_thread)?;
    let services: Arc<dyn Services> = Arc::new(ProcessServices { rates: Arc::clone(&rates) });
    let mut shards = Vec::new();
    for (index, listeners) in opened.listeners.into_iter().enumerate() {
        let setup = ShardSetup {
            index,
            cpu: options.placement.cpu(index),
            driver,
            plan: Arc::clone(&plan),
            listeners,
            log: queue.shard_log(),
            services: Arc::clone(&services),
            inboxes: Arc::clone(&inboxes),
        };
        shards.push(shard::spawn(setup).map_err(no_thread)?);
    }
    let switches = Arc::new(Switches::new(&plan));
    let to_shards = Arc::clone(&inboxes);
    let checks = checker::spawn(CheckerSetup {
        plan: Arc::clone(&plan),
        start,
        log: queue.shard_log(),
        waker: Arc::new(move |backend, wake| shared::call(&to_shards, backend, wake)),
        console: Arc::clone(&console),
        switches: Arc::clone(&switches),
    })
    .map_err(no_thread)?;
    let control = Arc::new(Control {
        plan,
        rates,
        inboxes,
        start,
        switches,
        driver: why.to_owned(),
        cli_sockets: opened.sockets.describe(),
        console,
        log: Mutex::new(queue.shard_log()),
        stopping: AtomicBool::new(false),
    });
    let cli = opened.sockets.start(Arc::clone(&control)).map_err(no_thread)?;
    Ok(Running { control, shards, checks, log, cli: Some(cli) })
}

fn log_addresses(plan: &Plan) -> impl Iterator<Item = &LogAddress> {
    let fronts = plan.frontends.iter().flat_map(|f| &f.log.targets);
    let backs = plan.backends.iter().flat_map(|b| &b.logs);
    plan.global.logs.iter().chain(fronts).chain(backs).map(|target| &target.address)
}

/// The started process.
struct Running {
    control: Arc<Control>,
    shards: Vec<ShardHandle>,
    checks: Option<CheckerHandle>,
    log: LogThread,
    cli: Option<CliThread>,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Accepts nothing new; until when, if that is limited.
    Draining(Option<Instant>),
}

impl Running {
    /// Tells everybody who waits for it that the process has started.
    fn announce(self, options: &Options, starting: Option<Starting>) -> Result<Self, StartError> {
        let control = &self.control;
        let count = self.shards.len();
        let shards = if count == 1 { "shard" } else { "shards" };
        let text = format!("{count} {shards} on {}", control.driver);
        (control.console)(Severity::Notice, &text);
        for (pids, signal) in
            [(&options.finish, libc::SIGUSR1), (&options.terminate, libc::SIGTERM)]
        {
            for &pid in pids {
                // A process that has ended meanwhile is what was wanted.
                let _ = sys::kill(pid, signal);
            }
        }
        daemon::notify(&format!("READY=1\nMAINPID={}\nSTATUS={text}\n", std::process::id()));
        if let Some(starting) = starting {
            starting.succeed().map_err(|e| format!("cannot let go of the terminal: {e}"))?;
        }
        Ok(self)
    }

    /// Watches over the process until it is to leave; returns its exit code.
    fn watch(mut self, signals: &Signals) -> u8 {
        let mut phase = Phase::Serving;
        let mut next_tick = Instant::now() + TICK;
        loop {
            let now = Instant::now();
            if now >= next_tick {
                self.control.rates.tick(&self.control.plan, self.control.now_ms());
                next_tick = now + TICK;
            }
            if let Some(code) = self.finished(phase) {
                return self.stop(code);
            }
            let pause = match phase {
                Phase::Serving => next_tick - now,
                Phase::Draining(_) => DRAIN_POLL,
            };
            // When polling fails, the loop goes on with its pauses.
            let _ = sys::wait_readable(&[std::os::fd::AsFd::as_fd(signals)], Some(pause));
            while let Some(signal) = signals.next() {
                match signal::wish(signal) {
                    Some(Wish::Stop) => return self.stop(0),
                    Some(Wish::Drain) if phase == Phase::Serving => phase = self.drain(),
                    Some(Wish::ShowStates) => states::dump(&self.control),
                    Some(Wish::ShowMemory) => states::dump_memory(&self.control),
                    Some(Wish::Reload) => {
                        let text = "SIGUSR2 received: reload is not supported yet";
                        (self.control.console)(Severity::Warning, text);
                    }
                    Some(Wish::Drain) | None => {}
                }
            }
        }
    }

    /// Returns the exit code once there is no reason to stay.
    fn finished(&self, phase: Phase) -> Option<u8> {
        match phase {
            Phase::Serving => {
                let dead = self.shards.iter().position(ShardHandle::is_finished)?;
                let text = format!("shard {dead} ended unexpectedly: the process stops");
                self.control.announce(&self.control.plan.global.logs, 0, &text);
                Some(1)
            }
            Phase::Draining(until) => {
                let over = until.is_some_and(|until| Instant::now() >= until);
                (over || self.shards.iter().all(ShardHandle::is_finished)).then_some(0)
            }
        }
    }

    fn drain(&mut self) -> Phase {
        self.control.stopping.store(true, Ordering::Relaxed);
        self.control.rates.set_stopping();
        if let Some(cli) = self.cli.take() {
            cli.stop();
        }
        daemon::notify("STOPPING=1\n");
        for shard in &self.shards {
            shard.send(Message::Drain);
        }
        states::dump_stopped(&self.control);
        Phase::Draining(self.control.plan.global.hard_stop_after.map(|d| Instant::now() + d))
    }

    /// Stops everything, waiting a moment for what is quick.
    fn stop(mut self, code: u8) -> u8 {
        self.control.stopping.store(true, Ordering::Relaxed);
        if let Some(checks) = &self.checks {
            checks.stop();
        }
        if let Some(cli) = self.cli.take() {
            cli.stop();
        }
        for shard in &self.shards {
            shard.send(Message::Stop);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        let mut failed = None;
        for shard in self.shards {
            while !shard.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if shard.is_finished() {
                failed = failed.or(shard.join().err());
            }
        }
        if let Some(error) = failed {
            (self.control.console)(Severity::Error, &format!("a shard failed: {error}"));
        }
        self.log.stop(STOP_PATIENCE);
        code
    }
}
