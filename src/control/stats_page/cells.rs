//! The cells of the statistics page: one function per column, and how numbers are written for people.
//!
//! A cell has a main value and a dim second line, both of markup: text from outside goes through [`escape`].

use crate::control::fields::{self, Value};
use crate::control::subject::{Detail, Kind, State, Subject};
use crate::metrics::{Counter, Phase};
use crate::server::CheckStatus;
use std::fmt::{Display, Write};

/// A cell: the main value, the dim line below, and the class of the cell.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) main: String,
    pub(super) below: String,
    pub(super) class: &'static str,
}

impl Cell {
    fn new(main: impl Display, below: impl Display) -> Self {
        Self { main: main.to_string(), below: below.to_string(), class: "" }
    }

    fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// Lets the eye pass over what is not now (`zero`), and a phone leave out what never was (`never`).
    pub(super) fn dim_zero(self) -> Self {
        let zero = matches!(self.main.as_str(), "0" | "0/s" | "0 B in") && self.class.is_empty();
        let never = matches!(self.below.as_str(), "" | "max 0" | "0 B out");
        match (zero, never) {
            (true, true) => self.class("zero never"),
            (true, false) => self.class("zero"),
            (false, _) => self,
        }
    }
}

/// A column: heading, tool tip, and how its cells are made (of markup: escape text).
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) tip: &'static str,
    pub(super) cell: fn(&Subject<'_>) -> Cell,
}

macro_rules! columns {
    ($($heading:literal $tip:literal $cell:expr;)*) => {
        &[$(Column { heading: $heading, tip: $tip, cell: $cell },)*]
    };
}

pub(super) const COLUMNS: &[Column] = columns! {
    "Sessions" "Current sessions or streams; the most so far and the limit" sessions;
    "Rate" "Sessions or streams per second; the most so far" rate;
    "Total" "Sessions or streams so far; HTTP requests" total;
    "Queue" "Streams that wait; the most so far" queue;
    "Bytes" "Bytes received from clients; bytes sent to them" bytes;
    "Responses" "HTTP responses by class of status" responses;
    "Errors" "Errors of requests, connections and responses; retries, denials, aborts" errors;
    "Queued" "Time in the queue: median, and what 99 % do not exceed, since the start"
        |s| latency(s, Phase::Queue);
    "Connect" "Time to connect: median, and what 99 % do not exceed, since the start"
        |s| latency(s, Phase::Connect);
    "First byte" "Time to the response: median, and what 99 % do not exceed, since the start"
        |s| latency(s, Phase::FirstByte);
    "Whole" "Time of the whole stream: median, and what 99 % do not exceed, since the start"
        |s| latency(s, Phase::Total);
    "Check" "How the last health check ended" check;
    "Weight" "Effective weight; active or backup (of a backend: active + backup servers)" weight;
};

/// Returns the class of a state's colour.
pub(super) fn color(state: State) -> &'static str {
    match state {
        State::Open | State::Up => "good",
        State::GoingDown | State::GoingUp | State::Full => "warn",
        State::Down => "bad",
        State::Drain | State::NoBalancing => "drain",
        State::NoCheck | State::Maintenance | State::Stopped => "plain",
    }
}

/// Returns since when the object is in its state, and how often it was down.
pub(super) fn history(s: &Subject<'_>) -> String {
    let Some(seconds) = number(s, "lastchg") else { return String::new() };
    let downs = match number(s, "chkdown") {
        None | Some(0) => String::new(),
        Some(1) => ", was down once".to_owned(),
        Some(times) => format!(", was down {} times", short(times)),
    };
    format!("<small>for {}{downs}</small>", age(seconds))
}

/// Returns the value of a field of the table.
fn value(s: &Subject<'_>, name: &str) -> Value {
    fields::find(name).map_or(Value::Empty, |field| field.value(s))
}

fn number(s: &Subject<'_>, name: &str) -> Option<u64> {
    value(s, name).number().map(|number| number as u64)
}

