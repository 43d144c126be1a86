//! What holds for every row of the table, and how lines become commands.

use super::*;

#[test]
fn rows_are_sorted_and_their_help_is_sentences() {
    assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    for row in COMMANDS {
        assert!(row.doc.ends_with('.'), "{}: {}", row.name, row.doc);
        assert!(row.doc.starts_with(char::is_uppercase), "{}: {}", row.name, row.doc);
    }
}

#[test]
fn every_example_calls_its_own_row() {
    for row in COMMANDS {
        let words = split(row.example).remove(0);
        let (found, _) = find(&words).expect(row.name);
        assert_eq!(found.name, row.name);
    }
}

#[test]
fn the_longest_name_wins() {
    let words = split("set server app/s1 state maint").remove(0);
    let (row, named) = find(&words).expect("a command");
    assert_eq!((row.name, named), ("set server", 2));
    assert!(find(&split("set").remove(0)).is_none());
    assert!(find(&split("").remove(0)).is_none());
}

#[test]
fn semicolons_separate_commands_and_a_backslash_takes_what_follows() {
    assert_eq!(split("a b;c"), [vec!["a", "b"], vec!["c"]]);
    assert_eq!(split(r"a\;b c\ d \\"), [vec!["a;b", "c d", r"\"]]);
    assert_eq!(split("a;"), [vec!["a"]]);
    assert_eq!(split(" a ;; b "), [vec!["a"], vec![], vec!["b"]]);
}

#[test]
fn a_payload_is_announced_by_the_last_word() {
    let mut words = split("set x <<").remove(0);
    assert_eq!(take_payload_mark(&mut words).as_deref(), Some(""));
    assert_eq!(words, ["set", "x"]);
    let mut words = split("set x <<EOF").remove(0);
    assert_eq!(take_payload_mark(&mut words).as_deref(), Some("EOF"));
    let mut words = split("set x").remove(0);
    assert_eq!(take_payload_mark(&mut words), None);
}

#[test]
fn words_that_are_no_command_get_what_is_like_them_or_everything() {
    let near = session::unknown(&split("show inf").remove(0), StatsLevel::User);
    assert!(near.contains("better match:\n  show info"), "{near}");
    let all = session::unknown(&split("zzz").remove(0), StatsLevel::User);
    assert!(all.starts_with("Unknown command. Please enter"), "{all}");
    assert!(!all.contains("disable server"), "a user may not call it: {all}");
}
