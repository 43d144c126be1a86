//! fastlb as a forward proxy: names are resolved while requests wait, rules decide by destination, CONNECT opens tunnels.

use crate::support::dns::{NameServer, Says};
use crate::support::{Client, Kind, Origin, PATIENCE, Proxy, Setup, both, digest, pattern};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n timeout tunnel 5s\n";

/// The rules of the example, with another list of forbidden addresses.
const RULES: &str = " acl plain url_beg -i http://\n \
    http-request deny deny_status 400 unless METH_CONNECT || plain\n \
    http-request set-var(txn.host) url,host_only if METH_CONNECT\n \
    http-request set-var(txn.port) url,port_only if METH_CONNECT\n \
    http-request set-var(txn.host) url,field(3,/),host_only if plain\n \
    http-request set-var(txn.port) url_port if plain\n \
    http-request deny if { var(txn.host) -m dom -i blocked.example }\n \
    http-request do-resolve(txn.ip,dns,ipv4) var(txn.host)\n \
    http-request deny deny_status 502 unless { var(txn.ip) -m found }\n \
    http-request deny if { var(txn.ip) -m ip 127.0.0.9 10.0.0.0/8 }\n \
    http-request deny if { var(txn.port) -m int 22 }\n \
    http-request set-dst var(txn.ip)\n \
    http-request set-dst-port var(txn.port)\n";

fn local() -> Says {
    Says::Addresses(vec![Ipv4Addr::LOCALHOST.into()])
}

fn start(dns: &NameServer, options: &str) -> Proxy {
    Setup::new(Kind::Fastlb).listen("front").address("dns", dns.address()).start(&format!(
        "{DEFAULTS}resolvers dns\n nameserver one @dns@\n timeout retry 300ms\n{options}\n\
         frontend f\n bind @front@\n{RULES} default_backend anywhere\n\
         backend anywhere\n server clear 0.0.0.0:0\n"
    ))
}

fn ask(proxy: &Proxy, target: &str) -> crate::support::Response {
    let host = target.strip_prefix("http://").unwrap_or(target).split('/').next().unwrap();
    Client::connect(proxy.address("front")).ask(format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\n\r\n"
    ))
}

#[test]
fn a_plain_request_reaches_the_host_that_it_names() {
    let dns = NameServer::start(&[("site.example", local())]);
    let proxy = start(&dns, "");
    let (one, two) = (Origin::echo("one"), Origin::echo("two"));
    let mut client = Client::connect(proxy.address("front"));
    // One client, two hosts: no connection to the one may serve the other.
    for (origin, name, target) in
        [(&one, "one", "/a?b=c"), (&two, "two", ""), (&one, "one", "?q"), (&two, "two", "/x")]
    {
        let port = origin.address().port();
        let answer = client.ask(format!(
            "GET http://site.example:{port}{target} HTTP/1.1\r\nHost: site.example:{port}\r\n\
             Proxy-Connection: keep-alive\r\n\r\n"
        ));
        assert_eq!((answer.status, answer.sent_by().as_str()), (200, name));
        let seen = origin.received().pop().unwrap();
        let expected =
            if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        assert_eq!(seen.target, expected);
        assert_eq!(seen.header("host"), Some(format!("site.example:{port}").as_str()));
        assert_eq!(seen.header("proxy-connection"), None);
    }
    // One answer holds for all of them.
    assert_eq!(dns.asked(), ["udp site.example 1"]);
}

