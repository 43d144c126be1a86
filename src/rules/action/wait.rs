//! Actions that need something from outside before the next rule may run: `do-log`, `do-resolve`, `early-hint`,
//! `wait-for-body`.
//!
//! They do nothing themselves: the list ends with [`super::Verdict::Wait`], the runtime carries the [`Wait`] out, and
//! [`super::run_from`] goes on behind the rule. A new one is a row here and an arm in the runtime's `http::wait`.

use super::connection::{self, PacketOption};
use super::cursor::Cursor;
use super::headers::{Edit, field_name, frames, sanitised};
use super::pause::Pause;
use super::{Action, ActionSpec, Row, Rule, RuleSet, RuleSets};
use crate::config::ast::Word;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::units::{TimeUnit, parse_size, parse_time};
use crate::proto::dns;
use crate::rules::Compiler;
use crate::rules::call;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;
use crate::rules::login::Question;
use crate::rules::sample::Expression;
use crate::rules::text::Text;
use crate::rules::variable::Variable;
use std::time::Duration;

/// What the runtime has to do before the next rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Receive the body of the message: `at_least` bytes of content (0: all of it), or until the buffer is full, for
    /// at most `time`.
    Body {
        /// The longest wait.
        time: Duration,
        /// How much is enough; 0 for the whole body.
        at_least: u64,
    },
    /// Find an address of a host and set the variable to it, if there is one.
    Resolve {
        /// The variable.
        variable: Variable,
        /// Index of the `resolvers` section.
        resolvers: u32,
        /// The family that is asked for first.
        first: dns::Kind,
        /// The name of the host.
        host: Vec<u8>,
    },
    /// Compute the hash of a password; then the same rule is evaluated again.
    Login(Question),
    /// Do nothing for that long.
    Pause(Duration),
    /// Send the client a 103 with these fields.
    EarlyHint(Vec<(Vec<u8>, Vec<u8>)>),
    /// Set this option of the packets to the client, if there is a value for it.
    Packets(Option<PacketOption>),
    /// Take the PROXY protocol header that the connection begins with, once all rules on connections are through.
    ProxyHeader,
    /// Write a line of the log.
    Log,
}

impl Wait {
    /// Says what is waited for, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Wait::Body { time, at_least: 0 } => format!("wait for the body, {time:?} at most"),
            Wait::Body { time, at_least } => {
                format!("wait for {at_least} bytes of the body, {time:?} at most")
            }
            Wait::Login(_) => "compute the hash of the password".to_owned(),
            Wait::Pause(time) => format!("pause for {time:?}"),
            Wait::Packets(_) => "mark the packets to the client".to_owned(),
            Wait::ProxyHeader => "take the PROXY protocol header".to_owned(),
            Wait::Log => "write a line of the log".to_owned(),
            Wait::Resolve { host, .. } => format!("resolve {}", String::from_utf8_lossy(host)),
            Wait::EarlyHint(fields) => {
                let mut text = "send 103".to_owned();
                for (name, value) in fields {
                    let name = String::from_utf8_lossy(name);
                    text.push_str(&format!(" {name}: {}", String::from_utf8_lossy(value)));
                }
                text
            }
        }
    }
}

/// A compiled action that waits.
#[derive(Debug)]
pub(super) enum Waiting {
    Body { time: Duration, at_least: u64 },
    Packets(connection::Edit),
    ProxyHeader,
    EarlyHint { name: Box<[u8]>, value: LogFormat },
    Log,
    Resolve { variable: Variable, resolvers: u32, first: dns::Kind, host: Expression },
    Pause(Pause),
}

