//! Each expectation about words was asked of haproxy 2.6.

use proptest::prelude::*;

use super::*;
use crate::config::diagnostic::Severity;

fn env() -> Environment {
    let mut env = Environment::empty();
    env.set("A", "hello");
    env.set("B", "two  words here");
    env.set("E", "");
    env
}

fn lex(text: &str) -> (Lexed, Diagnostics) {
    let env = env();
    let mut diags = Diagnostics::default();
    let input = Input { file: FileId(0), text, start: 0, end: text.len() };
    let scope = Scope { env: &env, file_name: "lb.cfg", line_number: 7, section: "www" };
    let lexed = lex_line(input, scope, &mut diags);
    (lexed, diags)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (lexed, diags) = lex(text);
    let words: Vec<&str> = lexed.words.iter().map(Word::as_str).collect();
    assert!(!lexed.broken && diags.is_empty(), "{text}: {diags:?}");
    assert_eq!(words, expected, "{text}");
}

/// Checks that a line is broken and that the text under the caret is `under`.
#[track_caller]
fn check_error(text: &str, under: &str, message: &str) {
    let (lexed, diags) = lex(text);
    assert!(lexed.broken, "{text}: {:?}", lexed.words);
    let errors: Vec<&Diagnostic> = diags.iter().collect();
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    assert!(errors[0].message.contains(message), "{text}: {}", errors[0].message);
    let span = errors[0].span.expect("lexer errors have a place");
    assert_eq!(&text[span.start as usize..span.end as usize], under, "{text}");
}

#[test]
fn blanks_separate_and_hashes_end() {
    check("", &[]);
    check("  \t # all comment", &[]);
    check("global#comment", &["global"]);
    check("\tmode   http # or tcp\r", &["mode", "http"]);
    check("a b\x0bc\x0cd", &["a", "b", "c", "d"]);
}