#[test]
fn connect_is_answered_here_and_opens_a_tunnel() {
    let dns = NameServer::start(&[("site.example", local())]);
    let origin = Origin::tcp("raw", |mut stream| {
        // It speaks first, then says everything again.
        stream.write_all(b"hello ").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    let logs = format!(" log {} local0\n option httplog\n", log.local_addr().unwrap());
    let proxy = start(&dns, &format!("{DEFAULTS}{logs}"));
    let port = origin.address().port();
    let mut client = Client::connect(proxy.address("front"));
    client.send(format!(
        "CONNECT site.example:{port} HTTP/1.1\r\nHost: site.example:{port}\r\n\r\nearly "
    ));
    let head = String::from_utf8(client.head().unwrap()).unwrap();
    assert_eq!(head, "HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(client.exact(6), b"hello ");
    let body = pattern(3 << 20);
    let mut writer = client.stream().try_clone().unwrap();
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let back = client.rest();
    sender.join().unwrap();
    let expected = [b"early ".as_slice(), &body].concat();
    assert_eq!(digest(&back), digest(&expected));
    let mut line = [0; 2048];
    let len = log.recv(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..len]).into_owned();
    assert!(line.contains(" f anywhere/clear "), "{line}");
    assert!(line.contains(" 200 ") && line.contains(" ---- "), "{line}");
    assert!(line.contains(&format!("\"CONNECT site.example:{port} HTTP/1.1\"")), "{line}");
}

#[test]
fn rules_after_the_response_see_the_answer_to_connect() {
    let dns = NameServer::start(&[("site.example", local())]);
    let origin = Origin::tcp("raw", |mut stream| stream.write_all(b"hello").unwrap());
    let port = origin.address().port();
    let options = format!(
        "{} http-after-response set-header X-Status \"%[status]\"\n \
         http-after-response set-status 403\n",
        DEFAULTS.replacen("defaults", "defaults base", 1)
    );
    let proxy = start(&dns, &options);
    let mut client = Client::connect(proxy.address("front"));
    client
        .send(format!("CONNECT site.example:{port} HTTP/1.1\r\nHost: site.example:{port}\r\n\r\n"));
    let head = String::from_utf8(client.head().unwrap()).unwrap();
    // The tunnel stands, and the client must know it.
    assert_eq!(head, "HTTP/1.1 200 Connection established\r\nx-status: 200\r\n\r\n");
    assert_eq!(client.rest(), b"hello");
}

#[test]
fn rules_decide_by_the_address_that_was_found() {
    let dns = NameServer::start(&[
        ("inside.example", Says::Addresses(vec!["10.1.2.3".parse().unwrap()])),
        ("near.example", Says::Addresses(vec!["127.0.0.9".parse().unwrap()])),
        ("refused.example", Says::Refused),
        ("a.blocked.example", local()),
        ("mapped.example", Says::Addresses(vec!["::ffff:10.0.0.1".parse().unwrap()])),
        ("site.example", local()),
    ]);
    let proxy = start(&dns, " resolve_retries 1\n");
    for (target, status) in [
        ("http://inside.example/", 403),
        ("http://near.example/", 403),
        ("http://a.blocked.example/", 403),
        ("http://site.example:22/", 403),
        ("http://mapped.example/", 403),
        ("http://10.9.9.9/", 403),
        ("http://nowhere.example/", 502),
        ("http://refused.example/", 502),
        ("http://bad..name/", 502),
        ("/no-proxy-request", 400),
    ] {
        assert_eq!(ask(&proxy, target).status, status, "{target}");
        let host = target.trim_start_matches("http://").trim_end_matches('/');
        if target.starts_with("http://") {
            let port = if host.contains(':') { "" } else { ":80" };
            let mut client = Client::connect(proxy.address("front"));
            let answer =
                client.ask(format!("CONNECT {host}{port} HTTP/1.1\r\nHost: {host}{port}\r\n\r\n"));
            assert_eq!(answer.status, status, "CONNECT {host}{port}");
        }
    }
    assert!(!dns.asked().iter().any(|line| line.contains("blocked")), "{:?}", dns.asked());
}

#[test]
fn an_address_needs_no_name_server() {
    let dns = NameServer::start(&[]);
    let proxy = start(&dns, "");
    let origin = Origin::echo("o");
    assert_eq!(ask(&proxy, &format!("http://{}/", origin.address())).sent_by(), "o");
    assert_eq!(dns.asked(), Vec::<String>::new());
}

#[test]
fn a_stream_never_comes_back_to_its_own_frontend() {
    let dns = NameServer::start(&[("self.example", local())]);
    let proxy = start(&dns, "");
    let port = proxy.address("front").port();
    let begun = Instant::now();
    assert_eq!(ask(&proxy, &format!("http://self.example:{port}/")).status, 503);
    assert!(begun.elapsed() < Duration::from_secs(1), "it is not tried again");
}

#[test]
fn lost_questions_are_asked_again_and_answers_hold() {
    let dns = NameServer::start(&[("slow.example", Says::LostFirst(2, Box::new(local())))]);
    let proxy = start(&dns, " hold valid 400ms\n resolve_retries 3\n");
    let origin = Origin::echo("o");
    let target = format!("http://slow.example:{}/", origin.address().port());
    assert_eq!(ask(&proxy, &target).sent_by(), "o");
    let first = dns.asked();
    // Both types are asked for before a question is asked again.
    assert_eq!(first, ["udp slow.example 1", "udp slow.example 28", "udp slow.example 1"]);
    assert_eq!(ask(&proxy, &target).sent_by(), "o");
    assert_eq!(dns.asked().len(), 3);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(ask(&proxy, &target).sent_by(), "o");
    assert_eq!(dns.asked().len(), 4);
}

#[test]
fn a_name_server_that_is_dead_costs_nothing_beside_a_living_one() {
    let dns = NameServer::start(&[("site.example", local())]);
    // Nobody answers there, and nobody says that the port is closed.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = start(
        &dns,
        &format!(" nameserver dead {}\n timeout retry 3s\n", dead.local_addr().unwrap()),
    );
    let origin = Origin::echo("o");
    let begun = Instant::now();
    let target = format!("http://site.example:{}/", origin.address().port());
    assert_eq!(ask(&proxy, &target).sent_by(), "o");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn long_answers_come_over_tcp_and_forged_ones_are_not_believed() {
    let wrong: IpAddr = "10.6.6.6".parse().unwrap();
    let dns = NameServer::start(&[
        ("long.example", Says::OverTcp(Box::new(local()))),
        ("forged.example", Says::ForgedFirst(wrong, Box::new(local()))),
    ]);
    let proxy = start(&dns, "");
    let origin = Origin::echo("o");
    let port = origin.address().port();
    assert_eq!(ask(&proxy, &format!("http://long.example:{port}/")).sent_by(), "o");
    assert_eq!(dns.asked(), ["udp long.example 1", "tcp long.example 1"]);
    assert_eq!(ask(&proxy, &format!("http://forged.example:{port}/")).sent_by(), "o");
}

#[test]
fn many_that_want_one_name_ask_once() {
    let dns = NameServer::start(&[("site.example", Says::LostFirst(1, Box::new(local())))]);
    let proxy = start(&dns, "");
    let origin = Origin::echo("o");
    let host = format!("site.example:{}", origin.address().port());
    let target = format!("http://{host}/");
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (address, target, host) = (proxy.address("front"), target.clone(), host.clone());
            std::thread::spawn(move || {
                Client::connect(address)
                    .ask(format!(
                        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                    ))
                    .status
            })
        })
        .collect();
    let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(statuses, [200; 20]);
    assert!(dns.asked().len() <= 3, "{:?}", dns.asked());
}

