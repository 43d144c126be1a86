//! Every file under `configs/` loads, and a real haproxy accepts it too; the words of the language are as the manual says.

use crate::support::Kind;
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "cfg"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_example_is_valid() {
    let files = files();
    assert!(files.len() >= 7, "{files:?}");
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        for file in &files {
            let output = kind.run([Path::new("-c"), Path::new("-f"), file]);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{kind:?} -c {}:\n{}",
                file.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn every_example_says_on_top_what_it_is() {
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let comment = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(comment >= 2, "{} has no comment on top", file.display());
    }
}

/// A file with one directive of interest, for `-c`.
fn with_line(section: &str, line: &str) -> String {
    let mut text = String::from(
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n",
    );
    for (name, rest) in [
        ("frontend", " bind 127.0.0.1:1080\n default_backend b\n"),
        ("backend", " server s 127.0.0.1:1\n"),
    ] {
        let id = if name == "frontend" { "f" } else { "b" };
        text += &format!("{name} {id}\n{rest}");
        if name == section {
            text += &format!(" {line}\n");
        }
    }
    if section == "global" {
        text += &format!("global\n {line}\n");
    }
    text
}

#[test]
fn lines_are_accepted_or_refused_as_haproxy_does() {
    let cases = [
        ("frontend", "bind 127.0.0.1:1081,127.0.0.1:1082", true),
        ("frontend", "bind :::1081 v4v6", true),
        ("frontend", "bind abns@fastlb-test-words", true),
        ("frontend", "bind 127.0.0.1", false),
        ("frontend", "maxconn 10", true),
        ("frontend", "timeout client 10m", true),
        ("frontend", "timeout client 10x", false),
        ("frontend", "acl a path /x", true),
        ("frontend", "acl a pathh /x", false),
        ("frontend", "use_backend b if TRUE", true),
        ("frontend", "use_backend b if TRUE || FALSE or !METH_GET", true),
        ("frontend", "use_backend b if nowhere", false),
        ("frontend", "use_backend %[req.hdr(host)]", true),
        ("frontend", "http-request deny deny_status 403 if { src 10.0.0.0/8 }", true),
        ("frontend", "http-request deny if { src 10.0.0.0/33 }", false),
        ("frontend", "http-request set-header X-A \"%[src] b\"", true),
        ("frontend", "http-request set-header X-A", false),
        ("frontend", "http-request return status 200 content-type text/plain string hello", true),
        ("frontend", "http-request redirect scheme https code 301 unless { ssl_fc }", true),
        ("frontend", "http-request redirect scheme https code 200", false),
        ("frontend", "redirect location / if { path_len gt 100 }", true),
        ("frontend", "acl a path_len -1:x", false),
        ("frontend", "monitor-uri /alive", true),
        ("frontend", "no option dontlognull", true),
        ("backend", "balance leastconn", true),
        ("backend", "balance leastconnection", false),
        ("backend", "server t 127.0.0.1:1 weight 256 backup check inter 2s fall 3 rise 2", true),
        ("backend", "server t 127.0.0.1:1 weight 257", false),
        ("backend", "server t 127.0.0.1:1 nonsense", false),
        ("backend", "server t", false),
        ("backend", "cookie C insert indirect nocache", true),
        ("backend", "cookie C insert rewrite", false),
        ("backend", "option httpchk GET /health", true),
        ("backend", "option nonsense", false),
        ("backend", "retries 3", true),
        ("backend", "nonsense", false),
        ("global", "maxconn 100", true),
        ("global", "log 127.0.0.1:5140 local0", true),
        ("global", "log 127.0.0.1:5140 nowhere", false),
        ("global", "nonsense", false),
    ];
    let mut wrong = Vec::new();
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        for (section, line, valid) in cases {
            let output = kind.check(&with_line(section, line));
            if (output.status.code() == Some(0)) != valid {
                wrong.push(format!(
                    "{kind:?}: {section}: {line}: exit {:?}\n{}",
                    output.status.code(),
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
