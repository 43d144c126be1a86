//! One test: an expression, a matching method and patterns, as `acl` lines and `{ … }` write it.

use super::keyword;
use super::lint;
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::rules::call::{self, Call};
use crate::rules::context::Context;
use crate::rules::pattern::{
    self, Entries, IntRange, Kind, List, Matcher, Method, Network, Networks, Output, TextPattern,
    unhex,
};
use crate::rules::sample::{Arg, Expression, Type, Value, parse_int};
use crate::rules::text::Text;
use crate::rules::trace::{About, Off, Trace};
use crate::rules::{Compiler, fetch, known, regexp};
use std::sync::Arc;

/// A pattern as it was written, for lints.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) ignore_case: bool,
    pub(super) span: Span,
}

/// A compiled test.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) expression: Expression,
    pub(super) method: Method,
    matcher: Matcher,
    /// Files of patterns, which count beside those written here.
    lists: Box<[Arc<List>]>,
    /// Patterns as they were written, files left out.
    pub(super) written: Vec<Written>,
    /// Whether patterns came from a file.
    pub(super) from_file: bool,
    /// Where the criterion stands.
    pub(super) span: Span,
}

impl Test {
    /// Evaluates it.
    #[inline]
    pub(super) fn holds<T: Trace>(&self, cx: &Context<'_>, trace: T) -> bool {
        let holds = match self.lists.is_empty() {
            true => self.expression.any(cx, &mut |value| {
                let is = self.matcher.matches(value);
                trace.value(value, is, || self.matching(value));
                is
            }),
            false => self.holds_with_lists(cx, trace),
        };
        trace.test(|| self.about(), holds);
        holds
    }

    fn holds_with_lists<T: Trace>(&self, cx: &Context<'_>, trace: T) -> bool {
        self.expression.any(cx, &mut |value| {
            let is =
                self.matcher.matches(value) || self.lists.iter().any(|list| list.contains(value));
            trace.value(value, is, || self.matching(value));
            is
        })
    }

    /// Evaluates it while more bytes may come; `None` is "not known yet".
    ///
    /// What matches matches, whatever comes; what does not may, as long as the value may change.
    pub(super) fn decide(&self, cx: &Context<'_>) -> Option<bool> {
        cx.undecided.set(false);
        if self.holds(cx, Off) {
            return Some(true);
        }
        let half_a_message = cx.content.partial_http
            && matches!(self.expression.scope(), fetch::Scope::Request | fetch::Scope::Response);
        if half_a_message {
            cx.may_change();
        }
        (!cx.undecided.replace(false)).then_some(false)
    }

    /// Says what is fixed about it.
    fn about(&self) -> About {
        let written = self.written.iter().map(|written| written.text.clone());
        let files = self.lists.iter().map(|list| list.kind().path.as_str());
        let files = files.filter(|path| !path.is_empty()).map(|path| format!("-f {path}"));
        About {
            span: self.span,
            expression: self.expression.text().to_owned(),
            method: self.method.name(),
            patterns: files.chain(written).collect(),
            varies: self.expression.varies(),
        }
    }

    /// Returns the pattern that a value matches, as it was written.
    #[cold]
    fn matching(&self, value: &Value<'_>) -> Option<String> {
        if let Some(key) = self.lists.iter().find_map(|list| list.key(value)) {
            return Some(String::from_utf8_lossy(&key).into_owned());
        }
        if let Matcher::Int(ranges) | Matcher::Len(ranges) = &self.matcher {
            return self.matching_range(ranges, value);
        }
        let found = self.written.iter().enumerate().find(|(at, written)| {
            let text = || TextPattern::new(written.text.as_bytes(), written.ignore_case);
            match &self.matcher {
                Matcher::Reg(regexes) => {
                    let value = value.clone().into_bytes();
                    regexes.get(*at).is_some_and(|regex| regex.is_match(&value))
                }
                Matcher::Ip(_) => {
                    let network = Network::parse(&written.text);
                    let set = network.map(|network| Networks::new(&[network]));
                    set.zip(value.to_ip()).is_some_and(|(set, ip)| set.contains(ip))
                }
                _ if self.method == Method::Bin => {
                    let bytes = unhex(&written.text).unwrap_or_default();
                    Matcher::text(Method::Bin, vec![TextPattern::new(&bytes, false)]).matches(value)
                }
                _ => Matcher::text(self.method, vec![text()]).matches(value),
            }
        });
        found.map(|(_, written)| written.text.clone())
    }

