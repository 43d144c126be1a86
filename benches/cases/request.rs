//! Everything the engines do for one request, from the received head to the counters, without any IO.
//!
//! This is what the userspace budget of 2 µs is held against; it also writes both heads and arms the deadline.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastlb::balance::{Balancer, Key};
use fastlb::metrics::Registry;
use fastlb::proto::h1::parse::{Limits, RequestKind, request, response};
use fastlb::proto::h1::write::{Hop, needs_rewrite, write_request, write_response};
use fastlb::proto::http::{BodyLength, Head, Version};
use fastlb::rules::action::run;
use fastlb::runtime::deadline::{Deadline, Timers};

use super::account::{Log, count_stream};
use super::proto::{BROWSER, CURL, NGINX};
use super::rules::TYPICAL;
use super::stream::Stream;
use super::{Case, Op, Steps};

/// Four servers and nothing else.
const PLAIN: &str = "
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend www
    bind 127.0.0.1:8080
    default_backend app
backend app
    balance roundrobin
    server a1 127.0.0.1:9001
    server a2 127.0.0.1:9002
    server a3 127.0.0.1:9003
    server a4 127.0.0.1:9004
";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("request/plain/curl", || whole(PLAIN, CURL, false)),
        case("request/plain/browser", || whole(PLAIN, BROWSER, false)),
        case("request/10 acls, 3 edits/browser", || whole(TYPICAL, BROWSER, false)),
        case("request/10 acls, 3 edits, log/browser", || whole(TYPICAL, BROWSER, true)),
    ]
}

/// One shard's part of the world.
struct Shard {
    stream: Stream,
    answer: Head,
    balancers: Vec<Balancer>,
    counters: Registry,
    timers: Timers,
    deadline: Rc<Deadline>,
    out: Vec<u8>,
    log: Option<Log>,
}

fn whole(config: &str, bytes: &'static [u8], log: bool) -> Box<dyn Op> {
    let stream = Stream::new(config, bytes);
    let plan = Arc::clone(&stream.plan);
    let farms = plan.backends.iter().zip(&plan.farms);
    let shard = Shard {
        stream,
        answer: Head::new(),
        balancers: farms.map(|(backend, farm)| Balancer::new(&backend.balance, farm, 0)).collect(),
        counters: Registry::new(1, 8),
        timers: Timers::new(),
        deadline: Deadline::new(),
        out: Vec::with_capacity(4096),
        log: log.then(Log::new),
    };
    Box::new(Steps {
        state: shard,
        prepare: move |shard: &mut Shard| {
            shard.stream.receive(bytes);
            shard.answer.clear();
            shard.answer.buffer_mut().extend_from_slice(NGINX);
            if let Some(log) = &mut shard.log {
                log.drain();
            }
        },
        run: Shard::serve,
    })
}

impl Shard {
    fn serve(&mut self) {
        let plan = Arc::clone(&self.stream.plan);
        let timeouts = &plan.frontends[0].timeouts;
        self.arm(timeouts.client);
        let _ = black_box(request(black_box(&mut self.stream.request), &Limits::default()));
        black_box(self.stream.evaluate(|www, context| run(&www.http_request, context)));
        let index = self.stream.choose_backend().expect("there is a default") as usize;
        self.stream.record.backend = Some(index as u32);

        let farm = &plan.farms[index];
        let key = Key::Address([192, 0, 2, 7].into());
        let server = self.balancers[index].pick(farm, &key, None).expect("a server is free");
        assert!(farm.try_acquire(server));
        self.stream.record.server = Some(server as u32);

        self.out.clear();
        let hop = Hop::to_server(true);
        if needs_rewrite(&self.stream.request, &hop) {
            write_request(&self.stream.request, &mut self.out, &hop);
        }
        black_box(&self.out);
        self.arm(plan.backends[index].timeouts.server);

        let kind = RequestKind::default();
        let _ = black_box(response(black_box(&mut self.answer), &Limits::default(), kind));
        self.out.clear();
        let hop = Hop::to_client(true, Version::Http11, BodyLength::Length(100));
        if needs_rewrite(&self.answer, &hop) {
            write_response(&self.answer, &mut self.out, &hop);
        }
        black_box(&self.out);
        assert!(farm.release(server).is_none());
        count_stream(&self.counters);
        if let Some(log) = &mut self.log {
            log.stream(&mut self.stream);
        }
        self.arm(timeouts.client);
    }

    fn arm(&self, after: Option<Duration>) {
        self.timers.arm(&self.deadline, black_box(after));
    }
}
