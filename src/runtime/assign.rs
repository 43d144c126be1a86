//! Gives a stream its server: balancing, slots and queues, idle connections, connecting, and trying again.
//!
//! One [`Dispatch`] lives as long as its stream needs servers: it knows which server is wanted, which is to be left, and
//! how often was tried. What is tried again after a connection stood (`retry-on`) is decided in [`super::http`].

use super::inbox::Message;
use super::queue::Called;
use super::session::Session;
use super::shard::Shard;
use super::share;
use super::upstream::{self, Take, Upstream};
use super::watch::{self, Left};
use crate::balance::Key;
use crate::metrics::{Counter, Phase};
use crate::plan::{Backend, RetryOn};
use crate::rules::context::Record;
use crate::server::ServerId;
use crate::server::queue::{Enqueue, Ticket, Wake};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Pause before the same server is tried again (manual 4.2, `retries`).
const TURN_AROUND: Duration = Duration::from_secs(1);
/// The driver closes descriptors when it gets to it: how long until those of idle connections are free.
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// What is known before a server is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// The server that a cookie or a `use-server` rule names.
    pub server: Option<ServerId>,
    /// Which idle connections may be used for the first attempt.
    pub reuse: Option<Take>,
    /// Whether the stream ends when its client closes meanwhile (`option abortonclose`).
    pub watch: bool,
}

/// Why a stream got no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No server is usable.
    NoServer,
    /// The queue is full.
    QueueFull,
    /// `timeout queue` passed.
    QueueTimeout,
    /// Every attempt to connect failed.
    Connect,
    /// The machine had nothing left to make a connection with: descriptors, ports, memory.
    Exhausted,
    /// `timeout connect` passed on every attempt.
    ConnectTimeout,
    /// The client went away while its request waited in a queue.
    LeftQueue,
    /// The client went away while the connection was being made.
    LeftConnect,
}

impl Refused {
    /// Says why there is no server, for explanations.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoServer => "no server of the backend takes requests",
            Self::QueueFull => "the queue is full",
            Self::QueueTimeout => "`timeout queue` passed before a server had room",
            Self::Connect => "no attempt to connect succeeded",
            Self::ConnectTimeout => "`timeout connect` passed on every attempt",
            Self::Exhausted => "the machine has nothing left to connect with",
            Self::LeftQueue | Self::LeftConnect => "the client went away meanwhile",
        }
    }

    /// Returns what an error of connecting means (manual 8.5, `RC` and `SC`).
    fn connecting(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EAGAIN
                | libc::EADDRNOTAVAIL
                | libc::EADDRINUSE,
            ) => Self::Exhausted,
            _ => Self::Connect,
        }
    }
}

/// A server's slot, held while a stream is with that server; dropping it calls the next stream that waits.
pub struct Slot {
    shard: Rc<Shard>,
    backend: u32,
    /// The server.
    pub server: ServerId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let farm = &self.shard.plan.farms[self.backend as usize];
        if let Some(wake) = farm.release(self.server) {
            deliver(&self.shard, self.backend, wake);
        }
    }
}

/// Calls a waiting stream on whichever shard it is; a slot that nobody wants any more goes on to the next.
pub fn deliver(shard: &Rc<Shard>, backend: u32, wake: Wake) {
    let mut wake = wake;
    loop {
        if usize::from(wake.ticket.shard) != shard.index {
            shard.send_to(wake.ticket.shard.into(), Message::Wake { backend, wake });
            return;
        }
        if shard.waiters.wake(wake.ticket.id, wake.server).is_ok() {
            return;
        }
        let Some(server) = wake.server else { return };
        match shard.plan.farms[backend as usize].release(server) {
            Some(next) => wake = next,
            None => return,
        }
    }
}

/// A stream's server and the connection to it.
pub struct Assigned {
    /// The connection, which closes before the slot passes on.
    pub upstream: Upstream,
    /// The slot on the server.
    pub slot: Slot,
}

/// The way of one stream to its server, over all attempts.
pub struct Dispatch<'s> {
    session: &'s Session,
    backend: &'s Backend,
    index: u32,
    wish: Wish,
    /// Whether the server was named by something that only a redispatch overrules.
    persistent: bool,
    avoid: Option<ServerId>,
    /// A slot of an attempt before that the next one uses.
    held: Option<Slot>,
    /// What an attempt to go without waiting found to have no slot: a server, or all of them.
    full: Option<Option<ServerId>>,
    /// When the first attempt to connect began.
    begun_us: Option<u64>,
}

