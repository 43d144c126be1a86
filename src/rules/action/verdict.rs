//! Actions that end the list: accept, allow, auth, close, deny, return, reject, tarpit, silent-drop, use-service.

use super::cursor::Cursor;
use super::reply::Reply;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets, Service, Verdict};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::rules::Compiler;
use crate::rules::context::Context;
use std::sync::Arc;

const fn both(build: super::Build) -> ActionSpec {
    ends(RuleSets::REQUEST.and(RuleSets::RESPONSE), build)
}

const fn request(build: super::Build) -> ActionSpec {
    ends(RuleSets::REQUEST, build)
}

const fn ends(sets: RuleSets, build: super::Build) -> ActionSpec {
    ActionSpec { sets, is_final: true, build }
}

/// Actions that end the list.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "accept",
        "",
        "Ends the list and lets the connection, or what it sent, pass.",
        "tcp-request connection accept",
        ends(RuleSets::TCP, allow),
    ),
    super::row(
        "allow",
        "",
        "Ends the list and lets the message pass.",
        "http-request allow",
        ends(RuleSets::HTTP, allow),
    ),
    super::row(
        "auth",
        "[realm <realm>]",
        "Asks for user and password by a 401 with a challenge, or by a 407 if the request is one for a proxy.",
        "http-request auth realm Staff",
        request(auth),
    ),
    super::row(
        "close",
        "",
        "Ends the list and, once what the server sent is passed on, the connection to it.",
        "tcp-response content close",
        ends(RuleSets::of(&[RuleSet::ResponseContent]), close),
    ),
    super::row(
        "deny",
        "[{ status | deny_status } <code>] [content-type <type>] [{ default-errorfiles | errorfile <file> | errorfiles <name> | file <file> | lf-file <file> | string <str> | lf-string <fmt> }] [hdr <name> <fmt>]*",
        "Refuses the message with an error page (403 for a request, 502 for a response) or with the answer that is given.",
        "http-request deny deny_status 429",
        both(deny),
    ),
    super::row(
        "reject",
        "",
        "Closes the connection without an answer.",
        "tcp-request connection reject",
        ends(RuleSets::REQUEST.and(RuleSets::TCP), reject),
    ),
    super::row(
        "return",
        "[status <code>] [content-type <type>] [{ default-errorfiles | errorfile <file> | errorfiles <name> | file <file> | lf-file <file> | string <str> | lf-string <fmt> }] [hdr <name> <fmt>]*",
        "Answers with what is given instead of asking a server.",
        "http-request return status 200 content-type text/plain string ok",
        both(answer),
    ),
    super::row(
        "silent-drop",
        "[rst-ttl <ttl>]",
        "Forgets the connection without telling the client, or by a reset that only so many routers pass on.",
        "http-request silent-drop",
        ends(RuleSets::REQUEST.and(RuleSets::RESPONSE).and(RuleSets::TCP), silent_drop),
    ),
    super::row(
        "switch-mode",
        "http",
        "Ends the list and serves the connection in HTTP mode from its first byte on.",
        "tcp-request content switch-mode http",
        ends(RuleSets::of(&[RuleSet::Content]), switch_mode),
    ),
    super::row(
        "tarpit",
        "[{ status | deny_status } <code>] [content-type <type>] [{ default-errorfiles | errorfile <file> | errorfiles <name> | file <file> | lf-file <file> | string <str> | lf-string <fmt> }] [hdr <name> <fmt>]*",
        "Keeps the client waiting for `timeout tarpit`, then refuses the request with status 500 or with the answer that is given.",
        "http-request tarpit deny_status 429",
        request(tarpit),
    ),
    super::row(
        "use-service",
        "<service-name>",
        "Lets a service inside the proxy answer.",
        "http-request use-service prometheus-exporter",
        request(use_service),
    ),
];

/// A compiled final action.
#[derive(Debug)]
pub(super) enum Final {
    Allow,
    Auth(Option<Arc<str>>),
    Close,
    SwitchMode,
    Deny(Reply),
    Return(Reply),
    Reject,
    SilentDrop(Option<u8>),
    Tarpit(Reply),
    Service(Service),
}

