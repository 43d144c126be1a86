//! One shard on a simulated clock, driven step by step: the very code that carries traffic, in one thread, without
//! listeners and without waiting. For fuzzing and tests; no shard of a running process is made here.
//!
//! The sessions run on the epoll driver, with one end of a unix socket pair as their client; servers are whatever the
//! plan names, so a unix listener of the test. A [`World`] plays all peers with plain non-blocking calls. Whenever
//! neither the world nor a session can do anything more, the clock jumps to the next deadline of either.

use super::clock::Clock;
use super::deadline::TICK_MS;
use super::inbox::Inbox;
use super::session::{self, Accepted};
use super::shard::{Shard, ShardSetup};
use super::transport::Socket;
use super::{Driver, Services};
use crate::log::{LogQueue, Origin};
use crate::metrics::Counter;
use crate::plan::Plan;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

/// How often the sessions get to see what the kernel has for them before the world is asked again.
const TURNS: u32 = 2;
/// After the last event the clock goes on this long, so that idle upstream connections are purged.
const AFTERMATH_MS: u64 = 7_000;

/// The peers of a simulated shard.
pub trait World {
    /// Does whatever the peers can do now, without waiting; returns whether that was anything.
    fn act(&mut self, door: &Door) -> bool;
    /// Returns when a peer wants to act again although nothing comes for it.
    fn next_ms(&self) -> Option<u64>;
}

/// How clients reach the simulated shard.
pub struct Door {
    shard: Rc<Shard>,
}

impl Door {
    /// Returns the simulated time.
    pub fn now_ms(&self) -> u64 {
        self.shard.clock.now_us() / 1000
    }

    /// Connects a client, as if the first bind of that frontend had accepted it; returns its non-blocking end.
    ///
    /// `room` is how much the shard can send before the client must read; the kernel rounds it up.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn connect(
        &self,
        frontend: u32,
        source: SocketAddr,
        room: usize,
    ) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        socket2::SockRef::from(&ours).set_send_buffer_size(room)?;
        let destination = Some(SocketAddr::from(([192, 0, 2, 1], 80)));
        let (fd, source) = (ours.into(), Some(source));
        session::start(&self.shard, Accepted { fd, frontend, bind: 0, source, destination });
        Ok(theirs)
    }
}

/// What a run left behind. Everything but `log_lines` and `ended_ms` is as in its default when nothing leaked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Sessions that had not ended.
    pub sessions: u32,
    /// The gauge of connections of the process.
    pub connections: u32,
    /// The sum of the frontends' gauges.
    pub frontend_connections: u32,
    /// The sum of the backends' gauges of streams.
    pub backend_streams: u32,
    /// The sum of the streams that servers have.
    pub server_streams: u32,
    /// The sum of all queues.
    pub queued: u32,
    /// Idle upstream connections after `pool-purge-delay`, by the counters.
    pub idle: u32,
    /// Whether a deadline was still on the wheel.
    pub timers: bool,
    /// Whether a place of a waiting stream was still open.
    pub waiters: bool,
    /// Permits to post a receive that were not given back.
    pub posted_idle: u32,
    /// Owners of the shard besides the run itself.
    pub owners: usize,
    /// Streams that panicked or otherwise were our fault.
    pub internal_errors: u64,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What it left behind.
    pub leftovers: Leftovers,
    /// The lines that went to the log.
    pub log_lines: Vec<Vec<u8>>,
    /// When nothing more could happen, or the limit.
    pub ended_ms: u64,
    /// How often the world acted.
    pub acts: u64,
}

