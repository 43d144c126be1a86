//! `bind` lines, and the parameters that `stats socket` shares with them.

use super::address::{self, Host, Parsed, Ports};
use super::directive::{Args, Entry, Prefix, find, number_of, time_of};
use super::load::Loader;
use super::proxy::{Handler, Row};
use super::words::{Options, Owner};
use super::{Address, Bind, StatsLevel, account};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::Diagnostic;
use crate::metrics::ObjectId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One row.
pub(super) static TABLE: &[Entry<Row>] = &[Entry {
    name: "bind",
    example: "bind :80,:::80 v6only",
    build: Row::new({
        const HANDLER: Handler = bind;
        HANDLER
    }),
}];

/// The most ports that one address may name: each is a socket per shard.
const PORTS_MAX: usize = 4_096;

/// The words behind the address.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    name: Option<String>,
    id: Option<u32>,
    backlog: Option<u32>,
    v6only: Option<bool>,
    interface: Option<String>,
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    transparent: bool,
    tfo: bool,
    defer_accept: bool,
    pub(super) level: Option<StatsLevel>,
}

/// Reads the words of one parameter; `None` when a message was given.
pub(super) type ParamHandler =
    for<'a> fn(&mut Loader<'_>, &mut Params, &mut Args<'a>, &'a Word) -> Option<()>;

macro_rules! param {
    ($name:literal, $example:literal, $handler:expr) => {
        Entry {
            name: $name,
            example: concat!("bind :80 ", $example),
            build: {
                const HANDLER: ParamHandler = $handler;
                HANDLER
            },
        }
    };
}

/// One row per parameter of `bind` and `stats socket`.
pub(super) static PARAMS: &[Entry<ParamHandler>] = &[
    param!("backlog", "backlog 1000", |cx, params, args, _| {
        params.backlog = Some(param_number(cx, args, "backlog", 1..=u64::from(u32::MAX))?);
        Some(())
    }),
    param!("defer-accept", "defer-accept", |_, params, _, _| {
        params.defer_accept = true;
        Some(())
    }),
    param!("gid", "gid 0", |cx, params, args, _| {
        params.gid = Some(param_number(cx, args, "gid", 0..=u64::from(u32::MAX))?);
        Some(())
    }),
    param!("group", "group root", |cx, params, args, _| {
        let name = args.required(cx, "the name of a group")?;
        params.gid = group(cx, args, name);
        Some(())
    }),
    param!("id", "id 7", |cx, params, args, _| {
        params.id = Some(param_number(cx, args, "id", 1..=u64::from(u32::MAX))?);
        Some(())
    }),
    param!("interface", "interface lo", |cx, params, args, _| {
        params.interface = Some(args.required(cx, "the name of an interface")?.text.clone());
        Some(())
    }),
    param!("mode", "mode 660", |cx, params, args, _| {
        let word = args.required(cx, "an octal file mode")?;
        match u32::from_str_radix(word.as_str(), 8) {
            Ok(mode) if mode <= 0o7777 => params.mode = Some(mode),
            _ => args.fail(cx, word.span, format!("`{}` is not an octal file mode", word.as_str())),
        }
        Some(())
    }),
    param!("name", "name www", |cx, params, args, _| {
        params.name = Some(args.required(cx, "a name")?.text.clone());
        Some(())
    }),
    param!("tfo", "tfo", |_, params, _, _| {
        params.tfo = true;
        Some(())
    }),
    param!("transparent", "transparent", |_, params, _, _| {
        params.transparent = true;
        Some(())
    }),
    param!("uid", "uid 0", |cx, params, args, _| {
        params.uid = Some(param_number(cx, args, "uid", 0..=u64::from(u32::MAX))?);
        Some(())
    }),
    param!("user", "user root", |cx, params, args, _| {
        let name = args.required(cx, "the name of a user")?;
        params.uid = user(cx, args, name);
        Some(())
    }),
    param!("v4v6", "v4v6", |_, params, _, _| {
        params.v6only = Some(false);
        Some(())
    }),
    param!("v6only", "v6only", |_, params, _, _| {
        params.v6only = Some(true);
        Some(())
    }),
];

