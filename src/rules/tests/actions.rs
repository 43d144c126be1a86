//! What rules do to messages, and what they decide.

use crate::rules::action::{Answer, Rule, Service, Verdict, run, run_traced};
use crate::rules::context::LogLevel;
use crate::rules::testing::{Proxy, Stream, fields};

#[track_caller]
fn compile(text: &str) -> Vec<Rule> {
    let mut proxy = Proxy::new();
    let rules = proxy.rules(text);
    proxy.clean();
    rules
}

/// Runs rules on a request and returns its first line and fields.
#[track_caller]
fn request(rules: &str, request: &str) -> String {
    let mut stream = Stream::of(request);
    let rules = compile(rules);
    assert!(matches!(run(&rules, &mut stream.cx()), Verdict::Continue));
    let head = &stream.request;
    let line = [head.method(), b" ", head.target()].concat();
    format!("{}\n{}", String::from_utf8_lossy(&line), fields(head)).trim_end().to_string()
}

#[test]
fn headers_are_added_set_deleted_and_replaced() {
    for (rules, want) in [
        (
            "http-request set-header X-A \"%[src] z\"",
            "GET /p?q\nHost: h\nX-B: 1\nx-b: 2, 3\nx-a: 192.168.1.7 z",
        ),
        ("http-request add-header X-B 9", "GET /p?q\nHost: h\nX-B: 1\nx-b: 2, 3\nx-b: 9"),
        ("http-request set-header X-B %[req.fhdr(x-b)],9", "GET /p?q\nHost: h\nx-b: 2, 3,9"),
        ("http-request del-header x-B", "GET /p?q\nHost: h"),
        ("http-request del-header X- -m beg", "GET /p?q\nHost: h"),
        ("http-request del-header ^(host|foo)$ -m reg", "GET /p?q\nX-B: 1\nx-b: 2, 3"),
        ("http-request del-header b -m end", "GET /p?q\nHost: h"),
        (
            "http-request replace-header X-B (.*),(.*) \\2;\\1",
            "GET /p?q\nHost: h\nX-B: 1\nx-b:  3;2",
        ),
        ("http-request replace-header X-B 1 %[method]", "GET /p?q\nHost: h\nX-B: GET\nx-b: 2, 3"),
        ("http-request replace-value X-B (3) <\\1>", "GET /p?q\nHost: h\nX-B: 1\nx-b: 2,<3>"),
        (
            "http-request set-header X-A a if { path /other }",
            "GET /p?q\nHost: h\nX-B: 1\nx-b: 2, 3",
        ),
        ("http-request set-header X-A \"  a  \"", "GET /p?q\nHost: h\nX-B: 1\nx-b: 2, 3\nx-a: a"),
    ] {
        assert_eq!(request(rules, "GET /p?q\nHost: h\nX-B: 1\nx-b: 2, 3"), want, "{rules}");
    }
}

#[test]
fn fields_that_frame_a_message_are_not_for_rules() {
    const MESSAGE: &str = "POST /p\nContent-Length: 5\nTransfer-Encoding: chunked";
    for rule in [
        "del-header content-length",
        "del-header Transfer-Encoding",
        "set-header Content-Length 7",
        "add-header Transfer-Encoding gzip",
        "replace-header Content-Length . 7",
        "replace-value transfer-encoding chunked gzip",
    ] {
        let mut proxy = Proxy::new();
        let rules = proxy.rules(&format!("http-request {rule}"));
        let said = proxy.take();
        assert!(said.contains("rules cannot edit"), "{rule}: {said}");
        let mut stream = Stream::of(MESSAGE);
        assert!(matches!(run(&rules, &mut stream.cx()), Verdict::Continue));
        assert_eq!(fields(&stream.request).trim_end(), MESSAGE.split_once('\n').unwrap().1);
    }
    assert_eq!(request("http-request del-header . -m reg", MESSAGE), MESSAGE);
}

#[test]
fn a_value_cannot_end_the_field_line() {
    let rules = compile(
        "http-request set-header X-A %[url_param(a),url_dec]\nhttp-request return hdr x-b %[url_param(a),url_dec]",
    );
    let mut stream = Stream::of("GET /?a=1%0d%0aEvil:%20x");
    let Verdict::Answer(answer) = run(&rules, &mut stream.cx()) else { panic!("no answer") };
    assert_eq!(fields(&stream.request), "x-a: 1%0D%0AEvil: x");
    assert_eq!(answer.fields, [(b"x-b".to_vec(), b"1%0D%0AEvil: x".to_vec())]);
}

