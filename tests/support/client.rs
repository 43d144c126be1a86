//! A raw HTTP client and a runtime-CLI client: they send the bytes they are given and read answers completely.
//!
//! The client understands framing (lengths, chunks, answers without a body, end by close) and nothing else: no redirects,
//! no cookies of its own, no retries.

use super::PATIENCE;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection on which requests are written as bytes and responses are read one by one.
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// What came back for one request.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    /// The body with the chunk framing removed.
    pub body: Vec<u8>,
    /// Whether the body was sent in chunks.
    pub chunked: bool,
}

impl Client {
    /// Connects to `address`; every later read gives up after [`PATIENCE`].
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("connect to {address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::with_capacity(16 * 1024, stream) }
    }

    /// Returns the socket, for what a test does beside requests.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.reader.get_mut().write_all(bytes.as_ref()).expect("send");
        self
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        self.stream().shutdown(Shutdown::Write).expect("half-close");
    }

    /// Sends a request and reads its response; the method is read off the request.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        let method =
            String::from_utf8_lossy(request).split(' ').next().unwrap_or_default().to_owned();
        self.send(request);
        self.response(&method)
    }

    /// Sends `GET path` on this connection, keeping it alive.
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
    }

    /// Reads the response to a request of that method; fails the test when none comes.
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method).expect("a whole response")
    }

    /// Reads a response, or the error that came instead (`UnexpectedEof` for a close).
    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.head()?;
        let mut response = parse_head(&head)?;
        let length = response.header("content-length").map(str::to_owned);
        let none = method == "HEAD"
            || response.status < 200
            || response.status == 204
            || response.status == 304;
        if none {
            return Ok(response);
        }
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            response.chunked = true;
            response.body = self.chunks()?;
        } else if let Some(length) = length {
            let length = length
                .parse()
                .map_err(|_| io::Error::other(format!("content-length {length:?}")))?;
            response.body = vec![0; length];
            self.reader.read_exact(&mut response.body)?;
        } else {
            self.reader.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads a head's bytes, with the empty line that ends it.
    pub fn head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.reader.read_until(b'\n', &mut head)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("closed after {:?}", String::from_utf8_lossy(&head)),
                ));
            }
        }
        Ok(head)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| io::Error::other(format!("chunk size {line:?}")))?;
            if size == 0 {
                while line != "\r\n" {
                    line.clear();
                    if self.reader.read_line(&mut line)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                return Ok(body);
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.reader.read_exact(&mut body[start..])?;
            let mut end = [0; 2];
            self.reader.read_exact(&mut end)?;
        }
    }

    /// Reads exactly `len` bytes.
    pub fn exact(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).expect("enough bytes");
        bytes
    }

    /// Reads until the peer closes; a reset counts as a close.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            match self.reader.read(&mut piece) {
                Ok(0) => return bytes,
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("reading the rest: {error} after {} bytes", bytes.len()),
            }
        }
    }

    /// Returns whether the peer closes this connection without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }
}

/// Fetches `path` on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address)
        .ask(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n"))
}

fn parse_head(head: &[u8]) -> io::Result<Response> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut parts = first.splitn(3, ' ');
    let version = parts.next().unwrap_or_default().to_owned();
    let status = parts.next().and_then(|status| status.parse().ok());
    let Some(status) = status.filter(|_| version.starts_with("HTTP/")) else {
        return Err(io::Error::other(format!("no status line: {first:?}")));
    };
    Ok(Response {
        version,
        status,
        reason: parts.next().unwrap_or_default().to_owned(),
        headers: parse_fields(lines),
        ..Response::default()
    })
}

/// Parses `Name: value` lines up to the empty one; names become lower case.
pub fn parse_fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, "<no colon>"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

impl Response {
    /// Returns the first value of a field; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns who answered, from the `sent by NAME` line of an origin.
    pub fn sent_by(&self) -> String {
        let text = self.text();
        text.lines()
            .find_map(|line| line.strip_prefix("sent by "))
            .unwrap_or_else(|| panic!("{} from no origin: {text:?}", self.status))
            .to_owned()
    }

    /// Returns the value of a cookie that the response sets.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        self.all("set-cookie").into_iter().find_map(|value| {
            let pair = value.split(';').next()?;
            let (field, value) = pair.split_once('=')?;
            (field == name).then(|| value.to_owned())
        })
    }

    /// Returns the response as lines that two proxies can be compared by: fields sorted, dates and reasons of chance out.
    pub fn transcript(&self) -> Vec<String> {
        let mut lines = vec![format!("< {} {}", self.version, self.status)];
        // The built-in pages of two proxies say the same in words of their own.
        let built_in = self.status >= 200 && self.body.starts_with(b"<html><body><h1>");
        let mut fields: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| name != "date" && !(built_in && name == "content-length"))
            .map(|(name, value)| format!("< {name}: {value}"))
            .collect();
        fields.sort();
        lines.append(&mut fields);
        match std::str::from_utf8(&self.body) {
            Ok(_) if built_in => lines.push(format!("< | the built-in page of {}", self.status)),
            Ok(text) if text.len() < 4096 => {
                lines.extend(text.lines().map(|line| format!("< | {line}")));
            }
            _ => lines.push(format!("< | {}", super::digest(&self.body))),
        }
        lines
    }
}

/// Returns a field of a table of statistics (`show stat`, `;csv`): of a proxy's `FRONTEND`, `BACKEND` or server.
pub fn field(csv: &str, proxy: &str, name: &str, column: &str) -> String {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let at = header.split(',').position(|found| found == column);
    let at = at.unwrap_or_else(|| panic!("no column {column}"));
    let start = format!("{proxy},{name},");
    let row = lines.find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("no row of {proxy}/{name}"));
    row.split(',').nth(at).unwrap_or_else(|| panic!("no {proxy}/{name}/{column}")).to_owned()
}

/// Sends one line to the runtime CLI on a unix socket and returns the whole answer.
pub fn command(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket)
        .unwrap_or_else(|error| panic!("connect to {}: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // In one piece: a CLI that closes after the first command would refuse the rest.
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
