//! The targets: each takes any bytes, checks what must hold for them, and says what came of it.
//!
//! A target panics when a rule is broken. The number it returns tells outcomes apart (which error, how many fields …);
//! the fuzzer keeps an input that brings a new one. `tests/corpus.rs` includes this file and replays the corpora.
//! To add a target, write it here, add it to [`TARGETS`], give it a folder in `fuzz/corpus` and a file in `fuzz/src/bin`.

use fastlb::config::environment::Environment;
use fastlb::control::load::{self, Input};
use fastlb::proto::cookie;
use fastlb::proto::h1::body::{BodyReader, ChunkedDecoder};
use fastlb::proto::h1::parse::{self, Limits, ParseError, Parsed, RequestKind};
use fastlb::proto::h1::write::{self, Hop};
use fastlb::proto::http::{BodyLength, Head, Version};
use fastlb::proto::mmdb::{Database, path};
use fastlb::proto::uri;
use std::net::{IpAddr, Ipv4Addr};

#[path = "connection.rs"]
mod connection;

/// A target, and what it is called on the command line and in `fuzz/corpus`.
pub(crate) type Target = (&'static str, fn(&[u8]) -> u64);

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    ("request", request),
    ("response", response),
    ("chunked", chunked),
    ("uri", uri_and_cookies),
    ("config", config),
    ("mmdb", database),
    ("connection", connection::connection),
];

/// Configuration files: every finding points into the text, and there is a plan exactly when there is no error.
fn config(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let input = Input::Text { name: "fuzz.cfg".to_owned(), text };
    let loaded = load::load(&input, &mut Environment::empty(), None);
    assert_eq!(loaded.plan.is_none(), loaded.diagnostics.has_errors());
    let sources = &loaded.sources;
    let mut outcome: u64 = 0;
    for finding in loaded.diagnostics.iter() {
        let related = finding.related.iter().map(|(span, _)| *span);
        for span in finding.span.into_iter().chain(related) {
            let text = &sources.get(span.file).text;
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{finding:?}");
            let (begin, end) = (sources.line_column(span), sources.end_line_column(span));
            assert!(begin.0 >= 1 && begin.1 >= 1 && begin <= end, "{finding:?}");
        }
        // The words of the user stand in backticks; the rest says which finding it is.
        let parts = finding.message.split('`').step_by(2).flat_map(str::bytes);
        outcome ^= parts.fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    }
    assert!(!loaded.diagnostics.render(sources, true).contains('\0'));
    let _ = loaded.diagnostics.to_json(sources);
    outcome
}

/// Databases of networks: whatever is opened answers every look-up, and IPv4 inside IPv6 as IPv4.
fn database(bytes: &[u8]) -> u64 {
    let database = match Database::open(bytes.to_vec()) {
        Ok(database) => database,
        Err(why) => return why.len() as u64,
    };
    let mut outcome = 1000 + database.names().len() as u64;
    for way in ["country.iso_code", "a.0", "a.1.b"] {
        let way = path(way).expect("it has no empty step");
        outcome = outcome * 2 + u64::from(database.has(&way));
        for bits in [0, 1 << 24, 10 << 24, 0xc000_0201, u32::MAX] {
            let v4 = Ipv4Addr::from(bits);
            let found = database.lookup(IpAddr::V4(v4), &way);
            assert_eq!(
                found.is_some(),
                database.lookup(v4.to_ipv6_mapped().into(), &way).is_some()
            );
            outcome = outcome * 2 + u64::from(found.is_some());
        }
        let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1u16];
        outcome = outcome * 2 + u64::from(database.lookup(IpAddr::from(v6), &way).is_some());
    }
    outcome
}

type Parse = fn(&mut Head) -> Result<Parsed, ParseError>;

fn parse_request(head: &mut Head) -> Result<Parsed, ParseError> {
    parse::request(head, &Limits::default())
}

const RELAXED: Limits =
    Limits { head_bytes_max: 16 * 1024, fields_max: 100, relaxed: true, proxy_header: true };

