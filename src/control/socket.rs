//! The runtime CLI's sockets (`stats socket`): listening, one thread per connection, and the line protocol.
//!
//! A connection sends one line of commands and gets their answers, then it is closed, unless `prompt` made it
//! interactive (management manual 9.3). What commands do is in [`super::command`]. Connections, lines and waiting are
//! bounded; a peer that is slow only holds up its own thread.

use super::command::{self, Follow, Session};
use super::shared::Control;
use crate::config::diagnostic::Diagnostic;
use crate::plan::{Address, Global, StatsLevel, StatsSocket};
use crate::runtime::listener::{self, Access};
use crate::stdx::sys;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections that are served at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of one line, and of a payload.
const LINE_MAX: usize = 64 * 1024;
const PAYLOAD_MAX: usize = 1024 * 1024;
const BACKLOG: i32 = 128;
/// How long to wait before looking for a free place again.
const PLACE_POLL: Duration = Duration::from_millis(50);
/// How long a session that shows a ring waits for lines before it looks at its peer.
const FOLLOW_POLL: Duration = Duration::from_millis(100);

/// The listening sockets with what their users may do.
#[derive(Default)]
pub struct CliSockets {
    sockets: Vec<(Socket, StatsLevel, String)>,
}

impl CliSockets {
    /// Opens the sockets of all `stats socket` lines.
    ///
    /// # Errors
    /// All lines whose address was refused.
    pub fn bind(global: &Global) -> Result<Self, Vec<Diagnostic>> {
        let (mut sockets, mut errors) = (Vec::new(), Vec::new());
        for line in &global.stats_sockets {
            let name = display(&line.address);
            match open(line) {
                Ok(socket) => sockets.push((socket, line.level, name)),
                Err(error) => {
                    let error = error.to_string();
                    let error = error.split(" (os error").next().unwrap_or_default().to_lowercase();
                    let text = format!("cannot open the stats socket `{name}`: {error}");
                    errors.push(Diagnostic::error(line.span, text));
                }
            }
        }
        if errors.is_empty() { Ok(Self { sockets }) } else { Err(errors) }
    }

    /// Returns address and level of each, as `show cli sockets` prints them.
    pub fn describe(&self) -> Vec<String> {
        self.sockets
            .iter()
            .map(|(_, level, name)| format!("{name} {} all", level_name(*level)))
            .collect()
    }

    /// Starts the thread that accepts.
    ///
    /// # Errors
    /// When the kernel has no descriptor or thread left.
    pub fn start(self, control: Arc<Control>) -> io::Result<CliThread> {
        let (stopped, stop) = io::pipe()?;
        if !self.sockets.is_empty() {
            let stopped = OwnedFd::from(stopped);
            std::thread::Builder::new()
                .name("cli".to_owned())
                .spawn(move || accept_all(&self.sockets, &stopped, &control))?;
        }
        Ok(CliThread { stop })
    }
}

/// The running thread; it ends when this is dropped.
pub struct CliThread {
    stop: PipeWriter,
}

impl CliThread {
    /// Closes the listening sockets. Connections that are being served stay.
    pub fn stop(self) {
        drop(self.stop);
    }
}

/// Returns the name of a level as configurations write it.
pub fn level_name(level: StatsLevel) -> &'static str {
    match level {
        StatsLevel::User => "user",
        StatsLevel::Operator => "operator",
        StatsLevel::Admin => "admin",
    }
}

fn display(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
        Address::Abstract(name) => {
            format!("abns@{}", String::from_utf8_lossy(name).trim_end_matches('\0'))
        }
        Address::Fd(fd) => format!("fd@{fd}"),
    }
}