    fn matching_range(&self, ranges: &[IntRange], value: &Value<'_>) -> Option<String> {
        let number = match self.method {
            Method::Len => value.clone().into_bytes().len() as i64,
            _ => value.to_int()?,
        };
        let mut operator = None;
        let mut ranges = ranges.iter();
        for written in &self.written {
            if OPERATORS.contains(&written.text.as_str()) {
                operator = Some(&written.text);
                continue;
            }
            let range = ranges.next()?;
            if range.low <= number && number <= range.high {
                return Some(match operator {
                    Some(operator) => format!("{operator} {}", written.text),
                    None => written.text.clone(),
                });
            }
        }
        None
    }

    /// Compiles `<criterion> [flags] [operator] [<value>…]`; reports what is wrong.
    pub(super) fn parse(words: &[Word], compiler: &mut Compiler<'_>) -> Option<Self> {
        let (criterion, rest) = words.split_first()?;
        let Criterion { expression, implied, lost, span } = parse_criterion(criterion, compiler)?;
        let mut flags = Flags::read(rest, compiler)?;
        if expression.name() == "http_auth_group" {
            return group_test(expression, flags, span, compiler);
        }
        let method = choose_method(&expression, implied, &flags, criterion, compiler)?;
        if let Some(lost) = lost.filter(|_| flags.method.is_none()) {
            let name = lost.name();
            compiler.diagnostics.push(
                Diagnostic::warning(span, format!("behind a converter, `_{name}` counts no more: values are compared with `-m {}`", method.name()))
                    .help(format!("write `-m {name}` behind `{}` to say which is meant", criterion.text)),
            );
        }
        let (mut patterns, mut lists) = flags.load(method, compiler);
        if method == Method::Int && expression.fetch_name().ends_with("_ver") {
            patterns.iter_mut().for_each(|pattern| pattern.text = versions(&pattern.text));
        }
        let matcher = compile_patterns(method, expression.output(), &patterns, compiler);
        let numbered = flags.id.filter(|_| matcher.is_some() && method.has_patterns());
        let matcher = match (numbered, &mut lists) {
            (Some((id, span)), Some(lists)) => {
                lists.push(numbered_list(id, span, method, &patterns, compiler)?);
                // They may change at run time: the list says what matches.
                Some(Matcher::text(Method::Str, Vec::new()))
            }
            _ => matcher,
        };
        let lists = lists?;
        let test = Self {
            expression,
            method,
            matcher: matcher?,
            from_file: !lists.is_empty(),
            lists: lists.into(),
            written: patterns
                .into_iter()
                .map(|p| Written { text: p.text, ignore_case: p.ignore_case, span: p.span })
                .collect(),
            span,
        };
        lint::patterns(&test, compiler);
        Some(test)
    }
}

/// Compiles a test for groups: the user must be one of those who are in any of them.
fn group_test(
    expression: Expression,
    flags: Flags,
    span: Span,
    compiler: &mut Compiler<'_>,
) -> Option<Test> {
    let Some(Arg::UserList(list)) = expression.args().first() else { return None };
    if flags.method.is_some()
        || flags.id.is_some()
        || !flags.files.is_empty()
        || flags.patterns.is_empty()
        || expression.has_converters()
    {
        compiler.diagnostics.push(
            Diagnostic::error(span, "`http_auth_group` is compared with the names of groups")
                .help(format!("write for example `http_auth_group({}) admins`", list.name())),
        );
        return None;
    }
    let mut users = Vec::new();
    for Pattern { text, span, .. } in &flags.patterns {
        let Some(group) = list.group(text) else {
            let message = format!("`userlist {}` has no group `{text}`", list.name());
            let finding = Diagnostic::error(*span, message);
            compiler.diagnostics.push(match suggest(text, list.groups()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding,
            });
            return None;
        };
        users.extend(group.iter().map(|user| TextPattern::new(user.as_bytes(), false)));
    }
    Some(Test {
        expression,
        method: Method::Str,
        matcher: Matcher::text(Method::Str, users),
        lists: Box::default(),
        written: Vec::new(),
        // What matches is not what was written: nothing is concluded from it.
        from_file: true,
        span,
    })
}