#[test]
fn addresses_that_rules_replace_are_seen_by_later_ones() {
    both(|kind| {
        let mut lines = Vec::new();
        for rule in [
            "set-src str(192.0.2.7)",
            "set-src str(2001:db8::7)",
            "set-src req.hdr(none)",
            "set-src str(junk)",
            "set-src-port int(77)",
            "set-dst str(198.51.100.7)",
            "set-dst-port int(88)",
        ] {
            let origin = Origin::echo("o");
            let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
                "{DEFAULTS}frontend f\n bind @front@\n option forwardfor\n http-request {rule}\n \
                 http-request set-header X-Src %[src]\n http-request set-header X-Fc %[fc_src],%[fc_dst]\n \
                 http-request set-header X-Dst %[dst]\n \
                 http-request set-header X-Ports %[src_port],%[dst_port] if {{ src_port 77 }} or {{ dst_port 88 }}\n \
                 http-request del-header X-Ports -m str if !{{ src_port 77 }} !{{ dst_port 88 }}\n \
                 default_backend b\nbackend b\n server s @o@\n"
            ));
            let mut client = Client::connect(proxy.address("front"));
            let local = client.stream().local_addr().unwrap().port().to_string();
            client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            lines.push(format!("-- {rule}"));
            let front = proxy.address("front").port().to_string();
            lines.extend(origin.transcript().into_iter().map(
                |line| match line.contains("x-ports") {
                    true => line.replace(&local, "LOCAL").replace(&front, "FRONT"),
                    false => line,
                },
            ));
        }
        lines
    });
}