fn parse_relaxed_request(head: &mut Head) -> Result<Parsed, ParseError> {
    parse::request(head, &RELAXED)
}

fn parse_relaxed_response(head: &mut Head) -> Result<Parsed, ParseError> {
    let kind = RequestKind { upgrade: true, ..RequestKind::default() };
    parse::response(head, &RELAXED, kind)
}

/// The limits of the next hop, which leave room for what the proxy adds.
fn with_room(limits: Limits) -> Limits {
    Limits { head_bytes_max: 32 * 1024, fields_max: limits.fields_max + 10, ..limits }
}

fn parse_forwarded_request(head: &mut Head) -> Result<Parsed, ParseError> {
    parse::request(head, &with_room(Limits::default()))
}

fn parse_forwarded_relaxed_request(head: &mut Head) -> Result<Parsed, ParseError> {
    parse::request(head, &with_room(RELAXED))
}

fn parse_forwarded_response(head: &mut Head) -> Result<Parsed, ParseError> {
    let kind = RequestKind { upgrade: true, ..RequestKind::default() };
    parse::response(head, &with_room(Limits::default()), kind)
}

fn parse_forwarded_relaxed_response(head: &mut Head) -> Result<Parsed, ParseError> {
    let kind = RequestKind { upgrade: true, ..RequestKind::default() };
    parse::response(head, &with_room(RELAXED), kind)
}

fn parse_response(head: &mut Head) -> Result<Parsed, ParseError> {
    let kind = RequestKind { upgrade: true, ..RequestKind::default() };
    parse::response(head, &Limits::default(), kind)
}

/// Request heads: cuts change nothing, and what is forwarded reads as the same message.
fn request(bytes: &[u8]) -> u64 {
    let (outcome, head) = heads(bytes, parse_request);
    relaxed_request(bytes, head.as_ref());
    if let Some(head) = head {
        for keep_alive in [true, false] {
            let hop = Hop::to_server(keep_alive);
            let mut out = Vec::new();
            write::write_request(&head, &mut out, &hop);
            if !write::needs_rewrite(&head, &hop) {
                assert_eq!(out, head.received());
            }
            let again = reparse(&out, parse_forwarded_request);
            assert_eq!(again.method(), head.method());
            assert_eq!(again.target(), head.target());
            assert_eq!(again.version(), head.version());
            assert_eq!((again.body, again.upgrade), (head.body, head.upgrade));
            if !head.upgrade {
                assert_eq!(again.keep_alive, keep_alive);
            }
        }
    }
    outcome
}

/// Whoever is lenient repairs: what goes on has one reading, and what is well formed reads as it always does.
fn relaxed_request(bytes: &[u8], strict: Option<&Head>) {
    let (_, relaxed) = heads(bytes, parse_relaxed_request);
    if let Some(strict) = strict {
        let relaxed = relaxed.as_ref().expect("what is well formed is accepted");
        assert_eq!((relaxed.body, relaxed.received()), (strict.body, strict.received()));
    }
    let Some(head) = relaxed else { return };
    let mut out = Vec::new();
    write::write_request(&head, &mut out, &Hop::to_server(true));
    has_one_reading(&out);
    let again = reparse(&out, parse_forwarded_relaxed_request);
    assert_eq!((again.body, again.upgrade), (head.body, head.upgrade));
    assert_eq!((again.method(), again.target()), (head.method(), head.target()));
}

/// Asserts that every line ends in CRLF, that no line is empty but the last, and that no blank stands before a colon.
fn has_one_reading(out: &[u8]) {
    let mut lines = out.split(|byte| *byte == b'\n').peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            assert!(line.is_empty());
            break;
        }
        let line = line.strip_suffix(b"\r").expect("a line ends in CRLF");
        assert!(!line.contains(&b'\r'));
        if !first && !line.is_empty() {
            let colon = line.iter().position(|byte| *byte == b':').expect("a field has a name");
            assert!(line[..colon].iter().all(|byte| *byte > b' ' && *byte != 0x7f));
        }
        first = false;
    }
}

