//! A session: the life of one client connection, from accept to close.
//!
//! It counts the connection, waits for requests without holding a buffer when many connections are idle, and hands
//! each burst of requests to [`super::http`], or the whole connection to [`super::tcp`].

use super::deadline::Deadline;
use super::shard::Shard;
use super::transport::Socket;
use super::upstream::Private;
use super::{http, layer4, tcp};
use crate::metrics::Counter;
use crate::plan::{Frontend, Mode};
use crate::rules::context::SessionInfo;
use crate::rules::variable::Store;
use crate::server::ServerId;
use std::cell::{Cell, RefCell};
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
    /// What rules have set for its life.
    pub variables: Store,
    /// Requests received so far.
    pub requests: Cell<u32>,
    /// Server connections that nobody else may use.
    pub private: RefCell<Private>,
    /// The backend and server of the last response, when the next request is to go there too.
    pub last_server: Cell<Option<(u32, ServerId)>>,
    /// A server asked for authentication: requests stay with their server from then on.
    pub challenged: Cell<bool>,
    /// When the connection was accepted, microseconds of the shard's clock.
    pub accepted_us: u64,
    /// Since when it waits for a request: the accept, then the end of the last stream; microseconds of the shard's clock.
    pub idle_since_us: Cell<u64>,
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
        self.variables.clear(&self.shard.plan.variables);
        self.frontend().connections.leave();
        self.shard.plan.connections.leave();
        self.shard.session_count(-1);
    }
}

/// Begins the session of a fresh connection, at once or when the limits leave room for it.
pub fn start(shard: &Rc<Shard>, accepted: Accepted) {
    shard.session_count(1);
    if try_enter(shard, accepted.frontend) {
        launch(shard, accepted);
        return;
    }
    shard.count(shard.frontend(accepted.frontend).object, Counter::MaxconnReached, 1);
    let shard = shard.clone();
    monoio::spawn(async move {
        while !try_enter(&shard, accepted.frontend) {
            if shard.is_draining() {
                shard.session_count(-1);
                return;
            }
            shard.sleep(ROOM_PAUSE).await;
        }
        launch(&shard, accepted);
    });
}

/// Counts a connection in unless the process or the frontend is at its limit.
fn try_enter(shard: &Shard, frontend: u32) -> bool {
    let frontend = shard.frontend(frontend);
    if shard.plan.connections.enter(shard.plan.global.maxconn).is_none() {
        return false;
    }
    if frontend.connections.enter(frontend.maxconn).is_none() {
        shard.plan.connections.leave();
        return false;
    }
    true
}

/// Spawns the task of a connection that was counted in.
fn launch(shard: &Rc<Shard>, accepted: Accepted) {
    let frontend = shard.frontend(accepted.frontend);
    let Ok(socket) = Socket::from_fd(accepted.fd) else { return abandon(shard, frontend) };
    let destination = match accepted.destination {
        // A listener on all addresses does not know which of them the client chose.
        Some(address) if address.ip().is_unspecified() => {
            let local = socket.local_address();
            local.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        }
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
    }
    let accepted_us = shard.clock.now_us();
    let mut info = SessionInfo {
        source: accepted.source,
        destination,
        said_source: None,
        said_destination: None,
        frontend: accepted.frontend,
        bind: accepted.bind,
        accepted_us: shard.clock.wall_us(accepted_us),
    };
    let variables = Store::default();
    let Ok(passed) = layer4::connection(shard, &socket, &mut info, &variables) else {
        variables.clear(&shard.plan.variables);
        return abandon(shard, frontend);
    };
    let session = Session {
        info,
        socket,
        deadline: Deadline::new(),
        variables,
        requests: Cell::new(0),
        private: RefCell::default(),
        last_server: Cell::new(None),
        challenged: Cell::new(false),
        accepted_us,
        idle_since_us: Cell::new(accepted_us),
        shard: shard.clone(),
    };
    let guarded =
        Guarded { shard: shard.clone(), frontend: accepted.frontend, future: run(session, passed) };
    monoio::spawn(guarded);
}

/// Counts a connection out that does not become a session.
fn abandon(shard: &Shard, frontend: &Frontend) {
    frontend.connections.leave();
    shard.plan.connections.leave();
    shard.session_count(-1);
}

async fn run(mut session: Session, passed: layer4::Passed) {
    if layer4::session(&mut session, passed).await.is_err() {
        return;
    }
    let frontend = session.frontend();
    for object in [frontend.object, frontend.binds[session.info.bind as usize].object] {
        session.shard.count(object, Counter::Sessions, 1);
    }
    if session.frontend().mode == Mode::Tcp {
        let Some(first) = Box::pin(tcp::relay(&session)).await else { return };
        if Box::pin(http::serve_switched(&session, first)).await == http::After::Close {
            return;
        }
    }
    loop {
        let ready = match session.shard.idle_permit() {
            Some(permit) => http::First::Posted(permit),
            None => http::wait_idle(&session).await,
        };
        // The state of a running stream is large: it lives in a box of its own while it is needed.
        match Box::pin(http::serve(&session, ready)).await {
            http::After::Park => {}
            http::After::Close => break,
        }
    }
}

/// Ends a session that panics instead of the shard, and counts it.
struct Guarded<F> {
    shard: Rc<Shard>,
    frontend: u32,
    future: F,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: structural pinning: `future` is never moved out of `self`, which has no `Drop` of its own.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        polled.unwrap_or_else(|_| {
            let object = this.shard.frontend(this.frontend).object;
            this.shard.count(object, Counter::InternalErrors, 1);
            Poll::Ready(())
        })
    }
}
