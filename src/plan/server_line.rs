//! `server` and `default-server` lines.

use super::address::{self, Family, Host, Parsed, Ports};
use super::bind::{param_number, param_time};
use super::directive::{Args, Entry, find};
use super::load::Loader;
use super::proxy::{Draft, Row, bad_name_character};
use super::words::{Options, Owner};
use super::{Address, CheckSettings, Follow, PoolSettings};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::Diagnostic;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The two directives.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "default-server",
        example: "default-server check inter 5s fall 3 rise 2",
        build: Row::new(default_server),
    },
    Entry {
        name: "server",
        example: "server app1 127.0.0.1:8001 check weight 10",
        build: Row::new(server),
    },
];

/// The words behind a server's address.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerParams<'a> {
    pub(super) weight: Option<u32>,
    pub(super) maxconn: u32,
    pub(super) maxqueue: u32,
    pub(super) id: Option<u32>,
    pub(super) cookie: Option<&'a Word>,
    pub(super) backup: bool,
    pub(super) disabled: bool,
    pub(super) non_stick: bool,
    pub(super) check: bool,
    inter: Option<Duration>,
    fast_inter: Option<Duration>,
    down_inter: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    check_port: Option<u16>,
    check_addr: Option<&'a Word>,
    init_addr: Option<&'a Word>,
    pub(super) pool: PoolSettings,
}

/// A server line.
pub(super) struct ServerDraft<'a> {
    pub(super) name: &'a Word,
    pub(super) address: Address,
    pub(super) follow: Option<Follow>,
    pub(super) address_text: String,
    pub(super) params: ServerParams<'a>,
    pub(super) check: Option<CheckSettings>,
    pub(super) span: Span,
}

/// Reads the words of one parameter; `None` when a message was given.
pub(super) type ParamHandler =
    for<'a> fn(&mut Loader<'_>, &mut ServerParams<'a>, &mut Args<'a>) -> Option<()>;

macro_rules! param {
    ($name:literal, $example:literal, $handler:expr) => {
        Entry {
            name: $name,
            example: concat!("server app1 127.0.0.1:8001 ", $example),
            build: {
                const HANDLER: ParamHandler = $handler;
                HANDLER
            },
        }
    };
}

/// A parameter that is a switch.
macro_rules! switch {
    ($name:literal, $field:ident = $value:literal) => {
        param!($name, $name, |_, params, _| {
            params.$field = $value;
            Some(())
        })
    };
}

/// One row per parameter of `server` and `default-server`.
pub(super) static PARAMS: &[Entry<ParamHandler>] = &[
    param!("addr", "check addr 127.0.0.2", |cx, params, args| {
        params.check_addr = Some(args.required(cx, "an address behind `addr`")?);
        Some(())
    }),
    switch!("backup", backup = true),
    switch!("check", check = true),
    param!("cookie", "cookie a1", |cx, params, args| {
        params.cookie = Some(args.required(cx, "a value behind `cookie`")?);
        Some(())
    }),
    switch!("disabled", disabled = true),
    param!("downinter", "check downinter 10s", |cx, params, args| {
        params.down_inter = Some(interval(cx, args, "downinter")?);
        Some(())
    }),
    switch!("enabled", disabled = false),
    param!("fall", "check fall 2", |cx, params, args| {
        params.fall = Some(param_number(cx, args, "fall", 1..=1_000_000)?);
        Some(())
    }),
    param!("fastinter", "check fastinter 1s", |cx, params, args| {
        params.fast_inter = Some(interval(cx, args, "fastinter")?);
        Some(())
    }),
    param!("id", "id 7", |cx, params, args| {
        params.id = Some(param_number(cx, args, "id", 1..=u64::from(u32::MAX))?);
        Some(())
    }),
    param!("init-addr", "init-addr libc,none", |cx, params, args| {
        params.init_addr = Some(args.required(cx, "a method behind `init-addr`")?);
        Some(())
    }),
    param!("inter", "check inter 5s", |cx, params, args| {
        params.inter = Some(interval(cx, args, "inter")?);
        Some(())
    }),
    param!("max-reuse", "max-reuse 100", |cx, params, args| {
        params.pool.reuses_max = limit(cx, args, "max-reuse")?;
        Some(())
    }),
    param!("maxconn", "maxconn 100", |cx, params, args| {
        params.maxconn = param_number(cx, args, "maxconn", 0..=u64::from(u32::MAX))?;
        Some(())
    }),
    param!("maxqueue", "maxqueue 50", |cx, params, args| {
        params.maxqueue = param_number(cx, args, "maxqueue", 0..=u64::from(u32::MAX))?;
        Some(())
    }),
    switch!("no-backup", backup = false),
    switch!("no-check", check = false),
    switch!("non-stick", non_stick = true),
    param!("pool-low-conn", "pool-low-conn 4", |cx, params, args| {
        params.pool.idle_low = param_number(cx, args, "pool-low-conn", 0..=u64::from(u32::MAX))?;
        Some(())
    }),
    param!("pool-max-conn", "pool-max-conn 100", |cx, params, args| {
        params.pool.idle_max = limit(cx, args, "pool-max-conn")?;
        Some(())
    }),
    param!("pool-purge-delay", "pool-purge-delay 10s", |cx, params, args| {
        params.pool.idle_delay = param_time(cx, args, "pool-purge-delay")?;
        Some(())
    }),
    param!("port", "check port 8080", |cx, params, args| {
        params.check_port = Some(param_number(cx, args, "port", 1..=65_535)? as u16);
        Some(())
    }),
    param!("rise", "check rise 3", |cx, params, args| {
        params.rise = Some(param_number(cx, args, "rise", 1..=1_000_000)?);
        Some(())
    }),
    switch!("stick", non_stick = false),
    param!("weight", "weight 10", |cx, params, args| {
        params.weight = Some(param_number(cx, args, "weight", 0..=256)?);
        Some(())
    }),
];

