//! Servers and farms: the state that all shards share about the servers of one backend.
//!
//! A [`Farm`] belongs to one backend of one plan; all shards hold it behind `Arc`. What a stream changes (slots,
//! totals) and what control changes (health, weight, administrative state) lives in atomics of [`Live`], so that
//! counts and `maxconn` are exact across shards with one read-modify-write per request. A reload builds a new farm
//! and lets it [`adopt`](Farm::adopt) the old one: servers of the same name and address keep their counts, their
//! health and their queues, and streams of both plans see the same limits.
//!
//! This module never chooses a server (that is [`crate::balance`]), never does IO and never reads a clock.

pub mod health;
mod live;
pub mod queue;
mod state;

pub use live::Live;
pub use queue::{Enqueue, QueueKey, Ticket, Wake};
pub use state::{Admin, CheckResult, CheckStatus, Operational};

use health::{Health, Outcome};
use queue::Lanes;
use std::ops::Deref;
use std::sync::Arc;

/// Index of a server in its [`Farm`], in the order of declaration.
pub type ServerId = usize;

/// What the configuration says about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// The name after `server`.
    pub name: String,
    /// The address as the statistics show it; a server is the same after a reload when name and address are.
    pub address: String,
    /// The numeric identifier (`id`), by default the position counted from 1.
    pub id: u32,
    /// The configured weight, 0 to 256.
    pub weight: u16,
    /// Whether it serves only when no active server can.
    pub backup: bool,
    /// Whether it starts in maintenance.
    pub disabled: bool,
    /// Whether health checks run; without them it is always up.
    pub checked: bool,
    /// The most streams at once, 0 for no limit.
    pub maxconn: u32,
    /// The most streams in its own queue, 0 for no limit of its own.
    pub maxqueue: u32,
}

impl ServerSpec {
    /// Returns an active server of weight 1 without limits and checks.
    pub fn new(name: impl Into<String>, id: u32) -> Self {
        Self {
            name: name.into(),
            address: String::new(),
            id,
            weight: 1,
            backup: false,
            disabled: false,
            checked: false,
            maxconn: 0,
            maxqueue: 0,
        }
    }
}

/// One server: what is configured, and (by deref) what is [`Live`].
#[derive(Debug)]
pub struct Server {
    spec: ServerSpec,
    live: Arc<Live>,
}

impl Server {
    /// Returns what the configuration says.
    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns whether it serves only when no active server can.
    pub fn is_backup(&self) -> bool {
        self.spec.backup
    }

    /// Returns the state as the statistics show it: `UP`, `UP 1/3`, `DOWN 1/2`, `MAINT`, `DRAIN`, `no check` …
    pub fn status_text(&self) -> String {
        let word = match (self.admin(), self.operational()) {
            (Admin::Maint, _) => return "MAINT".to_owned(),
            (_, Operational::Down) => "DOWN",
            (Admin::Drain, _) => "DRAIN",
            (_, Operational::Stopping) => "NOLB",
            (_, Operational::Up) if !self.spec.checked => return "no check".to_owned(),
            (_, Operational::Up) => "UP",
        };
        match self.progress() {
            Some((done, of)) => format!("{word} {done}/{of}"),
            None => word.to_owned(),
        }
    }
}

impl Deref for Server {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.live
    }
}

/// The servers of one backend.
#[derive(Debug)]
pub struct Farm {
    servers: Vec<Server>,
    all_backups: bool,
    lanes: Arc<Lanes>,
    /// This farm's name in `lanes`, which several farms share around a reload.
    generation: u64,
}

impl Farm {
    /// Returns a farm whose servers have just started; `all_backups` is `option allbackups`.
    ///
    /// `queue_max` bounds the streams that wait for the backend as a whole and for each server.
    pub fn new(specs: Vec<ServerSpec>, all_backups: bool, queue_max: u32, now_ms: u64) -> Self {
        let servers: Vec<Server> = specs
            .into_iter()
            .map(|spec| Server { live: Arc::new(Live::new(&spec, now_ms)), spec })
            .collect();
        let lanes = Arc::new(Lanes::new(queue_max, now_ms));
        let generation = lanes.register(servers.iter().map(|s| s.uid()).collect());
        Self { servers, all_backups, lanes, generation }
    }

    /// Takes over what is live in `old`: counts, health, queues, and runtime changes that the new file does not undo.
    ///
    /// A server is the same when name and address are. A configured value that differs from the old file's wins
    /// over a runtime change; otherwise the runtime change stays. Call it before the farm is shared.
    pub fn adopt(&mut self, old: &Farm) -> Vec<Wake> {
        self.lanes.forget(self.generation);
        self.lanes = Arc::clone(&old.lanes);
        for server in &mut self.servers {
            let Some(before) = old.servers.iter().find(|before| {
                before.spec.name == server.spec.name && before.spec.address == server.spec.address
            }) else {
                continue;
            };
            server.live = Arc::clone(&before.live);
            server.live.reconfigure(&before.spec, &server.spec);
        }
        self.generation = self.lanes.register(self.servers.iter().map(|s| s.uid()).collect());
        self.lanes.bump();
        let mut wakes = Vec::new();
        for at in 0..self.servers.len() {
            self.fill(at, &mut wakes);
        }
        wakes
    }

    /// Returns the servers in the order of declaration.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the server behind `id`.
    pub fn server(&self, id: ServerId) -> &Server {
        &self.servers[id]
    }

