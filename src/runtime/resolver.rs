//! Resolves host names while traffic flows, without ever blocking a shard: the runtime's half of `resolvers` sections.
//!
//! Each shard asks for itself and keeps the answers for `hold valid`. A question goes to all name servers of its section
//! at once, from a fresh socket each, so that port and id are new for every question; the first answer with addresses
//! wins. Streams that want the same name at the same time share one lookup, which goes on when they leave. What is
//! bounded: lookups under way, cached names, datagrams that are read for one question, attempts and their time.
//! Messages themselves are the business of [`crate::proto::dns`].

use super::shard::Shard;
use super::transport::Socket;
use crate::plan::{Asked, NameServer, ResolverLimit, Resolvers};
use crate::proto::dns::{self, Kind, Name, Reply};
use monoio::net::udp::UdpSocket;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Lookups of a shard under way at once; one more fails at once.
const RUNNING_MAX: usize = 512;
/// Names whose answers a shard keeps.
const CACHED_MAX: usize = 4_096;
/// Datagrams that are read for one question: those that are no answer to it are thrown away.
const DATAGRAMS_MAX: usize = 32;

/// Which addresses are wanted (manual 4.2, `do-resolve`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Index of the section in the plan.
    pub resolvers: u32,
    /// The family that is asked for first.
    pub first: Kind,
}

type Key = (Wanted, Name);

/// The names of one shard: answers that hold, and lookups under way.
#[derive(Default)]
pub struct Resolver {
    names: RefCell<HashMap<Key, Entry>>,
    running: Cell<usize>,
    secret: RandomState,
    questions: Cell<u64>,
}

enum Entry {
    Running(Rc<Lookup>),
    Done {
        addresses: Rc<[IpAddr]>,
        until_ms: u64,
        /// Which of them is handed out next.
        next: Cell<usize>,
    },
}

/// A lookup that streams wait for.
#[derive(Default)]
struct Lookup {
    result: RefCell<Option<Option<IpAddr>>>,
    wakers: RefCell<Vec<Waker>>,
}

impl Resolver {
    /// Forgets the names whose answers no longer hold.
    pub fn purge(&self, now_ms: u64) {
        let mut names = self.names.borrow_mut();
        if !names.is_empty() {
            names.retain(|_, entry| match entry {
                Entry::Running(_) => true,
                Entry::Done { until_ms, .. } => *until_ms > now_ms,
            });
        }
    }

    /// Returns a number that nobody outside can guess.
    fn random(&self) -> u16 {
        let question = self.questions.get();
        self.questions.set(question.wrapping_add(1));
        self.secret.hash_one(question) as u16
    }
}

/// Returns an address of a host: of the text itself if it is one, or by asking the section's name servers.
pub async fn resolve(shard: &Rc<Shard>, wanted: Wanted, host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = literal.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let key = (wanted, Name::parse(host)?);
    let resolver = &shard.resolver;
    let lookup = match resolver.names.borrow().get(&key) {
        Some(Entry::Done { addresses, until_ms, next }) if *until_ms > shard.clock.coarse_ms() => {
            let at = next.get();
            next.set(at.wrapping_add(1));
            return addresses.get(at % addresses.len().max(1)).copied();
        }
        Some(Entry::Running(lookup)) => Some(lookup.clone()),
        _ => None,
    };
    let lookup = match lookup {
        Some(lookup) => lookup,
        None => begin(shard, key)?,
    };
    poll_fn(|cx| {
        if let Some(result) = *lookup.result.borrow() {
            return Poll::Ready(result);
        }
        let mut wakers = lookup.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    })
    .await
}

/// Starts a lookup; nothing when too many are under way.
fn begin(shard: &Rc<Shard>, key: Key) -> Option<Rc<Lookup>> {
    let resolver = &shard.resolver;
    if resolver.running.get() >= RUNNING_MAX {
        shard.plan.resolvers[key.0.resolvers as usize].limits.count(ResolverLimit::Running);
        return None;
    }
    resolver.running.set(resolver.running.get() + 1);
    let lookup = Rc::new(Lookup::default());
    resolver.names.borrow_mut().insert(key.clone(), Entry::Running(lookup.clone()));
    let (shard, running) = (shard.clone(), lookup.clone());
    monoio::spawn(async move {
        let section = &shard.plan.resolvers[key.0.resolvers as usize];
        let found = look_up(&shard.resolver, section, key.0.first, &key.1).await;
        let resolver = &shard.resolver;
        resolver.running.set(resolver.running.get() - 1);
        *running.result.borrow_mut() = Some(found.as_ref().and_then(|all| all.first().copied()));
        finish(&shard, section, key, found);
        running.wakers.borrow_mut().drain(..).for_each(Waker::wake);
    });
    Some(lookup)
}

/// Keeps what a lookup found for as long as it holds.
fn finish(shard: &Shard, section: &Resolvers, key: Key, found: Option<Vec<IpAddr>>) {
    let now_ms = shard.clock.coarse_ms();
    let mut names = shard.resolver.names.borrow_mut();
    names.remove(&key);
    let hold_ms = section.hold_valid.as_millis() as u64;
    let Some(addresses) = found else { return };
    if hold_ms == 0 {
        return;
    }
    if names.len() >= CACHED_MAX {
        section.limits.count(ResolverLimit::Cached);
        return;
    }
    // The first address is handed out already.
    let (until_ms, next) = (now_ms + hold_ms, Cell::new(1));
    names.insert(key, Entry::Done { addresses: addresses.into(), until_ms, next });
}