/// What a choice of server came to.
enum Picked {
    /// A slot.
    Slot(Slot),
    /// That server has no free slot, or none has.
    Full(Option<ServerId>),
}

impl<'s> Dispatch<'s> {
    /// Returns the way of a stream that just reached its backend.
    pub fn new(session: &'s Session, index: u32, wish: Wish) -> Self {
        let backend = session.shard.backend(index);
        let persistent = wish.server.is_some();
        let (avoid, held, full, begun_us) = (None, None, None, None);
        Self { session, backend, index, wish, persistent, avoid, held, full, begun_us }
    }

    /// Chooses a server and returns a connection to it if both are there without waiting: the common case.
    ///
    /// When they are not, [`Dispatch::assign`] goes on from here.
    pub fn at_once(&mut self, record: &mut Record) -> Option<Assigned> {
        let take = self.wish.reuse?;
        let slot = match self.held.take() {
            Some(slot) => slot,
            None => match self.pick(self.wish.server, self.avoid, record).ok()? {
                Picked::Slot(slot) => slot,
                Picked::Full(server) => {
                    self.full = Some(server);
                    return None;
                }
            },
        };
        record.server = Some(slot.server as u32);
        match self.take_idle(slot.server, take) {
            Some(upstream) => Some(self.reuse(slot, upstream, record)),
            None => {
                self.held = Some(slot);
                None
            }
        }
    }

    /// Chooses a server, waits for its slot and connects; retries and redispatches as the backend says.
    ///
    /// # Errors
    /// Why there is none; `record` tells how far it came.
    pub async fn assign(&mut self, record: &mut Record) -> Result<Assigned, Refused> {
        let assigned = self.attempt(record).await;
        if let Err(refused) = assigned {
            self.count_refused(refused, record);
        }
        assigned
    }

    /// Makes the next attempt a fresh connection to the same server, whose slot the stream keeps.
    pub fn hold(&mut self, slot: Slot) {
        self.held = Some(slot);
        self.wish.reuse = None;
    }

    /// Returns how many attempts are left.
    pub fn attempts_left(&self, record: &Record) -> u32 {
        let max = record.retry.get().max.map_or(self.backend.retries, u32::from);
        max.saturating_sub(record.retries)
    }

    /// Counts an attempt that failed on a connection that stood, and turns to the server of the next one.
    pub fn retry(&mut self, slot: Slot, record: &mut Record) {
        let (shard, server) = (&self.session.shard, slot.server);
        record.retries += 1;
        for object in [self.backend.servers[server].object, self.backend.object] {
            shard.count(object, Counter::Retries, 1);
        }
        self.turn(slot, record);
    }

    /// Gives the slot back and chooses between the same server and another; returns whether it is another.
    fn turn(&mut self, slot: Slot, record: &mut Record) -> bool {
        let server = slot.server;
        let redispatch = self.may_redispatch(record);
        drop(slot);
        self.wish.reuse = None;
        self.wish.server = Some(server);
        if redispatch {
            (self.wish.server, self.avoid) = (None, Some(server));
            self.persistent = false;
            mark_redispatched(&self.session.shard, self.backend, server, record);
        }
        redispatch
    }

    /// Whether a retry goes to another server (manual 4.2, `option redispatch`): when it was only its turn, always; else
    /// by the interval, where `n` is every n-th retry and `-n` the n-th before the last.
    fn may_redispatch(&self, record: &Record) -> bool {
        let interval = match self.backend.redispatch {
            None | Some(0) => return false,
            Some(interval) => interval,
        };
        let by_turn = !self.persistent && !self.backend.balance.is_keyed();
        if by_turn && self.session.shard.plan.farms[self.index as usize].nbsrv() > 1 {
            return true;
        }
        match interval > 0 {
            true => record.retries.is_multiple_of(interval.unsigned_abs()),
            false => self.attempts_left(record) + 1 == interval.unsigned_abs(),
        }
    }

