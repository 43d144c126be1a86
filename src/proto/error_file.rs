//! Files that hold a whole response, such as those of `errorfile`: checked once, kept ready to send.
//!
//! What a file says about the connection and the length of its body is replaced by the facts, so that the response fits
//! the client that gets it. Nothing here reads files.

use super::scan;
use std::sync::Arc;

/// Returns the response of a file as it is sent: CR LF at line ends, the true length, no connection header, because
/// whether the connection stays open is not for a file to say. An empty file is an empty answer: the connection is
/// closed without a word.
///
/// # Errors
/// A message fragment that says why the file is no response.
pub fn parse(raw: &[u8]) -> Result<Arc<[u8]>, String> {
    if raw.is_empty() {
        return Ok(Arc::from([]));
    }
    let (head, body) = split_head(raw).ok_or("the file has no empty line behind its head")?;
    let head = std::str::from_utf8(head).map_err(|_| "the head of the file is not text")?;
    let mut lines = head.lines();
    let (code, rest) = status_line(lines.next().unwrap_or(""))?;
    let mut out = format!("HTTP/1.1 {rest}\r\n").into_bytes();
    for line in lines {
        field(line, body.len(), &mut out)?;
    }
    if code == 204 || code == 304 {
        if !body.is_empty() {
            return Err(format!("a response with status {code} has no body"));
        }
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(body);
    Ok(out.into())
}

/// Returns the status of a status line, and the line from the status on.
fn status_line(line: &str) -> Result<(u16, &str), String> {
    let rest = line.strip_prefix("HTTP/1.0 ").or_else(|| line.strip_prefix("HTTP/1.1 "));
    let code = rest.and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    let end = rest.is_some_and(|rest| matches!(rest.as_bytes().get(3), None | Some(b' ')));
    let (Some(rest), Some(code), true) = (rest, code, end) else {
        return Err("the file does not begin with a status line such as \
                    `HTTP/1.1 503 Service Unavailable`"
            .to_owned());
    };
    if rest.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("its status line holds a control character".to_owned());
    }
    if !(200..=599).contains(&code) {
        return Err(format!("status {code} is not the end of anything: it must be in 200..=599"));
    }
    Ok((code, rest))
}

/// Appends a field line unless it speaks of the connection or the length.
fn field(line: &str, body_len: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| format!("`{line}` is not a header field"))?;
    let value = value.trim();
    if !scan::is_token(name.as_bytes()) {
        return Err(format!("`{name}` is no name of a header field"));
    }
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(format!("the value of `{name}` holds a control character"));
    }
    match name.to_ascii_lowercase().as_str() {
        "connection" => {}
        "content-length" if value.parse() == Ok(body_len) => {}
        "content-length" => {
            return Err(format!(
                "its `Content-Length` is {value}, and {body_len} bytes stand behind its head"
            ));
        }
        "transfer-encoding" => {
            return Err("the body of the file must be plain, without chunks".to_owned());
        }
        _ => out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes()),
    }
    Ok(())
}

/// Splits a response behind the first empty line.
fn split_head(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'\n', raw.get(at..)?) {
        let line = &raw[at..at + length];
        if at > 0 && (line.is_empty() || line == b"\r") {
            return Some((&raw[..at], &raw[at + length + 1..]));
        }
        at += length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_file_gets_line_ends_and_length_and_loses_the_connection_header() {
        let raw =
            b"HTTP/1.0 503 Sorry\nCache-Control: no-cache\nConnection: close\n\n<p>later</p>\n";
        let answer = parse(raw).unwrap();
        assert_eq!(
            std::str::from_utf8(&answer).unwrap(),
            "HTTP/1.1 503 Sorry\r\nCache-Control: no-cache\r\ncontent-length: 13\r\n\r\n<p>later</p>\n"
        );
    }

    #[test]
    fn error_file_that_is_no_response_is_refused() {
        for (raw, why) in [
            ("<html></html>\n\n", "status line"),
            ("HTTP/1.1 5030 X\n\n", "status line"),
            ("HTTP/1.1 503 Sorry\rX: y\n\n", "control"),
            ("HTTP/1.1 503 Sorry\nno colon\n\n", "no colon"),
            ("HTTP/1.1 503 Sorry\nX : y\n\n", "`X `"),
            ("HTTP/1.1 503 Sorry\nX: \x01\n\n", "control"),
            ("HTTP/1.1 503 Sorry", "no empty line"),
            ("HTTP/1.1 103 Early\n\n", "103"),
            ("HTTP/1.1 204 None\n\nbody", "204"),
            ("HTTP/1.1 503 X\nContent-Length: 5\n\nabc", "3 bytes"),
            ("HTTP/1.1 503 X\nTransfer-Encoding: chunked\n\n0\n\n", "chunks"),
        ] {
            let said = parse(raw.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{raw:?}: {said}");
        }
    }

    #[test]
    fn an_empty_file_is_an_answer_without_a_byte() {
        assert_eq!(parse(b"").unwrap().len(), 0);
    }

    #[test]
    fn statuses_without_content_get_no_length() {
        let answer = parse(b"HTTP/1.1 204 Nothing\nX: y\n\n").unwrap();
        assert_eq!(&*answer, b"HTTP/1.1 204 Nothing\r\nX: y\r\n\r\n");
    }
}