fn sessions(s: &Subject<'_>) -> Cell {
    let Some(current) = number(s, "scur") else { return Cell::default() };
    let most = short(number(s, "smax").unwrap_or(0));
    let limit = number(s, "slim").filter(|limit| *limit > 0);
    let below = match limit {
        Some(limit) => format!("max {most} of {}", short(limit)),
        None => format!("max {most}"),
    };
    let full = limit.is_some_and(|limit| current >= limit);
    Cell::new(short(current), below).class(if full { "hot" } else { "" })
}

fn rate(s: &Subject<'_>) -> Cell {
    let rate = s.rates.sessions;
    Cell::new(format!("{}/s", short(rate.now)), most(rate.max))
}

fn total(s: &Subject<'_>) -> Cell {
    let requests = match (s.kind, s.http()) {
        (Kind::Frontend, true) => format!("{} requests", short(s.count(Counter::Requests))),
        (Kind::Server | Kind::Backend, true) if s.count(Counter::Sessions) > 0 => {
            let reused = share(s.count(Counter::Reuses), s.count(Counter::Sessions));
            format!("{reused:.0} % reused")
        }
        _ => String::new(),
    };
    Cell::new(short(s.count(Counter::Sessions)), requests)
}

fn queue(s: &Subject<'_>) -> Cell {
    let Some(waiting) = number(s, "qcur") else { return Cell::default() };
    let below = most(number(s, "qmax").unwrap_or(0));
    Cell::new(short(waiting), below).class(if waiting > 0 { "hot" } else { "" })
}

fn bytes(s: &Subject<'_>) -> Cell {
    let (from, to) = (s.count(Counter::BytesIn), s.count(Counter::BytesOut));
    Cell::new(format!("{} in", size(from)), format!("{} out", size(to)))
}

fn responses(s: &Subject<'_>) -> Cell {
    const CLASSES: [(Counter, &str, &str); 6] = [
        (Counter::Http1xx, "1xx", "c1"),
        (Counter::Http2xx, "2xx", "c2"),
        (Counter::Http3xx, "3xx", "c3"),
        (Counter::Http4xx, "4xx", "c4"),
        (Counter::Http5xx, "5xx", "c5"),
        (Counter::HttpOther, "other", "c1"),
    ];
    if !s.http() {
        return Cell::default();
    }
    let counts = CLASSES.map(|(counter, name, class)| (s.count(counter), name, class));
    let all: u64 = counts.iter().map(|(count, ..)| count).sum();
    if all == 0 {
        return Cell::new("", "none yet").class("never");
    }
    let mut bar = String::from("<span class=\"bar\">");
    let mut words = Vec::new();
    for (count, name, class) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = write!(bar, "<i class=\"{class}\" style=\"width:{:.2}%\"></i>", share(count, all));
        words.push(format!("<span class=\"{class}\">{name} {}</span>", short(count)));
    }
    bar.push_str("</span>");
    Cell::new(bar, words.join(" ")).class("classes")
}

fn errors(s: &Subject<'_>) -> Cell {
    const PARTS: &[(Counter, &str)] = &[
        (Counter::RequestErrors, "request"),
        (Counter::ConnectErrors, "connect"),
        (Counter::ResponseErrors, "response"),
        (Counter::InternalErrors, "internal"),
    ];
    const NOTES: &[(Counter, &str)] = &[
        (Counter::Retries, "retried"),
        (Counter::Redispatches, "moved"),
        (Counter::DeniedRequests, "denied"),
        (Counter::DeniedResponses, "denied"),
        (Counter::DeniedConnections, "refused"),
        (Counter::ClientAborts, "client left"),
        (Counter::ServerAborts, "server left"),
    ];
    let named = |parts: &'static [(Counter, &'static str)]| {
        let counts = parts.iter().map(|&(counter, name)| (s.count(counter), name));
        counts.filter(|(count, _)| *count > 0).collect::<Vec<_>>()
    };
    let errors = named(PARTS);
    let total: u64 = errors.iter().map(|(count, _)| count).sum();
    let words: Vec<_> = errors
        .iter()
        .chain(&named(NOTES))
        .map(|(count, name)| format!("{} {name}", short(*count)))
        .collect();
    Cell::new(short(total), words.join(", ")).class(if total > 0 { "hot" } else { "" })
}

