//! Fetches about how a stream stands: its status, times, sizes, timeouts and the facts of its proxies (manual 7.3.2,
//! 7.3.3, 7.3.7).
//!
//! Times are milliseconds unless an argument says otherwise; one that was not reached is -1, as in logs.

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::{BackendFacts, Context, Record};
use crate::rules::log_format::tag::data_us;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

const UNIT: &[ArgKind] = &[ArgKind::OneOf(&["s", "ms", "us"])];

const fn time(eval: super::EvalOne) -> FetchSpec {
    FetchSpec::one(Type::Int, Scope::Anywhere, eval)
}

/// Fetches about the state of a stream.
pub const TABLE: &[Row] = &[
    row(
        "accept_date",
        "[<unit>]",
        "Returns when the connection was accepted: seconds since 1970, or `ms` or `us`.",
        "accept_date(ms)",
        FetchSpec::one(Type::Int, Scope::Anywhere, |args, cx| date(args, cx.session.accepted_us))
            .args(UNIT, 0),
    ),
    row(
        "bc.timer.connect",
        "",
        "Returns the milliseconds that connecting to the server took, as `%Tc`.",
        "bc.timer.connect",
        time(|_, cx| millis(cx.record.connect_us)),
    ),
    row(
        "bc_dst",
        "",
        "Returns the address of the server that the stream is connected to.",
        "bc_dst",
        FetchSpec::one(Type::Ip, Scope::Server, |_, cx| ip(cx.record.server_address)),
    ),
    row(
        "bc_dst_port",
        "",
        "Returns the port of the server that the stream is connected to.",
        "bc_dst_port",
        FetchSpec::one(Type::Int, Scope::Server, |_, cx| port(cx.record.server_address)),
    ),
    row(
        "bc_http_major",
        "",
        "Returns the major version of HTTP that is spoken with the server.",
        "bc_http_major",
        FetchSpec::one(Type::Int, Scope::Server, |_, cx| cx.record.server.map(|_| Value::Int(1))),
    ),
    row(
        "bc_src",
        "",
        "Returns our address towards the server.",
        "bc_src",
        FetchSpec::one(Type::Ip, Scope::Server, |_, cx| ip(cx.record.server_local)),
    ),
    row(
        "bc_src_port",
        "",
        "Returns our port towards the server.",
        "bc_src_port",
        FetchSpec::one(Type::Int, Scope::Server, |_, cx| port(cx.record.server_local)),
    ),
    row(
        "be_connect_timeout",
        "",
        "Returns `timeout connect` of the backend in milliseconds; 0 is none.",
        "be_connect_timeout",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| timeout(backend(cx)?.connect)),
    ),
    row(
        "be_id",
        "",
        "Returns the number of the backend, as statistics have it.",
        "be_id",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| {
            Some(Value::Int(i64::from(backend(cx)?.id)))
        }),
    ),
    row(
        "be_queue_timeout",
        "",
        "Returns `timeout queue` of the backend in milliseconds; 0 is none.",
        "be_queue_timeout",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| timeout(backend(cx)?.queue)),
    ),
    row(
        "be_server_timeout",
        "",
        "Returns `timeout server` of the backend in milliseconds; 0 is none.",
        "be_server_timeout",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| timeout(backend(cx)?.server)),
    ),
    row(
        "be_tarpit_timeout",
        "",
        "Returns `timeout tarpit` of the backend in milliseconds; 0 is none.",
        "be_tarpit_timeout",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| timeout(backend(cx)?.tarpit)),
    ),
    row(
        "be_tunnel_timeout",
        "",
        "Returns `timeout tunnel` of the backend in milliseconds; 0 is none.",
        "be_tunnel_timeout",
        FetchSpec::one(Type::Int, Scope::Backend, |_, cx| timeout(backend(cx)?.tunnel)),
    ),
    row(
        "bytes_in",
        "",
        "Returns the bytes received from the client so far, as `%U` in logs.",
        "bytes_in",
        time(|_, cx| Some(Value::Int(cx.record.bytes_in as i64))),
    ),
    row(
        "bytes_out",
        "",
        "Returns the bytes sent to the client so far, as `%B` in logs.",
        "bytes_out",
        time(|_, cx| Some(Value::Int(cx.record.bytes_out as i64))),
    ),
    row(
        "fc.timer.handshake",
        "",
        "Returns the milliseconds of handshakes before the first request, as `%Th`.",
        "fc.timer.handshake",
        time(|_, _| Some(Value::Int(0))),
    ),
    row(
        "fc.timer.total",
        "",
        "Returns the milliseconds from the connection to the end, as `%Tt`.",
        "fc.timer.total",
        time(|_, cx| millis(cx.record.idle_us.max(0) + cx.record.total_us.max(0))),
    ),
    row(
        "fc_dst_is_local",
        "",
        "Returns whether the client connected to a loopback address, whatever rules say.",
        "fc_dst_is_local",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, cx| local(cx.session.destination)),
    ),
    row(
        "fc_http_major",
        "",
        "Returns the major version of HTTP that the client speaks.",
        "fc_http_major",
        time(|_, _| Some(Value::Int(1))),
    ),
    row(
        "fc_src_is_local",
        "",
        "Returns whether the client's connection comes from a loopback address, whatever rules say.",
        "fc_src_is_local",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, cx| local(cx.session.source)),
    ),
    row(
        "fe_client_timeout",
        "",
        "Returns `timeout client` of the frontend in milliseconds; 0 is none.",
        "fe_client_timeout",
        time(|_, cx| timeout(cx.frontend_facts()?.client)),
    ),
    row(
        "fe_defbe",
        "",
        "Returns the name of the frontend's default backend.",
        "fe_defbe",
        FetchSpec::one(Type::Str, Scope::Anywhere, |_, cx| {
            let name = cx.names.backends.get(cx.frontend_facts()?.default_backend? as usize)?;
            Some(Value::str(name.as_bytes()))
        }),
    ),
    row(
        "fe_id",
        "",
        "Returns the number of the frontend, as statistics have it.",
        "fe_id",
        time(|_, cx| Some(Value::Int(i64::from(cx.frontend_facts()?.id)))),
    ),
    row(
        "pid",
        "",
        "Returns the number of the process.",
        "pid",
        time(|_, _| Some(Value::Int(i64::from(std::process::id())))),
    ),
    row(
        "req.timer.hdr",
        "",
        "Returns the milliseconds that the head of the request took, as `%TR`.",
        "req.timer.hdr",
        time(|_, cx| millis(cx.record.request_us)),
    ),
    row(
        "req.timer.idle",
        "",
        "Returns the idle milliseconds before the request, as `%Ti`.",
        "req.timer.idle",
        time(|_, cx| millis(cx.record.idle_us.max(0))),
    ),
    row(
        "req.timer.queue",
        "",
        "Returns the milliseconds in queues, as `%Tw`.",
        "req.timer.queue",
        time(|_, cx| millis(cx.record.queue_us)),
    ),
    row(
        "req.timer.tq",
        "",
        "Returns the milliseconds from the connection to the complete head, as `%Tq`.",
        "req.timer.tq",
        time(|_, cx| {
            let record = cx.record;
            millis(if record.request_us < 0 {
                -1
            } else {
                record.idle_us.max(0) + record.request_us
            })
        }),
    ),
    row(
        "request_date",
        "[<unit>]",
        "Returns when the first byte of the request came: seconds since 1970, or `ms` or `us`.",
        "request_date(us)",
        FetchSpec::one(Type::Int, Scope::Anywhere, |args, cx| date(args, cx.record.start_us))
            .args(UNIT, 0),
    ),
    row(
        "res.timer.data",
        "",
        "Returns the milliseconds that the body of the response took, as `%Td`.",
        "res.timer.data",
        time(|_, cx| millis(data_us(cx.record))),
    ),
    row(
        "res.timer.hdr",
        "",
        "Returns the milliseconds that the server took to answer, as `%Tr`.",
        "res.timer.hdr",
        time(|_, cx| millis(cx.record.response_us)),
    ),
    row(
        "res.timer.total",
        "",
        "Returns the milliseconds from the first byte of the request to the end, as `%Ta`.",
        "res.timer.total",
        time(|_, cx| millis(cx.record.total_us.max(0))),
    ),
    row(
        "res.timer.user",
        "",
        "Returns the milliseconds from the first byte to the end, with handshakes, as `%Tu`.",
        "res.timer.user",
        time(|_, cx| millis(cx.record.total_us.max(0))),
    ),
    row(
        "so_name",
        "",
        "Returns the name that the `bind` line gives itself.",
        "so_name",
        FetchSpec::one(Type::Str, Scope::Anywhere, |_, cx| {
            let binds = &cx.frontend_facts()?.binds;
            binds.get(cx.session.bind as usize)?.as_ref().map(|name| Value::str(name.as_bytes()))
        }),
    ),
    row(
        "txn.id32",
        "",
        "Returns the number of the request, of 32 bits.",
        "txn.id32",
        time(|_, cx| Some(Value::Int(i64::from(cx.record.request_counter)))),
    ),
    row(
        "txn.sess_term_state",
        "",
        "Returns how the stream ended, as `%tsc` without the cookie's part.",
        "txn.sess_term_state",
        FetchSpec::one(Type::Str, Scope::Anywhere, |_, cx| Some(ended(cx.record))),
    ),
    row(
        "txn.status",
        "",
        "Returns the status that is sent to the client, or nothing before there is one.",
        "txn.status",
        FetchSpec::one(Type::Int, Scope::Response, |_, cx| {
            (cx.record.status > 0).then_some(Value::Int(i64::from(cx.record.status)))
        }),
    ),
];

