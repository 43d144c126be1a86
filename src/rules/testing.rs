//! What the tests of this module share: a compiler over lines of text, and a stream to evaluate on.

use super::action::{Rule, RuleSet};
use super::condition::{AclSet, Condition};
use super::context::{Context, NameTable, Record, SessionInfo};
use super::log_format::LogFormat;
use super::sample::Expression;
use super::variable::{Process, Registry, Store, StreamStore, Variables};
use super::{Compiler, Names, Position};
use crate::config::ast::{Line, Sources, Word};
use crate::config::diagnostic::Diagnostics;
use crate::config::environment::Environment;
use crate::config::parse::parse_text;
use crate::proto::http::{Head, Version};
use crate::server::{Farm, ServerSpec};
use std::sync::Arc;

/// One backend `app` with the servers `s1` and `s2`.
#[derive(Default)]
pub(super) struct TestNames {
    patterns: super::pattern::Lists,
    pub(super) variables: Registry,
}

impl Names for TestNames {
    fn backend(&self, name: &str) -> Option<u32> {
        (name == "app").then_some(0)
    }

    fn server(&self, backend: u32, name: &str) -> Option<u32> {
        match (backend, name) {
            (0, "s1") => Some(0),
            (0, "s2") => Some(1),
            _ => None,
        }
    }

    fn backends(&self) -> Vec<&str> {
        vec!["app"]
    }

    fn resolvers(&self) -> Vec<&str> {
        vec!["other", "dns"]
    }

    fn variables(&self) -> &Registry {
        &self.variables
    }

    fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "list" => Ok(b"/a\n# c\n  #d\n\n/a/b%20c.html\r\n".to_vec()),
            "map" => Ok(b"/one 1\n/a\t2\n".to_vec()),
            "bad-nets" => Ok(b"# two\n10.0.0.0/8 a\n10.0.0.300 b\n".to_vec()),
            "key.pem" => Ok(include_bytes!("../../tests/expressions/files/rsa.pem").to_vec()),
            "country.mmdb" => {
                use crate::proto::mmdb_writer::{Item, Writer};
                let code =
                    |code: &str| vec![("iso_code".to_string(), Item::Text(code.to_string()))];
                let mut writer = Writer::new(24, true);
                writer.insert(
                    "10.0.0.0/8",
                    Item::Map(vec![
                        ("country".to_string(), Item::Map(code("AA"))),
                        ("asn".to_string(), Item::Uint32(64_500)),
                        ("anycast".to_string(), Item::Bool(true)),
                    ]),
                );
                Ok(writer.bytes())
            }
            "nets" => Ok(b"10.0.0.0/8\n192.168.1\n".to_vec()),
            "page" => {
                Ok(b"HTTP/1.0 200 OK\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nhey"
                    .to_vec())
            }
            _ => Err("no such file".to_string()),
        }
    }

    fn has_file(&self, path: &str) -> bool {
        self.read_file(path).is_ok()
    }

    fn patterns(&self) -> &super::pattern::Lists {
        &self.patterns
    }
}

/// Compiles lines of one proxy; what is wrong is kept as text.
pub(super) struct Proxy {
    pub(super) position: Position,
    pub(super) http: bool,
    pub(super) backend: Option<u32>,
    pub(super) acls: AclSet,
    pub(super) names: TestNames,
    pub(super) sources: Sources,
    /// One line per finding: severity, the text it points at, message, label, related places, help.
    pub(super) findings: Vec<String>,
}

impl Proxy {
    pub(super) fn new() -> Self {
        Self {
            position: Position::Request,
            http: true,
            backend: None,
            acls: AclSet::default(),
            names: TestNames::default(),
            sources: Sources::default(),
            findings: Vec::new(),
        }
    }

    pub(super) fn at(position: Position) -> Self {
        Self { position, ..Self::new() }
    }

