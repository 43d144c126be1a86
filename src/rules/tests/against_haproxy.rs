//! Expressions and conditions with what haproxy 2.6 made of them on the same request.
//!
//! The files were written by running haproxy; `!` is what it refused to load.

use crate::config::ast::{Span, Word};
use crate::rules::sample::Expression;
use crate::rules::testing::{Proxy, Stream};

/// The request that haproxy was given.
const REQUEST: &str = "GET /a/b%20c.html?x=1&y=%41+b&x=2;z=3&e=&novalue\n\
    Host: Www.Example.com:8080\n\
    X-L: a, b ,\"c,d\", e\n\
    X-L: f\n\
    X-E:\n\
    X-N: 12abc\n\
    X-M: -5\n\
    X-IP: 10.1.2.3:80, [2001:db8::1]:99, 2001:db8::2, 1.2.3, 10.0.0.9\n\
    X-B: [2001:db8::1]\n\
    Cookie: a=1; b = 2 ;c=; a=3;d\n\
    Cookie: e=5, f=6\n\
    User-Agent: x, y (z)\n\
    Connection: close";

fn stream() -> Stream {
    let mut stream = Stream::of(REQUEST);
    stream.session.source = Some("127.0.0.1:40000".parse().unwrap());
    stream.session.destination = Some("127.0.0.1:7801".parse().unwrap());
    stream.record.first_request = true;
    stream
}

/// What fastlb reads on purpose: one type for both families of addresses.
const EXPRESSIONS_KNOWN: &[&str] = &["ipv6(::1),add(1)"];

#[test]
fn expressions_yield_what_haproxy_yields() {
    let mut stream = stream();
    let mut wrong = Vec::new();
    for line in include_str!("expressions.txt").lines() {
        let (text, want) = line.split_once(" =>").unwrap();
        let want = want.strip_prefix(' ').unwrap_or(want);
        let word = Word { text: text.to_string(), span: Span::default(), quoted: true };
        let mut proxy = Proxy::new();
        let compiled =
            proxy.with("http-request x", |_, _, compiler| Expression::parse(&word, compiler));
        let got = match compiled.into_iter().next().flatten() {
            None => "!".to_string(),
            Some(expression) => stream.eval(&expression).unwrap_or_default(),
        };
        if got != want && !EXPRESSIONS_KNOWN.contains(&text) {
            wrong.push(format!("{text}: {got:?}, haproxy {want:?} {}", proxy.take()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn conditions_hold_where_they_hold_in_haproxy() {
    // What fastlb reads on purpose and haproxy does not, or the other way round.
    const KNOWN: &[&str] = &[
        "{ hdr_val(x-m) -5 }",       // a negative number is no flag
        "{ req.hdr_beg(host) Www }", // the manual has it
        "TRUE or",                   // an empty alternative would always hold
        "or TRUE",
        "REQ_CONTENT", // buffers are not supported yet
        "RDP_COOKIE",
        "{ path_reg (?=x) }", // look-around is not supported yet
        "{ path_reg ^/(?!x) }",
        "{ path_len gt }",     // an operator without a number
        "{ path -M -f map1 }", // another file
    ];
    let mut stream = stream();
    let mut wrong = Vec::new();
    for line in include_str!("conditions.txt").lines() {
        let (want, text) = line.split_once(' ').unwrap();
        if KNOWN.contains(&text) {
            continue;
        }
        let mut proxy = Proxy::new();
        let got = match proxy.condition(&format!("if {text}")) {
            None => "!",
            Some(condition) if condition.holds(&stream.cx()) => "T",
            Some(_) => "F",
        };
        if got != want {
            wrong.push(format!("{text}: {got}, haproxy {want}: {}", proxy.take()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
