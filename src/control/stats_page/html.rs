//! The statistics page as HTML: what is wrong first, then every proxy as a table, then the shards.
//!
//! A cell has a main value and a dim second line; on a narrow screen a table row becomes a card and cells carry their
//! column's name (see the style sheet). To add a column, add a row to [`COLUMNS`]. All text goes through [`escape`].

use super::{Format, Options};
use crate::control::fields::{self, Value};
use crate::control::info;
use crate::control::process::Process;
use crate::control::selection::Selection;
use crate::control::subject::{Detail, Kind, Overview, Proxy, State, Subject};
use crate::metrics::{Counter, Phase};
use crate::plan::{Mode, StatsPage};
use std::fmt::{Display, Write};

const STYLE: &str = include_str!("style.css");

/// Names of servers that are listed as down before "and N more".
const DOWN_LISTED_MAX: usize = 12;

/// Returns the page.
pub(super) fn write(
    overview: &Overview<'_>,
    process: &Process,
    page: &StatsPage,
    options: &Options,
    selection: &Selection,
) -> String {
    let proxies: Vec<_> =
        overview.proxies().iter().filter(|proxy| selection.admits_proxy(proxy)).collect();
    let mut out = Page(String::with_capacity(16 << 10));
    out.head(overview, page);
    out.facts(overview, process);
    out.links(page, options);
    out.trouble(overview, &proxies);
    if proxies.is_empty() {
        out.text("<p class=\"none\">No proxy is in the scope of this page.</p>\n");
    }
    for proxy in proxies {
        out.proxy(overview, proxy, selection);
    }
    out.shards(overview);
    out.text("</main>\n</body>\n</html>\n");
    out.0
}

/// The text of the page as it grows.
struct Page(String);

/// A cell: the main value, the dim line below, and the class of the cell.
#[derive(Default)]
struct Cell {
    main: String,
    below: String,
    class: &'static str,
}

impl Cell {
    fn new(main: impl Display, below: impl Display) -> Self {
        Self { main: main.to_string(), below: below.to_string(), class: "" }
    }

    fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }
}

/// A column: heading, tool tip, and how its cells are made (of markup: escape text).
struct Column {
    heading: &'static str,
    tip: &'static str,
    cell: fn(&Subject<'_>) -> Cell,
}

macro_rules! columns {
    ($($heading:literal $tip:literal $cell:expr;)*) => {
        &[$(Column { heading: $heading, tip: $tip, cell: $cell },)*]
    };
}

const COLUMNS: &[Column] = columns! {
    "Sessions" "Current sessions or streams; the most so far and the limit" sessions;
    "Rate" "Sessions or streams per second; the most so far" rate;
    "Total" "Sessions or streams so far; HTTP requests" total;
    "Queue" "Streams that wait; the most so far" queue;
    "Bytes" "Bytes received from clients; bytes sent to them" bytes;
    "Responses" "HTTP responses by class of status" responses;
    "Errors" "Errors of requests, connections and responses; denied and aborted" errors;
    "Retries" "Connection attempts made again; streams moved to another server" retries;
    "Queued" "Time in the queue: median, and what 99 % do not exceed" |s| latency(s, Phase::Queue);
    "Connect" "Time to connect: median, and what 99 % do not exceed" |s| latency(s, Phase::Connect);
    "First byte" "Time to the response: median, and what 99 % do not exceed"
        |s| latency(s, Phase::FirstByte);
    "Whole" "Time of the whole stream: median, and what 99 % do not exceed"
        |s| latency(s, Phase::Total);
    "Check" "How the last health check ended; time since the last change of state" check;
    "Weight" "Effective weight; active or backup" weight;
};

impl Page {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn head(&mut self, overview: &Overview<'_>, page: &StatsPage) {
        let node = page.show_node.as_deref().map(|name| match name {
            "" => info::node(overview.plan),
            name => name,
        });
        let on = node.map_or(String::new(), |node| format!(" on {}", escape(node)));
        let version = match page.hide_version {
            true => String::new(),
            false => format!(" <small>{}</small>", env!("CARGO_PKG_VERSION")),
        };
        self.text("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.text(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"icon\" href=\"data:,\">\n",
        );
        self.line(format_args!("<title>fastlb statistics{on}</title>"));
        self.line(format_args!("<style>\n{STYLE}</style>\n</head>\n<body>"));
        self.line(format_args!("<header>\n<h1>fastlb{version}{on}</h1>"));
        let description = page.show_desc.as_deref().map(|text| match text {
            "" => overview.plan.global.description.as_deref().unwrap_or(""),
            text => text,
        });
        if let Some(text) = description {
            self.line(format_args!("<p>{}</p>", escape(text)));
        }
    }

