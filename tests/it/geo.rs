//! Where a client comes from: the example in `configs/`, in fastlb and in a real haproxy, and MaxMind databases.

use crate::support::mmdb::{Item, Writer};
use crate::support::origin::answer;
use crate::support::{Client, Kind, Origin, Proxy, Setup, both};
use std::fs;
use std::path::Path;

fn from(proxy: &Proxy, ip: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Ip: {ip}\r\nConnection: close\r\n\r\n");
    let answer = Client::connect(proxy.address("www")).ask(request);
    let said = if answer.status == 200 { answer.text() } else { String::new() };
    format!("{ip}: {} {said}", answer.status)
}

/// Answers with its name and the country that the proxy told it.
fn origin(name: &str) -> Origin {
    let label = name.to_owned();
    Origin::http(name, move |request, stream| {
        let country = request.header("x-country").unwrap_or("-");
        answer(stream, request, &format!("{label} {country}"), "")
    })
}

#[test]
fn the_example_refuses_and_routes_by_country() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("configs/geo.cfg")).unwrap();
    both(|kind| {
        let (europe, america) = (origin("europe"), origin("america"));
        let setup = Setup::new(kind).origin(&europe).origin(&america).listen("www");
        // The tests come from one address, so the example looks at a header in place of it.
        let text = example
            .replace("src,", "req.hdr(x-ip),")
            .replace("*:8080", "@www@")
            .replace("127.0.0.1:2222", "@europe@")
            .replace("127.0.0.1:3333", "@america@")
            .replace("/tmp/fastlb-geo.sock", "@dir@/cli")
            .replace("configs/", &format!("{}/configs/", root.display()));
        let proxy = setup.start(&text);
        let ips = [
            "192.0.2.1",
            "192.0.2.200",
            "203.0.113.9",
            "2001:db8::1",
            "2001:db8:1::1",
            "10.1.2.3",
            "8.8.8.8",
        ];
        ips.iter().map(|ip| from(&proxy, ip)).collect()
    });
}

fn database() -> Vec<u8> {
    let record = |code: &str, asn: u32| {
        let name = |text: &str| ("iso_code".to_owned(), Item::Text(text.to_owned()));
        Item::Map(vec![
            ("country".to_owned(), Item::Map(vec![name(code)])),
            ("asn".to_owned(), Item::Uint32(asn)),
        ])
    };
    let mut writer = Writer::new(28, true);
    writer.insert("192.0.2.0/24", record("AA", 64_500));
    writer.insert("2001:db8::/32", record("BB", 64_501));
    writer.bytes()
}

const BY_DATABASE: &str = "
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
frontend www
    bind @www@
    http-request set-var(txn.country) req.hdr(x-ip),mmdb(@dir@/c.mmdb,country.iso_code)
    http-request deny if { var(txn.country) -m str BB }
    http-request deny deny_status 429 if { req.hdr(x-ip),mmdb(@dir@/c.mmdb,asn) -m int 64500 } { req.hdr(x-ip) -m end .9 }
    http-request set-header X-Country %[var(txn.country)]
    default_backend app
backend app
    server a @app@
";

#[test]
fn a_maxmind_database_refuses_by_country_and_by_network_operator() {
    for driver in ["io_uring", "epoll"] {
        let app = origin("app");
        let setup = Setup::new(Kind::Fastlb).driver(driver).origin(&app).listen("www");
        fs::write(setup.folder().join("c.mmdb"), database()).unwrap();
        let proxy = setup.start(BY_DATABASE);
        assert_eq!(from(&proxy, "192.0.2.1"), "192.0.2.1: 200 app AA");
        assert_eq!(from(&proxy, "192.0.2.9"), "192.0.2.9: 429 ");
        assert_eq!(from(&proxy, "2001:db8::1"), "2001:db8::1: 403 ");
        assert_eq!(from(&proxy, "8.8.8.8"), "8.8.8.8: 200 app ");
        assert_eq!(from(&proxy, "nonsense"), "nonsense: 200 app ");
    }
}

#[test]
fn a_database_that_is_missing_cut_or_something_else_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.mmdb");
    let mut text = BY_DATABASE.replace("@dir@", &folder.path().display().to_string());
    for name in ["@www@", "@app@"] {
        text = text.replace(name, "127.0.0.1:1080");
    }
    let findings = || {
        let output = Kind::Fastlb.check(&text);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = findings();
    assert!(said.contains("there is no such file") && said.contains("lb.cfg:9:"), "{said}");
    let whole = database();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(findings().contains("it is no MaxMind database"));
    fs::write(&path, &whole[whole.len() - 260..]).unwrap();
    let said = findings();
    assert!(said.contains("cut short") || said.contains("description"), "{said}");
    fs::write(&path, b"192.0.2.0/24 AA\n").unwrap();
    assert!(findings().contains("there is no description at its end"));
}
