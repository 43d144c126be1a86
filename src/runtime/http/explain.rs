//! Streams that are to be explained: which ones, and the lines that say what rules did with them.
//!
//! A frontend that explains nothing has no [`ExplainLog`], and nothing here runs. Recording itself is done by the rules
//! (`rules::trace`), text is made by `plan::explain`.

use super::exchange::Exchange;
use super::route::with_context;
use crate::log::Line;
use crate::metrics::Counter;
use crate::plan::ExplainLog;
use crate::plan::explain::{Facts, Story};
use crate::rules::sample::Value;
use crate::rules::trace::{Event, Recorder};
use crate::rules::variable::Conditions;
use crate::runtime::session::Session;
use std::rc::Rc;

/// Level of the lines: that of the line of a stream, so that whoever sees one sees the others.
const LEVEL_INFO: u8 = 6;

/// Begins to record the stream, if it is one that is asked for.
#[cold]
pub fn begin(session: &Session, exchange: &mut Exchange, wish: &ExplainLog) {
    let recorder = match session.shard.rehearsal.get() {
        Some(rehearsal) => rehearsal.recorder(),
        None if is_asked_for(session, exchange, wish) => Rc::new(Recorder::default()),
        None => return,
    };
    if let Some(rehearsal) = session.shard.rehearsal.get() {
        with_context(session, exchange, |cx| {
            for (variable, text) in &rehearsal.variables {
                let value = match text.parse() {
                    Ok(number) => Value::Int(number),
                    Err(_) => Value::str(text.as_bytes()),
                };
                cx.variables.set(*variable, value, Conditions::default());
            }
        });
    }
    recorder.receive(&exchange.request);
    recorder.push(Event::Frontend(session.info.frontend));
    exchange.record.trace = Some(recorder);
}

fn is_asked_for(session: &Session, exchange: &mut Exchange, wish: &ExplainLog) -> bool {
    let drawn = wish.one_of > 0 && exchange.record.request_counter.is_multiple_of(wish.one_of);
    drawn
        || wish.marks.iter().any(|mark| {
            exchange.request.get(mark.field.as_bytes()).is_some()
                && with_context(session, exchange, |cx| {
                    mark.condition.as_ref().is_none_or(|condition| condition.holds(cx))
                })
        })
}

/// Writes what was recorded to the log targets of the frontend, a line for each line of text.
#[cold]
pub fn finish(session: &Session, exchange: &mut Exchange) {
    let shard = &session.shard;
    let Some(recorder) = exchange.record.trace.take() else { return };
    if shard.rehearsal.get().is_some() {
        return;
    }
    let log = &session.frontend().log;
    let facts = Facts {
        session: session.info.clone(),
        server_address: exchange.record.server_address,
        rehearsed: false,
    };
    let story = Story::new(&shard.plan, facts, &recorder);
    let tag = log.tag.as_deref().unwrap_or(&shard.plan.global.log_tag);
    let now_us = shard.clock.wall_us(exchange.started_us) + exchange.record.total_us.max(0) as u64;
    // Lines of several streams may stand among one another: each says of which it is.
    let name = format!("explain {}/{}", shard.index, exchange.record.request_counter);
    let mut shard_log = shard.log.borrow_mut();
    for line in story.text(false).lines().filter(|line| !line.trim().is_empty()) {
        let message = format!("{name} {line}");
        let message = message.as_bytes();
        let line = Line { tag, level: LEVEL_INFO, now_us, structured: b"", message };
        shard_log.write(&log.targets, line);
        for profiled in &log.profiled {
            shard_log.write(std::slice::from_ref(&profiled.target), line);
        }
    }
    let dropped = shard_log.take_dropped();
    if dropped > 0 {
        shard.count(session.frontend().object, Counter::LogsDropped, dropped);
    }
}
