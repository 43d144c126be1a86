//! Relays bytes both ways until both sides have ended: TCP proxies and upgraded HTTP connections.
//!
//! A direction starts by copying through a small buffer, takes a large one once its receives fill the small one, and
//! moves bytes with `splice(2)` through a pipe once it has carried much and the configuration allows it.

use super::bandwidth::Limited;
use super::session::Session;
use super::splice::{Broken, Pipe, Side, Way};
use super::transport::Socket;
use crate::rules::bandwidth::{Direction, Limits};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
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
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Longest silence while both sides are open.
    pub idle: Option<Duration>,
    /// Longest time for which the client takes none of the bytes that are there for it.
    pub client_takes: Option<Duration>,
    /// Longest time for which the server does.
    pub server_takes: Option<Duration>,
    /// Longest silence of the client after the server ended its side.
    pub client_fin: Option<Duration>,
    /// Longest silence of the server after the client ended its side.
    pub server_fin: Option<Duration>,
    /// Whether the silence is to be blamed on the client.
    pub client_is_shorter: bool,
    /// Whether bytes from the client may be spliced.
    pub splice_request: bool,
    /// Whether bytes from the server may be spliced.
    pub splice_response: bool,
    /// Bandwidth limits; a direction that has one is not spliced.
    pub limits: Option<Rc<Limits>>,
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
    let late = Cell::new(match options.client_is_shorter {
        true => End::ClientTimeout,
        false => End::ServerTimeout,
    });
    session.arm(limit.get());
    let carried = (Cell::new(0), Cell::new(0));
    let half = |fin: Option<Duration>, blame: End| {
        // When one side has ended, the other has its own limit to finish in.
        if let Some(fin) = fin {
            limit.set(Some(limit.get().map_or(fin, |now| now.min(fin))));
            late.set(blame);
        }
        session.arm(limit.get());
    };
    let limited = |direction| options.limits.as_deref().filter(|all| all.is_limited(direction));
    let (limits_in, limits_out) = (limited(Direction::In), limited(Direction::Out));
    let up = async {
        let (count, takes) = (&carried.0, options.server_takes);
        let limits = limits_in.map(|limits| (limits, Direction::In));
        let limit = &limit;
        let half_way = Half { session, from: client, to: server, count, limit, takes, limits };
        let splice = options.splice_request && limits.is_none();
        let result = half_way.carry(early_client, splice).await;
        half(options.server_fin, End::ServerTimeout);
        result
    };
    let down = async {
        let (count, takes) = (&carried.1, options.client_takes);
        let limits = limits_out.map(|limits| (limits, Direction::Out));
        let limit = &limit;
        let half_way = Half { session, from: server, to: client, count, limit, takes, limits };
        let splice = options.splice_response && limits.is_none();
        let result = half_way.carry(early_server, splice).await;
        half(options.client_fin, End::ClientTimeout);
        result
    };
    let (up, down) = both(up, down).await;
    let end = match (up, down) {
        (Some(Err(Broken::From)), _) | (_, Some(Err(Broken::To))) => End::Client,
        (Some(Err(Broken::To)), _) | (_, Some(Err(Broken::From))) => End::Server,
        (Some(Err(Broken::ToExpired)), _) => End::ServerTimeout,
        (_, Some(Err(Broken::ToExpired))) => End::ClientTimeout,
        (Some(Err(Broken::Expired)), _) | (_, Some(Err(Broken::Expired))) => late.get(),
        _ => End::Complete,
    };
    Carried { from_client: carried.0.get(), from_server: carried.1.get(), end }
}

type Ended = Option<Result<(), Broken>>;

