//! `errorfile`, `errorloc…`: the answers that the proxy gives itself when something went wrong.

use super::{Draft, Row};
use crate::plan::directive::Args;
use crate::plan::directive::Entry;
use crate::plan::load::Loader;
use crate::proto::reply::Reply;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    let code =
        word.as_str().parse().ok().filter(|code| Reply::statuses().any(|known| known == *code));
    if code.is_none() {
        let known: Vec<String> = Reply::statuses().map(|status| status.to_string()).collect();
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
