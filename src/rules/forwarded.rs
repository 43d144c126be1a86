//! `option forwarded`: the field of RFC 7239 that tells servers what is lost behind a proxy.
//!
//! The words of the option are compiled to a [`Forwarded`], which writes the value for one request. A node that cannot
//! be told is `unknown`; a host or a port that cannot be told is left out.

use super::Compiler;
use super::context::Context;
use super::sample::{Expression, Value};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::uri;
use std::net::{IpAddr, SocketAddr};

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    /// The request, or the connection that it came on.
    Own,
    /// What an expression yields.
    Expression(Box<Expression>),
}

/// A node: `for` or `by`.
#[derive(Debug)]
struct Node {
    name: Source,
    port: Option<Source>,
}

/// A compiled `option forwarded`.
#[derive(Debug)]
pub struct Forwarded {
    proto: bool,
    host: Option<Source>,
    by: Option<Node>,
    from: Option<Node>,
}

const WORDS: &[&str] = &[
    "by",
    "by-expr",
    "by_port",
    "by_port-expr",
    "for",
    "for-expr",
    "for_port",
    "for_port-expr",
    "host",
    "host-expr",
    "proto",
];

/// The arguments as they were found.
#[derive(Default)]
struct Found {
    proto: bool,
    host: Option<Source>,
    by: Option<Source>,
    by_port: Option<Source>,
    from: Option<Source>,
    from_port: Option<Source>,
}

impl Forwarded {
    /// Compiles the words behind `option forwarded`, which stands at `span`; none mean `proto for`.
    pub fn parse(words: &[Word], span: Span, compiler: &mut Compiler<'_>) -> Option<Self> {
        let mut found = Found::default();
        let mut words = words.iter();
        let mut any = false;
        while let Some(word) = words.next() {
            any = true;
            let name = word.as_str();
            if name == "proto" {
                found.proto = true;
                continue;
            }
            let (place, source) = match name.strip_suffix("-expr") {
                Some(stem) => (stem, expression(word, words.next(), compiler)?),
                None => (name, Source::Own),
            };
            let place = match place {
                "host" => &mut found.host,
                "by" => &mut found.by,
                "by_port" => &mut found.by_port,
                "for" => &mut found.from,
                "for_port" => &mut found.from_port,
                _ => {
                    unexpected(word, compiler);
                    return None;
                }
            };
            if place.replace(source).is_some() {
                let text = format!("`{name}` says again what an earlier word says");
                compiler.diagnostics.push(Diagnostic::error(word.span, text));
                return None;
            }
        }
        if !any {
            (found.proto, found.from) = (true, Some(Source::Own));
        }
        let Found { proto, host, by, by_port, from, from_port } = found;
        for (port, node, name) in [(&by_port, &by, "by"), (&from_port, &from, "for")] {
            if port.is_some() && node.is_none() {
                let text = format!("`{name}_port` has no effect without `{name}` or `{name}-expr`");
                compiler.diagnostics.push(Diagnostic::warning(span, text));
            }
        }
        Some(Self {
            proto,
            host,
            by: by.map(|name| Node { name, port: by_port }),
            from: from.map(|name| Node { name, port: from_port }),
        })
    }

    /// Appends the value of the field; nothing when there is nothing to tell.
    pub fn write(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        if self.proto {
            // Clients of this proxy speak no TLS yet: `ssl_fc` is false for all of them.
            out.extend_from_slice(b"proto=http");
        }
        if let Some(host) = &self.host
            && let Some(host) = host.text(cx, |cx| cx.request.get(b"host").map(Value::str))
            && !host.is_empty()
            && uri::host_end(&host) == host.len()
        {
            begin(out, b"host=\"");
            out.extend_from_slice(&host);
            out.push(b'"');
        }
        let nodes: [(&[u8], _, _); 2] =
            [(b"by=", &self.by, cx.destination()), (b"for=", &self.from, cx.source())];
        for (name, node, address) in nodes {
            if let Some(node) = node {
                begin(out, name);
                node.write(cx, address, out);
            }
        }
    }
}

fn begin(out: &mut Vec<u8>, name: &[u8]) {
    if !out.is_empty() {
        out.push(b';');
    }
    out.extend_from_slice(name);
}

fn expression(word: &Word, text: Option<&Word>, compiler: &mut Compiler<'_>) -> Option<Source> {
    let Some(text) = text else {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("missing word behind `{}`", word.text))
                .label("expected a sample expression, such as `src`"),
        );
        return None;
    };
    Some(Source::Expression(Box::new(Expression::parse(text, compiler)?)))
}

fn unexpected(word: &Word, compiler: &mut Compiler<'_>) {
    let text = word.as_str();
    let mut diagnostic =
        Diagnostic::error(word.span, format!("unexpected `{text}` in `option forwarded`"))
            .help(format!("expected one of `{}`", WORDS.join("`, `")));
    if let Some(near) = suggest(text, WORDS.iter().copied()) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    compiler.diagnostics.push(diagnostic);
}

impl Source {
    /// Returns the text of the value, if there is one.
    fn text(
        &self,
        cx: &Context<'_>,
        own: impl for<'c> FnOnce(&'c Context<'_>) -> Option<Value<'c>>,
    ) -> Option<Vec<u8>> {
        let value = match self {
            Source::Own => own(cx),
            Source::Expression(expression) => expression.eval(cx),
        };
        value.map(|value| value.into_bytes().into_owned())
    }
}

