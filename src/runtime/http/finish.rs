//! The end of a stream: counters, histograms and the log line; and the lines of the steps before it.

use super::exchange::Exchange;
use super::explain;
use super::route::with_context;
use super::track;
use crate::log::{Line, LogTarget};
use crate::metrics::{Counter, ObjectId, Phase};
use crate::plan::Mode;
use crate::rules::context::{LogLevel, LogStep, Record};
use crate::rules::log_format::LogFormat;
use crate::runtime::session::Session;

/// Syslog level of a line.
const LEVEL_INFO: u8 = 6;
/// Syslog level of a failure under `option log-separate-errors`.
const LEVEL_ERROR: u8 = 3;

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
    if record.failed_rewrites.get() > 0 {
        count_failed_rewrites(session, record);
    }
    if frontend.log.is_wanted() && !exchange.silent {
        let error = exchange.refused;
        step(session, exchange, if error { LogStep::Error } else { LogStep::Close });
    }
    track::end(session, exchange, now);
    if exchange.record.trace.is_some() {
        explain::finish(session, exchange);
    }
}

/// Counts rewrites that did not fit and were let go (`strict-mode off`).
#[cold]
fn count_failed_rewrites(session: &Session, record: &Record) {
    let backend = record.backend.map(|index| session.shard.backend(index));
    let server = backend.zip(record.server).map(|(b, index)| b.servers[index as usize].object);
    let objects = [Some(session.frontend().object), backend.map(|backend| backend.object), server];
    for object in objects.into_iter().flatten() {
        let failed = u64::from(record.failed_rewrites.get());
        session.shard.count(object, Counter::RewriteErrors, failed);
    }
}

/// Logs a step of a stream that has not ended, if lines are written then.
///
/// This is asked at every step of every request.
#[inline]
pub fn reached(session: &Session, exchange: &mut Exchange, at: LogStep) {
    let log = &session.frontend().log;
    if log.steps.has(at) && log.is_wanted() {
        early(session, exchange, at);
    }
}

#[cold]
fn early(session: &Session, exchange: &mut Exchange, at: LogStep) {
    exchange.record.total_us =
        session.shard.clock.now_us().saturating_sub(exchange.started_us) as i64;
    step(session, exchange, at);
}

/// Logs a stream because a rule says so; what is logged anyway stays as it is.
#[cold]
pub fn on_demand(session: &Session, exchange: &mut Exchange, at: LogStep) {
    let level = match exchange.record.log_level.get() {
        LogLevel::Silent => return,
        LogLevel::Level(level) => level,
        LogLevel::Default => LEVEL_INFO,
    };
    if session.frontend().log.is_wanted() {
        let (logged, partial) = (exchange.logged, exchange.record.partial);
        exchange.record.total_us =
            session.shard.clock.now_us().saturating_sub(exchange.started_us) as i64;
        write(session, exchange, at, level);
        (exchange.logged, exchange.record.partial) = (logged, partial);
    }
}

/// Writes the line of a step, unless something speaks against it.
fn step(session: &Session, exchange: &mut Exchange, at: LogStep) {
    let log = &session.frontend().log;
    let record = &exchange.record;
    match at {
        LogStep::Error if log.skips_errors => return,
        // Without `log-steps` there is one line, at the end if there was no occasion before.
        LogStep::Close if !log.once && !log.steps.has(at) => return,
        _ if log.once && exchange.logged => return,
        _ => {}
    }
    let failed = is_error(record);
    if log.dont_log_normal && !failed {
        return;
    }
    let usual = if failed && log.separate_errors { LEVEL_ERROR } else { LEVEL_INFO };
    let level = match record.log_level.get() {
        LogLevel::Silent => return,
        LogLevel::Level(level) => level,
        LogLevel::Default => usual,
    };
    write(session, exchange, at, level);
}

/// Returns whether a stream saw an error, a timeout, another attempt or a status of 500 and above (manual 8.3.3).
fn is_error(record: &Record) -> bool {
    !matches!(record.termination.cause, 0 | b'L')
        || record.status >= 500
        || record.retries > 0
        || record.redispatched
}

fn write(session: &Session, exchange: &mut Exchange, at: LogStep, level: u8) {
    let shard = &session.shard;
    let log = &session.frontend().log;
    exchange.logged = true;
    exchange.record.partial = log.partial;
    exchange.record.step.set(at);
    note_load(session, &mut exchange.record);
    let now_us = shard.clock.wall_us(exchange.started_us) + exchange.record.total_us.max(0) as u64;
    let tag = log.tag.as_deref().unwrap_or(&shard.plan.global.log_tag);
    let own = log.error_format.as_ref().filter(|_| at == LogStep::Error);
    let format = own.or(log.format.as_ref());
    if !log.targets.is_empty() {
        let formats = Formats { format, structured: log.structured.as_ref() };
        formats.write(
            session,
            exchange,
            &log.targets,
            Line { tag, level, now_us, structured: b"", message: b"" },
        );
    }
    for profiled in &log.profiled {
        let said = profiled.step(at);
        if said.is_some_and(|said| said.drop) {
            continue;
        }
        let formats = Formats {
            format: said.and_then(|said| said.format.as_ref()).or(format),
            structured: said.and_then(|said| said.structured.as_ref()).or(log.structured.as_ref()),
        };
        let tag = profiled.tag.as_deref().unwrap_or(tag);
        let line = Line { tag, level, now_us, structured: b"", message: b"" };
        formats.write(session, exchange, std::slice::from_ref(&profiled.target), line);
    }
}

/// Notes how many connections and streams there are as the line is written; one that has ended is none of them.
fn note_load(session: &Session, record: &mut Record) {
    let plan = &session.shard.plan;
    record.connections = plan.connections.current();
    record.frontend_connections = session.frontend().connections.current();
    if let Some(backend) = record.backend {
        record.backend_streams = session.shard.backend(backend).streams.current();
        if let Some(server) = record.server {
            record.server_streams = plan.farms[backend as usize].server(server as usize).current();
        }
    }
}

/// What a line consists of.
struct Formats<'a> {
    format: Option<&'a LogFormat>,
    structured: Option<&'a LogFormat>,
}

impl Formats<'_> {
    fn write(
        &self,
        session: &Session,
        exchange: &mut Exchange,
        targets: &[LogTarget],
        line: Line<'_>,
    ) {
        let shard = &session.shard;
        let Some(format) = self.format else { return };
        let mut text = std::mem::take(&mut exchange.log_text);
        text.clear();
        let mut split = 0;
        with_context(session, exchange, |cx| {
            if let Some(structured) = self.structured {
                structured.write(cx, &mut text);
                split = text.len();
            }
            format.write(cx, &mut text);
        });
        let (structured, message) = text.split_at(split);
        let mut shard_log = shard.log.borrow_mut();
        shard_log.write(targets, Line { structured, message, ..line });
        let dropped = shard_log.take_dropped();
        if dropped > 0 {
            shard.count(session.frontend().object, Counter::LogsDropped, dropped);
        }
        exchange.log_text = text;
    }
}
