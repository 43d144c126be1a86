//! Runs of rules that all begin with the same test: one look-up says which of them can hold.
//!
//! A thousand `use_backend … if { hdr(host) -i … }` in a row would look for the same header a thousand times. Rules whose
//! conditions begin with the same expression, compared in the same way with texts, are linked to one [`Run`] when all is
//! compiled. Whoever walks over rules asks [`Run::next`] where to go on; rules between here and there cannot hold. A rule
//! that can is evaluated as always, so order and effects are those of the file. Only tests that nobody can see being left
//! out count: expressions that read, and the first test of a condition, before which nothing is evaluated.

use super::{Acl, Condition};
use crate::rules::context::Context;
use crate::rules::pattern::{Method, Table, hash, lowered};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many rules in a row make a run: fewer are compared sooner than looked up.
const RULES_MIN: usize = 4;

/// A pattern and the rules that it stands in, in order.
type Patterns = (Box<[u8]>, Box<[u32]>);

/// Rules in a row whose conditions begin with the same test.
#[derive(Debug)]
pub struct Run {
    /// The test of the first of them, whose expression is that of all.
    acl: Arc<Acl>,
    method: Method,
    ignore_case: bool,
    /// The rule behind the last one.
    end: usize,
    /// In lower case if case is ignored.
    keys: Box<[Patterns]>,
    table: Table,
    /// Lengths of the patterns, for those that match beginnings or ends.
    lengths: Box<[usize]>,
}

/// What rules of a run have in common, and the patterns of one.
struct Key<'c> {
    acl: &'c Arc<Acl>,
    expression: &'c str,
    method: Method,
    ignore_case: bool,
    patterns: Vec<&'c str>,
}

impl Key<'_> {
    fn joins(&self, other: &Key<'_>) -> bool {
        (self.expression, self.method, self.ignore_case)
            == (other.expression, other.method, other.ignore_case)
    }
}

/// Returns what the condition begins with, if that can be looked up.
fn key(condition: &Condition) -> Option<Key<'_>> {
    let [group] = &*condition.groups else { return None };
    let term = group.first().filter(|term| !term.negated && !condition.unless)?;
    let mut key: Option<Key<'_>> = None;
    for test in term.acl.tests() {
        let known = matches!(test.method, Method::Str | Method::Beg | Method::End);
        if test.from_file || !known || !test.expression.only_reads() {
            return None;
        }
        let (expression, method) = (test.expression.text(), test.method);
        for written in &test.written {
            let ignore_case = written.ignore_case;
            let key = key.get_or_insert(Key {
                acl: &term.acl,
                expression,
                method,
                ignore_case,
                patterns: Vec::new(),
            });
            if (key.expression, key.method, key.ignore_case) != (expression, method, ignore_case) {
                return None;
            }
            key.patterns.push(&written.text);
        }
        if test.written.is_empty() {
            return None;
        }
    }
    key.filter(|key| key.patterns.iter().all(|pattern| !pattern.is_empty()))
}

/// Returns for each condition the run that it belongs to, if any.
pub fn runs<'c>(conditions: impl Iterator<Item = Option<&'c Condition>>) -> Vec<Option<Arc<Run>>> {
    let keys: Vec<Option<Key<'_>>> = conditions.map(|condition| key(condition?)).collect();
    let mut runs = Vec::with_capacity(keys.len());
    while let Some(first) = keys.get(runs.len()) {
        let start = runs.len();
        let Some(first) = first else {
            runs.push(None);
            continue;
        };
        let same = |key: &&Option<Key<'_>>| key.as_ref().is_some_and(|key| key.joins(first));
        let count = keys[start..].iter().take_while(same).count();
        let run =
            (count >= RULES_MIN).then(|| Arc::new(run(first, start, &keys[start..start + count])));
        runs.extend(std::iter::repeat_n(run, count));
    }
    runs
}

fn run(first: &Key<'_>, start: usize, keys: &[Option<Key<'_>>]) -> Run {
    let mut rules: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        for pattern in key.iter().flat_map(|key| &key.patterns) {
            let mut text = pattern.as_bytes().to_vec();
            if first.ignore_case {
                text.make_ascii_lowercase();
            }
            let rules = rules.entry(text).or_default();
            if rules.last() != Some(&((start + at) as u32)) {
                rules.push((start + at) as u32);
            }
        }
    }
    let mut lengths: Vec<usize> = match first.method {
        Method::Str => Vec::new(),
        _ => rules.keys().map(Vec::len).collect(),
    };
    lengths.sort_unstable();
    lengths.dedup();
    let keys_of: Box<[Patterns]> =
        rules.into_iter().map(|(text, rules)| (text.into(), rules.into())).collect();
    let table = Table::new(keys_of.len() as u32, |at| Some(hash(&keys_of[at as usize].0)));
    Run {
        acl: first.acl.clone(),
        method: first.method,
        ignore_case: first.ignore_case,
        end: start + keys.len(),
        keys: keys_of,
        table,
        lengths: lengths.into(),
    }
}

