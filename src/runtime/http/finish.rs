//! The end of a stream: counters, histograms and the log line.

use super::exchange::Exchange;
use super::explain;
use super::route::with_context;
use crate::metrics::{Counter, ObjectId, Phase};
use crate::plan::Mode;
use crate::rules::context::LogLevel;
use crate::runtime::session::Session;

/// Syslog level of a stream that ended.
const LEVEL_INFO: u8 = 6;

/// Counts and logs a stream that has ended.
pub fn stream(session: &Session, exchange: &mut Exchange) {
    let shard = &session.shard;
    let frontend = session.frontend();
    let now = shard.clock.now_us();
    exchange.record.total_us = (now - exchange.started_us) as i64;
    session.idle_since_us.set(now);
    let record = &exchange.record;
    let http = frontend.mode == Mode::Http;
    let cells = shard.cells();
    let count = |object: ObjectId| {
        let row = cells.row(object);
        row.add(Counter::BytesIn, record.bytes_in);
        row.add(Counter::BytesOut, record.bytes_out);
        row
    };
    // A stream without an answer counts as `hrsp_other`.
    let status = http.then(|| Counter::of_status(record.status));
    let count_status = |object: ObjectId| {
        let row = count(object);
        if let Some(status) = status {
            row.add(status, 1);
        }
        row
    };
    count_status(frontend.object);
    count_status(frontend.binds[session.info.bind as usize].object);
    if let Some(index) = record.backend {
        let backend = shard.backend(index);
        let row = count_status(backend.object);
        if http {
            row.add(Counter::Requests, 1);
        }
        if let Some(server) = record.server {
            // Its responses are counted as they come: what the proxy says in its place is not the server's.
            let object = backend.servers[server as usize].object;
            count(object);
            shard.record(object, Phase::Total, now - exchange.received_us);
        }
    }
    if !frontend.log.targets.is_empty() && !exchange.silent {
        log(session, exchange);
    }
    if exchange.record.trace.is_some() {
        explain::finish(session, exchange);
    }
}

fn log(session: &Session, exchange: &mut Exchange) {
    let shard = &session.shard;
    let log = &session.frontend().log;
    let normal = exchange.record.termination.cause == 0 && exchange.record.status < 500;
    if log.dont_log_normal && normal {
        return;
    }
    let level = match exchange.record.log_level.get() {
        LogLevel::Silent => return,
        LogLevel::Level(level) => level,
        LogLevel::Default => LEVEL_INFO,
    };
    let Some(format) = &log.format else { return };
    let mut text = std::mem::take(&mut exchange.log_text);
    text.clear();
    with_context(session, exchange, |cx| format.write(cx, &mut text));
    let tag = log.tag.as_deref().unwrap_or(&shard.plan.global.log_tag);
    let now_us = shard.clock.wall_us(exchange.started_us) + exchange.record.total_us.max(0) as u64;
    let mut shard_log = shard.log.borrow_mut();
    shard_log.write(&log.targets, tag, level, now_us, &text);
    let dropped = shard_log.take_dropped();
    if dropped > 0 {
        shard.count(session.frontend().object, Counter::LogsDropped, dropped);
    }
    exchange.log_text = text;
}
