//! Each mistake gives one message that says what to write.

use crate::rules::Position;
use crate::rules::testing::Proxy;

#[track_caller]
fn condition(text: &str, want: &str) {
    let mut proxy = Proxy::new();
    proxy.acls("acl is_myapp path_beg /app\nacl bad nonsense");
    proxy.take();
    proxy.condition(text);
    assert_eq!(proxy.take(), want);
}

#[track_caller]
fn acl(text: &str, want: &str) {
    let mut proxy = Proxy::new();
    proxy.acls(text);
    assert_eq!(proxy.take(), want);
}

#[track_caller]
fn rule(text: &str, want: &str) {
    let mut proxy = Proxy::new();
    proxy.rules(text);
    assert_eq!(proxy.take(), want);
}

#[test]
fn braces_without_blanks_are_named_and_written_out() {
    condition(
        "if {path -i -m beg /admin}",
        "error at `{path`: missing blank behind `{` | braces must stand alone | help: write `{ path -i -m beg /admin }`",
    );
    condition(
        "if !{path_beg /admin }",
        "error at `{path_beg`: missing blank behind `{` | braces must stand alone | help: write `!{ path_beg /admin }`",
    );
    condition(
        "if { path_beg /admin} TRUE",
        "error at `/admin}`: missing blank before `}` | braces must stand alone | help: write `{ path_beg /admin }`",
    );
    condition(
        "if {always_true}",
        "error at `{always_true}`: missing blank behind `{` | braces must stand alone | help: write `{ always_true }`",
    );
    condition(
        "if { path_beg /admin",
        "error at `{`: missing `}` | this brace is never closed | help: an anonymous ACL ends with a `}` that stands alone",
    );
    condition("if TRUE }", "error at `}`: unexpected `}` | no `{` before it");
    condition(
        "if { }",
        "error at `{ }`: empty `{ }` | help: write a test inside, such as `{ path_beg /api }`",
    );
}

#[test]
fn an_unknown_acl_is_suggested_a_near_one() {
    condition(
        "if is_myapp_ui",
        "error at `is_myapp_ui`: unknown ACL `is_myapp_ui` | at `is_myapp`: `is_myapp` is declared here | help: did you mean `is_myapp`?",
    );
    condition(
        "if METH_GTE",
        "error at `METH_GTE`: unknown ACL `METH_GTE` | help: did you mean `METH_GET`?",
    );
    condition(
        "if quite_else",
        "error at `quite_else`: unknown ACL `quite_else` | help: declare it in this section: `acl quite_else <criterion> <value>`",
    );
    condition(
        "if path_beg /x or TRUE",
        "error at `path_beg`: unknown ACL `path_beg` | this is a sample fetch, not the name of an ACL | help: put a test without a name in braces: `{ path_beg /x }`",
    );
}

#[test]
fn an_acl_whose_line_is_broken_is_reported_once() {
    condition("if bad", "");
}

#[test]
fn operators_stand_between_acls() {
    condition(
        "if TRUE or",
        "error at `or`: missing ACL behind `or` | expected the name of an ACL, or `{ … }`",
    );
    condition(
        "if || TRUE",
        "error at `||`: missing ACL before `||` | expected the name of an ACL, or `{ … }`",
    );
    condition(
        "if",
        "error at `if`: missing ACL behind `if` | expected the name of an ACL, or `{ … }`",
    );
    condition(
        "if !",
        "error at `!`: missing ACL behind `!` | expected the name of an ACL, or `{ … }`",
    );
    condition(
        "if TRUE and TRUE",
        "error at `and`: conditions have no `and` | help: ACLs that stand side by side must all be true: remove the word",
    );
    condition("when TRUE", "error at `when`: unexpected `when` | expected `if` or `unless`");
}

#[test]
fn a_criterion_without_blank_before_its_value_is_taken_apart() {
    acl(
        "acl url_blog path_beg/blog",
        "error at `path_beg/blog`: unknown ACL criterion `path_beg/blog` | missing blank | help: did you mean `path_beg /blog`?",
    );
}

