//! Slots and queues: who may be served now, who waits, and who is next when a slot comes free.
//!
//! A stream asks [`Farm::try_acquire`] for a slot of the server it was given; when that server is full (or when the
//! balancer found every server full) it lines up with [`Farm::enqueue`] for that server or for the backend. A
//! stream that ends calls [`Farm::release`], and its slot passes to the first that waits: the answer names the
//! [`Ticket`] to wake, and the shard that owns it must be told.
//!
//! What holds at any moment, across shards: no server with `maxconn` has more streams than that; a newcomer never
//! overtakes streams that wait for the same server; a slot is never free while a stream waits that could take it,
//! except between the two steps of one call. The lock is touched only while somebody waits.

use super::{Farm, Live, ServerId};
use crossbeam::utils::CachePadded;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who waits: `id` means something only to the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The shard to tell.
    pub shard: u16,
    /// What that shard calls the stream.
    pub id: u64,
}

/// A place in a queue, for [`Farm::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueKey {
    sequence: u64,
    /// The server that is waited for, or none for the backend.
    uid: Option<u64>,
}

/// What became of a stream that lined up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Enqueue {
    /// A slot came free meanwhile and is taken; no wake will come.
    Granted(ServerId),
    /// It waits; a [`Wake`] with its ticket will come unless it is cancelled before.
    Waiting(QueueKey),
    /// The queue is full.
    Full,
    /// The server (or the last server) went out of service: balance again.
    Gone,
}

/// A stream that waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Whom to tell.
    pub ticket: Ticket,
    /// The server whose slot it now holds, as its own farm counts servers; none when what it waited for is gone
    /// (server down, no server left) and it must be balanced again.
    pub server: Option<ServerId>,
}

impl Farm {
    /// Takes a slot of the server; false when it is full or others wait for it.
    #[must_use]
    pub fn try_acquire(&self, id: ServerId) -> bool {
        let live = self.servers[id].live();
        (live.maxconn() == 0 || live.waiting.load(SeqCst) == 0) && live.take()
    }

    /// Takes a slot even beyond the limit, as persistent streams of some options and health demand.
    pub fn force_acquire(&self, id: ServerId) {
        self.servers[id].live().take_beyond_limit();
    }

    /// Gives a slot back, or passes it to the first stream that waits for it and returns whom to wake.
    #[must_use = "the woken stream waits for its shard to be told"]
    pub fn release(&self, id: ServerId) -> Option<Wake> {
        let live = self.servers[id].live();
        if !self.someone_waits(live) {
            live.give();
            if !self.someone_waits(live) {
                return None;
            }
            // Somebody lined up between the two looks and may have missed the slot.
            return self.hand_over(&mut self.lanes.lock(), id);
        }
        let mut inner = self.lanes.lock();
        match self.first_in_line(&inner, id) {
            // The slot passes on without being free in between, so no newcomer can slip in.
            Some(place) if live.within_limit() => {
                live.count_pick();
                self.call(&mut inner, id, place)
            }
            _ => {
                live.give();
                None
            }
        }
    }

    /// Lines up for that server, or with none for whichever server of the backend comes free first.
    ///
    /// Call it after [`Farm::try_acquire`] or the balancer found no room.
    pub fn enqueue(&self, server: Option<ServerId>, ticket: Ticket) -> Enqueue {
        let mut inner = self.lanes.lock();
        match server {
            Some(id) => self.enqueue_own(&mut inner, id, ticket),
            None => self.enqueue_backend(&mut inner, ticket),
        }
    }

    fn enqueue_own(&self, inner: &mut Inner, id: ServerId, ticket: Ticket) -> Enqueue {
        let live = self.servers[id].live();
        if !live.takes_persistent() {
            return Enqueue::Gone;
        }
        let ahead = live.waiting.load(SeqCst);
        let limit = match live.maxqueue() {
            0 => self.lanes.queue_max,
            max => self.lanes.queue_max.min(max),
        };
        if ahead >= limit {
            return Enqueue::Full;
        }
        // Announce first, look again second; `release` gives first and looks second, so one of the two sees.
        live.waiting.store(ahead + 1, SeqCst);
        if ahead == 0 && live.take() {
            live.waiting.store(0, SeqCst);
            return Enqueue::Granted(id);
        }
        live.waiting_max.fetch_max(ahead + 1, Relaxed);
        let key = inner.line_up(Some(live.uid()), ticket, self.generation);
        Enqueue::Waiting(key)
    }

