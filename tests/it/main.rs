//! The integration tests, one binary so that they link once: each module starts real proxies on real sockets.
//!
//! Where a scenario goes through `both`, the same file and the same bytes pass a real haproxy and what clients and servers
//! received must agree. `FASTLB_BIN` tests another binary, `FASTLB_DRIVER` forces fastlb's event driver.

#[path = "../support/mod.rs"]
mod support;

mod actions;
mod answers_framing;
mod bandwidth;
mod bodies;
mod breaking;
mod captures;
mod cli;
mod clients;
mod configs;
mod connections;
mod diagnostics;
mod differential;
mod errors;
mod expect;
mod explain;
mod explain_against_traffic;
mod expressions;
mod faults;
mod forward_proxy;
mod geo;
mod hardening;
mod health;
mod http;
mod lists;
mod logging_lines;
mod logging_steps;
mod logging_targets;
mod login;
mod messages;
mod name_servers;
mod patterns;
mod process;
mod retries;
mod rewrites;
mod rules_framing;
mod rules_options;
mod serving;
mod smuggling;
mod splitting;
mod stats;
mod tables;
mod tcp;
mod tcp_rules;
mod termination;
mod timeouts;
mod tools;
mod tutorials;
mod upgrades;
mod variables;
