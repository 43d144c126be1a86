//! `source`: the same client address goes to the same server while the servers stay the same.
//!
//! Map-based as haproxy does it by default: the address as one (IPv4) or the exclusive-or of four (IPv6) 32-bit
//! numbers in network order, modulo the number of slots of the static map.

use super::static_rr::StaticRr;
use super::{Key, Pick, Row};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};
use std::net::IpAddr;

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "source",
    syntax: "",
    doc: "The client's address chooses the server, so that a client stays with its server while no server comes or \
          goes. A weight cannot be changed while it runs, except to 0 and back.",
    example: "balance source",
    build: Row {
        number: None,
        dynamic: false,
        keyed: true,
        make: |_, shard| Box::new(Source(StaticRr::new(shard))),
    },
};

#[derive(Debug)]
struct Source(StaticRr);

impl Pick for Source {
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        self.0.rebuild(farm, chosen);
    }

    fn pick(&mut self, farm: &Farm, key: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        let Key::Address(address) = key else {
            return self.0.pick(farm, key, avoid);
        };
        let map = &self.0.map;
        let slot = address_hash(*address) as usize % map.len().max(1);
        let (before, from) = map.split_at_checked(slot)?;
        let mut around = from.iter().chain(before);
        around.clone().find(|&&id| Some(id) != avoid).or_else(|| around.next()).copied()
    }

    fn why(&self, farm: &Farm, key: &Key, picked: ServerId) -> String {
        let Key::Address(address) = key else { return self.0.why(farm, key, picked) };
        let (hash, slots) = (address_hash(*address), self.0.map.len());
        let slot = hash as usize % slots.max(1);
        format!("the source {address} hashes to {hash:#010x}, slot {slot} of {slots}")
    }
}

/// Returns what haproxy makes of a client address.
fn address_hash(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (0..4).fold(0, |hash, word| hash ^ (bits >> (32 * word)) as u32)
        }
    }
}
