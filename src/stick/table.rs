//! A table: keys to entries, bounded in number and, if it expires them, in time.
//!
//! Keys are spread over stripes by a seeded hash that clients cannot aim at. Each stripe has its own lock, held for a
//! look-up or an insertion; entries are purged a few at a time, so that no caller waits for many. A full table evicts
//! the entry that was not used for longest, of the key's stripe first (tables of up to 1024 entries have one stripe, so it
//! is the oldest of all), unless it is `nopurge`; entries that are tracked stay.

use super::data::{Data, Layout};
use super::entry::{Entry, Tracked, Writer};
use super::key::KeyType;
use crossbeam::utils::CachePadded;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most stripes, and how many entries there are for one at least.
const STRIPES_MAX: usize = 64;
const STRIPE_ENTRIES: usize = 1024;
/// Expired entries that one call purges beside its work.
const PURGE_FEW: usize = 4;
/// Entries that a sweep or a walk looks at with a stripe locked.
const STEP: usize = 256;
/// No slot.
const NONE: u32 = u32::MAX;

/// What is said of a table.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The name of its proxy.
    pub name: String,
    /// The type of its keys.
    pub key: KeyType,
    /// The most entries; more than 0.
    pub size: u32,
    /// How long an entry lives behind its last use.
    pub expire_us: Option<u64>,
    /// Whether a full table refuses keys instead of forgetting others.
    pub nopurge: bool,
    /// Whether servers are known by their address instead of their name (`srvkey addr`).
    pub by_address: bool,
    /// The table that values of this one are written to (`write-to`), as it was named.
    pub write_to: Option<String>,
    /// What is stored with each key.
    pub layout: Layout,
}

/// A stick table.
#[derive(Debug)]
pub struct Table {
    spec: Spec,
    layout: Arc<Layout>,
    stripes: Box<[CachePadded<Mutex<Stripe>>]>,
    hasher: RandomState,
    used: CachePadded<AtomicU32>,
    refused: AtomicU64,
    evicted: AtomicU64,
}

impl Table {
    /// Returns an empty table.
    pub fn new(spec: Spec) -> Self {
        let wanted = (spec.size as usize / STRIPE_ENTRIES).clamp(1, STRIPES_MAX);
        // Rounded down, so that a stripe of a table that is not tiny is never of few entries.
        let count = 1 << wanted.ilog2();
        Self {
            layout: Arc::new(spec.layout.clone()),
            stripes: (0..count).map(|_| CachePadded::default()).collect(),
            hasher: RandomState::new(),
            used: CachePadded::default(),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            spec,
        }
    }