/// Response heads: the same.
fn response(bytes: &[u8]) -> u64 {
    let (outcome, head) = heads(bytes, parse_response);
    if let (_, Some(relaxed)) = heads(bytes, parse_relaxed_response) {
        let mut out = Vec::new();
        let hop = Hop::to_client(true, Version::Http11, relaxed.body);
        write::write_response(&relaxed, &mut out, &hop);
        has_one_reading(&out);
        assert_eq!(reparse(&out, parse_forwarded_relaxed_response).body, relaxed.body);
    } else {
        assert!(head.is_none());
    }
    if let Some(head) = head {
        for client in [Version::Http11, Version::Http10] {
            let hop = Hop::to_client(true, client, head.body);
            let mut out = Vec::new();
            write::write_response(&head, &mut out, &hop);
            let again = reparse(&out, parse_forwarded_response);
            assert_eq!((again.status(), again.reason()), (head.status(), head.reason()));
            let decoded = client == Version::Http10 && head.body == BodyLength::Chunked;
            let expected = if decoded { BodyLength::UntilClose } else { head.body };
            assert_eq!(again.body, expected);
        }
    }
    outcome
}

/// Chunked bodies: cuts change nothing, and the content is within the bytes that were taken.
fn chunked(bytes: &[u8]) -> u64 {
    let mut content = Vec::new();
    let whole =
        ChunkedDecoder::new().advance_with(bytes, |range| content.extend_from_slice(&bytes[range]));
    let mut by_byte = Vec::new();
    let mut body = BodyReader::new(BodyLength::Chunked);
    let mut consumed = 0;
    let mut error = None;
    for byte in bytes {
        let one = [*byte];
        match body.advance_with(&one, |range| by_byte.extend_from_slice(&one[range])) {
            Ok(advance) => consumed += advance.consumed,
            Err(problem) => {
                error = Some(problem);
                break;
            }
        }
        if body.is_done() {
            break;
        }
    }
    assert_eq!(content, by_byte);
    forwarded(bytes, whole.is_ok_and(|advance| advance.done), &content);
    match whole {
        Ok(advance) => {
            assert_eq!((error, advance.consumed), (None, consumed));
            assert_eq!(advance.done, body.is_done());
            1 + u64::from(advance.done) + 4 * (content.len() as u64).min(64)
        }
        Err(problem) => {
            assert_eq!(error, Some(problem));
            1000 + problem as u64 + 16 * (consumed as u64).min(64)
        }
    }
}

/// What goes on of a chunked body: however it comes, the same bytes, which have the same content and nothing to take out.
fn forwarded(bytes: &[u8], done: bool, content: &[u8]) {
    let walk = |bytes: &[u8], size: usize| {
        let mut body = BodyReader::new(BodyLength::Chunked);
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            let mut buffer = piece.to_vec();
            let advance = body.forward(&mut buffer, 0).ok()?;
            out.extend_from_slice(&buffer[..advance.consumed]);
            if body.is_done() {
                return Some(out);
            }
        }
        None
    };
    let whole = walk(bytes, bytes.len().max(1));
    assert_eq!(whole.is_some(), done);
    let Some(whole) = whole else { return };
    assert_eq!(walk(bytes, 1).as_ref(), Some(&whole));
    assert_eq!(walk(bytes, 7).as_ref(), Some(&whole));
    assert_eq!(walk(&whole, 5).as_ref(), Some(&whole), "a second hop takes out nothing");
    let mut again = Vec::new();
    let mut body = ChunkedDecoder::new();
    let advance = body.advance_with(&whole, |range| again.extend_from_slice(&whole[range]));
    assert_eq!(advance.map(|advance| advance.done), Ok(true));
    assert_eq!(again, content);
}

