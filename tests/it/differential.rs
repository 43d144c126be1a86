//! The differential suite: the cases of `tests/wire/` through fastlb and through a real haproxy, byte by byte.
//!
//! Each file runs in one process of either proxy, every case with a frontend, a backend and an origin of its own, all at
//! once. A case that is marked as different asserts fastlb's very lines, and its reason must stand in
//! `docs/differences.md`. `UPDATE=1` rewrites the lines of such cases, and unmarks those that differ no longer; whether they are right is for its reader to judge.
//! To add a case, write it into a file; to add a file, name it in [`files!`].

use crate::support::play::{End, Outcome, Received, Script};
use crate::support::transcript::{self, Side};
use crate::support::wire::{Case, Cases, Expected, Piece, Step};
use crate::support::{Kind, Proxy, Setup, diff};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// How long nothing must happen before a case counts as over, and how many cases run at the same time.
const LOOKS: &[(Duration, usize)] = &[
    (Duration::from_millis(300), 24),
    (Duration::from_millis(800), 12),
    (Duration::from_millis(1500), 6),
];

macro_rules! files {
    ($($name:ident)*) => {
        /// The files that have a test.
        const FILES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}

files! {
    answers chunks connections editing fields framing responses rules targets
}

#[test]
fn every_file_of_cases_has_a_test_and_there_are_many_cases() {
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(FILES.contains(&name.as_str()), "{name} is not named in `files!`");
        count += Cases::parse(&fs::read_to_string(&path).unwrap()).cases.len();
    }
    assert!(count >= 300, "{count} cases");
}

#[test]
fn every_difference_has_a_line_in_the_document() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let document = squeeze(include_str!("../../docs/differences.md"));
    for name in FILES {
        let text = fs::read_to_string(folder().join(name).with_extension("txt")).unwrap();
        for case in Cases::parse(&text).cases {
            if let Expected::Differs { reason, .. } = &case.expected {
                assert!(
                    reason.len() >= 15 && document.contains(&squeeze(reason)),
                    "{name}: {}: docs/differences.md does not say {reason:?}",
                    case.name
                );
            }
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire")
}

/// A proxy with the origins of all cases of a file.
struct Running {
    proxy: Proxy,
    origins: Vec<Script>,
}

impl Running {
    fn start(kind: Kind, file: &Cases) -> Self {
        let origins: Vec<Script> = file.cases.iter().map(Script::start).collect();
        let mut setup = Setup::new(kind);
        let mut text = format!(
            "global\n{}{}\ndefaults\n mode http\n timeout connect 4s\n timeout client 8s\n timeout server 8s\n",
            file.global, file.sections
        );
        for (number, (case, origin)) in file.cases.iter().zip(&origins).enumerate() {
            let indent = |lines: &[String]| -> String {
                lines.iter().map(|line| format!(" {line}\n")).collect()
            };
            // The longer name first: places are filled in one after the other.
            setup = setup
                .listen(&format!("front{number}"))
                .address(&format!("o{number}"), origin.address());
            text += &format!(
                "frontend f{number}\n bind @front{number}@\n{} default_backend b{number}\n\
                 backend b{number}\n{} server s @o{number}@ {}\n",
                indent(&case.front),
                indent(&case.back),
                case.server
            );
        }
        Self { proxy: setup.start(&text), origins }
    }

    fn play(&self, file: &Cases, number: usize, quiet: Duration) -> Vec<String> {
        let case = &file.cases[number];
        let front = self.proxy.address(&format!("front{number}"));
        let outcome = self.origins[number].play(case, front, quiet);
        self.neutral(number, lines(case, &outcome))
    }

    /// Makes ports and names of this run neutral.
    fn neutral(&self, number: usize, lines: Vec<String>) -> Vec<String> {
        let front = self.proxy.address(&format!("front{number}"));
        let origin = self.origins[number].address();
        lines
            .into_iter()
            .map(|line| {
                line.replace(&front.to_string(), "@front@").replace(&origin.to_string(), "@o@")
            })
            .collect()
    }
}

/// Returns what a case led to as lines.
fn lines(case: &Case, outcome: &Outcome) -> Vec<String> {
    let methods = methods(case);
    let mut out = Vec::new();
    let mut add = |who: &str, side: Side, received: &Received| {
        for line in transcript::lines(side, &received.bytes, &methods) {
            out.push(format!("{who} {line}").trim_end().to_owned());
        }
        out.push(match (received.end, side) {
            (End::Open, _) => format!("{who} -- open"),
            (End::Reset, Side::Client) => format!("{who} -- reset"),
            // How a proxy drops a server that it has no use for is its own affair.
            (End::Closed | End::Reset, _) => format!("{who} -- closed"),
        });
    };
    add("<", Side::Client, &outcome.client);
    // A connection that was opened and never used told the server nothing.
    let used = outcome.server.iter().filter(|received| !received.bytes.is_empty());
    for (number, received) in used.enumerate() {
        add(&format!("{number}>"), Side::Server, received);
    }
    out
}

/// Returns the methods of the request lines that a client sends.
fn methods(case: &Case) -> Vec<String> {
    let mut text = String::new();
    for step in &case.client {
        if let Step::Send(pieces) = step {
            for piece in pieces {
                if let Piece::Bytes(bytes) = piece {
                    text += &String::from_utf8_lossy(bytes);
                }
            }
        }
    }
    text.lines()
        .filter(|line| line.contains(" HTTP/1."))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}

/// Runs the cases of a file and fails with everything that is not as expected.
fn run(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let text = fs::read_to_string(&path).unwrap();
    let file = Cases::parse(&text);
    let only = std::env::var("ONLY").unwrap_or_default();
    let (ours, theirs) =
        (Running::start(Kind::Fastlb, &file), Running::start(Kind::Haproxy, &file));
    let mut found: Vec<(usize, Option<Finding>)> = (0..file.cases.len())
        .filter(|number| file.cases[*number].name.contains(&only))
        .map(|number| (number, None))
        .collect();
    // The machine may have been busy: what disagreed is looked at again, in less company.
    for (quiet, at_once) in LOOKS {
        let next = Mutex::new(found.into_iter());
        let left = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..*at_once {
                scope.spawn(|| {
                    loop {
                        let Some((number, _)) = next.lock().unwrap().next() else { return };
                        if let Some(finding) = judge(&file, number, &ours, &theirs, *quiet) {
                            left.lock().unwrap().push((number, Some(finding)));
                        }
                    }
                });
            }
        });
        found = left.into_inner().unwrap();
    }
    let mut found: Vec<(usize, Finding)> =
        found.into_iter().filter_map(|(number, finding)| Some((number, finding?))).collect();
    found.sort_by_key(|(number, _)| *number);
    if std::env::var_os("UPDATE").is_some() {
        update(&path, &text, &file, &found);
    }
    let said: String = found.iter().map(|(_, finding)| finding.text.as_str()).collect();
    assert!(found.is_empty(), "{} of {name} are not as expected:\n{said}", found.len());
}

