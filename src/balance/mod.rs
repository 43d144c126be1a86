//! Choosing a server for a stream: the algorithms of `balance`, one file and one table row each.
//!
//! Each shard has its own [`Balancer`] per backend. It keeps what its algorithm needs about the servers that are in
//! service, rebuilds that when [`Farm::epoch`] moved, and reads nothing else that is shared unless the algorithm
//! compares loads or a server has a `maxconn`. It takes no slot: the caller does, by [`Farm::try_acquire`].
//!
//! To add an algorithm, write a file with a type that implements [`Pick`] and add a row to [`ALGORITHMS`].

mod first;
mod least_conn;
mod map;
mod random;
mod round_robin;
mod source;
mod static_rr;

use crate::config::ast::Word;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{self, Keyword};
use crate::server::{Farm, ServerId};
use std::net::IpAddr;

/// What a stream offers to choose by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Nothing; algorithms that need a key take turns instead.
    #[default]
    None,
    /// The client's address.
    Address(IpAddr),
}

/// What one algorithm does; `Send` because a shard may build it on one thread and run it on another.
pub trait Pick: Send + std::fmt::Debug {
    /// Takes the servers that are in service now (indices in the order of declaration), after a change.
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]);

    /// Chooses among them, never `avoid` while there is another choice, and never a full server when the algorithm
    /// is free to choose; none when every choice is full or there is none.
    fn pick(&mut self, farm: &Farm, key: &Key, avoid: Option<ServerId>) -> Option<ServerId>;

    /// Says why that server was just chosen, before it has taken the stream, for explanations.
    fn why(&self, farm: &Farm, key: &Key, picked: ServerId) -> String;
}

/// The behaviour of one row of [`ALGORITHMS`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The default of the number in parentheses, or none when the algorithm takes no number.
    pub number: Option<u32>,
    /// Whether a weight other than 0 and the configured one may be set at run time.
    pub dynamic: bool,
    /// Whether the key of a request decides, and not whose turn it is.
    pub keyed: bool,
    /// Returns the chooser of that shard.
    pub make: fn(number: u32, shard: usize) -> Box<dyn Pick>,
}

/// Every algorithm, sorted by name.
pub const ALGORITHMS: &[Keyword<Row>] =
    &[first::ROW, least_conn::ROW, random::ROW, round_robin::ROW, source::ROW, static_rr::ROW];

/// What HAProxy has and fastlb has not yet.
const NOT_YET: &[&str] = &["hash", "hdr", "rdp-cookie", "sticky", "uri", "url_param"];

/// Bounds the work of one pick.
const NUMBER_MAX: u32 = 65_535;

/// A checked `balance` line.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    row: &'static Keyword<Row>,
    number: u32,
}

impl Default for Algorithm {
    /// `roundrobin`, for backends without a `balance` line.
    fn default() -> Self {
        Self { row: &round_robin::ROW, number: 0 }
    }
}

impl Algorithm {
    /// Returns what the words behind `balance` mean; no word at all means `roundrobin`.
    pub fn parse(words: &[Word]) -> Result<Self, Diagnostic> {
        let Some(word) = words.first() else {
            return Ok(Self::default());
        };
        let (name, number) = match word.text.split_once('(') {
            Some((name, rest)) => (name, Some(rest)),
            None => (word.as_str(), None),
        };
        let Some(row) = keyword::find(ALGORITHMS, name) else {
            return Err(unknown(word, name));
        };
        if let Some(extra) = words.get(1) {
            let message = format!("`{}` takes no further word than `{}`", name, word.text);
            return Err(Diagnostic::error(extra.span, message).label("one word too many"));
        }
        let number = match (row.build.number, number) {
            (None, None) => 0,
            (Some(default), None) => default,
            (None, Some(_)) => {
                let message = format!("`{name}` takes no number in parentheses");
                return Err(Diagnostic::error(word.span, message));
            }
            (Some(default), Some(")")) => default,
            (Some(_), Some(rest)) => parse_number(word, name, rest)?,
        };
        Ok(Self { row, number })
    }

    /// Returns the name as the configuration and the statistics write it.
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Returns whether the key of a request decides, and not whose turn it is.
    pub fn is_keyed(&self) -> bool {
        self.row.build.keyed
    }

    /// Returns whether a weight other than 0 and the configured one may be set at run time.
    pub fn is_dynamic(&self) -> bool {
        self.row.build.dynamic
    }
}

fn parse_number(word: &Word, name: &str, rest: &str) -> Result<u32, Diagnostic> {
    rest.strip_suffix(')')
        .and_then(|digits| digits.parse().ok())
        .filter(|number| (1..=NUMBER_MAX).contains(number))
        .ok_or_else(|| {
            let message = format!("`{}` is not `{name}(<number>)`", word.text);
            Diagnostic::error(word.span, message)
                .label(format!("expected a number from 1 to {NUMBER_MAX}"))
        })
}

fn unknown(word: &Word, name: &str) -> Diagnostic {
    if NOT_YET.contains(&name) {
        let message = format!("balance algorithm `{name}` is not supported yet");
        return Diagnostic::error(word.span, message).help(expected());
    }
    let message = format!("unknown balance algorithm `{name}`");
    let unknown = Diagnostic::error(word.span, message);
    let names = ALGORITHMS.iter().map(|row| row.name);
    let near = suggest(name, names.chain(NOT_YET.iter().copied()));
    match near {
        Some(near) => unknown.label(format!("did you mean `{near}`?")),
        None => unknown,
    }
    .help(expected())
}

fn expected() -> String {
    let names: Vec<&str> = ALGORITHMS.iter().map(|row| row.name).collect();
    format!("expected one of: {}", names.join(", "))
}

/// The chooser of one shard for one backend.
#[derive(Debug)]
pub struct Balancer {
    inner: Box<dyn Pick>,
    epoch: Option<u64>,
    chosen: Vec<ServerId>,
}

impl Balancer {
    /// Returns a chooser for the farm; shards with different numbers start at different servers.
    pub fn new(algorithm: &Algorithm, farm: &Farm, shard: usize) -> Self {
        let make = algorithm.row.build.make;
        let mut balancer = Self {
            inner: make(algorithm.number, shard),
            epoch: None,
            chosen: Vec::with_capacity(farm.servers().len()),
        };
        balancer.refresh(farm);
        balancer
    }

    /// Chooses a server, other than `avoid` while there is another choice.
    ///
    /// None means that no server is in service, or that all that the algorithm may choose are full; in the second
    /// case [`Farm::nbsrv`] is not 0, and the stream may wait for the backend. `source` names its server even when
    /// that is full, so that the stream waits for this one.
    pub fn pick(&mut self, farm: &Farm, key: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        if self.epoch != Some(farm.epoch()) {
            self.refresh(farm);
        }
        match self.chosen.len() {
            0 => None,
            _ => self.inner.pick(farm, key, avoid),
        }
    }

    /// Says why that server was just chosen, before it has taken the stream.
    #[cold]
    pub fn why(&self, farm: &Farm, key: &Key, picked: ServerId) -> String {
        match self.chosen.len() {
            1 => "the only server in service".to_owned(),
            _ => self.inner.why(farm, key, picked),
        }
    }

    #[cold]
    fn refresh(&mut self, farm: &Farm) {
        // The epoch is read before the states: a change in between is seen by the next pick.
        self.epoch = Some(farm.epoch());
        farm.chosen(&mut self.chosen);
        self.inner.rebuild(farm, &self.chosen);
    }
}

#[cfg(test)]
mod tests;
