//! Sample expressions as fastlb and a real haproxy evaluate them, from the tables in `tests/expressions/`.
//!
//! A table holds one `expression => value` per line. `!` stands for an expression that must be refused at load. Lines that
//! begin with `>` are the request, those with `#` are comments. What stands below `[newer]` is unknown to haproxy 2.6 and
//! only asked of fastlb; below `[differs]`, a line `expression => ours | theirs` holds both answers. `@files@` is the
//! folder `tests/expressions/files`. To add cases, write lines; to add a table, write a file.

use crate::support::{Client, Kind, Setup};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expressions")
}

/// One line of a table.
struct Case {
    expression: String,
    ours: String,
    /// What haproxy 2.6 says, if it knows the words.
    theirs: Option<String>,
}

/// A table: the head of the request, and its lines.
struct Table {
    request: String,
    cases: Vec<Case>,
}

fn read(file: &Path) -> Table {
    let files = folder().join("files").display().to_string();
    let (mut request, mut cases, mut part) = (String::new(), Vec::new(), "");
    let text = fs::read_to_string(file).unwrap();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("> ") {
            request += &format!("{head}\r\n");
            continue;
        }
        if line.starts_with('[') {
            part = line;
            continue;
        }
        let (expression, value) =
            line.split_once(" =>").unwrap_or_else(|| panic!("{}: {line}", file.display()));
        let value = value.strip_prefix(' ').unwrap_or(value).to_string();
        let (ours, theirs) = match part {
            "[newer]" => (value, None),
            "[differs]" => {
                let (ours, theirs) = value.split_once(" | ").unwrap_or_else(|| panic!("{line}"));
                (ours.to_string(), Some(theirs.to_string()))
            }
            _ => (value.clone(), Some(value)),
        };
        cases.push(Case { expression: expression.replace("@files@", &files), ours, theirs });
    }
    if request.is_empty() {
        request = "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: www.example.com\r\n".to_string();
    }
    Table { request, cases }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// A frontend that answers a request with the value of the expression that it asks for by number.
fn config<'c>(expressions: impl Iterator<Item = (usize, &'c str)>) -> String {
    let mut text =
        "defaults\n mode http\n timeout client 20s\n timeout connect 5s\n timeout server 5s\n\
        backend app\n server s1 127.0.0.1:1\n server s2 127.0.0.1:2 disabled\n\
        backend t\n stick-table type ip size 10 store conn_cnt,gpc0\n\
        frontend www\n bind @www@\n default_backend app\n"
            .to_string();
    for (number, expression) in expressions {
        let format = quoted(&format!("<%[{expression}]>"));
        text += &format!(
            " http-request return status 200 content-type text/plain lf-string {format} \
             if {{ req.hdr(x-case) {number} }}\n"
        );
    }
    text
}

/// Returns what a proxy says about each expression.
fn ask(kind: Kind, request: &str, cases: &[(&str, &str)]) -> Vec<String> {
    let refused = |text: &str| {
        let all = config(std::iter::once((0, text))).replace("@www@", "127.0.0.1:1");
        !kind.check(&all).status.success()
    };
    let known: Vec<(usize, &str)> = cases
        .iter()
        .enumerate()
        .filter(|(_, (_, expected))| *expected != "!")
        .map(|(number, (expression, _))| (number, *expression))
        .collect();
    let proxy = Setup::new(kind).listen("www").start(&config(known.iter().copied()));
    cases
        .iter()
        .enumerate()
        .map(|(number, (expression, expected))| {
            if *expected == "!" {
                return if refused(expression) { "!" } else { "(accepted)" }.to_string();
            }
            let mut client = Client::connect(proxy.address("www"));
            let case = format!("{request}X-Case: {number}\r\nConnection: close\r\n\r\n");
            let response = client.ask(case.as_bytes());
            let body: String = response.body.iter().map(|byte| char::from(*byte)).collect();
            match body.strip_prefix('<').and_then(|body| body.strip_suffix('>')) {
                Some(value) => value.replace('\n', "\\n").replace('\r', "\\r"),
                None => format!("(status {})", response.status),
            }
        })
        .collect()
}

fn compare(name: &str) {
    let table = read(&folder().join(name));
    let mut wrong = Vec::new();
    let mut check = |kind: Kind, cases: &[(&str, &str)]| {
        let answers = ask(kind, &table.request, cases);
        for ((expression, expected), answer) in cases.iter().zip(answers) {
            if answer != *expected {
                wrong.push(format!("{kind:?}: {expression} => {answer:?}, expected {expected:?}"));
            }
        }
    };
    let ours: Vec<(&str, &str)> =
        table.cases.iter().map(|case| (&*case.expression, &*case.ours)).collect();
    check(Kind::Fastlb, &ours);
    let theirs: Vec<(&str, &str)> = table
        .cases
        .iter()
        .filter_map(|case| Some((&*case.expression, case.theirs.as_deref()?)))
        .collect();
    check(Kind::Haproxy, &theirs);
    assert!(wrong.is_empty(), "{}: {} wrong:\n{}", name, wrong.len(), wrong.join("\n"));
}

/// One test per table, so that they run side by side.
macro_rules! tables {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            compare($file);
        })*

        #[test]
        fn every_table_has_a_test() {
            let mut files: Vec<String> = fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".txt"))
                .collect();
            files.sort();
            assert_eq!(files, [$($file),*]);
        }
    };
}

tables! {
    crypto_and_hashes: "crypto.txt",
    fix_messages: "fix.txt",
    json_values: "json.txt",
    json_web_tokens: "jwt.txt",
    lists_and_names: "list.txt",
    maps: "map.txt",
    mqtt_packets: "mqtt.txt",
    protocol_buffers: "protobuf.txt",
    states_of_streams: "state.txt",
    stick_tables: "stick.txt",
    points_in_time: "time.txt",
    variables: "variable.txt",
}
