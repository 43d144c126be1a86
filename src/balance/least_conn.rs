//! `leastconn`: the server with the least streams for its weight, in turn among equals.
//!
//! The counts are the exact ones of all shards, so each pick reads one cache line per server until it meets an idle
//! one, which nothing can beat.

use super::{Key, Pick, Row};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};
use std::cmp::Ordering;

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "leastconn",
    syntax: "",
    doc: "The server with the least streams in service and in its queue, compared by weight, in turn among equals. \
          It suits long sessions such as SQL or remote desktops.",
    example: "balance leastconn",
    build: Row {
        number: None,
        dynamic: true,
        keyed: false,
        make: |_, shard| Box::new(LeastConn::new(shard)),
    },
};

#[derive(Debug)]
struct LeastConn {
    /// Server and weight.
    servers: Vec<(ServerId, u64)>,
    /// Where the next search begins: behind the last choice.
    next: usize,
}

impl LeastConn {
    fn new(shard: usize) -> Self {
        Self { servers: Vec::new(), next: shard }
    }
}

impl Pick for LeastConn {
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        self.servers.clear();
        let weighted = |&id| (id, u64::from(farm.server(id).weight().max(1)));
        self.servers.extend(chosen.iter().map(weighted));
        self.next %= self.servers.len().max(1);
    }

    fn pick(&mut self, farm: &Farm, _: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        let count = self.servers.len();
        let mut best: Option<(usize, Load)> = None;
        let mut second_choice = None;
        let mut at = self.next;
        for _ in 0..count {
            let here = at;
            at = if at + 1 == count { 0 } else { at + 1 };
            let (id, weight) = self.servers[here];
            let server = farm.server(id);
            if !server.has_room() {
                continue;
            }
            if Some(id) == avoid {
                second_choice = Some(here);
                continue;
            }
            let load = Load::new(server.inflight(), weight);
            if best.is_none_or(|(_, least)| load.is_less_than(least)) {
                best = Some((here, load));
                if load.streams == 0 {
                    break;
                }
            }
        }
        let here = best.map(|(here, _)| here).or(second_choice)?;
        self.next = if here + 1 == count { 0 } else { here + 1 };
        Some(self.servers[here].0)
    }

    fn why(&self, farm: &Farm, _: &Key, picked: ServerId) -> String {
        let (own, count) = (farm.server(picked).inflight(), self.servers.len());
        format!("{own} streams, the least for its weight among {count} servers")
    }
}

/// Streams in proportion to a weight.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// What the server would have with the stream to place, or 0 while it has none: idle servers are equal.
    streams: u64,
    weight: u64,
}

impl Load {
    fn new(inflight: u32, weight: u64) -> Self {
        Self {
            streams: match inflight {
                0 => 0,
                n => u64::from(n) + 1,
            },
            weight,
        }
    }

    fn is_less_than(self, other: Load) -> bool {
        (self.streams * other.weight).cmp(&(other.streams * self.weight)) == Ordering::Less
    }
}
