//! A small HTTP server for the demo: every answer says which server it is from.
//!
//! It understands as much of HTTP/1 as the demo needs: keep-alive, and bodies with a length, which it ignores.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections that one server serves at once; further ones are closed.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request head.
const HEAD_MAX: u64 = 16 * 1024;
/// How long `/fail` makes a server ill.
const ILL_FOR: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_secs(60);

/// One small server.
pub(super) struct Origin {
    port: u16,
    ill_until: Mutex<Option<Instant>>,
    connections: AtomicUsize,
}

impl Origin {
    /// Starts a server on a listening socket; returns its port.
    pub(super) fn start(listener: TcpListener) -> io::Result<u16> {
        let port = listener.local_addr()?.port();
        let connections = AtomicUsize::new(0);
        let origin = Arc::new(Self { port, ill_until: Mutex::new(None), connections });
        std::thread::Builder::new().name(format!("origin-{port}")).spawn(move || {
            for client in listener.incoming().flatten() {
                Self::accept(&origin, client);
            }
        })?;
        Ok(port)
    }

    fn accept(origin: &Arc<Self>, client: TcpStream) {
        if origin.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            origin.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let server = Arc::clone(origin);
        let spawned = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            // A client that goes away ends its own connection only.
            let _ = server.serve(client);
            server.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            origin.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(IDLE_MAX))?;
        client.set_nodelay(true)?;
        let mut writer = client.try_clone()?;
        let mut reader = BufReader::new(client);
        while let Some(request) = Request::read(&mut reader)? {
            let (status, body) = self.answer(&request.path);
            let connection = if request.keep_alive { "keep-alive" } else { "close" };
            let body_sent = if request.head_only { "" } else { body.as_str() };
            write!(
                writer,
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
                 Connection: {connection}\r\n\r\n{body_sent}",
                body.len(),
            )?;
            if !request.keep_alive {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, path: &str) -> (&'static str, String) {
        let mut ill_until = self.ill_until.lock().unwrap_or_else(PoisonError::into_inner);
        let ill = ill_until.is_some_and(|until| Instant::now() < until);
        match path {
            "/fail" => {
                *ill_until = Some(Instant::now() + ILL_FOR);
                let text = format!("{} is ill for {} s\n", self.port, ILL_FOR.as_secs());
                ("200 OK", text)
            }
            "/health" if ill => ("503 Service Unavailable", "ill\n".to_owned()),
            _ => ("200 OK", format!("sent by {}\n", self.port)),
        }
    }
}

/// What the server has to know of a request.
struct Request {
    path: String,
    head_only: bool,
    keep_alive: bool,
}

impl Request {
    /// Reads a request and drops its body; `None` at the end of the connection.
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = reader.by_ref().take(HEAD_MAX);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or("/").to_owned();
        let mut keep_alive = words.next() == Some("HTTP/1.1");
        let mut length = 0;
        loop {
            line.clear();
            if head.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim().to_ascii_lowercase();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "connection" => {
                    keep_alive = value != "close" && (keep_alive || value == "keep-alive")
                }
                "transfer-encoding" => keep_alive = false,
                _ => {}
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        Ok(Some(Self { path, head_only: method == "HEAD", keep_alive }))
    }
}
