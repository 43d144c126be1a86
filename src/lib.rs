//! fastlb: a layer 4 and layer 7 load balancer that reads HAProxy's configuration language.
//!
//! # Crate map, in reading order
//!
//! A module imports only from rows below its own; modules on one row do not see each other.
//! `tests/tidy.rs` enforces it.
//!
//! | row | modules | what |
//! |---|---|---|
//! | 7 | [`cli`], `main`, [`demo`] | command line → load plan → run → exit code |
//! | 6 | [`control`] | supervisor, signals, runtime CLI, stats page, Prometheus |
//! | 5 | [`runtime`] | shards: sockets, sessions, streams, upstream pools, tunnels, checks on the wire |
//! | 4 | [`plan`] | checked configuration: names are indices, immutable, behind `Arc` |
//! | 3 | [`rules`] | acl, sample fetches, converters, actions, log-format; no IO |
//! | 2 | [`log`], [`stick`], [`server`], and on top of `server`: [`balance`] | pure engines: bytes and `now` in, decisions out |
//! | 1 | [`config`], [`proto`], [`metrics`] | text → spanned AST; bytes → messages; one table of counters |
//! | 0 | [`stdx`] | could live in std; no load-balancer nouns |
//!
//! # Glossary
//!
//! frontend, backend, listen, bind, server, acl, rule, sample fetch, converter, action: as in HAProxy's manual.
//! **Shard**: a pinned thread with everything it owns. **Session**: the life of one client connection.
//! **Stream**: one request and its response, or one TCP relay. **Upstream connection**: the server side of a
//! stream. **Plan**: the checked configuration that shards run. **Snapshot**: a consistent read of counters.
//! **Control**: the thread that supervises and never touches traffic.

pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod log;
pub mod metrics;
pub mod plan;
pub mod proto;
pub mod rules;
pub mod runtime;
pub mod server;
pub mod stdx;
pub mod stick;
