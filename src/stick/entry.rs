//! One entry of a table: a key and what is stored with it, counted on by any shard.
//!
//! Who counts several things at once locks the entry once ([`Entry::update`]). The table is never locked for it.

use super::data::{Data, Layout, Place, Shape};
use super::rate;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An entry of a table.
#[derive(Debug)]
pub struct Entry {
    pub(super) hash: u64,
    key: Box<[u8]>,
    layout: Arc<Layout>,
    /// Streams and sessions that track it: as long as there are any it stays.
    pub(super) trackers: AtomicU32,
    /// When it was last created, tracked, matched or let go.
    pub(super) touched_us: AtomicU64,
    cells: Mutex<Cells>,
}

/// What is stored with a key.
#[derive(Debug)]
struct Cells {
    words: Box<[u64]>,
    server_key: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(hash: u64, key: &[u8], layout: Arc<Layout>, now_us: u64) -> Self {
        let words = vec![0; layout.words()].into();
        Self {
            hash,
            key: key.into(),
            layout,
            trackers: AtomicU32::new(0),
            touched_us: AtomicU64::new(now_us),
            cells: Mutex::new(Cells { words, server_key: None }),
        }
    }

    /// Returns the bytes of its key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Returns what its table stores.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns a number that tells it from others while it lives.
    pub fn number(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    /// Returns how many streams and sessions track it.
    pub fn trackers(&self) -> u32 {
        self.trackers.load(Relaxed)
    }

    /// Returns when it was last used.
    pub fn touched_us(&self) -> u64 {
        self.touched_us.load(Relaxed)
    }

    /// Notes that it was used now.
    pub fn touch(&self, now_us: u64) {
        self.touched_us.fetch_max(now_us, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        // Nobody panics with an entry locked; and if, its numbers are as good as any.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes several values at once.
    pub fn update(&self, now_us: u64, change: impl FnOnce(&mut Writer<'_>)) {
        let mut cells = self.lock();
        change(&mut Writer { layout: &self.layout, words: &mut cells.words, now_us });
    }

    /// Returns a value as of now; `element` counts in arrays. Nothing when it is not stored.
    pub fn read(&self, data: Data, element: u32, now_us: u64) -> Option<u64> {
        let place = self.layout.place(data, element)?;
        let cells = self.lock();
        Some(value(&cells.words, place, now_us))
    }

    /// Returns the name of the server that it is stuck to.
    pub fn server_key(&self) -> Option<Arc<str>> {
        self.lock().server_key.clone()
    }

    /// Sticks it to a server; what is not stored is left out.
    pub fn set_server(&self, id: u32, key: &str) {
        let named = self.layout.stores(Data::ServerKey);
        let mut cells = self.lock();
        if let Some(place) = self.layout.place(Data::ServerId, 0) {
            cells.words[place.offset] = id.into();
        }
        if named && cells.server_key.as_deref() != Some(key) {
            cells.server_key = Some(key.into());
        }
    }
}

fn value(words: &[u64], place: Place, now_us: u64) -> u64 {
    match place.shape {
        Shape::Rate => rate::read(&words[place.offset..], place.period_us, now_us),
        _ => words[place.offset],
    }
}

/// The values of an entry while it is locked. What a table does not store is passed over.
#[derive(Debug)]
pub struct Writer<'e> {
    layout: &'e Layout,
    words: &'e mut [u64],
    now_us: u64,
}

impl Writer<'_> {
    /// Adds to a number or a rate; `element` counts in arrays.
    pub fn add_at(&mut self, data: Data, element: u32, events: u64) {
        let Some(place) = self.layout.place(data, element) else { return };
        let words = &mut self.words[place.offset..];
        match place.shape {
            Shape::Rate => rate::add(words, place.period_us, events, self.now_us),
            Shape::Long => words[0] = words[0].saturating_add(events),
            _ => words[0] = words[0].saturating_add(events).min(u32::MAX.into()),
        }
    }

    /// Adds to a number or a rate.
    pub fn add(&mut self, data: Data, events: u64) {
        self.add_at(data, 0, events);
    }

    /// Takes one from a number that is not 0.
    pub fn subtract_one(&mut self, data: Data) {
        if let Some(place) = self.layout.place(data, 0) {
            self.words[place.offset] = self.words[place.offset].saturating_sub(1);
        }
    }

    /// Sets a number, or the events of a rate's current period.
    pub fn set_at(&mut self, data: Data, element: u32, value: u64) {
        let Some(place) = self.layout.place(data, element) else { return };
        let words = &mut self.words[place.offset..];
        match place.shape {
            Shape::Rate => rate::set(words, value, self.now_us),
            Shape::Long => words[0] = value,
            _ => words[0] = value.min(u32::MAX.into()),
        }
    }

    /// Returns a value as of now.
    pub fn read_at(&self, data: Data, element: u32) -> Option<u64> {
        Some(value(self.words, self.layout.place(data, element)?, self.now_us))
    }
}

/// An entry that a stream or session tracks: it is not purged, and counts one current connection, until this is dropped.
#[derive(Debug)]
pub struct Tracked {
    entry: Arc<Entry>,
    /// The table it is from, by index in the plan.
    pub table: u32,
}

impl Tracked {
    /// Takes an entry whose tracker was counted already.
    pub(super) fn new(entry: Arc<Entry>, table: u32) -> Self {
        Self { entry, table }
    }

    /// Returns the entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Lets the entry go, which was in use until now.
    pub fn release(self, now_us: u64) {
        self.entry.touch(now_us);
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.entry.layout.stores(Data::ConnCur) {
            // Rates are left alone, so the time does not matter.
            self.entry.update(0, |writer| writer.subtract_one(Data::ConnCur));
        }
        self.entry.trackers.fetch_sub(1, Relaxed);
    }
}
