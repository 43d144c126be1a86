//! `fastlb explain`: what it prints, what it says to a wrong command line, and the lines of `--explain-log`.
//!
//! Each case is a command line; what it prints stands in `tests/explain/<case>.txt`. `UPDATE=1` rewrites these files; read
//! the difference before committing it. Whether an explanation is true is for `explain_against_traffic`.

use crate::support::{Client, Kind, Origin, Setup, diff, eventually};
use std::path::Path;
use std::process::Output;

/// Runs `fastlb explain` in the root of the project.
fn explain(arguments: &[&str]) -> Output {
    let mut command = Kind::Fastlb.command(["explain"].iter().chain(arguments));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the program runs")
}

fn said(arguments: &[&str]) -> String {
    let output = explain(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Name of the case, and its command line.
const CASES: &[(&str, &[&str])] = &[
    ("example-api", &["configs/example.cfg", "GET http://www.example.org:8080/api/users?id=1"]),
    (
        "example-cookie",
        &["configs/example.cfg", "http://www.example.org:8080/", "-H", "Cookie: SERVERID=a2; x=1"],
    ),
    (
        "example-denied",
        &["configs/example.cfg", "/private/x", "--frontend", "www", "--from", "203.0.113.7"],
    ),
    (
        "example-redirect",
        &[
            "configs/example.cfg",
            "http://blog.example.org:8080/old-blog",
            "-H",
            "Host: blog.example.org",
            "--from",
            "198.51.100.1",
        ],
    ),
    (
        "example-backup",
        &[
            "configs/example.cfg",
            "/",
            "--frontend",
            "www",
            "--down",
            "app/app1",
            "--down",
            "app/app2",
        ],
    ),
    (
        "failover-dead",
        &[
            "configs/failover.cfg",
            "http://shop.example.org/",
            "--down",
            "shop/shop1",
            "--down",
            "shop/shop2",
        ],
    ),
    ("paths-source", &["configs/l7-paths.cfg", "/app1", "--from", "192.0.2.33"]),
    (
        "websocket",
        &[
            "configs/websocket.cfg",
            "/chat",
            "-H",
            "Upgrade: websocket",
            "-H",
            "Connection: Upgrade",
            "-H",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "-H",
            "Sec-WebSocket-Version: 13",
        ],
    ),
    (
        "forward-resolved",
        &[
            "configs/forward-proxy.cfg",
            "http://origin.example/a?b",
            "--proxied",
            "--resolve",
            "origin.example=198.51.100.80",
        ],
    ),
    (
        "forward-unresolved",
        &["configs/forward-proxy.cfg", "http://origin.example/a?b", "--proxied"],
    ),
    ("tcp", &["configs/l4.cfg", "/"]),
];

#[test]
fn each_case_prints_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let mut failed = Vec::new();
    for (name, arguments) in CASES {
        let text = said(arguments);
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if text != expected {
            failed.push(format!(
                "{name} (said -, expected +; UPDATE=1 accepts):\n{}",
                diff(&text, &expected)
            ));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn no_colours_without_a_terminal_and_the_same_in_json() {
    let arguments =
        ["configs/example.cfg", "/private/x", "--frontend", "www", "--from", "203.0.113.7"];
    assert!(!said(&arguments).contains('\x1b'));
    let json = said(&[&arguments[..], &["--json"]].concat());
    let story: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(story["version"], 1);
    assert_eq!((&story["result"], &story["answer"]["status"]), (&"answer".into(), &403.into()));
    let steps = story["steps"].as_array().unwrap();
    let deny = steps.iter().find(|step| step["action"] == "deny").unwrap();
    assert_eq!((&deny["applies"], &deny["ends"]), (&true.into(), &true.into()));
    let path = &deny["condition"][0][0]["tests"][0];
    assert_eq!((&path["values"][0], &path["matched"]), (&"/private/x".into(), &"/private".into()));
    assert!(deny["place"].as_str().unwrap().starts_with("configs/example.cfg:"));
    let left = story["not_reached"].as_array().unwrap();
    assert!(left.iter().any(|rule| rule["text"].as_str().unwrap().starts_with("use_backend")));
}

#[test]
fn what_cannot_be_known_beforehand_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lb.cfg");
    let text = "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n \
                timeout tarpit 1h\nfrontend f\n bind 127.0.0.1:1080\n \
                http-request set-header X-Id %[rand(9)]\n \
                http-request set-header X-No %[path] if { date ge 0 }\n \
                http-request set-var(txn.a) str(new) unless { var(txn.a) -m str old }\n \
                http-request wait-for-body time 1h if METH_POST\n \
                http-request tarpit deny_status 429 if { path /slow }\n default_backend b\n\
                backend b\n server s 127.0.0.1:1\n server t 127.0.0.1:2\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let text = said(&[file, "POST /slow", "--body", "a=1", "--var", "txn.a=old"]);
    let line = |wanted: &str| {
        text.lines().find(|line| line.contains(wanted)).unwrap_or_default().to_owned()
    };
    assert!(line("+ x-id:").ends_with("(random)"), "{text}");
    assert!(!line("+ x-no:").ends_with(')'), "{text}");
    assert!(line("date = ").contains("depends on the time"), "{text}");
    assert!(line("holds the client back").contains("3600s"), "{text}");
    assert!(line("wait for the body").contains("3600s"), "{text}");
    assert!(line("the answer of the proxy").ends_with("429"), "{text}");
    assert!(line("var(txn.a) =").contains("\"old\""), "{text}");
    assert!(said(&[file, "/"]).contains("with traffic another one may be chosen"));
}

#[test]
fn a_wrong_command_line_is_told_what_to_write() {
    let example = "configs/example.cfg";
    let cases: &[(&[&str], &[&str])] = &[
        (&[example], &["2 values required"]),
        (&[example, "GET http://h/ extra"], &["a word too many: `extra`", "'GET http://"]),
        (&[example, "G@T /"], &["`G@T` is no method"]),
        (&[example, "GET nowhere"], &["`nowhere` is neither a URL nor a path"]),
        (&[example, "gopher://h/"], &["`gopher` is no scheme of HTTP"]),
        (&[example, "http:///x"], &["names no host"]),
        (
            &[example, "/", "--frontend", "wwv"],
            &["there is no frontend `wwv`", "did you mean `www`?"],
        ),
        (&[example, "/"], &["several frontends", "www (0.0.0.0:8080), stats (127.0.0.1:8404)"]),
        (&[example, "http://h:99/"], &["no frontend listens on port 99", "--frontend"]),
        (&[example, "http://h:8080/", "--from", "here"], &["`--from here` is no address"]),
        (&[example, "http://h:8080/", "-H", "X-A"], &["has no colon", "-H 'Name: value'"]),
        (
            &[example, "http://h:8080/", "--var", "txn.b=1"],
            &["no rule has to do with a variable `txn.b`"],
        ),
        (&[example, "http://h:8080/", "--var", "txn.b"], &["has no `=`"]),
        (&[example, "http://h:8080/", "--resolve", "a=b"], &["`b` is no address"]),
        (&[example, "http://h:8080/", "--down", "app/app9"], &["there is no such server"]),
        (&[example, "http://h:8080/", "--body", "@/nowhere"], &["cannot read `/nowhere`"]),
        (&["tests/nothing.cfg", "/"], &["tests/nothing.cfg"]),
    ];
    for (arguments, expected) in cases {
        let output = explain(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        for part in *expected {
            assert!(text.contains(part), "{arguments:?}: no `{part}` in\n{text}");
        }
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

const LOGGED: &str = "
global
    log stdout format raw local0
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend www
    bind @www@
    explain-log X-Explain if { src 127.0.0.0/8 } { path_beg /open }
    http-request deny if { path /open/secret }
    http-response set-header X-Seen yes
    default_backend app
backend app
    server s1 @o@
";

/// Returns the lines that explain, once one of them contains `last`.
fn explained(proxy: &crate::support::Proxy, last: &str) -> Vec<String> {
    eventually(last, || {
        let text = proxy.stdout();
        let lines: Vec<String> =
            text.lines().filter(|line| line.contains("explain ")).map(str::to_owned).collect();
        lines.iter().any(|line| line.contains(last)).then_some(lines)
    })
}

#[test]
fn a_field_that_a_condition_allows_has_its_request_explained_in_the_log() {
    let origin = Origin::echo("o");
    let proxy = Setup::new(Kind::Fastlb).listen("www").origin(&origin).start(LOGGED);
    let mut client = Client::connect(proxy.address("www"));
    let ask = |client: &mut Client, path: &str, field: &str| {
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{field}\r\n")).status
    };
    assert_eq!(ask(&mut client, "/open/one", ""), 200);
    assert_eq!(ask(&mut client, "/closed", "X-Explain: 1\r\n"), 200);
    assert_eq!(ask(&mut client, "/open/two", "X-Explain: 1\r\n"), 200);
    assert_eq!(ask(&mut client, "/open/secret", "x-explain: 1\r\n"), 403);
    let lines = explained(&proxy, "the answer of the proxy, 403");
    let text = lines.join("\n");
    assert!(text.contains("GET /open/two HTTP/1.1") && text.contains("app/s1"), "{text}");
    assert!(text.contains("+ x-seen: yes"), "rules of the response are told too\n{text}");
    assert!(!text.contains("/open/one") && !text.contains("/closed"), "{text}");
    let (two, secret) = (lines.first().unwrap(), lines.last().unwrap());
    let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert_ne!(name(two), name(secret), "each line says of which request it is");
}

#[test]
fn one_of_n_requests_is_explained_in_the_log() {
    let origin = Origin::echo("o");
    let setup = Setup::new(Kind::Fastlb).argument("--explain-log").argument("3");
    let proxy = setup.listen("www").origin(&origin).start(LOGGED);
    let mut client = Client::connect(proxy.address("www"));
    for number in 1..=7 {
        assert_eq!(client.get(&format!("/n{number}")).status, 200);
    }
    let text = explained(&proxy, "GET /n6").join("\n");
    for number in 1..=7 {
        assert_eq!(text.contains(&format!("GET /n{number} ")), number % 3 == 0, "{number}: {text}");
    }
}

#[test]
fn without_a_log_target_the_start_says_that_there_is_nowhere_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lb.cfg");
    let text = "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
                frontend f\n bind 127.0.0.1:1080\n default_backend b\nbackend b\n server s 127.0.0.1:1\n";
    std::fs::write(&file, text).unwrap();
    let output = Kind::Fastlb.run(["--explain-log", "10", "-c", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no frontend has a log target"), "{said}");
}