fn interval(cx: &mut Loader<'_>, args: &mut Args<'_>, name: &str) -> Option<Duration> {
    let at = args.peek().map(|word| word.span);
    let time = param_time(cx, args, name)?;
    if time.is_zero() {
        args.give_up();
        cx.error(at.unwrap_or(args.line.span), format!("`{name}` must be more than 0"));
        return None;
    }
    Some(time)
}

/// Reads a limit behind a parameter; `-1` is none.
fn limit(cx: &mut Loader<'_>, args: &mut Args<'_>, name: &str) -> Option<Option<u32>> {
    if args.take("-1") {
        return Some(None);
    }
    param_number(cx, args, name, 0..=u64::from(i32::MAX.unsigned_abs())).map(Some)
}

/// Reads all parameters into `params`.
fn read_params<'a>(cx: &mut Loader<'_>, args: &mut Args<'a>, params: &mut ServerParams<'a>) {
    let mut options = Options::new(Owner::Server);
    while let Some(word) = args.next() {
        match find(PARAMS, word.as_str()) {
            Some(row) => {
                if (row.build)(cx, params, args).is_none() {
                    args.rest();
                }
            }
            None => options.add(cx, args, word),
        }
    }
    options.finish(cx);
}

fn default_server<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let mut params = std::mem::take(&mut draft.settings.default_server);
    read_params(cx, args, &mut params);
    draft.settings.default_server = params;
}

fn server<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let Some(name) = args.required(cx, "a name and an address") else { return };
    if let Some(bad) = bad_name_character(name.as_str()) {
        let text = format!("the name `{}` must not contain `{bad}`", name.as_str());
        args.fail(cx, name.span, text);
    }
    let Some(address) = args.required(cx, "an address such as `192.0.2.1:80`") else { return };
    let mut params = draft.settings.default_server.clone();
    let parsed = match address::parse_text(address.as_str()) {
        Ok(parsed) => parsed,
        Err(why) => return args.fail(cx, address.span, why),
    };
    read_params(cx, args, &mut params);
    let Some((resolved, follow)) = connect_address(cx, args, &mut params, address, parsed) else {
        return args.give_up();
    };
    let check = check_settings(cx, &params, &resolved);
    if let Some(CheckSettings { address: Address::Tcp(checked), .. }) = &check
        && (checked.port() == 0 || checked.ip().is_unspecified())
        && follow.is_some()
    {
        cx.push(unchecked(address, checked));
        return args.give_up();
    }
    draft.servers.push(ServerDraft {
        name,
        address: resolved,
        follow,
        address_text: address.text.clone(),
        params,
        check,
        span: args.line.span,
    });
}

/// Says that a server is to be checked at an address that only streams know.
fn unchecked(word: &Word, checked: &SocketAddr) -> Diagnostic {
    let (what, help) = match checked.port() {
        0 => ("port", "write for example `check port 80`"),
        _ => ("address", "write for example `check addr 192.0.2.1`, or remove `check`"),
    };
    let text = format!("the server has no {what} of its own that could be checked");
    Diagnostic::error(word.span, text).help(help)
}