    /// Returns the index of the server of that name.
    pub fn find(&self, name: &str) -> Option<ServerId> {
        self.servers.iter().position(|s| s.spec.name == name)
    }

    /// Returns a number that grows whenever the usability, weight or limit of a server changes.
    pub fn epoch(&self) -> u64 {
        self.lanes.epoch()
    }

    /// Returns how many servers take new streams now, as the fetch `nbsrv` counts them.
    pub fn nbsrv(&self) -> usize {
        match self.count_usable(false) {
            0 if self.all_backups => self.count_usable(true),
            0 => self.count_usable(true).min(1),
            active => active,
        }
    }

    /// Returns how many servers of that kind could take new streams.
    pub fn count_usable(&self, backup: bool) -> usize {
        self.servers.iter().filter(|s| s.spec.backup == backup && s.takes_new()).count()
    }

    /// Returns the sum of the weights of the servers that take new streams now.
    pub fn weight(&self) -> u32 {
        let mut chosen = Vec::new();
        self.chosen(&mut chosen);
        chosen.iter().map(|&at| self.servers[at].weight()).sum()
    }

    /// Replaces `out` by the servers that take new streams now, in the order of declaration: the active ones, or
    /// else the first backup, or all of them with `option allbackups`.
    pub fn chosen(&self, out: &mut Vec<ServerId>) {
        out.clear();
        let usable = |backup| {
            self.servers
                .iter()
                .enumerate()
                .filter(move |(_, s)| s.spec.backup == backup && s.takes_new())
                .map(|(at, _)| at)
        };
        out.extend(usable(false));
        if out.is_empty() {
            let backups = if self.all_backups { usize::MAX } else { 1 };
            out.extend(usable(true).take(backups));
        }
    }

    /// Returns whether a new stream may be given to the server now, backup rules included.
    pub fn is_chosen(&self, id: ServerId) -> bool {
        let server = &self.servers[id];
        server.takes_new()
            && (!server.spec.backup
                || (self.count_usable(false) == 0
                    && (self.all_backups || self.first_backup() == Some(id))))
    }

    fn first_backup(&self) -> Option<ServerId> {
        self.servers.iter().position(|s| s.spec.backup && s.takes_new())
    }

    /// Returns how many streams are in service on all servers.
    pub fn current(&self) -> u64 {
        self.servers.iter().map(|s| u64::from(s.current())).sum()
    }

    /// Returns how often the last server went, so that the backend was down.
    pub fn downs(&self) -> u64 {
        self.lanes.downs()
    }

    /// Returns when the backend last went up or down.
    pub fn changed_ms(&self) -> u64 {
        self.lanes.changed_ms()
    }

    /// Returns for how long the backend was down altogether, until `now_ms`.
    pub fn downtime_ms(&self, now_ms: u64) -> u64 {
        self.lanes.downtime_ms(now_ms)
    }

    /// Stores what a health check found and what followed from it.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn record_check(
        &self,
        id: ServerId,
        result: &CheckResult,
        outcome: &Outcome,
        now_ms: u64,
    ) -> Vec<Wake> {
        let server = &self.servers[id];
        server.store_check(result, outcome);
        match outcome.change {
            Some(to) => self.set_operational(id, to, now_ms),
            None => Vec::new(),
        }
    }

    /// Publishes a health that did not come from a check: at the start, after maintenance, by an operator's word.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn publish_health(&self, id: ServerId, health: &Health, now_ms: u64) -> Vec<Wake> {
        self.servers[id].store_progress(health.progress());
        self.set_operational(id, health.state(), now_ms)
    }

    /// Sets what health checks say about a server.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn set_operational(&self, id: ServerId, to: Operational, now_ms: u64) -> Vec<Wake> {
        self.change(id, now_ms, |live| live.set_operational(to, now_ms))
    }

    /// Sets what the operator says about a server.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn set_admin(&self, id: ServerId, to: Admin, now_ms: u64) -> Vec<Wake> {
        self.change(id, now_ms, |live| live.set_admin(to, now_ms))
    }

    /// Sets the effective weight of a server (at most 256); 0 drains it.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn set_weight(&self, id: ServerId, weight: u16, now_ms: u64) -> Vec<Wake> {
        self.change(id, now_ms, |live| live.set_weight(weight))
    }

    /// Sets the most streams at once of a server, 0 for no limit.
    #[must_use = "the woken streams wait for their shard to be told"]
    pub fn set_maxconn(&self, id: ServerId, maxconn: u32, now_ms: u64) -> Vec<Wake> {
        self.change(id, now_ms, |live| live.set_maxconn(maxconn))
    }

    /// Changes a server, tells the balancers, and moves the streams that waited for something else.
    fn change(&self, id: ServerId, now_ms: u64, apply: impl FnOnce(&Live)) -> Vec<Wake> {
        apply(&self.servers[id]);
        self.lanes.bump();
        let nbsrv = self.nbsrv();
        self.lanes.note_size(nbsrv, now_ms);
        let mut wakes = Vec::new();
        if !self.servers[id].takes_persistent() {
            self.lanes.flush_own(self.servers[id].live(), &mut wakes);
        }
        if nbsrv == 0 {
            self.lanes.flush_backend(&mut wakes);
        }
        // A backup may start to serve because another server went.
        for at in 0..self.servers.len() {
            self.fill(at, &mut wakes);
        }
        wakes
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.lanes.forget(self.generation);
    }
}

#[cfg(test)]
mod tests;
