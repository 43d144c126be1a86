//! `random`: draw some servers by weight and take the least loaded of them.

use super::{Key, Pick, Row};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};
use crate::stdx::rand::Rng;
use std::hash::{BuildHasher, RandomState};

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "random",
    syntax: "[(<draws>)]",
    doc: "Draws servers at random by weight, two unless another number stands in parentheses, and takes the least \
          loaded of them. It stays fair with many load balancers and with servers that come and go.",
    example: "balance random(3)",
    build: Row {
        number: Some(2),
        dynamic: true,
        keyed: false,
        make: |draws, shard| Box::new(Random::new(draws, shard)),
    },
};

#[derive(Debug)]
struct Random {
    draws: u32,
    rng: Rng,
    servers: Vec<ServerId>,
    /// For each server the sum of the weights up to and including its own.
    upto: Vec<u64>,
}

impl Random {
    fn new(draws: u32, shard: usize) -> Self {
        // Balancers of several processes must not draw alike: the standard library's hash keys are random.
        let seed = RandomState::new().hash_one(shard);
        Self { draws, rng: Rng::new(seed), servers: Vec::new(), upto: Vec::new() }
    }

    fn draw(&mut self) -> ServerId {
        let ticket = self.rng.below(self.upto.last().copied().unwrap_or(0));
        self.servers[self.upto.partition_point(|&upto| upto <= ticket)]
    }
}

impl Pick for Random {
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        self.servers.clear();
        self.servers.extend_from_slice(chosen);
        self.upto.clear();
        let mut sum = 0;
        self.upto.extend(chosen.iter().map(|&id| {
            sum += u64::from(farm.server(id).weight().max(1));
            sum
        }));
    }

    /// When all draws are full or avoided, the least loaded of the others with room is taken, if any.
    fn pick(&mut self, farm: &Farm, _: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        let mut best = None;
        for _ in 0..self.draws {
            let id = self.draw();
            if Some(id) != avoid && farm.server(id).has_room() {
                best = lighter(farm, best, id);
            }
        }
        if best.is_none() {
            best = self
                .servers
                .iter()
                .filter(|&&id| Some(id) != avoid && farm.server(id).has_room())
                .fold(None, |best, &id| lighter(farm, best, id));
        }
        best.or_else(|| avoid.filter(|id| self.servers.contains(id) && farm.server(*id).has_room()))
    }

    fn why(&self, _: &Farm, _: &Key, _: ServerId) -> String {
        format!("the least loaded of {} drawn at random", self.draws)
    }
}

/// Returns the one with the least streams for its weight, the first of equals.
fn lighter(farm: &Farm, best: Option<ServerId>, id: ServerId) -> Option<ServerId> {
    let Some(best) = best else {
        return Some(id);
    };
    let load = |of: ServerId, weight_of: ServerId| {
        u64::from(farm.server(of).inflight()) * u64::from(farm.server(weight_of).weight().max(1))
    };
    match load(id, best) < load(best, id) {
        true => Some(id),
        false => Some(best),
    }
}
