//! The runtime CLI: one command line per connection unless `prompt`, and every answer ends with an empty line.

use crate::support::{Kind, Origin, PATIENCE, Proxy, Setup, command, eventually, get};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const BOTH: [Kind; 2] = [Kind::Fastlb, Kind::Haproxy];

fn start(kind: Kind, origin: &Origin) -> Proxy {
    Setup::new(kind).origin(origin).listen("front").listen("admin").start(
        "global\n stats socket @dir@/sock mode 600 level admin\n \
             stats socket ipv4@@admin@ level admin\n stats timeout 10s\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend www\n bind @front@\n default_backend app\n\
             backend app\n server s1 @o@\n server s2 @o@ weight 50 disabled\n",
    )
}

fn socket(proxy: &Proxy) -> PathBuf {
    proxy.folder().join("sock")
}

/// Returns the value of a `Name: value` line.
fn info<'a>(answer: &'a str, name: &str) -> &'a str {
    answer
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn show_info_tells_about_the_process() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        get(proxy.address("front"), "/");
        let answer = command(&socket(&proxy), "show info");
        assert_eq!(info(&answer, "Pid"), proxy.pid().to_string(), "{kind:?}");
        assert!(info(&answer, "CumReq").parse::<u32>().unwrap() >= 1, "{kind:?}");
        for name in
            ["Name", "Version", "Uptime_sec", "Maxconn", "CurrConns", "CumConns", "Nbthread"]
        {
            info(&answer, name);
        }
        assert!(answer.ends_with("\n\n"), "{kind:?}: {answer:?}");
    }
}

#[test]
fn show_stat_has_haproxy_s_columns_and_counts() {
    let mut headers = Vec::new();
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        for _ in 0..3 {
            assert_eq!(get(proxy.address("front"), "/").sent_by(), "o");
        }
        // A stream is counted when it has ended, a moment after its client has the answer.
        let answer = eventually("all three are counted", || {
            let answer = command(&socket(&proxy), "show stat");
            let row = answer.lines().find(|line| line.starts_with("www,FRONTEND,"))?;
            (row.split(',').nth(40) == Some("3")).then_some(answer.clone())
        });
        let mut lines = answer.lines();
        let header = lines.next().unwrap().to_owned();
        let columns: Vec<&str> = header.trim_start_matches("# ").split(',').collect();
        let rows: Vec<Vec<&str>> =
            lines.filter(|line| !line.is_empty()).map(|line| line.split(',').collect()).collect();
        let cell = |proxy: &str, server: &str, column: &str| {
            let at = columns.iter().position(|name| *name == column).unwrap();
            let row = rows
                .iter()
                .find(|row| row[0] == proxy && row[1] == server)
                .unwrap_or_else(|| panic!("no row {proxy}/{server} in {answer}"));
            row[at].to_owned()
        };
        for (proxy, server, column, value) in [
            ("www", "FRONTEND", "status", "OPEN"),
            ("www", "FRONTEND", "req_tot", "3"),
            ("www", "FRONTEND", "stot", "3"),
            ("www", "FRONTEND", "hrsp_2xx", "3"),
            ("www", "FRONTEND", "type", "0"),
            ("app", "s1", "stot", "3"),
            ("app", "s1", "status", "no check"),
            ("app", "s1", "type", "2"),
            ("app", "s2", "status", "MAINT"),
            ("app", "s2", "stot", "0"),
            ("app", "s2", "weight", "50"),
            ("app", "BACKEND", "hrsp_2xx", "3"),
            ("app", "BACKEND", "status", "UP"),
            ("app", "BACKEND", "act", "1"),
            ("app", "BACKEND", "mode", "http"),
        ] {
            assert_eq!(cell(proxy, server, column), value, "{kind:?} {proxy}/{server} {column}");
        }
        headers.push(header);
    }
    // The language version spoken is newer than the oracle: it may have more columns, after these.
    let ours = headers[0].trim_end_matches(',');
    let theirs = headers[1].trim_end_matches(',');
    let end = theirs.find(",-,").unwrap_or(theirs.len());
    assert!(ours.starts_with(&theirs[..end]), "\n{ours}\n{theirs}");
}

#[test]
fn help_lists_commands_and_an_unknown_command_is_said_to_be_one() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let help = command(&socket(&proxy), "help");
        for word in ["show info", "show stat", "help", "prompt", "quit"] {
            assert!(help.contains(word), "{kind:?}: {help}");
        }
        let unknown = command(&socket(&proxy), "frobnicate all");
        assert!(unknown.to_lowercase().contains("unknown command"), "{kind:?}: {unknown}");
    }
}

#[test]
fn a_semicolon_separates_commands_and_a_backslash_hides_it() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let answer = command(&socket(&proxy), "show info;show stat");
        assert!(answer.contains("\nPid: ") && answer.contains("# pxname"), "{kind:?}");
        assert!(answer.find("Pid: ") < answer.find("# pxname"), "{kind:?}: in order");
        let hidden = command(&socket(&proxy), "show\\;info");
        assert!(!hidden.contains("\nPid: "), "{kind:?}: {hidden}");
    }
}

#[test]
fn only_the_first_line_counts_without_a_prompt() {
    // The oracle, older than the language version that fastlb speaks, goes on to the next line.
    for kind in [Kind::Fastlb].into_iter().filter(|kind| kind.is_fastlb()) {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let answer = command(&socket(&proxy), "show info\nshow stat");
        assert!(answer.contains("\nPid: "), "{kind:?}");
        assert!(!answer.contains("# pxname"), "{kind:?}");
    }
}

#[test]
fn a_prompt_keeps_the_connection_for_further_lines() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let mut stream = UnixStream::connect(socket(&proxy)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let until_prompt = |stream: &mut UnixStream| {
            let mut answer = Vec::new();
            let mut byte = [0];
            while !answer.ends_with(b"\n> ") {
                stream.read_exact(&mut byte).expect("a prompt");
                answer.push(byte[0]);
            }
            String::from_utf8(answer).unwrap()
        };
        stream.write_all(b"prompt\n").unwrap();
        until_prompt(&mut stream);
        stream.write_all(b"show info\n").unwrap();
        assert!(until_prompt(&mut stream).contains("Pid: "), "{kind:?}");
        stream.write_all(b"show stat\n").unwrap();
        assert!(until_prompt(&mut stream).contains("# pxname"), "{kind:?}");
        stream.write_all(b"quit\n").unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("a close");
    }
}

#[test]
fn a_command_runs_although_the_peer_has_half_closed() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let mut stream = UnixStream::connect(socket(&proxy)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"show info\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\nPid: "), "{kind:?}: {answer:?}");
    }
}

#[test]
fn the_cli_listens_on_tcp_addresses_too() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let mut stream = TcpStream::connect(proxy.address("admin")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"show info\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\nPid: "), "{kind:?}: {answer:?}");
    }
}

#[test]
fn the_socket_has_the_mode_that_was_asked_for() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin);
        let mode = std::fs::metadata(socket(&proxy)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{kind:?}");
    }
}

#[test]
fn a_line_without_end_is_bounded() {
    let origin = Origin::echo("o");
    let proxy = start(Kind::Fastlb, &origin);
    let before = proxy.memory_kib();
    let mut stream = UnixStream::connect(socket(&proxy)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        if stream.write_all(&block).is_err() {
            break;
        }
    }
    assert!(proxy.memory_kib() < before + (16 << 10));
    assert!(command(&socket(&proxy), "show info").contains("\nPid: "));
}