    fn count_refused(&self, refused: Refused, record: &Record) {
        let shard = &self.session.shard;
        if matches!(refused, Refused::LeftQueue | Refused::LeftConnect) {
            return;
        }
        shard.count(self.backend.object, Counter::ConnectErrors, 1);
        // An attempt to connect and a full queue are errors of that server; the others never had one.
        let of_server = matches!(
            refused,
            Refused::Connect | Refused::Exhausted | Refused::ConnectTimeout | Refused::QueueFull
        );
        if let Some(server) = record.server.filter(|_| of_server) {
            let object = self.backend.servers[server as usize].object;
            shard.count(object, Counter::ConnectErrors, 1);
        }
    }

    async fn attempt(&mut self, record: &mut Record) -> Result<Assigned, Refused> {
        let shard = &self.session.shard;
        loop {
            let slot = match self.held.take() {
                Some(slot) => slot,
                None => self.acquire(record).await?,
            };
            let server = slot.server;
            record.server = Some(server as u32);
            if let Some(take) = self.wish.reuse {
                let mut idle = self.take_idle(server, take);
                if idle.is_none()
                    && let Some(from) = share::shard_to_ask(shard, self.index, server, take)
                {
                    let wanted = (self.index, server, take);
                    idle = Box::pin(share::ask(self.session, from, wanted)).await;
                }
                if let Some(upstream) = idle {
                    return Ok(self.reuse(slot, upstream, record));
                }
            }
            // Boxed, so that streams over connections that are already open do not carry its state.
            let refused = match Box::pin(self.connect(server, record)).await {
                Ok(upstream) => return Ok(Assigned { slot, upstream }),
                Err(refused) => refused,
            };
            let again = self.backend.retry_on.has(RetryOn::CONNECT);
            if refused == Refused::LeftConnect || !again || self.attempts_left(record) == 0 {
                return Err(refused);
            }
            let pause = matches!(refused, Refused::Connect | Refused::Exhausted);
            Box::pin(self.reconnect(slot, pause, record)).await?;
        }
    }

    /// Counts an attempt without a connection and turns to the server of the next one; pauses before the same.
    pub async fn reconnect(
        &mut self,
        slot: Slot,
        pause: bool,
        record: &mut Record,
    ) -> Result<(), Refused> {
        let (shard, server) = (&self.session.shard, slot.server);
        record.retries += 1;
        if self.turn(slot, record) {
            // A retry elsewhere counts as a redispatch only.
            return Ok(());
        }
        for object in [self.backend.servers[server].object, self.backend.object] {
            shard.count(object, Counter::Retries, 1);
        }
        if !pause {
            return Ok(());
        }
        let limit = self.backend.timeouts.connect;
        let pause = shard.sleep(limit.map_or(TURN_AROUND, |limit| limit.min(TURN_AROUND)));
        match self.wish.watch {
            false => pause.await,
            true => watch::unless_gone(self.session, Duration::ZERO, pause)
                .await
                .map_err(|_: Left| Refused::LeftConnect)?,
        }
        Ok(())
    }

    /// Counts a stream that goes over a connection that was open already.
    fn reuse(&self, slot: Slot, upstream: Upstream, record: &mut Record) -> Assigned {
        let shard = &self.session.shard;
        record.connect_us = 0;
        shard.count(self.backend.servers[slot.server].object, Counter::Reuses, 1);
        shard.count(self.backend.object, Counter::Reuses, 1);
        Assigned { slot, upstream }
    }

    /// Takes a connection that is open: the client's own, or an idle one of this shard.
    fn take_idle(&self, server: ServerId, take: Take) -> Option<Upstream> {
        let shard = &self.session.shard;
        let mut private = self.session.private.borrow_mut();
        if !private.is_empty()
            && let Some(upstream) = private.take(self.index, server)
        {
            return Some(upstream);
        }
        match take {
            Take::Own => None,
            _ => shard.upstreams.take(shard.place(self.index, server), take),
        }
    }

