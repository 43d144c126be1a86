//! Whole connections: fuzzed clients and servers around the code that carries traffic, on a simulated clock.
//!
//! An input is a script ([`script`]) that [`play`] follows with real sockets; [`verdict`] then compares what went in
//! with what came out. The first byte chooses one of the [`SETUPS`].

#[path = "connection/play.rs"]
mod play;
#[path = "connection/script.rs"]
mod script;
#[path = "connection/verdict.rs"]
mod verdict;

use fastlb::config::environment::Environment;
use fastlb::control::load::{self, Input};
use fastlb::metrics::Registry;
use fastlb::plan::{Plan, StatsPage};
use fastlb::proto::http::Head;
use fastlb::rules::action::Answer;
use fastlb::runtime::Services;
use fastlb::runtime::sim::{self, Leftovers};
use play::Stage;
use script::Script;
use std::cell::OnceCell;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;

/// A run that is longer than this hangs: every time limit of the set-ups is a few seconds, and peers leave in the end.
const RUN_MS_MAX: u64 = 400_000;

/// Length of every name behind `abns@`.
const ABSTRACT_NAME: usize = 107;

/// A configuration and what is to be expected of it.
struct Setup {
    /// Whether requests and responses are relayed, not bytes.
    http: bool,
    /// The file behind the common beginning; `@0@` and `@1@` stand for servers that are there, `@x@` for one that is not.
    text: &'static str,
}

const COMMON: &str = "
global
  tune.bufsize 2048
  tune.http.maxhdr 24
defaults
  timeout connect 1s
  timeout client 2s
  timeout server 3s
  timeout http-request 1500ms
  timeout http-keep-alive 1s
  timeout queue 1s
  timeout tunnel 4s
  timeout client-fin 1s
  timeout server-fin 1s
  timeout tarpit 1s
  retries 2
  log 127.0.0.1:514 local0
  log-format %ST_%tsc_%b
";

const SETUPS: &[Setup] = &[
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n server a @0@\n server b @1@\n",
    },
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n option http-server-close\n server a @0@ maxconn 1\n",
    },
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n option httpclose\n server a @0@\n server b @1@\n",
    },
    Setup {
        http: true,
        text: "frontend f
  mode http
  bind 127.0.0.1:80
  acl deep path_beg /deep
  http-request deny deny_status 429 if { path_beg /deny }
  http-request tarpit if { path_beg /tarpit }
  http-request return status 200 content-type text/plain string \"here %[path]\" if { path_beg /return }
  http-request redirect location /elsewhere if { path_beg /redirect }
  http-request silent-drop if { path_beg /drop }
  http-request reject if { path_beg /reject }
  http-request set-header X-Path %[path]
  http-request add-header X-Src %[src]
  http-request del-header X-Gone
  http-response set-header X-Status %[status]
  http-response del-header Server
  http-response deny if { res.hdr(X-Deny) -m found }
  monitor-uri /monitor
  option forwardfor
  use_backend g if deep
  default_backend h
backend g
  mode http
  cookie S insert indirect
  http-request deny if { method TRACE }
  server a @0@ cookie a
  server b @1@ cookie b
backend h
  mode http
  http-reuse never
  server a @1@
",
    },
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n http-reuse always\n server a @0@ maxconn 1 maxqueue 2\n",
    },
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n option redispatch\n http-reuse aggressive\n server x @x@\n server a @0@ maxconn 2\n",
    },
    Setup {
        http: false,
        text: "listen f\n mode tcp\n bind 127.0.0.1:80\n log-format 0_%ts_%B\n server a @0@ maxconn 1\n server b @1@\n",
    },
    Setup {
        http: true,
        text: "frontend f\n mode http\n bind 127.0.0.1:80\n maxconn 2\n default_backend g\nbackend g\n mode http\n http-reuse safe\n balance leastconn\n server a @0@ maxconn 1\n server b @1@ maxconn 1\n",
    },
    Setup {
        http: true,
        text: "listen f\n mode http\n bind 127.0.0.1:80\n option abortonclose\n option redispatch 1\n retry-on all-retryable-errors\n http-reuse always\n server x @x@\n server a @0@ pool-max-conn 1\n server b @1@ maxconn 1\n",
    },
    Setup {
        http: true,
        text: "listen f
  mode http
  bind 127.0.0.1:80
  option http-buffer-request
  option abortonclose
  http-request wait-for-body time 500ms at-least 20 if { path_beg /wait }
  http-request early-hint Link %[path] if { path_beg /hint }
  http-request set-retries 1
  http-request deny if { req.body -m sub bad }
  http-response wait-for-body time 500ms if { res.hdr(X-Wait) -m found }
  http-response return status 403 if { res.hdr(X-Deny) -m found }
  http-after-response set-header X-After 1
  retry-on 503 empty-response conn-failure response-timeout
  http-reuse never
  server a @0@
  server b @1@
",
    },
];

