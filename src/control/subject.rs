//! What the statistics are about: every frontend, listener, backend and server of a plan, with its numbers and state.
//!
//! [`Overview`] numbers the proxies as HAProxy does (one number for both halves of a `listen` section) and hands out
//! [`Subject`]s in the order of the configuration. It knows nothing about how they are shown; [`super::fields`] does.

use super::rates::{ObjectReading, Reading, backend_time};
use crate::metrics::{Counter, Latency, ObjectId, Phase, PhaseTime};
use crate::plan::{Backend, Bind, FIRST_PROXY, Frontend, Mode, Plan, Server};
use crate::server::{Admin, CheckStatus, Farm, Operational, Server as Live};
use std::cell::RefCell;
use std::collections::HashSet;

/// What kind of object a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `frontend`, or the front half of `listen`.
    Frontend,
    /// One `bind` line.
    Listener,
    /// `backend`, or the back half of `listen`.
    Backend,
    /// One `server` line.
    Server,
}

impl Kind {
    /// Returns the number in the column `type`.
    pub fn number(self) -> u32 {
        match self {
            Kind::Frontend => 0,
            Kind::Backend => 1,
            Kind::Server => 2,
            Kind::Listener => 3,
        }
    }

    /// Returns the letter that stands for it in typed output and in the `who` of a field.
    pub fn letter(self) -> char {
        match self {
            Kind::Frontend => 'F',
            Kind::Listener => 'L',
            Kind::Backend => 'B',
            Kind::Server => 'S',
        }
    }

    /// Returns the name as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Frontend => "Frontend",
            Kind::Listener => "Listener",
            Kind::Backend => "Backend",
            Kind::Server => "Server",
        }
    }
}

/// A proxy: a frontend, a backend, or the two halves of a `listen` section.
#[derive(Clone, Copy)]
pub struct Proxy<'a> {
    /// Its number, the column `iid`.
    pub id: u32,
    /// Its name.
    pub name: &'a str,
    /// `mode`
    pub mode: Mode,
    /// `description`
    pub description: Option<&'a str>,
    /// The front half.
    pub frontend: Option<&'a Frontend>,
    /// Index of the back half.
    backend: Option<usize>,
}

/// All proxies of a plan and what was last computed about them.
pub struct Overview<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Rates and averages.
    pub reading: &'a Reading,
    proxies: Vec<Proxy<'a>>,
    /// Memory for one histogram at a time.
    latency: RefCell<Latency>,
}

impl<'a> Overview<'a> {
    /// Returns the proxies of `plan`, numbered.
    pub fn new(plan: &'a Plan, reading: &'a Reading) -> Self {
        let fronts = plan.frontends.iter().map(|frontend| {
            let (name, mode) = (frontend.name.as_str(), frontend.mode);
            let backend = frontend.backend.map(|index| index as usize);
            let description = frontend.description.as_deref();
            let proxy = Proxy { id: 0, name, mode, description, frontend: Some(frontend), backend };
            (frontend.span, frontend.id, proxy)
        });
        let backs = plan.backends.iter().enumerate().filter(|(_, back)| back.frontend.is_none());
        let backs = backs.map(|(index, backend)| {
            let (name, mode) = (backend.name.as_str(), backend.mode);
            let description = backend.description.as_deref();
            let proxy =
                Proxy { id: 0, name, mode, description, frontend: None, backend: Some(index) };
            (backend.span, backend.id, proxy)
        });
        let mut proxies: Vec<_> = fronts.chain(backs).collect();
        proxies.sort_by_key(|(span, ..)| (span.file.0, span.start));
        let taken: HashSet<u32> = proxies.iter().filter_map(|(_, id, _)| *id).collect();
        let mut free = (FIRST_PROXY..).filter(|id| !taken.contains(id));
        let mut numbered = Vec::with_capacity(proxies.len());
        for (_, id, proxy) in proxies {
            // There are more numbers than proxies.
            let id = id.or_else(|| free.next()).unwrap_or(0);
            numbered.push(Proxy { id, ..proxy });
        }
        Self { plan, reading, proxies: numbered, latency: RefCell::default() }
    }

    /// Returns the proxies in the order of the configuration.
    pub fn proxies(&self) -> &[Proxy<'a>] {
        &self.proxies
    }

