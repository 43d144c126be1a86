//! `fastlb explain`: what a configuration does with one request, without traffic.
//!
//! It reads the command line into a request, finds the frontend that would take it, runs it through
//! [`crate::runtime::rehearsal`] and prints the story. What is wrong with the command line is told with what to write
//! instead.

use super::{colour, say, say_error};
use crate::config::diagnostic::{Diagnostic, Severity, suggest};
use crate::config::environment::Environment;
use crate::control::load::{self, Input, Loaded};
use crate::control::process::Process;
use crate::control::rates::Rates;
use crate::control::shared::ProcessServices;
use crate::metrics::Registry;
use crate::plan::explain::{Facts, Story};
use crate::plan::{Address, Bind, ExplainLog, Frontend, Mode, Plan};
use crate::proto::scan;
use crate::proto::uri;
use crate::rules::context::SessionInfo;
use crate::rules::variable::Variable;
use crate::runtime::rehearsal::{self, Asked};
use crate::server::Operational;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// The client, unless the command line says another.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 54321);

/// Returns the parser of the words behind `explain`.
pub(super) fn command() -> Command {
    let text =
        |name: &'static str, short: Option<char>, value: &'static str, help: &'static str| {
            let arg =
                Arg::new(name).long(name).value_name(value).help(help).allow_hyphen_values(true);
            match short {
                Some(short) => arg.short(short),
                None => arg,
            }
        };
    let many = |arg: Arg| arg.action(ArgAction::Append);
    Command::new("explain")
        .about(
            "Says what a configuration does with a request, rule by rule, without sending anything",
        )
        .override_usage("fastlb explain [OPTIONS] lb.cfg… 'GET http://host/path'")
        .arg(
            Arg::new("words")
                .value_name("lb.cfg… REQUEST")
                .help("Configuration files, then the request: a method and a URL or a path")
                .num_args(2..)
                .required(true),
        )
        .arg(many(text("header", Some('H'), "NAME: VALUE", "A field of the request (repeatable)")))
        .arg(text("from", None, "IP[:PORT]", "Address of the client [127.0.0.1]"))
        .arg(text("body", None, "TEXT|@FILE", "Content of the request"))
        .arg(text(
            "frontend",
            None,
            "NAME",
            "The frontend, when the URL's port does not tell which",
        ))
        .arg(text("http", None, "VERSION", "1.1 or 1.0").value_parser(["1.1", "1.0"]))
        .arg(
            Arg::new("proxied")
                .long("proxied")
                .action(ArgAction::SetTrue)
                .help("Send the whole URL as target, as clients of a forward proxy do"),
        )
        .arg(many(text(
            "var",
            None,
            "NAME=VALUE",
            "A variable that is set beforehand (repeatable)",
        )))
        .arg(many(text(
            "resolve",
            None,
            "NAME=IP",
            "What `do-resolve` finds for a name (repeatable)",
        )))
        .arg(many(text("down", None, "BACKEND/SERVER", "A server that is down (repeatable)")))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON, as docs/explain.md describes it"),
        )
}

/// What is wrong with the command line, and what to write instead.
struct Wrong {
    message: String,
    help: Option<String>,
}

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Runs the command and returns the exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let words: Vec<&String> = matches.get_many("words").unwrap_or_default().collect();
    let Some((request, files)) = words.split_last() else { return 1 };
    let files = files.iter().map(PathBuf::from).collect();
    let Loaded { sources, diagnostics, plan } =
        load::load(&Input::Paths(files), &mut Environment::from_process(), None);
    let Some(plan) = plan else {
        say_error(&diagnostics.render(&sources, colour()));
        return 1;
    };
    match explain(plan, request, matches) {
        Ok(text) => {
            say(&text);
            0
        }
        Err(wrong) => {
            let finding = Diagnostic::new(Severity::Error, None, wrong.message);
            let finding = match wrong.help {
                Some(help) => finding.help(help),
                None => finding,
            };
            say_error(&format!("{}\n", finding.render(&sources, colour())));
            1
        }
    }
}

