//! A pipe for `splice(2)`: moves bytes between two sockets inside the kernel.
//!
//! `IORING_OP_SPLICE` is never used: each such operation is handed to a kernel worker thread, which costs about twenty
//! times as much as the system call on a ready socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Wanted capacity of a pipe; the kernel gives less when `fs.pipe-max-size` or the user's share is used up.
const PIPE_BYTES: i32 = 1 << 20;

/// A pipe and how much it holds.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    held: usize,
}

impl Pipe {
    /// Opens a pipe.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
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

    /// Makes two sockets non-blocking: `splice` would wait in the kernel otherwise.
    pub fn claim(&mut self, from: RawFd, to: RawFd) {
        for fd in [from, to] {
            // SAFETY: plain system calls on descriptors that the caller keeps open.
            unsafe {
                let flags = libc::fcntl(fd, libc::F_GETFL);
                libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
            }
        }
    }

    /// Returns how many bytes are in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves what the socket has into the pipe; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when the socket has nothing; what the kernel says otherwise.
    pub fn fill(&mut self, from: RawFd) -> io::Result<usize> {
        let count = splice(from, self.write.as_raw_fd(), self.capacity - self.held)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what the pipe holds to the socket.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing; what the kernel says otherwise.
    pub fn drain(&mut self, to: RawFd) -> io::Result<usize> {
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
