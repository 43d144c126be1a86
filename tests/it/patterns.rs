//! Lists of patterns and maps that change at run time, through the runtime CLI of fastlb and of a real haproxy.

use crate::support::{Client, Kind, Proxy, Setup, both, command};
use std::fs;

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
    acl listed path -f @dir@/paths
    acl numbered path -u 77 /first
    acl near req.hdr(x-ip) -m ip -f @dir@/nets
    http-request return status 200 content-type text/plain lf-string \"%[path,map(@dir@/m.map,none)] %[path,map_beg(@dir@/m.map,none)] listed\" if listed
    http-request return status 200 content-type text/plain lf-string \"%[path,map(@dir@/m.map,none)] %[path,map_beg(@dir@/m.map,none)] numbered\" if numbered
    http-request return status 200 content-type text/plain lf-string \"%[path,map(@dir@/m.map,none)] %[path,map_beg(@dir@/m.map,none)] near\" if near
    http-request return status 200 content-type text/plain lf-string \"%[path,map(@dir@/m.map,none)] %[path,map_beg(@dir@/m.map,none)]\"
";

fn start(kind: Kind) -> Proxy {
    let setup = Setup::new(kind).listen("www");
    let write = |name: &str, text: &str| fs::write(setup.folder().join(name), text).unwrap();
    write("paths", "/a\n/b\n");
    write("nets", "10.0.0.0/8\n");
    write("m.map", "/k one\n/k/x  two words \n");
    setup.start(CONFIG)
}

fn ask(proxy: &Proxy, path: &str, ip: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Ip: {ip}\r\nConnection: close\r\n\r\n");
    Client::connect(proxy.address("www")).ask(request).text()
}

/// Runs a command and returns its answer without the numbers of entries.
fn cli(proxy: &Proxy, line: &str) -> String {
    let folder = proxy.folder().display().to_string();
    let answer = command(&proxy.folder().join("cli"), &line.replace("@dir@", &folder));
    let strip = |line: &str| match line.split_once(' ') {
        Some((number, rest)) if number.starts_with("0x") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let lines = answer.lines().filter(|line| !line.is_empty()).map(strip);
    lines.collect::<Vec<_>>().join("|").replace(&folder, "@dir@")
}

#[test]
fn lists_and_maps_change_at_run_time_as_in_haproxy() {
    both(|kind| {
        let proxy = start(kind);
        let mut said = Vec::new();
        let mut step = |line: &str| {
            said.push(format!("> {line}"));
            if !line.is_empty() {
                said.push(cli(&proxy, line));
            }
            for (path, ip) in [
                ("/a", "1.1.1.1"),
                ("/first", "1.1.1.1"),
                ("/k/x/y", "10.1.1.1"),
                ("/n", "11.0.0.1"),
            ] {
                said.push(format!("{path} {ip}: {}", ask(&proxy, path, ip)));
            }
        };
        step("");
        for line in [
            "show map @dir@/m.map",
            "get map @dir@/m.map /k",
            "get map @dir@/m.map /zz",
            "add map @dir@/m.map /n new value",
            "show map @dir@/m.map",
            "set map @dir@/m.map /k/x other",
            "set map @dir@/m.map /none v",
            "del map @dir@/m.map /k/x",
            "del map @dir@/m.map /k/x",
            "add acl #77 /n",
            "show acl #77",
            "del acl #77 /first",
            "add acl @dir@/nets 11.0.0.0/24",
            "add acl @dir@/paths /k/x/y",
            "clear acl @dir@/paths",
            "show acl @dir@/paths",
            "add acl #99 /x",
            "add map nope a b",
            "add acl",
            "set map",
            "prepare map @dir@/m.map",
            "add map @1 @dir@/m.map /n prepared",
            "show map @1 @dir@/m.map",
            "commit map @1 @dir@/m.map",
            "show map @dir@/m.map",
            "commit map @9 @dir@/m.map",
            "prepare acl #77",
            "clear acl @1 #77",
            "clear map @dir@/m.map",
        ] {
            step(line);
        }
        said
    });
}

#[test]
fn a_refused_change_changes_nothing() {
    let proxy = start(Kind::Fastlb);
    let answer = cli(&proxy, "add acl @dir@/nets bad");
    assert!(answer.contains("bad pattern `bad`: expected an address"), "{answer}");
    assert_eq!(cli(&proxy, "show acl @dir@/nets"), "10.0.0.0/8");
    let all = cli(&proxy, "show acl");
    assert!(all.contains("77 ()") && all.contains("entry_cnt=2"), "{all}");
}
