//! Drafts into a plan: names become indices, rules are compiled, and sections are checked against each other.

mod errors;
mod log;
mod rules;
mod tables;
mod variables;

use super::global::GlobalDraft;
use super::lint;
use super::load::{Loader, read_file};
use super::log::Logs;
use super::log::target::{self, TargetDraft};
use super::proxy::{CaptureDraft, Draft, HttpErrors};
use super::resolvers;
use super::server_line::ServerDraft;
use super::userlist::UserLists;
use super::{
    Backend, ExplainLog, FIRST_PROXY, Frontend, Gauge, Global, Mode, Plan, RetryOn, Server,
    SocketOptions, Splice,
};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::log::ring::Ring;
use crate::metrics::{self, ObjectId};
use crate::proto::h1::parse::Limits;
use crate::rules::capture::Declarations;
use crate::rules::context::{BackendFacts, FrontendFacts, NameTable};
use crate::rules::forwarded::Forwarded;
use crate::rules::log_format::LogFormat;
use crate::rules::login::UserList;
use crate::rules::pattern::Lists;
use crate::rules::variable::Registry;
use crate::rules::{Compiler, Names, Position};
use crate::server::{Farm, ServerSpec};
use crate::stick::Table;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rules::{Compiled, Half};

/// Turns all drafts into a plan. Errors go to the loader; the plan is only good without any.
pub(super) fn plan(
    cx: &mut Loader<'_>,
    draft: GlobalDraft,
    proxies: &[Draft<'_>],
    resolvers: Vec<resolvers::Draft>,
    http_errors: &HashMap<&str, HttpErrors>,
    user_lists: UserLists,
    logs: &Logs<'_>,
) -> Plan {
    let no_splice = draft.no_splice;
    let stick_counters = draft.stick_counters;
    let mut global_logs = draft.logs.clone();
    for log in &mut global_logs {
        target::settle(&mut log.target, &logs.rings);
    }
    let (variable_lines, variable_limits) = (draft.variables.clone(), draft.variable_limits);
    let mut global = draft.finish(cx);
    global.logs = global_logs.iter().map(|log| log.target.clone()).collect();
    let index = Index {
        buffer_size: global.buffer_size,
        resolvers: resolvers::names(&resolvers),
        tables: tables::collect(cx, proxies),
        stick_counters,
        user_lists,
        ..Index::new(cx, proxies, http_errors)
    };
    let mut variables = variables::process(cx, &index, &variable_lines, variable_limits);
    let mut build = Build {
        global: &global,
        index: &index,
        logs,
        global_logs: &global_logs,
        no_splice,
        objects: 0,
        reported: rules::Reported::default(),
        frontends: Vec::new(),
        backends: Vec::new(),
        farms: Vec::new(),
        frontend_facts: Vec::new(),
    };
    for proxy in proxies {
        build.proxy(cx, proxy);
    }
    let Build { objects, frontends, backends, farms, mut frontend_facts, .. } = build;
    let mut backend_facts: Vec<BackendFacts> = backends.iter().map(backend_facts_of).collect();
    number(proxies, &mut frontend_facts, &mut backend_facts);
    // A line that could not be read may set any variable.
    if cx.errors() == 0 {
        index.variables.never_set(cx.diagnostics);
        lint::rules::destinations(cx.diagnostics, &frontends, &backends);
    }
    variables.set_names(&index.variables);
    let names = NameTable {
        frontends: frontends.iter().map(|frontend| frontend.name.clone()).collect(),
        backends: index.backend_names.clone(),
        servers: backends
            .iter()
            .map(|b| b.servers.iter().map(|server| server.name.clone()).collect())
            .collect(),
        frontend_facts,
        backend_facts,
        hostname: global.hostname.clone(),
    };
    let shards = if cx.options.check_only { 0 } else { cx.options.shards };
    Plan {
        backend_by_name: index.backends.iter().map(|(name, at)| (name.to_string(), *at)).collect(),
        global,
        frontends,
        backends,
        farms,
        names,
        metrics: metrics::Registry::new(shards, objects as usize),
        connections: Gauge::default(),
        patterns: index.patterns.clone(),
        rings: logs.rings.iter().map(|(ring, _)| Arc::new(Ring::new(ring.clone()))).collect(),
        resolvers: resolvers::finish(resolvers),
        variables,
        tables: index.tables,
        sources: cx.sources.clone(),
    }
}

/// Names of backends and servers by index.
struct Index<'a> {
    backends: HashMap<&'a str, u32>,
    backend_names: Vec<String>,
    backend_modes: Vec<(Mode, Span)>,
    frontends: HashSet<&'a str>,
    servers: Vec<HashMap<&'a str, u32>>,
    resolvers: Vec<String>,
    user_lists: UserLists,
    /// Of the proxy whose rules are compiled, if it is a frontend.
    captures: RefCell<Option<CaptureDraft>>,
    http_errors: &'a HashMap<&'a str, HttpErrors>,
    /// `tune.bufsize`
    buffer_size: usize,
    variables: Registry,
    base_dir: Option<&'a Path>,
    patterns: Arc<Lists>,
    tables: Vec<Arc<Table>>,
    /// The table of the proxy that is resolved at the moment.
    own_table: Cell<Option<u32>>,
    /// `tune.stick-counters`
    stick_counters: u32,
}

