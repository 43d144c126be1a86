//! `roundrobin`: each server in turn by weight, spread evenly, with weights that may change at any time.
//!
//! With equal weights a cursor walks the servers. With others, every server has the position of its next turn, each
//! being the total weight divided by its own behind the last; a heap gives the earliest. A server that has not been
//! chosen yet fills the first gap, the heaviest first. This is haproxy's order. O(log n), no allocation.

use super::{Key, Pick, Row};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "roundrobin",
    syntax: "",
    doc: "Each server in turn by weight, the smoothest order there is. Weights may be changed while it runs.",
    example: "balance roundrobin",
    build: Row {
        number: None,
        dynamic: true,
        keyed: false,
        make: |_, shard| Box::new(RoundRobin::new(shard)),
    },
};

#[derive(Debug)]
struct RoundRobin {
    shard: usize,
    turns: Turns,
}

#[derive(Debug)]
enum Turns {
    /// All weights are equal: the servers, and the index of the next.
    Equal(Vec<ServerId>, usize),
    Weighted(Weighted),
}

impl RoundRobin {
    fn new(shard: usize) -> Self {
        Self { shard, turns: Turns::Equal(Vec::new(), shard) }
    }
}

impl Pick for RoundRobin {
    /// Keeps the place in the round when all weights stay equal; otherwise begins a round.
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        let weight = |id: ServerId| farm.server(id).weight().max(1);
        let equal = chosen.windows(2).all(|w| weight(w[0]) == weight(w[1]));
        if !equal {
            self.turns = Turns::Weighted(Weighted::new(farm, chosen, self.shard));
            return;
        }
        let next = match &self.turns {
            Turns::Equal(before, next) => match before.get(*next) {
                Some(due) => chosen.iter().position(|id| id >= due).unwrap_or(0),
                None => *next,
            },
            Turns::Weighted(_) => self.shard,
        };
        self.turns = Turns::Equal(chosen.to_vec(), next % chosen.len().max(1));
    }

    fn pick(&mut self, farm: &Farm, _: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        match &mut self.turns {
            Turns::Equal(servers, next) => pick_equal(servers, next, farm, avoid),
            Turns::Weighted(weighted) => weighted.pick(farm, avoid),
        }
    }

    fn why(&self, farm: &Farm, _: &Key, picked: ServerId) -> String {
        match &self.turns {
            Turns::Equal(servers, _) => {
                let at = servers.iter().position(|id| *id == picked).unwrap_or_default() + 1;
                format!("its turn: {at} of {} in the round", servers.len())
            }
            Turns::Weighted(turns) => {
                let (weight, total) = (farm.server(picked).weight(), turns.total);
                format!("its turn by weight, {weight} of {total}")
            }
        }
    }
}

fn pick_equal(
    servers: &[ServerId],
    next: &mut usize,
    farm: &Farm,
    avoid: Option<ServerId>,
) -> Option<ServerId> {
    let mut second_choice = None;
    let mut at = *next;
    for _ in 0..servers.len() {
        let id = servers[at];
        at = if at + 1 == servers.len() { 0 } else { at + 1 };
        if !farm.server(id).has_room() {
            continue;
        }
        if Some(id) == avoid {
            second_choice = Some((id, at));
            continue;
        }
        *next = at;
        return Some(id);
    }
    let (id, at) = second_choice?;
    *next = at;
    Some(id)
}

/// Turns of servers with different weights.
#[derive(Debug)]
struct Weighted {
    /// Turns of the servers that have been chosen before.
    heap: BinaryHeap<Reverse<Turn>>,
    /// Servers that have not been chosen yet, the heaviest (of equals the first declared) last.
    fresh: Vec<Turn>,
    /// Servers that were skipped in this pick. All three have room for all servers: a pick never allocates.
    skipped: Vec<Turn>,
    /// How many picks were made.
    now: u64,
    total: u64,
}

/// The next turn of one server; the order of its fields is the order of turns, found by watching a real haproxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// The pick it is due for.
    position: u64,
    /// Weight less rest, where the rest is what the divisions so far left over: `0 <= rest < weight`.
    lack: Reverse<u64>,
    /// The pick that it was put here by.
    since: u64,
    weight: Reverse<u64>,
    id: ServerId,
}

impl Weighted {
    fn new(farm: &Farm, chosen: &[ServerId], shard: usize) -> Self {
        let count = chosen.len();
        let mut fresh: Vec<Turn> = chosen
            .iter()
            .map(|&id| {
                let weight = Reverse(u64::from(farm.server(id).weight().max(1)));
                Turn { position: 0, lack: weight, since: 0, weight, id }
            })
            .collect();
        fresh.sort_unstable_by(|a, b| b.cmp(a));
        let total: u64 = fresh.iter().map(|turn| turn.weight.0).sum();
        let mut turns = Self {
            heap: BinaryHeap::with_capacity(count),
            fresh,
            skipped: Vec::with_capacity(count),
            now: 0,
            total,
        };
        for _ in 0..shard as u64 % total.max(1) {
            if let Some(turn) = turns.pop() {
                turns.served(turn);
            }
        }
        turns
    }

    fn pick(&mut self, farm: &Farm, avoid: Option<ServerId>) -> Option<ServerId> {
        let mut second_choice = None;
        let mut choice = None;
        while let Some(turn) = self.pop() {
            if !farm.server(turn.id).has_room() {
                self.skipped.push(turn);
            } else if Some(turn.id) == avoid {
                second_choice = Some(turn);
            } else {
                choice = Some(turn);
                break;
            }
        }
        if choice.is_some() {
            self.skipped.extend(second_choice);
        }
        let skips = !self.skipped.is_empty();
        // A server that was skipped is next in line when it has room again, and has nothing to catch up on.
        for mut turn in self.skipped.drain(..) {
            turn.position = turn.position.max(self.now);
            self.heap.push(Reverse(turn));
        }
        let mut turn = choice.or(second_choice)?;
        if skips {
            // Who stands in for others does not pay for it later.
            turn.position = turn.position.min(self.now);
        }
        self.served(turn);
        Some(turn.id)
    }

    /// Takes out the earliest turn that has come, else a server that was never chosen, else the earliest turn.
    fn pop(&mut self) -> Option<Turn> {
        let due = self.heap.peek().is_some_and(|Reverse(turn)| turn.position <= self.now);
        if !due && let Some(mut turn) = self.fresh.pop() {
            turn.position = self.now;
            return Some(turn);
        }
        self.heap.pop().map(|Reverse(turn)| turn)
    }

    /// Counts a pick and puts the server back at its next position.
    fn served(&mut self, mut turn: Turn) {
        let weight = turn.weight.0;
        let rest = (weight - turn.lack.0) + self.total % weight;
        turn.position += self.total / weight + rest / weight;
        turn.lack = Reverse(weight - rest % weight);
        turn.since = self.now;
        self.heap.push(Reverse(turn));
        self.now += 1;
    }
}