fn millis(us: i64) -> Option<Value<'static>> {
    Some(Value::Int(if us < 0 { -1 } else { us / 1_000 }))
}

fn date(args: &[Arg], us: u64) -> Option<Value<'static>> {
    let divisor = match args.first().and_then(Arg::text) {
        Some(b"us") => 1,
        Some(b"ms") => 1_000,
        _ => 1_000_000,
    };
    Some(Value::Int((us / divisor) as i64))
}

fn timeout(timeout: Option<Duration>) -> Option<Value<'static>> {
    Some(Value::Int(timeout.map_or(0, |time| time.as_millis() as i64)))
}

fn backend<'a>(cx: &'a Context<'_>) -> Option<&'a BackendFacts> {
    cx.names.backend_facts.get(cx.record.backend? as usize)
}

fn ip(address: Option<SocketAddr>) -> Option<Value<'static>> {
    address.map(|address| Value::Ip(address.ip().to_canonical()))
}

fn port(address: Option<SocketAddr>) -> Option<Value<'static>> {
    address.map(|address| Value::Int(i64::from(address.port())))
}

fn local(address: Option<SocketAddr>) -> Option<Value<'static>> {
    address.map(|address| Value::Bool(address.ip().to_canonical().is_loopback()))
}

fn ended(record: &Record) -> Value<'static> {
    let letters = [record.termination.cause, record.termination.phase];
    let letters = letters.map(|letter| if letter == 0 { b'-' } else { letter });
    Value::Str(Cow::Owned(letters.to_vec()))
}