impl<'a> Index<'a> {
    fn new(
        cx: &Loader<'a>,
        proxies: &'a [Draft<'_>],
        http_errors: &'a HashMap<&'a str, HttpErrors>,
    ) -> Self {
        let mut index = Self {
            backends: HashMap::new(),
            backend_names: Vec::new(),
            backend_modes: Vec::new(),
            frontends: HashSet::new(),
            servers: Vec::new(),
            resolvers: Vec::new(),
            user_lists: UserLists::new(),
            captures: RefCell::default(),
            http_errors,
            buffer_size: usize::MAX,
            variables: Registry::default(),
            base_dir: cx.options.base_dir.as_deref(),
            patterns: Arc::default(),
            tables: Vec::new(),
            own_table: Cell::new(None),
            stick_counters: 0,
        };
        for proxy in proxies {
            if proxy.is_front() {
                index.frontends.insert(&proxy.name);
            }
            if proxy.is_back() {
                let at = index.backend_names.len() as u32;
                index.backends.entry(&proxy.name).or_insert(at);
                index.backend_names.push(proxy.name.clone());
                index.backend_modes.push((proxy.mode(), proxy.span));
                let servers = proxy.servers.iter().enumerate();
                index
                    .servers
                    .push(servers.map(|(at, server)| (server.name.as_str(), at as u32)).collect());
            }
        }
        index
    }

    /// Returns the index of the backend that `word` names; reports a name that no backend has, or one of another mode.
    fn target(
        &self,
        diagnostics: &mut Diagnostics,
        draft: &Draft<'_>,
        word: &Word,
        directive: &str,
    ) -> Option<u32> {
        let name = word.as_str();
        let Some(at) = self.backend(name) else {
            let mut finding = Diagnostic::error(
                word.span,
                format!("`{directive}`: there is no backend `{name}`"),
            );
            if let Some(near) = suggest(name, self.backends.keys().copied()) {
                finding = finding.label(format!("did you mean `{near}`?"));
            } else if self.frontends.contains(name) {
                finding = finding.label("this is a frontend");
            }
            diagnostics.push(finding);
            return None;
        };
        let (mode, span) = self.backend_modes[at as usize];
        if mode != draft.mode() && !(mode == Mode::Http && draft.switches_mode()) {
            let (ours, theirs) = match mode {
                Mode::Tcp => ("http", "tcp"),
                Mode::Http => ("tcp", "http"),
            };
            let help = match mode {
                Mode::Tcp => "give both sections the same `mode`, best in their `defaults`",
                Mode::Http => {
                    "give both sections `mode http`, or add `tcp-request inspect-delay 5s` and `tcp-request content switch-mode http if HTTP`"
                }
            };
            diagnostics.push(
                Diagnostic::error(
                    word.span,
                    format!(
                        "{} is `mode {ours}` and backend `{name}` is `mode {theirs}`",
                        draft.title()
                    ),
                )
                .related(span, format!("`mode {theirs}` counts here"))
                .help(help),
            );
        }
        Some(at)
    }
}

