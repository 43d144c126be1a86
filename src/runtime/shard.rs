//! A shard: one pinned thread with its ring, listeners, pools, timers and counter cells.
//!
//! This file starts the thread, accepts connections and hears messages from other threads; what a connection does is
//! in [`super::session`].

use super::assign;
use super::buffer::Buffers;
use super::clock::Clock;
use super::deadline::{TICK_MS, Timers};
use super::http::exchange::Exchanges;
use super::inbox::{Inbox, Message};
use super::listener::{Listener, ShardListeners};
use super::logins::Logins;
use super::queue::Waiters;
use super::rehearsal::Rehearsal;
use super::resolver::Resolver;
use super::session::{self, Accepted};
use super::share::{self, Parcel};
use super::splice::Pipes;
use super::transport::Socket;
use super::upstream::{IdleCounts, Place, Take, Upstreams};
use super::{Driver, Services};
use crate::balance::Balancer;
use crate::log::ShardLog;
use crate::metrics::{Counter, ObjectId, Phase, ShardCells};
use crate::plan::{Address, Backend, Frontend, Plan};
use crate::rules::login;
use crate::server::ServerId;
use monoio::io::{CancelHandle, Canceller};
use monoio::net::{TcpListener, UnixListener};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Entries of the submission queue; a full queue is submitted early, nothing is lost.
const RING_ENTRIES: u32 = 1024;
/// Sessions that may wait for bytes with a posted receive (and so a buffer); further ones wait for readiness first.
const POSTED_IDLE_MAX: u32 = 256;
/// A shard hands a fresh connection on only when it has at least this many more than its fair share.
const HAND_OVER_SLACK: u32 = 4;
/// About what a pooled stream state holds, in bytes.
const EXCHANGE_BYTES: usize = 8 * 1024;
/// Once the pools have freed this much, the allocator is asked to return it to the kernel.
const TRIM_BYTES: usize = 1024 * 1024;
/// How often the pools are looked through for memory to free, in milliseconds.
const TRIM_MS: u64 = 1000;
/// How long idle clients may still send a request once the shard drains.
pub const IDLE_GRACE: Duration = Duration::from_millis(500);
/// How often a shard without sessions looks at its pools.
const REST: Duration = Duration::from_secs(1);
/// How long a non-blocking listener is waited for before the shard looks whether it drains.
const LISTEN_PATIENCE: Duration = Duration::from_millis(500);
/// How long accepting pauses when the kernel has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a shard is started with.
pub struct ShardSetup {
    /// Index of the shard, from 0.
    pub index: usize,
    /// CPU to pin the thread to.
    pub cpu: Option<usize>,
    /// Which event loop it runs.
    pub driver: Driver,
    /// What it runs.
    pub plan: Arc<Plan>,
    /// Its listening sockets.
    pub listeners: ShardListeners,
    /// Its end of the log.
    pub log: ShardLog,
    /// Answers that need a view of the process.
    pub services: Arc<dyn Services>,
    /// Who computes the hashes of passwords.
    pub logins: Arc<Logins>,
    /// The inboxes of all shards, by index.
    pub inboxes: Arc<[Inbox]>,
}

/// A running shard, as control sees it.
pub struct ShardHandle {
    index: usize,
    inboxes: Arc<[Inbox]>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl ShardHandle {
    /// Sends a message to the shard.
    pub fn send(&self, message: Message) {
        self.inboxes[self.index].send(message);
    }

    /// Returns how many sessions the shard has.
    pub fn sessions(&self) -> u32 {
        self.inboxes[self.index].sessions()
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// Why its event loop could not be set up; a panic of the thread is reported as such.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the shard's thread panicked")))
    }
}

/// Starts the thread of a shard.
///
/// # Errors
/// When the thread cannot be made.
pub fn spawn(setup: ShardSetup) -> io::Result<ShardHandle> {
    let (index, inboxes) = (setup.index, setup.inboxes.clone());
    let leaving = Leaving { index, inboxes: inboxes.clone() };
    let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
        let _leaving = leaving;
        run(setup)
    })?;
    Ok(ShardHandle { index, inboxes, thread })
}

