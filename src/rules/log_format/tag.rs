//! The `%tags` of log formats.

use super::date::{self, Zone};
use super::{Style, bytes};
use crate::config::keyword::{self, Keyword};
use crate::proto::http::{Head, Version};
use crate::rules::context::{Context, Record};
use crate::rules::fetch::http::path_of;
use crate::rules::write::{int, ip, padded, uint};
use std::net::{IpAddr, SocketAddr};

macro_rules! tags {
    ($($name:literal $tag:ident $http:literal $doc:literal,)*) => {
        /// What a tag shows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Tag { $(#[doc = $doc] $tag,)* }

        /// All tags, sorted by name.
        pub const TABLE: &[Keyword<TagSpec>] = &[$(Keyword {
            name: $name,
            syntax: "",
            doc: $doc,
            example: concat!("%", $name),
            build: TagSpec { tag: Tag::$tag, http: $http },
        },)*];
    };
}

/// What a row of the tag table knows.
#[derive(Clone, Copy, Debug)]
pub struct TagSpec {
    /// What to show.
    pub tag: Tag,
    /// Whether it needs `mode http`.
    pub http: bool,
}

tags! {
    "B" BytesOut false "Shows the bytes sent to the client.",
    "CC" RequestCookie true "Shows the captured cookie of the request.",
    "CS" ResponseCookie true "Shows the captured cookie of the response.",
    "H" Hostname false "Shows the name of the machine.",
    "HM" HttpMethod true "Shows the method of the request.",
    "HP" HttpTargetPath true "Shows the request target without query.",
    "HPO" HttpPath true "Shows the path of the request without host and query.",
    "HQ" HttpQuery true "Shows the query of the request with its question mark.",
    "HU" HttpTarget true "Shows the request target.",
    "HV" HttpVersion true "Shows the version of the request.",
    "ID" UniqueId false "Shows the unique id of the request.",
    "OG" Origin false "Shows the step of the stream at which the line is written, such as `close`.",
    "ST" Status false "Shows the status code sent to the client.",
    "T" AcceptGmt false "Shows the date of the connection in GMT.",
    "TR" TimeRequest true "Shows the time in milliseconds to receive the request head.",
    "Ta" TimeActive true "Shows the time in milliseconds from the first byte of the request to the end.",
    "Tc" TimeConnect false "Shows the time in milliseconds to connect to the server.",
    "Td" TimeData false "Shows the time in milliseconds to transfer the response body.",
    "Th" TimeHandshake false "Shows the time in milliseconds of handshakes before the first request.",
    "Ti" TimeIdle true "Shows the idle time in milliseconds before the request.",
    "Tl" AcceptLocal false "Shows the date of the connection in local time.",
    "Tq" TimeQuery true "Shows the time in milliseconds from the connection to the complete request head.",
    "Tr" TimeResponse true "Shows the time in milliseconds the server took to answer.",
    "Ts" Timestamp false "Shows the date of the connection in seconds since 1970.",
    "Tt" TimeTotal false "Shows the time in milliseconds from the connection to the end.",
    "Tu" TimeUser false "Shows the time in milliseconds from the first byte to the end, with handshakes.",
    "Tw" TimeWait false "Shows the time in milliseconds spent in queues.",
    "U" BytesIn false "Shows the bytes received from the client.",
    "ac" Connections false "Shows the number of connections of the process.",
    "b" Backend false "Shows the name of the backend.",
    "bc" BackendStreams false "Shows the number of streams of the backend.",
    "bi" BackendSourceIp false "Shows our address towards the server.",
    "bp" BackendSourcePort false "Shows our port towards the server.",
    "bq" BackendQueue false "Shows how many streams were ahead in the queue of the backend.",
    "ci" ClientIp false "Shows the address of the client.",
    "cp" ClientPort false "Shows the port of the client.",
    "f" Frontend false "Shows the name of the frontend.",
    "fc" FrontendConnections false "Shows the number of connections of the frontend.",
    "fi" FrontendIp false "Shows the address that the client connected to.",
    "fp" FrontendPort false "Shows the port that the client connected to.",
    "ft" FrontendTransport false "Shows the name of the frontend, with `~` behind it when the client came over TLS.",
    "hr" RequestHeaders false "Shows the captured fields of the request.",
    "hrl" RequestHeadersClf false "Shows the captured fields of the request in CLF style.",
    "hs" ResponseHeaders false "Shows the captured fields of the response.",
    "hsl" ResponseHeadersClf false "Shows the captured fields of the response in CLF style.",
    "lc" LogCounter false "Shows how many lines this format has written before.",
    "ms" AcceptMillis false "Shows the milliseconds of the date of the connection.",
    "o" Nothing false "Shows nothing, and sets the flags for all tags that follow.",
    "pid" Pid false "Shows the number of the process.",
    "r" RequestLine true "Shows the request line.",
    "rc" Retries false "Shows how many connection attempts were made again, with `+` before it after a redispatch.",
    "rt" RequestCounter false "Shows the number of the request in the process.",
    "s" Server false "Shows the name of the server.",
    "sc" ServerStreams false "Shows the number of streams of the server.",
    "si" ServerIp false "Shows the address of the server.",
    "sp" ServerPort false "Shows the port of the server.",
    "sq" ServerQueue false "Shows how many streams were ahead in the queue of the server.",
    "sslc" TlsCiphers false "Shows the cipher suite of the client's connection.",
    "sslv" TlsVersion false "Shows the TLS version of the client's connection.",
    "t" AcceptDate false "Shows the date of the connection with milliseconds.",
    "tr" RequestDate true "Shows the date of the request with milliseconds.",
    "trg" RequestGmt true "Shows the date of the request in GMT.",
    "trl" RequestLocal true "Shows the date of the request in local time.",
    "ts" Termination false "Shows how the stream ended.",
    "tsc" TerminationCookie true "Shows how the stream ended, and what became of the persistence cookie.",
}

