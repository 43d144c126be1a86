//! Rules against framing: whatever they write, proxy, client and server agree on where every message ends.
//!
//! Each case sends a second request behind the first one on the same connection: a message that ends elsewhere than the
//! proxy thinks would swallow it or become part of it.

use crate::support::{Client, Kind, Next, Origin, Proxy, Received, Setup, both};
use std::io::Write;
use std::time::Duration;

fn start(kind: Kind, origin: &Origin, rules: &str) -> Proxy {
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         frontend f\n bind @front@\n default_backend b\n\
         backend b\n{rules}\n server s @{}@\n",
        origin.name()
    );
    Setup::new(kind).origin(origin).listen("front").start(&text)
}

/// Sends the request and a GET behind it; returns what the server received, each as start line, framing and body.
fn received(kind: Kind, rules: &str, request: &str) -> Vec<String> {
    let origin = Origin::echo("o");
    let proxy = start(kind, &origin, rules);
    let mut client = Client::connect(proxy.address("front"));
    let method = request.split(' ').next().unwrap();
    assert_eq!(client.ask(request).status, 200, "{rules}: {method}");
    assert_eq!(client.get("/next").status, 200, "{rules}");
    let describe = |request: &Received| {
        let names = ["content-length", "transfer-encoding", "host", "upgrade"];
        let fields = request.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
        let body = String::from_utf8_lossy(&request.body);
        format!("{} {} {} [{body}]", request.method, request.target, fields.join(" "))
    };
    let received = origin.received();
    assert_eq!(received.last().unwrap().target, "/next", "{rules}");
    received[..received.len() - 1].iter().map(describe).collect()
}

const LENGTH: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const NONE: &str = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn no_rule_makes_a_request_say_another_length_than_its_body_has() {
    let length = "POST / host=a content-length=5 [hello]";
    let chunked = "POST / host=a transfer-encoding=chunked [hello]";
    let rules = [
        "set-header Content-Length 3",
        "set-header content-LENGTH 30",
        "add-header Content-Length 5",
        "del-header Content-Length",
        "del-header ^content|^transfer -m reg",
        "replace-header Content-Length .* 7",
        "replace-value Content-Length 5 5,5",
        "set-header Transfer-Encoding chunked",
        "add-header Transfer-Encoding identity",
        "set-header Transfer-Encoding gzip,chunked",
        "replace-header Transfer-Encoding .* identity",
        "del-header Transfer-Encoding",
    ];
    for rule in rules {
        let rule = format!(" http-request {rule}\n http-request del-header accept");
        let sorted = |request: &str| {
            let mut lines = received(Kind::Fastlb, &rule, request);
            assert_eq!(lines.len(), 1, "{rule}");
            lines.remove(0)
        };
        assert_eq!(sorted(LENGTH), length, "{rule}");
        assert_eq!(sorted(CHUNKED), chunked, "{rule}");
        let none = sorted(NONE);
        let expected = ["POST / host=a []", "POST / host=a content-length=0 []"];
        assert!(expected.contains(&none.as_str()), "{rule}: {none}");
    }
}