/// Parameters that only `stats socket` has.
pub(super) static STATS_PARAMS: &[Entry<ParamHandler>] = &[Entry {
    name: "level",
    example: "stats socket /run/fastlb.sock level admin",
    build: {
        const HANDLER: ParamHandler = |cx, params, args, _| {
            let word = args.required(cx, "a level")?;
            params.level = Some(match word.as_str() {
                "user" => StatsLevel::User,
                "operator" => StatsLevel::Operator,
                "admin" => StatsLevel::Admin,
                _ => {
                    args.not_one_of(cx, word, &["user", "operator", "admin"]);
                    return None;
                }
            });
            Some(())
        };
        HANDLER
    },
}];

/// Returns the id of a user; reports one that does not exist.
pub(super) fn user(cx: &mut Loader<'_>, args: &mut Args<'_>, name: &Word) -> Option<u32> {
    let id = account::user(name.as_str());
    if id.is_none() {
        args.give_up();
        cx.error(name.span, format!("there is no user `{}` on this machine", name.as_str()));
    }
    id
}

/// Returns the id of a group; reports one that does not exist.
pub(super) fn group(cx: &mut Loader<'_>, args: &mut Args<'_>, name: &Word) -> Option<u32> {
    let id = account::group(name.as_str());
    if id.is_none() {
        args.give_up();
        cx.error(name.span, format!("there is no group `{}` on this machine", name.as_str()));
    }
    id
}

/// Reads all parameters of a `bind` or `stats socket` line.
pub(super) fn params(cx: &mut Loader<'_>, args: &mut Args<'_>, stats: bool) -> Params {
    let mut params = Params::default();
    let mut options = Options::new(Owner::Bind);
    while let Some(word) = args.next() {
        let row = find(PARAMS, word.as_str())
            .or_else(|| find(STATS_PARAMS, word.as_str()).filter(|_| stats));
        match row {
            Some(row) => {
                if (row.build)(cx, &mut params, args, word).is_none() {
                    args.rest();
                }
                if stats {
                    not_of_stats_socket(cx, word);
                }
            }
            None => options.add(cx, args, word),
        }
    }
    options.finish(cx);
    params
}

/// Reports a parameter that works on a `bind` line and not on a `stats socket` line.
fn not_of_stats_socket(cx: &mut Loader<'_>, word: &Word) {
    let name = word.as_str();
    match name {
        "gid" | "group" | "level" | "mode" | "uid" | "user" => {}
        "id" | "name" => cx.push(
            Diagnostic::notice(word.span, format!("`{name}` has no effect here"))
                .help("the sockets of the runtime CLI are not in the statistics"),
        ),
        _ => cx.error(word.span, format!("`{name}` of a `stats socket` is not supported yet")),
    }
}

/// Warns of parameters that mean nothing for the kind of address that the line has.
fn idle_params(cx: &mut Loader<'_>, params: &Params, addresses: &[(Address, String)], span: Span) {
    let all = |kind: fn(&Address) -> bool| addresses.iter().all(|(address, _)| kind(address));
    let of_files = [
        ("mode", params.mode.is_some()),
        ("user", params.uid.is_some()),
        ("group", params.gid.is_some()),
    ];
    let of_tcp = [
        ("defer-accept", params.defer_accept),
        ("interface", params.interface.is_some()),
        ("tfo", params.tfo),
        ("transparent", params.transparent),
        ("v4v6", params.v6only == Some(false)),
        ("v6only", params.v6only == Some(true)),
    ];
    let (given, why) = if addresses.is_empty() {
        return;
    } else if all(|address| matches!(address, Address::Fd(_))) {
        let mut given = [of_files.as_slice(), &of_tcp].concat();
        given.push(("backlog", params.backlog.is_some()));
        (given, "an inherited socket is left as it is")
    } else if all(|address| matches!(address, Address::Unix(_))) {
        (of_tcp.to_vec(), "it is for TCP sockets")
    } else if all(|address| matches!(address, Address::Abstract(_))) {
        ([of_files.as_slice(), &of_tcp].concat(), "an abstract socket has no such property")
    } else if all(|address| matches!(address, Address::Tcp(SocketAddr::V4(_)))) {
        ([&of_files, &of_tcp[4..]].concat(), "an IPv4 socket has no such property")
    } else if all(|address| matches!(address, Address::Tcp(_))) {
        (of_files.to_vec(), "it is for unix sockets")
    } else {
        return;
    };
    for (name, _) in given.into_iter().filter(|(_, given)| *given) {
        cx.push(
            Diagnostic::warning(span, format!("`{name}` has no effect on this address")).label(why),
        );
    }
}

