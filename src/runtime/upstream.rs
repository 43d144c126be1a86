//! Connections to servers: opening them, and keeping idle ones for reuse.
//!
//! Each shard keeps the idle connections of its own streams, per server, and takes from another shard only when it has
//! none ([`super::share`]). Connections that belong to one client (`http-reuse never`, NTLM) never come here: their
//! session keeps them ([`Private`]).

use super::transport::{self, Socket};
use crate::metrics::ObjectId;
use crate::plan::{Address, Backend, Plan, PoolSettings, Server};
use crate::server::Server as Live;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Idle connections kept per server and shard.
const IDLE_MAX: usize = 512;
/// Connections that one session keeps for itself (`max-session-srv-conns`' default).
const PRIVATE_MAX: usize = 5;
/// The idle connections are looked through at least this often, and no more often than the shorter of the two.
const PURGE_MS: (u64, u64) = (100, 1000);

const _: () = assert!(IDLE_MAX < 1 << 16, "the published counts have 16 bits each");

/// A connection to a server.
pub struct Upstream {
    /// The socket.
    pub socket: Socket,
    /// How many requests it carried before.
    pub uses: u32,
    /// Whether it belongs to one client.
    pub private: bool,
}

/// Which idle connections a request may go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Any.
    Any,
    /// One that carried more than one request, which proves that the server keeps connections.
    Proven,
    /// Only one that belongs to the client itself.
    Own,
}

struct Idle {
    upstream: Upstream,
    since_ms: u64,
}

/// The idle connections to one server; each half is a stack, the oldest at the bottom.
#[derive(Default)]
struct Pool {
    /// Those that carried one request.
    new: Vec<Idle>,
    /// Those that carried more.
    proven: Vec<Idle>,
}

impl Pool {
    fn len(&self) -> usize {
        self.new.len() + self.proven.len()
    }

    /// Takes the connection that was used last among those of the kind that is less needed by others.
    fn pop(&mut self, take: Take) -> Option<Idle> {
        let new = match take {
            Take::Any => self.new.pop(),
            Take::Proven => None,
            Take::Own => return None,
        };
        new.or_else(|| self.proven.pop())
    }
}

/// How many idle connections one shard has to each server, for other shards to read: one writer, no order.
#[derive(Debug)]
pub struct IdleCounts(Box<[AtomicU32]>);

impl IdleCounts {
    /// Returns zeroed counts; none for a shard whose connections nobody else could take.
    pub fn new(objects: usize) -> Self {
        Self((0..objects).map(|_| AtomicU32::new(0)).collect())
    }

    fn set(&self, server: ObjectId, pool: &Pool) {
        if let Some(cell) = self.0.get(server.0 as usize) {
            cell.store(pool.new.len() as u32 | (pool.proven.len() as u32) << 16, Relaxed);
        }
    }

    /// Returns how many connections of that kind there were a moment ago.
    pub fn of(&self, server: ObjectId, take: Take) -> u32 {
        let counts = self.0.get(server.0 as usize).map_or(0, |counts| counts.load(Relaxed));
        match take {
            Take::Any => (counts & 0xffff) + (counts >> 16),
            Take::Proven => counts >> 16,
            Take::Own => 0,
        }
    }
}

/// The idle connections of a shard by server.
pub struct Upstreams {
    /// By the index of the server among all objects.
    pools: Vec<RefCell<Pool>>,
    purge_ms: u64,
}

impl Upstreams {
    /// Returns empty pools for the servers of a plan.
    pub fn new(plan: &Plan) -> Self {
        let servers = || plan.backends.iter().flat_map(|backend| &backend.servers);
        let shortest = servers().map(|server| server.pool.idle_delay).min().unwrap_or_default();
        let pools = (0..plan.metrics.objects()).map(|_| RefCell::default()).collect();
        let purge_ms = (shortest.as_millis() as u64 / 2).clamp(PURGE_MS.0, PURGE_MS.1);
        Self { pools, purge_ms }
    }

    /// Returns how often [`Upstreams::purge`] is to be called, in milliseconds.
    pub fn purge_ms(&self) -> u64 {
        self.purge_ms
    }

    /// Takes the idle connection that was used last, if one is still open.
    ///
    /// It is looked at even when it was used a moment ago: bytes that a server sent behind its response would be
    /// taken for the answer to the next request, of another client perhaps.
    pub fn take(&self, place: Place<'_>, take: Take) -> Option<Upstream> {
        let object = place.settings.object;
        let mut pool = self.pools[object.0 as usize].borrow_mut();
        loop {
            let Idle { upstream, .. } = pool.pop(take)?;
            place.live.remove_idle(upstream.uses > 1);
            place.counts.set(object, &pool);
            if upstream.socket.is_quiet() {
                return Some(upstream);
            }
        }
    }

