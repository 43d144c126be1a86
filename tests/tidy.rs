//! The house rules that a compiler does not know: layers, fences, size and the paragraph on top of each file.
//!
//! Layers are read from the table in `src/lib.rs`, so the crate map that people read is the one that is enforced. Fences
//! are the rows of [`FENCES`]. Each finding names the rule and the line that breaks it. This test reads text, not syntax
//! trees: comments and literals are blanked first, and macros that build paths would escape it. To add a rule, add a row
//! to [`FENCES`] or a function to [`RULES`], and a case to the table of its unit test that breaks it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A word that may stand only in some modules.
struct Fence {
    rule: &'static str,
    words: &'static [&'static str],
    modules: &'static [&'static str],
    in_tests: bool,
}

/// The fences; `in_tests` says whether test code may cross one.
const FENCES: &[Fence] = &[
    Fence {
        rule: "monoio only in runtime, control and demo",
        words: &["monoio::"],
        modules: &["runtime", "control", "demo"],
        in_tests: false,
    },
    Fence {
        rule: "clocks only in runtime, control, cli and demo",
        words: &["Instant::now", "SystemTime::now"],
        modules: &["runtime", "control", "cli", "demo"],
        in_tests: true,
    },
    Fence {
        rule: "httparse only in proto",
        words: &["httparse::"],
        modules: &["proto"],
        in_tests: false,
    },
    Fence {
        rule: "rustls only in plan and runtime",
        words: &["rustls::"],
        modules: &["plan", "runtime"],
        in_tests: false,
    },
    Fence {
        rule: "unsafe only in stdx and runtime",
        words: &["unsafe"],
        modules: &["stdx", "runtime"],
        in_tests: false,
    },
    Fence {
        rule: "printing only in main, cli and demo",
        words: &["println!", "print!", "eprintln!", "eprint!"],
        modules: &["main", "cli", "demo"],
        in_tests: true,
    },
];

/// Imports between modules of one row that are meant: (importer, imported).
const SAME_ROW: &[(&str, &str)] = &[("main", "cli"), ("cli", "demo"), ("balance", "server")];

/// Lines that a file may have, its test code aside.
const LINES_MAX: usize = 800;

const RULES: &[fn(&Layers, &Source, &mut Vec<Finding>)] =
    &[layers, fences, safety, size, paragraph];

/// A line that breaks a rule.
#[derive(Debug, PartialEq)]
struct Finding {
    path: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.rule)
    }
}

/// Module name → row number.
type Layers = BTreeMap<String, u32>;

#[test]
fn the_tree_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let layers = layers_of(&fs::read_to_string(root.join("src/lib.rs")).unwrap());
    let mut findings = Vec::new();
    for path in rust_files(&root.join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let source = Source::new(path.strip_prefix(root).unwrap(), &text);
        for rule in RULES {
            rule(&layers, &source, &mut findings);
        }
    }
    for folder in ["tests", "benches"] {
        for path in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let source = Source::new(path.strip_prefix(root).unwrap(), &text);
            paragraph(&layers, &source, &mut findings);
            size(&layers, &source, &mut findings);
        }
    }
    let report: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(report.is_empty(), "\n{}\n", report.join("\n"));
}

#[test]
fn the_crate_map_names_every_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let layers = layers_of(&text);
    for line in text.lines() {
        let Some(name) = line.trim().strip_prefix("pub mod ") else {
            continue;
        };
        let name = name.trim_end_matches(';');
        assert!(
            layers.contains_key(name),
            "src/lib.rs: module `{name}` has no row in the crate map"
        );
    }
}

/// Returns the rows of the crate map: lines such as ``//! | 7 | [`cli`], `main` | what |``.
fn layers_of(lib: &str) -> Layers {
    let mut layers = Layers::new();
    for line in lib.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, row, names, ..] = cells[..] else {
            continue;
        };
        let Ok(row) = row.parse::<u32>() else {
            continue;
        };
        // Names stand in backticks: every second piece.
        for name in names.split('`').skip(1).step_by(2) {
            layers.insert(name.to_owned(), row);
        }
    }
    layers
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A file, seen as its module, its raw lines and its code without comments and literals.
struct Source {
    path: PathBuf,
    /// Names from the crate's root down to this file: `["proto", "h1"]`; empty for `lib.rs`.
    module: Vec<String>,
    raw: Vec<String>,
    code: String,
    /// Per line: whether it is test code.
    test: Vec<bool>,
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let mut module: Vec<String> = path
            .with_extension("")
            .components()
            .skip(1)
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        let all_test = module.last().is_some_and(|name| name.contains("test"));
        let test = test_lines(&code, all_test);
        Self {
            path: path.to_owned(),
            module,
            raw: text.lines().map(str::to_owned).collect(),
            code,
            test,
        }
    }

    fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or(false)
    }

    fn finding(&self, line: usize, rule: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule: rule.into() }
    }
}

