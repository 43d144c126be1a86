//! How the values of the statistics fields are computed, one small function per meaning.
//!
//! Nothing here knows columns or formats; a function answers `Value::Empty` for kinds of object without the value.

use super::Value;
use crate::control::subject::{Detail, Kind, State, Subject, check_status};
use crate::metrics::{Counter, Phase};
use crate::plan::{Address, Mode};
use crate::server::{CheckStatus, Operational};

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn u32(value: u32) -> Value {
    Value::U32(value)
}

pub(super) fn maybe(value: Option<u32>) -> Value {
    value.map_or(Value::Empty, Value::U32)
}

pub(super) fn nonzero(value: u32) -> Value {
    if value == 0 { Value::Empty } else { Value::U32(value) }
}

pub(super) fn rate(value: u64) -> Value {
    Value::U32(value.try_into().unwrap_or(u32::MAX))
}

pub(super) fn when(holds: bool, value: Value) -> Value {
    if holds { value } else { Value::Empty }
}

/// A counter; shards count only sessions and bytes for single listeners.
pub(super) fn count(s: &Subject<'_>, counter: Counter) -> Value {
    let counted = matches!(counter, Counter::Sessions | Counter::BytesIn | Counter::BytesOut);
    when(s.kind != Kind::Listener || counted, Value::U64(s.count(counter)))
}

/// A counter that only HTTP proxies have.
pub(super) fn http(s: &Subject<'_>, counter: Counter) -> Value {
    when(s.http(), Value::U64(s.count(counter)))
}

/// A value that only checked servers have.
pub(super) fn checked(
    s: &Subject<'_>,
    value: impl FnOnce(&crate::server::Server) -> Value,
) -> Value {
    match s.live() {
        Some(live) if live.spec().checked => value(live),
        _ => Value::Empty,
    }
}

pub(super) fn queue(s: &Subject<'_>) -> (u32, u32) {
    match s.detail {
        Detail::Backend(_, farm) => (farm.queued(), farm.queued_max()),
        Detail::Server(_, live) => (live.queued(), live.queued_max()),
        Detail::Frontend(_) | Detail::Listener(..) => (0, 0),
    }
}

pub(super) fn current(s: &Subject<'_>) -> (Option<u32>, Option<u32>) {
    match s.detail {
        Detail::Frontend(frontend) => {
            (Some(frontend.connections.current()), Some(frontend.connections.max()))
        }
        Detail::Backend(backend, _) => {
            (Some(backend.streams.current()), Some(backend.streams.max()))
        }
        Detail::Server(_, live) => (Some(live.current()), Some(live.current_max())),
        Detail::Listener(..) => (None, None),
    }
}

pub(super) fn limit(s: &Subject<'_>) -> Value {
    match s.detail {
        Detail::Frontend(frontend) => u32(frontend.maxconn),
        Detail::Listener(..) => u32(0),
        Detail::Server(_, live) => nonzero(live.maxconn()),
        Detail::Backend(..) => Value::Empty,
    }
}

pub(super) fn weight(s: &Subject<'_>) -> Value {
    match s.detail {
        Detail::Backend(_, farm) => u32(farm.weight()),
        Detail::Server(_, live) => u32(live.weight()),
        Detail::Frontend(_) | Detail::Listener(..) => Value::Empty,
    }
}

pub(super) fn user_weight(s: &Subject<'_>) -> Value {
    match s.detail {
        Detail::Backend(_, farm) => {
            let mut chosen = Vec::new();
            farm.chosen(&mut chosen);
            u32(chosen.iter().map(|&at| u32::from(farm.server(at).spec().weight)).sum())
        }
        Detail::Server(_, live) => u32(live.spec().weight.into()),
        Detail::Frontend(_) | Detail::Listener(..) => Value::Empty,
    }
}

pub(super) fn usable(s: &Subject<'_>, backup: bool) -> u32 {
    match s.detail {
        Detail::Backend(_, farm) => farm.count_usable(backup) as u32,
        Detail::Server(_, live) => u32::from(live.is_backup() == backup),
        Detail::Frontend(_) | Detail::Listener(..) => 0,
    }
}

pub(super) fn downs(s: &Subject<'_>) -> Value {
    match s.farm() {
        Some(farm) => Value::U64(farm.downs()),
        None => checked(s, |live| Value::U64(live.downs())),
    }
}

pub(super) fn last_change(s: &Subject<'_>) -> Value {
    let now = s.overview.reading.now_ms;
    let changed = match s.detail {
        Detail::Backend(_, farm) => farm.changed_ms(),
        Detail::Server(_, live) => live.changed_ms(),
        Detail::Frontend(_) | Detail::Listener(..) => return Value::Empty,
    };
    rate(now.saturating_sub(changed) / 1000)
}

pub(super) fn downtime(s: &Subject<'_>) -> Value {
    let now = s.overview.reading.now_ms;
    match s.farm() {
        Some(farm) => rate(farm.downtime_ms(now) / 1000),
        None => checked(s, |live| rate(live.downtime_ms(now) / 1000)),
    }
}

pub(super) fn last_session(s: &Subject<'_>) -> Value {
    let seconds = s.rates.idle.map_or(-1, |idle| idle.as_secs().try_into().unwrap_or(i32::MAX));
    Value::S32(seconds)
}