impl Tag {
    /// Returns whether it shows a number.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Tag::BytesOut
                | Tag::BytesIn
                | Tag::Status
                | Tag::TimeRequest
                | Tag::TimeActive
                | Tag::TimeConnect
                | Tag::TimeData
                | Tag::TimeHandshake
                | Tag::TimeIdle
                | Tag::TimeQuery
                | Tag::TimeResponse
                | Tag::Timestamp
                | Tag::TimeTotal
                | Tag::TimeUser
                | Tag::TimeWait
                | Tag::Connections
                | Tag::BackendStreams
                | Tag::BackendSourcePort
                | Tag::BackendQueue
                | Tag::ClientPort
                | Tag::FrontendConnections
                | Tag::FrontendPort
                | Tag::LogCounter
                | Tag::AcceptMillis
                | Tag::Pid
                | Tag::Retries
                | Tag::RequestCounter
                | Tag::ServerStreams
                | Tag::ServerPort
                | Tag::ServerQueue
        )
    }

    /// Returns whether its value is known, and final, as soon as the connection was accepted.
    pub(super) fn is_known_at_accept(self) -> bool {
        matches!(
            self,
            Tag::ClientIp
                | Tag::ClientPort
                | Tag::FrontendIp
                | Tag::FrontendPort
                | Tag::Frontend
                | Tag::FrontendTransport
                | Tag::Hostname
                | Tag::AcceptGmt
                | Tag::AcceptLocal
                | Tag::AcceptDate
                | Tag::AcceptMillis
                | Tag::Timestamp
                | Tag::Pid
                | Tag::Nothing
        )
    }
}

/// Returns the row of a tag.
pub(super) fn find(name: &str) -> Option<&'static Keyword<TagSpec>> {
    keyword::find(TABLE, name)
}