impl Names for Index<'_> {
    fn backend(&self, name: &str) -> Option<u32> {
        self.backends.get(name).copied()
    }

    fn server(&self, backend: u32, name: &str) -> Option<u32> {
        self.servers.get(backend as usize)?.get(name).copied()
    }

    fn backends(&self) -> Vec<&str> {
        self.backend_names.iter().map(String::as_str).collect()
    }

    fn resolvers(&self) -> Vec<&str> {
        self.resolvers.iter().map(String::as_str).collect()
    }

    fn variables(&self) -> &Registry {
        &self.variables
    }

    fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        read_file(self.base_dir, path)
    }

    fn has_file(&self, path: &str) -> bool {
        self.base_dir.map_or_else(|| PathBuf::from(path), |base| base.join(path)).exists()
    }

    fn patterns(&self) -> &Lists {
        &self.patterns
    }

    fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    fn own_table(&self) -> Option<u32> {
        self.own_table.get()
    }

    fn stick_counters(&self) -> u32 {
        self.stick_counters
    }

    fn user_list(&self, name: &str) -> Option<Arc<UserList>> {
        self.user_lists.get(name).cloned()
    }

    fn user_lists(&self) -> Vec<&str> {
        self.user_lists.keys().map(String::as_str).collect()
    }

    fn capture_slot(&self, line: Span) -> Option<u32> {
        self.captures.borrow().as_ref()?.slot(line)
    }

    fn captures(&self) -> Option<Declarations> {
        self.captures.borrow().as_ref().map(|draft| draft.declared.clone())
    }

    fn http_errors(&self, name: &str) -> Option<&BTreeMap<u16, Arc<[u8]>>> {
        self.http_errors.get(name).map(|section| &section.files)
    }

    fn http_errors_names(&self) -> Vec<&str> {
        self.http_errors.keys().copied().collect()
    }
}

/// The plan while proxies are added to it.
struct Build<'b> {
    global: &'b Global,
    index: &'b Index<'b>,
    logs: &'b Logs<'b>,
    /// `log` lines of the global section.
    global_logs: &'b [TargetDraft],
    no_splice: bool,
    /// Number of counted objects so far.
    objects: u32,
    reported: rules::Reported,
    frontends: Vec<Frontend>,
    backends: Vec<Backend>,
    farms: Vec<Arc<Farm>>,
    frontend_facts: Vec<FrontendFacts>,
}