/// Returns where to connect, and what of it follows the stream.
fn connect_address(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    params: &mut ServerParams<'_>,
    word: &Word,
    parsed: Parsed,
) -> Option<(Address, Option<Follow>)> {
    let (host, ports) = match parsed {
        Parsed::Unix(path) => return Some((Address::Unix(path), None)),
        Parsed::Abstract(name) => return Some((Address::Abstract(name), None)),
        Parsed::Fd(_) => {
            args.fail(cx, word.span, "a server cannot be an inherited descriptor");
            return None;
        }
        Parsed::Inet { host, ports } => (host, ports),
    };
    let bare = ports == Ports::None;
    let port = match ports {
        Ports::Range(low, high) if low == high && low > 0 => Ok(low),
        Ports::None | Ports::Range(0, 0) => Err(0),
        Ports::Offset(offset) => Err(offset),
        Ports::Range(..) => {
            args.fail(cx, word.span, "a server has one port, not a range");
            return None;
        }
    };
    let unresolved = matches!(host, Host::Name { .. });
    let ip = match host {
        Host::Ip(ip) => ip,
        Host::Any4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Host::Any6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Host::Name { name, family } => named_address(cx, args, params, word, &name, family, bare)?,
    };
    // A name without an address puts its server into maintenance, and `init-addr` says so.
    let address = ip.is_unspecified() && !unresolved;
    let follow = (address || port.is_err()).then(|| Follow { address, port: port.err() });
    Some((Address::Tcp(SocketAddr::new(ip, port.unwrap_or(0))), follow))
}

/// Returns the address of a server that is written by name, as `init-addr` says.
fn named_address(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    params: &mut ServerParams<'_>,
    word: &Word,
    name: &str,
    family: Family,
    bare: bool,
) -> Option<IpAddr> {
    // There is no state of an earlier run that `last` could mean.
    let methods = params.init_addr.map_or("libc", |methods| methods.as_str());
    let mut why = format!("`{name}` has no address");
    for method in methods.split(',') {
        match method {
            "last" => {}
            "libc" => match address::lookup(cx, name, family) {
                Ok(ip) => return Some(ip),
                Err(error) => why = error,
            },
            "none" => {
                params.disabled = true;
                cx.push(
                    Diagnostic::warning(word.span, why)
                        .label("the server starts in maintenance, as `init-addr none` says"),
                );
                return Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            }
            ip => match ip.parse() {
                Ok(ip) => return Some(ip),
                Err(_) => {
                    let place = params.init_addr.map_or(word.span, |methods| methods.span);
                    args.fail(cx, place, format!("`{ip}` is not a method of `init-addr`"));
                    return None;
                }
            },
        }
    }
    let mut finding = Diagnostic::error(word.span, why);
    if bare {
        finding = finding
            .label("expected an address")
            .help("write `server <name> <address>[:<port>] [<parameters>]`");
    } else {
        finding =
            finding.help("with `init-addr libc,none` the server starts in maintenance instead");
    }
    cx.push(finding);
    None
}

/// Returns the settings of the server's checks.
fn check_settings(
    cx: &mut Loader<'_>,
    params: &ServerParams<'_>,
    server: &Address,
) -> Option<CheckSettings> {
    if !params.check {
        return None;
    }
    let mut address = server.clone();
    if let Some(word) = params.check_addr {
        match check_address(cx, word, server) {
            Some(other) => address = other,
            None => return None,
        }
    }
    if let (Address::Tcp(socket), Some(port)) = (&mut address, params.check_port) {
        socket.set_port(port);
    }
    let inter = params.inter.unwrap_or(Duration::from_secs(2));
    Some(CheckSettings {
        address,
        inter,
        fast_inter: params.fast_inter.unwrap_or(inter),
        down_inter: params.down_inter.unwrap_or(inter),
        rise: params.rise.unwrap_or(2),
        fall: params.fall.unwrap_or(3),
    })
}

/// Reads the word behind `addr`; without a port it keeps the server's.
fn check_address(cx: &mut Loader<'_>, word: &Word, server: &Address) -> Option<Address> {
    let server_port = match server {
        Address::Tcp(socket) => socket.port(),
        _ => 0,
    };
    match address::parse(cx, word.as_str(), word.span)? {
        Parsed::Unix(path) => Some(Address::Unix(path)),
        Parsed::Abstract(name) => Some(Address::Abstract(name)),
        Parsed::Inet { host, ports } => {
            let ip = match host {
                Host::Ip(ip) => ip,
                Host::Name { name, family } => address::resolve(cx, &name, family, word.span)?,
                Host::Any4 => Ipv4Addr::LOCALHOST.into(),
                Host::Any6 => Ipv6Addr::LOCALHOST.into(),
            };
            let port = match ports {
                Ports::Range(low, _) => low,
                _ => server_port,
            };
            Some(Address::Tcp(SocketAddr::new(ip, port)))
        }
        Parsed::Fd(_) => {
            cx.error(word.span, "a check cannot use an inherited descriptor");
            None
        }
    }
}