fn explain(mut plan: Plan, request: &str, matches: &ArgMatches) -> Result<String, Wrong> {
    let url = Url::parse(request)?;
    let frontend = choose_frontend(&plan, &url, matches.get_one::<String>("frontend"))?;
    let bind = choose_bind(&plan.frontends[frontend].binds, &url);
    let names = pairs(matches, "resolve", "NAME=IP")?;
    let names = names.into_iter().map(|(name, ip)| match ip.parse() {
        Ok(ip) => Ok((name.to_owned(), ip)),
        Err(_) => Err(Wrong::new(format!("`--resolve {name}={ip}`: `{ip}` is no address"))),
    });
    let asked = Asked {
        frontend: frontend as u32,
        bind: bind as u32,
        source: source(matches, &plan.frontends[frontend].binds, bind)?,
        destination: destination(plan.frontends[frontend].binds.get(bind), &url),
        bytes: url.bytes(matches)?,
        names: names.collect::<Result<_, _>>()?,
        variables: variables(&plan, matches)?,
    };
    take_down(&plan, matches)?;
    plan.frontends[frontend].explain = Some(Box::new(ExplainLog::default()));
    plan.metrics = Registry::new(1, plan.metrics.objects());
    let plan = Arc::new(plan);
    let rates = Arc::new(Rates::new(Process::capture(), 0));
    let session = SessionInfo {
        source: asked.source,
        destination: asked.destination,
        frontend: asked.frontend,
        bind: asked.bind,
        accepted_us: 0,
        said_source: None,
        said_destination: None,
    };
    let bytes = asked.bytes.clone();
    let outcome = rehearsal::run(plan.clone(), Arc::new(ProcessServices { rates }), asked)
        .map_err(|error| Wrong::new(format!("the event loop cannot be set up: {error}")))?;
    outcome.tell_rest(&bytes);
    let facts = Facts { session, server_address: outcome.server_address, rehearsed: true };
    let story = Story::new(&plan, facts, &outcome.recorder);
    Ok(match matches.get_flag("json") {
        true => format!("{:#}\n", story.json()),
        false => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            story.text(colour)
        }
    })
}

