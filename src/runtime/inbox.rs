//! How other threads talk to a shard: a queue and an eventfd that the shard waits on.

use super::session::Accepted;
use super::share::{Parcel, Wanted};
use super::upstream::{IdleCounts, Take};
use crate::metrics::ObjectId;
use crate::server::ServerId;
use crate::server::queue::Wake;
use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};

/// What a shard can be told.
#[derive(Debug)]
pub enum Message {
    /// Stop now.
    Stop,
    /// Accept no more, finish streams, then stop.
    Drain,
    /// Take over a fresh connection.
    Connection(Accepted),
    /// Another shard asks for an idle server connection.
    WantIdle(Wanted),
    /// The answer to such a question.
    Idle {
        /// The ticket of the question.
        id: u64,
        /// Index of the backend.
        backend: u32,
        /// The server.
        server: ServerId,
        /// The connection, if there was one.
        parcel: Option<Parcel>,
    },
    /// The answer to a question about a password.
    Login {
        /// The ticket of the question.
        id: u64,
        /// Whether the password is right.
        right: bool,
    },
    /// A waiting stream of a backend is called.
    Wake {
        /// Index of the backend.
        backend: u32,
        /// Whom, and with which slot.
        wake: Wake,
    },
}

/// The receiving end of one shard.
#[derive(Debug)]
pub struct Inbox {
    queue: SegQueue<Message>,
    bell: OwnedFd,
    sessions: CachePadded<AtomicU32>,
    /// How many idle server connections the shard has; set when it starts.
    idle: OnceLock<IdleCounts>,
    /// Whether the shard accepts no more, for good.
    closed: AtomicBool,
}

impl Inbox {
    /// Returns an empty inbox.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain system call; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor.
        let bell = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            queue: SegQueue::new(),
            bell,
            sessions: CachePadded::default(),
            idle: OnceLock::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// Puts a message in and rings.
    pub fn send(&self, message: Message) {
        self.queue.push(message);
        self.ring();
    }

    /// Makes the shard look at its inbox.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from `one`. The only refusal is a full counter, which rings all the same.
        unsafe { libc::write(self.bell.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
    }

    /// Takes the oldest message.
    pub fn receive(&self) -> Option<Message> {
        self.queue.pop()
    }

    /// Returns a duplicate of the eventfd to wait on.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn bell(&self) -> io::Result<OwnedFd> {
        self.bell.try_clone()
    }

    /// Makes the bell quiet again.
    pub fn silence(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to `count`, which outlives the call.
        unsafe { libc::read(self.bell.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
    }

    /// Returns where the shard publishes its idle server connections; only the shard itself calls it.
    pub fn idle_counts(&self, objects: usize) -> &IdleCounts {
        self.idle.get_or_init(|| IdleCounts::new(objects))
    }

    /// Returns how many idle connections of that kind the shard had to a server a moment ago.
    pub fn idle(&self, server: ObjectId, take: Take) -> u32 {
        self.idle.get().map_or(0, |counts| counts.of(server, take))
    }

    /// Counts sessions of the shard in or out; only the shard itself calls it.
    pub fn count_sessions(&self, by: i32) {
        self.sessions.store(self.sessions.load(Relaxed).wrapping_add_signed(by), Relaxed);
    }

    /// Tells the others that the shard accepts no more, for good.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Tells the others that the shard's thread has ended.
    pub fn leave(&self) {
        self.sessions.store(0, Relaxed);
        while self.queue.pop().is_some() {}
        self.close();
    }

    /// Returns whether nothing can come from the shard any more: no connection to hand on, no stream to wake.
    pub fn is_done(&self) -> bool {
        self.closed.load(SeqCst) && self.queue.is_empty() && self.sessions() == 0
    }

    /// Returns how many sessions the shard has.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Relaxed)
    }
}

/// Returns inboxes for `shards` shards.
///
/// # Errors
/// When the kernel has no descriptor left.
pub fn inboxes(shards: usize) -> io::Result<std::sync::Arc<[Inbox]>> {
    (0..shards).map(|_| Inbox::new()).collect()
}
