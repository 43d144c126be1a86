//! The statistics page (`stats uri`): HTML for people, and the same numbers as CSV, JSON and typed lines.
//!
//! Checks `stats auth`, reads the options behind the address (`;csv`, `;json`, `;typed`, `;norefresh`, `;up`,
//! `;no-maint`, `scope=`) and answers. The HTML is made by [`html`] without scripts and without anything from elsewhere.
//! Nothing can be changed through the page.

mod cells;
mod html;

use super::rates::Rates;
use super::selection::Selection;
use super::subject::Overview;
use super::{csv, json};
use crate::plan::{Plan, StatsPage};
use crate::proto::http::Head;
use crate::rules::action::Answer;
use std::sync::Arc;

/// Answers a request for the statistics page `page` of `plan`.
pub fn serve(plan: &Arc<Plan>, page: &StatsPage, rates: &Rates, request: &Head) -> Answer {
    if !authorized(&page.auth, request.get(b"authorization")) {
        return unauthorized(&page.realm);
    }
    if !matches!(request.method(), b"GET" | b"HEAD") {
        let mut answer = plain(405, "the statistics can only be read\n");
        answer.fields.push(field("Allow", "GET, HEAD"));
        return answer;
    }
    let options = Options::parse(&page.uri, &String::from_utf8_lossy(request.target()));
    let selection = Selection {
        up: options.up,
        no_maintenance: options.no_maintenance,
        scope: page.scope.clone(),
        name_contains: options.scope.clone(),
        ..Selection::default()
    };
    let reading = rates.reading();
    let overview = Overview::new(plan, &reading);
    let (kind, body) = match options.format {
        Format::Html => (
            "text/html; charset=utf-8",
            html::write(&overview, rates.process(), page, &options, &selection),
        ),
        Format::Csv => ("text/plain; charset=utf-8", csv::write(&overview, &selection)),
        Format::Json => ("application/json", json::write(&overview, &selection)),
        Format::Typed => {
            ("text/plain; charset=utf-8", json::write_typed(&overview, &selection, false))
        }
    };
    let mut answer = Answer {
        status: 200,
        fields: vec![field("Cache-Control", "no-cache"), field("Content-Type", kind)],
        body: body.into_bytes(),
        close: false,
        ..Answer::default()
    };
    if let Some(seconds) = refresh(page, &options) {
        answer.fields.push(field("Refresh", &seconds.to_string()));
    }
    answer
}

/// What the address asks for behind `stats uri`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    format: Format,
    no_refresh: bool,
    up: bool,
    no_maintenance: bool,
    scope: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Html,
    Csv,
    Json,
    Typed,
}

impl Options {
    /// Reads the options of a request target; what is not known is ignored, as in HAProxy.
    fn parse(uri: &str, target: &str) -> Self {
        let rest = target.find(uri).map_or(target, |at| &target[at + uri.len()..]);
        let mut options = Self::default();
        for word in rest.split([';', '?', '&']) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("csv", _) => options.format = Format::Csv,
                ("json", _) => options.format = Format::Json,
                ("typed", _) => options.format = Format::Typed,
                ("norefresh", _) => options.no_refresh = true,
                ("up", _) => options.up = true,
                ("no-maint", _) => options.no_maintenance = true,
                ("scope", "") => {}
                ("scope", name) => options.scope = Some(percent_decoded(name)),
                _ => {}
            }
        }
        options
    }
}

/// Returns after how many seconds the page asks to be fetched again.
fn refresh(page: &StatsPage, options: &Options) -> Option<u64> {
    let delay = page.refresh.filter(|_| !options.no_refresh)?;
    Some(delay.as_millis().div_ceil(1000).max(1) as u64)
}

/// Returns whether the field `Authorization` names one of the users; without users everybody may read.
///
/// Takes the same time for every wrong password of one length.
fn authorized(users: &[String], authorization: Option<&[u8]>) -> bool {
    if users.is_empty() {
        return true;
    }
    let Some((scheme, credentials)) = authorization.and_then(|value| value.split_at_checked(6))
    else {
        return false;
    };
    let given = credentials.trim_ascii();
    // Every user is compared, so that the time does not tell which one came near.
    let known = users.iter().fold(false, |known, user| {
        known | equal_in_constant_time(base64(user.as_bytes()).as_bytes(), given)
    });
    scheme.eq_ignore_ascii_case(b"basic ") && known
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && a.len() == b.len()
}

/// Returns the base64 form (RFC 4648 section 4), with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            out.push(match digit <= chunk.len() {
                true => DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char,
                false => '=',
            });
        }
    }
    out
}

/// Returns the text behind `%XX` and `+`; broken escapes stand for themselves.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|digit| (*digit as char).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns what asks for a user; the page that goes with it is the error page of its status.
fn unauthorized(realm: &str) -> Answer {
    let realm: String = realm.chars().filter(|c| !c.is_control()).collect();
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    Answer {
        status: 401,
        fields: vec![field("www-authenticate", &format!("Basic realm=\"{realm}\""))],
        ..Answer::default()
    }
}

fn plain(status: u16, body: &str) -> Answer {
    Answer {
        status,
        fields: vec![
            field("Cache-Control", "no-cache"),
            field("Content-Type", "text/plain; charset=utf-8"),
        ],
        body: body.as_bytes().to_vec(),
        close: false,
        ..Answer::default()
    }
}

fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648_section_10() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn broken_percent_escapes_stand_for_themselves() {
        for (text, decoded) in [("a%20b+c", "a b c"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA")]
        {
            assert_eq!(percent_decoded(text), decoded);
        }
    }

    #[test]
    fn options_are_only_read_behind_the_address() {
        let options = Options::parse("/up;csv?stats", "/up;csv?stats;norefresh&scope=a");
        let expected =
            Options { no_refresh: true, scope: Some("a".to_owned()), ..Options::default() };
        assert_eq!(options, expected);
        assert_eq!(Options::parse("/s", "/else;json").format, Format::Json);
    }
}