/// One pattern and whether case counts.
struct Pattern {
    text: String,
    ignore_case: bool,
    span: Span,
}

/// A file of patterns as a line names it.
struct File {
    path: String,
    ignore_case: bool,
    map: bool,
    span: Span,
}

/// What stands between the criterion and the end.
struct Flags {
    method: Option<(Method, Span)>,
    /// The number that the runtime CLI may name the list by (`-u`).
    id: Option<(u32, Span)>,
    files: Vec<File>,
    patterns: Vec<Pattern>,
}

impl Flags {
    fn read(words: &[Word], compiler: &mut Compiler<'_>) -> Option<Self> {
        let mut flags = Self { method: None, id: None, files: Vec::new(), patterns: Vec::new() };
        let (mut ignore_case, mut map) = (false, false);
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            let takes_value = matches!(word.as_str(), "-m" | "-f" | "-u");
            let value = words.get(at);
            if takes_value && value.is_none() {
                compiler
                    .diagnostics
                    .push(Diagnostic::error(word.span, format!("`{}` needs a value", word.text)));
                return None;
            }
            match (word.as_str(), value) {
                ("-i", _) => ignore_case = true,
                ("-n", _) => {}
                ("-M", _) => map = true,
                ("--", _) => break,
                ("-m", Some(name)) => {
                    flags.method = Some((parse_method(name, compiler)?, name.span));
                    at += 1;
                }
                ("-u", Some(id)) => {
                    let Ok(number) = id.text.parse() else {
                        let message = format!("`-u` takes a number, not `{}`", id.text);
                        compiler.diagnostics.push(Diagnostic::error(id.span, message));
                        return None;
                    };
                    flags.id = Some((number, id.span));
                    at += 1;
                }
                ("-f", Some(path)) => {
                    let (path, span) = (path.text.clone(), path.span);
                    flags.files.push(File { path, ignore_case, map, span });
                    at += 1;
                }
                (text, _) if is_flag(text) => {
                    compiler.diagnostics.push(
                        Diagnostic::error(word.span, format!("unknown ACL flag `{text}`"))
                            .help("expected `-i`, `-f`, `-m`, `-n`, `-M`, `-u`; put `--` before a pattern that begins with `-`"),
                    );
                    return None;
                }
                _ => {
                    at -= 1;
                    break;
                }
            }
        }
        for word in &words[at..] {
            if word.text.is_empty() {
                compiler.diagnostics.push(
                    Diagnostic::error(word.span, "empty pattern")
                        .help("to test for an empty value write `-m len 0`, to test that it exists `-m found`"),
                );
                return None;
            }
            let (text, span) = (word.text.clone(), word.span);
            flags.patterns.push(Pattern { text, ignore_case, span });
        }
        Some(flags)
    }

    /// Returns the patterns that were written, and the lists of the files if all of them are right.
    fn load(
        &mut self,
        method: Method,
        compiler: &mut Compiler<'_>,
    ) -> (Vec<Pattern>, Option<Vec<Arc<List>>>) {
        let mut lists = Some(Vec::new());
        for File { path, ignore_case, map, span } in std::mem::take(&mut self.files) {
            let output = Output::Str;
            let kind = Kind { path, method, ignore_case, is_map: map, output };
            match (pattern::load(kind, span, compiler), &mut lists) {
                (Some(list), Some(lists)) => lists.push(list),
                _ => lists = None,
            }
        }
        (std::mem::take(&mut self.patterns), lists)
    }
}

