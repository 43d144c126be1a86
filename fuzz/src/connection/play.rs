//! The peers of a run: clients and servers with plain non-blocking sockets that follow their scripts.

use super::script::{CLIENTS, MARK, Op, SERVERS, Script};
use fastlb::runtime::sim::{Door, Report, World};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};

/// A client whose script is over still listens this long.
const LINGER_MS: u64 = 20_000;
/// How long a client waits for a head.
const PATIENCE_MS: u64 = 10_000;
/// Nobody stays longer than this.
const LIFE_MS: u64 = 60_000;
/// How often a peer that reads slowly reads.
const READ_EVERY_MS: u64 = 100;
/// Send buffer of the proxy's end towards a client: small, so that slow readers matter.
const ROOM: usize = 4096;
/// Most connections that servers take in a run; more of them would be a storm of our own making.
const SERVED_MAX: usize = 2_000;
/// A server that sent this much does not begin its script again.
const REPEATED_BYTES_MAX: usize = 1 << 20;
/// Most bytes that a peer can get.
const KEPT_MAX: usize = 16 << 20;

/// One peer's side of one connection.
pub(super) struct Peer {
    /// Its mark, without the `@@` in front.
    pub(super) letter: u8,
    /// Everything it got to send.
    pub(super) sent: Vec<u8>,
    /// Everything that came.
    pub(super) received: Vec<u8>,
    /// Whether the other side ended its stream.
    pub(super) ended: bool,
    /// When what was sent and what had come by then: milliseconds and lengths, whenever something changed.
    pub(super) moments: Vec<(u64, usize, usize)>,
    /// Whether it did not always read at once.
    pub(super) was_slow: bool,
    socket: Option<UnixStream>,
    ops: Vec<Op>,
    at: usize,
    /// What is left to send of the current operation.
    sending: Vec<u8>,
    wake_ms: Option<u64>,
    rate: Option<usize>,
    allowance: usize,
    refill_ms: u64,
    /// Up to where heads were awaited.
    awaited: usize,
    begun_ms: u64,
    server: bool,
    can_write: bool,
    gone: bool,
}

impl Peer {
    fn new(ops: Vec<Op>, letter: u8, server: bool, now: u64) -> Self {
        Self {
            letter,
            sent: Vec::new(),
            received: Vec::new(),
            ended: false,
            moments: Vec::new(),
            was_slow: false,
            socket: None,
            ops,
            at: 0,
            sending: Vec::new(),
            wake_ms: None,
            rate: None,
            allowance: 0,
            refill_ms: 0,
            awaited: 0,
            begun_ms: now,
            server,
            can_write: true,
            gone: false,
        }
    }

    /// Does what can be done; returns whether anything was.
    fn act(&mut self, now: u64) -> bool {
        let mut acted = self.read(now);
        while let Some(progress) = self.step(now) {
            acted |= progress;
        }
        let lengths = (self.sent.len(), self.received.len());
        if acted && self.moments.last().is_none_or(|last| (last.1, last.2) != lengths) {
            self.moments.push((now, lengths.0, lengths.1));
        }
        acted
    }

    /// Reads what is there and what the peer is willing to take.
    fn read(&mut self, now: u64) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        if self.ended {
            return false;
        }
        if let Some(rate) = self.rate
            && now >= self.refill_ms
        {
            self.allowance = rate;
            self.refill_ms = now + READ_EVERY_MS;
        }
        let mut acted = false;
        let mut buffer = [0; 16 * 1024];
        loop {
            let most = if self.rate.is_some() { self.allowance } else { buffer.len() };
            let most = most.min(buffer.len());
            if most == 0 {
                return acted;
            }
            match socket.read(&mut buffer[..most]) {
                Ok(0) => {
                    self.ended = true;
                    return true;
                }
                Ok(count) => {
                    self.allowance = self.allowance.saturating_sub(count);
                    self.received.extend_from_slice(&buffer[..count]);
                    assert!(self.received.len() < KEPT_MAX, "more came than anybody sent");
                    acted = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return acted,
                Err(_) => {
                    self.ended = true;
                    self.can_write = false;
                    return true;
                }
            }
        }
    }

    /// Does the next operation; `None` when it must wait, else whether the other side may notice.
    fn step(&mut self, now: u64) -> Option<bool> {
        if self.gone {
            return None;
        }
        if now >= self.begun_ms + LIFE_MS {
            self.close();
            return Some(true);
        }
        if !self.sending.is_empty() {
            return self.send();
        }
        let Some(op) = self.ops.get(self.at) else { return self.rest(now) };
        if self.socket.is_none() && !matches!(op, Op::Pause(_)) {
            // A client connects when it first has something to do.
            return None;
        }
        match op {
            Op::Send(text) => {
                let mark = [b'@', b'@', self.letter];
                for &byte in text {
                    match byte {
                        MARK => self.sending.extend(mark),
                        other => self.sending.push(other),
                    }
                }
                self.at += 1;
                return self.send();
            }
            Op::Pause(pause) => {
                let until = *self.wake_ms.get_or_insert(now + pause);
                if now < until {
                    return None;
                }
            }
            Op::Await => {
                let new = &self.received[self.awaited..];
                match new.windows(4).position(|four| four == b"\r\n\r\n") {
                    Some(found) => self.awaited += found + 4,
                    None if self.ended => {}
                    None if self.server => return None,
                    None => {
                        let until = *self.wake_ms.get_or_insert(now + PATIENCE_MS);
                        if now < until {
                            return None;
                        }
                    }
                }
            }
            Op::HalfClose => {
                if let Some(socket) = &self.socket {
                    let _ = socket.shutdown(Shutdown::Write);
                }
                self.can_write = false;
            }
            Op::Close => self.close(),
            Op::Read(rate) => {
                self.rate = *rate;
                self.was_slow |= rate.is_some();
                self.allowance = rate.unwrap_or_default();
                self.refill_ms = now + READ_EVERY_MS;
                self.wake_ms = None;
                self.at += 1;
                return Some(self.read(now));
            }
        }
        self.wake_ms = None;
        self.at += 1;
        Some(true)
    }