    /// Returns the front half of a proxy.
    pub fn frontend<'o>(&'o self, proxy: &'o Proxy<'a>) -> Option<Subject<'o>> {
        let frontend = proxy.frontend?;
        Some(self.subject(proxy, Kind::Frontend, 0, frontend.object, Detail::Frontend(frontend)))
    }

    /// Returns the listeners of a proxy.
    pub fn listeners<'o>(&'o self, proxy: &'o Proxy<'a>) -> impl Iterator<Item = Subject<'o>> {
        let frontend = proxy.frontend;
        let binds = frontend.map_or(&[][..], |frontend| &frontend.binds);
        (1..).zip(binds).filter_map(move |(id, bind)| {
            let detail = Detail::Listener(frontend?, bind);
            let id = bind.id.unwrap_or(id);
            Some(self.subject(proxy, Kind::Listener, id, bind.object, detail))
        })
    }

    /// Returns the back half of a proxy.
    pub fn backend<'o>(&'o self, proxy: &'o Proxy<'a>) -> Option<Subject<'o>> {
        let (backend, farm) = self.back_half(proxy)?;
        let detail = Detail::Backend(backend, farm);
        Some(self.subject(proxy, Kind::Backend, 0, backend.object, detail))
    }

    /// Returns the servers of a proxy.
    pub fn servers<'o>(&'o self, proxy: &'o Proxy<'a>) -> impl Iterator<Item = Subject<'o>> {
        let (servers, live) = match self.back_half(proxy) {
            Some((backend, farm)) => (&backend.servers[..], farm.servers()),
            None => (&[][..], &[][..]),
        };
        servers.iter().zip(live).map(move |(server, live)| {
            let (id, detail) = (live.spec().id, Detail::Server(server, live));
            self.subject(proxy, Kind::Server, id, server.object, detail)
        })
    }

    /// Returns what each shard did for clients.
    pub fn shards(&self) -> Vec<ShardTotals> {
        let registry = &self.plan.metrics;
        let fronts = || self.plan.frontends.iter();
        let totals = |shard| {
            let cells = registry.shard(shard);
            let sum = |counter| fronts().map(|front| cells.get(front.object, counter)).sum();
            ShardTotals {
                connections: sum(Counter::Connections),
                requests: sum(Counter::Requests),
                bytes_in: sum(Counter::BytesIn),
                bytes_out: sum(Counter::BytesOut),
            }
        };
        (0..registry.shards()).map(totals).collect()
    }

    fn back_half(&self, proxy: &Proxy<'a>) -> Option<(&'a Backend, &'a Farm)> {
        let index = proxy.backend?;
        Some((self.plan.backends.get(index)?, self.plan.farms.get(index)?))
    }

    fn subject<'o>(
        &'o self,
        proxy: &'o Proxy<'a>,
        kind: Kind,
        id: u32,
        object: ObjectId,
        detail: Detail<'o>,
    ) -> Subject<'o> {
        let rates = self.reading.object(object);
        Subject { overview: self, proxy, kind, id, object, detail, rates }
    }
}

/// What one shard did for clients, over all frontends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// Client connections accepted.
    pub connections: u64,
    /// HTTP requests received.
    pub requests: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes sent to clients.
    pub bytes_out: u64,
}

/// What is particular to a kind of subject.
#[derive(Clone, Copy)]
pub enum Detail<'a> {
    /// A frontend.
    Frontend(&'a Frontend),
    /// A `bind` line of a frontend.
    Listener(&'a Frontend, &'a Bind),
    /// A backend and its servers' state.
    Backend(&'a Backend, &'a Farm),
    /// A server and its state.
    Server(&'a Server, &'a Live),
}

/// One object with everything that fields are computed from.
pub struct Subject<'a> {
    /// All other objects.
    pub overview: &'a Overview<'a>,
    /// The proxy that it is or belongs to.
    pub proxy: &'a Proxy<'a>,
    /// What it is.
    pub kind: Kind,
    /// Its number in the proxy, the column `sid`; 0 for the proxy itself.
    pub id: u32,
    /// Its counters.
    pub object: ObjectId,
    /// What is particular to its kind.
    pub detail: Detail<'a>,
    /// Rates and averages.
    pub rates: ObjectReading,
}

