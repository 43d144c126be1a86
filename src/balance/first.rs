//! `first`: fill one server before the next, in the order of their ids.

use super::{Key, Pick, Row};
use crate::config::keyword::Keyword;
use crate::server::{Farm, ServerId};

pub(super) const ROW: Keyword<Row> = Keyword {
    name: "first",
    syntax: "",
    doc: "The first server with a free slot, in the order of `id`, so that the last servers can be switched off in \
          quiet hours. It needs `maxconn` on the servers and ignores weights.",
    example: "balance first",
    build: Row {
        number: None,
        dynamic: true,
        keyed: false,
        make: |_, _| Box::new(First::default()),
    },
};

#[derive(Debug, Default)]
struct First {
    by_id: Vec<ServerId>,
}

impl Pick for First {
    fn rebuild(&mut self, farm: &Farm, chosen: &[ServerId]) {
        self.by_id.clear();
        self.by_id.extend_from_slice(chosen);
        self.by_id.sort_by_key(|&id| farm.server(id).spec().id);
    }

    fn pick(&mut self, farm: &Farm, _: &Key, avoid: Option<ServerId>) -> Option<ServerId> {
        let mut free = self.by_id.iter().copied().filter(|&id| farm.server(id).has_room());
        let first = free.next()?;
        if Some(first) == avoid {
            return free.next().or(Some(first));
        }
        Some(first)
    }

    fn why(&self, farm: &Farm, _: &Key, picked: ServerId) -> String {
        format!(
            "id {}, the first in the order of ids with a free slot",
            farm.server(picked).spec().id
        )
    }
}