#[test]
fn a_server_follows_the_destination_where_it_has_no_address_of_its_own() {
    both(|kind| {
        let origin = Origin::echo("o");
        let port = origin.address().port();
        let mut lines = Vec::new();
        for (rule, server) in [
            (format!("set-dst-port int({port})"), "127.0.0.1".to_owned()),
            (format!("set-dst-port int({port})"), "127.0.0.1:0".to_owned()),
            (format!("set-dst-port int({})", port - 7), "127.0.0.1:+7".to_owned()),
            (format!("set-dst-port int({})", port + 7), "127.0.0.1:-7".to_owned()),
            ("set-dst str(127.0.0.1)".to_owned(), format!("0.0.0.0:{port}")),
            ("set-dst str(127.0.0.1)".to_owned(), format!("*:{port}")),
        ] {
            let proxy = Setup::new(kind).listen("front").start(&format!(
                "{DEFAULTS}frontend f\n bind @front@\n http-request {rule}\n default_backend b\n\
                 backend b\n server s {server}\n"
            ));
            let answer =
                Client::connect(proxy.address("front")).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            lines.push(format!("{} {}", answer.status, answer.sent_by()));
        }
        lines
    });
}

#[test]
fn curl_uses_the_proxy_both_ways() {
    let dns = NameServer::start(&[("site.example", local())]);
    let proxy = start(&dns, "");
    let origin = Origin::echo("o");
    let url = format!("http://site.example:{}/page", origin.address().port());
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "10", "--noproxy", ""])
            .args(["-x", &format!("http://{}", proxy.address("front"))])
            .args(arguments)
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(curl(&[&url]).starts_with("sent by o\nGET /page HTTP/1.1"), "{}", curl(&[&url]));
    let tunnelled = curl(&["--proxytunnel", &url]);
    assert!(tunnelled.starts_with("sent by o\nGET /page HTTP/1.1"), "{tunnelled}");
    let refused = curl(&["--proxytunnel", "http://inside.blocked.example/"]);
    assert!(refused.contains("403"), "{refused}");
}

#[test]
fn a_server_without_an_address_needs_a_rule_that_sets_one() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let said = |rule: &str, server: &str| {
        let output = Kind::Fastlb.check(&format!(
            "{DEFAULTS}frontend f\n bind 127.0.0.1:1080\n{rule} default_backend b\nbackend b\n server s {server}\n"
        ));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let set = " http-request set-dst req.hdr(x-to)\n";
    for server in ["0.0.0.0:0", "*", "0.0.0.0"] {
        let (code, text) = said("", server);
        assert_eq!(code, Some(0), "{server}: {text}");
        assert!(text.contains("is the frontend that a stream came in by"), "{server}: {text}");
        let (_, text) = said(set, server);
        assert!(!text.contains("warning"), "{server}: {text}");
    }
    let (code, text) = said(set, "0.0.0.0:80 check");
    assert_eq!(code, Some(1));
    assert!(text.contains("has no address of its own that could be checked"), "{text}");
    let (code, text) = said("", "127.0.0.1 check");
    assert_eq!(code, Some(1));
    assert!(text.contains("has no port of its own that could be checked"), "{text}");
    let (code, text) = said("", "127.0.0.1 check port 80");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn mistakes_of_a_forward_proxy_are_reported() {
    let said = |section: &str, line: &str| {
        let output = Kind::Fastlb.check(&format!(
            "{DEFAULTS}resolvers dns\n nameserver one 127.0.0.1:53\n{section}\n\
             frontend f\n bind 127.0.0.1:1080\n{line}\n default_backend b\nbackend b\n server s 127.0.0.1:1\n"
        ));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (section, line, expected) in [
        ("", " http-request do-resolve(txn.ip,dsn) src", "did you mean `dns`?"),
        ("", " http-request do-resolve(txn.ip) src", "needs a variable and name servers"),
        (
            "",
            " http-request do-resolve(txn.ip,dns,ipv5) src",
            "`ipv5` is not a family of addresses",
        ),
        ("", " http-request do-resolve(ip,dns) src", "has no scope"),
        (" namserver two 127.0.0.1", "", "did you mean `nameserver`?"),
        (" nameserver one 127.0.0.2", "", "there are two name servers `one`"),
        (" nameserver two host.example", "", "is not the address of a name server"),
        (" accepted_payload_size 100", "", "accepted_payload_size"),
        (" hold forever 1s", "", "hold"),
        (" hold nx 1s", "", "`hold nx` has no effect here"),
        ("resolvers dns\n nameserver a 127.0.0.1", "", "there are two `resolvers dns`"),
        ("resolvers none", "", "has no name server"),
    ] {
        let text = said(section, line);
        assert!(text.contains(expected), "{section}{line}: {text}");
    }
}
