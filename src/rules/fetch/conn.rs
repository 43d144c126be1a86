//! Fetches about the connections of a stream: addresses, ports, listener, backend and server (manual 7.3.3).

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, Type, Value};
use std::net::{IpAddr, SocketAddr};

/// Fetches about connections.
pub const TABLE: &[Row] = &[
    row(
        "be_name",
        "",
        "Returns the name of the backend.",
        "be_name",
        FetchSpec::one(Type::Str, Scope::Backend, be_name),
    ),
    row(
        "dst",
        "",
        "Returns the address that the client connected to, or what `set-dst` made of it.",
        "dst",
        FetchSpec::one(Type::Ip, Scope::Anywhere, dst),
    ),
    row(
        "dst_conn",
        "",
        "Returns the number of connections of the frontend.",
        "dst_conn",
        FetchSpec::one(Type::Int, Scope::Anywhere, fe_conn),
    ),
    row(
        "dst_is_local",
        "",
        "Returns whether the address that the client connected to is a loopback address.",
        "dst_is_local",
        FetchSpec::one(Type::Bool, Scope::Anywhere, dst_is_local),
    ),
    row(
        "dst_port",
        "",
        "Returns the port that the client connected to, or what `set-dst-port` made of it.",
        "dst_port",
        FetchSpec::one(Type::Int, Scope::Anywhere, dst_port),
    ),
    row(
        "fc_dst",
        "",
        "Returns the address that the client connected to.",
        "fc_dst",
        FetchSpec::one(Type::Ip, Scope::Anywhere, fc_dst),
    ),
    row(
        "fc_dst_port",
        "",
        "Returns the port that the client connected to.",
        "fc_dst_port",
        FetchSpec::one(Type::Int, Scope::Anywhere, fc_dst_port),
    ),
    row(
        "fc_src",
        "",
        "Returns the address of the client.",
        "fc_src",
        FetchSpec::one(Type::Ip, Scope::Anywhere, fc_src),
    ),
    row(
        "fc_src_port",
        "",
        "Returns the port of the client.",
        "fc_src_port",
        FetchSpec::one(Type::Int, Scope::Anywhere, fc_src_port),
    ),
    row(
        "fe_conn",
        "",
        "Returns the number of connections of the frontend, this one included.",
        "fe_conn",
        FetchSpec::one(Type::Int, Scope::Anywhere, fe_conn),
    ),
    row(
        "fe_name",
        "",
        "Returns the name of the frontend.",
        "fe_name",
        FetchSpec::one(Type::Str, Scope::Anywhere, fe_name),
    ),
    row(
        "so_id",
        "",
        "Returns the number of the bind line that accepted the connection, counted from 1.",
        "so_id",
        FetchSpec::one(Type::Int, Scope::Anywhere, so_id),
    ),
    row(
        "src",
        "",
        "Returns the address of the client, or what `set-src` made of it.",
        "src",
        FetchSpec::one(Type::Ip, Scope::Anywhere, src),
    ),
    row(
        "src_is_local",
        "",
        "Returns whether the client's address is a loopback address.",
        "src_is_local",
        FetchSpec::one(Type::Bool, Scope::Anywhere, src_is_local),
    ),
    row(
        "src_port",
        "",
        "Returns the port of the client, or what `set-src-port` made of it.",
        "src_port",
        FetchSpec::one(Type::Int, Scope::Anywhere, src_port),
    ),
    row(
        "srv_id",
        "",
        "Returns the number of the server in its backend, counted from 1.",
        "srv_id",
        FetchSpec::one(Type::Int, Scope::Server, srv_id),
    ),
    row(
        "srv_name",
        "",
        "Returns the name of the server.",
        "srv_name",
        FetchSpec::one(Type::Str, Scope::Server, srv_name),
    ),
    row(
        "ssl_fc",
        "",
        "Returns whether the client's connection is encrypted.",
        "ssl_fc",
        FetchSpec::one(Type::Bool, Scope::Anywhere, ssl_fc),
    ),
];

fn ip(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|address| address.ip().to_canonical())
}

fn port(address: Option<SocketAddr>) -> Option<Value<'static>> {
    address.map(|address| Value::Int(i64::from(address.port())))
}

fn src<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.source()).map(Value::Ip)
}

fn dst<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.destination()).map(Value::Ip)
}

fn fc_src<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.session.source).map(Value::Ip)
}

fn fc_dst<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.session.destination).map(Value::Ip)
}

fn fc_src_port<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    port(cx.session.source)
}

fn fc_dst_port<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    port(cx.session.destination)
}

fn src_port<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    port(cx.source())
}

fn dst_port<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    port(cx.destination())
}

fn src_is_local<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.source()).map(|ip| Value::Bool(ip.is_loopback()))
}

fn dst_is_local<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    ip(cx.destination()).map(|ip| Value::Bool(ip.is_loopback()))
}

fn fe_conn<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Int(i64::from(cx.record.frontend_connections)))
}

fn fe_name<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let name = cx.names.frontends.get(cx.session.frontend as usize)?;
    Some(Value::str(name.as_bytes()))
}

fn so_id<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Int(i64::from(cx.session.bind) + 1))
}

fn be_name<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let name = cx.names.backends.get(cx.record.backend? as usize)?;
    Some(Value::str(name.as_bytes()))
}

fn srv_id<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    cx.record.server.map(|index| Value::Int(i64::from(index) + 1))
}

fn srv_name<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let servers = cx.names.servers.get(cx.record.backend? as usize)?;
    servers.get(cx.record.server? as usize).map(|name| Value::str(name.as_bytes()))
}

fn ssl_fc<'a>(_: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Bool(false))
}