#[test]
fn a_request_has_one_host_which_is_that_of_its_target() {
    for (rule, request, expected) in [
        ("add-header Host b", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=b []"),
        (
            "set-header Host b",
            "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://b/x host=b []",
        ),
        ("set-uri http://b/y", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://b/y host=b []"),
        (
            "replace-header Host a b",
            "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://b host=b []",
        ),
    ] {
        let rule = format!(" http-request {rule} unless {{ path /next }}");
        assert_eq!(received(Kind::Fastlb, &rule, request), [expected], "{rule}");
    }
}

#[test]
fn an_upgrade_that_a_rule_adds_to_a_request_with_a_body_is_none() {
    let rules = " http-request set-header Connection upgrade\n http-request set-header Upgrade x";
    assert_eq!(received(Kind::Fastlb, rules, LENGTH), ["POST / host=a content-length=5 [hello]"]);
}

/// An origin that answers `/next` plainly and everything else with these bytes.
fn answering(bytes: &'static str) -> Origin {
    Origin::http("o", move |request, stream| {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
        let answer = if request.target == "/next" { plain } else { bytes };
        let head = answer.find("\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let len = if request.method == "HEAD" { head } else { answer.len() };
        stream.write_all(&answer.as_bytes()[..len])?;
        Ok(Next::KeepAlive)
    })
}

/// Asks with that method, then for `/next` on the same connection; returns both answers.
fn answers(rules: &str, method: &str, bytes: &'static str) -> Vec<String> {
    let origin = answering(bytes);
    let proxy = start(Kind::Fastlb, &origin, rules);
    let mut client = Client::connect(proxy.address("front"));
    client.stream().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut lines = Vec::new();
    for (method, target) in [(method, "/"), ("GET", "/next")] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.try_response(method).expect("a response that ends");
        let names = ["content-length", "transfer-encoding"];
        let fields = response.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
        lines.push(format!("{} {} [{}]", response.status, fields.join(" "), response.text()));
    }
    assert_eq!(lines.pop().unwrap(), "200 content-length=4 [next]", "{rules}");
    lines
}

const FIVE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

#[test]
fn a_response_whose_status_a_rule_sets_has_the_body_of_that_status() {
    let cases = [
        ("set-status 204", FIVE, "204  []"),
        ("set-status 304", FIVE, "304  []"),
        ("set-status 204", CHUNKS, "204  []"),
        ("set-status 200", "HTTP/1.1 204 No Content\r\n\r\n", "200 content-length=0 []"),
        (
            "set-status 200",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "200 content-length=0 []",
        ),
        ("set-status 503", FIVE, "503 content-length=5 [hello]"),
        ("set-status 404", CHUNKS, "404 transfer-encoding=chunked [hello]"),
    ];
    for (rule, bytes, expected) in cases {
        let rule = format!(" http-response {rule} unless {{ capture.req.uri /next }}");
        assert_eq!(answers(&rule, "GET", bytes), [expected], "{rule}");
    }
}

#[test]
fn no_rule_makes_a_response_say_another_length_than_its_body_has() {
    for rule in [
        "set-header Content-Length 3",
        "set-header Content-Length 50",
        "add-header Content-Length 5",
        "del-header Content-Length",
        "set-header Transfer-Encoding chunked",
        "del-header Transfer-Encoding",
        "replace-header Transfer-Encoding .* identity",
        "set-header Upgrade x",
    ] {
        let rule = format!(" http-response {rule}");
        assert_eq!(answers(&rule, "GET", FIVE), ["200 content-length=5 [hello]"], "{rule}");
        let chunked = "200 transfer-encoding=chunked [hello]";
        assert_eq!(answers(&rule, "GET", CHUNKS), [chunked], "{rule}");
    }
}

#[test]
fn a_method_that_a_rule_sets_is_the_servers_and_the_client_gets_what_it_asked_for() {
    let set = |method: &str| format!(" http-request set-method {method} unless {{ path /next }}");
    assert_eq!(answers(&set("HEAD"), "GET", FIVE), ["200 content-length=0 []"]);
    assert_eq!(answers(&set("GET"), "HEAD", FIVE), ["200 content-length=5 []"]);
    assert_eq!(answers(&set("GET"), "HEAD", CHUNKS), ["200 transfer-encoding=chunked []"]);
    assert_eq!(answers(&set("POST"), "GET", FIVE), ["200 content-length=5 [hello]"]);
    // A tunnel that only one side knows of would be a way around every rule.
    assert_eq!(answers(&set("CONNECT"), "GET", FIVE), ["200 content-length=5 [hello]"]);
}

#[test]
fn a_close_that_a_response_rule_writes_closes_the_connection() {
    let origin = answering(FIVE);
    let proxy = start(Kind::Fastlb, &origin, " http-response set-header Connection close");
    let mut client = Client::connect(proxy.address("front"));
    let response = client.get("/");
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn values_of_rules_never_end_a_line() {
    both(|kind| {
        let origin = Origin::echo("o");
        let rules = " http-request set-header X-A %[req.hdr(v),url_dec]\n \
                     http-request replace-header H .* a%[req.hdr(v),url_dec]";
        let proxy = start(kind, &origin, rules);
        let request = "GET /%0d%0aInj:%201%00 HTTP/1.1\r\nHost: a\r\nV: x%0d%0aInj: 1%00%7f%01%09.\r\nH: 1\r\n\r\n";
        let mut lines = Client::connect(proxy.address("front")).ask(request).transcript();
        lines.extend(origin.transcript());
        assert!(!lines.iter().any(|line| line.to_lowercase().contains("> inj:")));
        proxy.neutral(lines)
    });
    // In a target, blanks would end more than a line.
    let rules = " http-request set-query %[req.hdr(v),url_dec]\n \
                 http-request set-method \"A B\" unless { path /next }";
    let origin = Origin::echo("o");
    let proxy = start(Kind::Fastlb, &origin, rules);
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nV: a%20HTTP/1.1%0d%0aInj:1\r\n\r\n";
    assert_eq!(Client::connect(proxy.address("front")).ask(request).status, 200);
    let received = &origin.received()[0];
    assert_eq!((received.method.as_str(), received.header("inj")), ("GET", None));
    assert_eq!(received.target, "/x?a%20HTTP/1.1%0D%0AInj:1");
}

#[test]
fn edits_of_request_lines_and_fields_agree_with_haproxy() {
    let cases = [
        ("set-uri /new?z", "GET /old?q"),
        ("set-path /new", "GET /old?q=1"),
        ("set-path new", "GET /old?q=1"),
        ("set-path /new", "GET http://a/old?q=1"),
        ("set-path /new", "OPTIONS *"),
        ("set-pathq /new?a=1", "GET /old?q=1"),
        ("set-pathq /new", "GET http://a/old?q=1"),
        ("set-query z=1", "GET /old?q=1"),
        ("set-query z=1", "GET /old"),
        ("set-query %[req.hdr(none)]", "GET /old?q=1"),
        ("set-query %[req.hdr(none)]", "GET /old"),
        ("set-method get", "GET /x"),
        ("replace-path (.*) /app\\1", "GET /x?y=/x"),
        ("replace-path ^/([^/]*)/(.*) /\\2/\\1", "GET /a/b?c"),
        ("replace-pathq ([^?]*)(\\?(.*))? \\1/foo\\2", "GET /x?y"),
        ("replace-pathq ^/x$ /z", "GET /x?y"),
        ("replace-uri ^http://(.*) https://\\1", "GET http://a/b"),
        ("replace-header H a(.) [\\1]", "GET /"),
        ("replace-header H ^(.*)$ %[req.hdr(none)]", "GET /"),
        ("replace-header h .* \\0-\\9", "GET /"),
        ("replace-value H ^b$ X", "GET /"),
        ("replace-value h b X", "GET /"),
        ("replace-value H ^$ X", "GET /"),
        ("del-header h", "GET /"),
        ("del-header h -m beg", "GET /"),
        ("del-header 2 -m end", "GET /"),
        ("del-header ^h2?$ -m reg", "GET /"),
        ("set-header h2 %[req.hdr(none)]", "GET /"),
        ("add-header h2 \"a  b\"", "GET /"),
    ];
    both(|kind| {
        let rules = cases
            .iter()
            .enumerate()
            .map(|(index, (rule, _))| format!(" http-request {rule} if {{ req.hdr(n) {index} }}"));
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, &rules.collect::<Vec<_>>().join("\n"));
        let mut lines = Vec::new();
        for (index, (rule, line)) in cases.iter().enumerate() {
            let fields = "H: xab, b ,\"a,b\",,b\r\nH2: no\r\nh: ac\r\n";
            let request = format!("{line} HTTP/1.1\r\nHost: a\r\nN: {index}\r\n{fields}\r\n");
            lines.push(format!("-- {rule}"));
            lines.extend(Client::connect(proxy.address("front")).ask(request).transcript());
        }
        lines.extend(origin.transcript());
        proxy.neutral(lines)
    });
}

#[test]
fn rules_may_make_a_head_larger_than_the_buffer_it_came_in() {
    let origin = Origin::echo("o");
    let rules = " http-request set-header X-Copy %[req.hdr(x-big)]\n \
                 http-request set-header X-Again %[req.hdr(x-big)]\n \
                 http-response set-header X-Back %[capture.req.uri]";
    let proxy = start(Kind::Fastlb, &origin, rules);
    let big = "b".repeat(14_000);
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Big: {big}\r\n\r\n");
    let mut client = Client::connect(proxy.address("front"));
    let response = client.ask(request);
    assert_eq!((response.status, response.header("x-back")), (200, Some("/x")));
    assert_eq!(client.get("/next").status, 200);
    let received = origin.received();
    assert_eq!(received[0].header("x-copy"), Some(big.as_str()));
    assert_eq!(received[0].header("x-again"), Some(big.as_str()));
}