#[test]
fn manual_section_2_2_equivalent_lines_are_equal() {
    let expected = &["log-format", "%{+Q}o %t %s %{-Q}r"];
    check(r"log-format %{+Q}o\ %t\ %s\ %{-Q}r", expected);
    check(r#"log-format "%{+Q}o %t %s %{-Q}r""#, expected);
    check("log-format '%{+Q}o %t %s %{-Q}r'", expected);
    check(r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#, expected);
    check(r#"log-format "%{+Q}o %t"' %s'\ %{-Q}r"#, expected);
}

#[test]
fn escapes_outside_quotes() {
    check(r#"a\ b\#c\\d\'e\"f"#, &[r#"a b#c\d'e"f"#]);
    check(r"a\nb\rc\td\x41", &["a\nb\rc\tdA"]);
    check(r"a\q", &[r"a\q"]);
    check(r"\$A", &[r"\$A"]);
    check("a\\\tb", &["a\\", "b"]);
    check(r"\xc3\xa9", &["é"]);
}

#[test]
fn escapes_inside_weak_quotes() {
    check(r#""a\ b\'c\#d\"e\\f\$A""#, &[r#"a b'c#d"e\f$A"#]);
    check(r#""a\tb\x41\q""#, &["a\tbA\\q"]);
}

#[test]
fn strong_quotes_keep_everything() {
    check(r#"'a\x41 "$A" # \'"#, &[r#"a\x41 "$A" # \"#]);
    check("a'b c'd", &["ab cd"]);
}

#[test]
fn variables_expand_only_in_weak_quotes() {
    check("$A ${A} '$A'", &["$A", "${A}", "$A"]);
    check(r#""$A" "${A}_b" "x$A-y""#, &["hello", "hello_b", "xhello-y"]);
    check(r#""$.LINE" "${.FILE}" "${.SECTION}""#, &["7", "lb.cfg", "www"]);
    check(r#""$A_b""#, &[""]);
}

#[test]
fn defaults_stand_in_for_unset_variables_only() {
    check(r#""${A-def}" "${A-}""#, &["hello", "hello"]);
    check(r#""${NOPE-def ault}" "${NOPE-}x""#, &["def ault", "x"]);
    check(r#""${NOPE-de}f}""#, &["def}"]);
    check(r#""${NOPE-$A\x41}""#, &[r"$A\x41"]);
    check(r#""${NOPE-"x"}""#, &[r#""x""#]);
    check(r#""${NOPE-a b[*]}""#, &["a b[*]"]);
    check(r#""${E-def}""#, &[""]);
}

#[test]
fn star_splits_a_value_into_words() {
    check(r#"x "${B[*]}" y"#, &["x", "two", "words", "here", "y"]);
    check(r#""x${B[*]}y""#, &["xtwo", "words", "herey"]);
    check(r#""${A}${B[*]}""#, &["hellotwo", "words", "here"]);
    check(r#"x "${NOPE[*]}" "${E[*]}" y"#, &["x", "y"]);
}

#[test]
fn words_know_their_place_and_whether_they_were_quoted() {
    let text = r#"  acl x "a b"c { \} $"#;
    let (lexed, _) = lex(text);
    let places: Vec<(&str, bool)> = lexed
        .words
        .iter()
        .map(|w| (&text[w.span.start as usize..w.span.end as usize], w.quoted))
        .collect();
    assert_eq!(
        places,
        [
            ("acl", false),
            ("x", false),
            (r#""a b"c"#, true),
            ("{", false),
            (r"\}", false),
            ("$", false),
        ]
    );
}

#[test]
fn mistakes_point_at_the_character() {
    check_error(r#"setenv X "a"#, "\"", "never closed");
    check_error("setenv X 'a", "'", "never closed");
    check_error(r"setenv X a\xZZ", r"\x", "hexadecimal");
    check_error(r"setenv X a\x4", r"\x", "hexadecimal");
    check_error(r#"setenv X "a\x4""#, r"\x", "hexadecimal");
    check_error(r"setenv X a\x00b", r"\x00", "cannot stand");
    check_error(r"setenv X a\xffb", r"\xff", "not UTF-8");
    check_error(r#"setenv X "${A""#, "${A", "unmatched brace");
    check_error(r#"setenv X "${A:-x}""#, "${A", "unmatched brace");
    check_error(r#"setenv X "${A [*]}""#, "${A", "unmatched brace");
    check_error(r#"setenv X "${A-x""#, "${A", "unmatched brace");
    check_error(r#"setenv X "$1""#, "$1", "begins with a letter");
    check_error(r#"setenv X "a$""#, "$\"", "begins with a letter");
    check_error(r#"setenv X "${}""#, "${", "without a name");
    check_error(r#"setenv X "$.A""#, "$.A", "pseudo-variable");
    check_error("a\0b", "\0", "NUL");
    check_error("'a\0b'", "\0", "NUL");
    check_error("a\rb", "\r", "carriage return");
}

#[test]
fn a_broken_line_keeps_the_words_before_the_mistake() {
    let (lexed, _) = lex("frontend \"www");
    assert!(lexed.broken);
    let words: Vec<&str> = lexed.words.iter().map(Word::as_str).collect();
    assert_eq!(words, ["frontend", "www"]);
}

#[test]
fn a_backslash_at_the_end_is_kept_and_warned_about() {
    for text in ["bind :80 \\", "bind :80 \\\r"] {
        let (lexed, diags) = lex(text);
        assert_eq!(lexed.words[2].text, "\\");
        assert_eq!(diags.count(Severity::Warning), 1, "{text:?}");
        assert!(!diags.has_errors());
    }
    check(r"bind :80 a\\", &["bind", ":80", "a\\"]);
    check("bind :80 a\\ ", &["bind", ":80", "a "]);
}

#[test]
fn characters_from_web_pages_are_pointed_out() {
    let (_, diags) = lex("bind\u{a0}:80 \u{201c}x\u{201d}");
    assert_eq!(diags.count(Severity::Warning), 1);
    check("'bind\u{a0}:80' é", &["bind\u{a0}:80", "é"]);
}

#[test]
fn lines_are_bounded() {
    let (lexed, diags) = lex(&"a ".repeat(WORDS_MAX + 1));
    assert!(lexed.broken && diags.has_errors());
    let (lexed, _) = lex(&"a".repeat(LINE_BYTES_MAX + 1));
    assert!(lexed.broken);
    let mut env = env();
    env.set("BIG", "x".repeat(LINE_BYTES_MAX / 2));
    let text = r#""$BIG$BIG$BIG""#;
    let input = Input { file: FileId(0), text, start: 0, end: text.len() };
    let scope = Scope { env: &env, file_name: "", line_number: 1, section: "" };
    let mut diags = Diagnostics::default();
    assert!(lex_line(input, scope, &mut diags).broken);
}

/// Writes a text as one word that stands for it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

proptest! {
    #[test]
    fn any_text_gives_words_in_range_and_no_panic(text in "[a-z\"'\\\\$ {}\\[*\\]#é\u{a0}\\-x0-9.\\r\\t]{0,40}") {
        let (lexed, diags) = lex(&text);
        let spans = lexed.words.iter().map(|w| w.span).chain(diags.iter().filter_map(|d| d.span));
        for span in spans {
            prop_assert!(span.start <= span.end && span.end as usize <= text.len());
            prop_assert!(text.is_char_boundary(span.start as usize));
            prop_assert!(text.is_char_boundary(span.end as usize));
        }
        prop_assert_eq!(lexed.broken, diags.has_errors());
    }

    #[test]
    fn a_words_place_reads_as_that_word_again(text in "[a-z\"'\\\\# é{}]{0,40}") {
        let (lexed, _) = lex(&text);
        prop_assume!(!lexed.broken);
        for word in &lexed.words {
            let written = &text[word.span.start as usize..word.span.end as usize];
            let (again, _) = lex(written);
            prop_assert_eq!(again.words.len(), 1);
            prop_assert_eq!(&again.words[0].text, &word.text);
        }
    }

    #[test]
    fn quoted_words_read_back(words in prop::collection::vec("[^\0]{1,12}", 1..5)) {
        let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
        let (lexed, diags) = lex(&line);
        prop_assert!(diags.is_empty(), "{:?}", diags);
        let read: Vec<String> = lexed.words.into_iter().map(|w| w.text).collect();
        prop_assert_eq!(read, words);
    }
}