impl<'a> Subject<'a> {
    /// Returns the name in the column `svname`.
    pub fn name(&self) -> &'a str {
        match self.detail {
            Detail::Frontend(_) => "FRONTEND",
            Detail::Listener(_, bind) => &bind.name,
            Detail::Backend(..) => "BACKEND",
            Detail::Server(server, _) => &server.name,
        }
    }

    /// Returns a counter, summed over the shards.
    pub fn count(&self, counter: Counter) -> u64 {
        self.overview.plan.metrics.total(self.object, counter)
    }

    /// Returns the sums of a phase; those of a backend are its servers'.
    pub fn time(&self, phase: Phase) -> PhaseTime {
        let registry = &self.overview.plan.metrics;
        match self.detail {
            Detail::Backend(backend, _) => backend_time(registry, backend, phase),
            _ => registry.duration(self.object, phase),
        }
    }

    /// Calls `read` with the distribution of a phase.
    pub fn latency<R>(&self, phase: Phase, read: impl FnOnce(&Latency) -> R) -> R {
        // Taken out, so that `read` may ask about other subjects.
        let mut latency = self.overview.latency.take();
        self.overview.plan.metrics.read_latency(self.object, phase, &mut latency);
        let result = read(&latency);
        self.overview.latency.replace(latency);
        result
    }

    /// Returns the value that a share of all durations of a phase does not exceed, in microseconds.
    pub fn quantile(&self, phase: Phase, share: f64) -> Option<u64> {
        if self.time(phase).count == 0 {
            return None;
        }
        self.latency(phase, |latency| latency.quantile(share))
    }

    /// Returns whether the proxy understands HTTP.
    pub fn http(&self) -> bool {
        self.proxy.mode == Mode::Http
    }

    /// Returns the server's state.
    pub fn live(&self) -> Option<&'a Live> {
        match self.detail {
            Detail::Server(_, live) => Some(live),
            _ => None,
        }
    }

    /// Returns what the configuration says of the server.
    pub fn server(&self) -> Option<&'a Server> {
        match self.detail {
            Detail::Server(server, _) => Some(server),
            _ => None,
        }
    }

    /// Returns the backend's farm.
    pub fn farm(&self) -> Option<&'a Farm> {
        match self.detail {
            Detail::Backend(_, farm) => Some(farm),
            _ => None,
        }
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        match self.detail {
            Detail::Frontend(frontend) if frontend.disabled => State::Stopped,
            Detail::Frontend(frontend) => {
                let (now, max) = (frontend.connections.current(), frontend.maxconn);
                if max > 0 && now >= max { State::Full } else { State::Open }
            }
            Detail::Listener(frontend, _) if frontend.disabled => State::Stopped,
            Detail::Listener(..) => State::Open,
            // A backend without servers is up: it may answer by itself.
            Detail::Backend(_, farm) if farm.servers().is_empty() || farm.nbsrv() > 0 => State::Up,
            Detail::Backend(..) => State::Down,
            Detail::Server(_, live) => server_state(live),
        }
    }

    /// Returns the state in HAProxy's words: `UP`, `UP 1/3`, `DOWN 1/2`, `no check`, `MAINT`, `OPEN` …
    pub fn status(&self) -> String {
        match self.live() {
            Some(live) => live.status_text(),
            None => self.state().word().to_owned(),
        }
    }
}

/// The state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepts connections.
    Open,
    /// Accepts no more connections: the limit is reached.
    Full,
    /// Disabled.
    Stopped,
    /// In service.
    Up,
    /// In service, but the last checks failed.
    GoingDown,
    /// Not checked, so taken as in service.
    NoCheck,
    /// Only persistent streams.
    NoBalancing,
    /// Only persistent streams, as the operator wishes (or the weight is 0).
    Drain,
    /// Out of service.
    Down,
    /// Out of service, but the last checks passed.
    GoingUp,
    /// Out of service as the operator wishes.
    Maintenance,
}

impl State {
    /// Returns HAProxy's word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Open => "OPEN",
            State::Full => "FULL",
            State::Stopped => "STOP",
            State::Up | State::GoingDown => "UP",
            State::NoCheck => "no check",
            State::NoBalancing => "NOLB",
            State::Drain => "DRAIN",
            State::Down | State::GoingUp => "DOWN",
            State::Maintenance => "MAINT",
        }
    }

    /// Returns whether `up` filters leave it in the list.
    pub fn serves(self) -> bool {
        !matches!(self, State::Down | State::GoingUp | State::Maintenance | State::Stopped)
    }
}

fn server_state(live: &Live) -> State {
    let checked = live.spec().checked;
    let changing = live.progress().is_some();
    match (live.admin(), live.operational()) {
        (Admin::Maint, _) => State::Maintenance,
        (_, Operational::Down) if changing => State::GoingUp,
        (_, Operational::Down) => State::Down,
        (Admin::Drain, _) => State::Drain,
        (_, Operational::Stopping) => State::NoBalancing,
        (_, Operational::Up) if !checked => State::NoCheck,
        (_, Operational::Up) if live.weight() == 0 => State::Drain,
        (_, Operational::Up) if changing => State::GoingDown,
        (_, Operational::Up) => State::Up,
    }
}

/// Returns how the last check of a checked server ended, `None` without checks.
pub fn check_status(live: &Live) -> Option<CheckStatus> {
    let checked = live.spec().checked && live.admin() != Admin::Maint;
    checked.then(|| live.last_check().status)
}
