//! Connections to servers: opening them, and keeping idle ones for reuse, per shard.

use super::transport::Socket;
use crate::plan::{Address, Backend, Plan};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

/// Idle connections kept per server and shard.
const IDLE_MAX: usize = 512;
/// An idle connection is closed after this long (`pool-purge-delay`'s default).
const IDLE_MS: u64 = 5_000;

/// A connection to a server.
pub struct Upstream {
    /// The socket.
    pub socket: Socket,
    /// Whether it served a request before.
    pub reused: bool,
}

struct Idle {
    socket: Socket,
    since_ms: u64,
}

/// Idle connections by backend and server.
pub struct Upstreams {
    pools: Vec<Vec<RefCell<Vec<Idle>>>>,
}

impl Upstreams {
    /// Returns empty pools for the servers of a plan.
    pub fn new(plan: &Plan) -> Self {
        let pools = plan
            .backends
            .iter()
            .map(|backend| backend.servers.iter().map(|_| RefCell::default()).collect())
            .collect();
        Self { pools }
    }

    /// Takes the idle connection that was used last, if one is still open.
    ///
    /// It is looked at even when it was used a moment ago: bytes that a server sent behind its response would be
    /// taken for the answer to the next request, of another client perhaps.
    pub fn take(&self, plan: &Plan, backend: u32, server: usize) -> Option<Upstream> {
        let live = plan.farms[backend as usize].server(server);
        loop {
            let idle = self.pools[backend as usize][server].borrow_mut().pop()?;
            live.remove_idle();
            if idle.socket.is_quiet() {
                return Some(Upstream { socket: idle.socket, reused: true });
            }
        }
    }

    /// Keeps a connection whose last response is complete.
    pub fn give(&self, plan: &Plan, backend: u32, server: usize, socket: Socket, now_ms: u64) {
        let mut pool = self.pools[backend as usize][server].borrow_mut();
        let live = plan.farms[backend as usize].server(server);
        if pool.len() >= IDLE_MAX || !live.is_up() {
            return;
        }
        live.add_idle();
        pool.push(Idle { socket, since_ms: now_ms });
    }

    /// Closes what was idle for too long.
    pub fn purge(&self, plan: &Plan, now_ms: u64) {
        for (backend, pools) in self.pools.iter().enumerate() {
            for (server, pool) in pools.iter().enumerate() {
                let mut pool = pool.borrow_mut();
                if pool.is_empty() {
                    continue;
                }
                let before = pool.len();
                // The pool is a stack: the oldest are at the bottom.
                let keep_from =
                    pool.partition_point(|idle| now_ms.saturating_sub(idle.since_ms) > IDLE_MS);
                pool.drain(..keep_from);
                for _ in pool.len()..before {
                    plan.farms[backend].server(server).remove_idle();
                }
            }
        }
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        for pool in self.pools.iter().flatten() {
            pool.borrow_mut().clear();
        }
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
    Ok(Upstream { socket, reused: false })
}