fn plain(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, verdict: Final) -> Option<Action> {
    cursor.expect_end(compiler)?;
    Some(Action::Verdict(verdict))
}

fn allow(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    plain(cursor, compiler, Final::Allow)
}

fn auth(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let mut realm = None;
    if cursor.peek().is_some_and(|word| word.as_str() == "realm") {
        cursor.skip();
        let word = cursor.next("the name of what the password is for", compiler)?;
        if word.text.bytes().any(|byte| byte.is_ascii_control()) {
            compiler
                .diagnostics
                .push(Diagnostic::error(word.span, "the realm holds a control character"));
            return None;
        }
        realm = Some(word.text.as_str().into());
    }
    plain(cursor, compiler, Final::Auth(realm))
}

fn close(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    plain(cursor, compiler, Final::Close)
}

fn switch_mode(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("`http`", compiler)?;
    if word.text != "http" {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("unexpected `{}`", word.text))
                .label("expected `http`"),
        );
        return None;
    }
    if let Some(proto) = cursor.peek().filter(|word| word.text == "proto") {
        compiler.diagnostics.push(
            Diagnostic::error(proto.span, "`proto` is not supported yet")
                .help("leave it out: the connection is served with HTTP/1"),
        );
        return None;
    }
    plain(cursor, compiler, Final::SwitchMode)
}

fn reject(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    plain(cursor, compiler, Final::Reject)
}

fn silent_drop(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let mut ttl = None;
    if cursor.peek().is_some_and(|word| word.as_str() == "rst-ttl") {
        cursor.skip();
        let word = cursor.next("a number between 1 and 255", compiler)?;
        ttl = word.text.parse().ok().filter(|ttl| *ttl > 0);
        if ttl.is_none() {
            compiler.diagnostics.push(
                Diagnostic::error(word.span, format!("bad `rst-ttl` `{}`", word.text))
                    .label("expected a number between 1 and 255"),
            );
            return None;
        }
    }
    plain(cursor, compiler, Final::SilentDrop(ttl))
}

fn deny(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let status = if set == RuleSet::HttpResponse { 502 } else { 403 };
    Reply::parse(cursor, status, true, compiler).map(|reply| Action::Verdict(Final::Deny(reply)))
}

fn tarpit(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    Reply::parse(cursor, 500, true, compiler).map(|reply| Action::Verdict(Final::Tarpit(reply)))
}

fn answer(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    Reply::parse(cursor, 200, false, compiler).map(|reply| Action::Verdict(Final::Return(reply)))
}

fn use_service(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    const SERVICE: &str = "prometheus-exporter";
    let word = cursor.next("the name of a service", compiler)?;
    if word.text != SERVICE {
        let mut diagnostic =
            Diagnostic::error(word.span, format!("unknown service `{}`", word.text));
        diagnostic = match suggest(&word.text, [SERVICE]) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if word.text.starts_with("lua.") => {
                diagnostic.help("services in Lua are not supported yet")
            }
            None => diagnostic.help(format!("expected `{SERVICE}`")),
        };
        compiler.diagnostics.push(diagnostic);
        return None;
    }
    plain(cursor, compiler, Final::Service(Service::Prometheus))
}

impl Final {
    /// Returns what the runtime has to do.
    pub(super) fn decide(&self, cx: &Context<'_>) -> Verdict {
        match self {
            Final::Allow => Verdict::Continue,
            Final::Auth(realm) => Verdict::Auth(realm.clone()),
            Final::Close => Verdict::CloseServer,
            Final::SwitchMode => Verdict::SwitchMode,
            Final::Reject => Verdict::Reject,
            Final::SilentDrop(ttl) => Verdict::SilentDrop(*ttl),
            Final::Service(service) => Verdict::Service(*service),
            Final::Deny(reply) => {
                reply.answer(cx).map_or(Verdict::Deny(reply.status), Verdict::DenyAnswer)
            }
            Final::Return(reply) => {
                reply.answer(cx).map_or(Verdict::Page(reply.status), Verdict::Answer)
            }
            Final::Tarpit(reply) => Verdict::Tarpit(reply.status, reply.answer(cx)),
        }
    }
}
