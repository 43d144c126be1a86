//! What a stream leaves behind and what limits it: log lines, counters, deadlines.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastlb::log::{Line, LogQueue, Origin, ShardLog};
use fastlb::metrics::{Counter, ObjectId, Phase, Registry};
use fastlb::runtime::deadline::{Deadline, Timers};
use fastlb::stdx::wheel::Wheel;

use super::proto::{BROWSER, NGINX};
use super::rules::TYPICAL;
use super::stream::{NOW_US, Stream};
use super::{Case, Op, Steps};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("log/httplog text", log_text),
        case("log/httplog text + syslog line", log_line),
        case("counters/add", count_one),
        case("counters/record a duration", record_one),
        case("counters/all of a stream", count_all),
        case("timer/arm, later than before", || arm(Duration::from_secs(30), None)),
        case("timer/arm, nearer than before", || {
            arm(Duration::from_secs(1), Some(Duration::from_secs(30)))
        }),
        case("timer/wheel insert + cancel", insert_cancel),
    ]
}

fn log_text() -> Box<dyn Op> {
    Box::new(Steps {
        state: (Stream::new(TYPICAL, BROWSER).answered(NGINX), Vec::with_capacity(1024)),
        prepare: |state: &mut (Stream, Vec<u8>)| state.1.clear(),
        run: |(stream, text): &mut (Stream, Vec<u8>)| write_text(stream, text),
    })
}

/// Writes what `option httplog` says about the stream.
pub(crate) fn write_text(stream: &mut Stream, text: &mut Vec<u8>) {
    stream.evaluate(|www, context| {
        www.log.format.as_ref().expect("the frontend logs").write(context, text);
    });
    black_box(text);
}

/// A shard's log whose lines go nowhere.
pub(crate) struct Log {
    queue: Arc<LogQueue>,
    shard: ShardLog,
    text: Vec<u8>,
}

impl Log {
    /// Returns one without lines.
    pub(crate) fn new() -> Self {
        let queue = LogQueue::new(Origin { hostname: None, pid: 4711 });
        let shard = queue.shard_log();
        Self { queue, shard, text: Vec::with_capacity(1024) }
    }

    /// Takes what was handed to the writer, as the writer would.
    pub(crate) fn drain(&mut self) {
        while let Some(batch) = self.queue.pop() {
            self.queue.recycle(batch);
        }
    }

    /// Logs the stream.
    pub(crate) fn stream(&mut self, stream: &mut Stream) {
        self.text.clear();
        write_text(stream, &mut self.text);
        let log = &stream.plan.frontends[0].log;
        let line =
            Line { tag: "fastlb", level: 6, now_us: NOW_US, structured: b"", message: &self.text };
        self.shard.write(&log.targets, line);
    }
}

fn log_line() -> Box<dyn Op> {
    Box::new(Steps {
        state: (Stream::new(TYPICAL, BROWSER).answered(NGINX), Log::new()),
        prepare: |state: &mut (Stream, Log)| state.1.drain(),
        run: |(stream, log): &mut (Stream, Log)| log.stream(stream),
    })
}

fn count_one() -> Box<dyn Op> {
    Box::new(Steps {
        state: Registry::new(1, 8),
        prepare: |_: &mut Registry| (),
        run: |registry: &mut Registry| {
            registry.shard(0).add(black_box(ObjectId(3)), black_box(Counter::Requests), 1);
        },
    })
}

fn record_one() -> Box<dyn Op> {
    Box::new(Steps {
        state: Registry::new(1, 8),
        prepare: |_: &mut Registry| (),
        run: |registry: &mut Registry| {
            registry.shard(0).record(black_box(ObjectId(3)), Phase::Total, black_box(1_234));
        },
    })
}

fn count_all() -> Box<dyn Op> {
    Box::new(Steps {
        state: Registry::new(1, 8),
        prepare: |_: &mut Registry| (),
        run: |registry: &mut Registry| count_stream(registry),
    })
}

/// Counts what the runtime counts for a request over an upstream connection that was open already.
pub(crate) fn count_stream(registry: &Registry) {
    let cells = registry.shard(0);
    let [frontend, bind, backend, server] = black_box([0, 1, 2, 3]).map(ObjectId);
    cells.add(frontend, Counter::Requests, 1);
    for object in [backend, server] {
        cells.add(object, Counter::Assigned, 1);
        cells.add(object, Counter::Sessions, 1);
        cells.add(object, Counter::Reuses, 1);
        cells.add(object, Counter::Requests, 1);
    }
    for object in [frontend, bind, backend, server] {
        cells.add(object, Counter::BytesIn, black_box(700));
        cells.add(object, Counter::BytesOut, black_box(1_234));
        cells.add(object, Counter::of_status(black_box(200)), 1);
    }
    cells.record(server, Phase::FirstByte, black_box(1_200));
    cells.record(server, Phase::Total, black_box(1_500));
}

/// Arms one of a thousand deadlines.
fn arm(after: Duration, before: Option<Duration>) -> Box<dyn Op> {
    let timers = Timers::new();
    let deadlines: Vec<Rc<Deadline>> = (0..1000).map(|_| Deadline::new()).collect();
    for (at, deadline) in deadlines.iter().enumerate() {
        timers.arm(deadline, Some(Duration::from_millis(5_000 + at as u64)));
    }
    Box::new(Steps {
        state: (timers, deadlines),
        prepare: move |(timers, deadlines): &mut (Timers, Vec<Rc<Deadline>>)| {
            if let Some(before) = before {
                // Off the wheel first: a deadline that is there is not moved to a later place.
                timers.forget(&deadlines[500]);
                timers.arm(&deadlines[500], Some(before));
            }
        },
        run: move |(timers, deadlines): &mut (Timers, Vec<Rc<Deadline>>)| {
            timers.arm(black_box(&deadlines[500]), Some(black_box(after)));
        },
    })
}

fn insert_cancel() -> Box<dyn Op> {
    let mut wheel = Wheel::new(20, 0);
    for at in 0..1000 {
        wheel.insert(at, 5_000 + at);
    }
    Box::new(Steps {
        state: wheel,
        prepare: |_: &mut Wheel<u64>| (),
        run: |wheel: &mut Wheel<u64>| {
            let handle = wheel.insert(black_box(7), black_box(30_000));
            black_box(wheel.cancel(handle));
        },
    })
}