/// Tells the other shards that the thread has ended, however it did.
struct Leaving {
    index: usize,
    inboxes: Arc<[Inbox]>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.inboxes[self.index].leave();
        self.inboxes.iter().for_each(Inbox::ring);
    }
}

fn run(setup: ShardSetup) -> io::Result<()> {
    if let Some(cpu) = setup.cpu {
        core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    }
    match setup.driver {
        Driver::IoUring => {
            monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
                .uring_builder(super::ring_options())
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()?
                .block_on(serve(setup));
        }
        Driver::Epoll => {
            monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
                .enable_timer()
                .build()?
                .block_on(serve(setup));
        }
    }
    Ok(())
}

/// Everything a shard owns; shared by its sessions, never by threads.
pub struct Shard {
    /// Index of the shard.
    pub index: usize,
    /// What it runs.
    pub plan: Arc<Plan>,
    /// Its clock.
    pub clock: Clock,
    /// Its deadlines.
    pub timers: Timers,
    /// Its buffers.
    pub buffers: Buffers,
    /// Its free pipes.
    pub pipes: Pipes,
    /// Its reusable stream states.
    pub exchanges: Exchanges,
    /// Its idle upstream connections.
    pub upstreams: Upstreams,
    /// Its balancers, by backend.
    pub balancers: Vec<RefCell<Balancer>>,
    /// Its names.
    pub resolver: Resolver,
    /// Its streams that wait for a server's slot.
    pub waiters: Waiters,
    /// Its streams that wait for an idle connection of another shard.
    pub parcels: Waiters<Option<Parcel>>,
    /// Its streams that wait for the hash of a password.
    pub passwords: Waiters<bool>,
    /// Its end of the log.
    pub log: RefCell<ShardLog>,
    /// Answers that need a view of the process.
    pub services: Arc<dyn Services>,
    /// Who computes the hashes of passwords.
    pub logins: Arc<Logins>,
    /// Stands for everything outside, when a request is only explained.
    pub rehearsal: OnceCell<Rehearsal>,
    inboxes: Arc<[Inbox]>,
    driver: Driver,
    draining: Cell<bool>,
    posted_idle: Cell<u32>,
    /// Bytes freed by the pools since the allocator was last asked to return memory.
    freed: Cell<usize>,
    requests: Cell<u32>,
    accepts: RefCell<Option<Canceller>>,
    /// Sockets that are accepted on.
    listening: Cell<usize>,
    /// Whether the clock rests because there is no session, and how to wake it.
    resting: Cell<bool>,
    rest: RefCell<Option<Waker>>,
}

impl Shard {
    /// Returns what a shard owns, nothing of it at work yet, and the sockets that it is to listen on.
    pub(super) fn new(setup: ShardSetup, clock: Clock) -> (Rc<Self>, ShardListeners) {
        let plan = setup.plan;
        let shard = Rc::new(Self {
            index: setup.index,
            clock,
            timers: Timers::new(),
            buffers: Buffers::new(plan.global.buffer_size),
            pipes: Pipes::default(),
            exchanges: Exchanges::default(),
            upstreams: Upstreams::new(&plan),
            balancers: plan
                .backends
                .iter()
                .zip(&plan.farms)
                .map(|(backend, farm)| {
                    RefCell::new(Balancer::new(&backend.balance, farm, setup.index))
                })
                .collect(),
            resolver: Resolver::default(),
            waiters: Waiters::default(),
            parcels: Waiters::default(),
            passwords: Waiters::default(),
            log: RefCell::new(setup.log),
            services: setup.services,
            logins: setup.logins,
            rehearsal: OnceCell::new(),
            inboxes: setup.inboxes,
            driver: setup.driver,
            draining: Cell::new(false),
            posted_idle: Cell::new(0),
            freed: Cell::new(0),
            requests: Cell::new(0),
            accepts: RefCell::new(Some(Canceller::new())),
            listening: Cell::new(setup.listeners.len()),
            resting: Cell::new(false),
            rest: RefCell::default(),
            plan,
        });
        (shard, setup.listeners)
    }

