//! What must hold of what the peers sent and got.
//!
//! Servers get only well-formed requests that some client sent, and never bytes of two clients in one of them. Clients
//! get only well-formed responses, no more of them than they asked for, and marked bytes only from a server that was
//! asked for them. Any stream may be cut short.

use super::play::{Peer, Peers};
use fastlb::proto::h1::body::BodyReader;
use fastlb::proto::h1::parse::{self, Limits, Parsed, RequestKind};
use fastlb::proto::http::Head;
use fastlb::proto::uri;

/// Far above what the set-ups admit: only the syntax is judged here.
const LIMITS: Limits =
    Limits { head_bytes_max: 1 << 20, fields_max: 1000, relaxed: false, proxy_header: false };

/// A message as its receiver reads it.
struct Message {
    head: Head,
    /// What came of its content.
    content: Vec<u8>,
    /// Whether the content is complete.
    complete: bool,
    /// Bytes of the stream that it took.
    len: usize,
}

/// The messages of a stream, and where and how the rest differs from one.
struct Stream {
    messages: Vec<Message>,
    /// Bytes that complete messages took.
    len: usize,
    error: Option<String>,
}

/// Checks a run; returns a number that tells its outcome.
pub(super) fn check(peers: &Peers, http: bool) -> u64 {
    if !http {
        check_relay(peers);
        return 0;
    }
    let asked: Vec<Stream> = peers.clients.iter().map(|peer| requests(&peer.sent)).collect();
    let served: Vec<Vec<u8>> =
        peers.servers.iter().map(|server| check_server(server, peers, &asked)).collect();
    let mut outcome = 0u64;
    for (client, asked) in peers.clients.iter().zip(&asked) {
        for status in check_client(client, asked, peers, &served) {
            outcome = outcome.wrapping_mul(131).wrapping_add(status.into());
        }
    }
    outcome
}

/// Relayed bytes arrive in order, whole from the start, at one other side.
fn check_relay(peers: &Peers) {
    for server in &peers.servers {
        let from = peers.clients.iter().any(|client| client.sent.starts_with(&server.received));
        assert!(from, "server {} got what no client sent", server.letter as char);
    }
    for client in &peers.clients {
        let from = client.received.is_empty()
            || peers.servers.iter().any(|server| server.sent.starts_with(&client.received));
        assert!(from, "client {} got what no server sent", client.letter as char);
    }
}

/// Checks what a server got; returns the letters of the clients it came from.
fn check_server(server: &Peer, peers: &Peers, asked: &[Stream]) -> Vec<u8> {
    let name = server.letter as char;
    let stream = requests(&server.received);
    let mut from = Vec::new();
    let mut switched = false;
    let mut at = 0;
    for got in &stream.messages {
        let raw = &server.received[at..(at + got.len).min(server.received.len())];
        at += got.len;
        let marks = marks(raw, u8::is_ascii_uppercase);
        if !switched {
            assert!(marks.len() <= 1, "server {name} got a request of {marks:?}");
        }
        let senders: Vec<u8> = peers
            .clients
            .iter()
            .zip(asked)
            .filter(|(client, _)| marks.is_empty() || marks.contains(&client.letter))
            .filter(|(_, asked)| asked.messages.iter().any(|sent| is_same(sent, got)))
            .map(|(client, _)| client.letter)
            .collect();
        let text = raw.escape_ascii();
        assert!(switched || !senders.is_empty(), "server {name} got what nobody asked: {text}");
        from.extend(senders);
        switched |= may_switch(&got.head, server);
    }
    if let Some(error) = &stream.error
        && !switched
    {
        panic!("server {name} got a malformed request: {error}");
    }
    if !switched && !server.was_slow {
        check_unasked(server, &stream);
    }
    if switched {
        from.extend(peers.clients.iter().map(|client| client.letter));
    }
    from
}

/// A connection on which a server spoke although nothing was asked carries no further request: its words would be taken
/// for the answer.
fn check_unasked(server: &Peer, asked: &Stream) {
    let (mut answered, mut came) = (0, 0);
    for (index, request) in asked.messages.iter().enumerate() {
        let kind = RequestKind::of(&request.head);
        // Interim responses are part of the answer.
        loop {
            let parse = |head: &mut Head| parse::response(head, &LIMITS, kind);
            match message(&server.sent[answered..], parse) {
                Ok(Some(message)) if message.complete => {
                    answered += message.len;
                    if message.head.status() >= 200 {
                        break;
                    }
                }
                _ => return,
            }
        }
        came += request.len;
        let spoke = server.moments.iter().find(|&&(_, sent, got)| sent > answered && got == came);
        let last = server.moments.last().map_or(0, |last| last.0);
        if let Some(&(when, ..)) = spoke {
            let later = server.moments.iter().find(|&&(at, _, got)| at > when && got > came);
            let name = server.letter as char;
            assert!(
                later.is_none(),
                "server {name} spoke unasked after request {index} at {when} ms and was asked again (until {last} ms)"
            );
        }
    }
}

