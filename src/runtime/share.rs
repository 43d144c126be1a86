//! Idle server connections that one shard takes from another when it has none of its own.
//!
//! A shard that would have to connect looks at what the others publish, asks the one with the most idle connections to
//! that server, and waits for its answer for a moment. The descriptor travels in a message, as fresh clients do. One
//! question per request, no lock, and nothing of this while the own pool has a connection.

use super::inbox::Message;
use super::session::Session;
use super::shard::Shard;
use super::transport::Socket;
use super::upstream::{Take, Upstream};
use crate::server::ServerId;
use crate::server::queue::Ticket;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long an answer is waited for: longer than a busy shard takes, shorter than a client notices.
const PATIENCE: Duration = Duration::from_millis(20);

/// An idle connection on its way from shard to shard.
#[derive(Debug)]
pub struct Parcel {
    fd: OwnedFd,
    uses: u32,
}

/// Whose connection is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Index of the backend.
    pub backend: u32,
    /// The server.
    pub server: ServerId,
    /// Which kind of idle connection.
    pub take: Take,
    /// Who asks.
    pub ticket: Ticket,
}

/// Returns the shard that is worth asking for an idle connection.
pub fn shard_to_ask(shard: &Shard, backend: u32, server: ServerId, take: Take) -> Option<usize> {
    let global = &shard.plan.global;
    let settings = &shard.backend(backend).servers[server];
    let idle = shard.plan.farms[backend as usize].server(server).idle();
    if take == Take::Own || idle <= settings.pool.idle_low || !global.idle_pool_shared {
        return None;
    }
    shard.most_idle(settings.object, take)
}

/// Asks that shard for an idle connection; `None` when it has none left or does not answer in time.
pub async fn ask(
    session: &Session,
    from: usize,
    wanted: (u32, ServerId, Take),
) -> Option<Upstream> {
    let shard = &session.shard;
    let (backend, server, take) = wanted;
    let id = shard.parcels.open();
    let asking = Asking { shard, backend, server, id };
    let ticket = Ticket { shard: shard.index as u16, id };
    shard.send_to(from, Message::WantIdle(Wanted { backend, server, take, ticket }));
    session.arm(Some(PATIENCE));
    let answer = session.deadline.limit(shard.parcels.wait(id)).await;
    drop(asking);
    let upstream = unpack(answer.ok()??)?;
    upstream.socket.is_quiet().then_some(upstream)
}

/// Answers another shard's question.
pub fn answer(shard: &Shard, wanted: Wanted) {
    let place = shard.place(wanted.backend, wanted.server);
    let found = shard.upstreams.take(place, wanted.take);
    let parcel = found.map(|up| Parcel { fd: up.socket.into_fd(), uses: up.uses });
    let (id, asker) = (wanted.ticket.id, usize::from(wanted.ticket.shard));
    let (backend, server) = (wanted.backend, wanted.server);
    shard.send_to(asker, Message::Idle { id, backend, server, parcel });
}

/// Hands an answer to the stream that waits for it, or keeps the connection when that stream has gone on.
pub fn deliver(shard: &Shard, id: u64, backend: u32, server: ServerId, parcel: Option<Parcel>) {
    if let Err(Some(parcel)) = shard.parcels.wake(id, parcel) {
        keep(shard, backend, server, parcel);
    }
}

fn keep(shard: &Shard, backend: u32, server: ServerId, parcel: Parcel) {
    if !shard.is_draining()
        && let Some(upstream) = unpack(parcel)
    {
        let now_ms = shard.clock.coarse_ms();
        shard.upstreams.give(shard.place(backend, server), upstream, now_ms);
    }
}

fn unpack(parcel: Parcel) -> Option<Upstream> {
    let socket = Socket::from_fd(parcel.fd).ok()?;
    Some(Upstream { socket, uses: parcel.uses, private: false })
}

/// A question that is taken back when its stream ends or loses patience; what came meanwhile stays with the shard.
struct Asking<'a> {
    shard: &'a Shard,
    backend: u32,
    server: ServerId,
    id: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(Some(parcel)) = self.shard.parcels.close(self.id) {
            keep(self.shard, self.backend, self.server, parcel);
        }
    }
}
