//! What became of one request and why: the events that rules and runtime recorded, told with places, names and texts.
//!
//! A [`Story`] is made of the events of a `Recorder`, in the process that runs the request or in one that only explains
//! it. It says what happened, as text ([`Story::text`]) or as JSON ([`Story::json`], described in docs/explain.md), and
//! which rules were never reached: those whose places stand in the outline of the frontend or of the backend that was
//! chosen, and in no event. It evaluates nothing and prints nothing.

mod json;
mod sent;
#[cfg(test)]
mod tests;
mod text;

use super::{Backend, Frontend, Plan};
use crate::config::ast::Span;
use crate::rules::context::SessionInfo;
use crate::rules::trace::{self, Event, Received, Recorder, Tried, Varies};
pub use sent::{Line, Sent};
use std::net::SocketAddr;

/// What is known of the stream besides its events.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client's connection.
    pub session: SessionInfo,
    /// Where the server is that was connected to.
    pub server_address: Option<SocketAddr>,
    /// Whether no traffic was there that a choice could depend on.
    pub rehearsed: bool,
}

/// What became of one request.
pub struct Story<'p> {
    plan: &'p Plan,
    facts: Facts,
    received: Received,
    events: Vec<Event>,
    /// Events that there was no room for.
    left_out: u32,
}

/// A rule that was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Where it stands.
    pub span: Span,
    /// Why it was not reached.
    pub why: String,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was sent to the server of that index.
    Server(u32),
    /// The proxy answered it with that status.
    Answer(u16),
    /// The connection ended without an answer.
    Dropped(&'static str),
    /// Nothing of it was recorded.
    Open,
}

impl<'p> Story<'p> {
    /// Returns the story that a recorder has heard.
    pub fn new(plan: &'p Plan, facts: Facts, recorder: &Recorder) -> Self {
        let received = recorder.received();
        let (events, left_out) = recorder.take();
        Self { plan, facts, received, events, left_out }
    }