    fn facts(&mut self, overview: &Overview<'_>, process: &Process) {
        let (plan, reading) = (overview.plan, overview.reading);
        let rates = &reading.process;
        let limit = match plan.global.maxconn {
            0 => String::new(),
            limit => format!(" of {}", short(limit.into())),
        };
        let idle = rates.idle_percent.map(|idle| format!("{idle} % idle"));
        let memory = process.resident_bytes().map(|bytes| format!("{} memory", size(bytes)));
        let facts = [
            ("Connections", short(plan.connections.current().into()), limit),
            ("Connections/s", short(rates.connections.now), most(rates.connections.max)),
            ("Requests/s", short(rates.requests.now), most(rates.requests.max)),
            ("Sent", format!("{}/s", size(rates.bytes_out.now)), String::new()),
            (
                "Shards",
                plan.metrics.shards().to_string(),
                [idle, memory].into_iter().flatten().collect::<Vec<_>>().join(", "),
            ),
            ("Running for", age(reading.uptime.as_secs()), format!("process {}", process.pid)),
        ];
        self.text("<dl class=\"facts\">\n");
        for (name, value, more) in facts {
            self.line(format_args!(
                "<div><dt>{name}</dt><dd>{value} <small>{more}</small></dd></div>"
            ));
        }
        self.text("</dl>\n");
    }

    fn links(&mut self, page: &StatsPage, options: &Options) {
        let uri = escape(&page.uri);
        let up = if options.up { ";up" } else { "" };
        let still = if options.no_refresh { ";norefresh" } else { "" };
        self.text("<nav>\n");
        match (super::refresh(page, options), page.refresh) {
            (Some(seconds), _) => self.line(format_args!(
                "<a href=\"{uri}{up};norefresh\">Stop refreshing</a> <small>every {seconds} s</small>"
            )),
            (None, Some(_)) => self.line(format_args!("<a href=\"{uri}{up}\">Refresh again</a>")),
            (None, None) => self.line(format_args!("<a href=\"{uri}{up}\">Refresh</a>")),
        }
        match options.up {
            true => self.line(format_args!("<a href=\"{uri}{still}\">Show all servers</a>")),
            false => {
                self.line(format_args!(
                    "<a href=\"{uri};up{still}\">Hide servers that are down</a>"
                ));
            }
        }
        for (name, format) in [("CSV", Format::Csv), ("JSON", Format::Json)] {
            let word = if format == Format::Csv { "csv" } else { "json" };
            self.line(format_args!("<a href=\"{uri};{word};norefresh\">{name}</a>"));
        }
        self.scope_form(page, options);
        self.text("</nav>\n</header>\n<main>\n");
    }

    /// A form that keeps the query of `stats uri`, which a browser would replace.
    fn scope_form(&mut self, page: &StatsPage, options: &Options) {
        let (path, query) = page.uri.split_once('?').unwrap_or((&page.uri, ""));
        self.line(format_args!("<form action=\"{}\">", escape(path)));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (escape(name), escape(value));
            self.line(format_args!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"));
        }
        let scope = escape(options.scope.as_deref().unwrap_or(""));
        self.line(format_args!(
            "<input type=\"search\" name=\"scope\" value=\"{scope}\" placeholder=\"Proxy name\" \
             aria-label=\"Show only proxies whose name contains\">\n<button>Filter</button>\n</form>"
        ));
    }

