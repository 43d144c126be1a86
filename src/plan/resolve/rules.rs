//! The rules of a proxy, compiled for each of its halves.
//!
//! A `listen` section's rules are compiled for its frontend and for its backend, because other frontends may use that
//! backend; a `defaults` section's rules are compiled for every proxy that starts with it. What is wrong with them is
//! reported once.

use super::Index;
use crate::config::ast::{FileId, Line, Span, Word};
use crate::config::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::plan::lint;
use crate::plan::load::Loader;
use crate::plan::proxy::{Draft, RuleKind, RuleLine};
use crate::plan::{
    BackendTarget, ErrorFiles, ExplainMark, Mode, MonitorFail, ServerTarget, UseBackend, UseServer,
};
use crate::proto::scan;
use crate::rules::action::{Rule, RuleSet};
use crate::rules::condition::{AclSet, Condition};
use crate::rules::log_format::LogFormat;
use crate::rules::sticking::StickRule;
use crate::rules::{Compiler, Position};
use std::collections::HashSet;

/// What was already reported for another proxy that starts with the same `defaults` section.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// Lines whose findings were given.
    lines: HashSet<(FileId, u32)>,
    /// Findings on what lines do together.
    findings: HashSet<(FileId, u32, String)>,
}

impl Reported {
    /// Passes findings on unless the same was said before.
    pub(super) fn push(&mut self, cx: &mut Loader<'_>, found: &Diagnostics) {
        for finding in found.iter() {
            let place = finding.span.map_or((FileId::default(), 0), |span| (span.file, span.start));
            if self.findings.insert((place.0, place.1, finding.message.clone())) {
                cx.push(finding.clone());
            }
        }
    }
}

/// The half of a proxy that rules are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Front,
    Back,
}

/// The compiled rules of one half of a proxy.
#[derive(Default)]
pub(super) struct Compiled {
    /// `tcp-request connection`, of the front half.
    pub(super) connection: Vec<Rule>,
    /// `tcp-request session`, of the front half.
    pub(super) session: Vec<Rule>,
    /// `tcp-request content`
    pub(super) content: Vec<Rule>,
    /// `tcp-response content`, of the back half.
    pub(super) response_content: Vec<Rule>,
    /// `http-request` rules, then `redirect` rules.
    pub(super) http_request: Vec<Rule>,
    pub(super) http_response: Vec<Rule>,
    pub(super) http_after_response: Vec<Rule>,
    pub(super) error_files: ErrorFiles,
    pub(super) use_backend: Vec<UseBackend>,
    pub(super) use_server: Vec<UseServer>,
    pub(super) monitor_fail: Vec<MonitorFail>,
    pub(super) explain: Vec<ExplainMark>,
    /// Where the rules stand that this half runs.
    pub(super) outline: Vec<Span>,
    pub(super) stick: Vec<StickRule>,
}

impl Compiled {
    /// Returns the list that rules of a set go to; none when it belongs to the other half.
    fn list<'l>(
        &'l mut self,
        set: RuleSet,
        half: Half,
        redirects: &'l mut Vec<Rule>,
    ) -> Option<&'l mut Vec<Rule>> {
        match (set, half) {
            (RuleSet::Connection, Half::Front) => Some(&mut self.connection),
            (RuleSet::Session, Half::Front) => Some(&mut self.session),
            (RuleSet::Content, _) => Some(&mut self.content),
            (RuleSet::ResponseContent, Half::Back) => Some(&mut self.response_content),
            (RuleSet::HttpRequest, _) => Some(&mut self.http_request),
            (RuleSet::HttpResponse, _) => Some(&mut self.http_response),
            (RuleSet::HttpAfterResponse, _) => Some(&mut self.http_after_response),
            (RuleSet::Redirect, _) => Some(redirects),
            (RuleSet::Connection | RuleSet::Session, Half::Back)
            | (RuleSet::ResponseContent, Half::Front) => None,
        }
    }
}

