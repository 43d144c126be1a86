//! The text format of wire cases (`tests/wire/*.txt`): configuration lines, what client and origin send, what is expected.
//!
//! ```text
//! === global                     lines of the file's `global` section, once per file
//! === sections                   whole sections of the file, such as a userlist
//! === group some words           what follows starts from these lines
//! front: option http-server-close
//! === case words that say the rule
//! back: http-request set-header X y
//! -- client
//! GET / HTTP/1.1
//! Host: a
//!
//! -- origin close
//! HTTP/1.1 200 OK
//! Content-Length: 2
//!
//! hi\
//! -- same
//! ```
//!
//! A line of bytes ends in CRLF unless a backslash ends it. Escapes: `\r \n \t \0 \s` (a blank) `\\ \xHH`, `\p` a pause, and
//! `\*N{text}` for N times the text. A further `-- client` is sent when the answer to the one before it has come; `-- end`
//! ends the client's sending side, `-- gone` closes the connection, `-- wait` only waits. Each `-- origin` answers one request, in their
//! order, whatever the connection; without one the answer is a 200 with two bytes. Words behind it: `head` (answer at the
//! end of the head, not of the body), `close`, `reset`, `tunnel` (then send back what comes). `-- same` expects what a
//! real haproxy does; `-- differs: <words of docs/differences.md>` expects the lines of `-- fastlb` behind it.
//!
//! Nothing here runs a case: that is `play`'s.

use std::ops::Range;

/// A file of cases.
#[derive(Debug, Default)]
pub struct Cases {
    /// Lines of the `global` section.
    pub global: String,
    /// Whole sections.
    pub sections: String,
    pub cases: Vec<Case>,
}

/// One exchange.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub group: String,
    pub name: String,
    pub front: Vec<String>,
    pub back: Vec<String>,
    /// Words behind the server's address.
    pub server: String,
    pub client: Vec<Step>,
    pub origin: Vec<Answer>,
    pub expected: Expected,
    /// The lines of the file that hold the expectation.
    pub lines: Range<usize>,
}

/// What the client does next.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<Piece>),
    Wait,
    End,
    Gone,
}

/// Bytes, or a pause between them.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Bytes(Vec<u8>),
    Pause,
}

/// How the origin answers one request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub bytes: Vec<Piece>,
    /// As soon as the head has come.
    pub at_head: bool,
    pub then: Then,
}

/// What the origin does behind an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Keep,
    Close,
    Reset,
    Tunnel,
}

/// What must come out.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Expected {
    /// Nothing was said: a mistake of the file.
    #[default]
    Nothing,
    /// What haproxy does.
    Same,
    /// These lines, for this reason.
    Differs { reason: String, fastlb: Vec<String> },
}

impl Cases {
    /// Reads a file; panics with the line that it does not understand.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            reader.line(number, line);
        }
        reader.finish(text.lines().count());
        assert!(!reader.cases.cases.is_empty(), "no cases");
        for case in &reader.cases.cases {
            assert_ne!(case.expected, Expected::Nothing, "{}: no expectation", case.name);
            assert!(!case.client.is_empty(), "{}: the client does nothing", case.name);
        }
        reader.cases
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    #[default]
    Top,
    Global,
    Sections,
    Group,
    Case,
    Client,
    Origin,
    Fastlb,
    Expected,
}