struct Finding {
    text: String,
    ours: Vec<String>,
    /// Whether haproxy does the same.
    same: bool,
}

/// Plays one case on both sides; returns what is not as expected.
fn judge(
    file: &Cases,
    number: usize,
    ours: &Running,
    theirs: &Running,
    quiet: Duration,
) -> Option<Finding> {
    let case = &file.cases[number];
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| theirs.play(file, number, quiet));
        (ours.play(file, number, quiet), theirs.join().unwrap())
    });
    let (left, right) = (ours.join("\n"), theirs.join("\n"));
    let text = match &case.expected {
        Expected::Differs { .. } if left == right => {
            format!("no longer differs from haproxy:\n{left}\n")
        }
        Expected::Differs { fastlb, .. } if *fastlb != ours => {
            format!(
                "fastlb (-) is not as the case says (+):\n{}haproxy:\n{right}\n",
                diff(&left, &fastlb.join("\n"))
            )
        }
        Expected::Same if left != right => {
            format!("fastlb (-) and haproxy (+) differ:\n{}", diff(&left, &right))
        }
        _ => return None,
    };
    let group = if case.group.is_empty() { String::new() } else { format!("{}: ", case.group) };
    Some(Finding { text: format!("\n=== {group}{}\n{text}", case.name), ours, same: left == right })
}

/// Writes what fastlb did into the cases that are marked as different.
fn update(path: &Path, text: &str, file: &Cases, found: &[(usize, Finding)]) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (number, finding) in found.iter().rev() {
        let case = &file.cases[*number];
        let Expected::Differs { reason, .. } = &case.expected else { continue };
        if finding.same {
            lines.splice(case.lines.clone(), ["-- same".to_owned(), String::new()]);
            continue;
        }
        let mut block = vec![format!("-- differs: {reason}"), "-- fastlb".to_owned()];
        block.extend(finding.ours.iter().cloned());
        block.push(String::new());
        lines.splice(case.lines.clone(), block);
    }
    fs::write(path, lines.join("\n") + "\n").unwrap();
}
