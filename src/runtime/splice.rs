//! Moves bytes between two sockets inside the kernel with `splice(2)`, through pooled pipes.
//!
//! `IORING_OP_SPLICE` is never used: each such operation is handed to a kernel worker thread, which costs about twenty
//! times as much as the system call on a ready socket.

use super::deadline::Expired;
use super::session::Session;
use super::transport::Socket;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Wanted capacity of a pipe; the kernel gives less when `fs.pipe-max-size` or the user's share is used up.
const PIPE_BYTES: i32 = 1 << 20;
/// How many free pipes a shard keeps.
const FREE_MAX: usize = 64;
/// How often a pipe is filled before other connections get their turn.
const FILLS_PER_TURN: u32 = 8;

/// Free pipes of one shard, all empty.
#[derive(Debug, Default)]
pub struct Pipes {
    free: RefCell<Vec<Pipe>>,
}

impl Pipes {
    /// Returns an empty pipe.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn take(&self) -> io::Result<Pipe> {
        let free = self.free.borrow_mut().pop();
        free.map_or_else(Pipe::new, Ok)
    }

    fn give(&self, pipe: Pipe) {
        let mut free = self.free.borrow_mut();
        if pipe.held == 0 && free.len() < FREE_MAX {
            free.push(pipe);
        }
    }

    /// Closes half of the free pipes; called once a second.
    pub fn shrink(&self) {
        let mut free = self.free.borrow_mut();
        let keep = free.len() / 2;
        free.truncate(keep);
    }
}

/// How moving bytes ended, short of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The side that sends to us failed.
    From,
    /// The side that we send to failed.
    To,
    /// The time limit passed.
    Expired,
    /// The time limit passed while the side that we send to took nothing.
    ToExpired,
}

impl From<Expired> for Broken {
    fn from(_: Expired) -> Self {
        Broken::Expired
    }
}

/// A side of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that sends to us.
    From,
    /// The one that we send to.
    To,
}

/// One direction between two sockets, with the longest silence it may have.
pub struct Way<'a> {
    /// The session whose deadline holds.
    pub session: &'a Session,
    /// Where bytes come from.
    pub from: &'a Socket,
    /// Where they go.
    pub to: &'a Socket,
    /// Returns how long that side may be silent, asked anew after every progress.
    pub limit: &'a dyn Fn(Side) -> Option<Duration>,
    /// Told how many bytes arrived on the other side.
    pub moved: &'a dyn Fn(u64),
}

impl Way<'_> {
    /// Moves bytes through `pipe` until `most` are moved or the sender ends; returns whether the sender ended.
    ///
    /// It may return `false` early, with less than `most` moved, when no pipe is left: the caller then copies.
    ///
    /// # Errors
    /// Which side failed; bytes may be lost in the pipe then.
    pub async fn splice(&self, mut pipe: Pipe, most: u64) -> Result<bool, Broken> {
        let (_from, _to) = (self.from.non_blocking(), self.to.non_blocking());
        let pipes = &self.session.shard.pipes;
        let (mut left, mut fills) = (most, 0);
        // The side whose limit runs; none since it made progress.
        let mut armed = None;
        while left > 0 {
            match pipe.fill(self.from.fd(), left) {
                Ok(0) => {
                    pipes.give(pipe);
                    return Ok(true);
                }
                Ok(count) => {
                    left -= count as u64;
                    armed = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A direction that waits holds no pipe.
                    pipes.give(pipe);
                    self.wait(Side::From, &mut armed).await?;
                    match pipes.take() {
                        Ok(again) => pipe = again,
                        Err(_) => return Ok(false),
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Broken::From),
            }
            while pipe.held > 0 {
                match pipe.drain(self.to.fd()) {
                    Ok(count) => {
                        (self.moved)(count as u64);
                        armed = None;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.wait(Side::To, &mut armed).await?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(Broken::To),
                }
            }
            fills += 1;
            if fills % FILLS_PER_TURN == 0 && left > 0 {
                // Two fast peers must not keep the shard to themselves: the ring sees to the others meanwhile.
                self.wait(Side::To, &mut armed).await?;
            }
        }
        pipes.give(pipe);
        Ok(false)
    }

    /// Waits until that side is ready; its limit begins unless it runs already.
    async fn wait(&self, side: Side, armed: &mut Option<Side>) -> Result<(), Broken> {
        if *armed != Some(side) {
            self.session.arm((self.limit)(side));
            *armed = Some(side);
        }
        let deadline = &self.session.deadline;
        match side {
            Side::From => deadline.limit(self.from.readable()).await?.map_err(|_| Broken::From),
            Side::To => match deadline.limit(self.to.writable()).await {
                Ok(writable) => writable.map_err(|_| Broken::To),
                Err(Expired) => Err(Broken::ToExpired),
            },
        }
    }
}

/// A pipe and how much it holds.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    held: usize,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let mut fds = [0; 2];
        // SAFETY: the kernel writes two descriptors to `fds`, which outlives the call.
        if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us these two descriptors.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
        // SAFETY: plain system call; a refusal leaves the default capacity.
        let set = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        let capacity = if set > 0 { set as usize } else { 64 * 1024 };
        Ok(Self { read, write, capacity, held: 0 })
    }

    /// Moves what the socket has into the pipe, `most` bytes at most; 0 is the end of the stream.
    fn fill(&mut self, from: RawFd, most: u64) -> io::Result<usize> {
        let room = ((self.capacity - self.held) as u64).min(most) as usize;
        let count = splice(from, self.write.as_raw_fd(), room)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what the pipe holds to the socket.
    fn drain(&mut self, to: RawFd) -> io::Result<usize> {
        let count = splice(self.read.as_raw_fd(), to, self.held)?;
        self.held -= count;
        Ok(count)
    }
}

fn splice(from: RawFd, to: RawFd, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: no memory is passed; both descriptors are kept open by the caller.
    let count =
        unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), len, flags) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
}