/// Runs one shard with that plan until nothing more can happen, or the clock would pass `limit_ms`.
///
/// # Errors
/// When the event loop cannot be set up.
pub fn run(
    plan: Arc<Plan>,
    services: Arc<dyn Services>,
    world: &mut dyn World,
    limit_ms: u64,
) -> io::Result<Report> {
    let queue = LogQueue::new(Origin::default());
    let errors_before = internal_errors(&plan);
    let setup = ShardSetup {
        index: 0,
        cpu: None,
        driver: Driver::Epoll,
        plan: plan.clone(),
        listeners: Vec::new(),
        log: queue.shard_log(),
        services,
        logins: Arc::default(),
        inboxes: Arc::from(vec![Inbox::new()?]),
    };
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build()?;
    let mut report = runtime.block_on(play(setup, world, limit_ms))?;
    drop(runtime);
    report.leftovers.internal_errors = internal_errors(&plan) - errors_before;
    while let Some(batch) = queue.pop() {
        report.log_lines.extend(batch.lines().map(<[u8]>::to_vec));
    }
    Ok(report)
}

async fn play(setup: ShardSetup, world: &mut dyn World, limit_ms: u64) -> io::Result<Report> {
    let inboxes = setup.inboxes.clone();
    let inbox = &inboxes[0];
    let bell = Socket::from_fd(inbox.bell()?)?;
    let (shard, _) = Shard::new(setup, Clock::simulated());
    let door = Door { shard: shard.clone() };
    let mut report = Report::default();
    loop {
        let acted = world.act(&door);
        report.acts += 1;
        for _ in 0..TURNS {
            turn(inbox, &bell).await?;
        }
        if acted {
            continue;
        }
        let now = door.now_ms();
        let next = shard.timers.next_ms().into_iter().chain(world.next_ms()).min();
        let Some(next) = next.map(|next| next.max(now + 1).next_multiple_of(TICK_MS)) else {
            break;
        };
        if next > limit_ms {
            break;
        }
        pass(&shard, next);
    }
    report.ended_ms = door.now_ms();
    pass(&shard, report.ended_ms + AFTERMATH_MS);
    shard.log.borrow_mut().flush();
    drop(door);
    report.leftovers = leftovers(&shard);
    Ok(report)
}

/// Lets the driver look once at everything that is ready, and every task that was woken run, without ever waiting.
pub(super) async fn turn(inbox: &Inbox, bell: &Socket) -> io::Result<()> {
    let mut readable = pin!(bell.readable());
    let mut rung = false;
    poll_fn(|cx| {
        let polled = readable.as_mut().poll(cx);
        // Only once it waits: a bell that rang before would be found ready without a look at the others.
        if polled.is_pending() && !std::mem::replace(&mut rung, true) {
            inbox.ring();
        }
        polled
    })
    .await?;
    inbox.silence();
    Ok(())
}

/// Moves the clock, and does what a shard does as time passes.
fn pass(shard: &Shard, now_ms: u64) {
    shard.clock.advance_to(now_ms * 1000);
    let now_ms = shard.clock.tick();
    shard.timers.tick(now_ms);
    shard.upstreams.purge(&shard.plan, shard.idle_counts(), now_ms);
}

fn leftovers(shard: &Rc<Shard>) -> Leftovers {
    let plan = &shard.plan;
    let servers = || plan.farms.iter().flat_map(|farm| farm.servers());
    Leftovers {
        sessions: shard.sessions(),
        connections: plan.connections.current(),
        frontend_connections: plan.frontends.iter().map(|f| f.connections.current()).sum(),
        backend_streams: plan.backends.iter().map(|b| b.streams.current()).sum(),
        server_streams: servers().map(|server| server.current()).sum(),
        queued: servers().map(|server| server.queued()).sum::<u32>()
            + plan.farms.iter().map(|farm| farm.queued()).sum::<u32>(),
        idle: servers().map(|server| server.idle()).sum(),
        timers: !shard.timers.is_empty(),
        waiters: !shard.waiters.is_empty(),
        posted_idle: shard.posted_idle(),
        owners: Rc::strong_count(shard) - 1,
        internal_errors: 0,
    }
}

fn internal_errors(plan: &Plan) -> u64 {
    let objects = plan.frontends.iter().map(|frontend| frontend.object);
    objects.map(|object| plan.metrics.total(object, Counter::InternalErrors)).sum()
}