    /// Returns the counter cells of this shard.
    pub fn cells(&self) -> &ShardCells {
        self.plan.metrics.shard(self.index)
    }

    /// Adds to a counter.
    pub fn count(&self, object: ObjectId, counter: Counter, by: u64) {
        self.cells().add(object, counter, by);
    }

    /// Records a duration in microseconds.
    pub fn record(&self, object: ObjectId, phase: Phase, micros: u64) {
        self.cells().record(object, phase, micros);
    }

    /// Returns a frontend of the plan.
    pub fn frontend(&self, index: u32) -> &Frontend {
        &self.plan.frontends[index as usize]
    }

    /// Returns a backend of the plan.
    pub fn backend(&self, index: u32) -> &Backend {
        &self.plan.backends[index as usize]
    }

    /// Returns whether the shard is to finish its streams and take no new ones.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Returns whether sockets of this shard must be non-blocking.
    pub fn is_epoll(&self) -> bool {
        self.driver == Driver::Epoll
    }

    /// Returns the next value of the request counter (`%rt`).
    pub fn next_request(&self) -> u32 {
        let next = self.requests.get().wrapping_add(1);
        self.requests.set(next);
        next
    }

    /// Takes a permit to wait for bytes with a posted receive, given back when it is dropped; none when too many do.
    pub fn idle_permit(&self) -> Option<IdlePermit<'_>> {
        let posted = self.posted_idle.get();
        if posted >= POSTED_IDLE_MAX {
            return None;
        }
        self.posted_idle.set(posted + 1);
        Some(IdlePermit(self))
    }

    /// Returns how many permits are taken.
    pub(super) fn posted_idle(&self) -> u32 {
        self.posted_idle.get()
    }

    /// Returns the inboxes of all shards.
    pub fn inboxes(&self) -> &Arc<[Inbox]> {
        &self.inboxes
    }

    /// Sends a message to a shard (possibly this one).
    pub fn send_to(&self, shard: usize, message: Message) {
        self.inboxes[shard].send(message);
    }

    /// Counts a session in or out; other shards read it to share new connections fairly.
    pub fn session_count(&self, by: i32) {
        let inbox = &self.inboxes[self.index];
        inbox.count_sessions(by);
        if by > 0 && self.resting.replace(false) {
            // The clock stood still meanwhile.
            self.timers.tick(self.clock.tick());
            if let Some(waker) = self.rest.borrow_mut().take() {
                waker.wake();
            }
        }
        if self.draining.get() && inbox.sessions() == 0 {
            // The last one of a drain: let all shards see whether they can leave.
            self.inboxes.iter().for_each(Inbox::ring);
        }
    }

    /// Waits that long.
    pub async fn sleep(&self, duration: Duration) {
        match self.clock.is_simulated() {
            true => self.timers.sleep(duration).await,
            false => monoio::time::sleep(duration).await,
        }
    }

    /// Waits until there is a session, or for a while.
    async fn rest(&self) {
        self.resting.set(true);
        let woken = poll_fn(|cx| {
            if !self.resting.get() {
                return Poll::Ready(());
            }
            *self.rest.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        let _ = monoio::time::timeout(REST, woken).await;
        self.resting.set(false);
    }

    /// Counts a listener out; after the last one the other shards may leave.
    fn stop_listening(&self, listeners: usize) {
        self.listening.set(self.listening.get() - listeners);
        if self.draining.get() && self.listening.get() == 0 {
            self.inboxes[self.index].close();
            self.inboxes.iter().for_each(Inbox::ring);
        }
    }

    /// Returns where this shard publishes its idle server connections.
    pub fn idle_counts(&self) -> &IdleCounts {
        // Alone, there is nobody to read them.
        let objects = if self.inboxes.len() > 1 { self.plan.metrics.objects() } else { 0 };
        self.inboxes[self.index].idle_counts(objects)
    }

    /// Names a server for the pools of idle connections.
    #[inline]
    pub fn place(&self, backend: u32, server: ServerId) -> Place<'_> {
        Place {
            settings: &self.backend(backend).servers[server],
            live: self.plan.farms[backend as usize].server(server),
            counts: self.idle_counts(),
        }
    }

    /// Closes all idle server connections.
    pub fn close_idle(&self) {
        self.upstreams.clear(&self.plan, self.idle_counts());
    }

    /// Returns the other shard with the most idle connections of that kind to a server.
    pub fn most_idle(&self, server: ObjectId, take: Take) -> Option<usize> {
        let others = self.inboxes.iter().enumerate().filter(|(index, _)| *index != self.index);
        let idle = others.map(|(index, inbox)| (inbox.idle(server, take), index));
        idle.filter(|(idle, _)| *idle > 0).max().map(|(_, index)| index)
    }

    pub(super) fn sessions(&self) -> u32 {
        self.inboxes[self.index].sessions()
    }

    /// Returns the shard that should take a fresh connection: this one, or a clearly lighter one.
    fn shard_for_new(&self) -> usize {
        if self.inboxes.len() == 1 {
            return self.index;
        }
        let mine = self.sessions();
        let total: u32 = self.inboxes.iter().map(Inbox::sessions).sum();
        let fair = total / self.inboxes.len() as u32;
        if mine < fair + fair / 8 + HAND_OVER_SLACK {
            return self.index;
        }
        let lightest = self.inboxes.iter().enumerate().min_by_key(|(_, inbox)| inbox.sessions());
        lightest.map_or(self.index, |(index, _)| index)
    }
}

