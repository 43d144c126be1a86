//! Real clients through the proxy: curl with the options that change what is on the wire, and Python's http.client.
//!
//! The raw client of the other tests sends what it is told; these send what people's programs send.

use crate::support::{Kind, Origin, Proxy, Setup, pattern};
use std::fs;
use std::process::Command;

fn start(origin: &Origin) -> Proxy {
    Setup::new(Kind::Fastlb).origin(origin).listen("front").start(&format!(
        "defaults\n mode http\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n\
         frontend f\n bind @front@\n default_backend b\nbackend b\n server s @{}@\n",
        origin.name()
    ))
}

/// Runs curl with these options and the URL; returns what it wrote.
fn curl(proxy: &Proxy, options: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", proxy.address("front"));
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*"])
        .args(options)
        .arg(url)
        .output()
        .expect("curl is installed by `make test`");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {options:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_is_served_whatever_its_options() {
    let origin = Origin::echo("o");
    let proxy = start(&origin);
    let file = proxy.folder().join("upload");
    fs::write(&file, pattern(200_000)).unwrap();
    let file = file.display().to_string();
    let upload = crate::support::digest(&pattern(200_000));
    let data = format!("@{file}");
    for (options, wanted) in [
        (&[] as &[&str], "GET /x HTTP/1.1"),
        (&["--http1.0"], "GET /x HTTP/1.0"),
        (&["--compressed"], "GET /x HTTP/1.1"),
        (&["-r", "0-9"], "GET /x HTTP/1.1"),
        (&["-X", "DELETE"], "DELETE /x HTTP/1.1"),
        (&["-d", "a=b"], "POST /x HTTP/1.1"),
        (&["-F", "a=b"], "POST /x HTTP/1.1"),
        (&["-H", "Host: other.example"], "GET /x HTTP/1.1"),
        (&["-H", "Connection: close"], "GET /x HTTP/1.1"),
        (&["-b", "a=1; b=2"], "GET /x HTTP/1.1"),
        (&["-T", &file], &upload),
        (&["-T", &file, "-H", "Expect: 100-continue"], &upload),
        (&["-T", &file, "-H", "Transfer-Encoding: chunked"], &upload),
        (&["-T", &file, "-H", "Expect:"], &upload),
        (&["-T", &file, "--http1.0"], &upload),
        (&["--data-binary", &data, "-H", "Expect: 100-continue"], &upload),
        (&["-u", "ada:pw"], "GET /x HTTP/1.1"),
        (&["-A", "", "-H", "Accept:"], "GET /x HTTP/1.1"),
        (&["--request-target", "/y?z"], "GET /y?z HTTP/1.1"),
    ] {
        let said = curl(&proxy, options, "/x");
        assert!(said.contains("sent by o") && said.contains(wanted), "curl {options:?}: {said}");
    }
    assert!(curl(&proxy, &["-I"], "/x").starts_with("HTTP/1.1 200"));
}

#[test]
fn curl_uses_one_connection_for_several_urls() {
    let origin = Origin::echo("o");
    let proxy = start(&origin);
    let again = format!("http://{}/again", proxy.address("front"));
    let said = curl(&proxy, &["-w", "%{num_connects}\n", &again], "/x");
    assert!(said.contains("/again") && said.contains("/x"), "{said}");
    assert_eq!(said.lines().filter(|line| *line == "0").count(), 1, "{said}");
}

#[test]
fn curl_speaks_to_a_proxy_in_absolute_form() {
    let origin = Origin::echo("o");
    let proxy = start(&origin);
    let front = proxy.address("front");
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "", "-x", &format!("http://{front}")])
        .arg("http://else.example/x")
        .output()
        .unwrap();
    assert!(output.status.success());
    let received = origin.received();
    assert_eq!(received[0].target, "http://else.example/x", "{received:?}");
    assert_eq!(received[0].header("host"), Some("else.example"));
}

#[test]
fn python_s_http_client_keeps_its_connection() {
    let origin = Origin::echo("o");
    let proxy = start(&origin);
    let script = r#"
import http.client, sys
host, port = sys.argv[1].rsplit(":", 1)
connection = http.client.HTTPConnection(host, int(port), timeout=20)
connection.connect()
sock = connection.sock
def pieces():
    for _ in range(5):
        yield b"piece" * 1000
for method, body, headers in [
    ("GET", None, {}), ("POST", b"x" * 100000, {}), ("POST", pieces(), {}), ("HEAD", None, {}),
    ("PUT", b"", {"Expect": "100-continue"}), ("DELETE", None, {}), ("OPTIONS", None, {}),
]:
    chunked = not isinstance(body, (bytes, type(None)))
    connection.request(method, "/p?q=1", body=body, headers=headers, encode_chunked=chunked)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, (method, answer.status)
    assert method == "HEAD" or f"{method} /p?q=1 HTTP/1.1" in text, (method, text)
    assert connection.sock is sock, f"another connection behind {method}"
print("fine")
"#;
    let output = Command::new("python3")
        .args(["-c", script, &proxy.address("front").to_string()])
        .output()
        .expect("python3 is installed by `make test`");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n", "{said}");
    assert_eq!(origin.received().len(), 7);
}
