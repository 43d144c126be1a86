//! Options that edit requests behind the rules: what servers are told of clients, and which field names pass.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both};

/// Starts a proxy whose `defaults`, frontend and backend have these lines.
fn start(kind: Kind, origin: &Origin, defaults: &str, front: &str, back: &str) -> Proxy {
    let global = "expose-experimental-directives";
    let text = format!(
        "global\n {global}\ndefaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         {defaults}\nfrontend f\n bind @front@\n{front}\n default_backend b\n\
         backend b\n{back}\n server s @{}@\n",
        origin.name()
    );
    Setup::new(kind).origin(origin).listen("front").start(&text)
}

/// Sends a GET with these field lines; returns what client and server saw.
fn pass(kind: Kind, options: [&str; 3], fields: &str) -> Vec<String> {
    let origin = Origin::echo("o");
    let proxy = start(kind, &origin, options[0], options[1], options[2]);
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut lines = vec![format!("-- {options:?} {fields:?}")];
    lines.extend(Client::connect(proxy.address("front")).ask(request).transcript());
    lines.extend(origin.transcript());
    proxy.neutral(lines)
}

#[test]
fn the_address_options_of_frontend_and_backend_work_together() {
    const PLAIN: &str = " option forwardfor";
    const NAMED: &str = " option forwardfor header X-A";
    const IF_NONE: &str = " option forwardfor if-none";
    const EXCEPT: &str = " option forwardfor except 127.0.0.0/8";
    let cases: &[([&str; 3], &str)] = &[
        (["", PLAIN, PLAIN], ""),
        (["", EXCEPT, PLAIN], ""),
        (["", PLAIN, EXCEPT], ""),
        (["", NAMED, PLAIN], ""),
        (["", NAMED, ""], ""),
        (["", PLAIN, NAMED], "X-A: 1\r\n"),
        (["", IF_NONE, PLAIN], "X-Forwarded-For: 1.1.1.1\r\n"),
        (["", PLAIN, IF_NONE], "X-Forwarded-For: 1.1.1.1\r\n"),
        (["", IF_NONE, IF_NONE], "X-Forwarded-For: 1.1.1.1\r\n"),
        (["", "", IF_NONE], "X-Forwarded-For: 1.1.1.1\r\n"),
        ([EXCEPT, PLAIN, PLAIN], ""),
        ([NAMED, "", ""], ""),
        (["", " option originalto", ""], "X-Original-To: 2.2.2.2\r\n"),
        (["", " option originalto header X-A", " option originalto"], ""),
        (["", " option originalto except 127.0.0.1", " option originalto"], ""),
        ([" option originalto header X-D", " option forwardfor", ""], ""),
    ];
    both(|kind| cases.iter().flat_map(|(options, fields)| pass(kind, *options, fields)).collect());
}

#[test]
fn field_names_are_restricted_per_proxy_behind_its_rules() {
    const ODD: &str = "X_a: 1\r\nX-B: 2\r\nX.c: 3\r\n";
    const DELETE: &str = " option http-restrict-req-hdr-names delete";
    const REJECT: &str = " option http-restrict-req-hdr-names reject";
    const PRESERVE: &str = " option http-restrict-req-hdr-names preserve";
    let seen = format!("{DELETE}\n http-request set-header X-Seen %[req.hdr(x_a)]");
    let cleaned = format!("{REJECT}\n http-request del-header ^x[_.] -m reg");
    let cases: &[[&str; 3]] = &[
        ["", DELETE, ""],
        ["", "", DELETE],
        ["", REJECT, ""],
        ["", "", REJECT],
        ["", DELETE, REJECT],
        ["", DELETE, PRESERVE],
        [DELETE, PRESERVE, ""],
        [DELETE, PRESERVE, PRESERVE],
        ["", &seen, ""],
        ["", &cleaned, ""],
        ["", DELETE, " http-request set-header X-Seen [%[req.hdr(x_a)]]"],
    ];
    both(|kind| cases.iter().flat_map(|options| pass(kind, *options, ODD)).collect());
}

#[test]
fn the_forwarded_field_is_appended_behind_what_the_client_sent() {
    let origin = Origin::echo("o");
    let back = " option forwarded proto host by for for_port-expr str(p)";
    let proxy = start(Kind::Fastlb, &origin, "", "", back);
    let request = "GET / HTTP/1.1\r\nHost: a.example:80\r\nForwarded: for=1.1.1.1\r\n\r\n";
    Client::connect(proxy.address("front")).ask(request);
    let received = origin.received();
    let values: Vec<&str> = received[0]
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("forwarded"))
        .map(|(_, value)| value.as_str())
        .collect();
    let own = "proto=http;host=\"a.example:80\";by=127.0.0.1;for=\"127.0.0.1:_p\"";
    assert_eq!(values, ["for=1.1.1.1", own]);
}

#[test]
fn targets_are_normalized_on_their_way() {
    let cases = [
        "path-merge-slashes",
        "path-strip-dotdot full",
        "percent-decode-unreserved strict",
        "query-sort-by-name",
    ];
    both(|kind| {
        let rules: Vec<String> =
            cases.iter().map(|name| format!(" http-request normalize-uri {name}")).collect();
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "", &rules.join("\n"), "");
        let mut lines = Vec::new();
        for target in ["/a//../../b?z=1&y=2", "/%61%2f?b&a", "/%zz", "http://a/x/../%7e", "/plain"]
        {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            lines.extend(Client::connect(proxy.address("front")).ask(request).transcript());
        }
        lines.extend(origin.transcript());
        proxy.neutral(lines)
    });
}
