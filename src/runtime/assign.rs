//! Gives a stream its server: balancing, slots and queues, connecting, and trying again.

use super::inbox::Message;
use super::session::Session;
use super::shard::Shard;
use super::upstream::{self, Upstream};
use crate::balance::Key;
use crate::metrics::{Counter, Phase};
use crate::plan::Backend;
use crate::rules::context::Record;
use crate::server::ServerId;
use crate::server::queue::{Enqueue, Ticket, Wake};
use std::rc::Rc;
use std::time::Duration;

/// Pause before the same server is tried again (manual 4.2, `retries`).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// What is known before a server is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// The server that a cookie or a `use-server` rule names.
    pub server: Option<ServerId>,
    /// Whether an idle connection may be used.
    pub reuse: bool,
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
    /// `timeout connect` passed on every attempt.
    ConnectTimeout,
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
        if shard.waiters.wake(wake.ticket.id, wake.server) {
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

/// Chooses a server, waits for its slot and connects; retries and redispatches as the backend says.
///
/// # Errors
/// Why there is none; `record` tells how far it came.
pub async fn assign(
    session: &Session,
    backend_index: u32,
    wish: Wish,
    record: &mut Record,
) -> Result<Assigned, Refused> {
    let shard = &session.shard;
    let backend = shard.backend(backend_index);
    shard.count(backend.object, Counter::Sessions, 1);
    let assigned = attempt(session, backend_index, wish, record).await;
    if let Err(refused) = &assigned {
        shard.count(backend.object, Counter::ConnectErrors, 1);
        // An attempt to connect and a full queue are errors of that server; the others never had one.
        if let (Refused::Connect | Refused::ConnectTimeout | Refused::QueueFull, Some(server)) =
            (refused, record.server)
        {
            let object = backend.servers[server as usize].object;
            shard.count(object, Counter::ConnectErrors, 1);
        }
    }
    assigned
}

async fn attempt(
    session: &Session,
    backend_index: u32,
    wish: Wish,
    record: &mut Record,
) -> Result<Assigned, Refused> {
    let shard = &session.shard;
    let backend = shard.backend(backend_index);
    let mut wanted = wish.server;
    let mut avoid = None;
    let mut attempts_left = backend.retries;
    let mut begun_us = None;
    loop {
        let slot = acquire(session, backend_index, wanted, avoid, record).await?;
        let server = slot.server;
        record.server = Some(server as u32);
        let farm = &shard.plan.farms[backend_index as usize];
        record.server_streams = farm.server(server).current();
        let object = backend.servers[server].object;
        if wish.reuse
            && record.retries == 0
            && let Some(upstream) = shard.upstreams.take(&shard.plan, backend_index, server)
        {
            record.connect_us = 0;
            shard.count(object, Counter::Reuses, 1);
            shard.count(backend.object, Counter::Reuses, 1);
            return Ok(Assigned { slot, upstream });
        }
        let begun = *begun_us.get_or_insert_with(|| shard.clock.now_us());
        // Boxed, so that streams over connections that are already open do not carry its state.
        let refused = match Box::pin(connect(session, backend, server, record)).await {
            Ok(upstream) => {
                // The time to connect includes the attempts that failed (manual 8.4).
                record.connect_us = (shard.clock.now_us() - begun) as i64;
                return Ok(Assigned { slot, upstream });
            }
            Err(refused) => refused,
        };
        if attempts_left == 0 {
            return Err(refused);
        }
        attempts_left -= 1;
        record.retries += 1;
        let redispatch = may_redispatch(backend, attempts_left);
        drop(slot);
        if redispatch {
            (wanted, avoid) = (None, Some(server));
            mark_redispatched(shard, backend, server, record);
        } else {
            // A retry elsewhere counts as a redispatch only.
            shard.count(object, Counter::Retries, 1);
            shard.count(backend.object, Counter::Retries, 1);
            wanted = Some(server);
            if refused == Refused::Connect {
                let pause =
                    backend.timeouts.connect.map_or(TURN_AROUND, |limit| limit.min(TURN_AROUND));
                monoio::time::sleep(pause).await;
            }
        }
    }
}

/// Connects anew to a server whose slot the stream already holds.
///
/// # Errors
/// Why there is no connection after all attempts.
pub async fn reassign(
    session: &Session,
    backend_index: u32,
    slot: Slot,
    record: &mut Record,
) -> Result<Assigned, Refused> {
    let backend = session.shard.backend(backend_index);
    match connect(session, backend, slot.server, record).await {
        Ok(upstream) => Ok(Assigned { slot, upstream }),
        Err(_) => {
            let wish = Wish { server: Some(slot.server), reuse: false };
            drop(slot);
            assign(session, backend_index, wish, record).await
        }
    }
}

/// `option redispatch <interval>`: `n` every n-th retry, `-n` on the n-th retry before the last (manual 4.2).
fn may_redispatch(backend: &Backend, attempts_left: u32) -> bool {
    let done = backend.retries - attempts_left;
    match backend.redispatch {
        None | Some(0) => false,
        Some(interval) if interval > 0 => done.is_multiple_of(interval.unsigned_abs()),
        Some(interval) => attempts_left + 1 == interval.unsigned_abs(),
    }
}

async fn acquire(
    session: &Session,
    backend_index: u32,
    wanted: Option<ServerId>,
    avoid: Option<ServerId>,
    record: &mut Record,
) -> Result<Slot, Refused> {
    let shard = &session.shard;
    let backend = shard.backend(backend_index);
    let farm = &shard.plan.farms[backend_index as usize];
    let slot = |server| Slot { shard: shard.clone(), backend: backend_index, server };
    let (mut wanted, mut avoid) = (wanted, avoid);
    let mut waited_since = None;
    loop {
        let mut balanced = false;
        let server = match wanted.take() {
            Some(server) => Some(server),
            None => {
                balanced = true;
                let key = session.info.source.map_or(Key::None, |source| Key::Address(source.ip()));
                let picked =
                    shard.balancers[backend_index as usize].borrow_mut().pick(farm, &key, avoid);
                if picked.is_none() && farm.nbsrv() == 0 {
                    return Err(Refused::NoServer);
                }
                picked
            }
        };
        if let Some(server) = server
            && farm.try_acquire(server)
        {
            count_assigned(shard, backend, server, balanced);
            queue_time(session, backend, server, waited_since, record);
            return Ok(slot(server));
        }
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
                let mut guard = Waiting { shard, backend: backend_index, id, place: Some(place) };
                match shard.waiters.wait(id, &session.deadline).await {
                    Ok(called) => {
                        guard.place = None;
                        shard.waiters.close(id);
                        called
                    }
                    Err(_) => {
                        record.queue_us = (shard.clock.now_us() - since) as i64;
                        return Err(Refused::QueueTimeout);
                    }
                }
            }
        };
        shard.waiters.close(id);
        if let Some(server) = called {
            count_assigned(shard, backend, server, false);
            queue_time(session, backend, server, waited_since, record);
            return Ok(slot(server));
        }
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
    shard.count(object, Counter::Sessions, 1);
    if balanced {
        shard.count(object, Counter::Assigned, 1);
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

async fn connect(
    session: &Session,
    backend: &Backend,
    server: ServerId,
    record: &mut Record,
) -> Result<Upstream, Refused> {
    let shard = &session.shard;
    let object = backend.servers[server].object;
    let begun = shard.clock.now_us();
    shard.count(object, Counter::ConnectAttempts, 1);
    shard.count(backend.object, Counter::ConnectAttempts, 1);
    session.arm(backend.timeouts.connect);
    let asked = record.destination.get().or(session.info.destination);
    let connected = session.deadline.limit(upstream::connect(backend, server, asked)).await;
    let took = shard.clock.now_us() - begun;
    match connected {
        Ok(Ok(upstream)) => {
            record.connect_us = took as i64;
            record.server_address = backend.servers[server].target(asked);
            shard.record(object, Phase::Connect, took);
            Ok(upstream)
        }
        Ok(Err(_)) => Err(Refused::Connect),
        Err(_) => Err(Refused::ConnectTimeout),
    }
}