fn latency(s: &Subject<'_>, phase: Phase) -> Cell {
    if s.kind != Kind::Server || s.time(phase).count == 0 {
        return Cell::default();
    }
    s.latency(phase, |latency| match (latency.quantile(0.5), latency.quantile(0.99)) {
        (Some(median), Some(most)) => {
            Cell::new(duration(median), format!("p99 {}", duration(most))).class("time")
        }
        _ => Cell::default(),
    })
}

fn check(s: &Subject<'_>) -> Cell {
    let Some(live) = s.live().filter(|live| live.spec().checked) else {
        return Cell::default();
    };
    let check = live.last_check();
    if matches!(check.status, CheckStatus::Unknown | CheckStatus::Initializing) {
        return Cell::new("", "not checked yet");
    }
    let (name, words) = (check.status.name(), check.status.description());
    let code = if check.code > 0 { format!(" {}", check.code) } else { String::new() };
    let main = format!("<span title=\"{words}\">{name}{code}</span>");
    let text = match check.text.as_str() {
        text if text.is_empty() || check.status.passed() => String::new(),
        text => format!(", {}", escape(text)),
    };
    Cell::new(main, format!("{} ms{text}", check.duration_ms)).class("check")
}

fn weight(s: &Subject<'_>) -> Cell {
    match s.detail {
        Detail::Server(server, live) => {
            let part = if server.backup { "backup" } else { "active" };
            Cell::new(live.weight(), part)
        }
        Detail::Backend(_, farm) => {
            let (active, backup) = (farm.count_usable(false), farm.count_usable(true));
            let servers = match backup {
                0 => format!("{active} active"),
                backup => format!("{active} + {backup}"),
            };
            Cell::new(farm.weight(), servers)
        }
        Detail::Frontend(_) | Detail::Listener(..) => Cell::default(),
    }
}

pub(super) fn most(value: u64) -> String {
    format!("max {}", short(value))
}

/// Returns a share in percent, 0 of nothing.
pub(super) fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

/// Returns a number in at most five characters: `999`, `1.2k`, `34.5M`.
pub(super) fn short(value: u64) -> String {
    scaled(value, &["", "k", "M", "G", "T", "P", "E"])
}

/// Returns a number of bytes: `999 B`, `1.2 kB`.
pub(super) fn size(bytes: u64) -> String {
    scaled(bytes, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"])
}

fn scaled(value: u64, units: &[&str]) -> String {
    let mut scaled = value as f64;
    let mut unit = 0;
    // What would be rounded to 1000 belongs to the next unit.
    while scaled >= if unit == 0 { 1000.0 } else { 999.95 } && unit + 1 < units.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value}{}", units[0]),
        _ => format!("{scaled:.1}{}", units[unit]),
    }
}

/// Returns a number of microseconds: `250 µs`, `1.2 ms`, `3.4 s`.
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// Returns a number of seconds in its two greatest units: `5s`, `2m 5s`, `3h 2m`, `4d 3h`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Returns text that means itself in HTML, in attributes too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_four_digits_with_a_unit() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (999_949, "999.9k"),
            (999_950, "1.0M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(size(1_500), "1.5 kB");
    }

    #[test]
    fn what_never_was_is_told_from_what_is_not_now() {
        let class = |main: &str, below: &str| Cell::new(main, below).dim_zero().class;
        assert_eq!(class("0", "max 0"), "zero never");
        assert_eq!(class("0 B in", "0 B out"), "zero never");
        assert_eq!(class("0/s", "max 3"), "zero");
        assert_eq!(class("2", "max 3"), "");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (micros, text) in [(0, "0 µs"), (999, "999 µs"), (1_250, "1.2 ms"), (86_400, "86 ms")]
        {
            assert_eq!(duration(micros), text);
        }
        assert_eq!(duration(3_400_000), "3.4 s");
        for (seconds, text) in [(5, "5s"), (125, "2m 5s"), (10_920, "3h 2m"), (360_000, "4d 4h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
