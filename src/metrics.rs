//! One table of counters, one row of cells per object and shard, and latency histograms.
//!
//! A cell has a single writer (its shard) and any number of readers, so recording is a relaxed load and store: no lock,
//! no read-modify-write, no cache line shared between shards. A reader sums the shards into a [`Snapshot`].
//! To add a counter, add a row to the table. This module never knows names or how counters are shown.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Index of a counted object (frontend, backend, server, listener) in one plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

macro_rules! counters {
    ($($name:ident $doc:literal,)*) => {
        /// What is counted, per object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Counter { $(#[doc = $doc] $name,)* }

        impl Counter {
            /// All counters with what each counts, in table order.
            pub const ALL: &[(Counter, &'static str)] = &[$((Counter::$name, $doc),)*];
        }
    };
}

counters! {
    Connections "Connections accepted (frontends).",
    Sessions "Sessions of a frontend; streams assigned to a backend or server.",
    Requests "HTTP requests received.",
    BytesIn "Bytes received from clients, head and body.",
    BytesOut "Bytes sent to clients, head and body.",
    DeniedRequests "Requests refused by a rule.",
    DeniedResponses "Responses refused by a rule.",
    DeniedConnections "Connections refused by a tcp-request connection rule.",
    RequestErrors "Requests that were broken, cut short or timed out while they were received.",
    ConnectErrors "Connection attempts to a server that failed.",
    ResponseErrors "Responses that were broken, cut short or timed out.",
    Retries "Connection attempts made again.",
    Redispatches "Streams moved to another server after a failure.",
    Assigned "Times a balancing decision chose the object.",
    ClientAborts "Transfers that the client broke off.",
    ServerAborts "Transfers that the server broke off.",
    Http1xx "Responses with status 1xx.",
    Http2xx "Responses with status 2xx.",
    Http3xx "Responses with status 3xx.",
    Http4xx "Responses with status 4xx.",
    Http5xx "Responses with status 5xx.",
    HttpOther "Responses with any other status.",
    Intercepted "Requests answered by the proxy itself (redirect, return, stats).",
    ConnectAttempts "Connection attempts to a server.",
    Reuses "Streams served over an upstream connection that was already open.",
    RewriteErrors "Header rewrites that did not fit.",
    InternalErrors "Streams ended by an error of the proxy itself.",
    MaxconnReached "Times new connections had to wait because a maxconn was reached.",
    AcceptPauses "Times accepting paused because the kernel had no descriptor or memory left.",
    LogsDropped "Log lines dropped because a queue was full.",
}

/// Number of counters per object.
pub const COUNTERS: usize = Counter::ALL.len();

impl Counter {
    /// Returns the counter of a status code's class.
    pub fn of_status(status: u16) -> Counter {
        match status {
            100..=199 => Counter::Http1xx,
            200..=299 => Counter::Http2xx,
            300..=399 => Counter::Http3xx,
            400..=499 => Counter::Http4xx,
            500..=599 => Counter::Http5xx,
            _ => Counter::HttpOther,
        }
    }
}

/// A part of a stream's life whose duration is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a free slot.
    Queue,
    /// Connecting to the server.
    Connect,
    /// From the sent request to the first byte of the response.
    FirstByte,
    /// The whole stream.
    Total,
}

/// Number of phases.
pub const PHASES: usize = 4;

impl Phase {
    /// All phases in the order of a stream's life.
    pub const ALL: [Phase; PHASES] = [Phase::Queue, Phase::Connect, Phase::FirstByte, Phase::Total];
}

/// Sub-buckets per power of two: values are kept to about 3 %.
const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
/// Values of 2^36 µs (19 hours) and more share the last bucket.
const OCTAVES: usize = 36 - SUB_BITS as usize;
const BUCKETS: usize = SUB * (OCTAVES + 1);

/// A histogram of microseconds with one writer and any number of readers.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    fn record(&self, micros: u64) {
        bump(&self.buckets[bucket(micros)], 1);
        bump(&self.count, 1);
        bump(&self.sum, micros);
        if micros > self.max.load(Relaxed) {
            self.max.store(micros, Relaxed);
        }
    }
}

fn bucket(micros: u64) -> usize {
    if micros < SUB as u64 {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() - SUB_BITS;
    let sub = (micros >> octave) as usize - SUB;
    (SUB * (octave as usize + 1) + sub).min(BUCKETS - 1)
}

/// Returns the smallest value of a bucket.
fn bucket_floor(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let octave = index / SUB - 1;
    ((SUB + index % SUB) as u64) << octave
}

fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

/// All cells of one shard. Only the owning shard may call the recording methods.
#[repr(align(128))]
pub struct ShardCells {
    cells: Box<[[AtomicU64; COUNTERS]]>,
    histograms: Box<[OnceLock<Box<[Histogram; PHASES]>>]>,
}

impl ShardCells {
    /// Returns zeroed cells for `objects` objects.
    pub fn new(objects: usize) -> Self {
        Self {
            cells: (0..objects).map(|_| [const { AtomicU64::new(0) }; COUNTERS]).collect(),
            histograms: (0..objects).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the row of an object, for several counters at once.
    pub fn row(&self, object: ObjectId) -> Row<'_> {
        Row(&self.cells[object.0 as usize])
    }

    /// Adds `by` to a counter of an object.
    pub fn add(&self, object: ObjectId, counter: Counter, by: u64) {
        self.row(object).add(counter, by);
    }

    /// Records a duration in microseconds.
    pub fn record(&self, object: ObjectId, phase: Phase, micros: u64) {
        let histograms = self.histograms[object.0 as usize]
            .get_or_init(|| Box::new(std::array::from_fn(|_| Histogram::new())));
        histograms[phase as usize].record(micros);
    }

    /// Returns what this shard counted for an object.
    pub fn get(&self, object: ObjectId, counter: Counter) -> u64 {
        self.cells[object.0 as usize][counter as usize].load(Relaxed)
    }
}

/// The counters of one object in one shard.
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a [AtomicU64; COUNTERS]);

impl Row<'_> {
    /// Adds `by` to a counter.
    pub fn add(self, counter: Counter, by: u64) {
        bump(&self.0[counter as usize], by);
    }
}