#[derive(Default)]
struct Reader {
    cases: Cases,
    place: Place,
    group: Case,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        if let Some(words) = line.strip_prefix("=== ") {
            return self.start(number, words);
        }
        if let Some(words) = line.strip_prefix("-- ") {
            return self.block(number, words.trim_end());
        }
        match self.place {
            Place::Top | Place::Expected => {
                assert!(
                    line.is_empty() || line.starts_with('#'),
                    "line {}: {line:?} stands nowhere",
                    number + 1
                );
            }
            Place::Global => self.cases.global += &format!(" {line}\n"),
            Place::Sections => self.cases.sections += &format!("{line}\n"),
            Place::Group | Place::Case => self.setting(number, line),
            Place::Client => {
                let Some(Step::Send(pieces)) = self.case().client.last_mut() else {
                    unreachable!("a block of bytes was begun")
                };
                unescape(line, pieces);
            }
            Place::Origin => {
                let answer = self.case().origin.last_mut().expect("a block of bytes was begun");
                unescape(line, &mut answer.bytes);
            }
            Place::Fastlb => {
                if let Expected::Differs { fastlb, .. } = &mut self.case().expected
                    && !line.is_empty()
                {
                    fastlb.push(line.to_owned());
                }
            }
        }
    }

    fn start(&mut self, number: usize, words: &str) {
        self.finish(number);
        let (kind, name) = words.split_once(' ').unwrap_or((words, ""));
        self.place = match kind {
            "global" => Place::Global,
            "sections" => Place::Sections,
            "group" => {
                self.group = Case { group: name.to_owned(), ..Case::default() };
                Place::Group
            }
            "case" => {
                assert!(
                    self.cases.cases.iter().all(|case| case.name != name),
                    "{name:?} names two cases"
                );
                self.cases.cases.push(Case { name: name.to_owned(), ..self.group.clone() });
                Place::Case
            }
            _ => panic!("line {}: what is {words:?}?", number + 1),
        };
    }

    /// Ends the lines of the last expectation.
    fn finish(&mut self, number: usize) {
        if let Some(case) = self.cases.cases.last_mut()
            && case.lines.end == usize::MAX
        {
            case.lines.end = number;
        }
    }

    fn setting(&mut self, number: usize, line: &str) {
        let case = if self.place == Place::Group { &mut self.group } else { self.case() };
        match line.split_once(": ") {
            Some(("front", rest)) => case.front.push(rest.to_owned()),
            Some(("back", rest)) => case.back.push(rest.to_owned()),
            Some(("server", rest)) => case.server = rest.to_owned(),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => panic!("line {}: {line:?} is no setting", number + 1),
        }
    }

    fn block(&mut self, number: usize, words: &str) {
        let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
        self.place = match kind {
            "client" => {
                self.case().client.push(Step::Send(Vec::new()));
                Place::Client
            }
            "end" | "gone" | "wait" => {
                let step = match kind {
                    "end" => Step::End,
                    "gone" => Step::Gone,
                    _ => Step::Wait,
                };
                self.case().client.push(step);
                Place::Expected
            }
            "origin" => {
                let mut answer = Answer::default();
                for word in rest.split_whitespace() {
                    match word {
                        "head" => answer.at_head = true,
                        "close" => answer.then = Then::Close,
                        "reset" => answer.then = Then::Reset,
                        "tunnel" => answer.then = Then::Tunnel,
                        _ => panic!("line {}: an origin does not {word:?}", number + 1),
                    }
                }
                self.case().origin.push(answer);
                Place::Origin
            }
            "same" | "differs:" => {
                let differs = Expected::Differs { reason: rest.to_owned(), fastlb: Vec::new() };
                let case = self.case();
                case.expected = if kind == "same" { Expected::Same } else { differs };
                case.lines = number..usize::MAX;
                Place::Expected
            }
            "fastlb" => Place::Fastlb,
            _ => panic!("line {}: what is {words:?}?", number + 1),
        };
    }

    fn case(&mut self) -> &mut Case {
        self.cases.cases.last_mut().expect("a case was begun")
    }
}

/// Appends what a line of the file stands for, with its CRLF.
pub fn unescape(line: &str, pieces: &mut Vec<Piece>) {
    let mut out = Vec::new();
    let mut rest = line;
    let mut ends = true;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else {
            ends = false;
            break;
        };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '0' => out.push(0),
            's' => out.push(b' '),
            '\\' => out.push(b'\\'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).expect("two hex digits"));
                rest = &rest[2..];
            }
            'p' => {
                push(pieces, std::mem::take(&mut out));
                pieces.push(Piece::Pause);
            }
            '*' => {
                let (count, after) = rest.split_once('{').expect("\\*N{text}");
                let (text, after) = after.split_once('}').expect("\\*N{text}");
                let mut inner = Vec::new();
                unescape(&format!("{text}\\"), &mut inner);
                for _ in 0..count.parse::<usize>().expect("\\*N{text}") {
                    for piece in &inner {
                        if let Piece::Bytes(bytes) = piece {
                            out.extend_from_slice(bytes);
                        }
                    }
                }
                rest = after;
            }
            _ => panic!("\\{escape} is no escape: {line:?}"),
        }
    }
    if ends {
        out.extend_from_slice(rest.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    push(pieces, out);
}

fn push(pieces: &mut Vec<Piece>, bytes: Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Bytes(before)) => before.extend_from_slice(&bytes),
        _ => pieces.push(Piece::Bytes(bytes)),
    }
}
