//! Variables: what is set in one place of a file can be read in others, as long as its scope lives.

use crate::support::{Client, Kind, Origin, Setup, both, eventually};

const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";

/// Sends each request over one connection through a frontend and a backend; returns what both sides saw.
fn talk(kind: Kind, global: &str, front: &str, back: &str, requests: &[&str]) -> Vec<String> {
    let origin = Origin::with_headers("o", "X-Server: one\r\n");
    let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
        "global\n{global}\n{DEFAULTS}frontend f\n bind @front@\n{front}\n default_backend b\n\
         backend b\n{back}\n server s @o@\n"
    ));
    let mut client = Client::connect(proxy.address("front"));
    let mut lines = Vec::new();
    for request in requests {
        lines.push(format!("-- {request}"));
        let answer = client.ask(format!("GET {request} HTTP/1.1\r\nHost: A.Example:81\r\n\r\n"));
        let mut fields: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-"))
            .map(|(name, value)| format!("< {name}: {value}"))
            .collect();
        fields.sort();
        lines.push(format!("< {}", answer.status));
        lines.extend(fields);
    }
    lines.extend(origin.transcript());
    proxy.neutral(lines)
}

#[test]
fn each_scope_lives_as_long_as_the_manual_says() {
    both(|kind| {
        talk(
            kind,
            " set-var proc.start int(7)\n set-var proc.next var(proc.start),add(1)\n \
             set-var-fmt proc.text \"a %[var(proc.next)]\"",
            " http-request set-var(sess.count) int(0) unless { var(sess.count) -m found }\n \
             http-request set-var(sess.count) var(sess.count),add(1)\n \
             http-request set-var(txn.path) path\n \
             http-request set-var(req.seen) str(front)\n \
             http-request set-header X-Proc %[var(proc.start)],%[var(proc.next)],%[var(proc.text)]",
            " http-request set-header X-Seen %[var(req.seen)]\n \
             http-request set-header X-Count %[var(sess.count)]\n \
             http-response set-var(res.server) res.hdr(x-server)\n \
             http-response set-header X-Out %[var(txn.path)],%[var(req.seen)],%[var(res.server)],%[var(sess.count)]",
            &["/a", "/b"],
        )
    });
}

#[test]
fn values_keep_their_type_and_conditions_decide() {
    both(|kind| {
        talk(
            kind,
            "",
            " http-request set-var(txn.ip) src\n \
             http-request set-var(txn.n) int(5)\n \
             http-request set-var(txn.n,ifgt) int(9)\n \
             http-request set-var(txn.n,ifset,iflt) int(6)\n \
             http-request set-var(txn.host,ifnotset) req.hdr(host),lower\n \
             http-request set-var(txn.host,ifnotset) str(never)\n \
             http-request set-var(txn.empty,ifnotempty) str()\n \
             http-request set-var(txn.kept) str(old)\n \
             http-request set-var(txn.kept) req.hdr(none)\n \
             http-request set-var(txn.gone) str(x)\n \
             http-request unset-var(txn.gone)\n \
             http-request set-var-fmt(txn.fmt) %[path]-%[var(txn.n)]\n \
             http-request deny deny_status 410 if { var(txn.n) -m int gt 6 }\n \
             http-request deny deny_status 410 unless { var(txn.ip) -m ip 127.0.0.0/8 }\n \
             http-request deny deny_status 408 if { var(txn.gone) -m found }\n \
             http-request deny deny_status 429 if { path /sub } { var(txn.host) -m sub example }\n \
             http-request set-header X-All %[var(txn.ip)],%[var(txn.n)],%[var(txn.host)],%[var(txn.fmt)]\n \
             http-request set-header X-None a%[var(txn.gone,default)]b%[var(txn.empty)]c%[var(txn.kept)]",
            "",
            &["/a", "/sub"],
        )
    });
}

#[test]
fn converters_set_compare_and_compute_with_variables() {
    both(|kind| {
        talk(
            kind,
            "",
            " http-request set-var(txn.two) int(2)\n \
             http-request set-header X-Set %[path,set-var(txn.p),length]\n \
             http-request set-header X-Sum %[int(40),add(txn.two),mul(txn.two)]\n \
             http-request set-header X-Cat %[str(a),concat(<,txn.p,>)]\n \
             http-request set-header X-Cmp %[path,strcmp(txn.p)],%[str(/z),strcmp(txn.p)],%[str(/),strcmp(txn.p)]\n \
             http-request set-header X-Unset %[path,unset-var(txn.p)]%[var(txn.p)]",
            "",
            &["/abc"],
        )
    });
}

#[test]
fn a_variable_reaches_the_log_line_and_chooses_the_backend() {
    both(|kind| {
        let origin = Origin::echo("o");
        let log = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        log.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let proxy = Setup::new(kind)
            .origin(&origin)
            .listen("front")
            .address("log", log.local_addr().unwrap())
            .start(&format!(
                "{DEFAULTS} log @log@ local0\n log-format \"%[var(txn.a)] %[var(res.b)] %[var(req.c)] %b\"\n\
                 frontend f\n bind @front@\n http-request set-var(txn.a) path\n http-request set-var(req.c) path\n \
                 http-response set-var(res.b) status\n use_backend %[var(txn.a),regsub(/,)]\n\
                 backend b\n server s @o@\nbackend c\n server s @o@\n"
            ));
        let mut lines = Vec::new();
        for path in ["/b", "/c"] {
            let mut client = Client::connect(proxy.address("front"));
            client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
            let line = eventually("the log line", || {
                let mut bytes = [0; 2048];
                let len = log.recv(&mut bytes).unwrap();
                let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                text.contains(path).then_some(text)
            });
            lines.push(line.split_once("]: ").unwrap().1.trim_end().to_owned());
        }
        lines
    });
}

#[test]
fn a_name_that_is_never_set_and_bad_names_are_reported() {
    let said = |line: &str| {
        let output = Kind::Fastlb.check(&format!(
            "{DEFAULTS}frontend f\n bind 127.0.0.1:1080\n {line}\n default_backend b\nbackend b\n server s 127.0.0.1:1\n"
        ));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let (code, text) = said(
        "http-request set-var(txn.host) path\n http-request deny if { var(txn.hsot) -m found }",
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the variable `txn.hsot` is never set"), "{text}");
    assert!(text.contains("did you mean `txn.host`?"), "{text}");
    for (line, expected) in [
        ("http-request set-var(host) path", "has no scope"),
        ("http-request set-var(tnx.a) path", "did you mean `txn.a`?"),
        ("http-request set-var(txn.a,ifsett) path", "did you mean `ifset`?"),
        ("http-request set-var(txn.a,ifset,ifset,ifset,ifset,ifset) path", "at most 4 conditions"),
        ("http-request set-var path", "needs the name of a variable"),
        ("http-request set-var(txn.a)", "missing word"),
        ("http-request unset-var(txn.a,ifset)", "takes one argument"),
        ("http-request set-var(txn.a/b) path", "contains `/`"),
    ] {
        let (code, text) = said(line);
        assert_eq!(code, Some(1), "{line}: {text}");
        assert!(text.contains(expected), "{line}: {text}");
    }
}
