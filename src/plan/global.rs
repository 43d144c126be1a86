//! The directives of `global`.

use super::bind::{self, listen_addresses};
use super::directive::{Args, Entry, Prefix};
use super::load::Loader;
use super::log::target::{self, TargetDraft};
use super::words::{self, Place};
use super::{Global, StatsLevel, StatsSocket};
use crate::config::ast::{Line, Span, Word};
use crate::config::diagnostic::Diagnostic;
use crate::config::section::SectionKind;
use crate::rules::variable::Limits;
use std::time::Duration;

/// The global sections while their lines are read; several sections add up.
#[derive(Debug)]
pub(super) struct GlobalDraft {
    pub(super) global: Global,
    pub(super) maxconn: Option<u32>,
    /// `fd-hard-limit`: what the default of `maxconn` is made from at most.
    fd_hard_limit: Option<u64>,
    /// `no splice`, `nosplice`
    pub(super) no_splice: bool,
    /// `zero-warning`
    pub(super) zero_warning: Option<Span>,
    send_hostname: Option<Option<String>>,
    /// `log` lines.
    pub(super) logs: Vec<TargetDraft>,
    cpu_pins: Vec<(usize, usize)>,
    /// `set-var` and `set-var-fmt` lines.
    pub(super) variables: Vec<Line>,
    /// `tune.vars.…-max-size`
    pub(super) variable_limits: Limits,
}

impl Default for GlobalDraft {
    fn default() -> Self {
        Self {
            global: Global {
                stats_timeout: Duration::from_secs(10),
                log_tag: "haproxy".to_owned(),
                buffer_size: 16_384,
                headers_max: 101,
                rewrite_room: 1024,
                idle_pool_shared: true,
                ..Global::default()
            },
            maxconn: None,
            fd_hard_limit: None,
            no_splice: false,
            zero_warning: None,
            send_hostname: None,
            logs: Vec::new(),
            cpu_pins: Vec::new(),
            variables: Vec::new(),
            variable_limits: Limits::default(),
        }
    }
}

/// The handler of a global directive.
pub(super) type Handler = for<'a> fn(&mut Loader<'_>, &mut GlobalDraft, &mut Args<'a>);

macro_rules! global {
    ($name:literal, $example:literal, $handler:expr) => {
        Entry {
            name: $name,
            example: $example,
            build: {
                const HANDLER: Handler = $handler;
                HANDLER
            },
        }
    };
}

