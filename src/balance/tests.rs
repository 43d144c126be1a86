//! What all algorithms have in common, and the choices of a real haproxy.

use super::*;
use crate::config::ast::FileId;
use crate::server::ServerSpec;

fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        span: Span {
            file: FileId(0),
            start: 0,
            end: text.len() as u32,
        },
        quoted: false,
    }
}

fn parse(text: &str) -> Result<Algorithm, Diagnostic> {
    let words: Vec<Word> = text
        .split(' ')
        .filter(|w| !w.is_empty())
        .map(word)
        .collect();
    Algorithm::parse(&words, Span::default())
}

fn algorithm(text: &str) -> Algorithm {
    parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.message))
}

fn specs(weights: &[u16]) -> Vec<ServerSpec> {
    weights
        .iter()
        .enumerate()
        .map(|(at, &weight)| ServerSpec {
            weight,
            ..ServerSpec::new(format!("s{}", at + 1), at as u32 + 1)
        })
        .collect()
}

fn farm(weights: &[u16]) -> Farm {
    Farm::new(specs(weights), false, 100, 0)
}

fn picks(balancer: &mut Balancer, farm: &Farm, count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| balancer.pick(farm, &Key::None, None).map_or(0, |id| id + 1))
        .collect()
}

#[test]
fn rows_are_sorted_complete_and_their_examples_parse() {
    assert!(ALGORITHMS.windows(2).all(|w| w[0].name < w[1].name));
    for row in ALGORITHMS {
        assert!(row.doc.ends_with('.'), "{}", row.name);
        let words = row.example.strip_prefix("balance ").unwrap_or("");
        assert_eq!(algorithm(words).name(), row.name);
    }
}
