//! Relays bytes both ways until both sides have ended: TCP proxies and upgraded HTTP connections.
//!
//! A direction starts by copying through a small buffer, takes a large one once its receives fill the small one, and
//! moves bytes with `splice(2)` through a pipe once it has carried much and the configuration allows it.

use super::deadline::Expired;
use super::session::Session;
use super::splice::{Broken, Pipe, Way};
use super::transport::Socket;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// A direction is handed to `splice(2)` once it has carried this many bytes by copying.
const SPLICE_AFTER: u64 = 512 * 1024;

/// Who ended a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides said that they have no more to send.
    Complete,
    /// The client reset the connection or would not take bytes.
    Client,
    /// The server did.
    Server,
    /// The client's time limit passed.
    ClientTimeout,
    /// The server's time limit passed.
    ServerTimeout,
}

/// What a relay carried.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Bytes from the client.
    pub from_client: u64,
    /// Bytes from the server.
    pub from_server: u64,
    /// How it ended.
    pub end: End,
}

/// Limits and options of a relay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Longest silence while both sides are open.
    pub idle: Option<Duration>,
    /// Longest silence after the client ended its side.
    pub client_fin: Option<Duration>,
    /// Longest silence after the server ended its side.
    pub server_fin: Option<Duration>,
    /// Whether the silence is to be blamed on the client.
    pub client_is_shorter: bool,
    /// Whether bytes from the client may be spliced.
    pub splice_request: bool,
    /// Whether bytes from the server may be spliced.
    pub splice_response: bool,
}

/// Relays until both sides have ended or one fails. `early_client` and `early_server` were received before.
pub async fn relay(
    session: &Session,
    server: &Socket,
    options: Options,
    early_client: Vec<u8>,
    early_server: Vec<u8>,
) -> Carried {
    let client = &session.socket;
    let limit = Cell::new(options.idle);
    session.arm(limit.get());
    let carried = (Cell::new(0), Cell::new(0));
    let half = |fin: Option<Duration>| {
        // Each side that ended may shorten the patience for the other.
        if let Some(fin) = fin {
            limit.set(Some(limit.get().map_or(fin, |now| now.min(fin))));
        }
        session.arm(limit.get());
    };
    let up = async {
        let half_way = Half { session, from: client, to: server, count: &carried.0, limit: &limit };
        let result = half_way.carry(early_client, options.splice_request).await;
        half(options.client_fin);
        result
    };
    let down = async {
        let half_way = Half { session, from: server, to: client, count: &carried.1, limit: &limit };
        let result = half_way.carry(early_server, options.splice_response).await;
        half(options.server_fin);
        result
    };
    let (up, down) = both(up, down).await;
    let end = match (up, down) {
        (Some(Err(Broken::From)), _) | (_, Some(Err(Broken::To))) => End::Client,
        (Some(Err(Broken::To)), _) | (_, Some(Err(Broken::From))) => End::Server,
        (Some(Err(Broken::Expired)), _) | (_, Some(Err(Broken::Expired))) => {
            match options.client_is_shorter {
                true => End::ClientTimeout,
                false => End::ServerTimeout,
            }
        }
        _ => End::Complete,
    };
    Carried { from_client: carried.0.get(), from_server: carried.1.get(), end }
}

/// Runs both directions until both are complete or one has failed.
async fn both<T, E>(
    up: impl Future<Output = Result<T, E>>,
    down: impl Future<Output = Result<T, E>>,
) -> (Option<Result<T, E>>, Option<Result<T, E>>) {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_result, mut down_result) = (None, None);
    poll_fn(|cx| {
        if up_result.is_none()
            && let Poll::Ready(result) = up.as_mut().poll(cx)
        {
            up_result = Some(result);
        }
        if down_result.is_none()
            && let Poll::Ready(result) = down.as_mut().poll(cx)
        {
            down_result = Some(result);
        }
        let failed = matches!(up_result, Some(Err(_))) || matches!(down_result, Some(Err(_)));
        if failed || (up_result.is_some() && down_result.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    (up_result, down_result)
}

/// One direction of a relay.
struct Half<'a> {
    session: &'a Session,
    from: &'a Socket,
    to: &'a Socket,
    count: &'a Cell<u64>,
    limit: &'a Cell<Option<Duration>>,
}

impl Half<'_> {
    /// Carries bytes until the sender ends, then ends the other side's stream.
    async fn carry(&self, early: Vec<u8>, splice: bool) -> Result<(), Broken> {
        if !early.is_empty() {
            let len = early.len();
            self.send(early, len).await?;
        }
        let mut buffer = self.session.shard.buffers.take();
        let result = loop {
            let (received, filled) = match self.session.deadline.limit(self.from.recv(buffer)).await
            {
                Ok(done) => done,
                Err(Expired) => return Err(Broken::Expired),
            };
            buffer = filled;
            let count = match received {
                Ok(0) => {
                    self.to.shutdown_write();
                    break Ok(());
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The other direction splices, which made the socket non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.session
                        .deadline
                        .limit(self.from.readable())
                        .await?
                        .map_err(|_| Broken::From)?;
                    continue;
                }
                Err(_) => break Err(Broken::From),
            };
            let full = count == buffer.capacity();
            buffer = self.send(buffer, count).await?;
            if splice
                && full
                && self.count.get() >= SPLICE_AFTER
                && let Ok(pipe) = self.session.shard.pipes.take()
            {
                self.session.shard.buffers.give(buffer);
                return self.splice(pipe).await;
            }
            if full && buffer.capacity() < self.session.shard.buffers.large_size() {
                let large = self.session.shard.buffers.take_large();
                self.session.shard.buffers.give(std::mem::replace(&mut buffer, large));
            }
        };
        self.session.shard.buffers.give(buffer);
        result
    }

    async fn send(&self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>, Broken> {
        self.session.arm(self.limit.get());
        let (sent, mut buffer) =
            self.session.deadline.limit(self.to.send_all(buffer, 0, len)).await?;
        sent.map_err(|_| Broken::To)?;
        self.session.arm(self.limit.get());
        self.count.set(self.count.get() + len as u64);
        buffer.clear();
        Ok(buffer)
    }

    /// Moves the rest through a pipe inside the kernel.
    async fn splice(&self, pipe: Pipe) -> Result<(), Broken> {
        let way = Way {
            session: self.session,
            from: self.from,
            to: self.to,
            limit: &|| self.limit.get(),
            moved: &|count| self.count.set(self.count.get() + count),
        };
        way.splice(pipe, u64::MAX).await?;
        self.to.shutdown_write();
        Ok(())
    }
}
