//! The statistics page as HTML: what is wrong first, then every proxy as a table, then the shards.
//!
//! A cell has a main value and a dim second line; on a narrow screen a table row becomes a card and cells carry their
//! column's name (see the style sheet). To add a column, add a row to [`COLUMNS`]. Text from outside goes through
//! [`escape`].

use super::cells::{COLUMNS, Cell, age, color, escape, history, most, share, short, size};
use super::{Format, Options};
use crate::control::process::Process;
use crate::control::selection::Selection;
use crate::control::subject::{Detail, Overview, Proxy, State, Subject};
use crate::plan::{Mode, StatsPage};
use std::fmt::Write;

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
    out.head(page);
    out.facts(overview, process);
    out.links(page, options);
    out.trouble(overview, &proxies);
    if proxies.is_empty() {
        out.text("<p class=\"none\">No proxy is in the scope of this page.</p>\n");
    }
    for proxy in proxies {
        out.proxy(overview, proxy, selection);
    }
    if page.scope.is_empty() {
        out.shards(overview);
    }
    out.text("</main>\n</body>\n</html>\n");
    out.0
}

/// The text of the page as it grows.
struct Page(String);

impl Page {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn head(&mut self, page: &StatsPage) {
        let on =
            page.show_node.as_deref().map_or(String::new(), |node| format!(" on {}", escape(node)));
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
        if let Some(text) = &page.show_desc {
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
        let idle = rates.idle_percent.map_or(String::new(), |idle| format!("{idle} % idle"));
        let memory = process.resident_bytes().map(size);
        let own: Vec<_> =
            [Some(format!("pid {}", process.pid)), memory].into_iter().flatten().collect();
        let facts = [
            ("Connections", short(plan.connections.current().into()), limit),
            ("Connections/s", short(rates.connections.now), most(rates.connections.max)),
            ("Requests/s", short(rates.requests.now), most(rates.requests.max)),
            ("Sent", format!("{}/s", size(rates.bytes_out.now)), String::new()),
            ("Shards", plan.metrics.shards().to_string(), idle),
            ("Running for", age(reading.uptime.as_secs()), own.join(", ")),
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
        let description = proxy
            .description
            .map_or(String::new(), |text| format!(" <small>{}</small>", escape(text)));
        self.line(format_args!(
            "<section id=\"p{id}\">\n<h2><a href=\"#p{id}\">{name}</a> <small>{mode}</small>{description}</h2>"
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
             <span class=\"state\">{status}</span>{}</th>",
            history(subject),
        ));
        for column in COLUMNS {
            let cell = (column.cell)(subject);
            if cell.main.is_empty() && cell.below.is_empty() {
                self.text("<td class=\"empty\"></td>");
                continue;
            }
            let Cell { main, below, class } = cell.dim_zero();
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
