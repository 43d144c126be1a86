//! Big lists: one bad line among many is named, and changes at run time keep what was there.

use crate::support::{Client, Kind, Setup, command};
use std::fmt::Write;
use std::fs;

/// So many networks; line `bad` is none.
fn networks(count: u32, bad: Option<u32>) -> String {
    let mut text = String::from("# networks\n");
    for n in 2..=count {
        let _ = match Some(n) == bad {
            true => writeln!(text, " \t11.0.0.300/24"),
            false => writeln!(text, "{}.{}.{}.0/26", 11 + (n >> 16), n >> 8 & 255, n & 255),
        };
    }
    text
}

const CONFIG: &str = "
global
    stats socket @dir@/cli level admin
defaults
    mode http
    timeout client 20s
    timeout connect 5s
    timeout server 5s
frontend www
    bind @www@
    http-request return status 200 content-type text/plain lf-string %[req.hdr(x-ip),map_ip(@dir@/m.map,none)] if { req.hdr(x-ip) -m ip -f @dir@/nets }
    http-request return status 404
";

#[test]
fn a_huge_list_with_one_bad_line_names_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("nets");
    fs::write(&list, networks(200_000, Some(123_457))).unwrap();
    fs::write(folder.path().join("m.map"), "10.0.0.0/8 a\n").unwrap();
    let text = CONFIG
        .replace("@dir@", &folder.path().display().to_string())
        .replace("@www@", "127.0.0.1:1080");
    let output = Kind::Fastlb.check(&text);
    let said = String::from_utf8_lossy(&output.stderr);
    let place = format!("at {}:123457:3", list.display());
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&place) && said.contains("bad pattern `11.0.0.300/24`"), "{said}");
    assert!(said.len() < 4000, "one mistake is one finding");
}

#[test]
fn changes_of_big_lists_through_the_runtime_cli_lose_nothing() {
    let setup = Setup::new(Kind::Fastlb).cores("2").listen("www");
    fs::write(setup.folder().join("nets"), networks(20_000, None)).unwrap();
    let map: String = networks(20_000, None).lines().map(|line| format!("{line} old\n")).collect();
    fs::write(setup.folder().join("m.map"), map).unwrap();
    let proxy = setup.start(CONFIG);
    let mut client = Client::connect(proxy.address("www"));
    let mut get = |ip: &str| {
        let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Ip: {ip}\r\n\r\n"));
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    };
    let folder = proxy.folder().display().to_string();
    let cli = |line: &str| command(&proxy.folder().join("cli"), &line.replace("@dir@", &folder));
    assert_eq!(get("11.1.0.7"), "old");
    assert_eq!(get("172.16.0.1"), "404");
    for n in 0..100 {
        cli(&format!("add acl @dir@/nets 172.16.{n}.0/24"));
        cli(&format!("add map @dir@/m.map 172.16.{n}.0/24 new{n}"));
        cli(&format!("set map @dir@/m.map 11.1.{n}.0/26 set{n}"));
        cli(&format!("del acl @dir@/nets 11.2.{n}.0/26"));
        assert_eq!(get(&format!("172.16.{n}.9")), format!("new{n}"));
        assert_eq!(get(&format!("11.1.{n}.9")), format!("set{n}"));
        assert_eq!(get(&format!("11.2.{n}.9")), "404");
    }
    assert_eq!(get("11.3.7.9"), "old");
    let all = cli("show acl");
    assert!(all.contains("entry_cnt=19999"), "{all}");
}