/// A permit to wait for bytes with a posted receive.
pub struct IdlePermit<'a>(&'a Shard);

impl std::fmt::Debug for IdlePermit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdlePermit")
    }
}

impl Drop for IdlePermit<'_> {
    fn drop(&mut self) {
        self.0.posted_idle.set(self.0.posted_idle.get() - 1);
    }
}

async fn serve(setup: ShardSetup) {
    let (shard, listeners) = Shard::new(setup, Clock::new());
    for listener in listeners {
        let handle = shard.accepts.borrow().as_ref().map(Canceller::handle);
        if let Some(handle) = handle {
            monoio::spawn(accept_loop(shard.clone(), listener, handle));
        }
    }
    monoio::spawn(tick_loop(shard.clone()));
    hear(shard).await;
}

/// Turns the wheel, flushes the log and purges what is idle.
async fn tick_loop(shard: Rc<Shard>) {
    let (mut last_purge_ms, mut last_trim_ms) = (0, 0);
    loop {
        match shard.sessions() == 0 && shard.timers.is_empty() {
            true => shard.rest().await,
            false => monoio::time::sleep(Duration::from_millis(TICK_MS)).await,
        }
        let now_ms = shard.clock.tick();
        shard.timers.tick(now_ms);
        shard.log.borrow_mut().flush();
        if now_ms - last_purge_ms >= shard.upstreams.purge_ms() {
            last_purge_ms = now_ms;
            shard.upstreams.purge(&shard.plan, shard.idle_counts(), now_ms);
        }
        if now_ms - last_trim_ms >= TRIM_MS {
            last_trim_ms = now_ms;
            shard.resolver.purge(now_ms);
            count_refused_logins(&shard);
            give_back_memory(&shard);
        }
    }
}

