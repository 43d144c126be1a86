//! `errorfile`, `errorloc…`: the answers that the proxy gives itself when something went wrong.

use super::{Draft, Row};
use crate::plan::ErrorFiles;
use crate::plan::directive::Args;
use crate::plan::directive::Entry;
use crate::plan::load::Loader;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Statuses that the proxy answers itself, and what the page says.
const BUILT_IN: &[(u16, &str, &str)] = &[
    (200, "OK", "The service works."),
    (400, "Bad Request", "The request is not valid HTTP."),
    (401, "Unauthorized", "A user and a password are needed here."),
    (403, "Forbidden", "A rule of this proxy refuses the request."),
    (404, "Not Found", "There is nothing at this address."),
    (405, "Method Not Allowed", "This method cannot be used here."),
    (407, "Proxy Authentication Required", "A user and a password are needed here."),
    (408, "Request Timeout", "The request did not arrive in time."),
    (410, "Gone", "What was at this address was removed for good."),
    (413, "Payload Too Large", "The request is larger than this proxy takes."),
    (425, "Too Early", "The request came too early and must be sent again."),
    (429, "Too Many Requests", "Too many requests came from this client."),
    (500, "Internal Server Error", "The proxy could not handle the request."),
    (501, "Not Implemented", "The proxy does not know this kind of request."),
    (502, "Bad Gateway", "The server gave an answer that is not valid."),
    (503, "Service Unavailable", "No server can take the request now."),
    (504, "Gateway Timeout", "The server did not answer in time."),
];

/// Returns the answers for all statuses that no directive gives another answer.
pub(in crate::plan) fn built_in() -> ErrorFiles {
    BUILT_IN.iter().map(|(status, reason, text)| (*status, page(*status, reason, text))).collect()
}

fn page(status: u16, reason: &str, text: &str) -> Arc<[u8]> {
    let body = format!("<html><body><h1>{status} {reason}</h1>\n{text}\n</body></html>\n");
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-length: {}\r\ncache-control: no-cache\r\n\
         content-type: text/html\r\n",
        body.len()
    );
    match status {
        401 => answer.push_str("www-authenticate: Basic realm=\"proxy\"\r\n"),
        407 => answer.push_str("proxy-authenticate: Basic realm=\"proxy\"\r\n"),
        _ => {}
    }
    answer.push_str("\r\n");
    answer.push_str(&body);
    answer.into_bytes().into()
}

/// One row per directive.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "errorfile",
        example: "errorfile 503 /etc/haproxy/errors/503.http",
        build: Row::new(error_file),
    },
    Entry {
        name: "errorloc",
        example: "errorloc 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| {
            redirect(cx, &mut draft.settings.error_files, args, "302 Found");
        }),
    },
    Entry {
        name: "errorloc302",
        example: "errorloc302 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| {
            redirect(cx, &mut draft.settings.error_files, args, "302 Found");
        }),
    },
    Entry {
        name: "errorloc303",
        example: "errorloc303 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| {
            redirect(cx, &mut draft.settings.error_files, args, "303 See Other");
        }),
    },
];

fn error_file(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let Some(code) = status(cx, args) else { return };
    let Some(file) = args.required(cx, "the path of a file") else { return };
    if file.as_str() == "/dev/null" {
        // The manual's way to close without an answer.
        draft.settings.error_files.insert(code, Arc::from(&[][..]));
        return;
    }
    match cx.read_file(file.as_str()).and_then(|raw| normalise(&raw)) {
        Ok(answer) => {
            draft.settings.error_files.insert(code, answer);
        }
        Err(why) => {
            args.give_up();
            cx.error(file.span, format!("`errorfile`: {why}"));
        }
    }
}

fn redirect(
    cx: &mut Loader<'_>,
    files: &mut BTreeMap<u16, Arc<[u8]>>,
    args: &mut Args<'_>,
    status_line: &str,
) {
    let Some(code) = status(cx, args) else { return };
    let Some(url) = args.required(cx, "a URL") else { return };
    if url.as_str().bytes().any(|b| b.is_ascii_control()) {
        return args.fail(cx, url.span, "the URL holds a control character");
    }
    let answer = format!(
        "HTTP/1.1 {status_line}\r\ncache-control: no-cache\r\ncontent-length: 0\r\nlocation: {}\r\n\r\n",
        url.as_str()
    );
    files.insert(code, answer.into_bytes().into());
}

fn status(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<u16> {
    let word = args.required(cx, "a status code")?;
    let code = word.as_str().parse().ok().filter(|code| BUILT_IN.iter().any(|row| row.0 == *code));
    if code.is_none() {
        let known: Vec<String> = BUILT_IN.iter().map(|row| row.0.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        args.not_one_of(cx, word, &known);
    }
    code
}

/// Returns the response of an error file as it is sent: CR LF at line ends, the true length, no connection header,
/// because whether the connection stays open is not for a file to say.
fn normalise(raw: &[u8]) -> Result<Arc<[u8]>, String> {
    let (head, body) = split_head(raw).ok_or("the file has no empty line behind its head")?;
    let head = std::str::from_utf8(head).map_err(|_| "the head of the file is not text")?;
    let mut lines = head.lines();
    let status_line = lines.next().unwrap_or("");
    let rest = status_line
        .strip_prefix("HTTP/1.0 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.1 "))
        .filter(|rest| rest.len() >= 3 && rest.as_bytes()[..3].iter().all(u8::is_ascii_digit))
        .ok_or(
            "the file does not begin with a status line such as `HTTP/1.1 503 Service Unavailable`",
        )?;
    let mut out = format!("HTTP/1.1 {rest}\r\n");
    for line in lines {
        let (name, value) =
            line.split_once(':').ok_or_else(|| format!("`{line}` is not a header field"))?;
        let name = name.trim();
        if ["connection", "content-length", "transfer-encoding"]
            .iter()
            .all(|dropped| !name.eq_ignore_ascii_case(dropped))
        {
            out.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
    }
    out.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    Ok(out.into())
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
    fn every_built_in_answer_has_its_true_length() {
        for (status, answer) in built_in() {
            let text = String::from_utf8(answer.to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        }
    }

    #[test]
    fn error_file_gets_line_ends_and_length_and_loses_the_connection_header() {
        let raw =
            b"HTTP/1.0 503 Sorry\nCache-Control: no-cache\nConnection: close\n\n<p>later</p>\n";
        let answer = normalise(raw).unwrap();
        assert_eq!(
            std::str::from_utf8(&answer).unwrap(),
            "HTTP/1.1 503 Sorry\r\nCache-Control: no-cache\r\ncontent-length: 13\r\n\r\n<p>later</p>\n"
        );
    }

    #[test]
    fn error_file_that_is_no_response_is_refused() {
        assert!(normalise(b"<html></html>\n\n").is_err());
        assert!(normalise(b"HTTP/1.1 503 Sorry\nno colon\n\n").unwrap_err().contains("no colon"));
        assert!(normalise(b"HTTP/1.1 503 Sorry").is_err());
    }
}
