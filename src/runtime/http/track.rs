//! What happens to a stream, counted on the entries of stick tables that it and its session track.
//!
//! Every function here returns at once for a configuration without stick tables, and for a stream that tracks nothing.
//! Keys are looked up by the rules that track them, never here.

use super::exchange::Exchange;
use super::forward::Fail;
use super::route::Stop;
use crate::runtime::session::Session;
use crate::stick::Data;
use crate::stick::counters::{
    ERROR, FAILURE, REQUEST, count_error, count_failure, count_request, count_status,
};
use crate::stick::entry::Writer;

fn is_off(session: &Session, exchange: &Exchange) -> bool {
    session.shard.plan.tables.is_empty()
        || (exchange.tracked.is_empty() && session.tracked.is_empty())
}

#[cold]
fn count(session: &Session, exchange: &Exchange, kinds: &[Data], change: impl Fn(&mut Writer<'_>)) {
    let now_us = session.shard.clock.shared_us(session.shard.clock.now_us());
    exchange.tracked.count(now_us, kinds, &change);
    session.tracked.count(now_us, kinds, &change);
}

/// Counts a request on what its session tracks; what the stream tracks counts it when it begins to.
#[inline]
pub(super) fn request(session: &Session, exchange: &Exchange) {
    if !is_off(session, exchange) {
        count(session, exchange, REQUEST, count_request);
    }
}

/// Counts a request that could not be read: it is one, and an error of its client.
#[inline]
pub(super) fn unreadable(session: &Session, exchange: &Exchange) {
    if !is_off(session, exchange) {
        count(session, exchange, REQUEST, count_request);
        count(session, exchange, ERROR, count_error);
    }
}

/// Counts what a server's response says of the request and of the server (manual 4.2, `stick-table`).
#[inline]
pub(super) fn response(session: &Session, exchange: &Exchange, status: u16) {
    if is_off(session, exchange) {
        return;
    }
    let kinds = if status < 500 { ERROR } else { FAILURE };
    if status >= 400 {
        count(session, exchange, kinds, |writer| count_status(writer, status));
    }
}

/// Counts a request that a rule refused, or that could not be received whole.
#[inline]
pub(super) fn stopped(session: &Session, exchange: &Exchange, stop: &Stop) {
    let refused = matches!(
        stop,
        Stop::Deny(_)
            | Stop::DenyAnswer(_)
            | Stop::Drop(_)
            | Stop::Tarpit(..)
            | Stop::Failed { .. }
    );
    if refused && !is_off(session, exchange) {
        count(session, exchange, ERROR, count_error);
    }
}

/// Counts an attempt that ended without a good response.
#[inline]
pub(super) fn failed(session: &Session, exchange: &Exchange, fail: Fail) {
    if is_off(session, exchange) {
        return;
    }
    match fail {
        Fail::Status(_, b'C' | b'c', _) => count(session, exchange, ERROR, count_error),
        Fail::Status(..) | Fail::Malformed | Fail::Cut(b'S' | b's', _) => {
            count(session, exchange, FAILURE, count_failure);
        }
        _ => {}
    }
}

/// Counts the bytes of a stream that has ended, and lets go what it tracked.
#[inline]
pub(super) fn end(session: &Session, exchange: &Exchange, now_us: u64) {
    if is_off(session, exchange) {
        return;
    }
    let record = &exchange.record;
    let kinds = &[Data::BytesInCnt, Data::BytesInRate, Data::BytesOutCnt, Data::BytesOutRate];
    count(session, exchange, kinds, |writer| {
        for (total, rate, bytes) in [
            (Data::BytesInCnt, Data::BytesInRate, record.bytes_in),
            (Data::BytesOutCnt, Data::BytesOutRate, record.bytes_out),
        ] {
            writer.add(total, bytes);
            writer.add(rate, bytes);
        }
    });
    exchange.tracked.clear(session.shard.clock.shared_us(now_us));
}
