//! Fetches about the proxy itself, and constants (manual 7.3.2).

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::{Context, Stage};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::server::{Admin, Farm, Server};
use crate::stdx::rand::Rng;
use std::borrow::Cow;
use std::cell::RefCell;

const BACKEND: &[ArgKind] = &[ArgKind::Backend];
const SERVER: &[ArgKind] = &[ArgKind::Server];
const UNITS: &[&str] = &["s", "ms", "us"];

/// Fetches about the proxy itself, and constants.
pub const TABLE: &[Row] = &[
    row(
        "always_false",
        "",
        "Returns false.",
        "always_false",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, _| Some(Value::Bool(false))),
    ),
    row(
        "always_true",
        "",
        "Returns true.",
        "always_true",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, _| Some(Value::Bool(true))),
    ),
    row(
        "avg_queue",
        "[<backend>]",
        "Returns the streams waiting for a backend, divided by its usable servers.",
        "avg_queue(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, avg_queue).args(BACKEND, 0),
    ),
    row(
        "be_conn",
        "[<backend>]",
        "Returns the streams in service on the servers of a backend.",
        "be_conn(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, be_conn).args(BACKEND, 0),
    ),
    row(
        "be_conn_free",
        "[<backend>]",
        "Returns how many streams the usable servers of a backend can take before they are full, or -1 when one has no limit.",
        "be_conn_free(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, be_conn_free).args(BACKEND, 0),
    ),
    row(
        "bin",
        "<hex>",
        "Returns the bytes that hexadecimal digits stand for.",
        "bin(68656c6c6f)",
        FetchSpec::one(Type::Bin, Scope::Anywhere, bin).args(&[ArgKind::Hex], 1),
    ),
    row(
        "bool",
        "<bool>",
        "Returns the boolean that is written there.",
        "bool(true)",
        FetchSpec::one(Type::Bool, Scope::Anywhere, boolean).args(&[ArgKind::Bool], 1),
    ),
    row(
        "connslots",
        "[<backend>]",
        "Returns the free slots and queue places of a backend's servers, or -1 when one has no limit.",
        "connslots(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, connslots).args(BACKEND, 0),
    ),
    row(
        "date",
        "[<offset>[,<unit>]]",
        "Returns the time since 1970 in seconds, milliseconds or microseconds, with an offset added.",
        "date(-3600)",
        FetchSpec::one(Type::Int, Scope::Anywhere, date)
            .args(&[ArgKind::Int, ArgKind::OneOf(UNITS)], 0),
    ),
    row(
        "date_us",
        "",
        "Returns the microseconds of the current second.",
        "date_us",
        FetchSpec::one(Type::Int, Scope::Anywhere, date_us),
    ),
    row(
        "env",
        "<name>",
        "Returns the value that an environment variable had when the configuration was loaded.",
        "env(HOME)",
        FetchSpec::one(Type::Str, Scope::Anywhere, text)
            .args(&[ArgKind::Str], 1)
            .check(read_environment),
    ),
    row(
        "hostname",
        "",
        "Returns the name of the machine.",
        "hostname",
        FetchSpec::one(Type::Str, Scope::Anywhere, hostname),
    ),
    row(
        "int",
        "<integer>",
        "Returns the number that is written there.",
        "int(42)",
        FetchSpec::one(Type::Int, Scope::Anywhere, int).args(&[ArgKind::Int], 1),
    ),
    row(
        "ipv4",
        "<ipv4>",
        "Returns the address that is written there.",
        "ipv4(127.0.0.1)",
        FetchSpec::one(Type::Ip, Scope::Anywhere, ip).args(&[ArgKind::Ipv4], 1),
    ),
    row(
        "ipv6",
        "<ipv6>",
        "Returns the address that is written there.",
        "ipv6(::1)",
        FetchSpec::one(Type::Ip, Scope::Anywhere, ip).args(&[ArgKind::Ipv6], 1),
    ),
    row(
        "meth",
        "<method>",
        "Returns the method that is written there.",
        "meth(GET)",
        FetchSpec::one(Type::Method, Scope::Anywhere, text).args(&[ArgKind::Str], 1),
    ),
    row(
        "nbsrv",
        "[<backend>]",
        "Returns the number of usable servers of a backend.",
        "nbsrv(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, nbsrv).args(BACKEND, 0),
    ),
    row(
        "proc",
        "",
        "Returns the number of the process, which is always 1.",
        "proc",
        FetchSpec::one(Type::Int, Scope::Anywhere, |_, _| Some(Value::Int(1))),
    ),
    row(
        "queue",
        "[<backend>]",
        "Returns the streams waiting for a backend and its servers.",
        "queue(app)",
        FetchSpec::one(Type::Int, Scope::Anywhere, queue).args(BACKEND, 0),
    ),
    row(
        "rand",
        "[<range>]",
        "Returns a random number below a limit, or below 2^32; do not use it for secrets.",
        "rand(100)",
        FetchSpec::one(Type::Int, Scope::Anywhere, rand)
            .args(&[ArgKind::Int], 0)
            .check(check_range),
    ),
    row(
        "srv_conn",
        "[<backend>/]<server>",
        "Returns the streams in service on a server.",
        "srv_conn(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_conn).args(SERVER, 1),
    ),
    row(
        "srv_conn_free",
        "[<backend>/]<server>",
        "Returns how many streams a server can take before it is full, or -1 when it has no limit.",
        "srv_conn_free(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_conn_free).args(SERVER, 1),
    ),
    row(
        "srv_is_up",
        "[<backend>/]<server>",
        "Returns whether a server is up and not in maintenance.",
        "srv_is_up(app/s1)",
        FetchSpec::one(Type::Bool, Scope::Anywhere, srv_is_up).args(SERVER, 1),
    ),
    row(
        "srv_iweight",
        "[<backend>/]<server>",
        "Returns the weight that a server was configured with.",
        "srv_iweight(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_iweight).args(SERVER, 1),
    ),
    row(
        "srv_queue",
        "[<backend>/]<server>",
        "Returns the streams waiting for a server.",
        "srv_queue(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_queue).args(SERVER, 1),
    ),
    row(
        "srv_uweight",
        "[<backend>/]<server>",
        "Returns the weight of a server as it was set last.",
        "srv_uweight(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_weight).args(SERVER, 1),
    ),
    row(
        "srv_weight",
        "[<backend>/]<server>",
        "Returns the weight of a server as it counts now.",
        "srv_weight(app/s1)",
        FetchSpec::one(Type::Int, Scope::Anywhere, srv_weight).args(SERVER, 1),
    ),
    row(
        "str",
        "<string>",
        "Returns the text that is written there.",
        "str(hello)",
        FetchSpec::one(Type::Str, Scope::Anywhere, string).args(&[ArgKind::Str], 0),
    ),
    row(
        "unique-id",
        "",
        "Returns what `unique-id-format` of the frontend makes; it is made once per stream.",
        "unique-id",
        FetchSpec::one(Type::Str, Scope::Anywhere, |_, cx| cx.unique_id().map(Value::str)),
    ),
    row(
        "uuid",
        "[<version>]",
        "Returns a random UUID of version 4.",
        "uuid",
        FetchSpec::one(Type::Str, Scope::Anywhere, uuid).args(&[ArgKind::Int], 0).check(check_uuid),
    ),
    row(
        "wait_end",
        "",
        "Returns true once there is nothing left to wait for, and nothing before.",
        "wait_end",
        FetchSpec::one(Type::Bool, Scope::Anywhere, wait_end),
    ),
];

