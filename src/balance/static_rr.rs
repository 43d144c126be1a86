//! `static-rr`: each server in turn along a fixed map.

use super::{Key, Pick, Row, map};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "static-rr",
    syntax: "",
    doc: "Each server in turn by weight along a fixed map, at the lowest cost. A weight cannot be changed while it \
          runs, except to 0 and back.",
    example: "balance static-rr",
    build: Row {
        number: None,
        dynamic: false,
        keyed: false,
        make: |_, shard| Box::new(StaticRr::new(shard)),
    },
};

/// A cursor over the map; also what hash algorithms do for a stream without a key.
#[derive(Debug)]
pub(super) struct StaticRr {
    pub(super) map: Vec<ServerId>,
    next: usize,
    shard: usize,
}

impl StaticRr {
    pub(super) fn new(shard: usize) -> Self {
        Self { map: Vec::new(), next: usize::MAX, shard }
    }
}

impl Pick for StaticRr {
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        map::fill(&mut self.map, farm, chosen);
        let slots = self.map.len().max(1);
        self.next = match self.next {
            usize::MAX => self.shard % slots,
            next => next % slots,
        };
    }

    /// Walks on from the cursor, at most once around; the cursor stands behind the slot that was chosen.
    fn pick(&mut self, farm: &Farm, _: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        let slots = self.map.len();
        let mut second_choice = None;
        let mut at = self.next;
        for _ in 0..slots {
            let id = self.map[at];
            at = if at + 1 == slots { 0 } else { at + 1 };
            if !farm.server(id).has_room() {
                continue;
            }
            if Some(id) == avoid {
                second_choice = second_choice.or(Some((id, at)));
                continue;
            }
            self.next = at;
            return Some(id);
        }
        let (id, at) = second_choice?;
        self.next = at;
        Some(id)
    }

    fn why(&self, _: &Farm, _: &Key, _: ServerId) -> String {
        let slots = self.map.len();
        // The cursor stands behind the slot that was chosen.
        let slot = (self.next + slots - 1) % slots.max(1) + 1;
        format!("its turn: slot {slot} of {slots} of the round")
    }
}
