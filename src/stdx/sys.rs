//! Safe names for the few system calls that the standard library and our crates lack.
//!
//! Each function is one call (or one small group that only makes sense together), reports the kernel's error and
//! decides nothing. It never keeps state: what is opened is returned as an owned descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Turns the kernel's `-1` into the error it left behind.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A broken-down local time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, such as 2026.
    pub year: i32,
    /// Month, 1..=12.
    pub month: u8,
    /// Day of the month, 1..=31.
    pub day: u8,
    /// Hour, 0..=23.
    pub hour: u8,
    /// Minute, 0..=59.
    pub minute: u8,
    /// Second, 0..=60.
    pub second: u8,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

/// Returns the local time of a moment given in seconds since 1970.
pub fn local_time(seconds: i64) -> LocalTime {
    let time = seconds as libc::time_t;
    let mut out = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call and `tm` is plain data for which all zeroes are a value.
    let tm = unsafe {
        libc::localtime_r(&time, out.as_mut_ptr());
        out.assume_init()
    };
    LocalTime {
        year: tm.tm_year + 1900,
        month: (tm.tm_mon + 1) as u8,
        day: tm.tm_mday as u8,
        hour: tm.tm_hour as u8,
        minute: tm.tm_min as u8,
        second: tm.tm_sec as u8,
        offset_minutes: (tm.tm_gmtoff / 60) as i32,
    }
}

/// Returns the host's name, `localhost` when the kernel does not say.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Returns the CPUs that this thread may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the pointer is valid for the size that is passed; all zeroes are an empty set.
    let set = unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: the index stays below the number of bits of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Which process a [`fork`] returned in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The process that called; holds the child's id.
    Parent(i32),
    /// The new process.
    Child,
}

/// Duplicates the process. Refused with `Unsupported` when other threads run, because the child would only have this one.
pub fn fork() -> io::Result<Fork> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "other threads run already"));
    }
    // SAFETY: this is the only thread, so no lock is held by a thread that the child lacks.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Makes the process the leader of a new session, without a terminal.
pub fn new_session() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Points the given descriptors at `/dev/null`.
pub fn to_dev_null(fds: &[RawFd]) -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for &fd in fds {
        // SAFETY: `dup2` only touches the descriptor table; the caller named the descriptors to replace.
        check(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// Becomes group `gid` and user `uid`, giving up the supplementary groups first when that is allowed.
pub fn become_user(uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    // SAFETY: an empty group list needs no memory; the id calls take plain numbers.
    unsafe {
        if (uid.is_some() || gid.is_some()) && libc::geteuid() == 0 {
            check(libc::setgroups(0, std::ptr::null()))?;
        }
        if let Some(gid) = gid {
            check(libc::setgid(gid))?;
        }
        if let Some(uid) = uid {
            check(libc::setuid(uid))?;
        }
    }
    Ok(())
}

/// Returns the soft and the hard limit of open descriptors.
pub fn descriptor_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets the soft and the hard limit of open descriptors.
pub fn set_descriptor_limit(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the pointer is valid for the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(drop)
}

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Returns a duplicate of a descriptor that the process inherited, without touching the original.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call only reads the descriptor table; a bad number is reported as an error.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Sends each message as one datagram on a connected socket; returns how many were taken, without waiting.
///
/// At most 64 messages are sent by one call.
pub fn send_datagrams(socket: BorrowedFd<'_>, messages: &[&[u8]]) -> io::Result<usize> {
    const BATCH: usize = 64;
    let count = messages.len().min(BATCH);
    if count == 0 {
        return Ok(0);
    }
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
    // SAFETY: all zeroes are a value of this plain struct: no address, no parts.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (at, message) in messages[..count].iter().enumerate() {
        parts[at] =
            libc::iovec { iov_base: message.as_ptr() as *mut libc::c_void, iov_len: message.len() };
        headers[at].msg_hdr.msg_iov = &mut parts[at];
        headers[at].msg_hdr.msg_iovlen = 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the first `count` headers point at parts, and these at messages, that outlive the call;
    // the kernel only reads the parts.
    let sent =
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, flags) };
    check(sent).map(|sent| sent as usize)
}

/// Waits until one of the descriptors can be read or has failed, or the time is over; returns one flag per descriptor.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let millis = timeout.map_or(-1, |timeout| {
        timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int
    });
    // SAFETY: the pointer and the length describe the vector above.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.iter().map(|fd| fd.revents != 0).collect()),
    }
}

/// Signals that arrive as bytes on a descriptor instead of interrupting a thread.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `sigemptyset` initialises the set; `sigaddset` rejects numbers that are no signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

impl Signals {
    /// Takes over the given signals. Call it before any thread is started: threads inherit what is blocked.
    pub fn take(signals: &[i32]) -> io::Result<Self> {
        let set = signal_set(signals);
        // SAFETY: the set is initialised; the old mask is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        // SAFETY: the set is initialised and -1 asks for a new descriptor.
        let fd =
            check(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the kernel just made this descriptor and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Returns the next signal that arrived, if one did.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is valid for `size` bytes, and every bit pattern is a value of the struct.
        let (read, info) = unsafe {
            let read = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read, info.assume_init())
        };
        (read == size as isize).then_some(info.ssi_signo as i32)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn local_time_agrees_with_its_own_offset() {
        let time = local_time(1_700_000_000);
        let minute = (1_700_000_000 / 60 + i64::from(time.offset_minutes)) % 60;
        assert_eq!(i64::from(time.minute), minute);
        assert_eq!((time.year, time.month, time.second), (2023, 11, 20));
    }

    #[test]
    fn datagrams_keep_their_borders() {
        let (ours, theirs) = UnixDatagram::pair().expect("a socket pair");
        let sent = send_datagrams(ours.as_fd(), &[b"one", b"two two"]).expect("room for two");
        assert_eq!(sent, 2);
        let mut buffer = [0; 32];
        assert_eq!(theirs.recv(&mut buffer).expect("first"), 3);
        assert_eq!(theirs.recv(&mut buffer).expect("second"), 7);
    }

    #[test]
    fn waiting_says_which_descriptor_has_something() {
        let (ours, theirs) = UnixDatagram::pair().expect("a socket pair");
        let wait = || wait_readable(&[ours.as_fd(), theirs.as_fd()], Some(Duration::ZERO));
        assert_eq!(wait().expect("poll"), [false, false]);
        ours.send(b"x").expect("send");
        assert_eq!(wait().expect("poll"), [false, true]);
    }

    #[test]
    fn the_descriptor_limit_can_be_set_to_itself() {
        let (soft, hard) = descriptor_limit().expect("a limit");
        assert!(soft <= hard);
        set_descriptor_limit(soft, hard).expect("unchanged limit");
        assert!(!allowed_cpus().is_empty());
    }

    #[test]
    fn a_process_with_threads_refuses_to_fork() {
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || kept.recv().is_err());
        let refused = fork().expect_err("threads run");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        drop(keep);
        assert!(other.join().expect("the other thread"));
    }
}
