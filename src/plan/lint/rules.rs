//! Rules that can never match, denies that a client can get around, and destinations that no rule sets.

use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostic::Diagnostics;
use crate::plan::{Backend, Frontend, UseBackend};
use crate::rules::action::Rule;
use crate::rules::condition::Condition;
use std::time::Duration;

/// A rule that ends its list when its condition holds.
struct Ending<'r> {
    condition: Option<&'r Condition>,
    span: Span,
    /// It takes every request.
    always: bool,
}

impl<'r> Ending<'r> {
    fn new(condition: Option<&'r Condition>, span: Span) -> Self {
        let always = condition.is_none_or(Condition::is_always);
        Self { condition, span, always }
    }
}

/// How many rules before a rule are compared with it, so that long lists load in no time; rules that always win are
/// found at any distance.
const LOOK_BACK_MAX: usize = 200;

/// Warns of servers without an address where no rule says where streams go: to the frontend that they came from.
pub(in crate::plan) fn destinations(
    diagnostics: &mut Diagnostics,
    frontends: &[Frontend],
    backends: &[Backend],
) {
    let sets = |rules: &[Rule]| rules.iter().any(|rule| rule.name == "set-dst");
    let set_before = frontends.iter().any(|frontend| {
        let layer4 = [&frontend.connection_rules, &frontend.session_rules, &frontend.content_rules];
        layer4.into_iter().chain([&frontend.http_request]).any(|rules| sets(rules))
    });
    for backend in backends {
        if set_before || sets(&backend.http_request) || sets(&backend.content_rules) {
            continue;
        }
        let circular = |follow: crate::plan::Follow| follow.address && follow.port == Some(0);
        for server in backend.servers.iter().filter(|server| server.follow.is_some_and(circular)) {
            diagnostics.push(
                Diagnostic::warning(
                    server.span,
                    format!(
                        "the server `{}` is the frontend that a stream came in by",
                        server.name
                    ),
                )
                .label("it has no address of its own, and no rule sets another destination")
                .help("add `http-request set-dst <expression>`, or give the server an address"),
            );
        }
    }
}

/// Looks at a list of `use_backend` rules.
pub(in crate::plan) fn use_backend(diagnostics: &mut Diagnostics, rules: &[UseBackend]) {
    let mut seen: Vec<Ending<'_>> = Vec::new();
    for rule in rules {
        let condition = rule.condition.as_ref();
        shadowed(diagnostics, &seen, condition, rule.span, "use_backend");
        seen.push(Ending::new(condition, rule.span));
    }
}

/// Looks at a list of `http-request` or `http-response` rules; `name` is the directive.
pub(in crate::plan) fn http(diagnostics: &mut Diagnostics, rules: &[Rule], name: &str) {
    layer4(diagnostics, rules, name);
    for rule in rules.iter().filter(|rule| rule.is_refusal()) {
        bypass(diagnostics, rule.condition.as_ref(), rule.span);
    }
}

/// Reports the first rule on content that no delay gives the content time to arrive.
pub(in crate::plan) fn delay(
    diagnostics: &mut Diagnostics,
    rules: &[Rule],
    delay: Option<Duration>,
    directive: &str,
) {
    let blind = |rule: &&Rule| rule.condition.as_ref().is_some_and(Condition::looks_at_content);
    let Some(rule) = rules.iter().find(blind).filter(|_| delay.is_none()) else { return };
    diagnostics.push(
        Diagnostic::warning(rule.span, "this rule looks at content that is not waited for")
            .label("it runs as soon as the connection stands, when mostly nothing was received yet")
            .help(format!("add for example `{directive} inspect-delay 5s`")),
    );
}

/// Looks at a list of rules that see no paths; `name` is the directive.
pub(in crate::plan) fn layer4(diagnostics: &mut Diagnostics, rules: &[Rule], name: &str) {
    let mut seen: Vec<Ending<'_>> = Vec::new();
    for rule in rules {
        let condition = rule.condition.as_ref();
        shadowed(diagnostics, &seen, condition, rule.span, name);
        if rule.is_final() {
            seen.push(Ending::new(condition, rule.span));
        } else {
            // It may change what conditions see, so only what always ends the list is still known to.
            seen.retain(|ending| ending.always);
        }
    }
}

/// Reports a rule that an earlier one always takes first.
fn shadowed(
    diagnostics: &mut Diagnostics,
    seen: &[Ending<'_>],
    condition: Option<&Condition>,
    span: Span,
    name: &str,
) {
    let near = seen.len().saturating_sub(LOOK_BACK_MAX);
    let takes_all = |(at, ending): &(usize, &Ending<'_>)| match (ending.condition, condition) {
        (Some(wide), Some(narrow)) if !ending.always => *at >= near && narrow.is_subset_of(wide),
        _ => ending.always,
    };
    let Some((_, earlier)) = seen.iter().enumerate().find(takes_all) else { return };
    let why = if earlier.always {
        "this rule takes every request"
    } else {
        "this rule takes every request that the later one would"
    };
    diagnostics.push(
        Diagnostic::warning(span, format!("this `{name}` rule can never match"))
            .label("an earlier rule always wins")
            .related(earlier.span, why)
            .help("put the more specific rule first"),
    );
}

/// Reports a refusal that looks at the path as the client wrote it.
fn bypass(diagnostics: &mut Diagnostics, condition: Option<&Condition>, span: Span) {
    let Some(condition) = condition else { return };
    let paths = condition.raw_path_patterns();
    let Some(path) =
        paths.iter().find(|path| path.pattern.len() > 1 && path.pattern.starts_with('/'))
    else {
        return;
    };
    let tail = path.pattern.trim_start_matches('/');
    let Some(first) = tail.chars().next().filter(char::is_ascii) else { return };
    let encoded = format!("%{:02x}{}", first as u32, &tail[1..]);
    let mut finding = Diagnostic::warning(
        span,
        format!("this rule can be got around: `/{encoded}`, `//{tail}` and `/./{tail}` do not match `{}`", path.pattern),
    )
    .help("many servers take them for the same path; compare a decoded path, as in `path,url_dec -m beg`, or allow what is known and deny the rest");
    if path.span != span {
        finding = finding.related(path.span, "compared with the path as the client wrote it");
    }
    diagnostics.push(finding);
}