/// A module imports only from lower rows.
fn layers(layers: &Layers, source: &Source, findings: &mut Vec<Finding>) {
    let from = source.top();
    if from == "lib" {
        return;
    }
    let Some(&row) = layers.get(from) else {
        findings.push(source.finding(1, format!("`{from}` has no row in the crate map")));
        return;
    };
    for (line, to) in imports(source) {
        if to == from || SAME_ROW.contains(&(from, to.as_str())) {
            continue;
        }
        match layers.get(&to) {
            Some(&other) if other < row => {}
            Some(&other) => findings.push(source.finding(
                line,
                format!("layers: `{from}` (row {row}) may not import `{to}` (row {other})"),
            )),
            None if to == "*" => {
                findings.push(source.finding(
                    line,
                    "layers: a glob import of the crate's root hides what is imported",
                ))
            }
            // A name that the root re-exports; lib.rs holds nothing but modules.
            None => findings.push(
                source.finding(line, format!("layers: `{to}` is no module of the crate map")),
            ),
        }
    }
}

/// Returns the top-level modules that a file names, each with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let depths = inline_depths(code);
    let mut found = Vec::new();
    for root in ["crate::", "fastlb::"] {
        for (at, _) in code.match_indices(root) {
            if !at_word_start(code, at) || (root == "fastlb::" && source.top() != "main") {
                continue;
            }
            first_segments(code, at + root.len(), at, &mut found);
        }
    }
    let mut at = 0;
    while let Some(next) = code[at..].find("super::") {
        let start = at + next;
        let mut end = start;
        let mut steps = 0;
        while code[end..].starts_with("super::") {
            end += "super::".len();
            steps += 1;
        }
        at = end;
        if at_word_start(code, start) && steps == source.module.len() + depths[start] {
            first_segments(code, end, start, &mut found);
        }
    }
    found.into_iter().map(|(at, name)| (line_of(code, at), name)).collect()
}

