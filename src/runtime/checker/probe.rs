//! One check: connect, for HTTP ask and look at the status line, close.
//!
//! It knows nothing of servers and counts; its result is all it leaves behind. At most [`ANSWER_MAX`] bytes of an
//! answer are looked at.

use crate::plan::{Address, CheckKind};
use crate::server::{CheckResult, CheckStatus};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpStream, UnixStream};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Bytes of an answer within which the status line must end.
const ANSWER_MAX: usize = 4096;

/// How long a check may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For connecting; for everything when `answer` is none.
    pub connect: Duration,
    /// For the answer, from the moment the connection stands.
    pub answer: Option<Duration>,
}

/// Runs one check.
pub async fn run(address: &Address, kind: &CheckKind, patience: Patience) -> CheckResult {
    let start = Instant::now();
    let connected = monoio::time::timeout(patience.connect, connect(address)).await;
    let mut result = match connected {
        Err(_) => CheckResult::new(CheckStatus::L4Timeout, 0),
        Ok(Err(error)) => {
            CheckResult { text: reason(&error), ..CheckResult::new(refusal(&error), 0) }
        }
        Ok(Ok(stream)) => match kind {
            CheckKind::Tcp => {
                stream.reset_on_close();
                CheckResult::new(CheckStatus::L4Ok, 0)
            }
            CheckKind::Http { request, expect } => {
                let left = patience
                    .answer
                    .unwrap_or_else(|| patience.connect.saturating_sub(start.elapsed()));
                let asked = monoio::time::timeout(left, ask(stream, request, expect)).await;
                asked.unwrap_or_else(|_| CheckResult::new(CheckStatus::L7Timeout, 0))
            }
        },
    };
    result.duration_ms = start.elapsed().as_millis().min(u128::from(u32::MAX)) as u32;
    result
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Closes without leaving the port in TIME_WAIT, as nothing was said on the connection.
    fn reset_on_close(&self) {
        // When the kernel refuses, the connection closes the slow way.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes).await.0,
            Stream::Unix(stream) => stream.write_all(bytes).await.0,
        }
        .map(drop)
    }

    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        match self {
            Stream::Tcp(stream) => stream.read(buffer).await,
            Stream::Unix(stream) => stream.read(buffer).await,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsRawFd;
        let fd = match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        };
        // SAFETY: the stream owns the descriptor and outlives the borrow, which is tied to `&self`.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

async fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => Ok(Stream::Tcp(TcpStream::connect_addr(*address).await?)),
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Address::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            Ok(Stream::Unix(UnixStream::from_std(stream)?))
        }
        Address::Fd(fd) => Err(io::Error::other(format!("descriptor {fd} cannot be connected to"))),
    }
}

async fn ask(mut stream: Stream, request: &[u8], expect: &[(u16, u16)]) -> CheckResult {
    if let Err(error) = stream.write(request.to_vec()).await {
        return CheckResult {
            text: reason(&error),
            ..CheckResult::new(CheckStatus::SocketError, 0)
        };
    }
    let mut answer = Vec::with_capacity(256);
    loop {
        let (read, chunk) = stream.read(Vec::with_capacity(1024)).await;
        match read {
            Ok(0) => return at_close(&answer, expect),
            Ok(_) => answer.extend_from_slice(&chunk),
            Err(error) if answer.is_empty() => {
                return CheckResult {
                    text: reason(&error),
                    ..CheckResult::new(CheckStatus::SocketError, 0)
                };
            }
            Err(_) => return at_close(&answer, expect),
        }
        if let Some(result) = judge(&answer, expect) {
            return result;
        }
    }
}

/// Returns what an answer means that will not grow.
fn at_close(answer: &[u8], expect: &[(u16, u16)]) -> CheckResult {
    judge(answer, expect).unwrap_or_else(|| CheckResult::new(CheckStatus::L7Response, 0))
}

