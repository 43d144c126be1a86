//! Rules and conditions on raw bytes, while these are still arriving.

use crate::rules::Position;
use crate::rules::action::{Verdict, run};
use crate::rules::context::{Content, Stage};
use crate::rules::testing::{Proxy, Stream};

/// A stream that has received these bytes.
fn received(bytes: &[u8], stage: Stage) -> Stream {
    let mut stream = Stream::of("GET /");
    stream.request.clear();
    stream.request.buffer_mut().extend_from_slice(bytes);
    stream.content = Content { stage, ..Content::default() };
    stream
}

fn proxy() -> Proxy {
    Proxy { http: false, ..Proxy::at(Position::Content) }
}

/// Decides a condition with some bytes, before and at the end of the delay.
#[track_caller]
fn check(condition: &str, bytes: &[u8], growing: Option<bool>, last: bool) {
    let mut proxy = proxy();
    let parsed = proxy.condition(&format!("if {condition}"));
    proxy.clean();
    let parsed = parsed.unwrap();
    assert_eq!(parsed.decide(&received(bytes, Stage::Growing).cx()), growing, "{condition}");
    assert_eq!(parsed.decide(&received(bytes, Stage::Final).cx()), Some(last), "{condition}");
    assert_eq!(parsed.holds(&received(bytes, Stage::Final).cx()), last, "{condition}");
}

#[test]
fn what_matches_matches_and_what_does_not_may_still() {
    check("{ req.len gt 2 }", b"abc", Some(true), true);
    check("{ req.len gt 2 }", b"ab", None, false);
    check("{ req.len 0 }", b"", Some(true), true);
    check("!{ req.len gt 2 }", b"ab", None, true);
    check("{ req.payload(1,2) -m str bc }", b"abc", Some(true), true);
    check("{ req.payload(1,2) -m str bc }", b"abx", Some(false), false);
    check("{ req.payload(1,2) -m str bc }", b"ab", None, false);
    check("{ req.payload(1,0) -m str bc }", b"abcd", None, false);
    check("{ payload(0,1) -m found }", b"", None, false);
    check("{ req.payload_lv(0,1) -m str ab }", b"\x02abc", Some(true), true);
    check("{ req.payload_lv(0,1) -m str ab }", b"\x02a", None, false);
    check("{ req.payload_lv(0,1,3) -m str cd }", b"\x02abcd", Some(true), true);
    check("{ req.payload_lv(0,1,+2) -m str cd }", b"\x02abcd", Some(true), true);
    check("{ req.payload_lv(2,1,-1) -m str \x01 }", b"ab\x01", Some(true), true);
    check("WAIT_END", b"", None, true);
    check("REQ_CONTENT", b"", None, false);
    check("RDP_COOKIE", b"\x03\0", None, false);
    check("RDP_COOKIE", b"GET", Some(false), false);
}

#[test]
fn a_term_that_is_not_known_yet_leaves_the_rest_of_its_group_unseen() {
    check("WAIT_END FALSE", b"", None, false);
    check("FALSE WAIT_END", b"", Some(false), false);
    check("WAIT_END or TRUE", b"", Some(true), true);
    check("FALSE or WAIT_END or FALSE", b"", None, true);
}

#[test]
fn a_hello_is_looked_into_once_it_is_whole() {
    let whole = include_bytes!("../../../fuzz/corpus/client_hello/name-and-protocols");
    let half = &whole[..whole.len() - 1];
    for (test, holds) in [
        ("req.ssl_hello_type 1", true),
        ("req.ssl_sni -i A.example", true),
        ("req.ssl_sni b.example", false),
        ("req.ssl_alpn h2", true),
        ("req.ssl_ver 3.3", true),
        ("req.ssl_ver 3.1:3.2", false),
        ("req.ssl_ver gt 3.2", true),
        ("req.ssl_ec_ext", true),
        ("req.ssl_st_ext 1", true),
        ("req_ssl_sni -m end .example", true),
    ] {
        check(&format!("{{ {test} }}"), whole, Some(holds), holds);
        check(&format!("{{ {test} }}"), half, None, false);
        check(&format!("{{ {test} }}"), b"SSH-2.0", Some(false), false);
    }
}

#[test]
fn a_list_stops_before_a_rule_that_is_not_known_yet_and_begins_anew() {
    let mut proxy = proxy();
    let rules = proxy.rules(
        "tcp-request content set-var(sess.a) req.len\n\
         tcp-request content accept if { req.payload(0,1) -m str x }\n\
         tcp-request content reject if { req.len gt 2 }\n\
         tcp-request content set-var(sess.b) req.len",
    );
    proxy.clean();
    let verdict = |bytes: &[u8], stage| run(&rules, &mut received(bytes, stage).cx());
    assert!(matches!(verdict(b"", Stage::Growing), Verdict::Undecided));
    assert!(matches!(verdict(b"ab", Stage::Growing), Verdict::Undecided));
    assert!(matches!(verdict(b"x", Stage::Growing), Verdict::Continue));
    assert!(matches!(verdict(b"abc", Stage::Growing), Verdict::Reject));
    assert!(matches!(verdict(b"ab", Stage::Final), Verdict::Continue));
}

#[test]
fn raw_bytes_and_messages_are_told_apart_when_the_file_is_read() {
    for (position, http, expression, finding) in [
        (Position::Connection, false, "req.len", "nothing was received or chosen yet"),
        (Position::Connection, true, "path", "looks at what the client sent"),
        (Position::Connection, true, "status", "looks at what the server sent"),
        (Position::Connection, true, "srv_id", "needs what is chosen later"),
        (Position::Content, true, "req.len", "in `mode http` there are messages instead"),
        (Position::Content, false, "res.len", "bytes that are not there"),
        (Position::Content, false, "status", "does not exist yet when a request rule runs"),
        (Position::ResponseContent, false, "req.len", "bytes that are not there"),
        (Position::Request, false, "req.ssl_sni", "nothing in this proxy waits for that"),
        (Position::Request, true, "req.ssl_sni", "in `mode http` there are messages instead"),
        (Position::Log, false, "req.ssl_sni", "bytes that are not there"),
        (Position::Content, false, "req.payload_lv(0,0)", "the length needs one byte"),
        (Position::Content, false, "req.payload_lv(0,1,x)", "`x` is no offset"),
    ] {
        let mut proxy = Proxy { http, ..Proxy::at(position) };
        assert!(proxy.expression(expression).is_none(), "{expression} at {position:?}");
        let found = proxy.take();
        assert!(found.contains(finding), "{expression} at {position:?}: {found}");
    }
    for (position, expression) in [
        (Position::Content, "req.hdr(host)"),
        (Position::Content, "path"),
        (Position::ResponseContent, "status"),
        (Position::ResponseContent, "payload(0,1)"),
        (Position::Connection, "src"),
    ] {
        let mut proxy = Proxy { http: false, ..Proxy::at(position) };
        assert!(proxy.expression(expression).is_some(), "{expression}: {}", proxy.take());
    }
}
