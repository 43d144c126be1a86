//! What the proxy answers by itself: errors, redirects, `http-request return`, the monitor page.
//!
//! A [`Reply`] is made once, when the configuration is loaded or a rule has run, and written as often as needed. The
//! default bodies follow HAProxy's form, a heading and one sentence. Status texts are those of [`super::status`].

use std::sync::Arc;

use super::h1::write::write_status_line;
use super::http::{Version, write_decimal};
use super::status::reason;

/// The sentence of each answer that the proxy gives by itself, by status.
const SENTENCES: &[(u16, &str)] = &[
    (200, "Service ready."),
    (400, "Your browser sent an invalid request."),
    (401, "This content needs a valid user and password."),
    (403, "Request forbidden by administrative rules."),
    (404, "There is no such resource here."),
    (405, "This resource does not allow the method of the request."),
    (407, "This proxy needs a valid user and password."),
    (408, "Your browser did not send a complete request in time."),
    (410, "The resource is gone and will not come back."),
    (413, "The content of the request is larger than allowed."),
    (414, "The address of the request is longer than allowed."),
    (421, "This server does not answer for the requested host."),
    (422, "The request cannot be processed as it stands."),
    (425, "Your browser sent early data."),
    (429, "Too many requests came in too short a time."),
    (431, "The header fields of the request are larger than allowed."),
    (500, "An internal server error occurred."),
    (501, "The server does not support what the request needs."),
    (502, "The server returned an invalid or incomplete response."),
    (503, "No server is available to handle this request."),
    (504, "The server did not respond in time."),
    (505, "The protocol version of the request is not supported."),
];

/// A response of the proxy's own making.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The fields, without `Content-Length` and `Connection`, which are written from the facts.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many of the fields stand before `Content-Length`: HAProxy writes what `hdr` adds first.
    pub leading: usize,
    /// The body.
    pub body: Arc<[u8]>,
    /// The bytes of an `errorfile`, as [`super::error_file`] made them: sent instead of all of the above. Without a
    /// byte, the connection is closed without an answer.
    pub raw: Option<Arc<[u8]>>,
}