/// Appends what a tag shows.
pub(super) fn write(tag: Tag, style: Style, cx: &Context<'_>, out: &mut Vec<u8>) {
    let (record, session) = (cx.record, cx.session);
    match tag {
        Tag::ClientIp => host(out, style, cx.source()),
        Tag::ClientPort => port(out, style, cx.source(), session.bind),
        Tag::FrontendIp => host(out, style, cx.destination()),
        Tag::FrontendPort => port(out, style, cx.destination(), session.bind),
        Tag::BackendSourceIp => peer_ip(out, style, record.server_local),
        Tag::BackendSourcePort => peer_port(out, style, record.server_local),
        Tag::ServerIp => peer_ip(out, style, record.server_address),
        Tag::ServerPort => peer_port(out, style, record.server_address),
        Tag::Frontend | Tag::FrontendTransport => bytes(out, style, frontend(cx)),
        Tag::Backend => bytes(out, style, backend(cx)),
        Tag::Server => bytes(out, style, server(cx)),
        Tag::Hostname => bytes(out, style, cx.names.hostname.as_bytes()),
        Tag::Origin => bytes(out, style, record.step.get().name().as_bytes()),
        Tag::AcceptGmt => date::with_zone(out, session.accepted_us, Zone::Gmt),
        Tag::AcceptLocal => date::with_zone(out, session.accepted_us, Zone::Local),
        Tag::AcceptDate => date::with_millis(out, session.accepted_us),
        Tag::RequestDate => date::with_millis(out, record.start_us),
        Tag::RequestGmt => date::with_zone(out, record.start_us, Zone::Gmt),
        Tag::RequestLocal => date::with_zone(out, record.start_us, Zone::Local),
        Tag::AcceptMillis if style.hex => hex(out, session.accepted_us / 1_000 % 1_000, 2),
        Tag::AcceptMillis => padded(out, session.accepted_us / 1_000 % 1_000, 3),
        Tag::Timestamp => number(out, style, session.accepted_us / 1_000_000),
        Tag::Pid => number(out, style, u64::from(std::process::id())),
        Tag::RequestCounter => number(out, style, u64::from(record.request_counter)),
        Tag::RequestLine => request(out, style, cx.request, Part::Line),
        Tag::HttpMethod => request(out, style, cx.request, Part::Method),
        Tag::HttpTarget => request(out, style, cx.request, Part::Target),
        Tag::HttpTargetPath => request(out, style, cx.request, Part::TargetPath),
        Tag::HttpPath => request(out, style, cx.request, Part::Path),
        Tag::HttpQuery => request(out, style, cx.request, Part::Query),
        Tag::HttpVersion => request(out, style, cx.request, Part::Version),
        Tag::Termination | Tag::TerminationCookie => termination(out, tag, record),
        Tag::RequestCookie | Tag::ResponseCookie | Tag::UniqueId => bytes(out, style, b""),
        Tag::TlsCiphers | Tag::TlsVersion => bytes(out, style, b""),
        Tag::RequestHeaders | Tag::ResponseHeaders => {}
        Tag::RequestHeadersClf | Tag::ResponseHeadersClf => {}
        Tag::LogCounter | Tag::Nothing => {}
        _ => count(out, tag, cx),
    }
}

/// Appends a plain number or a duration.
fn count(out: &mut Vec<u8>, tag: Tag, cx: &Context<'_>) {
    let record = cx.record;
    let us = match tag {
        Tag::TimeRequest => record.request_us,
        Tag::TimeActive => record.total_us.max(0),
        Tag::TimeConnect => record.connect_us,
        Tag::TimeWait => record.queue_us,
        Tag::TimeResponse => record.response_us,
        Tag::TimeHandshake => 0,
        Tag::TimeIdle => record.idle_us.max(0),
        Tag::TimeQuery if record.request_us < 0 => -1,
        Tag::TimeQuery => record.idle_us.max(0) + record.request_us,
        Tag::TimeTotal => record.idle_us.max(0) + record.total_us.max(0),
        Tag::TimeUser => record.total_us.max(0),
        Tag::TimeData => data_us(record),
        _ => return plain(out, tag, cx),
    };
    if record.partial && matches!(tag, Tag::TimeActive | Tag::TimeTotal | Tag::TimeUser) {
        out.push(b'+');
    }
    date::millis(out, us);
}

