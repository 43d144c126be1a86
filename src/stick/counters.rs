//! The stick counters of a session or a stream: the entries that its rules track.
//!
//! A stream sees its own counters and, where it tracks nothing under a number, those of its session (manual 7.3.3,
//! `sc_…`). What happens to the stream is counted on all of them.

use super::data::Data;
use super::entry::{Tracked, Writer};
use super::table::Table;
use std::cell::RefCell;
use std::sync::Arc;

/// The tracked entries of a session or a stream, by number.
#[derive(Debug, Default)]
pub struct Counters {
    tracked: RefCell<Vec<Option<Tracked>>>,
}

impl Counters {
    /// Returns whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.tracked.borrow().is_empty()
    }

    /// Returns whether something is tracked under that number.
    pub fn has(&self, index: usize) -> bool {
        self.tracked.borrow().get(index).is_some_and(Option::is_some)
    }

    /// Tracks an entry under a number.
    pub fn set(&self, index: usize, tracked: Tracked) {
        let mut all = self.tracked.borrow_mut();
        if all.len() <= index {
            all.resize_with(index + 1, || None);
        }
        all[index] = Some(tracked);
    }

    /// Lets all entries go.
    pub fn clear(&self, now_us: u64) {
        self.tracked.borrow_mut().drain(..).flatten().for_each(|tracked| tracked.release(now_us));
    }

    fn with<T>(&self, index: usize, f: impl FnOnce(&Tracked) -> T) -> Option<T> {
        self.tracked.borrow().get(index)?.as_ref().map(f)
    }

    /// Counts something on every entry that stores any of `kinds`.
    pub fn count(&self, now_us: u64, kinds: &[Data], mut change: impl FnMut(&mut Writer<'_>)) {
        for tracked in self.tracked.borrow().iter().flatten() {
            let entry = tracked.entry();
            if kinds.iter().any(|data| entry.layout().stores(*data)) {
                entry.update(now_us, &mut change);
            }
        }
    }
}

/// What [`count_request`] counts.
pub const REQUEST: &[Data] = &[Data::HttpReqCnt, Data::HttpReqRate];
/// What [`count_error`] counts.
pub const ERROR: &[Data] = &[Data::HttpErrCnt, Data::HttpErrRate];
/// What [`count_failure`] counts.
pub const FAILURE: &[Data] = &[Data::HttpFailCnt, Data::HttpFailRate];

/// What [`count_session`] counts.
pub const SESSION: &[Data] = &[Data::SessCnt, Data::SessRate];

/// Counts a connection that passed the rules before sessions.
pub fn count_session(writer: &mut Writer<'_>) {
    SESSION.iter().for_each(|data| writer.add(*data, 1));
}

/// Counts a request.
pub fn count_request(writer: &mut Writer<'_>) {
    REQUEST.iter().for_each(|data| writer.add(*data, 1));
}

/// Counts an error that the client made.
pub fn count_error(writer: &mut Writer<'_>) {
    ERROR.iter().for_each(|data| writer.add(*data, 1));
}

/// Counts a failure of the server.
pub fn count_failure(writer: &mut Writer<'_>) {
    FAILURE.iter().for_each(|data| writer.add(*data, 1));
}

/// Counts what a server's status says (manual 4.2, `stick-table`): errors of the client, failures of the server.
pub fn count_status(writer: &mut Writer<'_>, status: u16) {
    match status {
        400..=499 => count_error(writer),
        500 | 502..=504 | 506..=599 => count_failure(writer),
        _ => {}
    }
}

/// What a stream can see of the stick tables.
#[derive(Clone, Copy, Debug)]
pub struct Tracking<'a> {
    /// The tables of the plan.
    pub tables: &'a [Arc<Table>],
    /// What the session tracks.
    pub session: &'a Counters,
    /// What the stream tracks.
    pub stream: &'a Counters,
    /// The time that all shards share, in microseconds; more than 0.
    pub now_us: u64,
}

impl Tracking<'_> {
    /// Returns the table of that index.
    pub fn table(&self, index: u32) -> Option<&Table> {
        self.tables.get(index as usize).map(|table| &**table)
    }

    /// Hands over the entry that is tracked under a number, if there is one.
    pub fn with<T>(&self, index: usize, f: impl Fn(&Tracked) -> T) -> Option<T> {
        self.stream.with(index, &f).or_else(|| self.session.with(index, &f))
    }
}