/// Compiles the rules of one half; `backend` is the index of the proxy's back half.
pub(super) fn compile(
    cx: &mut Loader<'_>,
    index: &Index<'_>,
    reported: &mut Reported,
    draft: &Draft<'_>,
    half: Half,
    backend: Option<u32>,
) -> Compiled {
    let (http, tcp) = (draft.serves_http(), draft.mode() == Mode::Tcp);
    // The first half of a `listen` section has reported everything.
    let second = half == Half::Back && draft.is_front();
    let errors = cx.errors();
    let captures = draft.is_front().then(|| draft.settings.captures.clone());
    index.captures.replace(captures);
    let mut silent = Diagnostics::default();
    let content = draft.settings.rules.iter().any(|rule| rule.kind == RuleKind::Content);
    let mut pass = Pass {
        index,
        draft,
        half,
        backend,
        acls: AclSet::default(),
        dropped: false,
        inspects: tcp && content,
        serves_http: http,
    };
    let mut out = Compiled::default();
    let mut redirects = Vec::new();
    let (acls, others): (Vec<&RuleLine<'_>>, Vec<&RuleLine<'_>>) =
        draft.settings.rules.iter().partition(|rule| rule.kind == RuleKind::Acl);
    for rule in acls.into_iter().chain(others) {
        if rule.kind.needs_http() && !http {
            pass.dropped = true;
            continue;
        }
        let at = rule.line.span;
        let quiet = second || (rule.inherited && !reported.lines.insert((at.file, at.start)));
        let diagnostics = if quiet { &mut silent } else { &mut *cx.diagnostics };
        if rule.kind.runs_in(half == Half::Front) {
            out.outline.push(rule.line.span);
        }
        pass.rule(rule, diagnostics, &mut out, &mut redirects);
    }
    if !second {
        let mut found = Diagnostics::default();
        lint::rules::use_backend(&mut found, &out.use_backend);
        lint::rules::layer4(&mut found, &out.connection, "tcp-request connection");
        lint::rules::layer4(&mut found, &out.session, "tcp-request session");
        lint::rules::layer4(&mut found, &out.content, "tcp-request content");
        lint::rules::layer4(&mut found, &out.response_content, "tcp-response content");
        if tcp {
            let timeouts = &draft.settings.timeouts;
            lint::rules::delay(&mut found, &out.content, timeouts.inspect, "tcp-request");
            let (rules, delay) = (&out.response_content, timeouts.inspect_response);
            lint::rules::delay(&mut found, rules, delay, "tcp-response");
        }
        lint::rules::http(&mut found, &out.http_request, "http-request");
        lint::rules::http(&mut found, &out.http_response, "http-response");
        lint::rules::http(&mut found, &out.http_after_response, "http-after-response");
        lint::rules::http(&mut found, &redirects, "redirect");
        reported.push(cx, &found);
        // A line that was dropped or could not be read may use an ACL, so its users are only known without.
        if !draft.broken && !pass.dropped && cx.errors() == errors {
            pass.acls.finish(&mut pass.compiler(cx.diagnostics, Position::Request, draft.span));
        }
    }
    out.http_request.append(&mut redirects);
    for rules in [&mut out.http_request, &mut out.http_response, &mut out.http_after_response] {
        Rule::link(rules);
    }
    UseBackend::link(&mut out.use_backend);
    out.error_files = super::errors::compile(cx, index, reported, draft, backend, second);
    out
}

/// One run over the rules of a proxy.
struct Pass<'p, 'a> {
    index: &'p Index<'p>,
    draft: &'p Draft<'a>,
    half: Half,
    backend: Option<u32>,
    acls: AclSet,
    /// Some line needs `mode http` and was left out.
    dropped: bool,
    /// What is sent first is looked at before anything is chosen.
    inspects: bool,
    /// There may be HTTP messages.
    serves_http: bool,
}

