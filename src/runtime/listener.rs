//! Listening sockets: opened for all shards before any shard starts, so that every refusal is reported at once.
//!
//! Each shard gets a socket of its own per bind with SO_REUSEPORT; unix sockets and inherited descriptors cannot be
//! bound twice, so every shard accepts on a duplicate of the one socket.

use crate::config::ast::Span;
use crate::plan::{Address, Bind, Plan};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// One listening socket of one shard.
#[derive(Debug)]
pub struct Listener {
    /// Index of the frontend in the plan.
    pub frontend: u32,
    /// Index of the bind in the frontend.
    pub bind: u32,
    /// The listening socket; the shard makes it blocking or not, as its driver needs.
    pub fd: OwnedFd,
    /// Whether it is a TCP socket (else unix).
    pub tcp: bool,
    /// The address it listens on; `None` for unix sockets.
    pub address: Option<SocketAddr>,
}

/// The listening sockets of one shard.
pub type ShardListeners = Vec<Listener>;

/// Why a bind line could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// Where the bind line stands.
    pub span: Span,
    /// What the kernel said and the likely reason.
    pub message: String,
}

/// Opens the sockets of every bind for `shards` shards.
///
/// # Errors
/// All binds that failed.
pub fn bind_all(plan: &Plan, shards: usize) -> Result<Vec<ShardListeners>, Vec<BindError>> {
    let mut all: Vec<ShardListeners> = (0..shards).map(|_| Vec::new()).collect();
    let mut errors = Vec::new();
    for (frontend_index, frontend) in plan.frontends.iter().enumerate().filter(|(_, f)| !f.disabled)
    {
        for (bind_index, bind) in frontend.binds.iter().enumerate() {
            let backlog = bind.backlog.or(frontend.backlog).unwrap_or(frontend.maxconn).max(1);
            let opened = open(bind, shards, backlog.min(i32::MAX as u32) as i32);
            match opened {
                Ok(sockets) => {
                    for (shard, (fd, tcp, address)) in sockets.into_iter().enumerate() {
                        let (frontend, bind) = (frontend_index as u32, bind_index as u32);
                        all[shard].push(Listener { frontend, bind, fd, tcp, address });
                    }
                }
                Err(error) => errors.push(BindError {
                    span: bind.span,
                    message: format!(
                        "cannot bind `{}`: {}{}",
                        bind.name,
                        describe(&error),
                        hint(&error)
                    ),
                }),
            }
        }
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

type Opened = (OwnedFd, bool, Option<SocketAddr>);

fn open(bind: &Bind, shards: usize, backlog: i32) -> io::Result<Vec<Opened>> {
    match &bind.address {
        Address::Tcp(address) => {
            let first = tcp(bind, *address, backlog)?;
            // A port that the kernel chose must be the same on every shard.
            let bound = first.local_addr()?.as_socket().unwrap_or(*address);
            let mut sockets = vec![first];
            for _ in 1..shards {
                sockets.push(tcp(bind, bound, backlog)?);
            }
            Ok(sockets.into_iter().map(|s| (s.into(), true, Some(bound))).collect())
        }
        Address::Unix(path) => {
            let access = Access { mode: bind.mode, uid: bind.uid, gid: bind.gid };
            share(unix_path(access, path, backlog)?.into(), shards, false)
        }
        Address::Abstract(name) => {
            use std::os::unix::ffi::OsStrExt;
            let name = [b"\0", name.as_slice()].concat();
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(std::ffi::OsStr::from_bytes(&name))?)?;
            socket.listen(backlog)?;
            share(socket.into(), shards, false)
        }
        Address::Fd(fd) => inherited(*fd, shards),
    }
}

fn tcp(bind: &Bind, address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `::` alone stands for IPv6 and, unless `v6only` says otherwise, for IPv4 as the system has it.
        if let Some(v6only) = bind.v6only {
            socket.set_only_v6(v6only)?;
        }
    }
    if let Some(interface) = &bind.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if bind.transparent {
        match address {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    if bind.defer_accept {
        set_tcp_option(&socket, libc::TCP_DEFER_ACCEPT, 60)?;
    }
    if bind.tfo {
        set_tcp_option(&socket, libc::TCP_FASTOPEN, backlog)?;
    }
    Ok(socket)
}

fn set_tcp_option(socket: &Socket, name: i32, value: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: `value` outlives the call and its size is given; the descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Who may use a unix socket: mode, user and group, each as it was made when not given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access {
    /// `mode`
    pub mode: Option<u32>,
    /// `user` or `uid`
    pub uid: Option<u32>,
    /// `group` or `gid`
    pub gid: Option<u32>,
}

/// Binds beside the path and moves the socket over it, so that a running process never sees it missing.
///
/// # Errors
/// What the kernel says; nothing is left behind then.
pub fn unix_path(access: Access, path: &Path, backlog: i32) -> io::Result<Socket> {
    use std::os::unix::fs::PermissionsExt;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&aside)?)?;
    let prepared = (|| {
        if let Some(mode) = access.mode {
            std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(mode))?;
        }
        if access.uid.is_some() || access.gid.is_some() {
            std::os::unix::fs::chown(&aside, access.uid, access.gid)?;
        }
        socket.listen(backlog)?;
        std::fs::rename(&aside, path)
    })();
    if let Err(error) = prepared {
        let _ = std::fs::remove_file(&aside);
        return Err(error);
    }
    Ok(socket)
}

fn share(fd: OwnedFd, shards: usize, tcp: bool) -> io::Result<Vec<Opened>> {
    let socket = Socket::from(fd);
    let address = socket.local_addr()?.as_socket();
    (0..shards).map(|_| Ok((socket.try_clone()?.into(), tcp, address))).collect()
}

/// Takes a duplicate of an inherited listening socket for every shard; the original stays as it is.
fn inherited(fd: i32, shards: usize) -> io::Result<Vec<Opened>> {
    // SAFETY: `fcntl` on a number that may not be open fails and changes nothing.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("descriptor {fd} was not inherited"),
        ));
    }
    // SAFETY: the descriptor is open (checked above) and stays so: nothing in this process closes inherited ones.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let socket = Socket::from(borrowed.try_clone_to_owned()?);
    if !socket.is_listener()? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {fd} is not a listening socket"),
        ));
    }
    let tcp = matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6);
    share(socket.into(), shards, tcp)
}

fn describe(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => " (another process listens there without SO_REUSEPORT)",
        Some(libc::EACCES) => {
            " (ports below net.ipv4.ip_unprivileged_port_start need root or CAP_NET_BIND_SERVICE)"
        }
        Some(libc::EADDRNOTAVAIL) => {
            " (no interface has this address; see net.ipv4.ip_nonlocal_bind)"
        }
        Some(libc::EMFILE) => " (the descriptor limit is reached; see `ulimit -n`)",
        _ => "",
    }
}