    fn frontend(&self) -> &'p Frontend {
        &self.plan.frontends[self.facts.session.frontend as usize]
    }

    /// Returns the backend that took the request.
    pub fn backend(&self) -> Option<&'p Backend> {
        self.plan.backends.get(self.backend_index()?)
    }

    fn backend_index(&self) -> Option<usize> {
        self.events.iter().find_map(|event| match event {
            Event::Backend(index) => Some(*index as usize),
            _ => None,
        })
    }

    /// Returns where the server of that index was connected to, or where the configuration says that it is.
    fn address(&self, server: u32) -> String {
        let written = || {
            let farm = self.plan.farms.get(self.backend_index()?)?;
            Some(farm.server(server as usize).spec().address.clone())
        };
        let connected = self.facts.server_address.map(|address| address.to_string());
        connected.or_else(written).unwrap_or_default()
    }

    /// Returns the index of the server that was chosen last, and why.
    pub fn server(&self) -> Option<(u32, &str)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Server(index, why) => Some((*index, why.as_str())),
            _ => None,
        })
    }

    /// Says whether the server could be another one in a process with traffic.
    fn server_varies(&self) -> Option<&'static str> {
        let (_, why) = self.server()?;
        let by_turn = ["first: ", "leastconn: ", "random: ", "roundrobin: ", "static-rr: "];
        let turn = by_turn.iter().find_map(|name| why.strip_prefix(name));
        // One server that is alone stays so.
        let varies = self.facts.rehearsed && turn.is_some_and(|why| !why.starts_with("the only"));
        varies.then_some("with traffic another one may be chosen")
    }

    /// Returns why what a rule does varies, by the fetches in its line before the condition.
    fn varies(&self, span: Span) -> Option<Varies> {
        let line = self.line(span);
        let ends = [" if ", " unless "].map(|word| line.find(word).unwrap_or(line.len()));
        trace::of_text(&line[..ends[0].min(ends[1])])
    }

    /// Returns the rule that chose the backend; none when that was `default_backend`.
    fn choice(&self) -> Option<&Tried> {
        self.rules().find(|rule| rule.ends && rule.action == "use_backend")
    }

    fn rules(&self) -> impl DoubleEndedIterator<Item = &Tried> {
        self.events.iter().filter_map(|event| match event {
            Event::Rule(rule) => Some(&**rule),
            _ => None,
        })
    }

    /// Returns how it ended.
    pub fn end(&self) -> End {
        let mut end = End::Open;
        for event in &self.events {
            match event {
                Event::Server(index, _) if end == End::Open => end = End::Server(*index),
                Event::Answer(bytes, _) => end = End::Answer(status_of(bytes)),
                Event::Dropped(how) => end = End::Dropped(how),
                _ => {}
            }
        }
        end
    }

    /// Returns the head that was sent to the server last.
    pub fn sent(&self) -> Option<Sent> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Request(head, content) => Some(Sent::new(head, *content, &self.received)),
            _ => None,
        })
    }

    /// Returns the first bytes of what the proxy answered, and how many there were.
    pub fn answer(&self) -> Option<(&[u8], usize)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Answer(bytes, len) => Some((bytes.as_slice(), *len)),
            _ => None,
        })
    }

    /// Returns the rules of the frontend, then of the backend that was chosen, which were not reached.
    pub fn unreached(&self) -> Vec<Unreached> {
        let front = &self.frontend().outline;
        // Both halves of a `listen` section have the same rules, and they run once.
        let back = self.backend().map_or(&[][..], |backend| &backend.outline);
        let back = back.iter().filter(|span| !front.contains(span));
        let tried = |span: &Span| self.rules().any(|rule| rule.span == *span);
        let left = front.iter().chain(back).filter(|span| !tried(span));
        left.map(|span| Unreached { span: *span, why: self.why_not(*span) }).collect()
    }

    /// Says why a rule was not reached.
    fn why_not(&self, span: Span) -> String {
        let kind = self.kind(span);
        let last = |rule: &&Tried| rule.ends;
        if let Some(ender) =
            self.rules().filter(last).find(|rule| same_list(self.kind(rule.span), kind))
        {
            return format!("the list ended at {}", self.place(ender.span));
        }
        let answered = self.events.iter().any(|event| matches!(event, Event::Response(_)));
        if kind.contains("response") {
            let own = kind.starts_with("http-after") && self.answer().is_some();
            return match (answered || own, self.end()) {
                (true, _) => "the response went another way".to_owned(),
                (false, End::Server(_)) => "runs on the server's response".to_owned(),
                (false, _) => "no server was asked".to_owned(),
            };
        }
        if let Some(ender) =
            self.rules().rev().find(|rule| rule.ends && rule.action != "use_backend")
        {
            return format!("the request went no further than {}", self.place(ender.span));
        }
        match kind {
            "use-server" => "the server was known already, or none was wanted".to_owned(),
            "monitor fail" => "runs on requests for `monitor-uri` only".to_owned(),
            _ => "the request went no further".to_owned(),
        }
    }

    /// Returns which list the rule at that place belongs to, as its line begins.
    fn kind(&self, span: Span) -> &'p str {
        let line = self.plan.sources.text(span).trim_start();
        let mut ends = line.match_indices([' ', '\t']).map(|(at, _)| at);
        let first = ends.next().unwrap_or(line.len());
        match &line[..first] {
            "tcp-request" | "tcp-response" | "monitor" => {
                let rest = line[first..].trim_start();
                let second = rest.find([' ', '\t']).unwrap_or(rest.len());
                let start = line.len() - rest.len();
                &line[..start + second]
            }
            word => word,
        }
    }

    /// Returns `file:line` of a rule.
    fn place(&self, span: Span) -> String {
        self.plan.sources.place(span)
    }

    /// Returns a rule as it was written, on one line.
    fn line(&self, span: Span) -> String {
        let words = self.plan.sources.text(span).split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    }

    fn bind(&self) -> String {
        let binds = &self.frontend().binds;
        let bind = binds.get(self.facts.session.bind as usize);
        bind.map(|bind| bind.name.clone()).unwrap_or_default()
    }
}

/// Returns whether a list that ends keeps the other from being run: `redirect` rules stand behind `http-request`.
fn same_list(ended: &str, other: &str) -> bool {
    ended == other || (ended == "http-request" && other == "redirect")
}

/// Returns the status in the first line of an answer; 0 when there is none.
fn status_of(answer: &[u8]) -> u16 {
    let words = answer.split(|byte| *byte == b' ').nth(1);
    words.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok()).unwrap_or(0)
}
