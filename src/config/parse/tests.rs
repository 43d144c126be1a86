//! Tests of reading files into sections and lines.

use proptest::prelude::*;

use super::*;

struct Parsed {
    ast: Ast,
    sources: Sources,
    diags: Diagnostics,
    env: Environment,
}

fn parse(text: &str) -> Parsed {
    let mut env = Environment::empty();
    env.set("SET", "value");
    let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
    let ast = parse_text("lb.cfg", text, &mut env, &mut sources, &mut diags);
    Parsed { ast, sources, diags, env }
}

/// Returns the tree as text: `keyword name: line, line`.
fn outline(ast: &Ast) -> Vec<String> {
    let join = |line: &Line| line.words.iter().map(Word::as_str).collect::<Vec<_>>().join(" ");
    ast.sections
        .iter()
        .map(|s| {
            let lines: Vec<String> = s.lines.iter().map(join).collect();
            format!("{}: {}", join(&s.header), lines.join(", "))
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let parsed = parse(text);
    assert!(parsed.diags.is_empty(), "{}", parsed.diags.render(&parsed.sources, false));
    assert_eq!(outline(&parsed.ast), expected);
}

/// Checks the findings: each expectation is `line:column fragment of the message`.
#[track_caller]
fn check_findings(text: &str, expected: &[&str]) -> Parsed {
    let parsed = parse(text);
    let found: Vec<String> = parsed
        .diags
        .iter()
        .map(|d| {
            let (line, column) = d.span.map_or((0, 0), |span| parsed.sources.line_column(span));
            format!("{line}:{column} {}", d.message)
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let (place, fragment) = expected.split_once(' ').unwrap_or((expected, ""));
        assert!(
            found.starts_with(&format!("{place} ")) && found.contains(fragment),
            "{found}\n{expected}"
        );
    }
    parsed
}

#[test]
fn sections_hold_their_lines() {
    check(
        "global\n  daemon\n\n# text\ndefaults\n mode http\nfrontend www from base # c\n bind :80\nlisten l\nbackend b\n",
        &[
            "global: daemon",
            "defaults: mode http",
            "frontend www from base: bind :80",
            "listen l: ",
            "backend b: ",
        ],
    );
    let parsed = parse("frontend www from base\ndefaults from base\nglobal\n");
    let [www, defaults, global] = parsed.ast.sections.as_slice() else { panic!("three sections") };
    assert_eq!(www.kind(), Some(SectionKind::Frontend));
    assert_eq!(
        (www.name().map(Word::as_str), www.from().map(Word::as_str)),
        (Some("www"), Some("base"))
    );
    assert_eq!((defaults.name(), defaults.from().map(Word::as_str)), (None, Some("base")));
    assert_eq!((global.name(), global.from()), (None, None));
}

#[test]
fn every_section_of_the_language_opens() {
    for row in SECTIONS {
        let name = if row.naming == Naming::Required { " x" } else { "" };
        let text = format!("{}{name}\n", row.keyword);
        check(&text, &[&format!("{}{name}: ", row.keyword)]);
    }
}

#[test]
fn headers_are_checked() {
    check_findings(
        "frontend\nfrontend a b\nfrontend a from\nfrontend a from x y\nbackend a$b\nbackend 'a b'\nlisten a/b\n\
         global x\nlisten web 1.2.3.4:80\nresolvers r from x\n",
        &[
            "1:1 `frontend` needs a name",
            "2:12 unexpected `b`",
            "3:12 `from` needs the name",
            "4:19 unexpected `y`",
            "5:9 `$` cannot stand",
            "6:9 ` ` cannot stand",
            "7:8 `/` cannot stand",
            "8:8 has no name",
            "9:12 unexpected `1.2.3.4:80`",
            "10:13 unexpected `from`",
        ],
    );
}

#[test]
fn lines_before_the_first_section_are_one_error() {
    let parsed = check_findings(
        "bind :80\nmode http\nglobal\n daemon\n",
        &["1:1 `bind` stands before any section"],
    );
    assert_eq!(outline(&parsed.ast), ["global: daemon"]);
}

#[test]
fn a_misspelt_section_is_corrected_and_read_on() {
    let parsed = check_findings(
        "fronted www\n bind :80\n\nbakcend b\n",
        &["1:1 unknown section `fronted`", "4:1 unknown section `bakcend`"],
    );
    assert_eq!(outline(&parsed.ast), ["frontend www: bind :80", "backend b: "]);
}

#[test]
fn a_misspelt_directive_inside_a_section_is_left_to_the_plan() {
    check("frontend www\n  use_backed app\n", &["frontend www: use_backed app"]);
}

#[test]
fn a_broken_line_is_left_out_and_reading_goes_on() {
    let parsed = check_findings(
        "frontend www\n bind \":80\n mode http\nbackend \"b\n mode tcp\n",
        &["2:7 never closed", "4:9 never closed"],
    );
    assert_eq!(outline(&parsed.ast), ["frontend www: mode http", "backend b: mode tcp"]);
}

#[test]
fn empty_words_are_errors() {
    let parsed = check_findings(
        "backend b\n server s \"$NOPE\" check\n acl x hdr(a) ''\n \"$NOPE\"\n server \"${NOPE[*]}\" s\n",
        &["2:11 expands to nothing", "3:15 a word cannot be empty", "4:2 expands to nothing"],
    );
    assert_eq!(outline(&parsed.ast), ["backend b: server s"]);
    check_findings("backend \"$NOPE\"\n", &["1:9 is empty"]);
}

#[test]
fn conditions_choose_lines() {
    check(
        "global\n.if defined(SET)\n a\n.elif 1\n b\n.else\n c\n.endif\n.if 0\n d\n.elif streq(\"$SET\",value)\n e\n\
         .else\n f\n.endif\n.if \"$NOPE\"\n g\n.else\n h\n.endif\n",
        &["global: a, e, h"],
    );
}

#[test]
fn conditions_nest_and_dead_blocks_are_not_evaluated() {
    check(
        "global\n.if 0\n .if nonsense(\n  a\n .elif nonsense\n  b\n .else\n  c\n .endif\n frontend x\n.else\n .if 1\n  d\n .endif\n\
         .endif\n.if 1\n.elif nonsense\n.endif\n e\n",
        &["global: d, e"],
    );
}

#[test]
fn conditions_are_checked() {
    check_findings(
        ".endif\n.else\n.elif 1\n.if 1\n.else\n.else\n.elif 1\n.endif x\n.iff 1\n.if foo(1)\n.endif\n.if 1 2\n.endif\n\
         .if streq(\"$SET\",x) y\n.endif\n.if 1\n",
        &[
            "1:1 `.endif` without",
            "2:1 `.else` without",
            "3:1 `.elif` without",
            "6:1 second `.else`",
            "7:1 `.elif` behind `.else`",
            "8:8 unexpected argument `x`",
            "9:1 unknown directive `.iff`",
            "10:5 unknown predicate `foo`",
            "12:7 unexpected `2`",
            "14:21 unexpected `y`",
            "16:1 never closed",
        ],
    );
}

#[test]
fn messages_have_their_severity() {
    let parsed = check_findings(
        ".notice \"a b\"\n.warning w\n.alert \"at ${.LINE}\"\n.diag d\n.notice a b\n.if 0\n.alert no\n.endif\n",
        &["1:9 a b", "2:10 w", "3:8 at 3", "5:11 unexpected argument `b`"],
    );
    let severities: Vec<Severity> = parsed.diags.iter().map(|d| d.severity).collect();
    assert_eq!(severities, [Severity::Notice, Severity::Warning, Severity::Error, Severity::Error]);
}

#[test]
fn diag_is_shown_in_diagnostic_mode_only() {
    let mut env = Environment::empty();
    env.diagnostic_mode = true;
    let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
    parse_text("x", ".diag d\n", &mut env, &mut sources, &mut diags);
    assert_eq!(diags.count(Severity::Warning), 1);
}

#[test]
fn environment_directives_take_effect_on_later_lines() {
    let parsed = parse(
        "global\n setenv A 1\n presetenv A 2\n presetenv B \"x$A\"\n unsetenv SET NEVER\n\
         frontend \"f-$B\"\n .if defined(SET)\n bind :1\n .endif\n setenv C 1\n",
    );
    assert!(parsed.diags.is_empty());
    assert_eq!(parsed.env.get("B"), Some("x1"));
    assert_eq!(parsed.env.get("C"), None, "only `global` changes the environment");
    assert_eq!(outline(&parsed.ast)[1], "frontend f-x1: setenv C 1");
    let parsed = parse("global\n setenv A 1\n resetenv A\n");
    assert_eq!((parsed.env.get("A"), parsed.env.get("SET")), (Some("1"), None));
    check_findings(
        "global\n setenv A\n setenv A b c\n presetenv\n",
        &["2:2 name and a value", "3:13 unexpected argument `c`", "4:2 name and a value"],
    );
}

#[test]
fn pseudo_variables_name_file_line_and_section() {
    check(
        "global\n description \"${.FILE}:$.LINE ${.SECTION}\"\nfrontend www\n id \"${.SECTION}\"\n",
        &["global: description lb.cfg:2 global", "frontend www: id www"],
    );
}

#[test]
fn bytes_that_are_not_utf8_matter_in_words_only() {
    let mut env = Environment::empty();
    let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
    let mut ast = Ast::default();
    let bytes = b"global # caf\xe9\n description caf\xe9 x\n node n\n".to_vec();
    parse_bytes("l1.cfg".into(), bytes, &mut env, &mut sources, &mut diags, &mut ast);
    assert_eq!(diags.count(Severity::Error), 1);
    assert!(diags.render(&sources, false).contains("byte 0xe9 is not UTF-8"));
    assert_eq!(outline(&ast), ["global: node n"]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    check("\u{feff}global\n daemon\n", &["global: daemon"]);
}

#[test]
fn files_and_directories_are_read_in_order() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("the folder is writable");
    };
    write("20-b.cfg", "backend b\n");
    write("10-a.cfg", "global\n description \"$HAPROXY_CFGFILES\"\n");
    write(".hidden.cfg", "backend hidden\n");
    write("readme.txt", "backend readme\n");
    write("single", "backend single\n mode http");
    let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
    let paths = [dir.path().to_owned(), dir.path().join("single"), dir.path().join("missing")];
    let mut env = Environment::empty();
    let ast = load(&paths, &mut env, &mut sources, &mut diags);
    let names: Vec<String> = ast
        .sections
        .iter()
        .map(|s| s.header.words.last().map_or(String::new(), |w| w.text.clone()))
        .collect();
    assert_eq!(names, ["global", "b", "single"]);
    assert_eq!(ast.sections[0].lines[0].words[1].text.matches(';').count(), 3);
    let messages: Vec<&str> = diags.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("no line end"));
    assert!(messages[1].contains("cannot read") && messages[1].contains("missing"));
}

#[test]
fn each_file_begins_outside_of_any_section() {
    let mut env = Environment::empty();
    let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
    let mut ast = Ast::default();
    for text in ["global\n", " daemon\n"] {
        parse_bytes("f".into(), text.into(), &mut env, &mut sources, &mut diags, &mut ast);
    }
    assert_eq!(diags.count(Severity::Error), 1);
    assert!(ast.sections[0].lines.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut env = Environment::empty();
        let (mut sources, mut diags) = (Sources::default(), Diagnostics::default());
        let mut ast = Ast::default();
        parse_bytes("x".into(), bytes, &mut env, &mut sources, &mut diags, &mut ast);
        diags.render(&sources, false);
    }

    #[test]
    fn any_mix_of_lines_is_read_without_panic(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                ".if 1", ".if 0", ".if x(", ".elif 1", ".else", ".endif", "global", "frontend a", "fronted b",
                " bind :80", " setenv X \"$X$X y\"", " x \"$X\"", " y \"${X[*]}\"", "frontend", " \"", "backend 'x",
            ]),
            0..40,
        ),
    ) {
        let parsed = parse(&lines.join("\n"));
        for section in &parsed.ast.sections {
            prop_assert!(section.kind().is_some());
            prop_assert!(section.lines.iter().all(|l| !l.words.is_empty()));
        }
        parsed.diags.render(&parsed.sources, false);
    }
}