fn wait_end<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    cx.may_change();
    (cx.content.stage != Stage::Growing).then_some(Value::Bool(true))
}

fn text<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::text).map(Value::str)
}

fn string<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(args.first().and_then(Arg::text).unwrap_or(b"")))
}

fn bin<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::text).map(|bytes| Value::Bin(Cow::Borrowed(bytes)))
}

fn int<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::int).map(Value::Int)
}

fn boolean<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::int).map(|value| Value::Bool(value != 0))
}

fn ip<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    match args.first() {
        Some(Arg::Ip(address)) => Some(Value::Ip(*address)),
        _ => None,
    }
}

fn date<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let offset = args.first().and_then(Arg::int).unwrap_or(0);
    let now = match args.get(1).and_then(Arg::text) {
        Some(b"ms") => cx.now_us / 1_000,
        Some(b"us") => cx.now_us,
        _ => cx.now_us / 1_000_000,
    };
    Some(Value::Int((now as i64).wrapping_add(offset)))
}

fn date_us<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Int((cx.now_us % 1_000_000) as i64))
}

/// Replaces the name of a variable by its value; a variable that does not exist makes the fetch fail, as no argument.
fn read_environment(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if let Some(name) = args.first().and_then(Arg::text).map(String::from_utf8_lossy) {
        let value = std::env::var_os(name.as_ref());
        args[0] = value.map_or(Arg::Absent, |value| {
            use std::os::unix::ffi::OsStrExt;
            Arg::Str(value.as_bytes().into())
        });
    }
    Ok(())
}