/// A request as the command line says it.
#[derive(Debug)]
struct Url<'a> {
    method: &'a str,
    /// The whole URL, or a path.
    target: &'a str,
    host: Option<&'a str>,
    port: Option<u16>,
    authority: Option<&'a str>,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(request: &'a str) -> Result<Self, Wrong> {
        const EXAMPLE: &str = "write for example 'GET http://www.example.com/path'";
        let words: Vec<&str> = request.split_whitespace().collect();
        let (method, target) = match words.as_slice() {
            [target] => ("GET", *target),
            [method, target] => (*method, *target),
            [] => return Err(Wrong::new("the request is empty").help(EXAMPLE)),
            [_, _, extra, ..] => {
                let text = format!("`{request}` has a word too many: `{extra}`");
                return Err(Wrong::new(text).help(EXAMPLE));
            }
        };
        if !scan::is_token(method.as_bytes()) {
            return Err(Wrong::new(format!("`{method}` is no method")).help(EXAMPLE));
        }
        let url = Self { method, target, host: None, port: None, authority: None, path: target };
        if target.starts_with('/') || target == "*" {
            return Ok(url);
        }
        let (scheme, rest) = match target.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None if method == "CONNECT" => ("", target),
            None => {
                return Err(
                    Wrong::new(format!("`{target}` is neither a URL nor a path")).help(EXAMPLE)
                );
            }
        };
        let default = match scheme {
            "" => None,
            scheme => Some(uri::default_port(scheme.as_bytes()).ok_or_else(|| {
                Wrong::new(format!("`{scheme}` is no scheme of HTTP")).help("write http or https")
            })?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = uri::host_and_port(authority.as_bytes());
        let host = std::str::from_utf8(host).unwrap_or_default();
        if host.is_empty() {
            return Err(Wrong::new(format!("`{target}` names no host")).help(EXAMPLE));
        }
        let port = port.or(default);
        Ok(Self { host: Some(host), port, authority: Some(authority), path, ..url })
    }

    /// Returns what the client sends.
    fn bytes(&self, matches: &ArgMatches) -> Result<Vec<u8>, Wrong> {
        let headers: Vec<&String> = matches.get_many("header").unwrap_or_default().collect();
        let mut fields = Vec::new();
        for header in headers {
            let Some((name, value)) = header.split_once(':') else {
                let text = format!("`-H '{header}'` has no colon");
                return Err(Wrong::new(text).help("write it as `-H 'Name: value'`"));
            };
            if !scan::is_token(name.as_bytes()) || value.contains(['\r', '\n', '\0']) {
                return Err(Wrong::new(format!("`-H '{header}'` is no header field")));
            }
            fields.push((name, value.trim()));
        }
        let has = |wanted: &str| fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let body = body(matches)?;
        let version = matches.get_one::<String>("http").map_or("1.1", String::as_str);
        let target = match self.authority {
            None => self.target.to_owned(),
            Some(authority) if self.method == "CONNECT" => authority.to_owned(),
            Some(_) if matches.get_flag("proxied") => self.target.to_owned(),
            Some(_) if self.path.starts_with('/') => self.path.to_owned(),
            Some(_) => format!("/{}", self.path),
        };
        let mut out = format!("{} {target} HTTP/{version}\r\n", self.method);
        if !has("host") {
            out.push_str(&format!("Host: {}\r\n", self.authority.unwrap_or("localhost")));
        }
        for (name, value) in &fields {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &body
            && !has("content-length")
            && !has("transfer-encoding")
        {
            out.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend(body.unwrap_or_default());
        Ok(out)
    }
}

fn body(matches: &ArgMatches) -> Result<Option<Vec<u8>>, Wrong> {
    let Some(text) = matches.get_one::<String>("body") else { return Ok(None) };
    match text.strip_prefix('@') {
        None => Ok(Some(text.clone().into_bytes())),
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(Wrong::new(format!("cannot read `{path}`: {error}"))),
        },
    }
}

/// Returns the pairs of an option that is written as `NAME=VALUE`.
fn pairs<'m>(
    matches: &'m ArgMatches,
    option: &str,
    form: &str,
) -> Result<Vec<(&'m str, &'m str)>, Wrong> {
    let given = matches.get_many::<String>(option).unwrap_or_default();
    given
        .map(|text| {
            text.split_once('=').ok_or_else(|| {
                Wrong::new(format!("`--{option} {text}` has no `=`"))
                    .help(format!("write it as `--{option} {form}`"))
            })
        })
        .collect()
}

fn variables(plan: &Plan, matches: &ArgMatches) -> Result<Vec<(Variable, String)>, Wrong> {
    let given = pairs(matches, "var", "NAME=VALUE")?;
    given
        .into_iter()
        .map(|(name, value)| {
            let mut known = plan.variables.named();
            match known.find(|(known, _)| *known == name) {
                Some((_, variable)) => Ok((variable, value.to_owned())),
                None => {
                    let names: Vec<&str> = plan.variables.named().map(|(name, _)| name).collect();
                    let wrong = Wrong::new(format!("no rule has to do with a variable `{name}`"));
                    Err(match suggest(name, names) {
                        Some(near) => wrong.help(format!("did you mean `{near}`?")),
                        None => wrong,
                    })
                }
            }
        })
        .collect()
}

fn take_down(plan: &Plan, matches: &ArgMatches) -> Result<(), Wrong> {
    for name in matches.get_many::<String>("down").unwrap_or_default() {
        let found = name.split_once('/').and_then(|(backend, server)| {
            let farm = &plan.farms[plan.backend(backend)? as usize];
            Some((farm, farm.find(server)?))
        });
        let Some((farm, server)) = found else {
            let wrong = Wrong::new(format!("`--down {name}`: there is no such server"));
            return Err(wrong.help("write it as `--down <backend>/<server>`"));
        };
        // No stream waits for anything yet.
        let _ = farm.set_operational(server, Operational::Down, 0);
    }
    Ok(())
}