/// Actions that wait.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "do-log",
        "",
        "Writes a line to the frontend's log at once, beside those that are written anyway.",
        "http-request do-log",
        ActionSpec {
            sets: RuleSets::REQUEST.and(RuleSets::RESPONSE),
            is_final: false,
            build: |cursor, _, compiler| {
                cursor.expect_end(compiler)?;
                Some(Action::Wait(Waiting::Log))
            },
        },
    ),
    super::row(
        "do-resolve",
        "(<variable>,<resolvers>[,{ ipv4 | ipv6 }]) <expr>",
        "Asks name servers for an address of a host, and sets a variable to it if there is one.",
        "http-request do-resolve(txn.ip,dns,ipv4) req.hdr(host),host_only",
        ActionSpec {
            sets: RuleSets::REQUEST.and(RuleSets::of(&[RuleSet::Content])),
            is_final: false,
            build: do_resolve,
        },
    ),
    super::row(
        "early-hint",
        "<name> <fmt>",
        "Sends an interim response 103 with that field before the request goes on; consecutive rules fill one response.",
        "http-request early-hint Link \"</style.css>; rel=preload; as=style\"",
        ActionSpec { sets: RuleSets::REQUEST, is_final: false, build: early_hint },
    ),
    super::row(
        "wait-for-body",
        "time <time> [at-least <bytes>]",
        "Waits until the body, or that much of it, is in the buffer, for at most that time.",
        "http-request wait-for-body time 1s at-least 1k",
        ActionSpec {
            sets: RuleSets::REQUEST.and(RuleSets::RESPONSE),
            is_final: false,
            build: wait_for_body,
        },
    ),
];

fn do_resolve(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let asked = resolution(cursor, compiler);
    let host = cursor.expression(compiler);
    cursor.expect_end(compiler)?;
    let (variable, resolvers, first) = asked?;
    Some(Action::Wait(Waiting::Resolve { variable, resolvers, first, host: host? }))
}

/// Reads what stands in parentheses behind `do-resolve`.
fn resolution(
    cursor: &Cursor<'_>,
    compiler: &mut Compiler<'_>,
) -> Option<(Variable, u32, dns::Kind)> {
    let word = cursor.last();
    let calls = call::parse(Text::of(word)).map_err(|d| compiler.diagnostics.push(d)).ok()?;
    let args = match calls.as_slice() {
        [call] => call.args.as_slice(),
        _ => &[],
    };
    let (variable, section, family) = match args {
        [variable, section] => (variable, section, None),
        [variable, section, family] => (variable, section, Some(family)),
        _ => {
            compiler.diagnostics.push(
                Diagnostic::error(word.span, "`do-resolve` needs a variable and name servers")
                    .help("write for example `do-resolve(txn.ip,dns) req.hdr(host),host_only`"),
            );
            return None;
        }
    };
    let first = match family.map(|family| family.text.as_str()) {
        Some("ipv4") => dns::Kind::A,
        // As HAProxy does without a preference.
        None | Some("ipv6") => dns::Kind::Aaaa,
        Some(other) => {
            let span = family.map_or(word.span, |family| family.span);
            compiler.diagnostics.push(
                Diagnostic::error(span, format!("`{other}` is not a family of addresses"))
                    .label("expected `ipv4` or `ipv6`"),
            );
            return None;
        }
    };
    let known = compiler.names.resolvers();
    let Some(resolvers) = known.iter().position(|name| *name == section.text) else {
        let text = format!("there is no section `resolvers {}`", section.text);
        let finding = Diagnostic::error(section.span, text);
        let near = suggest(&section.text, known);
        let finding = match near {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help("add one, with `nameserver` lines or `parse-resolv-conf`"),
        };
        compiler.diagnostics.push(finding);
        return None;
    };
    let names = compiler.names.variables();
    let variable = names.resolve(&variable.text, variable.span, true, compiler.diagnostics)?;
    Some((variable, resolvers as u32, first))
}

fn early_hint(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let name = field_name(cursor, compiler);
    let value = cursor.format("the value of the field", compiler);
    cursor.expect_end(compiler)?;
    let (name, value) = (name?, value?);
    if frames(&name) {
        return Some(Action::Header(Edit::Nothing));
    }
    Some(Action::Wait(Waiting::EarlyHint { name, value }))
}