fn open(line: &StatsSocket) -> io::Result<Socket> {
    let socket = match &line.address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            // A process that is about to replace this one opens the same address.
            socket.set_reuse_port(true)?;
            socket.bind(&SockAddr::from(*address))?;
            socket.listen(BACKLOG)?;
            socket
        }
        Address::Unix(path) => listener::unix_path(
            Access { mode: line.mode, uid: line.uid, gid: line.gid },
            path,
            BACKLOG,
        )?,
        Address::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
            Socket::from(OwnedFd::from(listener))
        }
        Address::Fd(fd) => Socket::from(sys::duplicate(*fd)?),
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn accept_all(sockets: &[(Socket, StatsLevel, String)], stopped: &OwnedFd, control: &Arc<Control>) {
    let served = Arc::new(AtomicUsize::new(0));
    let mut fds = vec![stopped.as_fd()];
    fds.extend(sockets.iter().map(|(socket, ..)| socket.as_fd()));
    loop {
        let full = served.load(Ordering::Relaxed) >= CONNECTIONS_MAX;
        let (watched, pause) = if full { (&fds[..1], Some(PLACE_POLL)) } else { (&fds[..], None) };
        let Ok(ready) = sys::wait_readable(watched, pause) else { return };
        if ready[0] {
            return;
        }
        for (at, (socket, level, _)) in sockets.iter().enumerate() {
            if !ready.get(at + 1).copied().unwrap_or(false) {
                continue;
            }
            let client = match socket.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => {
                    // The socket stays readable while the process has no descriptor left.
                    std::thread::sleep(PLACE_POLL);
                    continue;
                }
            };
            served.fetch_add(1, Ordering::Relaxed);
            let place = Place(Arc::clone(&served));
            let (control, level) = (Arc::clone(control), *level);
            let thread = std::thread::Builder::new().name("cli-session".to_owned());
            // Without a thread the client sees its connection closed.
            let _ = thread.spawn(move || {
                let _place = place;
                let _ = client.set_nonblocking(false);
                let timeout = control.plan.global.stats_timeout;
                let session = Session::new(level, timeout);
                // A broken connection ends the session; there is nobody left to tell.
                let _ = Connection { client, unread: Vec::new() }.serve(&control, session);
            });
        }
    }
}

/// One served connection; leaving frees it.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    client: Socket,
    unread: Vec<u8>,
}

impl Connection {
    fn serve(mut self, control: &Control, mut session: Session) -> io::Result<()> {
        loop {
            self.set_patience(session.timeout)?;
            let Some(line) = self.line(LINE_MAX)? else { return Ok(()) };
            let commands = command::split(&line);
            if !(session.interactive && line.trim().is_empty()) {
                self.answer(control, &mut session, commands)?;
            }
            if session.closing || !session.interactive {
                return Ok(());
            }
            self.client.write_all(b"> ")?;
        }
    }

    fn answer(
        &mut self,
        control: &Control,
        session: &mut Session,
        mut commands: Vec<Vec<String>>,
    ) -> io::Result<()> {
        let payload = match commands.last_mut().and_then(command::take_payload_mark) {
            Some(end) => Some(self.payload(session, &end)?),
            None => None,
        };
        let last = commands.len().saturating_sub(1);
        for (at, words) in commands.iter().enumerate() {
            let payload = payload.as_deref().filter(|_| at == last);
            let mut text = command::run(control, session, words, payload);
            if session.closing {
                return Ok(());
            }
            if let Some(follow) = session.follow.take() {
                self.client.write_all(text.as_bytes())?;
                self.follow(control, follow)?;
                self.client.write_all(b"\n")?;
                continue;
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            // The empty line says that the answer is complete.
            text.push('\n');
            self.client.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// Shows lines of a ring until the peer sends anything, which is thrown away, or leaves.
    fn follow(&mut self, control: &Control, mut follow: Follow) -> io::Result<()> {
        let mut heard = [std::mem::MaybeUninit::uninit(); 512];
        while !control.stopping() {
            let Some(lines) = follow.wait(FOLLOW_POLL) else { return Ok(()) };
            self.client.write_all(&lines)?;
            match self.client.recv_with_flags(&mut heard, libc::MSG_DONTWAIT) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn payload(&mut self, session: &Session, end: &str) -> io::Result<String> {
        let mut payload = String::new();
        loop {
            if session.interactive {
                self.client.write_all(b"+ ")?;
            }
            match self.line(LINE_MAX)? {
                Some(line) if line != end => {
                    payload.push_str(&line);
                    payload.push('\n');
                }
                _ => return Ok(payload),
            }
            if payload.len() > PAYLOAD_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
    }

    fn set_patience(&self, timeout: Duration) -> io::Result<()> {
        // Zero would mean forever to the kernel, and that is what a missing limit means here too.
        let timeout = (!timeout.is_zero()).then_some(timeout);
        self.client.set_read_timeout(timeout)?;
        self.client.set_write_timeout(timeout)
    }

    /// Returns the next line without its end; a line that the peer did not finish is dropped, it may be half a command.
    fn line(&mut self, max: usize) -> io::Result<Option<String>> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.unread[looked_at..]) {
                let mut line: Vec<u8> = self.unread.drain(..=looked_at + end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            looked_at = self.unread.len();
            if looked_at > max {
                self.client.write_all(b"The line is too long.\n\n")?;
                return Ok(None);
            }
            let mut chunk = [0; 4096];
            let read = self.client.read(&mut chunk)?;
            if read == 0 {
                return Ok(None);
            }
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }
}