fn bind(cx: &mut Loader<'_>, draft: &mut super::proxy::Draft<'_>, args: &mut Args<'_>) {
    debug_assert_eq!(args.prefix, Prefix::None);
    let Some(word) = args.required(cx, "an address such as `:80`") else { return };
    let errors = cx.errors();
    let mut addresses = Vec::new();
    let mut offset = 0;
    for part in word.as_str().split(',') {
        // Quotes and variables make a word differ from its text in the file: then a part of it has no place of its own.
        let plain = cx.sources.text(word.span) == word.as_str();
        let span = if plain { word.span.slice(offset, part.len()) } else { word.span };
        offset += part.len() + 1;
        listen_addresses(cx, part, span, &mut addresses);
    }
    if cx.errors() > errors {
        args.give_up();
    }
    let params = params(cx, args, false);
    idle_params(cx, &params, &addresses, word.span);
    for (address, text) in addresses {
        draft.binds.push(Bind {
            address,
            name: params.name.clone().unwrap_or(text),
            given_name: params.name.clone(),
            id: params.id,
            backlog: params.backlog,
            v6only: params.v6only,
            interface: params.interface.clone(),
            mode: params.mode,
            uid: params.uid,
            gid: params.gid,
            transparent: params.transparent,
            tfo: params.tfo,
            defer_accept: params.defer_accept,
            object: ObjectId::default(),
            span: args.line.span,
        });
    }
}

/// Appends the sockets that one address stands for.
pub(super) fn listen_addresses(
    cx: &mut Loader<'_>,
    text: &str,
    span: Span,
    out: &mut Vec<(Address, String)>,
) {
    let Some(parsed) = address::parse(cx, text, span) else { return };
    let (host, ports) = match parsed {
        Parsed::Unix(path) => return out.push((Address::Unix(path), text.to_owned())),
        Parsed::Abstract(name) => return out.push((Address::Abstract(name), text.to_owned())),
        Parsed::Fd(fd) => return out.push((Address::Fd(fd), text.to_owned())),
        Parsed::Inet { host, ports } => (host, ports),
    };
    let (low, high) = match ports {
        Ports::Range(low, high) => (low, high),
        Ports::None => {
            cx.push(
                Diagnostic::error(span, format!("`{text}` has no port"))
                    .help(format!("write the port behind a colon: `{text}:80`")),
            );
            return;
        }
        Ports::Offset(_) => {
            return cx.error(span, "a port to listen on cannot be an offset");
        }
    };
    if low == 0 {
        return cx.push(
            Diagnostic::error(span, "port 0 is not a port to listen on")
                .help("ports are 1 to 65535"),
        );
    }
    if usize::from(high - low) >= PORTS_MAX {
        let count = usize::from(high - low) + 1;
        return cx
            .error(span, format!("{count} ports are more than the {PORTS_MAX} of one address"));
    }
    let ip = match host {
        Host::Any4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Host::Any6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Host::Ip(ip) => ip,
        Host::Name { name, family } => match address::resolve(cx, &name, family, span) {
            Some(ip) => ip,
            None => return,
        },
    };
    for port in low..=high {
        let address = SocketAddr::new(ip, port);
        out.push((Address::Tcp(address), address.to_string()));
    }
}

/// Reads a duration behind a parameter.
pub(super) fn param_time(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    name: &str,
) -> Option<std::time::Duration> {
    let word = args.required(cx, &format!("a duration behind `{name}`"))?;
    let time = time_of(cx, name, word);
    if time.is_none() {
        args.give_up();
    }
    time
}

/// Reads a number behind a parameter.
pub(super) fn param_number(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<u32> {
    let word = args.required(cx, &format!("a number behind `{name}`"))?;
    let number = number_of(cx, name, word, range);
    if number.is_none() {
        args.give_up();
    }
    number.map(|n| n as u32)
}

/// Returns the names of all options.
#[cfg(test)]
pub(super) fn all_params() -> Vec<&'static str> {
    PARAMS.iter().chain(STATS_PARAMS).map(|entry| entry.name).collect()
}