    /// Names the servers that are down, whatever else is hidden.
    fn trouble(&mut self, overview: &Overview<'_>, proxies: &[&Proxy<'_>]) {
        let mut down = Vec::new();
        let (mut all, mut serving) = (0, 0);
        for (proxy, server) in
            proxies.iter().flat_map(|proxy| overview.servers(proxy).map(move |s| (proxy, s)))
        {
            all += 1;
            let state = server.state();
            serving += usize::from(state.serves());
            if matches!(state, State::Down | State::GoingUp) {
                let name = format!("{}/{}", proxy.name, server.name());
                down.push(format!(
                    "<a href=\"#p{}s{}\">{}</a>",
                    proxy.id,
                    server.id,
                    escape(&name)
                ));
            }
        }
        if all == 0 {
            return;
        }
        if down.is_empty() {
            self.line(format_args!("<p class=\"calm\">{serving} of {all} servers in service.</p>"));
            return;
        }
        let more = down.len().saturating_sub(DOWN_LISTED_MAX);
        let count = down.len();
        down.truncate(DOWN_LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (list, word) = (down.join(", "), if count == 1 { "is" } else { "are" });
        self.line(format_args!(
            "<p class=\"trouble\"><b>{count} of {all} servers {word} down:</b> {list}{more}.</p>"
        ));
    }

    fn proxy(&mut self, overview: &Overview<'_>, proxy: &Proxy<'_>, selection: &Selection) {
        let mode = match proxy.mode {
            Mode::Tcp => "tcp",
            Mode::Http => "http",
        };
        let (id, name) = (proxy.id, escape(proxy.name));
        self.line(format_args!(
            "<section id=\"p{id}\">\n<h2><a href=\"#p{id}\">{name}</a> <small>{mode}</small></h2>"
        ));
        self.text("<div class=\"wide\">\n<table>\n<thead>\n<tr><th>Name</th>");
        for column in COLUMNS {
            self.0.push_str("<th title=\"");
            self.0.push_str(column.tip);
            self.0.push_str("\">");
            self.0.push_str(column.heading);
            self.0.push_str("</th>");
        }
        self.text("</tr>\n</thead>\n<tbody>\n");
        let mut row = |subject: Subject<'_>| {
            if selection.admits(&subject) {
                self.row(&subject);
            }
        };
        overview.frontend(proxy).map(&mut row);
        overview.servers(proxy).for_each(&mut row);
        overview.backend(proxy).map(&mut row);
        self.text("</tbody>\n</table>\n</div>\n</section>\n");
    }

    fn row(&mut self, subject: &Subject<'_>) {
        let state = subject.state();
        let (name, anchor) = match subject.detail {
            Detail::Frontend(_) => ("Frontend".to_owned(), String::new()),
            Detail::Backend(..) => ("Backend".to_owned(), String::new()),
            Detail::Listener(..) | Detail::Server(..) => {
                let anchor = format!(" id=\"p{}s{}\"", subject.proxy.id, subject.id);
                (escape(subject.name()), anchor)
            }
        };
        let kind = subject.kind.name().to_ascii_lowercase();
        let (class, status) = (color(state), escape(&subject.status()));
        self.line(format_args!(
            "<tr class=\"{kind} {class}\"{anchor}><th scope=\"row\">{name} \
             <span class=\"state\">{status}</span></th>"
        ));
        for column in COLUMNS {
            let cell = (column.cell)(subject);
            if cell.main.is_empty() && cell.below.is_empty() {
                self.text("<td class=\"empty\"></td>");
                continue;
            }
            let Cell { main, below, class } = cell;
            let heading = column.heading;
            self.line(format_args!(
                "<td data-label=\"{heading}\" class=\"{class}\"><b>{main}</b><small>{below}</small></td>"
            ));
        }
        self.text("</tr>\n");
    }

    fn shards(&mut self, overview: &Overview<'_>) {
        let shards = overview.shards();
        let busiest = shards.iter().map(|shard| shard.connections).max().unwrap_or(0);
        let all: u64 = shards.iter().map(|shard| shard.connections).sum();
        self.text("<section id=\"shards\">\n<h2>Shards</h2>\n");
        if all > 0 && shards.len() > 1 {
            let times = busiest as f64 * shards.len() as f64 / all as f64;
            self.line(format_args!(
                "<p>The busiest shard accepted {times:.2} times its fair share of connections.</p>"
            ));
        }
        self.text(
            "<div class=\"wide\">\n<table class=\"shards\">\n<thead>\n<tr><th>Shard</th>\
             <th>Connections</th><th>Share</th><th>Requests</th><th>Bytes in</th>\
             <th>Bytes out</th></tr>\n</thead>\n<tbody>\n",
        );
        for (index, shard) in shards.iter().enumerate() {
            let percent = share(shard.connections, all);
            self.line(format_args!("<tr class=\"shard\"><th scope=\"row\">{index}</th>"));
            self.line(format_args!(
                "<td data-label=\"Connections\" title=\"{}\"><b>{}</b></td>",
                shard.connections,
                short(shard.connections),
            ));
            self.line(format_args!(
                "<td data-label=\"Share\"><span class=\"bar\"><i style=\"width:{percent:.1}%\"></i>\
                 </span> {percent:.0} %</td>"
            ));
            for (label, value) in [
                ("Requests", short(shard.requests)),
                ("Bytes in", size(shard.bytes_in)),
                ("Bytes out", size(shard.bytes_out)),
            ] {
                self.line(format_args!("<td data-label=\"{label}\"><b>{value}</b></td>"));
            }
            self.text("</tr>\n");
        }
        self.text("</tbody>\n</table>\n</div>\n</section>\n");
    }
}