/// One row per directive.
pub(super) static TABLE: &[Entry<Handler>] = &[
    global!("chroot", "chroot /var/lib/haproxy", |cx, draft, args| {
        if let Some(word) = args.required(cx, "a directory") {
            draft.global.chroot = Some(word.as_str().into());
        }
    }),
    global!("cpu-map", "cpu-map auto:1/1-2 0-1", cpu_map),
    global!("daemon", "daemon", |_, draft, _| {
        draft.global.daemon = true;
    }),
    global!("description", "description edge node", |_, draft, args| {
        let words: Vec<&str> = args.rest().iter().map(|word| word.as_str()).collect();
        draft.global.description = Some(words.join(" "));
    }),
    global!("fd-hard-limit", "fd-hard-limit 50000", |cx, draft, args| {
        draft.fd_hard_limit = args.number(cx, "a number of descriptors", 1..=1 << 30);
    }),
    global!("gid", "gid 0", |cx, draft, args| {
        if let Some(id) = args.number(cx, "a group id", 0..=u64::from(u32::MAX)) {
            draft.global.gid = Some(id as u32);
        }
    }),
    global!("group", "group root", |cx, draft, args| {
        let Some(name) = args.required(cx, "the name of a group") else { return };
        draft.global.gid = bind::group(cx, args, name);
    }),
    global!("hard-stop-after", "hard-stop-after 30s", |cx, draft, args| {
        if let Some(time) = args.time(cx, "a duration such as `30s`") {
            draft.global.hard_stop_after = Some(time).filter(|time| !time.is_zero());
        }
    }),
    global!("log", "log 127.0.0.1:514 local0 notice", |cx, draft, args| {
        if args.prefix != Prefix::None {
            draft.logs.clear();
            args.rest();
            return;
        }
        if let Some(target) = target::target(cx, args) {
            draft.logs.push(target);
        }
    }),
    global!("log-send-hostname", "log-send-hostname", |_, draft, args| {
        draft.send_hostname = Some(args.next().map(|word| word.text.clone()));
    }),
    global!("log-tag", "log-tag fastlb", |cx, draft, args| {
        if let Some(tag) = args.required(cx, "a tag") {
            draft.global.log_tag.clone_from(&tag.text);
        }
    }),
    global!("maxconn", "maxconn 20000", |cx, draft, args| {
        if let Some(n) = args.number(cx, "a number of connections", 0..=u64::from(u32::MAX)) {
            draft.maxconn = Some(n as u32).filter(|n| *n > 0);
        }
    }),
    global!("nbthread", "nbthread 4", |cx, draft, args| {
        if let Some(n) = args.number(cx, "a number of threads", 1..=u64::from(SHARDS_MAX)) {
            draft.global.nbthread = Some(n as u32);
        }
    }),
    global!("node", "node edge1", |cx, draft, args| {
        if let Some(name) = args.required(cx, "a name") {
            draft.global.node = Some(name.text.clone());
        }
    }),
    global!("nosplice", "nosplice", |_, draft, _| {
        draft.no_splice = true;
    }),
    global!("pidfile", "pidfile /run/fastlb.pid", |cx, draft, args| {
        if let Some(word) = args.required(cx, "a path") {
            draft.global.pidfile = Some(word.as_str().into());
        }
    }),
    global!("presetenv", "presetenv NAME value", environment),
    global!("resetenv", "resetenv PATH", environment),
    global!("set-var", "set-var proc.state str(primary)", set_variable),
    global!("set-var-fmt", "set-var-fmt proc.state primary", set_variable),
    global!("setenv", "setenv NAME value", environment),
    global!("spread-checks", "spread-checks 5", |cx, draft, args| {
        if let Some(n) = args.number(cx, "a percentage", 0..=50) {
            draft.global.spread_checks = n as u32;
        }
    }),
    global!("stats socket", "stats socket /run/fastlb.sock mode 600 level admin", stats_socket),
    global!("stats timeout", "stats timeout 30s", |cx, draft, args| {
        if let Some(time) = args.time(cx, "a duration such as `30s`") {
            draft.global.stats_timeout = time;
        }
    }),
    global!("tune.bufsize", "tune.bufsize 32k", |cx, draft, args| {
        if let Some(size) = args.size(cx, "a size in bytes", 1_024..=16 << 20) {
            draft.global.buffer_size = size as usize;
        }
    }),
    global!("tune.http.maxhdr", "tune.http.maxhdr 128", |cx, draft, args| {
        if let Some(n) = args.number(cx, "a number of fields", 1..=32_767) {
            draft.global.headers_max = n as usize;
        }
    }),
    global!("tune.idle-pool.shared", "tune.idle-pool.shared off", |cx, draft, args| {
        let Some(word) = args.required(cx, "`on` or `off`") else { return };
        draft.global.idle_pool_shared = match word.as_str() {
            // There are no thread groups that `auto` and `full` could tell apart.
            "auto" | "full" | "on" => true,
            "off" => false,
            _ => return args.not_one_of(cx, word, &["auto", "full", "off", "on"]),
        };
    }),
    global!("tune.maxrewrite", "tune.maxrewrite 2k", |cx, draft, args| {
        if let Some(size) = args.size(cx, "a size in bytes", 0..=16 << 20) {
            draft.global.rewrite_room = size as usize;
        }
    }),
    global!("tune.vars.global-max-size", "tune.vars.global-max-size 1m", |cx, draft, args| {
        variable_limit(cx, args, &mut draft.variable_limits.process);
    }),
    global!("tune.vars.proc-max-size", "tune.vars.proc-max-size 1m", |cx, draft, args| {
        variable_limit(cx, args, &mut draft.variable_limits.process);
    }),
    global!("tune.vars.reqres-max-size", "tune.vars.reqres-max-size 4k", |cx, draft, args| {
        variable_limit(cx, args, &mut draft.variable_limits.message);
    }),
    global!("tune.vars.sess-max-size", "tune.vars.sess-max-size 16k", |cx, draft, args| {
        variable_limit(cx, args, &mut draft.variable_limits.session);
    }),
    global!("tune.vars.txn-max-size", "tune.vars.txn-max-size 8k", |cx, draft, args| {
        variable_limit(cx, args, &mut draft.variable_limits.transaction);
    }),
    global!("uid", "uid 0", |cx, draft, args| {
        if let Some(id) = args.number(cx, "a user id", 0..=u64::from(u32::MAX)) {
            draft.global.uid = Some(id as u32);
        }
    }),
    global!("ulimit-n", "ulimit-n 40000", |cx, draft, args| {
        if let Some(n) = args.number(cx, "a number of descriptors", 1..=1 << 30) {
            draft.global.ulimit_n = Some(n);
        }
    }),
    global!("unsetenv", "unsetenv NAME", environment),
    global!("user", "user root", |cx, draft, args| {
        let Some(name) = args.required(cx, "the name of a user") else { return };
        draft.global.uid = bind::user(cx, args, name);
    }),
    global!("zero-warning", "zero-warning", |_, draft, args| {
        draft.zero_warning = Some(args.span());
    }),
];