/// Runs both directions until both have ended or one failed for good.
///
/// A side that takes no more bytes may have sent some before it left, so the other direction then goes on to its end.
async fn both(
    up: impl Future<Output = Result<(), Broken>>,
    down: impl Future<Output = Result<(), Broken>>,
) -> (Ended, Ended) {
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
        let failed = [up_result, down_result].iter().any(|result| {
            matches!(result, Some(Err(Broken::From | Broken::Expired | Broken::ToExpired)))
        });
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
    /// How long the receiver may take nothing.
    takes: Option<Duration>,
    /// Bandwidth limits of the stream, and which of them hold here.
    limits: Option<(&'a Limits, Direction)>,
}

impl Half<'_> {
    /// Carries bytes until the sender ends, then ends the other side's stream.
    async fn carry(&self, early: Vec<u8>, splice: bool) -> Result<(), Broken> {
        if !early.is_empty() {
            let len = early.len();
            self.send(early, len).await?;
        }
        let (shard, deadline) = (&self.session.shard, &self.session.deadline);
        let mut large = false;
        loop {
            let permit = shard.idle_permit();
            if permit.is_none() {
                // Many connections are idle: this one takes a buffer when there is something to put into it.
                deadline.limit(self.from.readable()).await?.map_err(|_| Broken::From)?;
            }
            let buffer = if large { shard.buffers.take_large() } else { shard.buffers.take() };
            let (received, buffer) = deadline.limit(self.from.recv(buffer)).await?;
            drop(permit);
            let count = match received {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The other direction splices, which made the socket non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    shard.buffers.give(buffer);
                    deadline.limit(self.from.readable()).await?.map_err(|_| Broken::From)?;
                    continue;
                }
                Err(_) => return Err(Broken::From),
            };
            if count == 0 {
                shard.buffers.give(buffer);
                break;
            }
            let full = count == buffer.capacity();
            shard.buffers.give(self.send(buffer, count).await?);
            if splice
                && full
                && self.count.get() >= SPLICE_AFTER
                && let Ok(pipe) = shard.pipes.take()
                && self.splice(pipe).await?
            {
                break;
            }
            // A large buffer is for a direction that fills it: one that fell quiet must not hold it while it waits.
            large = full || (large && count > shard.buffers.size());
        }
        self.to.shutdown_write();
        Ok(())
    }

    async fn send(&self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>, Broken> {
        if let Some((limits, direction)) = self.limits {
            return Box::pin(self.send_slowly(buffer, len, limits, direction)).await;
        }
        let (mut at, mut buffer) = (0, buffer);
        while at < len {
            // A slow reader is not a silent one: whatever it takes counts.
            self.session.arm(self.takes);
            let sending = self.to.send_some(buffer, at, len);
            let Ok((sent, back)) = self.session.deadline.limit(sending).await else {
                return Err(Broken::ToExpired);
            };
            buffer = back;
            let sent = sent.map_err(|_| Broken::To)?;
            at += sent;
            self.count.set(self.count.get() + sent as u64);
        }
        self.session.arm(self.limit.get());
        Ok(buffer)
    }

    async fn send_slowly(
        &self,
        buffer: Vec<u8>,
        len: usize,
        limits: &Limits,
        direction: Direction,
    ) -> Result<Vec<u8>, Broken> {
        let (session, to, sent) = (self.session, self.to, Cell::new(0));
        let takes = || {
            // The other direction waits with this deadline: it must not be blamed for what is held back here.
            session.arm(self.limit.get());
            self.takes
        };
        let result =
            Limited { session, to, limits, direction, takes }.send(buffer, 0, len, &sent).await;
        self.count.set(self.count.get() + sent.get() as u64);
        session.arm(self.limit.get());
        let (taken, buffer) = result.map_err(|_| Broken::ToExpired)?;
        taken.map(|()| buffer).map_err(|_| Broken::To)
    }

    /// Moves bytes through a pipe inside the kernel; returns whether the sender ended.
    async fn splice(&self, pipe: Pipe) -> Result<bool, Broken> {
        let way = Way {
            session: self.session,
            from: self.from,
            to: self.to,
            limit: &|side| match side {
                Side::From => self.limit.get(),
                Side::To => self.takes,
            },
            moved: &|count| self.count.set(self.count.get() + count),
        };
        way.splice(pipe, u64::MAX).await
    }
}
