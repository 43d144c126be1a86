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

    /// Counts something on every entry.
    pub fn count(&self, now_us: u64, mut change: impl FnMut(&mut Writer<'_>)) {
        for tracked in self.tracked.borrow().iter().flatten() {
            tracked.entry().update(now_us, &mut change);
        }
    }
}

/// Counts a request.
pub fn count_request(writer: &mut Writer<'_>) {
    writer.add(Data::HttpReqCnt, 1);
    writer.add(Data::HttpReqRate, 1);
}

/// Counts an error that the client made.
pub fn count_error(writer: &mut Writer<'_>) {
    writer.add(Data::HttpErrCnt, 1);
    writer.add(Data::HttpErrRate, 1);
}

/// Counts a failure of the server.
pub fn count_failure(writer: &mut Writer<'_>) {
    writer.add(Data::HttpFailCnt, 1);
    writer.add(Data::HttpFailRate, 1);
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