/// Variables are set while the file is read, so that the lines below see them; nothing is left to do.
fn environment(_: &mut Loader<'_>, _: &mut GlobalDraft, args: &mut Args<'_>) {
    args.rest();
}

/// Keeps the line: names are resolved when all proxies are known.
fn set_variable(cx: &mut Loader<'_>, draft: &mut GlobalDraft, args: &mut Args<'_>) {
    if args.required(cx, "the name of a variable, such as `proc.state`").is_some()
        && args.required(cx, "a value").is_some()
    {
        draft.variables.push(args.line.clone());
    }
}

/// Reads a limit of variables; where two lines limit the same, the lower one counts.
fn variable_limit(cx: &mut Loader<'_>, args: &mut Args<'_>, limit: &mut u64) {
    if let Some(size) = args.size(cx, "a size in bytes", 0..=1 << 40) {
        *limit = match (*limit, size) {
            (0, size) | (size, 0) => size,
            (one, other) => one.min(other),
        };
    }
}

/// The most shards there can be.
const SHARDS_MAX: u32 = 1_024;
/// The most CPUs that a set can name.
const CPUS_MAX: usize = 4_096;

/// Reads one line of a global section; `previous` is the one above.
pub(super) fn line(
    cx: &mut Loader<'_>,
    draft: &mut GlobalDraft,
    previous: Option<&Line>,
    line: &Line,
) {
    let place = Place { kind: SectionKind::Global, title: "`global`", named: false, previous };
    if let Some((row, mut args)) = words::open(cx, place, line, &[TABLE]) {
        (row.build)(cx, draft, &mut args);
        args.finish(cx);
    }
}

impl GlobalDraft {
    /// Returns the settings with everything that was not said filled in.
    pub(super) fn finish(mut self, cx: &Loader<'_>) -> Global {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.global.hostname = host.trim().to_owned();
        self.global.log_hostname =
            self.send_hostname.map(|own| own.unwrap_or_else(|| self.global.hostname.clone()));
        for (shard, cpu) in self.cpu_pins {
            if self.global.cpu_map.len() <= shard {
                self.global.cpu_map.resize(shard + 1, None);
            }
            self.global.cpu_map[shard] = Some(cpu);
        }
        self.global.maxconn = cx
            .options
            .maxconn
            .or(self.maxconn)
            .unwrap_or_else(|| default_maxconn(cx, self.fd_hard_limit));
        self.global
    }
}