impl Build<'_> {
    fn proxy(&mut self, cx: &mut Loader<'_>, draft: &Draft<'_>) {
        let backend = draft.is_back().then_some(self.backends.len() as u32);
        let frontend = draft.is_front().then_some(self.frontends.len() as u32);
        self.index.own_table.set(tables::own(&self.index.tables, draft));
        if draft.is_front() {
            let rules = self.compile(cx, draft, Half::Front, backend);
            let frontend = self.frontend(cx, draft, rules, backend);
            let facts = self.frontend_facts(cx, draft, frontend.default_backend);
            self.frontend_facts.push(facts);
            self.frontends.push(frontend);
        }
        if draft.is_back() {
            let rules = self.compile(cx, draft, Half::Back, backend);
            let backend = self.backend(cx, draft, rules, frontend);
            self.backends.push(backend);
        }
    }

    fn compile(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        half: Half,
        backend: Option<u32>,
    ) -> Compiled {
        rules::compile(cx, self.index, &mut self.reported, draft, half, backend)
    }

    fn object(&mut self) -> ObjectId {
        self.objects += 1;
        ObjectId(self.objects - 1)
    }

    fn frontend(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        rules: Compiled,
        backend: Option<u32>,
    ) -> Frontend {
        let settings = &draft.settings;
        let object = self.object();
        let mut binds = draft.binds.clone();
        for bind in &mut binds {
            bind.object = self.object();
        }
        let default_backend = settings
            .default_backend
            .and_then(|word| {
                let mut found = Diagnostics::default();
                let target = self.index.target(&mut found, draft, word, "default_backend");
                self.reported.push(cx, &found);
                target
            })
            .or(backend);
        Frontend {
            name: draft.name.clone(),
            span: draft.span,
            mode: draft.mode(),
            binds,
            maxconn: settings.maxconn.unwrap_or(self.global.maxconn),
            connections: Gauge::default(),
            timeouts: settings.timeouts,
            connection_mode: settings.connection_mode,
            messages: settings.messages,
            limits: self.limits(settings.messages.relaxed_requests, settings.messages.proxy_header),
            connection_rules: rules.connection,
            session_rules: rules.session,
            content_rules: rules.content,
            http_request: rules.http_request,
            http_response: rules.http_response,
            http_after_response: rules.http_after_response,
            use_backend: rules.use_backend,
            default_backend,
            monitor_uri: settings.monitor_uri.clone().filter(|_| draft.serves_http()),
            monitor_fail: rules.monitor_fail,
            stats: self.stats(draft),
            forward_for: settings.forward_for.clone().filter(|_| draft.serves_http()),
            original_to: settings.original_to.clone().filter(|_| draft.serves_http()),
            header_names: settings.header_names,
            buffer_request: settings.buffer_request,
            captures: Some(&settings.captures.declared)
                .filter(|declared| !declared.is_empty())
                .map(|declared| Box::new(declared.clone())),
            unique_id_header: settings
                .unique_id_header
                .filter(|_| draft.mode() == Mode::Http)
                .map(|word| word.text.clone()),
            log: self.log(cx, draft),
            explain: (!rules.explain.is_empty())
                .then(|| Box::new(ExplainLog { one_of: 0, marks: rules.explain })),
            outline: rules.outline.into(),
            error_files: rules.error_files,
            socket: SocketOptions {
                keep_alive: settings.keep_alive_client,
                no_linger: settings.no_linger,
            },
            splice: self.splice(draft),
            backlog: settings.backlog,
            backend,
            id: settings.id,
            description: settings.description.clone(),
            disabled: settings.disabled,
            object,
        }
    }

    fn backend(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        rules: Compiled,
        frontend: Option<u32>,
    ) -> Backend {
        let settings = &draft.settings;
        let object = self.object();
        let servers: Vec<Server> =
            draft.servers.iter().map(|server| self.server(draft, server)).collect();
        let specs = draft.servers.iter().enumerate().map(|(at, server)| spec(at, server)).collect();
        self.farms.push(Arc::new(Farm::new(specs, settings.all_backups, self.global.maxconn, 0)));
        let http = draft.mode() == Mode::Http;
        Backend {
            name: draft.name.clone(),
            span: draft.span,
            mode: draft.mode(),
            balance: settings.balance.unwrap_or_default(),
            follows: servers.iter().any(|server| server.follow.is_some()),
            servers,
            timeouts: settings.timeouts,
            retries: settings.retries.unwrap_or(3),
            redispatch: settings.redispatch,
            retry_on: if http { settings.retry_on } else { RetryOn::default() },
            connection_mode: settings.connection_mode,
            messages: settings.messages,
            limits: self.limits(settings.messages.relaxed_responses, false),
            reuse: settings.reuse.unwrap_or_default(),
            pretend_keep_alive: settings.pretend_keep_alive,
            abort_on_close: settings.abort_on_close,
            prefer_last: settings.prefer_last,
            cookie: settings.cookie.clone().filter(|_| http),
            content_rules: rules.content,
            response_content_rules: rules.response_content,
            http_request: rules.http_request,
            http_response: rules.http_response,
            http_after_response: rules.http_after_response,
            use_server: rules.use_server,
            stick: rules.stick,
            outline: rules.outline.into(),
            stats: self.stats(draft),
            forward_for: settings.forward_for.clone().filter(|_| http),
            original_to: settings.original_to.clone().filter(|_| http),
            header_names: settings.header_names,
            forwarded: self.forwarded(cx, draft),
            buffer_request: settings.buffer_request,
            check: settings.check.kind(),
            error_files: rules.error_files,
            socket: SocketOptions {
                keep_alive: settings.keep_alive_server,
                no_linger: settings.no_linger,
            },
            splice: self.splice(draft),
            logs: self.log_targets(draft).into_iter().map(|log| log.target).collect(),
            log_health_checks: settings.log.health_checks,
            log_tag: settings.log.tag.clone(),
            all_backups: settings.all_backups,
            frontend,
            streams: Gauge::default(),
            id: settings.id,
            description: settings.description.clone(),
            disabled: settings.disabled,
            object,
        }
    }

    /// Returns the bounds of heads.
    fn limits(&self, relaxed: bool, proxy_header: bool) -> Limits {
        let size = self.global.buffer_size;
        Limits {
            // No more than half of a buffer is reserved (manual 3.2, `tune.maxrewrite`).
            head_bytes_max: size - self.global.rewrite_room.min(size / 2),
            fields_max: self.global.headers_max.saturating_sub(1).max(1),
            relaxed,
            proxy_header,
        }
    }

    fn server(&mut self, draft: &Draft<'_>, server: &ServerDraft<'_>) -> Server {
        let params = &server.params;
        let http = draft.mode() == Mode::Http;
        Server {
            name: server.name.text.clone(),
            address: server.address.clone(),
            follow: server.follow,
            weight: params.weight.unwrap_or(1),
            maxconn: params.maxconn,
            maxqueue: params.maxqueue,
            cookie: params.cookie.filter(|_| http).map(|word| word.text.clone()),
            pool: params.pool,
            backup: params.backup,
            disabled: params.disabled,
            non_stick: params.non_stick,
            check: server.check.clone(),
            object: self.object(),
            span: server.span,
        }
    }

    fn stats(&self, draft: &Draft<'_>) -> Option<Arc<super::StatsPage>> {
        let stats = draft.settings.stats.as_ref().filter(|_| draft.serves_http())?;
        let node = self.global.node.as_deref().unwrap_or(&self.global.hostname);
        Some(Arc::new(stats.page(&draft.name, node, self.global.description.as_deref())))
    }

    fn forwarded(&mut self, cx: &mut Loader<'_>, draft: &Draft<'_>) -> Option<Forwarded> {
        let (words, span) = draft.settings.forwarded?;
        let mut found = Diagnostics::default();
        let mut compiler = Compiler {
            diagnostics: &mut found,
            names: self.index,
            position: Position::Request,
            http: draft.mode() == Mode::Http,
            backend: Some(self.backends.len() as u32),
            line: span,
        };
        let forwarded = Forwarded::parse(words, span, &mut compiler);
        self.reported.push(cx, &found);
        forwarded
    }

    fn frontend_facts(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        default_backend: Option<u32>,
    ) -> FrontendFacts {
        let unique_id = self.unique_id(cx, draft);
        FrontendFacts {
            unique_id,
            id: 0,
            client: draft.settings.timeouts.client,
            default_backend,
            binds: draft.binds.iter().map(|bind| bind.given_name.clone()).collect(),
        }
    }

    /// Compiles `unique-id-format`, which cannot show what it makes.
    fn unique_id(&mut self, cx: &mut Loader<'_>, draft: &Draft<'_>) -> Option<LogFormat> {
        let word = draft.settings.unique_id_format?;
        let mut found = Diagnostics::default();
        let mut compiler = Compiler {
            diagnostics: &mut found,
            names: self.index,
            position: Position::Log,
            http: draft.mode() == Mode::Http,
            backend: None,
            line: word.span,
        };
        let format = LogFormat::parse(word.as_str(), word.span, &mut compiler);
        if format.as_ref().is_some_and(LogFormat::has_unique_id) {
            found.push(Diagnostic::error(
                word.span,
                "`unique-id-format` shows the id that it makes",
            ));
        }
        self.reported.push(cx, &found);
        format
    }

    fn splice(&self, draft: &Draft<'_>) -> Splice {
        let settings = &draft.settings;
        Splice {
            request: !self.no_splice && (settings.splice_auto || settings.splice.request),
            response: !self.no_splice && (settings.splice_auto || settings.splice.response),
        }
    }
}

