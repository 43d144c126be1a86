//! What stands beside the program works too: the demo, the load test, the flamegraph renderer.

use crate::support::{Client, Kind, eventually};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn run_load(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new("python3");
    command.arg("loadtest/run.py").args(arguments);
    if Kind::Fastlb.is_fastlb() {
        command.arg("--fastlb").arg(Kind::Fastlb.program());
    }
    let output = command.current_dir(root()).output().expect("python3 runs");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said += &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

/// The program under test by the load test's name.
fn name() -> &'static str {
    if Kind::Fastlb.is_fastlb() { "fastlb" } else { "haproxy" }
}

#[test]
fn the_load_test_measures_and_writes_its_results() {
    let out = format!("tmp/test-{}", std::process::id());
    let (code, said) = run_load(&[
        "--only",
        "l7-keepalive-16",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--logs",
        "off",
        "--proxies",
        name(),
        "--out",
        &out,
    ]);
    assert_eq!(code, 0, "{said}");
    let file = root().join(format!("loadtest/results/{out}.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let row = &result["runs"][0]["proxies"][name()];
    assert!(row["requests"].as_f64().unwrap() > 100.0, "{row}");
    assert_eq!(row["errors"], 0, "{row}");
    assert!(row["cpu_us"].as_f64().unwrap() > 0.0, "{row}");
    let plot = std::fs::read_to_string(file.with_extension("svg")).unwrap();
    assert!(plot.starts_with("<svg"));
    let _ = std::fs::remove_file(file.with_extension("svg"));
    let _ = std::fs::remove_file(file);
}

#[test]
fn a_short_soak_neither_fails_nor_grows() {
    let (code, said) = run_load(&["--soak", "3", "--proxies", name()]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_load_test_lists_its_scenarios() {
    let (code, said) = run_load(&["--list"]);
    assert_eq!(code, 0, "{said}");
    for scenario in ["l7-keepalive-128", "l7-rules-128", "l7-close-64", "l4-1m-16", "idle-5000"] {
        assert!(said.contains(scenario), "{said}");
    }
}

#[test]
fn samples_become_a_flamegraph() {
    let samples = "fastlb 12 1.0: 1 cpu-clock:\n\
        \t ffff inner+0x10 ([kernel.kallsyms])\n\t 1234 fastlb::outer::h0123456789abcdef+0x2 (/bin/fastlb)\n\n\
        fastlb 12 1.1: 1 cpu-clock:\n\t 1234 fastlb::outer::h0123456789abcdef+0x2 (/bin/fastlb)\n\n";
    let render = |arguments: &[&str]| {
        let mut child = Command::new("python3")
            .arg(root().join("flamegraphs/fold.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        child.stdin.take().unwrap().write_all(samples.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(render(&["--folded"]), "fastlb;fastlb::outer 1\nfastlb;fastlb::outer;inner [k] 1\n");
    assert!(render(&[]).contains("<title>fastlb::outer: 2 samples, 100.0%</title>"));
}

#[test]
fn the_first_configuration_of_the_readme_is_valid_and_without_findings() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, from) = readme.split_once("## A first configuration\n\n```\n").expect("a block");
    let (text, _) = from.split_once("```").expect("its end");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lb.cfg");
    std::fs::write(&file, text).unwrap();
    let output = Kind::Fastlb.command(["-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
}

/// Returns the local addresses and paths of all URLs in a text.
fn urls(text: &str) -> Vec<(SocketAddr, String)> {
    let mut urls = Vec::new();
    for piece in text.split("http://").skip(1) {
        let end =
            piece.find(|c: char| c.is_whitespace() || "'\"`)".contains(c)).unwrap_or(piece.len());
        let (host, path) = piece[..end].split_once('/').unwrap_or((&piece[..end], ""));
        let port = host.rsplit(':').next().and_then(|port| port.parse().ok());
        if let Some(port) = port {
            urls.push((SocketAddr::from((Ipv4Addr::LOCALHOST, port)), format!("/{path}")));
        }
    }
    urls
}

#[test]
fn the_demo_answers_at_every_address_that_it_prints() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("said");
    let mut demo = Kind::Fastlb
        .command(["demo"])
        .stdout(std::fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let result = std::panic::catch_unwind(|| {
        let urls = eventually("the demo says what to try", || {
            let urls = urls(&std::fs::read_to_string(&file).unwrap());
            (urls.len() >= 3).then_some(urls)
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        for (address, path) in urls {
            let answer = Client::connect(address).get(&path);
            assert!(answer.status < 500, "{address}{path}: {}", answer.status);
        }
    });
    let _ = demo.kill();
    let _ = demo.wait();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