/// Pushes the first name of each path that stands at `from`: one, or those of a `{…}` group.
fn first_segments(code: &str, from: usize, at: usize, found: &mut Vec<(usize, String)>) {
    let rest = &code[from..];
    if !rest.starts_with('{') {
        found.push((at, word_at(rest)));
        return;
    }
    let mut depth = 0;
    let mut expect = false;
    for (offset, c) in rest.char_indices() {
        match c {
            '{' => {
                depth += 1;
                expect = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' => expect = depth == 1,
            c if c.is_whitespace() => {}
            _ if expect => {
                found.push((from + offset, word_at(&rest[offset..])));
                expect = false;
            }
            _ => {}
        }
    }
}

fn word_at(text: &str) -> String {
    if text.starts_with('*') {
        return "*".to_owned();
    }
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn at_word_start(code: &str, at: usize) -> bool {
    !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Returns, per byte, how many inline `mod name {` blocks surround it.
fn inline_depths(code: &str) -> Vec<usize> {
    let mut depths = Vec::with_capacity(code.len());
    let mut blocks: Vec<bool> = Vec::new();
    let mut statement = String::new();
    for c in code.chars() {
        match c {
            '{' => {
                let words: Vec<&str> = statement.split_whitespace().collect();
                blocks.push(words.len() >= 2 && words[words.len() - 2] == "mod");
                statement.clear();
            }
            '}' => {
                blocks.pop();
                statement.clear();
            }
            ';' => statement.clear(),
            c => statement.push(c),
        }
        let depth = blocks.iter().filter(|is_mod| **is_mod).count();
        depths.extend(std::iter::repeat_n(depth, c.len_utf8()));
    }
    depths
}

/// Returns, per line, whether it belongs to a `#[cfg(test)]` item.
fn test_lines(code: &str, all: bool) -> Vec<bool> {
    let mut lines = Vec::new();
    let mut waiting = false;
    let mut depth = 0_usize;
    let mut inside = false;
    for line in code.lines() {
        if !inside && line.trim_start().starts_with("#[cfg(") && line.contains("test") {
            waiting = true;
        }
        lines.push(all || waiting || inside);
        if !(waiting || inside) {
            continue;
        }
        for c in line.chars() {
            match c {
                '{' => {
                    depth += 1;
                    (inside, waiting) = (true, false);
                }
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => waiting = false,
                _ => {}
            }
        }
        if inside && depth == 0 {
            inside = false;
        }
    }
    lines
}

/// Fenced words stand only inside their fence.
fn fences(_: &Layers, source: &Source, findings: &mut Vec<Finding>) {
    for fence in FENCES {
        if fence.modules.contains(&source.top()) {
            continue;
        }
        for (number, line) in (1..).zip(source.code.lines()) {
            if fence.in_tests && source.is_test(number) {
                continue;
            }
            if fence.words.iter().any(|word| has_word(line, word)) {
                findings.push(source.finding(number, format!("fence: {}", fence.rule)));
            }
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && (!word.ends_with(|c: char| c.is_alphanumeric()) || !joins(after))
    })
}

/// Each unsafe block and impl has its `// SAFETY:` comment right above the statement.
fn safety(_: &Layers, source: &Source, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(source.code.lines()) {
        let asks = line.match_indices("unsafe").any(|(at, word)| {
            let rest = line[at + word.len()..].trim_start();
            has_word(&line[at..], word) && (rest.starts_with('{') || rest.starts_with("impl"))
        });
        if asks && !has_safety_comment(source, number) {
            findings.push(source.finding(number, "unsafe: no `// SAFETY:` comment right above"));
        }
    }
}

fn has_safety_comment(source: &Source, number: usize) -> bool {
    let code: Vec<&str> = source.code.lines().collect();
    let mut above = number - 1;
    if source.raw[above].contains("// SAFETY:") {
        return true;
    }
    while above > 0 {
        above -= 1;
        let raw = source.raw[above].trim();
        if raw.starts_with("//") {
            if raw.starts_with("// SAFETY:") {
                return true;
            }
            continue;
        }
        // Anything but a further line of the same statement ends the search.
        let ends = code[above].trim_end();
        if raw.is_empty() || ends.ends_with(';') || ends.ends_with('{') || ends.ends_with('}') {
            return false;
        }
    }
    false
}

/// A file has at most [`LINES_MAX`] lines without its test code.
fn size(_: &Layers, source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.test.iter().filter(|test| !**test).count();
    if lines > LINES_MAX {
        findings.push(source.finding(
            1,
            format!("size: {lines} lines without tests; past {LINES_MAX} a file wants splitting"),
        ));
    }
}

/// A file begins with a `//!` paragraph that says what it is for.
fn paragraph(_: &Layers, source: &Source, findings: &mut Vec<Finding>) {
    let said: String = source.raw.iter().map_while(|line| line.strip_prefix("//!")).collect();
    if said.trim().len() < 20 {
        findings.push(source.finding(
            1,
            "paragraph: the file does not begin with a `//!` paragraph on what it does",
        ));
    }
}

/// Replaces what comments, strings and character literals hold by blanks; lines stay where they are.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => {
                text[at..].find('\n').map_or(bytes.len(), |n| at + n)
            }
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' | b'b' | b'c' if prefix_starts(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            b'\'' => char_end(text, at),
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("blanks replace whole literals")
}

fn prefix_starts(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the end of `r"…"`, `r#"…"#`, `br"…"` and so on, or `None` when no raw string begins here.
fn raw_string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    if matches!(bytes[at], b'b' | b'c') {
        at += 1;
    }
    if bytes.get(at) != Some(&b'r') {
        return None;
    }
    at += 1;
    let hashes = bytes[at..].iter().take_while(|b| **b == b'#').count();
    at += hashes;
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let rest = &bytes[at + 1..];
    let found = rest.windows(close.len()).position(|window| window == close.as_slice());
    Some(found.map_or(bytes.len(), |n| at + 1 + n + close.len()))
}

/// Returns the end of a character literal, or the next byte when the quote begins a lifetime.
fn char_end(text: &str, from: usize) -> usize {
    let mut chars = text[from + 1..].char_indices();
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            text[from + 1..]
                .char_indices()
                .skip(2)
                .find(|(_, c)| *c == '\'')
                .map_or(text.len(), |(n, _)| from + 1 + n + 1)
        }
        Some((_, c)) if text[from + 1 + c.len_utf8()..].starts_with('\'') => {
            from + 1 + c.len_utf8() + 1
        }
        _ => from + 1,
    }
}

#[cfg(test)]
mod each_rule_can_fail {
    use super::*;

    const MAP: &str = "//! | 7 | [`cli`], `main`, [`demo`] | x |\n//! | 5 | [`runtime`] | x |\n\
        //! | 2 | [`log`], [`server`], and on top of `server`: [`balance`] | x |\n//! | 1 | [`proto`] | x |\n//! | 0 | [`stdx`] | x |\n";
    const TOP: &str = "//! A paragraph that is long enough to say what this file is for.\n";

    fn check(path: &str, body: &str) -> Vec<String> {
        let layers = layers_of(MAP);
        let source = Source::new(Path::new(path), &format!("{TOP}{body}"));
        let mut findings = Vec::new();
        for rule in RULES {
            rule(&layers, &source, &mut findings);
        }
        findings.into_iter().map(|f| format!("{} {}", f.line, f.rule)).collect()
    }