    async fn connect(
        &mut self,
        server: ServerId,
        record: &mut Record,
    ) -> Result<Upstream, Refused> {
        let (session, backend) = (self.session, self.backend);
        let shard = &session.shard;
        let object = backend.servers[server].object;
        let begun = shard.clock.now_us();
        let first_begun = *self.begun_us.get_or_insert(begun);
        shard.count(object, Counter::ConnectAttempts, 1);
        shard.count(backend.object, Counter::ConnectAttempts, 1);
        session.arm(backend.timeouts.connect);
        let asked = record.destination(&session.info);
        if let Some(rehearsal) = shard.rehearsal.get() {
            record.connect_us = 0;
            record.server_address = backend.servers[server].target(asked);
            return rehearsal.connect(record.server_address).map_err(|_| Refused::Connect);
        }
        let connecting = session.deadline.limit(open(shard, backend, server, asked));
        let connected = match self.wish.watch {
            false => connecting.await,
            true => watch::unless_gone(session, watch::NOT_AT_ONCE, connecting)
                .await
                .map_err(|_: Left| Refused::LeftConnect)?,
        };
        match connected {
            Ok(Ok(upstream)) => {
                let now = shard.clock.now_us();
                // The time to connect includes the attempts that failed (manual 8.4).
                record.connect_us = (now - first_begun) as i64;
                record.server_address = backend.servers[server].target(asked);
                shard.record(object, Phase::Connect, now - begun);
                Ok(upstream)
            }
            Ok(Err(error)) => Err(Refused::connecting(&error)),
            Err(_) => Err(Refused::ConnectTimeout),
        }
    }

    /// Takes a slot on the wanted server, or on one that the algorithm chooses, without waiting.
    fn pick(
        &self,
        wanted: Option<ServerId>,
        avoid: Option<ServerId>,
        record: &mut Record,
    ) -> Result<Picked, Refused> {
        let shard = &self.session.shard;
        let farm = &shard.plan.farms[self.index as usize];
        let server = match wanted {
            Some(server) => Some(server),
            None => {
                let source = record.source(&self.session.info);
                let key = source.map_or(Key::None, |source| Key::Address(source.ip()));
                let mut balancer = shard.balancers[self.index as usize].borrow_mut();
                let picked = balancer.pick(farm, &key, avoid);
                if let (Some(recorder), Some(server)) = (&record.trace, picked) {
                    let name = self.backend.balance.name();
                    recorder.because(format!("{name}: {}", balancer.why(farm, &key, server)));
                }
                if picked.is_none() && farm.nbsrv() == 0 {
                    return Err(Refused::NoServer);
                }
                picked
            }
        };
        let Some(server) = server.filter(|server| farm.try_acquire(*server)) else {
            return Ok(Picked::Full(server));
        };
        count_assigned(shard, self.backend, server, wanted.is_none());
        explain(record, server, "it is tried again");
        record.queue_us = record.queue_us.max(0);
        Ok(Picked::Slot(self.slot(server)))
    }

    fn slot(&self, server: ServerId) -> Slot {
        Slot { shard: self.session.shard.clone(), backend: self.index, server }
    }

    async fn acquire(&mut self, record: &mut Record) -> Result<Slot, Refused> {
        let (session, backend) = (self.session, self.backend);
        let shard = &session.shard;
        let farm = &shard.plan.farms[self.index as usize];
        let (mut wanted, mut avoid) = (self.wish.server, self.avoid);
        let mut full = self.full.take();
        let mut waited_since = None;
        loop {
            let picked = match full.take() {
                Some(server) => Picked::Full(server),
                None => self.pick(wanted, avoid, record)?,
            };
            wanted = None;
            let server = match picked {
                Picked::Slot(slot) => {
                    queue_time(session, backend, slot.server, waited_since, record);
                    return Ok(slot);
                }
                Picked::Full(server) => server,
            };
            let since = *waited_since.get_or_insert_with(|| {
                session.arm(backend.timeouts.queue.or(backend.timeouts.connect));
                shard.clock.now_us()
            });
            // The place that the stream will have, as HAProxy counts it: the first is 1.
            match server {
                Some(server) => record.server_queue = farm.server(server).queued() + 1,
                None => record.backend_queue = farm.queued() + 1,
            }
            let id = shard.waiters.open();
            let ticket = Ticket { shard: shard.index as u16, id };
            let called = match farm.enqueue(server, ticket) {
                Enqueue::Full => {
                    shard.waiters.close(id);
                    (record.server_queue, record.backend_queue) = (0, 0);
                    let Some(server) = server else { return Err(Refused::QueueFull) };
                    if backend.redispatch.is_none() || avoid == Some(server) {
                        record.server = Some(server as u32);
                        return Err(Refused::QueueFull);
                    }
                    // Its own queue is full: any other server is better (manual 5.2, `maxqueue`).
                    avoid = Some(server);
                    mark_redispatched(shard, backend, server, record);
                    continue;
                }
                Enqueue::Granted(server) => Some(server),
                Enqueue::Gone => None,
                Enqueue::Waiting(place) => {
                    let guard = Waiting { shard, backend: self.index, id, place: Some(place) };
                    Box::pin(self.wait(guard, since, record)).await?
                }
            };
            shard.waiters.close(id);
            if let Some(server) = called {
                count_assigned(shard, backend, server, false);
                explain(record, server, "the first server with a free slot for the queue");
                queue_time(session, backend, server, waited_since, record);
                return Ok(self.slot(server));
            }
        }
    }