    /// Hands every line of `text` to the closure.
    pub(super) fn with<T>(
        &mut self,
        text: &str,
        mut each: impl FnMut(&Line, &mut AclSet, &mut Compiler<'_>) -> T,
    ) -> Vec<T> {
        let mut diagnostics = Diagnostics::default();
        let text = format!("frontend test\n{text}\n");
        let mut env = Environment::empty();
        let ast = parse_text("test.cfg", &text, &mut env, &mut self.sources, &mut diagnostics);
        let mut results = Vec::new();
        for line in ast.sections.iter().flat_map(|section| &section.lines) {
            let mut compiler = Compiler {
                diagnostics: &mut diagnostics,
                names: &self.names,
                position: self.position,
                http: self.http,
                backend: self.backend,
                line: line.span,
            };
            results.push(each(line, &mut self.acls, &mut compiler));
        }
        for found in diagnostics.iter() {
            let place = found.span.map_or("", |span| self.sources.text(span));
            let mut text = format!("{} at `{place}`: {}", found.severity.as_str(), found.message);
            if let Some(label) = &found.label {
                text += &format!(" | {label}");
            }
            for (span, label) in &found.related {
                text += &format!(" | at `{}`: {label}", self.sources.text(*span));
            }
            for help in &found.help {
                text += &format!(" | help: {help}");
            }
            self.findings.push(text);
        }
        results
    }

    /// Compiles the words behind `x`, so that quotes work as in a file.
    fn words<T>(
        &mut self,
        text: &str,
        mut build: impl FnMut(&[Word], &mut AclSet, &mut Compiler<'_>) -> Option<T>,
    ) -> Option<T> {
        let built = self.with(&format!("http-request {text}"), |line, acls, compiler| {
            build(line.args(), acls, compiler)
        });
        built.into_iter().next().flatten()
    }

    pub(super) fn expression(&mut self, text: &str) -> Option<Expression> {
        self.words(text, |words, _, compiler| Expression::parse(&words[0], compiler))
    }

    pub(super) fn format(&mut self, text: &str) -> Option<LogFormat> {
        self.words(text, |words, _, compiler| {
            LogFormat::parse(&words[0].text, words[0].span, compiler)
        })
    }

    pub(super) fn condition(&mut self, text: &str) -> Option<Condition> {
        self.words(text, Condition::parse)
    }

    pub(super) fn acls(&mut self, text: &str) {
        self.with(text, |line, acls, compiler| acls.declare(line, compiler));
    }

    pub(super) fn rules(&mut self, text: &str) -> Vec<Rule> {
        let rules = self.with(text, |line, acls, compiler| {
            let set = match line.keyword().as_str() {
                "http-response" => RuleSet::HttpResponse,
                "http-after-response" => RuleSet::HttpAfterResponse,
                "redirect" => RuleSet::Redirect,
                _ => RuleSet::HttpRequest,
            };
            compiler.position = match set {
                set if set.is_response() => Position::Response,
                _ => Position::Request,
            };
            Rule::parse(set, line, acls, compiler)
        });
        rules.into_iter().flatten().collect()
    }

    /// Returns the findings in one text, and forgets them.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.findings).join("\n")
    }

    /// Asserts that nothing was found.
    #[track_caller]
    pub(super) fn clean(&mut self) {
        assert_eq!(self.take(), "");
    }
}

/// A stream to evaluate on.
pub(super) struct Stream {
    pub(super) session: SessionInfo,
    pub(super) record: Record,
    pub(super) request: Head,
    pub(super) response: Option<Head>,
    pub(super) names: NameTable,
    pub(super) farms: Vec<Arc<Farm>>,
    pub(super) variables: (Process, Store, StreamStore),
    pub(super) now_us: u64,
}

impl Stream {
    /// Returns the stream of a request: a start line, and field lines behind it.
    pub(super) fn of(text: &str) -> Self {
        let specs = vec![ServerSpec::new("s1", 1), ServerSpec::new("s2", 2)];
        Self {
            session: SessionInfo {
                source: Some("192.168.1.7:50001".parse().unwrap()),
                destination: Some("10.0.0.1:8080".parse().unwrap()),
                frontend: 0,
                bind: 0,
                accepted_us: 1_233_922_371_443_000,
            },
            record: Record { start_us: 1_233_922_371_450_000, ..Record::default() },
            request: request(text),
            response: None,
            names: NameTable {
                frontends: vec!["www".to_string()],
                backends: vec!["app".to_string()],
                servers: vec![vec!["s1".to_string(), "s2".to_string()]],
                hostname: "lb1".to_string(),
            },
            farms: vec![Arc::new(Farm::new(specs, false, 100, 0))],
            variables: Default::default(),
            now_us: 1_233_922_372_000_123,
        }
    }

    /// Adds the response: a status, and field lines behind it.
    pub(super) fn answered(mut self, text: &str) -> Self {
        let (status, fields) = text.split_once('\n').unwrap_or((text, ""));
        let status = status.parse().unwrap();
        let mut head = Head::new_response(status, b"", Version::Http11);
        add_fields(&mut head, fields);
        self.response = Some(head);
        self
    }

    pub(super) fn cx(&mut self) -> Context<'_> {
        Context {
            session: &self.session,
            request: &mut self.request,
            response: self.response.as_mut(),
            record: &self.record,
            farms: &self.farms,
            names: &self.names,
            variables: Variables {
                process: &self.variables.0,
                session: &self.variables.1,
                stream: &self.variables.2,
            },
            head_bytes_max: 1024,
            now_us: self.now_us,
        }
    }

    pub(super) fn eval(&mut self, expression: &Expression) -> Option<String> {
        let cx = self.cx();
        let value = expression.eval(&cx)?;
        let mut out = Vec::new();
        value.write_text(&mut out);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    pub(super) fn write(&mut self, format: &LogFormat) -> String {
        let mut out = Vec::new();
        self.write_bytes(format, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends what a format writes.
    pub(super) fn write_bytes(&mut self, format: &LogFormat, out: &mut Vec<u8>) {
        format.write(&self.cx(), out);
    }
}

/// Returns a head of a start line such as `GET /path`, and field lines behind it.
pub(super) fn request(text: &str) -> Head {
    let (line, fields) = text.split_once('\n').unwrap_or((text, ""));
    let (method, target) = line.split_once(' ').unwrap();
    let mut head = Head::new_request(method.as_bytes(), target.as_bytes(), Version::Http11);
    add_fields(&mut head, fields);
    head
}

fn add_fields(head: &mut Head, fields: &str) {
    for field in fields.lines() {
        let (name, value) = field.split_once(':').unwrap();
        head.add(name.as_bytes(), value.trim().as_bytes());
    }
}

/// Returns the field lines of a head.
pub(super) fn fields(head: &Head) -> String {
    let line = |field: &crate::proto::http::Field| {
        let name = String::from_utf8_lossy(head.text(field.name)).into_owned();
        name + ": " + &String::from_utf8_lossy(head.text(field.value))
    };
    head.fields().iter().map(line).collect::<Vec<_>>().join("\n")
}