/// Keeps the patterns of a line as a list that the runtime CLI may name by its number.
fn numbered_list(
    id: u32,
    span: Span,
    method: Method,
    patterns: &[Pattern],
    compiler: &mut Compiler<'_>,
) -> Option<Arc<List>> {
    let mut entries = Entries::new(false);
    patterns.iter().for_each(|pattern| entries.push(pattern.text.as_bytes(), b"", 0));
    let ignore_case = patterns.iter().any(|pattern| pattern.ignore_case);
    let (path, output) = (String::new(), Output::Str);
    let kind = Kind { path, method, ignore_case, is_map: false, output };
    match compiler.names.patterns().numbered(kind, id, entries) {
        Ok(list) => Some(list),
        Err(fault) => {
            let finding = Diagnostic::error(span, fault.message);
            compiler.diagnostics.push(
                finding.help("behind `-u`, ranges take the place of operators: `10:` for `ge 10`"),
            );
            None
        }
    }
}

/// Returns whether a word looks like a flag: it begins with a dash and is no negative number.
fn is_flag(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn parse_method(name: &Word, compiler: &mut Compiler<'_>) -> Option<Method> {
    let method = Method::parse(&name.text);
    if method.is_none() {
        let names = Method::ALL.iter().map(|(name, _)| *name);
        let mut diagnostic =
            Diagnostic::error(name.span, format!("unknown matching method `{}`", name.text));
        diagnostic = match suggest(&name.text, names.clone()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic
                .help(format!("expected one of `{}`", names.collect::<Vec<_>>().join("`, `"))),
        };
        compiler.diagnostics.push(diagnostic);
    }
    method
}

/// The first word of a test.
struct Criterion {
    expression: Expression,
    /// The method that an ACL word such as `path_beg` implies.
    implied: Option<Method>,
    /// The method that it would imply without converters.
    lost: Option<Method>,
    span: Span,
}

fn parse_criterion(criterion: &Word, compiler: &mut Compiler<'_>) -> Option<Criterion> {
    let text = Text::of(criterion);
    let calls = match call::parse(text) {
        Ok(calls) => calls,
        Err(diagnostic) => {
            compiler.diagnostics.push(diagnostic);
            return None;
        }
    };
    let (first, converters) = calls.split_first()?;
    let (name, implied) = match keyword::split(first.name.text) {
        Some((fetch, method)) => (fetch, Some(method)),
        None => (keyword::fetch_of(first.name.text), None),
    };
    let name = fetch::directed(name, compiler.position);
    let Some(row) = fetch::lookup(name) else {
        let diagnostic = unknown_criterion(first, text);
        compiler.diagnostics.push(diagnostic);
        return None;
    };
    let expression = Expression::compile(text, row, first, converters, compiler)?;
    // Behind a converter the method of the word counts no more.
    let kept = implied.filter(|_| converters.is_empty());
    Some(Criterion { expression, implied: kept, lost: implied.xor(kept), span: first.name.span })
}

/// Says why a criterion cannot be used, guessing what was meant.
fn unknown_criterion(call: &Call<'_>, text: Text<'_>) -> Diagnostic {
    let name = call.name.text;
    let span = call.name.span;
    if known::FETCHES.binary_search(&name).is_ok() || known::ACLS.binary_search(&name).is_ok() {
        return Diagnostic::error(span, format!("the sample fetch `{name}` is not supported yet"));
    }
    // `path_beg/blog`: a criterion and its pattern without a blank between.
    if let Some(at) =
        name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
    {
        let (head, pattern) = text.text.split_at(at);
        if keyword::split(head).is_some() || fetch::lookup(head).is_some() {
            return Diagnostic::error(span, format!("unknown ACL criterion `{}`", text.text))
                .label("missing blank")
                .help(format!("did you mean `{head} {pattern}`?"));
        }
    }
    if let Some((stem, suffix)) = name.rsplit_once('_')
        && let Some(method) = Method::parse(suffix)
        && fetch::lookup(stem).is_some()
    {
        return Diagnostic::error(span, format!("unknown ACL criterion `{name}`"))
            .help(format!("write `{stem} -m {}`", method.name()));
    }
    let words: Vec<String> = keyword::names().map(|(name, _)| name).collect();
    let candidates =
        words.iter().map(String::as_str).chain(fetch::names().map(|name| name as &str));
    let diagnostic = Diagnostic::error(span, format!("unknown ACL criterion `{name}`"));
    match suggest(name, candidates) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

fn choose_method(
    expression: &Expression,
    implied: Option<Method>,
    flags: &Flags,
    criterion: &Word,
    compiler: &mut Compiler<'_>,
) -> Option<Method> {
    let output = expression.output();
    let (method, span) = match flags.method {
        Some((method, span)) => (method, span),
        None => match implied.or_else(|| Method::default_for(output)) {
            Some(method) => (method, criterion.span),
            None => {
                compiler.diagnostics.push(
                    Diagnostic::error(
                        criterion.span,
                        format!(
                            "`{}` yields {}, which has no matching method of its own",
                            criterion.text,
                            output.name()
                        ),
                    )
                    .help(match output {
                        Type::Any => {
                            "say how to compare it, such as `-m str`, `-m int` or `-m found`"
                        }
                        _ => "say how to compare it, such as `-m bin` or `-m found`",
                    }),
                );
                return None;
            }
        },
    };
    if !method.takes(output) {
        compiler.diagnostics.push(Diagnostic::error(
            span,
            format!(
                "`-m {}` cannot look at `{}`, which yields {}",
                method.name(),
                criterion.text,
                output.name()
            ),
        ));
        return None;
    }
    Some(method)
}

fn compile_patterns(
    method: Method,
    output: Type,
    patterns: &[Pattern],
    compiler: &mut Compiler<'_>,
) -> Option<Matcher> {
    match method {
        Method::Found => Some(Matcher::Found),
        Method::Bool => Some(Matcher::Bool),
        Method::Int => integers(patterns, compiler).map(Matcher::Int),
        Method::Len => integers(patterns, compiler).map(Matcher::Len),
        Method::Ip => addresses(patterns, compiler).map(Matcher::Ip),
        Method::Reg => regexes(patterns, compiler).map(Matcher::Reg),
        Method::Bin => {
            let mut bytes = Vec::with_capacity(patterns.len());
            for pattern in patterns {
                let Some(binary) = unhex(&pattern.text) else {
                    report(pattern, "an even number of hexadecimal digits", compiler);
                    return None;
                };
                bytes.push(TextPattern::new(&binary, false));
            }
            Some(Matcher::text(Method::Bin, bytes))
        }
        _ => {
            // The methods that everybody knows are compared exactly, whatever `-i` says.
            let exact = |p: &Pattern| output == Type::Method && is_known_method(&p.text);
            let texts = patterns
                .iter()
                .map(|p| TextPattern::new(p.text.as_bytes(), p.ignore_case && !exact(p)));
            Some(Matcher::text(method, texts.collect()))
        }
    }
}

/// Returns whether a text is a well-known method, whatever its case.
pub(super) fn is_known_method(text: &str) -> bool {
    const METHODS: &[&str] =
        &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    METHODS.iter().any(|method| method.eq_ignore_ascii_case(text))
}

/// Returns a pattern with its versions, such as `3.1`, as the numbers that `req.ssl_ver` yields.
fn versions(text: &str) -> String {
    let number = |part: &str| {
        let (major, minor) = part.split_once('.')?;
        let (major, minor): (u16, u16) = (major.parse().ok()?, minor.parse().ok()?);
        Some((u32::from(major) << 16 | u32::from(minor)).to_string())
    };
    let parts = text.split(':').map(|part| number(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join(":")
}

fn report(pattern: &Pattern, expected: &str, compiler: &mut Compiler<'_>) {
    compiler.diagnostics.push(
        Diagnostic::error(pattern.span, format!("bad pattern `{}`", pattern.text))
            .label(format!("expected {expected}")),
    );
}

/// What a number can be compared by.
const OPERATORS: &[&str] = &["eq", "ge", "gt", "le", "lt"];

/// Compiles numbers, ranges and operators; an operator counts for all that follow.
fn integers(patterns: &[Pattern], compiler: &mut Compiler<'_>) -> Option<Box<[IntRange]>> {
    let mut operator: Option<&Pattern> = None;
    let mut ranges = Vec::new();
    for pattern in patterns {
        if OPERATORS.contains(&pattern.text.as_str()) {
            operator = Some(pattern);
            continue;
        }
        let Some((low, high)) = parse_range(&pattern.text) else {
            report(
                pattern,
                "a number, a range such as `1024:65535`, or an operator such as `ge`",
                compiler,
            );
            return None;
        };
        let (min, max) = (i64::MIN, i64::MAX);
        if low.zip(high).is_some_and(|(low, high)| low > high) {
            let (low, high) = pattern.text.split_once(':').unwrap_or_default();
            compiler.diagnostics.push(
                Diagnostic::error(pattern.span, format!("the range `{}` is empty", pattern.text))
                    .help(format!("did you mean `{high}:{low}`?")),
            );
            return None;
        }
        let range = match operator.map_or("eq", |operator| operator.text.as_str()) {
            "ge" => (low.unwrap_or(min), max),
            "gt" => (high.unwrap_or(max).saturating_add(1), max),
            "le" => (min, high.unwrap_or(max)),
            "lt" => (min, low.unwrap_or(min).saturating_sub(1)),
            _ => (low.unwrap_or(min), high.unwrap_or(max)),
        };
        ranges.push(IntRange { low: range.0, high: range.1 });
    }
    if ranges.is_empty()
        && let Some(operator) = operator
    {
        compiler.diagnostics.push(
            Diagnostic::error(operator.span, format!("`{}` needs a number", operator.text))
                .label("expected a number behind it"),
        );
        return None;
    }
    Some(ranges.into())
}

/// Parses `5`, `1:10`, `1:` and `:10`.
fn parse_range(text: &str) -> Option<(Option<i64>, Option<i64>)> {
    match text.split_once(':') {
        None => {
            let number = parse_int(text.as_bytes())?;
            Some((Some(number), Some(number)))
        }
        Some(("", "")) => None,
        Some((low, high)) => {
            let end = |text: &str| match text {
                "" => Some(None),
                text => parse_int(text.as_bytes()).map(Some),
            };
            Some((end(low)?, end(high)?))
        }
    }
}

fn addresses(patterns: &[Pattern], compiler: &mut Compiler<'_>) -> Option<Networks> {
    let mut networks = Vec::with_capacity(patterns.len());
    let mut complete = true;
    for pattern in patterns {
        match Network::parse(&pattern.text) {
            Some(network) => networks.push(network),
            None => {
                complete = false;
                report(
                    pattern,
                    "an address or a network such as `10.0.0.0/8` or `2001:db8::/32`",
                    compiler,
                );
            }
        }
    }
    complete.then(|| Networks::new(&networks))
}

fn regexes(
    patterns: &[Pattern],
    compiler: &mut Compiler<'_>,
) -> Option<Box<[regex::bytes::Regex]>> {
    let mut compiled = Vec::with_capacity(patterns.len());
    let mut complete = true;
    for pattern in patterns {
        match regexp::compile(&pattern.text, pattern.ignore_case) {
            Ok(regex) => compiled.push(regex),
            Err((at, message)) => {
                complete = false;
                let text = Text { text: &pattern.text, span: pattern.span };
                let span = at.map_or(pattern.span, |at| text.at(at..at + 1));
                compiler.diagnostics.push(Diagnostic::error(span, message));
            }
        }
    }
    complete.then(|| compiled.into())
}