/// Time for the body of the response; negative before it began.
fn data_us(record: &Record) -> i64 {
    if record.response_us < 0 {
        return -1;
    }
    let before = [record.request_us, record.queue_us, record.connect_us, record.response_us];
    let before: i64 = before.iter().map(|us| (*us).max(0)).sum();
    (record.total_us - before).max(0)
}

fn plain(out: &mut Vec<u8>, tag: Tag, cx: &Context<'_>) {
    let record = cx.record;
    let value = match tag {
        Tag::BytesIn => record.bytes_in,
        Tag::BytesOut => record.bytes_out,
        Tag::Connections => u64::from(record.connections),
        Tag::FrontendConnections => u64::from(record.frontend_connections),
        Tag::BackendStreams => u64::from(record.backend_streams),
        Tag::ServerStreams => u64::from(record.server_streams),
        Tag::ServerQueue => u64::from(record.server_queue),
        Tag::BackendQueue => u64::from(record.backend_queue),
        Tag::Retries => u64::from(record.retries),
        _ => return int(out, if record.status == 0 { -1 } else { i64::from(record.status) }),
    };
    if (tag == Tag::BytesOut && record.partial) || (tag == Tag::Retries && record.redispatched) {
        out.push(b'+');
    }
    uint(out, value);
}

/// Appends a number, in at least four hexadecimal digits if the style says so.
pub(super) fn number(out: &mut Vec<u8>, style: Style, value: u64) {
    if style.hex {
        hex(out, value, 4);
    } else {
        uint(out, value);
    }
}

/// Appends upper-case hexadecimal digits, at least `width`.
fn hex(out: &mut Vec<u8>, value: u64, width: u32) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(width);
    for at in (0..digits).rev() {
        let digit = (value >> (4 * at) & 15) as u8;
        out.push(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 });
    }
}

fn address(out: &mut Vec<u8>, style: Style, address: IpAddr) {
    match (style.hex, address.to_canonical()) {
        (true, IpAddr::V4(address)) => hex(out, u64::from(u32::from(address)), 8),
        (true, IpAddr::V6(address)) => {
            for octet in address.octets() {
                hex(out, u64::from(octet), 2);
            }
        }
        (false, address) => ip(out, address),
    }
}

/// Appends the address of a client's connection; unix sockets have none.
fn host(out: &mut Vec<u8>, style: Style, socket: Option<SocketAddr>) {
    match socket {
        Some(socket) => address(out, style, socket.ip()),
        None => bytes(out, style, b"unix"),
    }
}

/// Appends the port of a client connection; for unix sockets, the number of the bind line.
fn port(out: &mut Vec<u8>, style: Style, socket: Option<SocketAddr>, bind: u32) {
    number(out, style, socket.map_or(u64::from(bind) + 1, |socket| u64::from(socket.port())));
}

fn peer_ip(out: &mut Vec<u8>, style: Style, socket: Option<SocketAddr>) {
    match socket {
        Some(socket) => address(out, style, socket.ip()),
        None => bytes(out, style, b""),
    }
}

fn peer_port(out: &mut Vec<u8>, style: Style, socket: Option<SocketAddr>) {
    match socket {
        Some(socket) => number(out, style, u64::from(socket.port())),
        None => bytes(out, style, b""),
    }
}

fn frontend<'a>(cx: &'a Context<'_>) -> &'a [u8] {
    cx.names.frontends.get(cx.session.frontend as usize).map_or(b"", |name| name.as_bytes())
}

