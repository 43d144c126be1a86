//! A small plan with traffic, for tests of everything that shows statistics.

use super::process::Process;
use super::rates::Rates;
use crate::balance::Algorithm;
use crate::config::ast::Span;
use crate::metrics::{Counter, ObjectId, Phase, Registry};
use crate::plan::*;
use crate::proto::http::Head;
use crate::rules::context::NameTable;
use crate::server::health::Outcome;
use crate::server::{Admin, CheckResult, CheckStatus, Farm, Operational, ServerSpec};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Objects of the plan, in the order of their ids.
pub(super) const WEB: ObjectId = ObjectId(0);
pub(super) const WEB_BIND: ObjectId = ObjectId(1);
pub(super) const RELAY: ObjectId = ObjectId(2);
pub(super) const APP: ObjectId = ObjectId(3);
pub(super) const APP_1: ObjectId = ObjectId(4);
pub(super) const RELAY_BACK: ObjectId = ObjectId(8);
const OBJECTS: usize = 10;

/// Names of the servers of `app`; one is as nasty as a name can be.
pub(super) const SERVERS: [&str; 4] = ["app-1", "app-2", "a<b>&\"c',d\\", "spare"];

/// Returns a page with everything switched on.
pub(super) fn page() -> StatsPage {
    StatsPage {
        uri: "/stats".to_owned(),
        refresh: Some(Duration::from_secs(5)),
        auth: Vec::new(),
        realm: "fastlb Statistics".to_owned(),
        hide_version: false,
        show_node: Some(String::new()),
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

/// Returns a frontend `web` → backend `app` of four servers, a listen section `relay`, and traffic on two shards.
pub(super) fn plan() -> Arc<Plan> {
    let page = Arc::new(page());
    let mut web = frontend("web", 1, Mode::Http, WEB);
    web.stats = Some(Arc::clone(&page));
    web.binds = vec![bind(":8080", WEB_BIND)];
    let mut relay = frontend("relay", 2, Mode::Tcp, RELAY);
    let servers = SERVERS.iter().enumerate().map(|(at, name)| {
        let mut server = server(name, ObjectId(APP_1.0 + at as u32));
        server.backup = *name == "spare";
        server
    });
    let mut app = backend("app", 3, Mode::Http, APP, servers.collect());
    app.stats = None;
    let mut back = backend("relay", 2, Mode::Tcp, RELAY_BACK, vec![server("one", ObjectId(9))]);
    (relay.backend, back.frontend) = (Some(1), Some(1));
    let farms = vec![Arc::new(farm(&app)), Arc::new(farm(&back))];
    let plan = Plan {
        global: Global {
            maxconn: 2_000,
            hostname: "edge-1".to_owned(),
            description: Some("our edge".to_owned()),
            ..Global::default()
        },
        frontends: vec![web, relay],
        backends: vec![app, back],
        farms,
        names: NameTable::default(),
        backend_by_name: HashMap::new(),
        metrics: Registry::new(2, OBJECTS),
        connections: Gauge::default(),
    };
    traffic(&plan);
    Arc::new(plan)
}

/// Returns rates after two ticks; the second saw no traffic.
pub(super) fn rates(plan: &Plan) -> Rates {
    let rates = Rates::new(Process::capture(), 1_000);
    rates.tick(plan, 2_000);
    rates
}

fn traffic(plan: &Plan) {
    for (shard, times) in [(0, 3), (1, 1)] {
        let cells = plan.metrics.shard(shard);
        for (object, bytes_out) in [(WEB, 9_000), (APP, 9_000), (APP_1, 9_000), (RELAY, 1_000_000)]
        {
            cells.add(object, Counter::Connections, 10 * times);
            cells.add(object, Counter::Sessions, 100 * times);
            cells.add(object, Counter::BytesIn, 2_500 * times);
            cells.add(object, Counter::BytesOut, bytes_out * times);
        }
        for object in [WEB, APP, APP_1] {
            cells.add(object, Counter::Requests, 100 * times);
            cells.add(object, Counter::Http2xx, 90 * times);
            cells.add(object, Counter::Http4xx, 8 * times);
            cells.add(object, Counter::Http5xx, 2 * times);
        }
        cells.add(APP_1, Counter::Assigned, 100 * times);
        cells.add(APP_1, Counter::ConnectErrors, times);
        cells.add(APP_1, Counter::Retries, times);
        for micros in (1..=100).map(|step| step * 37 * times) {
            cells.record(APP_1, Phase::Queue, micros / 50);
            cells.record(APP_1, Phase::Connect, micros / 4);
            cells.record(APP_1, Phase::FirstByte, micros);
            cells.record(APP_1, Phase::Total, micros * 2);
        }
    }
    for _ in 0..3 {
        plan.connections.enter(2_000);
        plan.frontends[0].connections.enter(2_000);
        plan.backends[0].streams.enter(u32::MAX);
    }
}

fn farm(backend: &Backend) -> Farm {
    let specs = backend.servers.iter().zip(1..).map(|(server, id)| ServerSpec {
        checked: server.check.is_some(),
        backup: server.backup,
        weight: server.weight as u16,
        maxconn: server.maxconn,
        ..ServerSpec::new(server.name.clone(), id)
    });
    let farm = Farm::new(specs.collect(), false, 100, 1_000);
    if backend.name == "app" {
        let good = CheckResult { code: 200, ..CheckResult::new(CheckStatus::L7Ok, 3) };
        let same = Outcome { change: None, progress: None, next_in_ms: 2_000 };
        let _ = farm.record_check(0, &good, &same, 1_500);
        let refused = CheckResult {
            text: "Connection refused".to_owned(),
            ..CheckResult::new(CheckStatus::L4Connection, 1)
        };
        let down = Outcome { change: Some(Operational::Down), progress: None, next_in_ms: 2_000 };
        let _ = farm.record_check(1, &refused, &down, 1_600);
        let _ = farm.set_admin(2, Admin::Maint, 1_700);
    }
    farm
}

fn span(line: u32) -> Span {
    Span { start: line * 100, end: line * 100 + 1, ..Span::default() }
}

fn bind(name: &str, object: ObjectId) -> Bind {
    Bind {
        address: Address::Tcp(([127, 0, 0, 1], 8080).into()),
        name: name.to_owned(),
        maxconn: None,
        backlog: None,
        v6only: None,
        interface: None,
        mode: None,
        uid: None,
        gid: None,
        transparent: false,
        tfo: false,
        defer_accept: false,
        object,
        span: span(1),
    }
}

fn frontend(name: &str, line: u32, mode: Mode, object: ObjectId) -> Frontend {
    Frontend {
        name: name.to_owned(),
        span: span(line),
        mode,
        binds: Vec::new(),
        maxconn: 2_000,
        connections: Gauge::default(),
        timeouts: Timeouts::default(),
        connection_mode: ConnectionMode::default(),
        http_request: Vec::new(),
        http_response: Vec::new(),
        use_backend: Vec::new(),
        default_backend: None,
        monitor_uri: None,
        monitor_fail: Vec::new(),
        stats: None,
        forward_for: None,
        log: LogSettings::default(),
        error_files: ErrorFiles::new(),
        socket: SocketOptions::default(),
        splice: Splice::default(),
        backlog: None,
        backend: None,
        id: None,
        disabled: false,
        object,
    }
}

fn backend(name: &str, line: u32, mode: Mode, object: ObjectId, servers: Vec<Server>) -> Backend {
    Backend {
        name: name.to_owned(),
        span: span(line),
        mode,
        balance: Algorithm::default(),
        servers,
        timeouts: Timeouts::default(),
        retries: 3,
        redispatch: None,
        connection_mode: ConnectionMode::default(),
        reuse: Reuse::default(),
        cookie: None,
        http_request: Vec::new(),
        http_response: Vec::new(),
        use_server: Vec::new(),
        stats: None,
        forward_for: None,
        check: CheckKind::default(),
        error_files: ErrorFiles::new(),
        socket: SocketOptions::default(),
        splice: Splice::default(),
        logs: Vec::new(),
        all_backups: false,
        frontend: None,
        id: None,
        streams: Gauge::default(),
        disabled: false,
        object,
    }
}

fn server(name: &str, object: ObjectId) -> Server {
    let address = Address::Tcp(([127, 0, 0, 1], 9_000 + object.0 as u16).into());
    Server {
        name: name.to_owned(),
        address: address.clone(),
        port_offset: None,
        address_text: String::new(),
        weight: 10,
        maxconn: 100,
        maxqueue: 0,
        cookie: Some(name.to_owned()),
        backup: false,
        disabled: false,
        check: (name != "one").then_some(CheckSettings {
            address,
            inter: Duration::from_secs(2),
            fast_inter: Duration::from_secs(2),
            down_inter: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }),
        object,
        span: span(4),
    }
}