    fn enqueue_backend(&self, inner: &mut Inner, ticket: Ticket) -> Enqueue {
        let ahead = inner.backend.len() as u32;
        if ahead >= self.lanes.queue_max {
            return Enqueue::Full;
        }
        self.lanes.waiting.store(ahead + 1, SeqCst);
        let free = (0..self.servers.len()).find(|&id| {
            let live = self.servers[id].live();
            self.is_chosen(id) && self.first_in_line(inner, id).is_none() && live.take()
        });
        if free.is_some() || self.nbsrv() == 0 {
            self.lanes.waiting.store(ahead, SeqCst);
            return free.map_or(Enqueue::Gone, Enqueue::Granted);
        }
        self.lanes.waiting_max.fetch_max(ahead + 1, Relaxed);
        Enqueue::Waiting(inner.line_up(None, ticket, self.generation))
    }

    /// Leaves the queue, as when the client goes or `timeout queue` strikes.
    ///
    /// False means that the wake is already on its way: the slot it brings must be released when it comes.
    #[must_use]
    pub fn cancel(&self, key: QueueKey) -> bool {
        let mut inner = self.lanes.lock();
        let found = inner.leave(key).is_some();
        match key.uid {
            None => self.lanes.publish(&inner),
            Some(uid) => {
                if let Some(server) = self.servers.iter().find(|s| s.uid() == uid) {
                    inner.publish_own(server.live());
                }
            }
        }
        found
    }

    /// Returns how many streams wait for whichever server of the backend comes free first.
    pub fn queued(&self) -> u32 {
        self.lanes.waiting.load(SeqCst)
    }

    /// Returns the most streams that ever waited for the backend.
    pub fn queued_max(&self) -> u32 {
        self.lanes.waiting_max.load(Relaxed)
    }

    /// Returns how many streams wait for the backend or for one of its servers.
    pub fn queued_total(&self) -> u64 {
        let own: u64 = self.servers.iter().map(|s| u64::from(s.queued())).sum();
        own + u64::from(self.queued())
    }

    /// Hands free slots of the server to those who wait, after its state or limit changed.
    pub(super) fn fill(&self, id: ServerId, wakes: &mut Vec<Wake>) {
        if !self.someone_waits(self.servers[id].live()) {
            return;
        }
        let mut inner = self.lanes.lock();
        while let Some(wake) = self.hand_over(&mut inner, id) {
            wakes.push(wake);
        }
    }

    fn someone_waits(&self, live: &Live) -> bool {
        live.waiting.load(SeqCst) != 0 || self.lanes.waiting.load(SeqCst) != 0
    }

    /// Takes a slot for the stream that has waited longest among those who may have it.
    fn hand_over(&self, inner: &mut Inner, id: ServerId) -> Option<Wake> {
        let place = self.first_in_line(inner, id)?;
        if !self.servers[id].live().take() {
            return None;
        }
        self.call(inner, id, place)
    }

    /// Returns the place of the stream that may have the next slot of the server: the one that has waited longest
    /// for it or, while the server takes new streams, for the backend.
    fn first_in_line(&self, inner: &Inner, id: ServerId) -> Option<QueueKey> {
        let live = self.servers[id].live();
        let own = inner.first_own(live.uid());
        let backend = match !inner.backend.is_empty() && self.is_chosen(id) {
            true => inner.first_backend(live.uid()),
            false => None,
        };
        own.into_iter().chain(backend).min_by_key(|key| key.sequence)
    }

    /// Calls the stream at that place, which must exist, to the slot that was taken for it.
    fn call(&self, inner: &mut Inner, id: ServerId, place: QueueKey) -> Option<Wake> {
        let live = self.servers[id].live();
        let entry = inner.leave(place)?;
        match place.uid {
            None => self.lanes.publish(inner),
            Some(_) => inner.publish_own(live),
        }
        Some(Wake { ticket: entry.ticket, server: inner.index_of(entry.generation, live.uid()) })
    }
}

/// The queues of one backend, shared by the farms before and after a reload.
#[derive(Debug)]
pub(super) struct Lanes {
    epoch: CachePadded<AtomicU64>,
    /// Length of the backend's queue; changed under the lock only.
    waiting: AtomicU32,
    waiting_max: AtomicU32,
    queue_max: u32,
    /// The books of the backend as a whole; only control writes them.
    nbsrv: AtomicU32,
    downs: AtomicU64,
    changed_ms: AtomicU64,
    downtime_ms: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sequence: u64,
    backend: BTreeMap<u64, Entry>,
    /// By `Live::uid`; no lane is empty.
    own: HashMap<u64, BTreeMap<u64, Entry>>,
    /// The farms that share these lanes, with the uids of their servers in their order.
    farms: Vec<(u64, Vec<u64>)>,
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ticket: Ticket,
    /// The farm whose server numbers the ticket's owner understands.
    generation: u64,
}