/// Returns how many connections the descriptor limit allows: two descriptors each, beside a reserve for everything else.
fn default_maxconn(cx: &Loader<'_>, hard_limit: Option<u64>) -> u32 {
    /// Descriptors for listeners, logs, checks, rings and files.
    const RESERVED: u64 = 64;
    /// HAProxy's own ceiling where the limit of a container is absurdly high.
    const CEILING: u64 = 1 << 20;
    let limit = cx.options.descriptors_max.or_else(descriptor_limit).unwrap_or(4_096);
    let limit = limit.min(hard_limit.unwrap_or(CEILING));
    (limit.min(CEILING).saturating_sub(RESERVED) / 2).max(100) as u32
}

/// Returns the hard limit of descriptors of this process.
fn descriptor_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn stats_socket(cx: &mut Loader<'_>, draft: &mut GlobalDraft, args: &mut Args<'_>) {
    let Some(word) = args.required(cx, "a path or an address") else { return };
    let mut addresses = Vec::new();
    let errors = cx.errors();
    listen_addresses(cx, word.as_str(), word.span, &mut addresses);
    if cx.errors() > errors {
        args.give_up();
    }
    let params = bind::params(cx, args, true);
    for (address, _) in addresses {
        draft.global.stats_sockets.push(StatsSocket {
            address,
            mode: params.mode,
            uid: params.uid,
            gid: params.gid,
            level: params.level.unwrap_or(StatsLevel::Operator),
            span: args.line.span,
        });
    }
}

/// Reads `cpu-map`: which shards, and the CPUs that they get in turn.
fn cpu_map(cx: &mut Loader<'_>, draft: &mut GlobalDraft, args: &mut Args<'_>) {
    let Some(sets) = args.required(cx, "a set of threads") else { return };
    let mut cpus = Vec::new();
    let Some(first) = args.required(cx, "a set of CPUs") else { return };
    for word in std::iter::once(first).chain(args.rest()) {
        for part in word.as_str().split(',') {
            match range(part, CPUS_MAX) {
                Some((low, high)) => cpus.extend(low..=high),
                None => return bad_set(cx, args, word, part),
            }
        }
    }
    let text = sets.as_str();
    let text = text.strip_prefix("auto:").unwrap_or(text);
    let shards = match text.split_once('/') {
        Some((group, threads)) => range(group, SHARDS_MAX as usize)
            .or((group == "all").then_some((1, 1)))
            .and_then(|_| thread_set(threads, cpus.len())),
        // `cpu-map 1 0-3` gives the threads of the one process these CPUs.
        None if text == "1" => Some((0..cpus.len()).collect()),
        None => thread_set(text, cpus.len()),
    };
    let Some(shards) = shards else { return bad_set(cx, args, sets, text) };
    let pins = shards.into_iter().enumerate().map(|(at, shard)| (shard, cpus[at % cpus.len()]));
    draft.cpu_pins.extend(pins);
}

fn bad_set(cx: &mut Loader<'_>, args: &mut Args<'_>, word: &Word, text: &str) {
    args.give_up();
    cx.push(
        Diagnostic::error(word.span, format!("`{text}` is not a set of numbers"))
            .help("write `cpu-map auto:1/1-4 0-3`, which gives the first four shards CPUs 0 to 3"),
    );
}

/// Returns the shards (counted from 0) that a thread set names; `all` is as many as there are CPUs.
fn thread_set(text: &str, cpus: usize) -> Option<Vec<usize>> {
    match text {
        "all" => Some((0..cpus).collect()),
        "odd" => Some((0..cpus * 2).step_by(2).collect()),
        "even" => Some((1..cpus * 2).step_by(2).collect()),
        _ => {
            let (low, high) = range(text, SHARDS_MAX as usize)?;
            (low > 0).then(|| (low - 1..high).collect())
        }
    }
}

/// Reads `N` or `N-M`.
fn range(text: &str, max: usize) -> Option<(usize, usize)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high && high <= max).then_some((low, high))
}
