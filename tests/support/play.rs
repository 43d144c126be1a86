//! Plays a wire case: an origin that records bytes and answers as the case says, and a client that sends and listens.
//!
//! A case is over when neither side received anything for a while. What was received is returned as bytes, with whether
//! each connection was still open; what that means is for others to say.

use super::wire::{Answer, Case, Piece, Step, Then};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(60);

/// The bytes of one connection, and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub end: End,
}

/// How a connection stood when the case was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Open,
    Closed,
    Reset,
}

/// What a case led to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub client: Received,
    /// The server's connections, in the order in which they were accepted.
    pub server: Vec<Received>,
}

/// What both sides write into.
struct Record {
    outcome: Mutex<Outcome>,
    last: Mutex<Instant>,
}

impl Record {
    fn touch(&self) {
        *self.last.lock().unwrap() = Instant::now();
    }

    fn quiet(&self) -> Duration {
        self.last.lock().unwrap().elapsed()
    }
}

/// The server of one case.
pub struct Script {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Vec<Answer>,
    state: Mutex<State>,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Which answer comes next.
    next: usize,
    record: Option<Arc<Record>>,
    open: Vec<TcpStream>,
}

impl Script {
    /// Starts the server of a case.
    pub fn start(case: &Case) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answers: case.origin.clone(),
            state: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let mut state = inner.state.lock().unwrap();
                let Some(record) = state.record.clone() else { continue };
                state.open.extend(stream.try_clone());
                drop(state);
                let number = {
                    let mut outcome = record.outcome.lock().unwrap();
                    outcome.server.push(Received::default());
                    outcome.server.len() - 1
                };
                record.touch();
                let inner = Arc::clone(&inner);
                thread::spawn(move || {
                    let end = match inner.serve(stream, number, &record) {
                        Ok(end) => end,
                        Err(_) => End::Reset,
                    };
                    record.outcome.lock().unwrap().server[number].end = end;
                    record.touch();
                });
            }
        });
        Self { address, shared }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays the client of `case` against `front`; over when nothing happened for `quiet`.
    pub fn play(&self, case: &Case, front: SocketAddr, quiet: Duration) -> Outcome {
        let record =
            Arc::new(Record { outcome: Mutex::default(), last: Mutex::new(Instant::now()) });
        {
            let mut state = self.shared.state.lock().unwrap();
            state.next = 0;
            state.record = Some(Arc::clone(&record));
        }
        let stream = TcpStream::connect(front).expect("the proxy listens");
        stream.set_nodelay(true).unwrap();
        let reader = stream.try_clone().unwrap();
        let inner = Arc::clone(&record);
        thread::spawn(move || {
            let end = receive(reader, &inner, |outcome| &mut outcome.client);
            inner.outcome.lock().unwrap().client.end = end;
            inner.touch();
        });
        let gone = client(&stream, case, &record);
        let started = Instant::now();
        while record.quiet() < quiet && started.elapsed() < super::PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        let mut outcome = record.outcome.lock().unwrap().clone();
        if gone {
            outcome.client = Received::default();
        }
        let _ = stream.shutdown(Shutdown::Both);
        let mut state = self.shared.state.lock().unwrap();
        state.record = None;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        outcome
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Takes the client's steps; returns whether it left.
fn client(stream: &TcpStream, case: &Case, record: &Record) -> bool {
    let mut before = 0;
    for (number, step) in case.client.iter().enumerate() {
        match step {
            Step::Send(pieces) => {
                if number > 0 && matches!(case.client[number - 1], Step::Send(_)) {
                    before = answered(record, before);
                }
                // A proxy that refuses may close before everything was sent.
                let _ = write(stream, pieces);
            }
            Step::Wait => before = answered(record, before),
            Step::End => {
                let _ = stream.shutdown(Shutdown::Write);
            }
            Step::Gone => {
                let _ = stream.shutdown(Shutdown::Both);
                return true;
            }
        }
        record.touch();
    }
    false
}

/// Waits until more than `before` bytes came and then no more for a moment; returns how many there are.
fn answered(record: &Record, before: usize) -> usize {
    let started = Instant::now();
    loop {
        let have = record.outcome.lock().unwrap().client.bytes.len();
        let waited = started.elapsed();
        if have > before && record.quiet() >= PAUSE || waited > Duration::from_millis(1500) {
            return have;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn write(mut stream: &TcpStream, pieces: &[Piece]) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => stream.write_all(bytes)?,
            Piece::Pause => thread::sleep(PAUSE),
        }
    }
    Ok(())
}

/// Reads to the end into the place that `of` names.
fn receive(
    mut stream: TcpStream,
    record: &Record,
    of: impl Fn(&mut Outcome) -> &mut Received,
) -> End {
    let mut piece = [0; 16 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return End::Closed,
            Ok(count) => {
                of(&mut record.outcome.lock().unwrap()).bytes.extend_from_slice(&piece[..count]);
                record.touch();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return End::Reset,
        }
    }
}

impl Shared {
    /// Serves one connection as the case says.
    fn serve(&self, mut stream: TcpStream, number: usize, record: &Record) -> io::Result<End> {
        let _ = stream.set_nodelay(true);
        let mut waiting: Vec<u8> = Vec::new();
        let mut early = false;
        let mut piece = [0; 16 * 1024];
        let mut silent = false;
        loop {
            while !silent && let Some(request) = Request::of(&waiting) {
                let answer = if early { None } else { self.answer(&request, &waiting) };
                if let Some(answer) = answer {
                    write(&stream, &answer.bytes)?;
                    early = !request.complete(&waiting);
                    match answer.then {
                        Then::Keep => {}
                        Then::Close => {
                            stream.shutdown(Shutdown::Write)?;
                            silent = true;
                        }
                        Then::Reset => {
                            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                            let mut state = self.state.lock().unwrap();
                            state.open.clear();
                            return Ok(End::Open);
                        }
                        Then::Tunnel => {
                            let behind = waiting.split_off(request.head.min(waiting.len()));
                            stream.write_all(&behind)?;
                            return echo(stream, number, record);
                        }
                    }
                }
                let Some(end) = request.end(&waiting) else { break };
                early = false;
                waiting.drain(..end);
            }
            let count = match stream.read(&mut piece) {
                Ok(0) => return Ok(End::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            waiting.extend_from_slice(&piece[..count]);
            record.outcome.lock().unwrap().server[number].bytes.extend_from_slice(&piece[..count]);
            record.touch();
        }
    }

    /// Returns the answer to a request, unless it must wait for the body.
    fn answer(&self, request: &Request, waiting: &[u8]) -> Option<Answer> {
        let mut state = self.state.lock().unwrap();
        let answer = self.answers.get(state.next).cloned().unwrap_or_else(|| request.usual());
        if !answer.at_head && !request.complete(waiting) {
            return None;
        }
        state.next += 1;
        Some(answer)
    }
}

/// Sends back what comes.
fn echo(mut stream: TcpStream, number: usize, record: &Record) -> io::Result<End> {
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            let _ = stream.shutdown(Shutdown::Write);
            return Ok(End::Closed);
        }
        record.outcome.lock().unwrap().server[number].bytes.extend_from_slice(&piece[..count]);
        record.touch();
        stream.write_all(&piece[..count])?;
    }
}

/// What an origin must know of a request to tell where it ends.
struct Request {
    /// Bytes of the head.
    head: usize,
    chunked: bool,
    length: usize,
    method: String,
    close: bool,
}

impl Request {
    /// Reads the head at the front of `bytes`, when all of it is there.
    fn of(bytes: &[u8]) -> Option<Self> {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let first = text.lines().next().unwrap_or_default();
        let connection = value("connection").unwrap_or_default();
        Some(Self {
            head,
            chunked: value("transfer-encoding").is_some(),
            length: value("content-length").and_then(|value| value.parse().ok()).unwrap_or(0),
            method: first.split(' ').next().unwrap_or_default().to_owned(),
            close: connection.contains("close")
                || first.ends_with("http/1.0") && !connection.contains("keep-alive"),
        })
    }

    /// Returns where the request ends, when it does.
    fn end(&self, bytes: &[u8]) -> Option<usize> {
        if !self.chunked {
            let end = self.head + self.length;
            return (end <= bytes.len()).then_some(end);
        }
        let mut at = self.head;
        loop {
            let line = at + bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
            let digits = bytes[at..line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let size = std::str::from_utf8(&bytes[at..at + digits]).ok()?;
            let size = usize::from_str_radix(size, 16).ok()?;
            if size > 0 {
                at = (line + 2).checked_add(size)?.checked_add(2)?;
                continue;
            }
            at = line + 2;
            loop {
                let end = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
                at += end + 2;
                if end == 0 {
                    return Some(at);
                }
            }
        }
    }

    fn complete(&self, bytes: &[u8]) -> bool {
        self.end(bytes).is_some()
    }

    /// Returns the answer of an origin that was told nothing.
    fn usual(&self) -> Answer {
        let body = if self.method == "head" { "" } else { "hi" };
        let close = if self.close { "Connection: close\r\n" } else { "" };
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\n{body}");
        Answer {
            bytes: vec![Piece::Bytes(text.into_bytes())],
            at_head: false,
            then: if self.close { Then::Close } else { Then::Keep },
        }
    }
}
