//! Every table is sorted, its rows are complete, and their examples compile.

use crate::config::ast::{Span, Word};
use crate::rules::fetch::Scope;
use crate::rules::sample::Expression;
use crate::rules::testing::Proxy;
use crate::rules::{Position, action, convert, fetch, known, log_format, tables};

fn is_sentence(text: &str) -> bool {
    text.starts_with(|c: char| c.is_uppercase()) && text.ends_with('.') && text.contains(' ')
}

#[test]
fn tables_are_sorted_and_their_docs_are_sentences() {
    for (title, rows) in tables() {
        assert!(!rows.is_empty(), "{title}");
        for row in &rows {
            assert!(is_sentence(row.doc), "{title}: {}: {}", row.name, row.doc);
        }
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(names.len(), unique.len(), "{title}: a name stands there twice");
    }
    let sorted = |names: Vec<&str>| assert!(names.is_sorted(), "{names:?}");
    fetch::TABLES.iter().for_each(|table| sorted(table.iter().map(|row| row.name).collect()));
    convert::TABLES.iter().for_each(|table| sorted(table.iter().map(|row| row.name).collect()));
    action::TABLES.iter().for_each(|table| sorted(table.iter().map(|row| row.name).collect()));
    sorted(log_format::tag::TABLE.iter().map(|row| row.name).collect());
    for list in [known::FETCHES, known::CONVERTERS, known::ACTIONS, known::ACLS] {
        sorted(list.to_vec());
    }
}

#[test]
fn a_word_is_either_supported_or_known_to_be_missing() {
    let both = |known: &[&'static str], names: Vec<&'static str>| -> Vec<&'static str> {
        names.into_iter().filter(|name| known.contains(name)).collect()
    };
    let none: Vec<&str> = Vec::new();
    assert_eq!(both(known::FETCHES, fetch::names().collect()), none);
    assert_eq!(both(known::CONVERTERS, convert::names().collect()), none);
    let actions = action::TABLES.iter().flat_map(|table| table.iter().map(|row| row.name));
    assert_eq!(both(known::ACTIONS, actions.collect()), none);
}

#[test]
fn the_example_of_every_fetch_compiles_where_it_may_be_used() {
    for row in fetch::TABLES.iter().flat_map(|table| table.iter()) {
        let position = match row.build.scope {
            Scope::Content => Position::Content,
            Scope::ResponseContent => Position::ResponseContent,
            _ => Position::Log,
        };
        let mut proxy = Proxy::at(position);
        proxy.http = position == Position::Log;
        proxy.backend = Some(0);
        assert!(proxy.expression(row.example).is_some(), "{}: {}", row.name, proxy.take());
        assert!(row.example.starts_with(row.name), "{}", row.name);
    }
}

#[test]
fn the_example_of_every_converter_compiles() {
    for row in convert::TABLES.iter().flat_map(|table| table.iter()) {
        let mut proxy = Proxy::new();
        assert!(proxy.expression(row.example).is_some(), "{}: {}", row.name, proxy.take());
        assert!(row.example.contains(row.name), "{}", row.name);
    }
}

#[test]
fn the_example_of_every_action_compiles() {
    for row in action::TABLES.iter().flat_map(|table| table.iter()) {
        let mut proxy = Proxy::new();
        let rules = proxy.rules(row.example);
        let said = proxy.take();
        assert!(said.is_empty() || said.starts_with("notice"), "{said}");
        assert_eq!(rules.len(), 1, "{}", row.name);
        assert_eq!(rules[0].name, row.name);
    }
}

#[test]
fn the_example_of_every_tag_compiles() {
    for row in log_format::tag::TABLE {
        let mut proxy = Proxy::at(Position::Log);
        assert!(proxy.format(row.example).is_some(), "{}", row.name);
        proxy.clean();
    }
}

#[test]
fn every_predefined_acl_compiles_without_a_word() {
    let (_, rows) = tables().into_iter().find(|(title, _)| *title == "Predefined ACLs").unwrap();
    for row in rows {
        // All of them make sense where the client's bytes are looked at.
        let mut proxy = Proxy { http: false, ..Proxy::at(Position::Content) };
        let condition = proxy.condition(&format!("if {}", row.name));
        let findings = proxy.take();
        assert!(condition.is_some() && findings.is_empty(), "{}: {findings}", row.name);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_expression_parser_panic(text in "[a-z_.(),'\"\\\\0-9\u{e9} -]{0,40}", garbage in ".{0,30}") {
        for text in [text, garbage] {
            let word = Word { text, span: Span::default(), quoted: false };
            let mut proxy = Proxy::new();
            proxy.with("http-request x", |_, _, compiler| {
                let _ = Expression::parse(&word, compiler);
                let _ = log_format::LogFormat::parse(&word.text, word.span, compiler);
                let _ = log_format::LogFormat::parse(&format!("%[{}] %", word.text), word.span, compiler);
            });
        }
    }

    #[test]
    fn no_words_make_the_condition_parser_panic(text in "(if |unless )?([{}!|a-z_/ ()-]|path_beg |or |-m |reg |TRUE ){0,20}") {
        let mut proxy = Proxy::new();
        let _ = proxy.condition(&text);
        proxy.acls(&format!("acl {text}"));
        proxy.rules(&format!("http-request {text}"));
    }
}