/// Returns the class of a state's colour.
fn color(state: State) -> &'static str {
    match state {
        State::Open | State::Up => "good",
        State::GoingDown | State::GoingUp | State::Full => "warn",
        State::Down => "bad",
        State::Drain | State::NoBalancing => "drain",
        State::NoCheck | State::Maintenance | State::Stopped => "plain",
    }
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
        (Kind::Server | Kind::Backend, _) => {
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
    Cell::new(format!("{} in", size(from)), format!("{} out", size(to))).class("bytes")
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
        return Cell::new("", "none yet");
    }
    let mut bar = String::from("<span class=\"bar\">");
    let mut words = Vec::new();
    for (count, name, class) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = write!(bar, "<i class=\"{class}\" style=\"width:{:.2}%\"></i>", share(count, all));
        words.push(format!("<span class=\"{class}\">{name}</span> {}", short(count)));
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

fn retries(s: &Subject<'_>) -> Cell {
    if s.kind == Kind::Frontend {
        return Cell::default();
    }
    let moved = s.count(Counter::Redispatches);
    let moved = if moved > 0 { format!("{} moved", short(moved)) } else { String::new() };
    Cell::new(short(s.count(Counter::Retries)), moved)
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
    let since = number(s, "lastchg").map(|seconds| format!("{} in this state", age(seconds)));
    let Some(live) = s.live() else {
        return Cell::new("", since.unwrap_or_default());
    };
    let mut below: Vec<_> = since.into_iter().collect();
    if !live.spec().checked {
        return Cell::new("", below.concat());
    }
    let check = live.last_check();
    let code = if check.code > 0 { format!(" {}", check.code) } else { String::new() };
    let took = format!("{}{code} in {} ms", check.status.name(), check.duration_ms);
    if live.downs() > 0 {
        below.push(format!("{} downs", short(live.downs())));
    }
    if !check.text.is_empty() && !check.status.passed() {
        below.push(escape(&check.text));
    }
    let main = format!("<span title=\"{}\">{took}</span>", escape(check.status.description()));
    Cell::new(main, below.join(", ")).class("check")
}

fn weight(s: &Subject<'_>) -> Cell {
    match s.detail {
        Detail::Server(server, live) => {
            let part = if server.backup { "backup" } else { "active" };
            Cell::new(live.weight(), part)
        }
        Detail::Backend(_, farm) => {
            let (active, backup) = (farm.count_usable(false), farm.count_usable(true));
            let backup = if backup > 0 { format!(", {backup} backup") } else { String::new() };
            Cell::new(farm.weight(), format!("{active} active{backup}"))
        }
        Detail::Frontend(_) | Detail::Listener(..) => Cell::default(),
    }
}

fn most(value: u64) -> String {
    format!("max {}", short(value))
}

/// Returns a share in percent, 0 of nothing.
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

/// Returns a number in at most five characters: `999`, `1.2k`, `34.5M`.
fn short(value: u64) -> String {
    scaled(value, &["", "k", "M", "G", "T", "P", "E"])
}

/// Returns a number of bytes: `999 B`, `1.2 kB`.
fn size(bytes: u64) -> String {
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

/// Returns a number of microseconds: `250 µs`, `1.25 ms`, `3.4 s`.
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// Returns a number of seconds in its two greatest units: `5s`, `2m 5s`, `3h 2m`, `4d 3h`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Returns text that means itself in HTML, in attributes too.
fn escape(text: &str) -> String {
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