/// Counts the passwords that rules which cannot wait did not check; nobody knows any more of which frontend.
fn count_refused_logins(shard: &Shard) {
    let refused = login::take_refused();
    if let (1.., Some(frontend)) = (refused, shard.plan.frontends.first()) {
        shard.count(frontend.object, Counter::LoginsRefused, refused);
    }
}

/// Frees what the pools did not need lately, and lets the allocator return it to the kernel.
fn give_back_memory(shard: &Shard) {
    let freed = shard.buffers.shrink() + shard.exchanges.shrink() * EXCHANGE_BYTES;
    shard.pipes.shrink();
    if shard.freed.get() + freed < TRIM_BYTES {
        shard.freed.set(shard.freed.get() + freed);
        return;
    }
    shard.freed.set(0);
    // SAFETY: no argument but a number; the allocator's own locks make it safe beside other threads.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Hears messages until the shard is told to stop, or is drained and empty.
async fn hear(shard: Rc<Shard>) {
    let inbox = &shard.inboxes[shard.index];
    let Ok(bell) = inbox.bell().and_then(Socket::from_fd) else { return };
    loop {
        while let Some(message) = inbox.receive() {
            match message {
                Message::Stop => {
                    shard.log.borrow_mut().flush();
                    return;
                }
                Message::Drain => drain(&shard),
                Message::Connection(accepted) => session::start(&shard, accepted),
                Message::WantIdle(wanted) => share::answer(&shard, wanted),
                Message::Idle { id, backend, server, parcel } => {
                    share::deliver(&shard, id, backend, server, parcel);
                }
                Message::Login { id, right } => {
                    // A stream that has gone on needs no answer; it is remembered with the next question.
                    let _ = shard.passwords.wake(id, right);
                }
                Message::Wake { backend, wake } => assign::deliver(&shard, backend, wake),
            }
        }
        // Until all shards are done one of them may hand a connection or a slot to another.
        if shard.is_draining() && shard.inboxes.iter().all(Inbox::is_done) {
            shard.log.borrow_mut().flush();
            return;
        }
        let _ = bell.readable().await;
        inbox.silence();
    }
}

fn drain(shard: &Rc<Shard>) {
    shard.draining.set(true);
    if let Some(canceller) = shard.accepts.borrow_mut().take() {
        let _ = canceller.cancel();
    }
    shard.stop_listening(0);
    shard.close_idle();
    // A busy client is about to send its next request: it is answered with the word that the connection closes.
    let shard = shard.clone();
    monoio::spawn(async move {
        monoio::time::sleep(IDLE_GRACE).await;
        shard.timers.end_idle();
    });
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(fd: OwnedFd, tcp: bool, epoll: bool) -> io::Result<Self> {
        Ok(if tcp {
            // SAFETY: `into_raw_fd` gives up the only owner of an open descriptor, taken over at once.
            let listener = unsafe { std::net::TcpListener::from_raw_fd(fd.into_raw_fd()) };
            if epoll {
                listener.set_nonblocking(true)?;
            }
            Acceptor::Tcp(TcpListener::from_std(listener)?)
        } else {
            // SAFETY: as above.
            let listener =
                unsafe { std::os::unix::net::UnixListener::from_raw_fd(fd.into_raw_fd()) };
            if epoll {
                listener.set_nonblocking(true)?;
            }
            Acceptor::Unix(UnixListener::from_std(listener)?)
        })
    }

    async fn accept(&self, cancel: CancelHandle) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.cancelable_accept(cancel).await?;
                Ok((Socket::from_tcp(stream).into_fd(), Some(peer)))
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.cancelable_accept(cancel).await?;
                // SAFETY: `into_raw_fd` gave us the only owner of an open descriptor.
                Ok((unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) }, None))
            }
        }
    }

    async fn readable(&self) {
        let _ = match self {
            Acceptor::Tcp(listener) => listener.readable(false).await,
            Acceptor::Unix(listener) => listener.readable(false).await,
        };
    }

    /// Stops listening at once: the driver closes descriptors only when it gets to it.
    fn close(&self) {
        let fd = match self {
            Acceptor::Tcp(listener) => listener.as_raw_fd(),
            Acceptor::Unix(listener) => listener.as_raw_fd(),
        };
        // SAFETY: plain system call on a descriptor that `self` keeps open.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }

    /// Takes a connection that is waiting, without waiting for one; the listener is non-blocking afterwards.
    fn accept_waiting(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        let fd = match self {
            Acceptor::Tcp(listener) => listener.as_raw_fd(),
            Acceptor::Unix(listener) => listener.as_raw_fd(),
        };
        // SAFETY: the descriptor stays open for the borrow, because `self` owns it.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = socket2::SockRef::from(&fd);
        socket.set_nonblocking(true)?;
        let (client, peer) = socket.accept()?;
        Ok((client.into(), peer.as_socket()))
    }
}