/// Asks until there are addresses, or every server has said that there are none, or all attempts are used up.
async fn look_up(
    resolver: &Resolver,
    section: &Resolvers,
    first: Kind,
    name: &Name,
) -> Option<Vec<IpAddr>> {
    let second = match first {
        Kind::A => Kind::Aaaa,
        Kind::Aaaa => Kind::A,
    };
    for _ in 0..section.retries {
        let mut certain = true;
        for kind in [first, second] {
            match ask_all(resolver, section, name, kind).await {
                Some(Reply::Addresses(addresses, _)) => {
                    return Some(addresses.into_iter().map(|ip| ip.to_canonical()).collect());
                }
                // Rules that look at the address must see what it is, so the mapped form is never handed out.
                Some(Reply::NoSuchName) => return None,
                Some(Reply::Empty) => {}
                _ => certain = false,
            }
        }
        if certain {
            return None;
        }
    }
    None
}

/// Asks all servers at once; returns the first answer with addresses, or the last of the others.
async fn ask_all(
    resolver: &Resolver,
    section: &Resolvers,
    name: &Name,
    kind: Kind,
) -> Option<Reply> {
    let mut asking: Vec<Pin<Box<dyn Future<Output = Option<Reply>> + '_>>> = Vec::new();
    for server in &section.servers {
        let id = resolver.random();
        asking.push(Box::pin(async move {
            let question = Question { section, server, name, kind, id };
            let asked = monoio::time::timeout(section.timeout_retry, question.ask()).await;
            question.count(&asked);
            asked.ok()?.ok()?
        }));
    }
    let mut last = None;
    poll_fn(|cx| {
        let mut at = 0;
        while at < asking.len() {
            match asking[at].as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(reply) => {
                    drop(asking.swap_remove(at));
                    if matches!(reply, Some(Reply::Addresses(..))) {
                        return Poll::Ready(reply);
                    }
                    last = reply.or(last.take());
                }
            }
        }
        if asking.is_empty() { Poll::Ready(last.take()) } else { Poll::Pending }
    })
    .await
}

/// One question to one server.
struct Question<'q> {
    section: &'q Resolvers,
    server: &'q NameServer,
    name: &'q Name,
    kind: Kind,
    id: u16,
}

impl Question<'_> {
    /// Counts what came of it, for `show resolvers`.
    fn count<T>(&self, asked: &Result<io::Result<Option<Reply>>, T>) {
        let counts = &self.server.counts;
        counts.count(match asked {
            Err(_) => Asked::Timeout,
            Ok(Err(_)) => Asked::SendError,
            Ok(Ok(None)) => Asked::Invalid,
            Ok(Ok(Some(reply))) => match reply {
                Reply::Addresses(..) => Asked::Valid,
                Reply::Empty => Asked::Empty,
                Reply::NoSuchName => Asked::NoSuchName,
                Reply::Refused => Asked::Refused,
                // Over TCP nothing is too long.
                Reply::Failed | Reply::Truncated => Asked::Other,
            },
        });
    }

    /// Asks over UDP, and over TCP when the answer does not fit or the server is a stream server.
    async fn ask(&self) -> io::Result<Option<Reply>> {
        if self.server.tcp {
            return self.ask_tcp().await;
        }
        match self.ask_udp().await? {
            Some(Reply::Truncated) => {
                self.server.counts.count(Asked::Truncated);
                self.ask_tcp().await
            }
            reply => Ok(reply),
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(64);
        dns::query(self.id, self.name, self.kind, self.section.payload_max, &mut message);
        message
    }

    async fn ask_udp(&self) -> io::Result<Option<Reply>> {
        let local: SocketAddr = match self.server.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        // A connected socket takes datagrams from that server only.
        socket.connect(self.server.address).await?;
        self.server.counts.count(Asked::Sent);
        socket.send(self.message()).await.0?;
        let mut buffer = Vec::with_capacity(usize::from(self.section.payload_max));
        for _ in 0..DATAGRAMS_MAX {
            buffer.clear();
            let (received, filled) = socket.recv(buffer).await;
            buffer = filled;
            let len = received?.min(buffer.len());
            let reply = dns::answer(&buffer[..len], self.id, self.name, self.kind);
            if reply.is_some() {
                return Ok(reply);
            }
            self.server.counts.count(Asked::Invalid);
        }
        self.section.limits.count(ResolverLimit::Datagrams);
        Ok(None)
    }

    async fn ask_tcp(&self) -> io::Result<Option<Reply>> {
        let socket = Socket::connect_tcp(self.server.address).await?;
        let message = self.message();
        // A question has at most a name and some numbers: far below 64 KiB.
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&message);
        let len = framed.len();
        self.server.counts.count(Asked::Sent);
        socket.send_all(framed, 0, len).await.0?;
        let mut buffer: Vec<u8> = Vec::with_capacity(2 + usize::from(u16::MAX));
        loop {
            if let Some((head, rest)) = buffer.split_at_checked(2) {
                let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
                if let Some(message) = rest.get(..len) {
                    return Ok(dns::answer(message, self.id, self.name, self.kind));
                }
            }
            let (received, filled) = socket.recv_behind(buffer).await;
            buffer = filled;
            if received? == 0 {
                return Ok(None);
            }
        }
    }
}