#[test]
fn the_request_line_is_rewritten_part_by_part() {
    for (rules, target, want) in [
        ("set-path /x%[path]", "/a?b=c", "GET /x/a?b=c"),
        ("set-path /x", "http://h/a?b", "GET http://h/x?b"),
        ("set-path /x", "*", "GET /x"),
        ("set-pathq /x", "/a?b=c", "GET /x"),
        ("set-query z=1", "/a?b=c", "GET /a?z=1"),
        ("set-query z=1", "/a", "GET /a?z=1"),
        ("set-query %[str()]", "/a?b", "GET /a?"),
        ("set-query %[str()]", "/a", "GET /a"),
        ("set-uri /new?x", "/a?b", "GET /new?x"),
        ("set-method POST", "/a", "POST /a"),
        ("replace-path /foo/(.*) /\\1", "/foo/bar?q=1", "GET /bar?q=1"),
        ("replace-path (.*) /foo\\1", "/bar?q=1", "GET /foo/bar?q=1"),
        ("replace-path /nope /x", "/bar?q=1", "GET /bar?q=1"),
        ("replace-pathq ([^?]*)(\\?(.*))? \\1/foo\\2", "/bar?q=1", "GET /bar/foo?q=1"),
        ("replace-uri ^http://(.*) https://\\1", "http://h/a", "GET https://h/a"),
        ("set-path \"/a b\"", "/x", "GET /a%20b"),
        ("set-uri %[str()]", "/x", "GET /x"),
    ] {
        // Quotes keep the backslashes of templates.
        let rules = rules.replace('\\', "\\\\");
        assert_eq!(
            request(&format!("http-request {rules}"), &format!("GET {target}")),
            want,
            "{rules}"
        );
    }
}

#[test]
fn responses_are_edited_and_their_status_replaced() {
    let rules = compile(
        "http-response set-status 431\nhttp-response set-header X-S %[status] if { status 431 }\n\
         http-response del-header server\nhttp-response set-log-level silent",
    );
    let mut stream = Stream::of("GET /").answered("200\nServer: x\nA: b");
    assert!(matches!(run(&rules, &mut stream.cx()), Verdict::Continue));
    let head = stream.response.as_ref().unwrap();
    assert_eq!((head.status(), head.reason()), (431, &b"Request Header Fields Too Large"[..]));
    assert_eq!(fields(head), "A: b\nx-s: 431");
    assert_eq!(stream.record.log_level.get(), LogLevel::Silent);
    let rules = compile("http-response set-status 503 reason \"Slow Down\"");
    run(&rules, &mut stream.cx());
    assert_eq!(stream.response.unwrap().reason(), b"Slow Down");
}

#[track_caller]
fn verdict(rules: &str, target: &str) -> Verdict {
    run(&compile(rules), &mut Stream::of(&format!("GET {target}\nHost: h:80")).cx())
}

#[test]
fn the_first_final_rule_that_holds_decides() {
    let rules = compile(
        "http-request set-header X a\nhttp-request deny if { path /a }\nhttp-request allow if { path /b }\n\
         http-request deny deny_status 429",
    );
    let trace = |target: &str| {
        let (verdict, index) =
            run_traced(&rules, 0, &mut Stream::of(&format!("GET {target}")).cx());
        (format!("{verdict:?}"), index)
    };
    assert_eq!(trace("/a"), ("Deny(403)".to_string(), Some(1)));
    assert_eq!(trace("/b"), ("Continue".to_string(), Some(2)));
    assert_eq!(trace("/c"), ("Deny(429)".to_string(), Some(3)));
    assert!(!rules[0].is_final() && rules[1].is_final() && rules[1].is_refusal());
    assert!(matches!(verdict("http-request reject", "/"), Verdict::Reject));
    assert!(matches!(verdict("http-request silent-drop", "/"), Verdict::SilentDrop(None)));
    assert!(matches!(verdict("http-request tarpit", "/"), Verdict::Tarpit(500, None)));
    assert!(matches!(
        verdict("http-request use-service prometheus-exporter if { path /metrics }", "/metrics"),
        Verdict::Service(Service::Prometheus)
    ));
    let response = compile("http-response deny");
    let mut stream = Stream::of("GET /").answered("200");
    assert!(matches!(run(&response, &mut stream.cx()), Verdict::Deny(502)));
}

