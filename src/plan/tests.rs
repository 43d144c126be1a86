//! Whole configurations: what a plan holds, and what is said about files that are wrong.

use super::{LoadOptions, Mode, Plan, load};
use crate::config::ast::Sources;
use crate::config::diagnostic::{Diagnostics, Severity};
use crate::config::environment::Environment;
use crate::config::parse::parse_text;
use std::time::Duration;

/// A loaded text.
struct Case {
    plan: Option<Plan>,
    sources: Sources,
    diagnostics: Diagnostics,
}

impl Case {
    /// Returns `severity line: message` of every finding.
    fn lines(&self) -> Vec<String> {
        let place = |span| self.sources.line_column(span).0;
        self.diagnostics
            .iter()
            .map(|d| {
                let line = d.span.map_or(0, place);
                format!("{} {line}: {}", d.severity.as_str(), d.message)
            })
            .collect()
    }
}

fn case(text: &str) -> Case {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let mut environment = Environment::empty();
    let ast = parse_text("test.cfg", text, &mut environment, &mut sources, &mut diagnostics);
    let options = LoadOptions { shards: 2, ..LoadOptions::default() };
    let plan = load(&ast, &sources, &options, &mut diagnostics);
    Case { plan, sources, diagnostics }
}

/// Loads a text that must be good, warnings aside.
fn plan(text: &str) -> Plan {
    let case = case(text);
    let rendered = case.diagnostics.render(&case.sources, false);
    case.plan.unwrap_or_else(|| panic!("{rendered}"))
}

const BASE: &str = "
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 1m
frontend www
    bind 127.0.0.1:8080,127.0.0.1:8090-8092 name web
    default_backend app
backend app
    balance leastconn
    server a 127.0.0.1:8001 check weight 10
    server b 127.0.0.1:8002 check backup
listen raw
    mode tcp
    bind fd@7
    server c localhost:9000
";

#[test]
fn a_file_becomes_frontends_backends_and_farms_with_indices() {
    let plan = plan(BASE);
    let names: Vec<&str> = plan.frontends.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["www", "raw"]);
    let names: Vec<&str> = plan.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["app", "raw"]);
    assert_eq!(plan.frontends[0].default_backend, Some(0));
    assert_eq!(plan.frontends[0].binds.len(), 4);
    assert_eq!(plan.frontends[0].maxconn, 1000);
    assert_eq!(plan.frontends[0].timeouts.client, Some(Duration::from_secs(30)));
    assert_eq!(plan.frontends[1].mode, Mode::Tcp);
    assert_eq!(plan.frontends[1].default_backend, Some(1));
    assert_eq!((plan.frontends[1].backend, plan.backends[1].frontend), (Some(1), Some(1)));
    assert_eq!(plan.backends[0].balance.name(), "leastconn");
    assert_eq!(plan.farms[0].servers().len(), 2);
    assert!(plan.farms[0].servers()[1].is_backup());
    assert_eq!(plan.backend("raw"), Some(1));
    assert!(plan.listens());
}

#[test]
fn every_counted_object_has_cells_of_its_own() {
    let plan = plan(BASE);
    let mut objects: Vec<u32> = plan
        .frontends
        .iter()
        .flat_map(|f| f.binds.iter().map(|b| b.object.0).chain([f.object.0]))
        .chain(
            plan.backends
                .iter()
                .flat_map(|b| b.servers.iter().map(|s| s.object.0).chain([b.object.0])),
        )
        .collect();
    objects.sort_unstable();
    let all: Vec<u32> = (0..plan.metrics.objects() as u32).collect();
    assert_eq!(objects, all);
    assert_eq!(plan.metrics.shards(), 2);
}

#[test]
fn all_problems_of_a_file_are_reported_in_one_run() {
    let case = case(
        "frontend www\n bind 127.0.0.1:99999\n timeout client 5x\n default_backend ap\n\
         backend app\n balance leastconnection\n server a 127.0.0.1:80 weight 300\n retries x\n",
    );
    assert!(case.plan.is_none());
    let errors: Vec<usize> = case
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| d.span.map_or(0, |span| case.sources.line_column(span).0))
        .collect();
    assert_eq!(errors, [2, 3, 6, 7, 8, 4], "{:#?}", case.lines());
}

/// Every word that `config::known` calls supported has a handler here, and every handler's word is called so there.
#[test]
fn tables_and_the_vocabulary_agree() {
    use crate::config::known::{self, Support};
    use std::collections::BTreeSet;
    let ours: BTreeSet<&str> = super::proxy::TABLES
        .iter()
        .flat_map(|table| table.iter().map(|entry| entry.name))
        .chain(super::global::TABLE.iter().map(|entry| entry.name))
        .collect();
    let first = |name: &'static str| name.split(' ').next().unwrap_or(name);
    let mut wrong = Vec::new();
    let mut known_words = BTreeSet::new();
    for row in known::directives() {
        let supported = row.support == Support::Supported;
        let handled = ours.contains(row.name) || ours.contains(first(row.name));
        if supported && !handled {
            wrong.push(format!("`{}` is called supported and nothing handles it", row.name));
        }
        if supported {
            known_words.extend([row.name, first(row.name)]);
        }
    }
    for name in ours {
        if !known_words.contains(name) {
            wrong.push(format!("`{name}` is handled and not called supported"));
        }
    }
    let options = [
        (known::bind_options().collect::<Vec<_>>(), super::bind::all_params()),
        (
            known::server_options().collect(),
            super::server_line::PARAMS.iter().map(|e| e.name).collect(),
        ),
    ];
    for (rows, ours) in options {
        let theirs: BTreeSet<&str> =
            rows.iter().filter(|r| r.support == Support::Supported).map(|r| r.name).collect();
        let ours: BTreeSet<&str> = ours.into_iter().collect();
        wrong.extend(theirs.symmetric_difference(&ours).map(|name| format!("option `{name}`")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
