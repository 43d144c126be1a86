//! Instructions per operation of the hot path. `cargo bench --bench instructions [-- filter]`
//!
//! The bench runs itself once per case under callgrind, which collects only inside [`measured`], and divides by the
//! number of runs. The figures repeat exactly on one build, so that a change of a few instructions can be seen.

mod cases;

use std::process::{Command, ExitCode};

use cases::Op;

/// Runs that are counted; the ones before them fill caches of the allocator and lazy tables.
const RUNS: u64 = 200;
const RUNS_BEFORE: u64 = 20;
/// Names the case that a child process runs.
const CASE: &str = "FASTLB_BENCH_CASE";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        run(&name);
        return ExitCode::SUCCESS;
    }
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    println!("{:<36} {:>14}", "operation", "instructions");
    let mut failed = false;
    for case in cases::all() {
        if filter.as_ref().is_some_and(|filter| !case.name.contains(filter)) {
            continue;
        }
        match count(case.name) {
            Ok(count) => println!("{:<36} {:>14}", case.name, count / RUNS),
            Err(problem) => {
                println!("{:<36} {problem}", case.name);
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one case, in the child.
fn run(name: &str) {
    let case = cases::all().into_iter().find(|case| case.name == name);
    let mut op = (case.expect("the parent names a case of the table").make)();
    for _ in 0..RUNS_BEFORE {
        op.prepare();
        op.run();
    }
    for _ in 0..RUNS {
        op.prepare();
        measured(op.as_mut());
    }
}

/// The function that callgrind collects in.
#[inline(never)]
fn measured(op: &mut dyn Op) {
    op.run();
}

/// Runs one case under callgrind and returns the instructions of all its runs.
fn count(name: &str) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*measured*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(own)
        .env(CASE, name)
        .output()
        .map_err(|error| format!("valgrind: {error} (install the package valgrind)"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse().ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("no count from valgrind: {}", text.trim()))
}
