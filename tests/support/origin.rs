//! Small origin servers in threads: each records what it received and answers as its handler says.
//!
//! They serve one connection per thread, speak just enough HTTP/1.1 to read any request a proxy sends, and never guess:
//! a request they cannot read is recorded as malformed. A new behaviour is a new constructor around [`Origin::http`].

use super::client::parse_fields;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What an origin does with the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    KeepAlive,
    Close,
}

/// A request as an origin received it.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection of this origin it came on, from 0.
    pub connection: usize,
}

impl Received {
    /// Returns the first value of a field; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns the request as lines that two proxies can be compared by; fields are sorted.
    pub fn transcript(&self) -> Vec<String> {
        let mut lines = vec![format!("> {} {} {}", self.method, self.target, self.version)];
        let mut fields: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("> {name}: {value}")).collect();
        fields.sort();
        lines.append(&mut fields);
        if !self.body.is_empty() {
            lines.push(format!("> | {}", super::digest(&self.body)));
        }
        lines
    }
}

type Handler = dyn Fn(&Received, &mut TcpStream) -> io::Result<Next> + Send + Sync;

struct Shared {
    name: String,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    stopping: AtomicBool,
}

/// A running origin; it stops when dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Origin {
    /// Answers every request with `sent by NAME`, the request line, the fields and a digest of the body.
    pub fn echo(name: &str) -> Self {
        let label = name.to_owned();
        Self::http(name, move |request, stream| {
            answer(stream, request, &echo_text(&label, request), "")
        })
    }

    /// As [`Origin::echo`], on an address that was chosen before (such as a server that comes back).
    pub fn echo_at(name: &str, address: SocketAddr) -> Self {
        let label = name.to_owned();
        let listener = super::eventually("the port is free", || TcpListener::bind(address).ok());
        Self::serve(name, listener, move |request, stream| {
            answer(stream, request, &echo_text(&label, request), "")
        })
    }

    /// As [`Origin::echo`] with further header lines, each ended by CRLF.
    pub fn with_headers(name: &str, extra: &str) -> Self {
        let (label, extra) = (name.to_owned(), extra.to_owned());
        Self::http(name, move |request, stream| {
            answer(stream, request, &echo_text(&label, request), &extra)
        })
    }

    /// As [`Origin::echo`], after a pause.
    pub fn slow(name: &str, pause: Duration) -> Self {
        let label = name.to_owned();
        Self::http(name, move |request, stream| {
            thread::sleep(pause);
            answer(stream, request, &echo_text(&label, request), "")
        })
    }

    /// Answers every request with these very bytes, then closes or not.
    pub fn script(name: &str, bytes: impl Into<Vec<u8>>, next: Next) -> Self {
        let bytes = bytes.into();
        Self::http(name, move |_, stream| {
            stream.write_all(&bytes)?;
            Ok(next)
        })
    }

    /// Answers with `len` bytes of [`super::pattern`] under a Content-Length.
    pub fn big(name: &str, len: usize) -> Self {
        let body = super::pattern(len);
        Self::http(name, move |_, stream| {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
            stream.write_all(&body)?;
            Ok(Next::KeepAlive)
        })
    }

    /// Answers in chunks of the given sizes, cut from [`super::pattern`], with a trailer.
    pub fn chunked(name: &str, sizes: &[usize]) -> Self {
        let sizes = sizes.to_vec();
        let body = super::pattern(sizes.iter().sum());
        Self::http(name, move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let mut rest = body.as_slice();
            for size in &sizes {
                let (chunk, after) = rest.split_at(*size);
                rest = after;
                write!(stream, "{size:x}\r\n")?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
            Ok(Next::KeepAlive)
        })
    }

    /// Agrees to an upgrade (with the key of RFC 6455, section 1.3), then sends back what it receives.
    pub fn upgrade(name: &str) -> Self {
        Self::http(name, move |request, stream| {
            if request.header("upgrade").is_none() {
                return answer(stream, request, "no upgrade asked for\n", "");
            }
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )?;
            let mut from = stream.try_clone()?;
            io::copy(&mut from, stream)?;
            Ok(Next::Close)
        })
    }

    /// Serves HTTP with a handler that writes the response itself.
    pub fn http(
        name: &str,
        handler: impl Fn(&Received, &mut TcpStream) -> io::Result<Next> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(name, TcpListener::bind("127.0.0.1:0").unwrap(), handler)
    }

    fn serve(
        name: &str,
        listener: TcpListener,
        handler: impl Fn(&Received, &mut TcpStream) -> io::Result<Next> + Send + Sync + 'static,
    ) -> Self {
        let handler: Arc<Handler> = Arc::new(handler);
        Self::accepting(name, listener, move |shared, stream, number| {
            // A proxy may go away at any time: an error ends this connection and nothing else.
            let _ = serve_connection(&shared, stream, number, handler.as_ref());
        })
    }

    /// Serves raw TCP: `handler` gets each connection.
    pub fn tcp(name: &str, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::accepting(name, listener, move |_, stream, _| handler(stream))
    }

    fn accepting(
        name: &str,
        listener: TcpListener,
        each: impl Fn(Arc<Shared>, TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let address = listener.local_addr().unwrap();
        let (inner, each) = (Arc::clone(&shared), Arc::new(each));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                let number = inner.connections.fetch_add(1, Ordering::SeqCst);
                inner.open.lock().unwrap().extend(stream.try_clone().map(|kept| (number, kept)));
                let (inner, each) = (Arc::clone(&inner), Arc::clone(&each));
                thread::spawn(move || {
                    let kept = stream.try_clone();
                    each(Arc::clone(&inner), stream, number);
                    inner.open.lock().unwrap().remove(&number);
                    // Other handles are open: only this tells the peer that the handler is done.
                    let _ = kept.map(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        Self { address, shared }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the name it answers with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns how many connections it accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns all requests so far, in the order in which they were read.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Returns all requests so far as comparable lines.
    pub fn transcript(&self) -> Vec<String> {
        self.received().iter().flat_map(Received::transcript).collect()
    }

    /// Dies: closes the listener and every connection, as a killed process does.
    pub fn stop(&self) {
        if self.shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wakes the acceptor, which then drops the listener.
        let _ = TcpStream::connect(self.address);
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

fn echo_text(name: &str, request: &Received) -> String {
    let mut text =
        format!("sent by {name}\n{} {} {}\n", request.method, request.target, request.version);
    if !request.body.is_empty() {
        text += &format!("body {}\n", super::digest(&request.body));
    }
    text
}

/// Writes a 200 with a Content-Length; the body is left out for HEAD.
pub fn answer(
    stream: &mut TcpStream,
    request: &Received,
    body: &str,
    extra: &str,
) -> io::Result<Next> {
    let closes =
        request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            || request.version == "HTTP/1.0";
    let connection = if closes { "Connection: close\r\n" } else { "" };
    let body_sent = if request.method == "HEAD" { "" } else { body };
    // One write, so that a reader sees head and body together.
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{connection}{extra}\r\n{body_sent}",
        body.len()
    );
    stream.write_all(text.as_bytes())?;
    Ok(if closes { Next::Close } else { Next::KeepAlive })
}

fn serve_connection(
    shared: &Shared,
    mut stream: TcpStream,
    number: usize,
    handler: &Handler,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = read_request(&mut reader, &mut stream)? {
        request.connection = number;
        shared.received.lock().unwrap().push(request.clone());
        if handler(&request, &mut stream)? == Next::Close {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

fn read_request(
    reader: &mut BufReader<TcpStream>,
    stream: &mut TcpStream,
) -> io::Result<Option<Received>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let mut part = || first.next().unwrap_or("<malformed>").to_owned();
    let (method, target, version) = (part(), part(), part());
    let mut request = Received {
        method,
        target,
        version,
        headers: parse_fields(lines),
        body: Vec::new(),
        connection: 0,
    };
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some() {
        request.body = read_chunks(reader)?;
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            while !line.trim_end().is_empty() {
                line.clear();
                reader.read_line(&mut line)?;
            }
            return Ok(body);
        }
    }
}