fn source(matches: &ArgMatches, binds: &[Bind], bind: usize) -> Result<Option<SocketAddr>, Wrong> {
    let Some(text) = matches.get_one::<String>("from") else {
        let is_tcp = binds.get(bind).is_none_or(|bind| matches!(bind.address, Address::Tcp(_)));
        return Ok(is_tcp.then_some(CLIENT));
    };
    let with_port = text.parse::<SocketAddr>();
    let address =
        with_port.or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, CLIENT.port())));
    match address {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(Wrong::new(format!("`--from {text}` is no address"))
            .help("write an address, or an address and a port: 192.0.2.1, 192.0.2.1:5000, [2001:db8::1]:5000")),
    }
}

fn destination(bind: Option<&Bind>, url: &Url<'_>) -> Option<SocketAddr> {
    match bind.map(|bind| &bind.address) {
        Some(Address::Tcp(address)) if address.ip().is_unspecified() => {
            let named = url.host.and_then(|host| host.parse().ok());
            let here = if address.is_ipv4() { CLIENT.ip() } else { "::1".parse().ok()? };
            Some(SocketAddr::new(named.unwrap_or(here), address.port()))
        }
        Some(Address::Tcp(address)) => Some(*address),
        _ => None,
    }
}

/// Returns how well a bind fits the URL: by port and address, by port, or not at all.
fn fit(bind: &Bind, url: &Url<'_>) -> u8 {
    let Address::Tcp(address) = bind.address else { return 0 };
    if Some(address.port()) != url.port {
        return 0;
    }
    let named = url.host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    if named == Some(address.ip()) { 2 } else { 1 }
}

fn choose_bind(binds: &[Bind], url: &Url<'_>) -> usize {
    let best = binds.iter().enumerate().rev().max_by_key(|(_, bind)| fit(bind, url));
    best.map_or(0, |(at, _)| at)
}

/// Returns the frontend that the request comes in by: the one that is named, the one that listens on the URL's port, or
/// the only one there is.
fn choose_frontend(plan: &Plan, url: &Url<'_>, name: Option<&String>) -> Result<usize, Wrong> {
    let enabled = || plan.frontends.iter().enumerate().filter(|(_, frontend)| !frontend.disabled);
    if let Some(name) = name {
        let found = plan.frontends.iter().position(|frontend| frontend.name == *name);
        let names = plan.frontends.iter().map(|frontend| frontend.name.as_str());
        return found.ok_or_else(|| {
            let wrong = Wrong::new(format!("there is no frontend `{name}`"));
            match suggest(name, names) {
                Some(near) => wrong.help(format!("did you mean `{near}`?")),
                None => wrong.help(format!("there are: {}", candidates(enabled()))),
            }
        });
    }
    let fits = |frontend: &Frontend| frontend.binds.iter().map(|bind| fit(bind, url)).max();
    let best = enabled().filter_map(|(_, frontend)| fits(frontend)).max().unwrap_or(0);
    let mut found: Vec<(usize, &Frontend)> = match best {
        // Nobody listens on that port: the URL may be that of a balancer before this one.
        0 => enabled().collect(),
        best => enabled().filter(|(_, frontend)| fits(frontend) == Some(best)).collect(),
    };
    if best == 0 && found.iter().filter(|(_, f)| f.mode == Mode::Http).count() == 1 {
        found.retain(|(_, frontend)| frontend.mode == Mode::Http);
    }
    match found.as_slice() {
        [(at, _)] => Ok(*at),
        [] => Err(Wrong::new("the configuration has no frontend that is enabled")),
        several => {
            let port = url.port.filter(|_| best == 0);
            let why = match port {
                Some(port) => format!("no frontend listens on port {port}, and there are several"),
                None => "several frontends would take the request".to_owned(),
            };
            let list = candidates(several.iter().copied());
            Err(Wrong::new(why).help(format!("name one with --frontend: {list}")))
        }
    }
}

fn candidates<'f>(frontends: impl Iterator<Item = (usize, &'f Frontend)>) -> String {
    let texts = frontends.map(|(_, frontend)| {
        let binds: Vec<&str> = frontend.binds.iter().map(|bind| bind.name.as_str()).collect();
        format!("{} ({})", frontend.name, binds.join(", "))
    });
    texts.collect::<Vec<_>>().join(", ")
}