impl Node {
    /// Appends `node [":" node-port]`, quoted where it is no token (RFC 7239 sections 4 and 6).
    fn write(&self, cx: &Context<'_>, address: Option<SocketAddr>, out: &mut Vec<u8>) {
        let name = self.name.text(cx, |_| address.map(|address| Value::Ip(address.ip())));
        let port = self.port.as_ref().and_then(|port| {
            port.text(cx, |_| address.map(|address| Value::Int(i64::from(address.port()))))
        });
        let name = name.and_then(|name| node_name(&name)).unwrap_or_else(|| b"unknown".to_vec());
        let port = port.and_then(|port| node_port(&port));
        let quoted = port.is_some() || name.first() == Some(&b'[');
        out.extend_from_slice(if quoted { b"\"" } else { b"" });
        out.extend_from_slice(&name);
        if let Some(port) = port {
            out.push(b':');
            out.extend_from_slice(&port);
        }
        out.extend_from_slice(if quoted { b"\"" } else { b"" });
    }
}

/// Returns the name of a node: an address, `unknown` or an obfuscated identifier, which begins with an underscore.
fn node_name(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    match std::str::from_utf8(inner.unwrap_or(text)).ok()?.parse() {
        Ok(IpAddr::V6(address)) => Some(format!("[{address}]").into_bytes()),
        Ok(IpAddr::V4(address)) if inner.is_none() => Some(address.to_string().into_bytes()),
        _ if text == b"unknown" => Some(text.to_vec()),
        _ => obfuscated(text),
    }
}

/// Returns the port of a node: up to five digits or an obfuscated identifier.
fn node_port(text: &[u8]) -> Option<Vec<u8>> {
    match std::str::from_utf8(text).ok()?.parse::<u16>() {
        Ok(port) => Some(port.to_string().into_bytes()),
        Err(_) => obfuscated(text),
    }
}

fn obfuscated(text: &[u8]) -> Option<Vec<u8>> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || !text.iter().all(allowed) {
        return None;
    }
    let mark: &[u8] = if text.starts_with(b"_") { b"" } else { b"_" };
    Some([mark, text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Proxy, Stream};

    fn parse(proxy: &mut Proxy, text: &str) -> Option<Forwarded> {
        let line = format!("option forwarded {text}");
        let parsed = proxy.with(&line, |line, _, compiler| {
            Forwarded::parse(&line.words[2..], line.span, compiler)
        });
        parsed.into_iter().next().flatten()
    }

    #[track_caller]
    fn check(stream: &mut Stream, text: &str, expected: &str) {
        let mut proxy = Proxy::new();
        let forwarded = parse(&mut proxy, text).expect(text);
        proxy.clean();
        let mut out = Vec::new();
        forwarded.write(&stream.cx(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
    }

    #[test]
    fn every_parameter_has_its_form() {
        let mut stream = Stream::of("GET /\nHost: a.example:81\nX-Real: 2001:db8::7");
        for (text, expected) in [
            ("", "proto=http;for=192.168.1.7"),
            ("proto for", "proto=http;for=192.168.1.7"),
            ("for proto", "proto=http;for=192.168.1.7"),
            ("host", "host=\"a.example:81\""),
            ("for for_port", "for=\"192.168.1.7:50001\""),
            ("by by_port", "by=\"10.0.0.1:8080\""),
            ("by", "by=10.0.0.1"),
            ("for-expr req.hdr(x-real)", "for=\"[2001:db8::7]\""),
            ("for-expr str([::1]) for_port-expr int(10)", "for=\"[::1]:10\""),
            ("for-expr str(hidden)", "for=_hidden"),
            ("for-expr str(_hidden) for_port-expr str(p)", "for=\"_hidden:_p\""),
            ("for-expr str(unknown)", "for=unknown"),
            ("for-expr req.hdr(x-none)", "for=unknown"),
            ("for-expr str(\"a;b\")", "for=unknown"),
            ("for for_port-expr int(70000)", "for=\"192.168.1.7:_70000\""),
            ("for for_port-expr str(a:b)", "for=192.168.1.7"),
            (
                "proto host-expr str(h) by-expr str(_p) for",
                "proto=http;host=\"h\";by=_p;for=192.168.1.7",
            ),
            ("host-expr req.hdr(x-none) for", "for=192.168.1.7"),
            ("host-expr str(\"a b\")", ""),
        ] {
            check(&mut stream, text, expected);
        }
    }

    #[test]
    fn a_client_without_address_is_unknown() {
        let mut stream = Stream::of("GET /");
        (stream.session.source, stream.session.destination) = (None, None);
        check(&mut stream, "host by by_port for for_port", "by=unknown;for=unknown");
    }

    #[test]
    fn a_client_of_ipv6_stands_in_brackets_and_quotes() {
        let mut stream = Stream::of("GET /");
        stream.session.source = Some("[2001:db8::1]:5000".parse().unwrap());
        check(&mut stream, "for", "for=\"[2001:db8::1]\"");
        check(&mut stream, "for for_port", "for=\"[2001:db8::1]:5000\"");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, told) in [
            ("prot", "did you mean `proto`?"),
            ("for-expr", "expected a sample expression"),
            ("for for-expr src", "says again"),
            ("for-expr nope", "unknown sample fetch `nope`"),
            ("proto by_port", "`by_port` has no effect without `by`"),
        ] {
            let mut proxy = Proxy::new();
            parse(&mut proxy, text);
            let findings = proxy.take();
            assert!(findings.contains(told), "{text}: {findings}");
        }
    }
}