#[test]
fn criteria_are_suggested_or_said_to_be_missing() {
    acl(
        "acl a pth_beg /x",
        "error at `pth_beg`: unknown ACL criterion `pth_beg` | help: did you mean `path_beg`?",
    );
    acl(
        "acl a pathq_beg /x",
        "error at `pathq_beg`: unknown ACL criterion `pathq_beg` | help: write `pathq -m beg`",
    );
    acl(
        "acl a ssl_c_used",
        "error at `ssl_c_used`: the sample fetch `ssl_c_used` is not supported yet",
    );
    acl(
        "acl a req_ssl_sni -i x",
        "error at `req_ssl_sni`: the sample fetch `req_ssl_sni` is not supported yet",
    );
    acl(
        "acl a hdr(host),lowr x",
        "error at `lowr`: unknown converter `lowr` | help: did you mean `lower`?",
    );
    acl("acl a hdr(host),wt6 1", "error at `wt6`: the converter `wt6` is not supported yet");
    acl("acl a nbsrv(apq) 1", "error at `apq`: unknown backend `apq` | help: did you mean `app`?");
    acl(
        "acl a nbsrv 1",
        "error at `nbsrv`: `nbsrv` does not say of which backend | help: write `nbsrv(<backend>)`: a frontend has no servers of its own",
    );
    acl("acl a srv_is_up(app/s3)", "error at `app/s3`: unknown server `app/s3`");
}

#[test]
fn names_of_acls_are_checked() {
    acl(
        "acl",
        "error at `acl`: `acl` needs a name and a criterion | help: write for example `acl is_api path_beg /api`",
    );
    acl(
        "acl is_api",
        "error at `is_api`: the ACL `is_api` has no criterion | help: write for example `acl is_api path_beg /api`",
    );
    acl(
        "acl a/b path_beg /x",
        "error at `a/b`: bad character `/` in the ACL name `a/b` | help: a name consists of letters, digits, `-`, `_`, `.` and `:`",
    );
    acl(
        "acl or path_beg /x",
        "error at `or`: an ACL named `or` could never be used: conditions have that word for themselves",
    );
}

#[test]
fn patterns_and_flags_are_checked_at_their_place() {
    acl(
        "acl a dst_port 80:b",
        "error at `80:b`: bad pattern `80:b` | expected a number, a range such as `1024:65535`, or an operator such as `ge`",
    );
    acl(
        "acl a dst_port 9:1",
        "error at `9:1`: the range `9:1` is empty | help: did you mean `1:9`?",
    );
    acl("acl a dst_port ge", "error at `ge`: `ge` needs a number | expected a number behind it");
    acl(
        "acl a src 10.0.0.0/33",
        "error at `10.0.0.0/33`: bad pattern `10.0.0.0/33` | expected an address or a network such as `10.0.0.0/8` or `2001:db8::/32`",
    );
    acl(
        "acl a path -m bge /x",
        "error at `bge`: unknown matching method `bge` | help: did you mean `beg`?",
    );
    acl("acl a path -m", "error at `-m`: `-m` needs a value");
    acl(
        "acl a path -j /x",
        "error at `-j`: unknown ACL flag `-j` | help: expected `-i`, `-f`, `-m`, `-n`, `-M`, `-u`; put `--` before a pattern that begins with `-`",
    );
    acl(
        "acl a path_beg -f nope",
        "error at `nope`: cannot read the pattern file `nope`: no such file",
    );
    acl(
        "acl a path_reg ^/(?!x)",
        "error at `(`: look-around groups in regular expressions are not supported yet",
    );
    acl(
        "acl a path \"\"",
        "error at `\"\"`: a word cannot be empty | help: to match an empty string, write `-m len 0`",
    );
    acl(
        "acl a src -m bin 00",
        "error at `bin`: `-m bin` cannot look at `src`, which yields an address",
    );
    acl(
        "acl a bin(00) 00",
        "error at `bin(00)`: `bin(00)` yields binary data, which has no matching method of its own | help: say how to compare it, such as `-m bin` or `-m found`",
    );
    acl(
        "acl a var(txn.a) 00",
        "error at `var(txn.a)`: `var(txn.a)` yields any type, which has no matching method of its own | help: say how to compare it, such as `-m str`, `-m int` or `-m found`",
    );
}

