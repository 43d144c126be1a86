//! `option httpchk`, `option tcp-check` and `http-check …`: how servers are checked.

use super::{Draft, Row};
use crate::config::ast::Word;
use crate::plan::CheckKind;
use crate::plan::directive::Entry;
use crate::plan::directive::{Args, Prefix};
use crate::plan::load::Loader;

/// How servers are checked, while the lines are read.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct CheckDraft {
    http: bool,
    method: Option<String>,
    uri: Option<String>,
    /// Version, and what old files append to it: `HTTP/1.1\r\nHost: www`.
    version: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// Accepted ranges; empty is 200..=399.
    expect: Vec<(u16, u16)>,
}

impl CheckDraft {
    /// Returns the finished kind, with the whole request rendered.
    pub(in crate::plan) fn kind(&self) -> CheckKind {
        if !self.http {
            return CheckKind::Tcp;
        }
        let method = self.method.as_deref().unwrap_or("OPTIONS");
        let uri = self.uri.as_deref().unwrap_or("/");
        let version = self.version.as_deref().unwrap_or("HTTP/1.0");
        let mut request = format!("{method} {uri} {}\r\n", version.trim_end());
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        // The server is to close after the answer, so that a check never waits for more; HTTP/1.0 does so by itself.
        if version.trim_end() != "HTTP/1.0" {
            request.push_str("connection: close\r\n");
        }
        request.push_str("\r\n");
        request.push_str(self.body.as_deref().unwrap_or(""));
        let expect = match self.expect.is_empty() {
            true => vec![(200, 399)],
            false => self.expect.clone(),
        };
        CheckKind::Http { request: request.into_bytes(), expect }
    }
}

/// One row per directive; the options stand in the table of options.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "http-check expect",
        example: "http-check expect status 200,301-302",
        build: Row::new(expect),
    },
    Entry {
        name: "http-check send",
        example: "http-check send meth GET uri /health hdr Host www",
        build: Row::new(send),
    },
];

pub(super) fn httpchk(_: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let check = &mut draft.settings.check;
    check.http = args.prefix == Prefix::None;
    let words: Vec<&Word> = std::iter::from_fn(|| args.next()).take(3).collect();
    let text = |at: usize| words.get(at).map(|word| word.text.clone());
    match words.len() {
        0 => {}
        1 => (check.method, check.uri, check.version) = (None, text(0), None),
        _ => (check.method, check.uri, check.version) = (text(0), text(1), text(2)),
    }
}

pub(super) fn tcp_check(_: &mut Loader<'_>, draft: &mut Draft<'_>, _: &mut Args<'_>) {
    draft.settings.check.http = false;
}

fn expect(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let negated = args.take("!");
    let Some(what) = args.required(cx, "`status`") else { return };
    match what.as_str() {
        "status" => {}
        "string" | "rstring" | "rstatus" | "hdr" | "fhdr" | "min-recv" | "comment"
        | "ok-status" | "error-status" | "tout-status" | "on-success" | "on-error"
        | "status-code" => {
            let text = format!("`http-check expect {}` is not supported yet", what.as_str());
            return args.fail(cx, what.span, text);
        }
        _ => return args.not_one_of(cx, what, &["!", "status"]),
    }
    let Some(codes) = args.required(cx, "status codes") else { return };
    let Some(mut ranges) = statuses(codes.as_str()) else {
        let text = format!("`{}` is not a list of status codes", codes.as_str());
        return args.fail(cx, codes.span, text);
    };
    if negated {
        ranges = complement(ranges);
    }
    draft.settings.check.expect = ranges;
}

fn send(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    const WORDS: &[&str] = &["body", "hdr", "meth", "uri", "ver"];
    let check = &mut draft.settings.check;
    check.headers.clear();
    check.body = None;
    while let Some(word) = args.next() {
        match word.as_str() {
            "meth" | "uri" | "ver" | "body" => {
                let Some(value) = args.required(cx, "a value") else { return };
                let place = match word.as_str() {
                    "meth" => &mut check.method,
                    "uri" => &mut check.uri,
                    "ver" => &mut check.version,
                    _ => &mut check.body,
                };
                *place = Some(value.text.clone());
            }
            "hdr" => {
                let Some(name) = args.required(cx, "a field name") else { return };
                let Some(value) = args.required(cx, "a field value") else { return };
                if value.as_str().contains("%[") {
                    return args.fail(
                        cx,
                        value.span,
                        "expressions in `http-check send` are not supported yet",
                    );
                }
                check.headers.push((name.text.clone(), value.text.clone()));
            }
            "uri-lf" | "body-lf" | "comment" => {
                let text = format!("`http-check send {}` is not supported yet", word.as_str());
                return args.fail(cx, word.span, text);
            }
            _ => return args.not_one_of(cx, word, WORDS),
        }
    }
}

/// Reads `200,301-302`.
fn statuses(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let range: (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
            (100 <= range.0 && range.0 <= range.1 && range.1 <= 999).then_some(range)
        })
        .collect()
}

/// Returns the statuses that are in none of `ranges`.
fn complement(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut out = Vec::new();
    let mut next = 100;
    for (low, high) in ranges {
        if next < low {
            out.push((next, low - 1));
        }
        next = next.max(high + 1);
    }
    if next <= 999 {
        out.push((next, 999));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lists_are_codes_and_ranges() {
        assert_eq!(statuses("200,301-302"), Some(vec![(200, 200), (301, 302)]));
        assert_eq!(statuses("302-301"), None);
        assert_eq!(statuses("2xx"), None);
    }

    #[test]
    fn negated_statuses_are_all_others() {
        assert_eq!(complement(vec![(500, 599), (100, 199)]), [(200, 499), (600, 999)]);
        assert_eq!(complement(vec![(100, 999)]), Vec::<(u16, u16)>::new());
    }
}
