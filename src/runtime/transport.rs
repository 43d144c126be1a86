//! One connected stream socket, TCP or unix, on whichever driver the shard runs.
//!
//! This is the only file that names monoio's socket types, so that another data-plane ring can replace them. It never
//! looks at what is sent.

use super::watch::Left;
use crate::rules::action::PacketOption;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use socket2::{Domain, SockAddr, Type};
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How long to wait before a unix listener whose backlog is full is asked again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// A connected stream socket. One receive and one send may be under way at once.
pub struct Socket {
    inner: UnsafeCell<TcpStream>,
    /// How many [`NonBlocking`] live, and the flags to go back to after the last.
    claims: Cell<u8>,
    flags: Cell<i32>,
}

/// Keeps a socket non-blocking while it lives, for plain system calls beside the driver.
///
/// Several may live at once on one socket: both directions of a tunnel do. The last restores the flags, because the
/// ring's operations on a non-blocking socket fail instead of waiting.
pub struct NonBlocking<'a>(&'a Socket);

impl Drop for NonBlocking<'_> {
    fn drop(&mut self) {
        let socket = self.0;
        socket.claims.set(socket.claims.get() - 1);
        if socket.claims.get() == 0 && socket.flags.get() & libc::O_NONBLOCK == 0 {
            // SAFETY: plain system call on a descriptor that the borrowed socket keeps open.
            unsafe { libc::fcntl(socket.fd(), libc::F_SETFL, socket.flags.get()) };
        }
    }
}

