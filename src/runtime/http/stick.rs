//! Persistence by stick tables: which server a key is stuck to, and storing the one that served it (manual 4.2, `stick`).
//!
//! Keys of the request are kept until the response comes, because only then it is known who served it.

use super::exchange::Exchange;
use super::route::with_context;
use crate::plan::Backend;
use crate::rules::sticking::StickRule;
use crate::runtime::session::Session;
use crate::server::{Farm, ServerId};
use crate::stick::{Data, Entry, Table};

/// The most keys of one stream that are stored.
const STORES_MAX: usize = 8;

/// Keys that are to be stored with the server of a stream, and their tables.
#[derive(Debug, Default)]
pub struct Stores {
    bytes: Vec<u8>,
    /// Table, and where the key ends in `bytes`.
    keys: Vec<(u32, usize)>,
}

impl Stores {
    fn clear(&mut self) {
        self.bytes.clear();
        self.keys.clear();
    }

    fn add(&mut self, table: u32, key: &[u8]) {
        if self.keys.len() < STORES_MAX {
            self.bytes.extend_from_slice(key);
            self.keys.push((table, self.bytes.len()));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut start = 0;
        self.keys.iter().map(move |(table, end)| {
            let key = &self.bytes[start..*end];
            start = *end;
            (*table, key)
        })
    }
}

/// Runs the rules on the request: returns the server that a key is stuck to, if it takes streams.
#[cold]
pub fn request(session: &Session, exchange: &mut Exchange, backend: &Backend) -> Option<ServerId> {
    exchange.stores.clear();
    let index = exchange.record.backend?;
    let farm = &session.shard.plan.farms[index as usize];
    let mut stores = std::mem::take(&mut exchange.stores);
    let mut wanted = None;
    with_context(session, exchange, |cx| {
        for rule in backend.stick.iter().filter(|rule| !rule.of_response) {
            rule.with_key(cx, |at, table, key| {
                if rule.matches
                    && let Some(entry) = table.find(key, cx.tracking.now_us)
                {
                    entry.touch(cx.tracking.now_us);
                    wanted = wanted.or_else(|| stuck_to(&entry, table, farm));
                }
                if rule.stores {
                    stores.add(at, key);
                }
            });
        }
    });
    exchange.stores = stores;
    wanted
}

/// Returns the server of an entry, if this farm has it and it takes streams.
fn stuck_to(entry: &Entry, table: &Table, farm: &Farm) -> Option<ServerId> {
    let by_key = entry.server_key().and_then(|key| match table.spec().by_address {
        false => farm.find(&key),
        true => farm.servers().iter().position(|server| *server.spec().address == *key),
    });
    let by_id = || {
        let id = entry.read(Data::ServerId, 0, 0).filter(|id| *id > 0)?;
        farm.servers().iter().position(|server| u64::from(server.spec().id) == id)
    };
    by_key.or_else(by_id).filter(|server| farm.server(*server).takes_persistent())
}

/// Runs the rules on the response, and stores all keys with the server that served.
#[cold]
pub fn response(session: &Session, exchange: &mut Exchange, backend: &Backend, server: ServerId) {
    let mut stores = std::mem::take(&mut exchange.stores);
    if let (Some(index), false) = (exchange.record.backend, backend.servers[server].non_stick) {
        let spec = session.shard.plan.farms[index as usize].server(server).spec();
        with_context(session, exchange, |cx| {
            let of_response = |rule: &&StickRule| rule.of_response;
            for rule in backend.stick.iter().filter(of_response) {
                rule.with_key(cx, |at, _, key| stores.add(at, key));
            }
            for (at, key) in stores.iter() {
                let Some(table) = cx.tracking.table(at) else { continue };
                let Some(entry) = table.enter(key, cx.tracking.now_us) else { continue };
                let by_address = table.spec().by_address;
                entry.set_server(spec.id, if by_address { &spec.address } else { &spec.name });
            }
        });
    }
    stores.clear();
    exchange.stores = stores;
}