    #[test]
    fn lines_that_break_a_rule_are_named() {
        let cases = [
            (
                "src/log.rs",
                "use crate::runtime::x;",
                "2 layers: `log` (row 2) may not import `runtime` (row 5)",
            ),
            (
                "src/log.rs",
                "use crate::server;",
                "2 layers: `log` (row 2) may not import `server` (row 2)",
            ),
            (
                "src/log.rs",
                "use super::server;",
                "2 layers: `log` (row 2) may not import `server` (row 2)",
            ),
            (
                "src/proto/h1/body.rs",
                "use super::super::super::log::A;",
                "2 layers: `proto` (row 1) may not import `log` (row 2)",
            ),
            (
                "src/proto/mod.rs",
                "use crate::{\n stdx::y,\n log::{A, B},\n};",
                "4 layers: `proto` (row 1) may not import `log` (row 2)",
            ),
            (
                "src/proto/mod.rs",
                "fn f() { crate::log::go() }",
                "2 layers: `proto` (row 1) may not import `log` (row 2)",
            ),
            (
                "src/proto/mod.rs",
                "mod tests { use super::super::log; }",
                "2 layers: `proto` (row 1) may not import `log` (row 2)",
            ),
            (
                "src/log.rs",
                "use crate::*;",
                "2 layers: a glob import of the crate's root hides what is imported",
            ),
            ("src/extra.rs", "", "1 `extra` has no row in the crate map"),
            ("src/cli.rs", "use monoio::net;", "2 fence: monoio only in runtime, control and demo"),
            (
                "src/log.rs",
                "let t = Instant::now();",
                "2 fence: clocks only in runtime, control, cli and demo",
            ),
            (
                "src/log.rs",
                "let t = std::time::SystemTime::now();",
                "2 fence: clocks only in runtime, control, cli and demo",
            ),
            ("src/runtime/a.rs", "httparse::Request::new()", "2 fence: httparse only in proto"),
            ("src/proto/a.rs", "use rustls::X;", "2 fence: rustls only in plan and runtime"),
            (
                "src/log.rs",
                "// SAFETY: none\nunsafe { x() }",
                "3 fence: unsafe only in stdx and runtime",
            ),
            (
                "src/runtime/a.rs",
                "println!(\"x\");",
                "2 fence: printing only in main, cli and demo",
            ),
            (
                "src/runtime/a.rs",
                "let x = unsafe { y() };",
                "2 unsafe: no `// SAFETY:` comment right above",
            ),
            (
                "src/runtime/a.rs",
                "// SAFETY: of another\nz();\nlet x = unsafe { y() };",
                "4 unsafe: no `// SAFETY:` comment right above",
            ),
        ];
        for (path, body, expected) in cases {
            assert_eq!(check(path, body), [expected], "{path}: {body}");
        }
    }

    #[test]
    fn lines_that_keep_the_rules_pass() {
        let cases = [
            (
                "src/runtime/a.rs",
                "use crate::{log, proto::h1};\nuse super::b;\nuse crate::runtime::c;",
            ),
            ("src/main.rs", "fn main() { fastlb::cli::main() }"),
            ("src/cli.rs", "use crate::demo;\nfn f() { println!(\"x\") }"),
            (
                "src/log.rs",
                "// use crate::runtime::x\nconst A: &str = \"crate::runtime unsafe\";\nconst B: char = '\"';\nuse super::stdx;",
            ),
            (
                "src/log.rs",
                "#[cfg(test)]\nmod tests {\n use super::*;\n fn f() { println!(\"{:?}\", Instant::now()) }\n}",
            ),
            ("src/balance/mod.rs", "use crate::server::A;"),
            ("src/runtime/a.rs", "// SAFETY: the fd is ours.\nlet x =\n    unsafe { y() };"),
            (
                "src/log.rs",
                "const R: &str = r#\"use crate::runtime; \"quoted\" \"#;\nfn f<'a>(x: &'a str) {}",
            ),
        ];
        for (path, body) in cases {
            assert_eq!(check(path, body), [""; 0], "{path}: {body}");
        }
    }

    #[test]
    fn a_long_file_is_named_and_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(LINES_MAX);
        assert_eq!(check("src/log.rs", &long).len(), 1);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(check("src/log.rs", &tests), [""; 0]);
    }

    #[test]
    fn a_file_without_its_paragraph_is_named() {
        let mut findings = Vec::new();
        let source = Source::new(Path::new("src/log.rs"), "//! To be written.\n");
        paragraph(&layers_of(MAP), &source, &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