impl<'p> Pass<'p, '_> {
    fn compiler<'c>(
        &self,
        diagnostics: &'c mut Diagnostics,
        position: Position,
        line: Span,
    ) -> Compiler<'c>
    where
        'p: 'c,
    {
        Compiler {
            diagnostics,
            names: self.index,
            position,
            http: match position {
                // These run before a connection is in HTTP mode.
                Position::Connection | Position::Content | Position::ResponseContent => {
                    self.draft.mode() == Mode::Http
                }
                Position::Request | Position::Response | Position::Log => self.serves_http,
            },
            backend: self.backend,
            line,
        }
    }

    /// Compiles one line into the list that it belongs to.
    fn rule(
        &mut self,
        rule: &RuleLine<'_>,
        diagnostics: &mut Diagnostics,
        out: &mut Compiled,
        redirects: &mut Vec<Rule>,
    ) {
        let line = rule.line;
        let set = rule.kind.set();
        let position = match (set, rule.kind) {
            (Some(set), _) => set.position(),
            (None, RuleKind::UseBackend | RuleKind::UseServer) if self.inspects => {
                Position::Content
            }
            (None, RuleKind::Stick) if StickRule::is_of_response(line) => Position::Response,
            _ => Position::Request,
        };
        let mut acls = std::mem::take(&mut self.acls);
        let mut compiler = self.compiler(diagnostics, position, line.span);
        if let Some(set) = set {
            if let Some(list) = out.list(set, self.half, redirects) {
                let rule = Rule::parse(set, line, &mut acls, &mut compiler);
                let filters = &self.draft.filters;
                list.extend(rule.and_then(|rule| rule.with_filters(filters, &mut compiler)));
            } else {
                // Compiled for the other half; here it only counts as a user of its ACLs.
                let mut silent = Diagnostics::default();
                let mut compiler = self.compiler(&mut silent, position, line.span);
                Rule::parse(set, line, &mut acls, &mut compiler);
            }
            self.acls = acls;
            return;
        }
        match (rule.kind, self.half) {
            (RuleKind::Acl, _) => acls.declare(line, &mut compiler),
            (RuleKind::MonitorFail, Half::Front) => {
                let condition = Condition::parse(&line.words[2..], &mut acls, &mut compiler);
                let span = line.span;
                out.monitor_fail.extend(condition.map(|condition| MonitorFail { condition, span }));
            }
            (RuleKind::UseBackend, Half::Front) => {
                out.use_backend.extend(self.use_backend(line, &mut acls, &mut compiler));
            }
            (RuleKind::UseServer, Half::Back) => {
                out.use_server.extend(self.use_server(line, &mut acls, &mut compiler));
            }
            (RuleKind::UseServer, Half::Front) => {
                // Compiled for the back half; here it only counts as a user of its ACLs.
                let mut silent = Diagnostics::default();
                let mut compiler = self.compiler(&mut silent, position, line.span);
                condition(line, &mut acls, &mut compiler);
            }
            (RuleKind::Stick, Half::Back) => {
                out.stick.extend(StickRule::parse(line, &mut acls, &mut compiler));
            }
            (RuleKind::Stick, Half::Front) => {
                // As above; the first half of a `listen` section reports for both.
                StickRule::parse(line, &mut acls, &mut compiler);
            }
            (RuleKind::ExplainLog, Half::Front) => {
                out.explain.extend(explain_log(line, &mut acls, &mut compiler));
            }
            // Those with a set were compiled above; these belong to the front half.
            _ => {}
        }
        self.acls = acls;
    }

    /// Compiles a `use_backend` line.
    fn use_backend(
        &self,
        line: &Line,
        acls: &mut AclSet,
        compiler: &mut Compiler<'_>,
    ) -> Option<UseBackend> {
        let word = &line.words[1];
        let target = if is_expression(word) {
            LogFormat::parse(word.as_str(), word.span, compiler).map(BackendTarget::Named)
        } else {
            let found = self.index.target(compiler.diagnostics, self.draft, word, "use_backend");
            found.map(BackendTarget::Fixed)
        };
        let condition = condition(line, acls, compiler)?;
        Some(UseBackend { target: target?, condition, span: line.span, run: None })
    }

    /// Compiles a `use-server` line.
    fn use_server(
        &self,
        line: &Line,
        acls: &mut AclSet,
        compiler: &mut Compiler<'_>,
    ) -> Option<UseServer> {
        let word = &line.words[1];
        let target = if is_expression(word) {
            LogFormat::parse(word.as_str(), word.span, compiler).map(ServerTarget::Named)
        } else {
            self.server(word, compiler.diagnostics).map(ServerTarget::Fixed)
        };
        let condition = condition(line, acls, compiler)?;
        Some(UseServer { target: target?, condition, span: line.span })
    }

    /// Returns the index of the server that `word` names; reports a name that no server of the proxy has.
    fn server(&self, word: &Word, diagnostics: &mut Diagnostics) -> Option<u32> {
        let servers = &self.draft.servers;
        let at = servers.iter().position(|server| server.name.as_str() == word.as_str());
        if at.is_none() && !self.draft.broken {
            let names = servers.iter().map(|server| server.name.as_str());
            let text =
                format!("`use-server`: {} has no server `{}`", self.draft.title(), word.as_str());
            let finding = Diagnostic::error(word.span, text);
            diagnostics.push(match suggest(word.as_str(), names) {
                Some(near) => finding.label(format!("did you mean `{near}`?")),
                None => finding,
            });
        }
        at.map(|at| at as u32)
    }
}

/// Compiles an `explain-log` line.
fn explain_log(line: &Line, acls: &mut AclSet, compiler: &mut Compiler<'_>) -> Option<ExplainMark> {
    let word = &line.words[1];
    if !scan::is_token(word.text.as_bytes()) {
        let finding =
            Diagnostic::error(word.span, format!("`{}` is no name of a header field", word.text));
        compiler
            .diagnostics
            .push(finding.help("write for example `explain-log X-Explain if { src 10.0.0.0/8 }`"));
        return None;
    }
    let condition = condition(line, acls, compiler)?;
    Some(ExplainMark { field: word.text.clone(), condition, span: line.span })
}

/// Returns whether a name is made at run time.
fn is_expression(word: &Word) -> bool {
    word.as_str().contains("%[") || word.as_str().contains("%{")
}

/// Compiles the words behind the name from `if` or `unless` on; no words are no condition.
fn condition(
    line: &Line,
    acls: &mut AclSet,
    compiler: &mut Compiler<'_>,
) -> Option<Option<Condition>> {
    match &line.words[2..] {
        [] => Some(None),
        words => Condition::parse(words, acls, compiler).map(Some),
    }
}
