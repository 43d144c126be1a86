//! A story for programs. The schema is described in docs/explain.md; what is there stays, and more may come.

use super::{End, Story, status_of};
use crate::rules::trace::{Change, Event, Term, Test, Tried};
use serde_json::{Value, json};

/// Grows when something of the schema changes its meaning.
const VERSION: u32 = 1;

impl Story<'_> {
    /// Returns the story as one object.
    pub fn json(&self) -> Value {
        let session = &self.facts.session;
        let frontend = self.frontend();
        let backend = self.backend();
        let server = self.server().and_then(|(index, why)| {
            let server = backend.map(|backend| &backend.servers[index as usize])?;
            Some(json!({ "name": server.name, "address": self.address(index), "reason": why, "varies": self.server_varies() }))
        });
        json!({
            "version": VERSION,
            "request": {
                "head": lossy(&self.received.head),
                "source": session.source.map(|address| address.to_string()),
                "destination": session.destination.map(|address| address.to_string()),
            },
            "frontend": {
                "name": frontend.name,
                "place": self.place(frontend.span),
                "bind": self.bind(),
            },
            "steps": self.step_list(),
            "backend": backend.map(|backend| json!({
                "name": backend.name,
                "place": self.place(backend.span),
                "chosen_by": match self.choice() {
                    Some(rule) => self.place(rule.span),
                    None => "default_backend".to_owned(),
                },
            })),
            "server": server,
            "result": match self.end() {
                End::Server(_) => "server",
                End::Answer(_) => "answer",
                End::Dropped(_) => "dropped",
                End::Open => "none",
            },
            "sent": self.sent().map(|sent| json!({
                "head": lossy(&sent.head),
                "content_bytes": sent.content,
                "new": sent.lines.iter().filter(|l| l.is_new).map(|l| &l.text).collect::<Vec<_>>(),
                "removed": sent.removed.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>(),
            })),
            "answer": self.answer().map(|(bytes, len)| answer(bytes, len)),
            "not_reached": self.unreached().iter().map(|left| json!({
                "place": self.place(left.span),
                "text": self.line(left.span),
                "reason": left.why,
            })).collect::<Vec<_>>(),
            "left_out": self.left_out,
        })
    }

    fn step_list(&self) -> Vec<Value> {
        let mut proxy = String::new();
        let mut steps = Vec::new();
        for event in &self.events {
            match event {
                Event::Frontend(at) => {
                    proxy = format!("frontend {}", self.plan.frontends[*at as usize].name);
                }
                Event::Backend(at) => {
                    proxy = format!("backend {}", self.plan.backends[*at as usize].name);
                }
                Event::Rule(rule) => steps.push(self.rule_object(rule, &proxy)),
                Event::Note(text) => steps.push(json!({ "kind": "note", "text": text })),
                Event::Response(status) => {
                    steps.push(json!({ "kind": "response", "status": status }));
                }
                _ => {}
            }
        }
        steps
    }

    fn rule_object(&self, rule: &Tried, proxy: &str) -> Value {
        let text = self.line(rule.span);
        let groups = rule.groups.iter().map(|group| group.iter().map(|t| self.term(t)).collect());
        json!({
            "kind": "rule",
            "proxy": proxy,
            "place": self.place(rule.span),
            "text": text,
            "action": rule.action,
            "applies": rule.holds,
            "condition": groups.collect::<Vec<Vec<Value>>>(),
            "changes": rule.changes.iter().map(change).collect::<Vec<_>>(),
            "outcome": rule.outcome,
            "ends": rule.ends,
            "varies": self.varies(rule.span).map(|varies| varies.to_string()),
        })
    }

    fn term(&self, term: &Term) -> Value {
        json!({
            "acl": (!term.name.is_empty()).then_some(&term.name),
            "negated": term.negated,
            "holds": term.holds,
            "tests": term.tests.iter().map(|test| self.test(test)).collect::<Vec<_>>(),
        })
    }

    fn test(&self, test: &Test) -> Value {
        json!({
            "place": self.place(test.about.span),
            "expression": test.about.expression,
            "method": test.about.method,
            "patterns": test.about.patterns,
            "values": test.values.iter().map(|value| lossy(value)).collect::<Vec<_>>(),
            "matched": test.matched,
            "holds": test.holds,
            "varies": test.about.varies.map(|varies| varies.to_string()),
        })
    }
}

fn change(change: &Change) -> Value {
    json!({
        "of": change.of,
        "name": (!change.name.is_empty()).then_some(&change.name),
        "before": change.before,
        "after": change.after,
    })
}

fn answer(bytes: &[u8], len: usize) -> Value {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let (head, body) = bytes.split_at(end);
    json!({ "status": status_of(bytes), "head": lossy(head), "body": lossy(body), "bytes": len })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