pub(super) fn check_duration(s: &Subject<'_>) -> Value {
    checked(s, |live| {
        let check = live.last_check();
        let never = matches!(check.status, CheckStatus::Unknown | CheckStatus::Initializing);
        when(!never, Value::U64(check.duration_ms.into()))
    })
}

pub(super) fn average(s: &Subject<'_>, phase: Phase) -> Value {
    rate((s.rates.average_us[phase as usize] / 1000.0).round() as u64)
}

pub(super) fn longest(s: &Subject<'_>, phase: Phase) -> Value {
    rate(s.time(phase).max_micros / 1000)
}

pub(super) fn quantile(s: &Subject<'_>, phase: Phase, share: f64) -> Value {
    s.quantile(phase, share).map_or(Value::Empty, Value::U64)
}

/// Returns rise and fall.
pub(super) fn settings(s: &Subject<'_>) -> Option<(u32, u32)> {
    match s.detail {
        Detail::Server(server, _) => server.check.as_ref().map(|check| (check.rise, check.fall)),
        _ => None,
    }
}

pub(super) fn health(s: &Subject<'_>) -> Value {
    let (Some((rise, fall)), Some(live)) = (settings(s), s.live()) else {
        return Value::Empty;
    };
    let progress = live.progress().map(|(done, _)| u32::from(done));
    u32(match (live.operational(), progress) {
        (Operational::Down, progress) => progress.unwrap_or(0),
        (_, Some(done)) => (rise + done).saturating_sub(1),
        (_, None) => (rise + fall).saturating_sub(1),
    })
}

pub(super) fn address(s: &Subject<'_>) -> Value {
    let address = match s.detail {
        Detail::Listener(_, bind) => &bind.address,
        Detail::Server(server, _) => &server.address,
        Detail::Frontend(_) | Detail::Backend(..) => return Value::Empty,
    };
    match address {
        Address::Tcp(address) => Value::Text(address.to_string()),
        Address::Unix(_) | Address::Abstract(_) => text("unix"),
        Address::Fd(fd) => Value::Text(format!("fd@{fd}")),
    }
}

pub(super) fn cookie(s: &Subject<'_>) -> Value {
    let cookie = match s.detail {
        Detail::Backend(backend, _) => backend.cookie.as_ref().map(|cookie| &cookie.name),
        Detail::Server(server, _) => server.cookie.as_ref(),
        Detail::Frontend(_) | Detail::Listener(..) => None,
    };
    cookie.map_or(Value::Empty, |cookie| text(cookie))
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    }
}

pub(super) fn algorithm(s: &Subject<'_>) -> Value {
    match s.detail {
        Detail::Backend(backend, _) => text(backend.balance.name()),
        _ => Value::Empty,
    }
}

/// One label per state, 1 at the state it is in.
pub(super) fn states(s: &Subject<'_>) -> Vec<(&'static str, u64)> {
    let state = s.state();
    let flags = |names: &[(&'static str, bool)]| {
        names.iter().map(|&(name, holds)| (name, u64::from(holds))).collect()
    };
    match s.kind {
        Kind::Frontend | Kind::Backend => {
            let up = state.serves();
            flags(&[("DOWN", !up), ("UP", up)])
        }
        Kind::Listener => flags(&[
            ("WAITING", state == State::Stopped),
            ("OPEN", state == State::Open),
            ("FULL", state == State::Full),
        ]),
        Kind::Server => {
            let now = metric_state(state);
            SERVER_STATES.iter().map(|&name| (name, u64::from(name == now))).collect()
        }
    }
}

/// The states of servers that HAProxy's exporter knows, in its order.
const SERVER_STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

fn metric_state(state: State) -> &'static str {
    match state {
        State::Down | State::GoingUp => "DOWN",
        State::Maintenance | State::Stopped => "MAINT",
        State::Drain => "DRAIN",
        State::NoBalancing => "NOLB",
        State::Up | State::GoingDown | State::NoCheck | State::Open | State::Full => "UP",
    }
}

pub(super) fn server_states(s: &Subject<'_>) -> Vec<(&'static str, u64)> {
    let states: Vec<_> = s.overview.servers(s.proxy).map(|s| metric_state(s.state())).collect();
    let count = |name| states.iter().filter(|&&state| state == name).count() as u64;
    SERVER_STATES.iter().map(|&name| (name, count(name))).collect()
}

/// The ends of checks that HAProxy's exporter knows, in its order.
const CHECK_STATES: &[&str] = &[
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP",
    "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

/// One label per end of a check: a server's own, or how many servers of the backend.
pub(super) fn check_states(s: &Subject<'_>) -> Vec<(&'static str, u64)> {
    let ends: Vec<_> = match s.detail {
        Detail::Backend(_, farm) => farm.servers().iter().filter_map(check_status).collect(),
        Detail::Server(_, live) => check_status(live).into_iter().collect(),
        Detail::Frontend(_) | Detail::Listener(..) => Vec::new(),
    };
    let count = |name| ends.iter().filter(|end| end.name() == name).count() as u64;
    CHECK_STATES.iter().map(|&name| (name, count(name))).collect()
}
