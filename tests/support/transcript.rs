//! Bytes that a client or a server received, as lines that two proxies can be compared by.
//!
//! What two right proxies may do in two ways is made one: the case of field names, the blanks around values, dates, where
//! chunks are cut, the words of built-in error pages. Everything else is shown as it came; what is no well-formed message is shown as bytes. This
//! reader is strict on purpose and shares no code with fastlb.

use std::fmt::Write as _;

/// Who received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client, after requests with these methods' places in the list.
    Client,
    Server,
}

/// Returns the lines of a stream of messages; `methods` are those of the requests that a client sent.
pub fn lines(side: Side, bytes: &[u8], methods: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = bytes;
    let mut methods = methods.iter().map(String::as_str);
    while !rest.is_empty() {
        match message(side, rest, &mut methods, &mut out) {
            Some(after) => rest = after,
            None => {
                out.push(format!("? {}", escaped(rest)));
                break;
            }
        }
    }
    out
}

/// Appends the lines of one message and returns what is behind it; `None` when it is none.
fn message<'a>(
    side: Side,
    bytes: &'a [u8],
    methods: &mut dyn Iterator<Item = &str>,
    out: &mut Vec<String>,
) -> Option<&'a [u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let status = if side == Side::Client {
        let status: u16 = first.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        Some(status)
    } else {
        first.rfind(" HTTP/1.")?;
        None
    };
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if line.contains(['\r', '\n']) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        if name != "date" {
            fields.push((name, value.trim_matches([' ', '\t']).to_owned()));
        }
    }
    let field = |wanted: &str| {
        fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    let interim = status.is_some_and(|status| status < 200 && status != 101);
    let method =
        if side == Side::Client && !interim { methods.next().unwrap_or("GET") } else { "" };
    let tunnel = status == Some(101)
        || method == "CONNECT" && status.is_some_and(|status| status / 100 == 2)
        || side == Side::Server && (first.starts_with("CONNECT ") || field("upgrade").is_some());
    let none = interim || method == "HEAD" || matches!(status, Some(204 | 304));
    let built_in = side == Side::Client && rest.starts_with(b"<html><body><h1>") && !none;
    if built_in {
        // Its reason, its words and the order of its fields are each proxy's own.
        out.push(first[..12].to_owned());
        let mut shown: Vec<String> = fields
            .iter()
            .filter(|(name, _)| name != "content-length")
            .map(|(name, value)| format!("{name}: {}", escaped(value.as_bytes())))
            .collect();
        shown.sort();
        out.append(&mut shown);
    } else {
        out.push(escaped(first.as_bytes()));
        for (name, value) in &fields {
            out.push(format!("{name}: {}", escaped(value.as_bytes())));
        }
    }
    let chunked =
        field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = field("content-length").and_then(|value| value.parse::<usize>().ok());
    if none {
        return Some(rest);
    }
    // A server that did not agree gets more requests.
    let tunnel = tunnel && !(side == Side::Server && starts_like_a_request(rest));
    if tunnel && !chunked && length.unwrap_or(0) == 0 {
        if !rest.is_empty() {
            out.push(format!("tunnel | {}", escaped(rest)));
        }
        return Some(&[]);
    }
    if chunked {
        return chunks(rest, out);
    }
    let length = match (length, side) {
        (Some(length), _) => length,
        (None, Side::Server) => 0,
        (None, Side::Client) => rest.len(),
    };
    let body = &rest[..length.min(rest.len())];
    if built_in {
        out.push("| the built-in page".to_owned());
    } else if !body.is_empty() {
        out.push(format!("| {}", escaped(body)));
    }
    if body.len() < length {
        out.push(format!("| short by {}", length - body.len()));
    }
    Some(&rest[body.len()..])
}

/// Returns whether the first line ends as that of a request.
fn starts_like_a_request(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Appends the content of a chunked body and its trailers; returns what is behind it.
fn chunks<'a>(mut bytes: &'a [u8], out: &mut Vec<String>) -> Option<&'a [u8]> {
    let mut body = Vec::new();
    let mut end = "chunks are cut off";
    let mut extensions = Vec::new();
    let mut trailers = Vec::new();
    while let Some(at) = bytes.windows(2).position(|window| window == b"\r\n") {
        let line = &bytes[..at];
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits]).ok()?;
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        let behind = &bytes[at + 2..];
        if digits < line.len() {
            extensions.push(format!("extension of {size} {}", escaped(&line[digits..])));
        }
        if size == 0 {
            bytes = behind;
            while let Some(at) = bytes.windows(2).position(|window| window == b"\r\n") {
                let line = &bytes[..at];
                bytes = &bytes[at + 2..];
                if line.is_empty() {
                    end = "";
                    break;
                }
                let text = escaped(line);
                let (name, value) = text.split_once(':').unwrap_or((&text, ""));
                trailers.push(format!("trailer {}:{value}", name.to_ascii_lowercase()));
            }
            break;
        }
        let have = &behind[..size.min(behind.len())];
        body.extend_from_slice(have);
        bytes = &behind[have.len()..];
        let Some(after) = bytes.strip_prefix(b"\r\n") else { break };
        bytes = after;
    }
    out.push(format!("chunks | {}", escaped(&body)));
    out.append(&mut extensions);
    out.append(&mut trailers);
    if end.is_empty() {
        return Some(bytes);
    }
    out.push(format!("{end} | {}", escaped(bytes)));
    Some(&[])
}

/// Returns bytes as readable text; long ones as their beginning and a digest.
pub fn escaped(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let mut out = String::new();
    for byte in bytes.iter().take(SHOWN) {
        match byte {
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    if bytes.len() > SHOWN {
        let _ = write!(out, "... {}", super::digest(bytes));
    }
    out
}
