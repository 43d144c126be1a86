//! Name servers, and how they are asked.

use std::net::SocketAddr;
use std::time::Duration;

/// A `resolvers` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Its name.
    pub name: String,
    /// `nameserver` lines, and those of `parse-resolv-conf`.
    pub servers: Vec<NameServer>,
    /// `resolve_retries`: how often a name is asked for.
    pub retries: u32,
    /// `timeout retry`: how long an answer is waited for.
    pub timeout_retry: Duration,
    /// `hold valid`: how long an answer is used.
    pub hold_valid: Duration,
    /// `accepted_payload_size`: the most bytes of an answer over UDP.
    pub payload_max: u16,
}

/// A server that knows names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it is only asked over TCP.
    pub tcp: bool,
}
