//! Actions that replace an address of the stream: `set-src`, `set-dst` and their ports.
//!
//! The connection stays where it is; what changes is what later rules, logs and `forwardfor` see, and for a server
//! without an address of its own, where the stream goes.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSets};
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::sample::Expression;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const fn request(build: super::Build) -> ActionSpec {
    let sets = RuleSets::REQUEST.and(RuleSets::TCP_REQUEST);
    ActionSpec { sets, is_final: false, build }
}

/// Actions on addresses.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "set-dst",
        "<expr>",
        "Replaces the destination address, which a server without an address is connected to.",
        "http-request set-dst var(txn.ip)",
        request(|c, _, k| set(c, k, Part::Destination)),
    ),
    super::row(
        "set-dst-port",
        "<expr>",
        "Replaces the destination port, which a server without a port is connected to.",
        "http-request set-dst-port int(8080)",
        request(|c, _, k| set(c, k, Part::DestinationPort)),
    ),
    super::row(
        "set-src",
        "<expr>",
        "Replaces the source address in later rules, in `forwardfor` and in logs.",
        "http-request set-src req.hdr(x-forwarded-for)",
        request(|c, _, k| set(c, k, Part::Source)),
    ),
    super::row(
        "set-src-port",
        "<expr>",
        "Replaces the source port in later rules and in logs.",
        "http-request set-src-port int(4000)",
        request(|c, _, k| set(c, k, Part::SourcePort)),
    ),
];

/// What is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Source,
    SourcePort,
    Destination,
    DestinationPort,
}

/// A compiled action on an address.
#[derive(Debug)]
pub(super) struct Edit {
    part: Part,
    value: Expression,
}

fn set(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, part: Part) -> Option<Action> {
    let value = cursor.expression(compiler);
    cursor.expect_end(compiler)?;
    Some(Action::Address(Edit { part, value: value? }))
}

impl Edit {
    /// Replaces the part; a value that is no address, or no port, changes nothing.
    pub(super) fn apply(&self, cx: &Context<'_>) {
        let Some(value) = self.value.eval(cx) else { return };
        let (cell, now) = match self.part {
            Part::Source | Part::SourcePort => (&cx.record.source, cx.source()),
            Part::Destination | Part::DestinationPort => (&cx.record.destination, cx.destination()),
        };
        let new = match self.part {
            // The other half stays as far as there is one.
            Part::Source | Part::Destination => {
                value.to_ip().map(|ip| SocketAddr::new(ip, now.map_or(0, |now| now.port())))
            }
            Part::SourcePort | Part::DestinationPort => {
                let port = value.to_int().and_then(|port| u16::try_from(port).ok());
                let ip = now.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |now| now.ip());
                port.map(|port| SocketAddr::new(ip, port))
            }
        };
        if new.is_some() {
            cell.set(new);
        }
    }
}