/// Targets, authorities, encodings and cookies: pieces stay pieces, edits do what they say.
fn uri_and_cookies(bytes: &[u8]) -> u64 {
    let path = uri::path(bytes);
    let query = uri::query(bytes);
    assert!(uri::path_and_query(bytes).starts_with(path));
    let mut outcome = u64::from(path.is_empty()) | u64::from(query.is_empty()) << 1;
    if let Some(target) = uri::Target::parse(bytes) {
        assert_eq!(target.path, path);
        assert_eq!(target.query.unwrap_or_default(), query);
        outcome |= 4 << target.form as u64;
    }
    let mut out = Vec::new();
    uri::with_path(bytes, b"/new", &mut out);
    assert_eq!(uri::path(&out), b"/new");
    assert_eq!(uri::query(&out), query);
    let end = uri::host_end(bytes);
    assert!(end <= bytes.len());
    outcome |= u64::from(end == bytes.len()) << 30;
    let (host, port) = uri::host_and_port(bytes);
    assert!(host.len() <= bytes.len());
    outcome |= u64::from(port.is_some()) << 8;
    match uri::percent_decode(bytes, true) {
        Some(text) => assert!(text.len() <= bytes.len()),
        None => outcome |= 1 << 9,
    }
    let mut count = 0;
    for found in cookie::cookies(bytes) {
        count += 1;
        let name = &bytes[found.name.clone()];
        assert!(found.pair.start <= found.name.start && found.value.end <= found.pair.end);
        let first = cookie::locate(bytes, name).expect("a cookie that was listed is found");
        assert!(first.pair.start <= found.pair.start);
        out.clear();
        cookie::without(bytes, &found, &mut out);
        assert!(cookie::cookies(&out).count() < cookie::cookies(bytes).count());
    }
    outcome | count.min(8) << 10 | (uri::params(query).count() as u64).min(8) << 16
}

/// Parses at once and in two pieces; returns the outcome, and the head when it is complete.
fn heads(bytes: &[u8], parse: Parse) -> (u64, Option<Head>) {
    let mut head = filled(bytes);
    let whole = parse(&mut head);
    let mut cut = filled(&bytes[..bytes.len() / 2]);
    let mut parsed = parse(&mut cut);
    if parsed == Ok(Parsed::Partial) {
        cut.buffer_mut().extend_from_slice(&bytes[bytes.len() / 2..]);
        parsed = parse(&mut cut);
    }
    match whole {
        // A line that is wrong may only be seen when the head has ended.
        Err(_) => assert!(parsed == whole || parsed == Ok(Parsed::Partial)),
        _ => assert_eq!(parsed, whole),
    }
    match whole {
        Ok(Parsed::Complete) => {
            assert_eq!(cut.received(), head.received());
            assert_eq!(cut.fields().len(), head.fields().len());
            let fields = (head.fields().len() as u64).min(16);
            let kinds =
                head.fields().iter().fold(0, |kinds, field| kinds | 1 << field.known as u64);
            let body = match head.body {
                BodyLength::None => 0,
                BodyLength::Length(_) => 1,
                BodyLength::Chunked => 2,
                BodyLength::UntilClose => 3,
            };
            let flags = [head.keep_alive, head.upgrade, head.expect_continue, head.is_edited()];
            let flags = flags.iter().fold(0, |bits, flag| bits << 1 | u64::from(*flag));
            let outcome = 1
                | fields << 2
                | kinds << 8
                | body << 24
                | flags << 28
                | u64::from(head.status()) << 32;
            (outcome, Some(head))
        }
        Ok(Parsed::Partial) => (2, None),
        Err(error) => (3 | (error.kind as u64) << 8 | (error.at as u64).min(64) << 16, None),
    }
}

/// Parses what the proxy would send; it must be a whole head and nothing else.
fn reparse(bytes: &[u8], parse: Parse) -> Head {
    let mut head = filled(bytes);
    assert_eq!(parse(&mut head), Ok(Parsed::Complete), "{:?}", String::from_utf8_lossy(bytes));
    assert!(head.rest().is_empty());
    head
}

fn filled(bytes: &[u8]) -> Head {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes);
    head
}