/// Returns what the answer so far means, `None` while its status line may still become one.
pub fn judge(answer: &[u8], expect: &[(u16, u16)]) -> Option<CheckResult> {
    let invalid = || Some(CheckResult::new(CheckStatus::L7Response, 0));
    let start = b"HTTP/";
    let common = answer.len().min(start.len());
    if answer[..common] != start[..common] {
        return invalid();
    }
    let Some(end) = memchr::memchr(b'\n', answer) else {
        return if answer.len() >= ANSWER_MAX { invalid() } else { None };
    };
    let line = answer[..end].strip_suffix(b"\r").unwrap_or(&answer[..end]);
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (_version, code) = (words.next(), words.next().unwrap_or_default());
    let code = match code {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return invalid(),
    };
    let accepted = match expect {
        [] => (200..400).contains(&code),
        ranges => ranges.iter().any(|&(from, to)| (from..=to).contains(&code)),
    };
    let status = if accepted { CheckStatus::L7Ok } else { CheckStatus::L7Status };
    let text = words.next().map(printable).unwrap_or_default();
    Some(CheckResult { code, text, ..CheckResult::new(status, 0) })
}

/// Returns text that is safe in logs and pages.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(128)]);
    text.chars().map(|c| if c.is_control() || c == '"' { '?' } else { c }).collect()
}

/// Returns which status a failed connection means: the server's doing, or our own lack of something.
fn refusal(error: &io::Error) -> CheckStatus {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL) => {
            CheckStatus::SocketError
        }
        Some(libc::ETIMEDOUT) => CheckStatus::L4Timeout,
        _ => CheckStatus::L4Connection,
    }
}

/// Returns the kernel's text without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const PATIENCE: Patience = Patience { connect: Duration::from_millis(300), answer: None };

    fn http(expect: &[(u16, u16)]) -> CheckKind {
        CheckKind::Http { request: b"OPTIONS / HTTP/1.0\r\n\r\n".to_vec(), expect: expect.to_vec() }
    }

    /// Checks a server that sends `answer` when asked (or at once, for a TCP check) and closes.
    fn check(kind: CheckKind, answer: Option<&'static [u8]>) -> CheckResult {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = Address::Tcp(listener.local_addr().expect("an address"));
        let serving = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("the check");
            let asked = client.read(&mut [0; 256]);
            match answer {
                Some(answer) => drop(client.write_all(answer)),
                // Keep the connection until the check gives up.
                None => drop(asked.and_then(|_| client.read(&mut [0; 256]))),
            }
        });
        let answers = Patience { connect: Duration::from_secs(5), answer: None };
        let result = block(run(&address, &kind, if answer.is_some() { answers } else { PATIENCE }));
        drop(serving.join());
        result
    }

    fn block<F: Future>(future: F) -> F::Output {
        monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
            .enable_timer()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_connection_that_stands_passes_a_tcp_check() {
        assert_eq!(check(CheckKind::Tcp, Some(b"")).status, CheckStatus::L4Ok);
    }

    #[test]
    fn a_closed_port_fails_with_the_kernels_words() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = Address::Tcp(listener.local_addr().expect("an address"));
        drop(listener);
        let result = block(run(&address, &CheckKind::Tcp, PATIENCE));
        assert_eq!(result.status, CheckStatus::L4Connection);
        assert_eq!(result.text, "Connection refused");
    }

    #[test]
    fn an_expected_status_passes_and_any_other_is_named() {
        let fine = check(http(&[]), Some(b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert_eq!((fine.status, fine.code), (CheckStatus::L7Ok, 204));
        let broken = check(http(&[]), Some(b"HTTP/1.0 500 Oh \"no\"\r\n\r\n"));
        assert_eq!((broken.status, broken.code), (CheckStatus::L7Status, 500));
        assert_eq!(broken.text, "Oh ?no?");
        let wanted = check(http(&[(500, 500)]), Some(b"HTTP/1.0 500 Fine\r\n\r\n"));
        assert_eq!(wanted.status, CheckStatus::L7Ok);
    }

    #[test]
    fn an_answer_that_is_no_http_is_invalid() {
        assert_eq!(check(http(&[]), Some(b"220 smtp\r\n")).status, CheckStatus::L7Response);
        assert_eq!(check(http(&[]), Some(b"HTTP/1.1 2")).status, CheckStatus::L7Response);
    }

    #[test]
    fn a_silent_server_times_out_within_the_interval() {
        let result = check(http(&[]), None);
        assert_eq!(result.status, CheckStatus::L7Timeout);
        assert!((250..2_000).contains(&result.duration_ms), "{} ms", result.duration_ms);
    }

    #[test]
    fn a_status_line_is_bounded() {
        let mut long = b"HTTP/1.1 200 ".to_vec();
        assert_eq!(judge(&long, &[]), None);
        long.resize(ANSWER_MAX, b'x');
        let result = judge(&long, &[]).expect("enough to judge");
        assert_eq!(result.status, CheckStatus::L7Response);
    }
}
