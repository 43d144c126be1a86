//! A small plan with traffic, for tests of everything that shows statistics.

use super::process::Process;
use super::rates::Rates;
use crate::config::ast::Sources;
use crate::config::diagnostic::Diagnostics;
use crate::config::environment::Environment;
use crate::config::parse::parse_text;
use crate::metrics::{Counter, ObjectId, Phase};
use crate::plan::{LoadOptions, Plan, StatsPage, load};
use crate::proto::http::Head;
use crate::server::health::Outcome;
use crate::server::{Admin, CheckResult, CheckStatus, Farm, Operational};
use std::sync::Arc;
use std::time::Duration;

/// Names of the servers of `app`; one is as nasty as a name can be.
pub(super) const SERVERS: [&str; 4] = ["app-1", "app-2", "a<b>&\"c',d\\", "spare"];

const CONFIG: &str = "
global
    maxconn 2000
    node edge-1
    description our edge
defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    mode http
    bind 127.0.0.1:8080
    default_backend app
listen relay
    mode tcp
    bind 127.0.0.1:8081
    server one 127.0.0.1:9009
backend app
    mode http
    option httpchk
    cookie SRV insert
    default-server check weight 10 maxconn 100
    server app-1 127.0.0.1:9004 cookie one
    server app-2 127.0.0.1:9005 cookie two
    server app-3 127.0.0.1:9006 cookie three
    server spare 127.0.0.1:9007 backup
";

/// Returns a page with everything switched on.
pub(super) fn page() -> StatsPage {
    StatsPage {
        uri: "/stats".to_owned(),
        refresh: Some(Duration::from_secs(5)),
        auth: Vec::new(),
        realm: "fastlb Statistics".to_owned(),
        hide_version: false,
        show_node: Some("edge-1".to_owned()),
        show_desc: Some("<edge> node".to_owned()),
        scope: Vec::new(),
    }
}

/// Returns the head of a request.
pub(super) fn get(target: &str, authorization: Option<&str>) -> Head {
    let mut head = Head::new();
    head.set_method(b"GET");
    head.set_target(target.as_bytes());
    if let Some(value) = authorization {
        head.add(b"Authorization", value.as_bytes());
    }
    head
}

/// Returns a frontend `web`, a listen section `relay`, a backend `app` of four servers, and traffic on two shards.
pub(super) fn plan() -> Arc<Plan> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let mut environment = Environment::empty();
    let ast = parse_text("test.cfg", CONFIG, &mut environment, &mut sources, &mut diagnostics);
    let options = LoadOptions { shards: 2, ..LoadOptions::default() };
    let plan = load(&ast, &sources, &options, &mut diagnostics);
    let mut plan = plan.unwrap_or_else(|| panic!("{}", diagnostics.render(&sources, false)));
    let app = app(&plan);
    SERVERS[2].clone_into(&mut plan.backends[app].servers[2].name);
    health(&plan.farms[app]);
    traffic(&plan);
    Arc::new(plan)
}

fn app(plan: &Plan) -> usize {
    plan.backends.iter().position(|backend| backend.name == "app").expect("it is in the text")
}

/// Returns the counters of the frontend `web`.
pub(super) fn web(plan: &Plan) -> ObjectId {
    plan.frontends[0].object
}

/// Returns the counters of the server `app-1`.
pub(super) fn app_1(plan: &Plan) -> ObjectId {
    plan.backends[app(plan)].servers[0].object
}

/// Returns rates after two ticks; the second saw no traffic.
pub(super) fn rates(plan: &Plan) -> Rates {
    let rates = Rates::new(Process::capture(), 1_000);
    rates.tick(plan, 2_000);
    rates
}

fn traffic(plan: &Plan) {
    let (web, app_1) = (web(plan), app_1(plan));
    let (relay, app) = (plan.frontends[1].object, &plan.backends[app(plan)]);
    for (shard, times) in [(0, 3), (1, 1)] {
        let cells = plan.metrics.shard(shard);
        for (object, bytes_out) in
            [(web, 9_000), (app.object, 9_000), (app_1, 9_000), (relay, 1_000_000)]
        {
            cells.add(object, Counter::Connections, 10 * times);
            cells.add(object, Counter::Sessions, 100 * times);
            cells.add(object, Counter::BytesIn, 2_500 * times);
            cells.add(object, Counter::BytesOut, bytes_out * times);
        }
        for object in [web, app.object, app_1] {
            cells.add(object, Counter::Requests, 100 * times);
            cells.add(object, Counter::Http2xx, 90 * times);
            cells.add(object, Counter::Http4xx, 8 * times);
            cells.add(object, Counter::Http5xx, 2 * times);
        }
        cells.add(app_1, Counter::Assigned, 100 * times);
        cells.add(app_1, Counter::ConnectErrors, times);
        cells.add(app_1, Counter::Retries, times);
        for micros in (1..=100).map(|step| step * 37 * times) {
            cells.record(app_1, Phase::Queue, micros / 50);
            cells.record(app_1, Phase::Connect, micros / 4);
            cells.record(app_1, Phase::FirstByte, micros);
            cells.record(app_1, Phase::Total, micros * 2);
        }
    }
    for _ in 0..3 {
        plan.connections.enter(2_000);
        plan.frontends[0].connections.enter(2_000);
        app.streams.enter(u32::MAX);
    }
}

/// One server is up, one down, one in maintenance, and one was not checked yet.
fn health(farm: &Farm) {
    let outcome = |change| Outcome { change, progress: None, next_in_ms: 2_000 };
    let good = CheckResult { code: 200, ..CheckResult::new(CheckStatus::L7Ok, 3) };
    let _ = farm.record_check(0, &good, &outcome(None), 1_500);
    let refused = CheckResult {
        text: "Connection refused".to_owned(),
        ..CheckResult::new(CheckStatus::L4Connection, 1)
    };
    let _ = farm.record_check(1, &refused, &outcome(Some(Operational::Down)), 1_600);
    let _ = farm.set_admin(2, Admin::Maint, 1_700);
}