    /// Keeps a connection whose last response is complete; `upstream.uses` counts that one too.
    pub fn give(&self, place: Place<'_>, upstream: Upstream, now_ms: u64) {
        let Place { settings, live, counts } = place;
        let mut pool = self.pools[settings.object.0 as usize].borrow_mut();
        let PoolSettings { idle_max, idle_delay, .. } = settings.pool;
        if pool.len() >= IDLE_MAX
            || idle_max.is_some_and(|max| live.idle() >= max)
            || idle_delay == Duration::ZERO
            || !live.is_up()
        {
            return;
        }
        let proven = upstream.uses > 1;
        live.add_idle(proven);
        let half = if proven { &mut pool.proven } else { &mut pool.new };
        half.push(Idle { upstream, since_ms: now_ms });
        counts.set(settings.object, &pool);
    }

    /// Closes what was idle for too long, what leads to servers that are down, and what its server has ended or sent
    /// something on: that will carry no request, and must not hold a descriptor until one tries.
    pub fn purge(&self, plan: &Plan, counts: &IdleCounts, now_ms: u64) {
        self.close_idle(plan, counts, transport::stirred, |live_is_up, idle_delay, idle| {
            live_is_up && now_ms.saturating_sub(idle.since_ms) <= idle_delay.as_millis() as u64
        });
    }

    /// Closes all idle connections.
    pub fn clear(&self, plan: &Plan, counts: &IdleCounts) {
        self.close_idle(plan, counts, |_| Vec::new(), |_, _, _| false);
    }

    fn close_idle(
        &self,
        plan: &Plan,
        counts: &IdleCounts,
        stirred: impl Fn(&[RawFd]) -> Vec<bool>,
        keep: impl Fn(bool, Duration, &Idle) -> bool,
    ) {
        for (backend, farm) in plan.backends.iter().zip(&plan.farms) {
            for (server, settings) in backend.servers.iter().enumerate() {
                let mut pool = self.pools[settings.object.0 as usize].borrow_mut();
                if pool.len() == 0 {
                    continue;
                }
                let live = farm.server(server);
                let is_up = live.is_up();
                let pool = &mut *pool;
                for half in [&mut pool.new, &mut pool.proven] {
                    // One system call for all of them; an idle connection holds still.
                    let fds: Vec<RawFd> =
                        half.iter().map(|idle| idle.upstream.socket.fd()).collect();
                    let mut stirred = stirred(&fds).into_iter();
                    half.retain(|idle| {
                        let still = !stirred.next().unwrap_or(false);
                        let kept = still && keep(is_up, settings.pool.idle_delay, idle);
                        if !kept {
                            live.remove_idle(idle.upstream.uses > 1);
                        }
                        kept
                    });
                }
                counts.set(settings.object, pool);
            }
        }
    }
}

/// One server of a plan, and where its shard publishes the idle connections to it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The server as it was configured.
    pub settings: &'a Server,
    /// The server as it is.
    pub live: &'a Live,
    /// The counts of this shard.
    pub counts: &'a IdleCounts,
}

/// The server connections that one session keeps for itself: nobody else's request may go over them.
#[derive(Default)]
pub struct Private(Vec<(u32, usize, Upstream)>);

impl Private {
    /// Returns whether there is none, as for nearly every session.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the connection to that server, if it is still open.
    pub fn take(&mut self, backend: u32, server: usize) -> Option<Upstream> {
        let at = self.0.iter().position(|kept| (kept.0, kept.1) == (backend, server))?;
        let (_, _, upstream) = self.0.swap_remove(at);
        upstream.socket.is_quiet().then_some(upstream)
    }

    /// Keeps a connection; the one that was kept longest gives way to one too many.
    pub fn give(&mut self, backend: u32, server: usize, mut upstream: Upstream) {
        upstream.private = true;
        if self.0.len() >= PRIVATE_MAX {
            self.0.remove(0);
        }
        self.0.push((backend, server, upstream));
    }
}

/// Opens a connection to a server, for a stream whose destination is `asked`.
///
/// # Errors
/// What the kernel says.
pub async fn connect(
    backend: &Backend,
    server: usize,
    asked: Option<SocketAddr>,
) -> io::Result<Upstream> {
    let server = &backend.servers[server];
    let socket = match &server.address {
        Address::Tcp(_) => {
            let address = server.target(asked).ok_or(io::ErrorKind::AddrNotAvailable)?;
            let socket = Socket::connect_tcp(address).await?;
            socket.set_nodelay();
            socket
        }
        Address::Unix(path) => Socket::connect_unix(path).await?,
        Address::Abstract(name) => Socket::connect_abstract(name).await?,
        Address::Fd(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    if backend.socket.keep_alive {
        socket.set_keep_alive();
    }
    if backend.socket.no_linger {
        socket.set_reset_on_close();
    }
    Ok(Upstream { socket, uses: 0, private: false })
}