fn hostname<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(cx.names.hostname.as_bytes()))
}

thread_local! {
    /// The generator of this shard, seeded at its first use.
    static RANDOM: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// Returns 64 random bits, no secret.
fn random(cx: &Context<'_>) -> u64 {
    RANDOM.with_borrow_mut(|rng| {
        let place = std::ptr::from_ref(rng) as u64;
        rng.get_or_insert_with(|| Rng::new(cx.now_us ^ place.rotate_left(32))).next_u64()
    })
}

fn check_range(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.first().and_then(Arg::int) {
        Some(range) if !(1..=1 << 32).contains(&range) => {
            Err((0, format!("the range {range} is not between 1 and 2^32")))
        }
        _ => Ok(()),
    }
}

fn rand<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let range = args.first().and_then(Arg::int).unwrap_or(1 << 32) as u64;
    Some(Value::Int((((random(cx) >> 32) * range) >> 32) as i64))
}

fn check_uuid(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.first().and_then(Arg::int) {
        Some(version) if version != 4 => {
            Err((0, format!("UUIDs of version {version} are not supported, only version 4")))
        }
        _ => Ok(()),
    }
}

fn uuid<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let bits = (u128::from(random(cx)) << 64) | u128::from(random(cx));
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(Value::Str(Cow::Owned(parts.join("-").into_bytes())))
}

/// Returns the farm that the first argument names; without one, that of the backend that the stream is in.
fn farm<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<&'a Farm> {
    let index = match args.first() {
        Some(Arg::Backend(Some(index))) => *index,
        _ => cx.record.backend?,
    };
    cx.farms.get(index as usize).map(|farm| &**farm)
}

/// Returns the server that the first argument names.
fn server<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<&'a Server> {
    let Some(Arg::Server(backend, server)) = args.first() else { return None };
    cx.farms.get(*backend as usize)?.servers().get(*server as usize)
}

fn nbsrv<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    farm(args, cx).map(|farm| Value::Int(farm.nbsrv() as i64))
}

fn be_conn<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    farm(args, cx).map(|farm| Value::Int(farm.current() as i64))
}

fn queue<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    farm(args, cx).map(|farm| Value::Int(farm.queued_total() as i64))
}

fn avg_queue<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let farm = farm(args, cx)?;
    let (queued, usable) = (farm.queued_total() as i64, farm.nbsrv() as i64);
    let average = if usable > 0 { (queued + usable - 1) / usable } else { queued * 2 };
    Some(Value::Int(average))
}

/// Sums what each usable server has left; -1 as soon as one has no limit.
fn slots(farm: &Farm, left: impl Fn(&Server) -> Option<i64>) -> Value<'static> {
    let mut total = 0;
    for id in (0..farm.servers().len()).filter(|id| farm.is_chosen(*id)) {
        match left(farm.server(id)) {
            Some(free) => total += free,
            None => return Value::Int(-1),
        }
    }
    Value::Int(total)
}

/// Returns the free slots of a server, nothing without a limit.
fn free_slots(server: &Server) -> Option<i64> {
    let limit = i64::from(server.maxconn());
    (limit > 0).then(|| (limit - i64::from(server.current())).max(0))
}

fn be_conn_free<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    farm(args, cx).map(|farm| slots(farm, free_slots))
}

fn connslots<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let left = |server: &Server| {
        let places = i64::from(server.maxqueue());
        let free = (places > 0).then(|| (places - i64::from(server.queued())).max(0))?;
        Some(free_slots(server)? + free)
    };
    farm(args, cx).map(|farm| slots(farm, left))
}

fn srv_conn<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Int(i64::from(server.current())))
}

fn srv_conn_free<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Int(free_slots(server).unwrap_or(-1)))
}

fn srv_queue<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Int(i64::from(server.queued())))
}

fn srv_is_up<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Bool(server.is_up() && server.admin() != Admin::Maint))
}

fn srv_weight<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Int(i64::from(server.weight())))
}

fn srv_iweight<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    server(args, cx).map(|server| Value::Int(i64::from(server.spec().weight)))
}
