//! Mistakes as data: each `tests/diagnostics/NAME.cfg` is checked and what fastlb says must equal `NAME.expected`.
//!
//! `UPDATE=1` rewrites the expected files; read the difference before committing it. Every case must have at least one
//! finding, and the files of errors must be refused by a real haproxy as well.

use crate::support::{Kind, diff};
use std::path::{Path, PathBuf};

/// Cases that are legal and that fastlb warns about, or speaks about; all others are refused.
const LEGAL: &[&str] = &[
    "acl-that-nobody-uses",
    "cookie-in-tcp-mode",
    "deny-that-encoding-passes-by",
    "error-answers-without-effect",
    "http-rule-in-tcp-mode",
    "rule-after-an-unconditional-verdict",
    "same-cookie-value-twice",
    "same-rule-twice",
    "server-without-check",
    "timeout-missing",
    "tuning-words-with-a-note",
    "use-backend-shadowed-by-an-earlier-one",
];

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "cfg"))
        .collect();
    cases.sort();
    cases
}

fn stem(case: &Path) -> &str {
    case.file_stem().unwrap().to_str().unwrap()
}

/// Returns exit code and findings of `-c`, with paths relative to the repository.
fn rendered(case: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Kind::Fastlb
        .command([Path::new("-c"), Path::new("-f"), case.strip_prefix(root).unwrap()])
        .current_dir(root)
        .env_remove("FASTLB_TEST_NOT_SET")
        .output()
        .unwrap();
    let code = output.status.code().expect("an exit code");
    let said = String::from_utf8_lossy(&output.stderr);
    format!("exit {code}\n{}\n", said.trim_end())
}

#[test]
fn each_mistake_gives_its_message() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let mut wrong = Vec::new();
    for case in cases() {
        let expected_file = case.with_extension("expected");
        let said = rendered(&case);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected_file, &said).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&expected_file).unwrap_or_default();
        if said != expected {
            wrong.push(format!(
                "{} (said -, expected +; UPDATE=1 accepts):\n{}",
                stem(&case),
                diff(&said, &expected)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_mistake_is_refused_or_warned_about() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    for case in cases() {
        let said = rendered(&case);
        assert!(said.lines().count() > 2, "{}: {said}", stem(&case));
        let legal = LEGAL.contains(&stem(&case));
        let wanted = if legal { "exit 0" } else { "exit 1" };
        assert!(said.starts_with(wanted), "{}: {said}", stem(&case));
    }
}

#[test]
fn haproxy_refuses_what_is_listed_as_an_error() {
    for case in cases() {
        let legal = LEGAL.contains(&stem(&case));
        let output = Kind::Haproxy
            .command([Path::new("-c"), Path::new("-f"), &case])
            .env_remove("FASTLB_TEST_NOT_SET")
            .output()
            .unwrap();
        assert_eq!(
            output.status.success(),
            legal,
            "{}: {}",
            stem(&case),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn json_findings_name_file_line_and_column() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let case = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/diagnostics/misspelt-directive-and-more.cfg");
    let output = Kind::Fastlb.run([Path::new("-c"), Path::new("--json"), Path::new("-f"), &case]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: serde_json::Value = serde_json::from_str(&said).expect(&said);
    let list = findings["diagnostics"].as_array().expect("an array of findings");
    for (line, word) in [(11, "use_backed"), (12, "defualt_backend"), (15, "balanse")] {
        assert!(
            list.iter().any(|finding| finding["line"] == line
                && finding["column"] == 5
                && finding["message"].as_str().is_some_and(|m| m.contains(word))),
            "no finding on `{word}` at line {line}: {said}"
        );
    }
}