/// Whether the server may have taken the request as the beginning of a tunnel.
fn may_switch(request: &Head, server: &Peer) -> bool {
    let says = |text: &[u8]| server.sent.windows(text.len()).any(|window| window == text);
    (request.upgrade && says(b" 101 ")) || (request.method() == b"CONNECT" && says(b" 2"))
}

/// Whether a server may get `got` when a client sent `sent`.
fn is_same(sent: &Message, got: &Message) -> bool {
    let path = |head: &Head| match uri::path_and_query(head.target()) {
        b"" => b"/".to_vec(),
        other => other.to_vec(),
    };
    let content = match got.complete {
        true => sent.complete && sent.content == got.content,
        false => sent.content.starts_with(&got.content),
    };
    sent.head.method() == got.head.method() && path(&sent.head) == path(&got.head) && content
}

/// Checks what a client got; returns the statuses.
fn check_client(client: &Peer, asked: &Stream, peers: &Peers, served: &[Vec<u8>]) -> Vec<u16> {
    let name = client.letter as char;
    let kinds: Vec<RequestKind> =
        asked.messages.iter().map(|message| RequestKind::of(&message.head)).collect();
    let (mut at, mut finals, mut statuses) = (0, 0, Vec::new());
    while at < client.received.len() {
        let kind = kinds.get(finals).copied().unwrap_or_default();
        let parse = |head: &mut Head| parse::response(head, &LIMITS, kind);
        let message = match message(&client.received[at..], parse) {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(error) => {
                let text = client.received[at..].escape_ascii();
                panic!("client {name} got a malformed response ({error}): {text}")
            }
        };
        let raw = &client.received[at..at + message.len];
        at += message.len;
        let status = message.head.status();
        statuses.push(status);
        let tunnel = status == 101 || (kind.connect && status / 100 == 2);
        let raw = if tunnel { &client.received[at - message.len..] } else { raw };
        let marks = marks(raw, u8::is_ascii_lowercase);
        assert!(marks.len() <= 1, "client {name} got a response of {marks:?}");
        for mark in marks {
            let mut same = peers.servers.iter().zip(served).filter(|(s, _)| s.letter == mark);
            let asked = same.any(|(_, clients)| clients.contains(&client.letter));
            assert!(asked, "client {name} got a response of {}", mark as char);
        }
        if tunnel {
            return statuses;
        }
        finals += usize::from(status >= 200);
        if !message.complete {
            break;
        }
    }
    // What was no request may be answered too, once; and so may silence.
    let rest = asked.len < client.sent.len() || asked.messages.is_empty();
    let most = asked.messages.len() + usize::from(rest);
    let stopped = &asked.error;
    assert!(
        finals <= most,
        "client {name} got {finals} responses to {most} requests ({stopped:?})"
    );
    statuses
}

/// Reads a stream of requests.
fn requests(bytes: &[u8]) -> Stream {
    let mut stream = Stream { messages: Vec::new(), len: 0, error: None };
    loop {
        match message(&bytes[stream.len..], |head| parse::request(head, &LIMITS)) {
            Ok(Some(message)) => {
                stream.len += message.len;
                let complete = message.complete;
                stream.messages.push(message);
                if !complete {
                    return stream;
                }
            }
            Ok(None) => return stream,
            Err(error) => {
                stream.error = Some(error);
                return stream;
            }
        }
    }
}

/// Reads one message; `None` when its head is not complete. A broken body is as good as one that is cut short.
fn message(
    bytes: &[u8],
    parse: impl Fn(&mut Head) -> Result<Parsed, parse::ParseError>,
) -> Result<Option<Message>, String> {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes);
    match parse(&mut head) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    // Empty lines in front are dropped from the buffer.
    let head_len = bytes.len() - head.buffer().len() + head.received().len();
    let rest = &bytes[head_len..];
    let mut content = Vec::new();
    let mut body = BodyReader::new(head.body);
    let advance = body.advance_with(rest, |range| content.extend_from_slice(&rest[range]));
    let (consumed, complete) = match advance {
        Ok(advance) => (advance.consumed, advance.done),
        Err(_) => (rest.len(), false),
    };
    Ok(Some(Message { head, content, complete, len: head_len + consumed }))
}

/// Returns the marks of that kind in `bytes`, each once.
fn marks(bytes: &[u8], kind: impl Fn(&u8) -> bool) -> Vec<u8> {
    let mut found = Vec::new();
    for window in bytes.windows(3) {
        if window.starts_with(b"@@") && kind(&window[2]) && !found.contains(&window[2]) {
            found.push(window[2]);
        }
    }
    found
}