impl Socket {
    /// Wraps a descriptor of a connected stream socket; must be called on the shard that will use it.
    ///
    /// # Errors
    /// What the epoll driver says when it cannot register the descriptor.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        // The driver sends and receives by descriptor, so a unix socket works behind the same type.
        let stream = TcpStream::from_std(std::net::TcpStream::from(fd))?;
        Ok(Self::from_tcp(stream))
    }

    /// Wraps a stream that the driver accepted or connected.
    pub fn from_tcp(stream: TcpStream) -> Self {
        Self { inner: UnsafeCell::new(stream), claims: Cell::new(0), flags: Cell::new(0) }
    }

    /// Connects over TCP.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect_tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::from_tcp(TcpStream::connect_addr(address).await?))
    }

    /// Connects to a unix socket by path.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        Self::connect_local(&SockAddr::unix(path)?).await
    }

    /// Connects to a socket of the abstract namespace.
    ///
    /// # Errors
    /// What the kernel says; `InvalidInput` for a name that is too long.
    pub async fn connect_abstract(name: &[u8]) -> io::Result<Self> {
        let mut path = vec![0];
        path.extend_from_slice(name);
        Self::connect_local(&SockAddr::unix(std::ffi::OsStr::from_bytes(&path))?).await
    }

    /// A unix connect is done at once, or the listener's backlog is full and nothing tells when it no longer is.
    async fn connect_local(address: &SockAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        while let Err(error) = socket.connect(address) {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            monoio::time::sleep(BACKLOG_PAUSE).await;
        }
        if !monoio::utils::is_legacy() {
            socket.set_nonblocking(false)?;
        }
        Self::from_fd(socket.into())
    }

    #[allow(clippy::mut_from_ref)]
    fn stream(&self) -> &mut TcpStream {
        // SAFETY: `TcpStream` is `monoio::io::Split`: its read and write halves may be used at the same time over one
        // object. `recv` and `send` only take the descriptor out of it before they first return, and the type is
        // not `Sync`, so no two threads can be here.
        unsafe { &mut *self.inner.get() }
    }

    /// Receives into `buf` (its whole spare room) and returns the count; 0 is the end of the stream.
    pub async fn recv<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
        self.stream().read(buf).await
    }

    /// Receives behind what `buf` already holds and returns the count; `buf` must have spare capacity.
    pub async fn recv_behind(&self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (begin, end) = (buf.len(), buf.capacity());
        debug_assert!(begin < end, "no room to receive into");
        let (result, slice) = self.stream().read(buf.slice_mut(begin..end)).await;
        (result, slice.into_inner())
    }

    /// Sends `buf[begin..end]` completely.
    ///
    /// # Errors
    /// What the kernel says; some bytes may have been sent then.
    pub async fn send_all(
        &self,
        buf: Vec<u8>,
        begin: usize,
        end: usize,
    ) -> (io::Result<()>, Vec<u8>) {
        let (mut at, mut buf) = (begin, buf);
        while at < end {
            let (result, back) = self.send_some(buf, at, end).await;
            buf = back;
            match result {
                Ok(sent) => at += sent,
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    /// Sends `buf[..end]` completely, and counts what was sent so far in `sent`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send_counted(
        &self,
        buf: Vec<u8>,
        end: usize,
        sent: &Cell<usize>,
    ) -> (io::Result<()>, Vec<u8>) {
        let mut buf = buf;
        while sent.get() < end {
            let (result, back) = self.send_some(buf, sent.get(), end).await;
            buf = back;
            match result {
                Ok(count) => sent.set(sent.get() + count),
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    /// Sends as much of `buf[begin..end]` (which is not empty) as there is room for, and returns how much.
    ///
    /// # Errors
    /// What the kernel says; nothing was sent then.
    pub async fn send_some(
        &self,
        buf: Vec<u8>,
        begin: usize,
        end: usize,
    ) -> (io::Result<usize>, Vec<u8>) {
        let mut buf = buf;
        loop {
            let (result, slice) = self.stream().write(buf.slice(begin..end)).await;
            buf = slice.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Only while the other direction splices, which makes the socket non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.writable().await {
                        return (Err(error), buf);
                    }
                }
                result => return (result, buf),
            }
        }
    }

    /// Makes the socket non-blocking until the last of these claims is dropped.
    pub fn non_blocking(&self) -> NonBlocking<'_> {
        if self.claims.get() == 0 {
            // SAFETY: plain system calls on a descriptor that this object keeps open.
            unsafe {
                let flags = libc::fcntl(self.fd(), libc::F_GETFL);
                self.flags.set(flags);
                if flags & libc::O_NONBLOCK == 0 {
                    libc::fcntl(self.fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
                }
            }
        }
        self.claims.set(self.claims.get() + 1);
        NonBlocking(self)
    }

    /// Waits until there is something to receive (or the end, or an error).
    ///
    /// # Errors
    /// What the kernel says about waiting, not about the stream.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream().readable(false).await
    }

    /// Waits until there is room to send.
    ///
    /// # Errors
    /// What the kernel says about waiting, not about the stream.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream().writable(false).await
    }

    /// Tells the peer that no more bytes will come.
    pub fn shutdown_write(&self) {
        // SAFETY: plain system call on a descriptor that this object keeps open.
        unsafe { libc::shutdown(self.fd(), libc::SHUT_WR) };
    }

    /// Ends both directions: whoever waits on the socket wakes with the end of the stream.
    pub fn shutdown_both(&self) {
        // SAFETY: plain system call on a descriptor that this object keeps open.
        unsafe { libc::shutdown(self.fd(), libc::SHUT_RDWR) };
    }

    /// Returns the descriptor, which stays owned by this object.
    pub fn fd(&self) -> RawFd {
        self.stream().as_raw_fd()
    }

    /// Returns whether an idle connection is still usable: open and with nothing to read.
    pub fn is_quiet(&self) -> bool {
        let mut byte = 0u8;
        // SAFETY: `byte` outlives the call, which writes at most one byte to it.
        let got = unsafe {
            libc::recv(
                self.fd(),
                std::ptr::from_mut(&mut byte).cast(),
                1,
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    }

    /// Returns how the peer went away, if it did, whatever it sent before.
    pub fn has_left(&self) -> Option<Left> {
        let mut asked = libc::pollfd { fd: self.fd(), events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: `asked` outlives the call, which does not wait; its descriptor is kept open by this object.
        unsafe { libc::poll(&mut asked, 1, 0) };
        match asked.revents {
            events if events & libc::POLLERR != 0 => Some(Left::Reset),
            events if events & (libc::POLLRDHUP | libc::POLLHUP) != 0 => Some(Left::Closed),
            _ => None,
        }
    }

    /// Makes the kernel send small writes at once.
    pub fn set_nodelay(&self) {
        self.set_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    }

    /// Makes the kernel probe an idle peer.
    pub fn set_keep_alive(&self) {
        self.set_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    }

    /// Makes the close of this socket a reset.
    pub fn set_reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: `linger` outlives the call and its size is given.
        unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                std::ptr::from_ref(&linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            )
        };
    }

    /// Makes the close of this socket one that the peer does not see, as far as the kernel allows.
    ///
    /// With the right to (CAP_NET_ADMIN), nothing is sent at all. Else, and where `ttl` says so, a reset is sent that so
    /// many routers pass on: 1 reaches the local network only.
    pub fn set_silent_close(&self, ttl: Option<u8>) {
        const REPAIR_ON: i32 = 1;
        self.set_reset_on_close();
        if ttl.is_none() && self.set_option(libc::IPPROTO_TCP, libc::TCP_REPAIR, REPAIR_ON) {
            return;
        }
        let hops = i32::from(ttl.unwrap_or(1));
        self.set_option(libc::IPPROTO_IP, libc::IP_TTL, hops);
        self.set_option(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, hops);
    }

    /// Sets a property of the packets to the peer, as far as the kernel allows: a mark needs CAP_NET_ADMIN.
    pub fn set_packets(&self, option: PacketOption) {
        match option {
            PacketOption::Mark(mark) => {
                self.set_option(libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed());
            }
            PacketOption::Tos(tos) => {
                self.set_option(libc::IPPROTO_IP, libc::IP_TOS, tos.into());
                self.set_option(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, tos.into());
            }
        }
    }

    /// Copies what was received into `bytes` without taking it, and returns how much; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, or what the kernel says.
    pub fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.recv_now(bytes, libc::MSG_PEEK)
    }

    /// Takes as many bytes as `bytes` has room for; returns whether they were there, as after a look at them.
    pub fn discard(&self, bytes: &mut [u8]) -> bool {
        bytes.is_empty() || matches!(self.recv_now(bytes, 0), Ok(taken) if taken == bytes.len())
    }

    fn recv_now(&self, bytes: &mut [u8], flags: i32) -> io::Result<usize> {
        // SAFETY: the call writes at most `bytes.len()` bytes to `bytes`, which outlives it.
        let got = unsafe {
            libc::recv(
                self.fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                flags | libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    }

    /// Sets an option; returns whether the kernel took it.
    fn set_option(&self, level: i32, name: i32, value: i32) -> bool {
        // SAFETY: `value` outlives the call and its size is given. A refusal (a unix socket has no TCP options) is harmless.
        let refused = unsafe {
            libc::setsockopt(
                self.fd(),
                level,
                name,
                std::ptr::from_ref(&value).cast(),
                size_of::<i32>() as libc::socklen_t,
            )
        };
        refused == 0
    }

    /// Returns our own address; `None` for a unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.borrowed(|socket| socket.local_addr().ok()?.as_socket())
    }

    /// Returns the peer's address; `None` for a unix socket.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.borrowed(|socket| socket.peer_addr().ok()?.as_socket())
    }

    fn borrowed<T>(&self, f: impl FnOnce(socket2::SockRef<'_>) -> T) -> T {
        // SAFETY: the descriptor stays open for the call, because `self` owns it.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.fd()) };
        f(socket2::SockRef::from(&fd))
    }

    /// Takes the descriptor out, for another shard; only while nothing is under way.
    pub fn into_fd(self) -> OwnedFd {
        let fd = self.inner.into_inner().into_raw_fd();
        // SAFETY: `into_raw_fd` gave us the only owner of an open descriptor.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }
}

/// Returns for each of some open sockets whether its peer has sent something, or ended or reset the connection.
pub fn stirred(sockets: &[RawFd]) -> Vec<bool> {
    let events = libc::POLLIN | libc::POLLRDHUP;
    let mut asked: Vec<libc::pollfd> =
        sockets.iter().map(|&fd| libc::pollfd { fd, events, revents: 0 }).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    // SAFETY: `asked` outlives the call, which does not wait and writes only to its elements.
    unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, 0) };
    // A call that failed wrote nothing: nobody stirred.
    asked.iter().map(|asked| asked.revents != 0).collect()
}
