//! Big lists of patterns and maps: a look-up costs about the same however many lines there are.

use std::fmt::Write;
use std::fs;
use std::hint::black_box;

use fastlb::rules::action::run;

use super::proto::BROWSER;
use super::stream::Stream;
use super::{Case, Op, Steps};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("lists/src -f, 1000000 networks", || list("src", 1_000_000, network)),
        case("lists/src -f, 1000 networks", || list("src", 1_000, network)),
        case("lists/path -f, 100000 texts", || list("path", 100_000, |n| format!("/item/{n}"))),
        case("lists/hdr(host) -m end -f, 10000 suffixes", || {
            list("req.hdr(host) -m end", 10_000, |n| format!(".site{n}.test"))
        }),
        case("lists/path -m beg -f, 10000 prefixes", || {
            list("path -m beg", 10_000, |n| format!("/{n}/items/"))
        }),
        case("lists/hdr(user-agent) -m sub -f, 1000 texts", || {
            list("req.hdr(user-agent) -m sub", 1_000, |n| format!("robot-{n}-x"))
        }),
        case("lists/path -m reg -f, 1000 expressions", || {
            list("path -m reg", 1_000, |n| format!("^/old/{n}/[a-z]+\\.php$"))
        }),
        case("lists/map_ip, 1000000 networks", || {
            list("src,map_ip(@file@) -m str nowhere", 1_000_000, |n| network(n) + " value")
        }),
    ]
}

/// Networks that are apart from each other and from the client's address.
fn network(number: u32) -> String {
    format!("{}.{}.{}.0/26", 11 + (number >> 16), number >> 8 & 255, number & 255)
}

/// A condition over a file of so many lines that none of them matches.
fn list(test: &str, lines: u32, line: fn(u32) -> String) -> Box<dyn Op> {
    let mut text = String::new();
    for number in 0..lines {
        let _ = writeln!(text, "{}", line(number));
    }
    let folder = tempfile::tempdir().expect("a folder for the list");
    let file = folder.path().join("list");
    fs::write(&file, text).expect("the list is written");
    let file = file.display().to_string();
    let test = match test.contains("@file@") {
        true => test.replace("@file@", &file),
        false => format!("{test} -f {file}"),
    };
    let config = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend www\n bind 127.0.0.1:8080\n http-request deny if {{ {test} }}\n\
         default_backend app\nbackend app\n server a1 127.0.0.1:9001\n"
    );
    Box::new(Steps {
        state: Stream::new(&config, BROWSER),
        prepare: |_: &mut Stream| (),
        run: |stream: &mut Stream| {
            black_box(stream.evaluate(|www, context| run(&www.http_request, context)));
        },
    })
}