    /// What a peer does at the end of its script.
    fn rest(&mut self, now: u64) -> Option<bool> {
        if self.ended {
            self.close();
            return Some(true);
        }
        if self.server {
            // The next request is served like the first.
            if self.ops.contains(&Op::Await) && self.sent.len() < REPEATED_BYTES_MAX {
                self.at = 0;
                return Some(false);
            }
            return None;
        }
        let until = *self.wake_ms.get_or_insert(now + LINGER_MS);
        if now < until {
            return None;
        }
        self.close();
        Some(true)
    }

    fn send(&mut self) -> Option<bool> {
        let socket = self.socket.as_mut().filter(|_| self.can_write);
        let Some(socket) = socket else {
            self.sending.clear();
            return Some(false);
        };
        match socket.write(&self.sending) {
            Ok(count) => {
                self.sent.extend(self.sending.drain(..count));
                Some(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => {
                self.can_write = false;
                Some(true)
            }
        }
    }

    fn close(&mut self) {
        self.socket = None;
        self.gone = true;
    }

    fn next_ms(&self) -> Option<u64> {
        if self.gone || self.socket.is_none() && self.wake_ms.is_none() {
            return None;
        }
        let reads = self.rate.is_some_and(|rate| rate > 0) && self.allowance == 0 && !self.ended;
        let refill = reads.then_some(self.refill_ms);
        let life = Some(self.begun_ms + LIFE_MS);
        [self.wake_ms, refill, life].into_iter().flatten().min()
    }
}

/// All peers of a run.
pub(super) struct Stage<'a> {
    script: &'a Script,
    listeners: &'a [UnixListener],
    clients: Vec<Peer>,
    servers: Vec<Peer>,
}

/// Everybody who took part, clients and connections to servers.
pub(super) struct Peers {
    pub(super) clients: Vec<Peer>,
    pub(super) servers: Vec<Peer>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(script: &'a Script, listeners: &'a [UnixListener]) -> Self {
        let client =
            |index: usize| Peer::new(script.clients[index].clone(), b'A' + index as u8, false, 0);
        let clients = (0..CLIENTS).map(client).filter(|peer| !peer.ops.is_empty()).collect();
        Self { script, listeners, clients, servers: Vec::new() }
    }

    pub(super) fn finish(self) -> Peers {
        let mut peers = Peers { clients: self.clients, servers: self.servers };
        peers.clients.iter_mut().chain(&mut peers.servers).for_each(Peer::close);
        peers
    }

    /// Prints what everybody sent and got.
    pub(super) fn show(&self, report: &Report) {
        println!("{:?}", self.script);
        for peer in self.clients.iter().chain(&self.servers) {
            let who = if peer.server { "server" } else { "client" };
            println!("---- {who} {} sent:\n{}", peer.letter as char, peer.sent.escape_ascii());
            println!("     and got (ended: {}):\n{}", peer.ended, peer.received.escape_ascii());
        }
        for line in &report.log_lines {
            print!("{}", String::from_utf8_lossy(line));
        }
        println!("{:#?}, {} ms, {} acts", report.leftovers, report.ended_ms, report.acts);
    }

    fn accept(&mut self, now: u64) -> bool {
        let mut accepted = false;
        for listener in self.listeners {
            while let Ok((socket, _)) = listener.accept() {
                assert!(self.servers.len() < SERVED_MAX, "a storm of connections to servers");
                socket.set_nonblocking(true).expect("a socket");
                let number = self.servers.len();
                let mut ops = self.script.servers[number % SERVERS].clone();
                if ops.is_empty() {
                    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n$".to_vec();
                    ops = vec![Op::Await, Op::Send(text)];
                }
                let letter = b'a' + (number % 26) as u8;
                let mut peer = Peer::new(ops, letter, true, now);
                peer.socket = Some(socket);
                self.servers.push(peer);
                accepted = true;
            }
        }
        accepted
    }
}

impl World for Stage<'_> {
    fn act(&mut self, door: &Door) -> bool {
        let now = door.now_ms();
        let mut acted = self.accept(now);
        for (index, client) in self.clients.iter_mut().enumerate() {
            let waits = matches!(client.ops.get(client.at), Some(Op::Pause(_)));
            if client.socket.is_none() && !client.gone && !waits {
                let source = SocketAddr::from(([10, 0, 0, index as u8 + 1], 1024));
                client.socket = Some(door.connect(0, source, ROOM).expect("a socket pair"));
                client.begun_ms = now;
                acted = true;
            }
            acted |= client.act(now);
        }
        for server in &mut self.servers {
            acted |= server.act(now);
        }
        acted
    }

    fn next_ms(&self) -> Option<u64> {
        self.clients.iter().chain(&self.servers).filter_map(Peer::next_ms).min()
    }
}