/// Accepts on one socket until the shard drains, and then what came before the socket closes.
async fn accept_loop(shard: Rc<Shard>, listener: Listener, cancel: CancelHandle) {
    let Listener { frontend, bind, fd, tcp, address } = listener;
    let begin = |fd: OwnedFd, peer: Option<SocketAddr>| {
        let source = peer.map(unmap);
        let accepted = Accepted { fd, frontend, bind, source, destination: address };
        match shard.shard_for_new() {
            target if target == shard.index => session::start(&shard, accepted),
            target => shard.send_to(target, Message::Connection(accepted)),
        }
    };
    if let Ok(acceptor) = Acceptor::new(fd, tcp, shard.is_epoll()) {
        accept_all(&shard, &acceptor, frontend, cancel, &begin).await;
        // A socket that others share goes on without us.
        let bind = &shard.frontend(frontend).binds[bind as usize];
        if shard.is_draining() && !matches!(bind.address, Address::Fd(_)) {
            while let Ok((fd, peer)) = acceptor.accept_waiting() {
                // The epoll driver wants what it serves to be non-blocking.
                if !shard.is_epoll() || socket2::SockRef::from(&fd).set_nonblocking(true).is_ok() {
                    begin(fd, peer);
                }
            }
            acceptor.close();
        }
    }
    shard.stop_listening(1);
}

async fn accept_all(
    shard: &Shard,
    acceptor: &Acceptor,
    frontend: u32,
    cancel: CancelHandle,
    begin: &impl Fn(OwnedFd, Option<SocketAddr>),
) {
    while !shard.is_draining() {
        wait_for_room(shard, frontend).await;
        match acceptor.accept(cancel.clone()).await {
            Ok((fd, peer)) => {
                set_close_on_exec(&fd);
                begin(fd, peer);
            }
            Err(_) if shard.is_draining() => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = monoio::time::timeout(LISTEN_PATIENCE, acceptor.readable()).await;
            }
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
                ) =>
            {
                shard.count(shard.frontend(frontend).object, Counter::AcceptPauses, 1);
                // Clients that come are worth more than connections that nobody uses now.
                shard.close_idle();
                monoio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            // A connection that its client gave up before we took it, or a passing refusal.
            Err(_) => {}
        }
    }
}

/// Waits while the frontend or the process is at its `maxconn`: the kernel's backlog queues meanwhile.
async fn wait_for_room(shard: &Shard, frontend: u32) {
    let frontend = shard.frontend(frontend);
    let mut waits = false;
    while frontend.connections.current() >= frontend.maxconn
        || shard.plan.connections.current() >= shard.plan.global.maxconn
    {
        if shard.is_draining() {
            return;
        }
        if !std::mem::replace(&mut waits, true) {
            shard.count(frontend.object, Counter::MaxconnReached, 1);
        }
        monoio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn set_close_on_exec(fd: &OwnedFd) {
    // SAFETY: plain system call on a descriptor that is open.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Returns an IPv4 client of an IPv6 socket as the IPv4 address it is.
fn unmap(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