    /// Waits in the queue until the stream is called.
    async fn wait(
        &self,
        mut guard: Waiting<'_>,
        since_us: u64,
        record: &mut Record,
    ) -> Result<Called, Refused> {
        let session = self.session;
        let waiting = session.deadline.limit(session.shard.waiters.wait(guard.id));
        let called = match self.wish.watch {
            false => waiting.await.map_err(|_| Refused::QueueTimeout),
            true => match watch::unless_gone(session, Duration::ZERO, waiting).await {
                Ok(called) => called.map_err(|_| Refused::QueueTimeout),
                Err(_) => Err(Refused::LeftQueue),
            },
        };
        match called {
            Ok(_) => guard.place = None,
            Err(_) => record.queue_us = (session.shard.clock.now_us() - since_us) as i64,
        }
        called
    }
}

/// Tells who wants to know which server was chosen, and why.
#[inline]
fn explain(record: &Record, server: ServerId, otherwise: &str) {
    if let Some(recorder) = &record.trace {
        recorder.server(server as u32, || otherwise.to_owned());
    }
}

/// Connects; when there are no descriptors left, the shard's idle connections give way once.
async fn open(
    shard: &Shard,
    backend: &Backend,
    server: ServerId,
    asked: Option<SocketAddr>,
) -> io::Result<Upstream> {
    match upstream::connect(backend, server, asked).await {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            shard.close_idle();
            shard.sleep(CLOSE_PAUSE).await;
            upstream::connect(backend, server, asked).await
        }
        connected => connected,
    }
}

/// Notes and counts that a stream leaves the server it was meant for.
fn mark_redispatched(shard: &Shard, backend: &Backend, server: ServerId, record: &mut Record) {
    record.redispatched = true;
    if record.termination.cookie_request == b'V' {
        // The server that the cookie names is as good as down for it.
        record.termination.cookie_request = b'D';
    }
    for object in [backend.servers[server].object, backend.object] {
        shard.count(object, Counter::Redispatches, 1);
    }
}

/// A place in a queue that is given up when the stream goes away while it waits.
struct Waiting<'a> {
    shard: &'a Rc<Shard>,
    backend: u32,
    id: u64,
    place: Option<crate::server::queue::QueueKey>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let farm = &self.shard.plan.farms[self.backend as usize];
        // When the call is already under way to us, `deliver` finds the place closed and passes the slot on.
        let _ = farm.cancel(place);
        // The call may have come in between: its slot goes on to the next.
        if let Some(Some(server)) = self.shard.waiters.close(self.id)
            && let Some(wake) = farm.release(server)
        {
            deliver(self.shard, self.backend, wake);
        }
    }
}

/// Counts a stream on its server; `balanced` when the algorithm chose it, not a cookie, a rule or a queue.
fn count_assigned(shard: &Shard, backend: &Backend, server: ServerId, balanced: bool) {
    let object = backend.servers[server].object;
    let row = shard.cells().row(object);
    row.add(Counter::Sessions, 1);
    if balanced {
        row.add(Counter::Assigned, 1);
        shard.count(backend.object, Counter::Assigned, 1);
    }
}

fn queue_time(
    session: &Session,
    backend: &Backend,
    server: ServerId,
    since: Option<u64>,
    record: &mut Record,
) {
    let waited = since.map_or(0, |since| session.shard.clock.now_us() - since);
    record.queue_us = record.queue_us.max(0) + waited as i64;
    if waited > 0 {
        session.shard.record(backend.servers[server].object, Phase::Queue, waited);
    }
}