    /// Returns what was said of it.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns what it stores.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns how many entries there are; some of them may have expired since the last [`Table::sweep`].
    pub fn used(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// Returns how many keys found no room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Returns how many entries made room for others before they expired.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Returns the entry of a key, which is not touched by that.
    pub fn find(&self, key: &[u8], now_us: u64) -> Option<Arc<Entry>> {
        let hash = self.hasher.hash_one(key);
        let stripe = self.stripe(hash);
        let slot = stripe.find(hash, key)?;
        stripe.entry(slot).filter(|entry| !self.has_expired(entry, now_us)).cloned()
    }

    /// Returns the entry of a key, which is made if there is none, and touches it; nothing when there is no room.
    pub fn enter(&self, key: &[u8], now_us: u64) -> Option<Arc<Entry>> {
        self.enter_and(key, now_us, |_| {})
    }

    /// As [`Table::enter`], and the entry stays as long as the answer lives. It counts as a connection, and as what
    /// `also` counts; `index` is the table's in the plan.
    pub fn track(
        &self,
        key: &[u8],
        index: u32,
        now_us: u64,
        also: impl FnOnce(&mut Writer<'_>),
    ) -> Option<Tracked> {
        let entry = self.enter_and(key, now_us, |entry| {
            // Under the lock of the stripe, so that nobody purges it before.
            entry.trackers.fetch_add(1, Relaxed);
        })?;
        entry.update(now_us, |writer| {
            writer.add(Data::ConnCur, 1);
            writer.add(Data::ConnCnt, 1);
            writer.add(Data::ConnRate, 1);
            also(writer);
        });
        Some(Tracked::new(entry, index))
    }

    fn enter_and(&self, key: &[u8], now_us: u64, f: impl Fn(&Arc<Entry>)) -> Option<Arc<Entry>> {
        let hash = self.hasher.hash_one(key);
        if let Some(found) = self.touch(&mut self.stripe(hash), hash, key, now_us) {
            f(&found);
            return Some(found);
        }
        if !self.reserve(hash, now_us) {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        let mut stripe = self.stripe(hash);
        // Another shard may have entered the same key meanwhile.
        if let Some(found) = self.touch(&mut stripe, hash, key, now_us) {
            f(&found);
            self.used.fetch_sub(1, Relaxed);
            return Some(found);
        }
        let entry = Arc::new(Entry::new(hash, key, self.layout.clone(), now_us));
        f(&entry);
        stripe.insert(entry.clone(), now_us);
        Some(entry)
    }

    /// Returns the entry of a key if it is there and touches it; one that has expired is replaced, unless it is tracked.
    fn touch(&self, stripe: &mut Stripe, hash: u64, key: &[u8], now_us: u64) -> Option<Arc<Entry>> {
        self.purge(stripe, now_us, PURGE_FEW);
        let slot = stripe.find(hash, key)?;
        let entry = stripe.entry(slot)?.clone();
        if self.has_expired(&entry, now_us) {
            stripe.remove(slot);
            self.used.fetch_sub(1, Relaxed);
            return None;
        }
        entry.touch(now_us);
        Some(entry)
    }

    /// Takes room for one more entry, if need be that of the oldest one.
    fn reserve(&self, hash: u64, now_us: u64) -> bool {
        let size = self.spec.size;
        let free = |used: u32| (used < size).then_some(used + 1);
        if self.used.fetch_update(Relaxed, Relaxed, free).is_ok() {
            return true;
        }
        let own = self.stripe_index(hash);
        let count = self.stripes.len();
        for index in (own..count).chain(0..own) {
            let mut stripe = self.lock(index);
            if self.purge(&mut stripe, now_us, PURGE_FEW) > 0 {
                drop(stripe);
                if self.used.fetch_update(Relaxed, Relaxed, free).is_ok() {
                    return true;
                }
                stripe = self.lock(index);
            }
            if !self.spec.nopurge && stripe.evict_oldest() {
                self.evicted.fetch_add(1, Relaxed);
                // The room of the old one is that of the new one.
                return true;
            }
        }
        false
    }

    /// Returns whether an entry's time is over; one that is tracked stays.
    fn has_expired(&self, entry: &Entry, now_us: u64) -> bool {
        let Some(expire_us) = self.spec.expire_us else { return false };
        entry.touched_us() + expire_us <= now_us && entry.trackers() == 0
    }

    /// Purges at most `max` expired entries of a stripe; returns how many.
    fn purge(&self, stripe: &mut Stripe, now_us: u64, max: usize) -> usize {
        let Some(expire_us) = self.spec.expire_us else { return 0 };
        let mut purged = 0;
        for _ in 0..max {
            match stripe.due(now_us, expire_us, max) {
                Some(slot) => {
                    stripe.remove(slot);
                    purged += 1;
                }
                None => break,
            }
        }
        if purged > 0 {
            self.used.fetch_sub(purged as u32, Relaxed);
        }
        purged
    }

    /// Purges what has expired, few entries at a time; at most `rounds` times in each stripe. Returns how many.
    pub fn sweep(&self, now_us: u64, rounds: usize) -> usize {
        let mut total = 0;
        if self.spec.expire_us.is_none() {
            return 0;
        }
        for index in 0..self.stripes.len() {
            for _ in 0..rounds {
                let purged = self.purge(&mut self.lock(index), now_us, STEP);
                total += purged;
                if purged < STEP {
                    break;
                }
            }
        }
        total
    }

    /// Shows all entries in no certain order, few at a time: whoever comes and goes meanwhile may be missed.
    pub fn walk(&self, mut show: impl FnMut(&Arc<Entry>)) {
        for index in 0..self.stripes.len() {
            let mut from = 0;
            loop {
                let step: Vec<Arc<Entry>> = {
                    let stripe = self.lock(index);
                    let slots = stripe.slots.iter().skip(from).take(STEP);
                    slots.filter_map(|slot| slot.entry.clone()).collect()
                };
                step.iter().for_each(&mut show);
                from += STEP;
                if from >= self.lock(index).slots.len() {
                    break;
                }
            }
        }
    }

    /// Removes an entry unless it is tracked; returns whether it is gone.
    pub fn remove(&self, entry: &Entry) -> bool {
        let mut stripe = self.stripe(entry.hash);
        let Some(slot) = stripe.find(entry.hash, entry.key()) else { return true };
        let same = stripe.entry(slot).is_some_and(|found| std::ptr::eq(&**found, entry));
        if !same {
            return true;
        }
        if entry.trackers() > 0 {
            return false;
        }
        stripe.remove(slot);
        self.used.fetch_sub(1, Relaxed);
        true
    }

    /// Returns in how many microseconds an entry expires; 0 without `expire`.
    pub fn left_us(&self, entry: &Entry, now_us: u64) -> u64 {
        let expire_us = self.spec.expire_us.unwrap_or(0);
        if expire_us == 0 {
            return 0;
        }
        (entry.touched_us() + expire_us).saturating_sub(now_us)
    }

    fn stripe_index(&self, hash: u64) -> usize {
        // The lower bits choose the bucket in the stripe.
        (hash >> 48) as usize & (self.stripes.len() - 1)
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, Stripe> {
        self.lock(self.stripe_index(hash))
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Stripe> {
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place of a stripe for an entry.
#[derive(Debug)]
struct Slot {
    entry: Option<Arc<Entry>>,
    /// The next slot of the same bucket, or the next free one.
    next: u32,
    /// Under which time it stands in the queue: no later than when the entry was last touched.
    queued_us: u64,
}

/// A part of a table: a hash table with chains, and its entries in the order of their last use.
#[derive(Debug)]
struct Stripe {
    buckets: Vec<u32>,
    slots: Vec<Slot>,
    free: u32,
    len: usize,
    /// The queue is put right lazily: who was touched since moves when it comes to the front.
    queue: BTreeSet<(u64, u32)>,
}

impl Default for Stripe {
    fn default() -> Self {
        Self { buckets: Vec::new(), slots: Vec::new(), free: NONE, len: 0, queue: BTreeSet::new() }
    }
}

impl Stripe {
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let slot = &self.slots[at as usize];
            if slot.entry.as_ref().is_some_and(|entry| entry.hash == hash && entry.key() == key) {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    fn entry(&self, slot: u32) -> Option<&Arc<Entry>> {
        self.slots[slot as usize].entry.as_ref()
    }

    fn insert(&mut self, entry: Arc<Entry>, now_us: u64) {
        if self.len >= self.buckets.len() {
            self.grow();
        }
        let bucket = self.bucket(entry.hash);
        let slot = Slot { entry: Some(entry), next: self.buckets[bucket], queued_us: now_us };
        let at = match self.free {
            NONE => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            at => {
                self.free = self.slots[at as usize].next;
                self.slots[at as usize] = slot;
                at
            }
        };
        self.buckets[bucket] = at;
        self.queue.insert((now_us, at));
        self.len += 1;
    }

    fn grow(&mut self) {
        self.buckets = vec![NONE; (self.buckets.len() * 2).max(8)];
        for at in 0..self.slots.len() {
            let Some(hash) = self.slots[at].entry.as_ref().map(|entry| entry.hash) else {
                continue;
            };
            let bucket = self.bucket(hash);
            self.slots[at].next = std::mem::replace(&mut self.buckets[bucket], at as u32);
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(entry) = self.slots[at as usize].entry.take() else { return };
        let bucket = self.bucket(entry.hash);
        let next = std::mem::replace(&mut self.slots[at as usize].next, self.free);
        self.free = at;
        let mut link = self.buckets[bucket];
        if link == at {
            self.buckets[bucket] = next;
        } else {
            while self.slots[link as usize].next != at {
                link = self.slots[link as usize].next;
            }
            self.slots[link as usize].next = next;
        }
        self.queue.remove(&(self.slots[at as usize].queued_us, at));
        self.len -= 1;
    }

    /// Returns an entry that was not used for `expire_us` and is not tracked. Who was used meanwhile is queued anew, at
    /// most `moves` of them.
    fn due(&mut self, now_us: u64, expire_us: u64, moves: usize) -> Option<u32> {
        let until_us = now_us.checked_sub(expire_us)?;
        for _ in 0..=moves {
            let &(queued_us, at) = self.queue.first()?;
            if queued_us > until_us {
                return None;
            }
            let Some(entry) = &self.slots[at as usize].entry else { return None };
            let (touched_us, tracked) = (entry.touched_us(), entry.trackers() > 0);
            if touched_us <= until_us && !tracked {
                return Some(at);
            }
            // A tracked one is used until now: when it is let go, it is touched.
            self.queue_again(at, if tracked { now_us } else { touched_us });
        }
        None
    }

    fn queue_again(&mut self, at: u32, queued_us: u64) {
        let slot = &mut self.slots[at as usize];
        self.queue.remove(&(slot.queued_us, at));
        slot.queued_us = queued_us;
        self.queue.insert((queued_us, at));
    }

    /// Removes the entry that was not used for longest and is not tracked; returns whether one was found in a bounded
    /// number of steps, which put the queue right for the next call.
    fn evict_oldest(&mut self) -> bool {
        for _ in 0..STEP {
            let Some(&(queued_us, at)) = self.queue.first() else { return false };
            let Some(entry) = &self.slots[at as usize].entry else { return false };
            let (touched_us, tracked) = (entry.touched_us(), entry.trackers() > 0);
            if tracked {
                let last_us = self.queue.last().map_or(0, |(last_us, _)| *last_us);
                self.queue_again(at, last_us + 1);
            } else if touched_us > queued_us {
                self.queue_again(at, touched_us);
            } else {
                self.remove(at);
                return true;
            }
        }
        false
    }
}