#[test]
fn a_bad_regular_expression_is_pointed_at() {
    let mut proxy = Proxy::new();
    proxy.acls("acl a path_reg ^/(a");
    let findings = proxy.take();
    assert!(findings.starts_with("error at `^/(a`: bad regular expression: "), "{findings}");
}

#[test]
fn carets_point_into_the_word() {
    let mut proxy = Proxy::new();
    for (text, place) in [
        ("hdr(host),lowr,field(1,/)", "lowr"),
        ("hdr(host,x)", "x"),
        ("path,field(0,/)", "0"),
        ("\"path,field(0,/)\"", "0"),
        ("path,lower(1)", "1"),
        ("hdr(host", "(host"),
        ("hdr(host)lower", "lower"),
        ("date(1,m)", "m"),
    ] {
        assert!(proxy.expression(text).is_none(), "{text}");
        let findings = proxy.take();
        assert!(findings.starts_with(&format!("error at `{place}`: ")), "{text}: {findings}");
    }
}

#[test]
fn a_fetch_says_where_it_may_be_used() {
    let mut proxy = Proxy::new();
    assert!(proxy.expression("res.hdr(server)").is_none());
    assert_eq!(
        proxy.take(),
        "error at `res.hdr`: `res.hdr` looks at the response, which does not exist yet when a request rule runs | help: it may be used in `http-response` rules and in log formats"
    );
    assert!(proxy.expression("srv_name").is_none());
    assert!(proxy.take().contains("needs the server"));
    assert!(proxy.expression("be_name").is_none());
    assert!(proxy.take().contains("needs the backend"));
    assert!(proxy.expression("path_beg").is_none());
    assert_eq!(
        proxy.take(),
        "error at `path_beg`: `path_beg` can only be used in an ACL | help: elsewhere write the fetch itself: `path`, which `path_beg` compares with `-m beg`"
    );
    let mut tcp = Proxy { http: false, ..Proxy::new() };
    assert!(tcp.expression("path").is_none());
    assert!(tcp.take().contains("not in `mode http`"));
    assert!(tcp.condition("if { src 10.0.0.0/8 }").is_some());
    tcp.clean();
}

#[test]
fn a_response_test_in_a_request_condition_is_a_warning_and_never_true() {
    let mut proxy = Proxy::new();
    proxy.acls("acl missing status 404");
    let condition = proxy.condition("if missing").unwrap();
    assert_eq!(
        proxy.take(),
        "warning at `missing`: `status` looks at the response, which does not exist yet when a request rule runs | never true here | at `status`: it is tested here | help: it may be used in `http-response` rules and in log formats"
    );
    let mut stream = crate::rules::testing::Stream::of("GET /");
    assert!(!condition.holds(&stream.cx()));
    let mut response = Proxy::at(Position::Response);
    let condition = response.condition("if { status 404 }").unwrap();
    response.clean();
    assert!(condition.holds(&stream.answered("404").cx()));
}