impl Reply {
    /// Returns an answer without fields and body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Vec::new(), leading: 0, body: Arc::from([]), raw: None }
    }

    /// Returns the default answer for a status: an HTML page of one sentence.
    ///
    /// It asks for no password, even with 401 and 407: only who checks passwords knows how it wants them.
    pub fn error(status: u16) -> Self {
        let reason = reason(status);
        let sentence = SENTENCES
            .iter()
            .find(|(code, _)| *code == status)
            .map_or("The request could not be served.", |(_, sentence)| sentence);
        let body = format!("<html><body><h1>{status} {reason}</h1>\n{sentence}\n</body></html>\n");
        Self::new(status)
            .field(b"cache-control", b"no-cache")
            .field(b"content-type", b"text/html")
            .body(body.into_bytes())
    }

    /// Returns a redirect to `location`.
    pub fn redirect(status: u16, location: &[u8]) -> Self {
        Self::new(status).field(b"location", location).field(b"cache-control", b"no-cache")
    }

    /// Returns the statuses that the proxy answers with by itself, in order.
    pub fn statuses() -> impl Iterator<Item = u16> {
        SENTENCES.iter().map(|(status, _)| *status)
    }

    /// Returns an answer that is sent as these bytes, start line and all; they have no `Connection` field.
    pub fn verbatim(status: u16, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { raw: Some(bytes.into()), ..Self::new(status) }
    }

    /// Adds a field.
    pub fn field(mut self, name: &[u8], value: &[u8]) -> Self {
        self.fields.push((name.to_vec(), value.to_vec()));
        self
    }

    /// Adds a field, also to the head of an `errorfile`.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let Some(raw) = self.raw.as_ref().filter(|raw| !raw.is_empty()) else {
            self.fields.push((name.to_vec(), value.to_vec()));
            return;
        };
        let (head, body) = raw.split_at(head_of(raw).len());
        let mut bytes = without_last_line_end(head).to_vec();
        write_fields(&mut bytes, &[(name.to_vec(), value.to_vec())]);
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.raw = Some(bytes.into());
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Arc<[u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns whether the connection can stay open after this answer.
    ///
    /// After errors that leave unclear where the next request starts it cannot, nor after an `errorfile`.
    pub fn may_keep_alive(&self) -> bool {
        !matches!(self.status, 400 | 408 | 505)
    }

    /// Appends the answer as HTTP/1; returns whether the connection may stay open.
    ///
    /// `version` is that of the request. The answer says `connection: close` when it will not stay open.
    pub fn write_h1(
        &self,
        out: &mut Vec<u8>,
        keep_alive: bool,
        head_request: bool,
        version: Version,
    ) -> bool {
        let keep_alive = keep_alive && self.may_keep_alive();
        if let Some(raw) = &self.raw {
            if raw.is_empty() {
                return false;
            }
            let (head, body) = raw.split_at(head_of(raw).len());
            out.extend_from_slice(without_last_line_end(head));
            write_connection(out, keep_alive, version);
            out.extend_from_slice(if head_request { b"" } else { body });
            return keep_alive;
        }
        write_status_line(out, Version::Http11, self.status, reason(self.status).as_bytes());
        let has_length = self.status >= 200 && self.status != 204 && self.status != 304;
        let (leading, others) = self.fields.split_at(self.leading.min(self.fields.len()));
        write_fields(out, leading);
        if has_length {
            out.extend_from_slice(b"content-length: ");
            write_decimal(out, self.body.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        write_fields(out, others);
        write_connection(out, keep_alive, version);
        if has_length && !head_request {
            out.extend_from_slice(&self.body);
        }
        keep_alive
    }
}

fn write_fields(out: &mut Vec<u8>, fields: &[(Vec<u8>, Vec<u8>)]) {
    for (name, value) in fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Returns what of a whole response is its head, with either kind of line end.
fn head_of(raw: &[u8]) -> &[u8] {
    let end = memchr::memchr_iter(b'\n', raw).find_map(|at| match &raw[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    });
    &raw[..end.unwrap_or(raw.len())]
}

/// Returns a head without the empty line's end, so that a field can follow.
fn without_last_line_end(head: &[u8]) -> &[u8] {
    head.strip_suffix(b"\r\n").or_else(|| head.strip_suffix(b"\n")).unwrap_or(head)
}

/// Appends the field that says whether the connection stays open, where the version does not, and the empty line.
fn write_connection(out: &mut Vec<u8>, keep_alive: bool, version: Version) {
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, keep_alive: bool, head: bool, version: Version) -> (String, bool) {
        let mut out = Vec::new();
        let kept = reply.write_h1(&mut out, keep_alive, head, version);
        (String::from_utf8(out).unwrap(), kept)
    }

    #[test]
    fn default_503_is_a_heading_and_a_sentence() {
        let (text, kept) = written(&Reply::error(503), true, false, Version::Http11);
        assert!(kept);
        assert_eq!(
            text,
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\n\
             No server is available to handle this request.\n</body></html>\n"
        );
    }

    #[test]
    fn head_requests_get_the_length_without_the_body() {
        let (text, _) = written(&Reply::error(403), true, true, Version::Http11);
        assert!(text.contains("content-length: ") && text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn bad_requests_and_closing_answers_say_close() {
        assert!(!written(&Reply::error(400), true, false, Version::Http11).1);
        let (text, kept) = written(&Reply::error(404), false, false, Version::Http11);
        assert!(!kept && text.contains("\r\nconnection: close\r\n"));
        let (text, kept) = written(&Reply::error(404), true, false, Version::Http10);
        assert!(kept && text.contains("\r\nconnection: keep-alive\r\n"));
    }

    #[test]
    fn errorfile_is_sent_as_it_is_but_for_the_fate_of_the_connection() {
        let reply = Reply::verbatim(503, b"HTTP/1.0 503 Sorry\r\nX: y\r\n\r\nbody".to_vec());
        assert_eq!(
            written(&reply, true, false, Version::Http11),
            ("HTTP/1.0 503 Sorry\r\nX: y\r\n\r\nbody".to_owned(), true)
        );
        assert_eq!(
            written(&reply, false, true, Version::Http11),
            ("HTTP/1.0 503 Sorry\r\nX: y\r\nconnection: close\r\n\r\n".to_owned(), false)
        );
    }

    #[test]
    fn an_empty_errorfile_closes_without_a_byte() {
        let reply = Reply::verbatim(408, Vec::new());
        assert_eq!(written(&reply, true, false, Version::Http11), (String::new(), false));
    }

    #[test]
    fn leading_fields_stand_before_the_length() {
        let reply = Reply::new(200).field(b"x-a", b"1").field(b"content-type", b"text/plain");
        let (text, _) = written(&Reply { leading: 1, ..reply }, true, false, Version::Http11);
        let end = "x-a: 1\r\ncontent-length: 0\r\ncontent-type: text/plain\r\n\r\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn answers_without_content_have_no_length() {
        let (text, _) = written(&Reply::new(204), true, false, Version::Http11);
        assert_eq!(text, "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn sentences_are_sorted_and_end_with_a_dot() {
        assert!(SENTENCES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(SENTENCES.iter().all(|(_, sentence)| sentence.ends_with('.')));
    }
}
