//! A head as it was sent, beside the one that came: what was added, and what is gone.

use crate::rules::trace::Received;

/// One line of a head that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line without its end.
    pub text: String,
    /// Whether the client did not send it so.
    pub is_new: bool,
}

/// A request head as it was sent to a server.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The bytes, up to the empty line.
    pub head: Vec<u8>,
    /// How many bytes of content went with it at once.
    pub content: usize,
    /// Its lines, without the empty one.
    pub lines: Vec<Line>,
    /// Fields that the client sent and the server does not get.
    pub removed: Vec<(String, String)>,
}

impl Sent {
    pub(super) fn new(head: &[u8], content: usize, received: &Received) -> Self {
        let mut left: Vec<(String, String)> =
            received.fields.iter().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let first = received.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut lines = Vec::new();
        for (at, line) in head.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let is_new = match at {
                0 => first.trim_ascii_end() != line,
                _ => !take(&mut left, line),
            };
            lines.push(Line { text: lossy(line), is_new });
        }
        Self { head: head.to_vec(), content, lines, removed: left }
    }
}

/// Takes the field that the line is out of those that the client sent; returns whether it was among them.
fn take(left: &mut Vec<(String, String)>, line: &[u8]) -> bool {
    let text = lossy(line);
    let Some((name, value)) = text.split_once(':') else { return false };
    let value = value.trim();
    let is = |(n, v): &(String, String)| n.eq_ignore_ascii_case(name) && v.trim() == value;
    match left.iter().position(is) {
        Some(at) => {
            left.remove(at);
            true
        }
        None => false,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