fn show(answer: &Answer) -> String {
    let mut text = answer.status.to_string();
    for (name, value) in &answer.fields {
        text += &format!("\n{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    }
    text + "\n\n" + &String::from_utf8_lossy(&answer.body)
}

#[test]
fn answers_have_the_fields_and_bodies_that_they_are_given() {
    for (rule, want) in [
        ("return", "200\n\n"),
        ("return status 404", "404\n\n"),
        (
            "return status 200 content-type text/plain string abc hdr X-Foo \"%[src] a\"",
            "200\nx-foo: 192.168.1.7 a\ncontent-type: text/plain\n\nabc",
        ),
        (
            "return content-type text/plain lf-string \"  a   %[path]\\n\"",
            "200\ncontent-type: text/plain\n\n  a   /x\n",
        ),
        (
            "return content-type text/x file page",
            "200\ncontent-type: text/x\n\nHTTP/1.0 200 OK\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nhey",
        ),
    ] {
        let Verdict::Answer(answer) = verdict(&format!("http-request {rule}"), "/x") else {
            panic!("{rule}")
        };
        assert_eq!(show(&answer), want, "{rule}");
    }
    let Verdict::Answer(Answer { status: 503, raw: Some(raw), .. }) =
        verdict("http-request return status 503 errorfile page", "/x")
    else {
        panic!("no file")
    };
    assert_eq!(&*raw, b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\ncontent-length: 3\r\n\r\nhey");
    let Verdict::DenyAnswer(answer) =
        verdict("http-request deny content-type text/html string no", "/x")
    else {
        panic!("no answer")
    };
    assert_eq!(show(&answer), "403\ncontent-type: text/html\n\nno");
    let Verdict::Tarpit(429, Some(answer)) =
        verdict("http-request tarpit status 429 content-type text/html string no", "/x")
    else {
        panic!("no answer")
    };
    assert_eq!(answer.status, 429);
    assert!(matches!(
        verdict("http-request return status 404 default-errorfiles", "/"),
        Verdict::Page(404)
    ));
    assert!(matches!(
        verdict("http-request silent-drop rst-ttl 3", "/"),
        Verdict::SilentDrop(Some(3))
    ));
}

/// Each was answered so by haproxy 2.6.
#[test]
fn redirects_are_those_of_haproxy() {
    const NO_CACHE: &str = "\ncache-control: no-cache";
    for (rule, target, want) in [
        (
            "http-request redirect location http://x/%[path]",
            "/a",
            format!("302\nlocation: http://x//a{NO_CACHE}"),
        ),
        (
            "http-request redirect location http://x/ code 301",
            "/",
            "301\nlocation: http://x/".to_string(),
        ),
        (
            "http-request redirect location http://x/ code 303",
            "/",
            format!("303\nlocation: http://x/{NO_CACHE}"),
        ),
        (
            "http-request redirect location http://x/ code 307",
            "/",
            format!("307\nlocation: http://x/{NO_CACHE}"),
        ),
        (
            "http-request redirect location http://x/ code 308",
            "/",
            "308\nlocation: http://x/".to_string(),
        ),
        ("http-request redirect location %[str()]", "/", format!("302\nlocation: {NO_CACHE}")),
        (
            "http-request redirect prefix http://p code 301",
            "/p1/a?b",
            "301\nlocation: http://p/p1/a?b".to_string(),
        ),
        (
            "http-request redirect prefix http://p drop-query",
            "/p2/a?b=1",
            format!("302\nlocation: http://p/p2/a{NO_CACHE}"),
        ),
        (
            "http-request redirect prefix http://p drop-query append-slash",
            "/p3/a?b",
            format!("302\nlocation: http://p/p3/a/{NO_CACHE}"),
        ),
        (
            "http-request redirect prefix http://p drop-query append-slash",
            "/p3/a/",
            format!("302\nlocation: http://p/p3/a/{NO_CACHE}"),
        ),
        (
            "http-request redirect prefix / set-cookie SEEN=1",
            "/p4?x",
            format!("302\nlocation: /p4?x{NO_CACHE}\nset-cookie: SEEN=1; path=/;"),
        ),
        (
            "http-request redirect prefix / clear-cookie SEEN=",
            "/p5",
            format!("302\nlocation: /p5{NO_CACHE}\nset-cookie: SEEN=; path=/; Max-Age=0;"),
        ),
        (
            "http-request redirect location /l keep-query",
            "/p6?a=1",
            format!("302\nlocation: /l?a=1{NO_CACHE}"),
        ),
        (
            "http-request redirect location /l?b keep-query",
            "/p6?a=1",
            format!("302\nlocation: /l?b&a=1{NO_CACHE}"),
        ),
        (
            "http-request redirect location /l keep-query",
            "/p6",
            format!("302\nlocation: /l{NO_CACHE}"),
        ),
        (
            "http-request redirect location /l set-cookie-fmt SEEN=%[path]",
            "/p7",
            format!("302\nlocation: /l{NO_CACHE}\nset-cookie: SEEN=/p7; path=/;"),
        ),
        (
            "http-request redirect scheme https",
            "http://h/s1?a",
            format!("302\nlocation: https://h:80/s1?a{NO_CACHE}"),
        ),
        (
            "http-request redirect scheme https code 301 drop-query",
            "/s2?b",
            "301\nlocation: https://h:80/s2".to_string(),
        ),
        (
            "redirect location http://old/%[path]?a=%%20",
            "/old",
            format!("302\nlocation: http://old/%[path]?a=%%20{NO_CACHE}"),
        ),
        ("redirect scheme https", "*", format!("302\nlocation: https://h:80/{NO_CACHE}")),
    ] {
        let Verdict::Answer(answer) = verdict(rule, target) else { panic!("{rule}") };
        assert_eq!(show(&answer), want + "\n\n", "{rule}");
    }
    let skipped = verdict("http-request redirect location %[str()] ignore-empty", "/");
    assert!(matches!(skipped, Verdict::Continue));
}