fn wait_for_body(
    cursor: &mut Cursor<'_>,
    _: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    const WORDS: [&str; 2] = ["at-least", "time"];
    let (mut time, mut at_least) = (None, 0);
    while let Some(word) = cursor.peek() {
        cursor.skip();
        match word.as_str() {
            "time" => {
                let value = cursor.next("a time, such as `1s`", compiler)?;
                let parsed = parse_time(&value.text, TimeUnit::Milliseconds);
                time = Some(or_report(parsed, value, compiler)?);
            }
            "at-least" => {
                let value = cursor.next("a size, such as `1k`", compiler)?;
                at_least = or_report(parse_size(&value.text), value, compiler)?;
            }
            other => {
                let unexpected = Diagnostic::error(word.span, format!("unexpected `{other}`"));
                compiler.diagnostics.push(match suggest(other, WORDS) {
                    Some(near) => unexpected.help(format!("did you mean `{near}`?")),
                    None => unexpected.label("expected `time`, `at-least`, `if` or `unless`"),
                });
                return None;
            }
        }
    }
    let Some(time) = time else {
        compiler.diagnostics.push(
            Diagnostic::error(cursor.last().span, "`wait-for-body` needs a time")
                .help("write for example `wait-for-body time 1s`"),
        );
        return None;
    };
    Some(Action::Wait(Waiting::Body { time, at_least }))
}

fn or_report<T>(parsed: Result<T, String>, word: &Word, compiler: &mut Compiler<'_>) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err(why) => {
            compiler.diagnostics.push(Diagnostic::error(word.span, why));
            None
        }
    }
}

impl Waiting {
    /// Returns what to wait for, and the index of the rule to go on with: hints that follow one another are one. Nothing
    /// when the rule has no value to act on.
    pub(super) fn begin(
        &self,
        rules: &[Rule],
        index: usize,
        cx: &Context<'_>,
        scratch: &mut Vec<u8>,
    ) -> Option<(Wait, usize)> {
        Some(match self {
            Waiting::Pause(pause) => (pause.wait(cx)?, index + 1),
            Waiting::Body { time, at_least } => {
                (Wait::Body { time: *time, at_least: *at_least }, index + 1)
            }
            Waiting::Log => (Wait::Log, index + 1),
            Waiting::Resolve { variable, resolvers, first, host } => {
                let host = host.eval(cx).map(|host| host.into_bytes().into_owned());
                let (variable, resolvers, first) = (*variable, *resolvers, *first);
                // An empty name has no address, and the variable stays as it is.
                let host = host.unwrap_or_default();
                (Wait::Resolve { variable, resolvers, first, host }, index + 1)
            }
            Waiting::Packets(edit) => (edit.wait(cx), index + 1),
            Waiting::ProxyHeader => (Wait::ProxyHeader, index + 1),
            Waiting::EarlyHint { name, value } => {
                let mut fields = vec![hint(name, value, cx, scratch)];
                let mut next = index + 1;
                while let Some(rule) = rules.get(next)
                    && let Action::Wait(Waiting::EarlyHint { name, value }) = &rule.action
                    && rule.condition.as_ref().is_none_or(|condition| condition.holds(cx))
                {
                    fields.push(hint(name, value, cx, scratch));
                    if let Some(recorder) = &cx.record.trace {
                        recorder.joined(rule);
                    }
                    next += 1;
                }
                (Wait::EarlyHint(fields), next)
            }
        })
    }
}

fn hint(
    name: &[u8],
    value: &LogFormat,
    cx: &Context<'_>,
    scratch: &mut Vec<u8>,
) -> (Vec<u8>, Vec<u8>) {
    scratch.clear();
    value.write(cx, scratch);
    let clean = sanitised(scratch);
    let value = clean.as_deref().unwrap_or(scratch).trim_ascii();
    (name.to_vec(), value.to_vec())
}