/// Nobody asks for the pages of control here.
struct NoServices;

impl Services for NoServices {
    fn stats(&self, _: &Arc<Plan>, _: &StatsPage, _: &Head) -> Answer {
        unreachable!("no set-up has a stats page")
    }

    fn prometheus(&self, _: &Arc<Plan>, _: &Head) -> Answer {
        unreachable!("no set-up has an exporter")
    }
}

/// What is made once per thread: plans, and the listeners that their servers name.
struct Theatre {
    plans: Vec<Arc<Plan>>,
    listeners: Vec<UnixListener>,
}

impl Theatre {
    fn new() -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let name = |which: &str| {
            let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
            format!("fastlb-fuzz-{}-{thread}-{which}", std::process::id())
        };
        let plans = SETUPS.iter().map(|setup| {
            let mut text = format!("{COMMON}{}", setup.text);
            for which in ["0", "1", "x"] {
                text = text.replace(&format!("@{which}@"), &format!("abns@{}", name(which)));
            }
            let input = Input::Text { name: "setup.cfg".to_owned(), text };
            let loaded = load::load(&input, &mut Environment::empty(), None);
            let findings = loaded.diagnostics.render(&loaded.sources, false);
            let mut plan = loaded.plan.unwrap_or_else(|| panic!("{findings}"));
            plan.metrics = Registry::new(1, plan.metrics.objects());
            Arc::new(plan)
        });
        let plans: Vec<Arc<Plan>> = plans.collect();
        let listeners = ["0", "1"].iter().map(|which| {
            // As long as the configuration makes it: names of the abstract space are padded.
            let mut name = name(which).into_bytes();
            name.resize(ABSTRACT_NAME, 0);
            let address = SocketAddr::from_abstract_name(name).expect("a short name");
            let listener = UnixListener::bind_addr(&address).expect("a name of our own");
            listener.set_nonblocking(true).expect("a socket");
            listener
        });
        Self { listeners: listeners.collect(), plans }
    }
}

thread_local! {
    static THEATRE: OnceCell<Theatre> = const { OnceCell::new() };
}

/// Peers that do what the input says: nobody hangs, nothing leaks, and what arrives is what was sent.
pub(crate) fn connection(bytes: &[u8]) -> u64 {
    THEATRE.with(|theatre| {
        let theatre = theatre.get_or_init(Theatre::new);
        let script = Script::decode(bytes);
        let index = script.setup % SETUPS.len();
        let plan = &theatre.plans[index];
        let before = descriptors();
        let mut stage = Stage::new(&script, &theatre.listeners);
        let report = sim::run(plan.clone(), Arc::new(NoServices), &mut stage, RUN_MS_MAX)
            .expect("an event loop");
        if std::env::var_os("FUZZ_SHOW").is_some() {
            stage.show(&report);
        }
        assert_eq!(report.leftovers, Leftovers::default(), "at {} ms", report.ended_ms);
        let peers = stage.finish();
        assert_eq!(descriptors(), before, "descriptors leak");
        let outcome = verdict::check(&peers, SETUPS[index].http);
        // What became of the streams tells runs apart, not in which order they ended.
        let lines = report.log_lines.iter().map(|line| hash(ending(line)));
        lines.fold(outcome ^ index as u64, |sum, line| sum.wrapping_add(line))
    })
}

/// Returns what the log says of a stream, without the date in front.
fn ending(line: &[u8]) -> &[u8] {
    line.rsplit(|&byte| byte == b' ').next().unwrap_or_default()
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