fn backend<'a>(cx: &'a Context<'_>) -> &'a [u8] {
    cx.record
        .backend
        .and_then(|index| cx.names.backends.get(index as usize))
        .map_or_else(|| frontend(cx), |name| name.as_bytes())
}

fn server<'a>(cx: &'a Context<'_>) -> &'a [u8] {
    let nobody = cx.record.applet.unwrap_or("<NOSRV>").as_bytes();
    let (Some(backend), Some(server)) = (cx.record.backend, cx.record.server) else {
        return nobody;
    };
    cx.names
        .servers
        .get(backend as usize)
        .and_then(|servers| servers.get(server as usize))
        .map_or(nobody, |name| name.as_bytes())
}

fn termination(out: &mut Vec<u8>, tag: Tag, record: &Record) {
    let state = record.termination;
    let letters = [state.cause, state.phase, state.cookie_request, state.cookie_response]
        .map(|letter| if letter == 0 { b'-' } else { letter });
    out.extend_from_slice(if tag == Tag::Termination { &letters[..2] } else { &letters });
}

/// A part of the request line.
#[derive(Clone, Copy)]
enum Part {
    Line,
    Method,
    Target,
    TargetPath,
    Path,
    Query,
    Version,
}

/// Most bytes of a request line that are shown.
const REQUEST_LINE_MAX: usize = 1023;

/// Appends a part of the request line as the client sent it, whatever rules made of it since.
fn request(out: &mut Vec<u8>, style: Style, head: &Head, part: Part) {
    let received = head.received();
    let line = &received[..memchr::memchr2(b'\r', b'\n', received).unwrap_or(received.len())];
    let (method, target, version) =
        split_line(line).unwrap_or_else(|| (head.method(), head.target(), version(head)));
    let question = memchr::memchr(b'?', target).unwrap_or(target.len());
    let text = match part {
        _ if method.is_empty() => b"<BADREQ>",
        Part::Line | Part::Method => method,
        Part::Target => target,
        Part::TargetPath => &target[..question],
        Part::Path => path_of(target).unwrap_or(b""),
        Part::Query => &target[question..],
        Part::Version => version,
    };
    if style.quote {
        out.push(b'"');
    } else if text.is_empty() && style.mandatory {
        out.push(b'-');
    }
    let mut left = REQUEST_LINE_MAX;
    encode(out, text, style, &mut left);
    if matches!(part, Part::Line) && !method.is_empty() {
        for piece in [b" ", target, b" ", version] {
            encode(out, piece, style, &mut left);
        }
    }
    if style.quote {
        out.push(b'"');
    }
}

fn split_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = memchr::memchr(b' ', line)?;
    let last = memchr::memrchr(b' ', line)?;
    (first < last).then(|| (&line[..first], &line[first + 1..last], &line[last + 1..]))
}

fn version(head: &Head) -> &'static [u8] {
    match head.version() {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    }
}

/// Appends text with what would confuse readers of logs as `#` and two digits (manual 8.6).
///
/// At most `left` bytes of the text are taken, and `left` is reduced by what was.
fn encode(out: &mut Vec<u8>, text: &[u8], style: Style, left: &mut usize) {
    let text = &text[..text.len().min(*left)];
    *left -= text.len();
    if style.raw {
        return out.extend_from_slice(text);
    }
    for &byte in text {
        match byte {
            b'"' | b'#' => {
                out.push(b'#');
                hex(out, u64::from(byte), 2);
            }
            b'\\' | b']' if style.escape => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            other => {
                out.push(b'#');
                hex(out, u64::from(other), 2);
            }
        }
    }
}

/// Writes the control bytes behind `from` as `#` and two digits: a value must not look like another line of the log.
#[cold]
pub(super) fn encode_controls(out: &mut Vec<u8>, from: usize) {
    for byte in out.split_off(from) {
        if byte.is_ascii_control() {
            out.push(b'#');
            hex(out, u64::from(byte), 2);
        } else {
            out.push(byte);
        }
    }
}
