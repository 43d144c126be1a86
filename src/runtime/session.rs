//! A session: the life of one client connection, from accept to close.
//!
//! It counts the connection, waits for requests without holding a buffer when many connections are idle, and hands
//! each burst of requests to [`super::http`], or the whole connection to [`super::tcp`].

use super::deadline::Deadline;
use super::shard::Shard;
use super::transport::Socket;
use super::{http, tcp};
use crate::metrics::Counter;
use crate::plan::{Frontend, Mode};
use crate::rules::context::SessionInfo;
use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a connection that was accepted at the limit of `maxconn` asks for room.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// A fresh connection, before anything was received.
#[derive(Debug)]
pub struct Accepted {
    /// The connected socket.
    pub fd: OwnedFd,
    /// Index of the frontend.
    pub frontend: u32,
    /// Index of the bind in the frontend.
    pub bind: u32,
    /// Address of the client; `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// Address of the listener.
    pub destination: Option<SocketAddr>,
}

/// One client connection.
pub struct Session {
    /// The shard it lives on.
    pub shard: Rc<Shard>,
    /// The client's socket.
    pub socket: Socket,
    /// What rules may know of it.
    pub info: SessionInfo,
    /// Its time limit.
    pub deadline: Rc<Deadline>,
    /// Requests received so far.
    pub requests: Cell<u32>,
    /// When the connection was accepted, microseconds of the shard's clock.
    pub accepted_us: u64,
}

impl Session {
    /// Returns its frontend.
    pub fn frontend(&self) -> &Frontend {
        self.shard.frontend(self.info.frontend)
    }

    /// Arms the deadline.
    pub fn arm(&self, after: Option<Duration>) {
        self.shard.timers.arm(&self.deadline, after);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shard.timers.forget(&self.deadline);
        self.frontend().connections.leave();
        self.shard.plan.connections.leave();
        self.shard.session_count(-1);
    }
}

/// Begins the session of a fresh connection.
pub fn start(shard: &Rc<Shard>, accepted: Accepted) {
    shard.session_count(1);
    let frontend = accepted.frontend;
    monoio::spawn(Guarded {
        shard: shard.clone(),
        frontend,
        future: Box::pin(begin(shard.clone(), accepted)),
    });
}

async fn begin(shard: Rc<Shard>, accepted: Accepted) {
    let room = enter(&shard, accepted.frontend).await;
    let socket = room.then(|| Socket::from_fd(accepted.fd)).and_then(Result::ok);
    let Some(socket) = socket else {
        if room {
            shard.frontend(accepted.frontend).connections.leave();
            shard.plan.connections.leave();
        }
        shard.session_count(-1);
        return;
    };
    let frontend = shard.frontend(accepted.frontend);
    let destination = match accepted.destination {
        Some(address) if address.ip().is_unspecified() => socket
            .local_address()
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())),
        other => other,
    };
    if accepted.source.is_some() {
        socket.set_nodelay();
    }
    if frontend.socket.keep_alive {
        socket.set_keep_alive();
    }
    if frontend.socket.no_linger {
        socket.set_reset_on_close();
    }
    for object in [frontend.object, frontend.binds[accepted.bind as usize].object] {
        shard.count(object, Counter::Connections, 1);
        shard.count(object, Counter::Sessions, 1);
    }
    let accepted_us = shard.clock.now_us();
    let session = Session {
        info: SessionInfo {
            source: accepted.source,
            destination,
            frontend: accepted.frontend,
            bind: accepted.bind,
            accepted_us: shard.clock.wall_us(accepted_us),
        },
        socket,
        deadline: Deadline::new(),
        requests: Cell::new(0),
        accepted_us,
        shard,
    };
    run(session).await;
}

/// Counts the connection in, waiting at the limits; `false` when the shard drains meanwhile.
async fn enter(shard: &Shard, frontend: u32) -> bool {
    let frontend = shard.frontend(frontend);
    loop {
        if shard.plan.connections.enter(shard.plan.global.maxconn).is_some() {
            if frontend.connections.enter(frontend.maxconn).is_some() {
                return true;
            }
            shard.plan.connections.leave();
        }
        if shard.is_draining() {
            return false;
        }
        monoio::time::sleep(ROOM_PAUSE).await;
    }
}

async fn run(session: Session) {
    match session.frontend().mode {
        Mode::Tcp => Box::pin(tcp::relay(&session)).await,
        Mode::Http => loop {
            let ready = match session.shard.post_idle() {
                true => http::First::Posted,
                false => match http::wait_idle(&session).await {
                    true => http::First::Readable,
                    false => break,
                },
            };
            // The state of a running stream is large: it lives in a box of its own while it is needed.
            match Box::pin(http::serve(&session, ready)).await {
                http::After::Park => {}
                http::After::Close => break,
            }
        },
    }
}

/// Ends a session that panics instead of the shard, and counts it.
struct Guarded<F> {
    shard: Rc<Shard>,
    frontend: u32,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            let object = self.shard.frontend(self.frontend).object;
            self.shard.count(object, Counter::InternalErrors, 1);
            Poll::Ready(())
        })
    }
}