#[test]
fn actions_are_checked() {
    rule(
        "http-request denny",
        "error at `denny`: unknown action `denny` in a `http-request` rule | help: did you mean `deny`?",
    );
    rule(
        "http-request sc-inc-gpc0(0) str(a)",
        "error at `sc-inc-gpc0(0)`: the action `sc-inc-gpc0(0)` of `http-request` is not supported yet",
    );
    rule(
        "http-request auth realm x if TRUE",
        "error at `auth`: the action `auth` of `http-request` is not supported yet",
    );
    rule(
        "http-request set-status 200",
        "error at `set-status`: `set-status` cannot stand in `http-request` rules | help: it is an action of `http-response`",
    );
    rule(
        "http-response set-path /",
        "error at `set-path`: `set-path` cannot stand in `http-response` rules | help: it is an action of `http-request`",
    );
    rule(
        "http-request set-header X: a",
        "error at `X:`: `X:` is no name of a header field | help: write the name without colon: `X`",
    );
    rule(
        "http-request set-header X a b",
        "error at `b`: unexpected `b` | expected `if`, `unless` or the end of the line | help: a value that contains blanks must be quoted",
    );
    rule(
        "http-request set-header X",
        "error at `X`: missing word behind `X` | expected the value of the field",
    );
    rule(
        "http-request return content-type \"a\\r\\nX: y\" string z",
        "error at `\"a\\r\\nX: y\"`: the media type holds a control character | help: write for example `content-type text/plain`",
    );
    rule(
        "http-request deny deny_status 418",
        "error at `418`: there is no error page for status 418 | help: expected one of 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504, 505 | help: give the answer a body, such as `content-type text/plain string \"…\"`",
    );
    rule(
        "http-request deny deny_status 99",
        "error at `99`: bad status `99` | expected a number between 200 and 599",
    );
    rule(
        "http-request return string hello",
        "error at `string`: a body needs a `content-type` | help: write for example `content-type text/plain` before it",
    );
    rule(
        "http-request return content-type a/b file nope",
        "error at `nope`: cannot read `nope`: no such file",
    );
    rule(
        "http-request use-service lua.x",
        "error at `lua.x`: unknown service `lua.x` | help: services in Lua are not supported yet",
    );
    rule(
        "http-request redirect https://x",
        "error at `https://x`: unexpected `https://x` in a redirect | help: did you mean `location https://x`?",
    );
    rule(
        "http-request redirect code 301",
        "error at `301`: a redirect needs `location`, `prefix` or `scheme` | help: write for example `redirect scheme https`",
    );
    rule(
        "redirect scheme https code 300",
        "error at `300`: bad redirect code `300` | expected 301, 302, 303, 307 or 308",
    );
    rule(
        "http-request del-header X -m dom",
        "error at `dom`: `-m dom` cannot be used here | help: expected one of `beg`, `end`, `reg`, `str`, `sub`",
    );
    rule(
        "http-request set-log-level warn",
        "error at `warn`: unknown log level `warn` | help: expected one of `alert`, `crit`, `debug`, `emerg`, `err`, `info`, `notice`, `warning`, `silent` | help: did you mean `warning`?",
    );
    rule(
        "http-request",
        "error at `http-request`: missing word behind `http-request` | expected an action, such as `deny`",
    );
}

#[test]
fn formats_are_checked() {
    let mut proxy = Proxy::at(Position::Log);
    for (text, want) in [
        (
            "%zz",
            "error at `%zz`: unknown log-format tag `%zz` | help: write `%%` for a percent sign",
        ),
        ("%sslw", "error at `%sslw`: unknown log-format tag `%sslw` | help: did you mean `%sslc`?"),
        ("50%", "error at `%`: `%` without a tag behind it | help: write `%%` for a percent sign"),
        (
            "%[src",
            "error at `[src`: missing `]` behind a sample expression | this bracket is never closed",
        ),
        ("%[scr]", "error at `scr`: unknown sample fetch `scr` | help: did you mean `src`?"),
        (
            "%{+Z}r",
            "error at `+Z`: unknown log-format flag `+Z` | help: expected `+` or `-` and one of `Q` (quote), `X` (hexadecimal), `E` (escape), `M` (`-` when empty), `json`, `cbor`, `bin`",
        ),
        ("%{+Q", "error at `{+Q`: missing `}` behind the flags of a log-format tag"),
    ] {
        assert!(proxy.format(text).is_none(), "{text}");
        assert_eq!(proxy.take(), want);
    }
}