fn backend_facts_of(backend: &Backend) -> BackendFacts {
    let timeouts = &backend.timeouts;
    BackendFacts {
        id: 0,
        connect: timeouts.connect,
        queue: timeouts.queue,
        server: timeouts.server,
        tarpit: timeouts.tarpit,
        tunnel: timeouts.tunnel,
    }
}

/// Numbers proxies in the order of the file: both halves of a `listen` section have one number.
fn number(proxies: &[Draft<'_>], fronts: &mut [FrontendFacts], backs: &mut [BackendFacts]) {
    let taken: HashSet<u32> = proxies.iter().filter_map(|proxy| proxy.settings.id).collect();
    let mut free = (FIRST_PROXY..).filter(|id| !taken.contains(id));
    let (mut fronts, mut backs) = (fronts.iter_mut(), backs.iter_mut());
    for proxy in proxies {
        let id = proxy.settings.id.or_else(|| free.next()).unwrap_or_default();
        if proxy.is_front()
            && let Some(facts) = fronts.next()
        {
            facts.id = id;
        }
        if proxy.is_back()
            && let Some(facts) = backs.next()
        {
            facts.id = id;
        }
    }
}

/// Returns what the farm keeps of a server.
fn spec(at: usize, server: &ServerDraft<'_>) -> ServerSpec {
    let params = &server.params;
    ServerSpec {
        address: server.address_text.clone(),
        id: params.id.unwrap_or(at as u32 + 1),
        weight: params.weight.unwrap_or(1) as u16,
        backup: params.backup,
        disabled: params.disabled,
        checked: server.check.is_some(),
        maxconn: params.maxconn,
        maxqueue: params.maxqueue,
        ..ServerSpec::new(server.name.text.clone(), 0)
    }
}