impl Run {
    /// Returns the rule behind the last one.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Returns the first rule from `from` on that may hold, or the one behind the run: those before it do not.
    pub fn next(&self, from: usize, cx: &Context<'_>) -> usize {
        let mut next = self.end;
        let Some(test) = self.acl.tests().next() else { return from };
        test.expression.any(cx, &mut |value| {
            value.with_text(|text| match self.ignore_case {
                false => self.look(text, from, &mut next),
                true => lowered(text, |text| self.look(text, from, &mut next)),
            });
            // Another occurrence may lead to an earlier rule.
            next == from
        });
        next
    }

    fn look(&self, text: &[u8], from: usize, next: &mut usize) {
        let mut find = |text: &[u8]| {
            let found = self.table.find(hash(text), |at| *self.keys[at as usize].0 == *text);
            let Some(at) = found else { return };
            let rules = &self.keys[at as usize].1;
            let behind = rules.partition_point(|rule| (*rule as usize) < from);
            if let Some(rule) = rules.get(behind) {
                *next = (*next).min(*rule as usize);
            }
        };
        match self.method {
            Method::Beg => self.lengths.iter().map_while(|len| text.get(..*len)).for_each(find),
            Method::End => {
                let tails = self.lengths.iter().map_while(|len| text.len().checked_sub(*len));
                tails.for_each(|at| find(&text[at..]));
            }
            _ => find(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::condition::Condition;
    use crate::rules::testing::{Proxy, Stream};
    use proptest::prelude::*;

    fn conditions(texts: &[String]) -> Vec<Option<Condition>> {
        let mut proxy = Proxy::new();
        proxy.acls("acl two hdr(host) -i x.test\nacl two hdr(host) -i Y.test");
        texts.iter().map(|text| proxy.condition(text)).collect()
    }

    /// Returns the rules that hold, in the order in which a walk with and without runs finds them.
    fn walks(
        conditions: &[Option<Condition>],
        stream: &mut Stream,
    ) -> (Vec<usize>, Vec<usize>, usize) {
        let runs = super::runs(conditions.iter().map(Option::as_ref));
        let cx = stream.cx();
        let holds = |at: &usize| conditions[*at].as_ref().is_none_or(|c| c.holds(&cx));
        let (mut at, mut found, mut looked) = (0, Vec::new(), 0);
        while at < conditions.len() {
            if let Some(run) = &runs[at] {
                at = run.next(at, &cx);
                if at >= run.end() {
                    continue;
                }
            }
            looked += 1;
            if holds(&at) {
                found.push(at);
            }
            at += 1;
        }
        (found, (0..conditions.len()).filter(holds).collect(), looked)
    }

    #[test]
    fn rules_with_the_same_first_test_are_found_by_one_look_up() {
        let mut texts: Vec<String> =
            (0..100).map(|n| format!("if {{ hdr(host) -i h{n}.test }} {{ path /{n} }}")).collect();
        texts.push("if two".to_owned());
        texts.push("if { path_beg /50 }".to_owned());
        texts.push("if { hdr(host) -i h50.test other }".to_owned());
        let conditions = conditions(&texts);
        let mut stream = Stream::of("GET /50\nhost: H50.test");
        let (found, expected, looked) = walks(&conditions, &mut stream);
        assert_eq!(found, expected);
        assert_eq!(expected, [50, 101, 102]);
        assert_eq!(looked, 3, "the run of 101, and the two behind it");
        let mut stream = Stream::of("GET /\nhost: y.TEST");
        let (found, expected, _) = walks(&conditions, &mut stream);
        assert_eq!((found, expected), (vec![100], vec![100]));
    }

    proptest! {
        #[test]
        fn a_walk_with_runs_finds_what_a_walk_without_them_finds(
            rules in proptest::collection::vec((0usize..9, "[aAb/]{1,3}", "[aAb/]{1,3}"), 1..30),
            path in "/[abA/]{0,5}",
            host in "[abA]{1,4}(, ?[abA]{1,3})?",
        ) {
            let texts: Vec<String> = rules.iter().map(|(kind, one, other)| match kind {
                0..3 => format!("if {{ path_beg {one} {other} }}"),
                3 => format!("if {{ path_end {one} }} {{ hdr(host) -m found }}"),
                4 => format!("if {{ hdr(host) -i {one} }}"),
                5 => format!("if {{ hdr(host) {one} }} || {{ path {other} }}"),
                6 => format!("unless {{ path_beg {one} }}"),
                7 => format!("if !{{ path_beg {one} }}"),
                _ => format!("if {{ path,lower -m end {one} }} {{ path_beg {other} }}"),
            }).collect();
            let conditions = conditions(&texts);
            let mut stream = Stream::of(&format!("GET {path}\nhost: {host}"));
            let (found, expected, _) = walks(&conditions, &mut stream);
            prop_assert_eq!(found, expected);
        }
    }
}