/// The cells of every shard of one plan.
pub struct Registry {
    shards: Vec<ShardCells>,
    objects: usize,
}

impl Registry {
    /// Returns zeroed cells for `shards` shards and `objects` objects.
    pub fn new(shards: usize, objects: usize) -> Self {
        Self { shards: (0..shards).map(|_| ShardCells::new(objects)).collect(), objects }
    }

    /// Returns the cells of one shard.
    pub fn shard(&self, index: usize) -> &ShardCells {
        &self.shards[index]
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the number of objects.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// Returns the sum of a counter over all shards.
    pub fn total(&self, object: ObjectId, counter: Counter) -> u64 {
        self.shards.iter().map(|shard| shard.get(object, counter)).sum()
    }

    /// Returns how often, how long in sum and how long at most a phase of an object took: cheap, no histogram is read.
    pub fn duration(&self, object: ObjectId, phase: Phase) -> PhaseTime {
        let mut duration = PhaseTime::default();
        for histogram in self.histograms(object, phase) {
            duration.count = duration.count.wrapping_add(histogram.count.load(Relaxed));
            duration.sum_micros = duration.sum_micros.wrapping_add(histogram.sum.load(Relaxed));
            duration.max_micros = duration.max_micros.max(histogram.max.load(Relaxed));
        }
        duration
    }

    /// Returns the merged histogram of an object's phase.
    pub fn latency(&self, object: ObjectId, phase: Phase) -> Latency {
        let mut latency = Latency::default();
        self.read_latency(object, phase, &mut latency);
        latency
    }

    /// Replaces what `latency` holds by the merged histogram of an object's phase; keeps its memory.
    pub fn read_latency(&self, object: ObjectId, phase: Phase, latency: &mut Latency) {
        latency.histogram.reset();
        latency.sum_micros = 0;
        for histogram in self.histograms(object, phase) {
            latency.sum_micros = latency.sum_micros.wrapping_add(histogram.sum.load(Relaxed));
            // Nothing was recorded above the bucket of the maximum.
            let last = bucket(histogram.max.load(Relaxed));
            for (index, cell) in histogram.buckets[..=last].iter().enumerate() {
                let count = cell.load(Relaxed);
                if count > 0 {
                    // 1..=2^36 fits the bounds that `Latency` was made with, so recording cannot fail.
                    let value = bucket_floor(index).max(1);
                    let _ = latency.histogram.record_n(value, count);
                }
            }
        }
    }

    fn histograms(&self, object: ObjectId, phase: Phase) -> impl Iterator<Item = &Histogram> {
        self.shards.iter().filter_map(move |shard| {
            shard.histograms[object.0 as usize].get().map(|phases| &phases[phase as usize])
        })
    }
}

/// What a phase took over all shards, without its distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTime {
    /// How often it was recorded.
    pub count: u64,
    /// Sum of all values, microseconds.
    pub sum_micros: u64,
    /// Greatest value, microseconds.
    pub max_micros: u64,
}

/// A merged histogram for readers, in microseconds.
pub struct Latency {
    /// The values.
    pub histogram: hdrhistogram::Histogram<u64>,
    /// Exact sum of all values.
    pub sum_micros: u64,
}

impl Latency {
    /// Returns the value that a share of all values does not exceed, in microseconds; `None` without values.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        (!self.histogram.is_empty()).then(|| self.histogram.value_at_quantile(share))
    }
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_bounds(1, 1 << 37, 2)
            .expect("constant bounds that the crate accepts");
        Self { histogram, sum_micros: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_whose_floor_is_at_most_3_percent_below() {
        for value in (0..36).flat_map(|bit| [1u64 << bit, (1 << bit) + 1, (3 << bit) / 2]) {
            let floor = bucket_floor(bucket(value));
            assert!(
                floor <= value && (value - floor) as f64 <= value as f64 * 0.032,
                "{value} -> {floor}"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_reader_sums_what_shards_recorded() {
        let registry = Registry::new(2, 3);
        registry.shard(0).add(ObjectId(1), Counter::Requests, 2);
        registry.shard(1).add(ObjectId(1), Counter::Requests, 3);
        registry.shard(1).record(ObjectId(1), Phase::Total, 1_000);
        registry.shard(0).record(ObjectId(1), Phase::Total, 9_000);
        assert_eq!(registry.total(ObjectId(1), Counter::Requests), 5);
        let latency = registry.latency(ObjectId(1), Phase::Total);
        assert_eq!((latency.histogram.len(), latency.sum_micros), (2, 10_000));
        assert!(latency.quantile(0.99) >= Some(8_700));
        let duration = registry.duration(ObjectId(1), Phase::Total);
        assert_eq!(duration, PhaseTime { count: 2, sum_micros: 10_000, max_micros: 9_000 });
    }

    #[test]
    fn reading_a_second_object_forgets_the_first() {
        let registry = Registry::new(1, 2);
        registry.shard(0).record(ObjectId(0), Phase::Queue, 7);
        let mut latency = Latency::default();
        registry.read_latency(ObjectId(0), Phase::Queue, &mut latency);
        assert_eq!(latency.quantile(0.5), Some(7));
        registry.read_latency(ObjectId(1), Phase::Queue, &mut latency);
        assert_eq!((latency.quantile(0.5), latency.sum_micros), (None, 0));
    }
}