impl Lanes {
    pub(super) fn new(queue_max: u32, now_ms: u64) -> Self {
        Self {
            epoch: CachePadded::new(AtomicU64::new(0)),
            waiting: AtomicU32::new(0),
            waiting_max: AtomicU32::new(0),
            queue_max,
            nbsrv: AtomicU32::new(1),
            downs: AtomicU64::new(0),
            changed_ms: AtomicU64::new(now_ms),
            downtime_ms: AtomicU64::new(0),
            inner: Mutex::new(Inner::default()),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    pub(super) fn bump(&self) {
        self.epoch.fetch_add(1, SeqCst);
    }

    /// Adds a farm with the uids of its servers, and returns the name it has here.
    pub(super) fn register(&self, uids: Vec<u64>) -> u64 {
        let mut inner = self.lock();
        inner.generation += 1;
        let generation = inner.generation;
        inner.farms.push((generation, uids));
        generation
    }

    /// Removes a farm whose streams are all gone, and whatever they forgot to take out of the backend's queue.
    pub(super) fn forget(&self, generation: u64) {
        let mut inner = self.lock();
        inner.farms.retain(|(name, _)| *name != generation);
        inner.backend.retain(|_, entry| entry.generation != generation);
        self.publish(&inner);
    }

    /// Keeps the books of the backend: it is down while no server takes new streams.
    pub(super) fn note_size(&self, nbsrv: usize, now_ms: u64) {
        let before = self.nbsrv.swap(nbsrv as u32, Relaxed);
        if (before == 0) == (nbsrv == 0) {
            return;
        }
        let since = self.changed_ms.swap(now_ms, Relaxed);
        if nbsrv == 0 {
            self.downs.fetch_add(1, Relaxed);
        } else {
            let down_ms = now_ms.saturating_sub(since);
            self.downtime_ms.fetch_add(down_ms, Relaxed);
        }
    }

    pub(super) fn downs(&self) -> u64 {
        self.downs.load(Relaxed)
    }

    pub(super) fn changed_ms(&self) -> u64 {
        self.changed_ms.load(Relaxed)
    }

    pub(super) fn downtime_ms(&self, now_ms: u64) -> u64 {
        let running = match self.nbsrv.load(Relaxed) {
            0 => now_ms.saturating_sub(self.changed_ms()),
            _ => 0,
        };
        self.downtime_ms.load(Relaxed) + running
    }

    /// Sends away all who wait for that very server.
    pub(super) fn flush_own(&self, live: &Live, wakes: &mut Vec<Wake>) {
        let mut inner = self.lock();
        if let Some(lane) = inner.own.remove(&live.uid()) {
            wakes.extend(lane.into_values().map(Entry::balance_again));
            inner.publish_own(live);
        }
    }

    /// Sends away all who wait for the backend.
    pub(super) fn flush_backend(&self, wakes: &mut Vec<Wake>) {
        let mut inner = self.lock();
        let lane = std::mem::take(&mut inner.backend);
        wakes.extend(lane.into_values().map(Entry::balance_again));
        self.publish(&inner);
    }

    fn publish(&self, inner: &Inner) {
        self.waiting.store(inner.backend.len() as u32, SeqCst);
    }

    /// A panic under the lock leaves the queues whole: every step that can panic comes before the first change.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn line_up(&mut self, uid: Option<u64>, ticket: Ticket, generation: u64) -> QueueKey {
        self.sequence += 1;
        let sequence = self.sequence;
        let lane = match uid {
            Some(uid) => self.own.entry(uid).or_default(),
            None => &mut self.backend,
        };
        lane.insert(sequence, Entry { ticket, generation });
        QueueKey { sequence, uid }
    }

    fn leave(&mut self, key: QueueKey) -> Option<Entry> {
        let Some(uid) = key.uid else {
            return self.backend.remove(&key.sequence);
        };
        let lane = self.own.get_mut(&uid)?;
        let entry = lane.remove(&key.sequence);
        if lane.is_empty() {
            self.own.remove(&uid);
        }
        entry
    }

    fn publish_own(&self, live: &Live) {
        let waiting = self.own.get(&live.uid()).map_or(0, BTreeMap::len);
        live.waiting.store(waiting as u32, SeqCst);
    }

    fn first_own(&self, uid: u64) -> Option<QueueKey> {
        self.first_of(self.own.get(&uid)?, uid)
            .map(|sequence| QueueKey { sequence, uid: Some(uid) })
    }

    fn first_backend(&self, uid: u64) -> Option<QueueKey> {
        self.first_of(&self.backend, uid).map(|sequence| QueueKey { sequence, uid: None })
    }

    /// The first whose farm knows the server: another than the very first only around a reload.
    fn first_of(&self, lane: &BTreeMap<u64, Entry>, uid: u64) -> Option<u64> {
        lane.iter()
            .find(|(_, entry)| self.index_of(entry.generation, uid).is_some())
            .map(|(&sequence, _)| sequence)
    }

    fn index_of(&self, generation: u64, uid: u64) -> Option<ServerId> {
        let (_, uids) = self.farms.iter().find(|(name, _)| *name == generation)?;
        uids.iter().position(|&known| known == uid)
    }
}

impl Entry {
    fn balance_again(self) -> Wake {
        Wake { ticket: self.ticket, server: None }
    }
}
