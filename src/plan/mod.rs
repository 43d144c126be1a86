//! The checked configuration that shards run: names are indices, everything is resolved, immutable, behind `Arc`.
//!
//! [`load`] turns the syntax tree of [`crate::config`] into a [`Plan`] and reports every problem of the files in one
//! run. The only things that change behind a plan are what it shares on purpose: each backend's [`Farm`], the gauges of
//! current connections, and the counter cells.
//!
//! Reading order: [`mod@model`] (what comes out), `load` (the phases), `directive` (how one line is read),
//! `global`, `proxy`, `bind`, `server_line` (the tables of directives by topic), `resolve` (names to indices),
//! `lint` (what is legal and still wrong), [`docs`] (the manual page that is printed from the tables).
//! To add a directive, add a row to the table of its topic, a field in `model`, and a line in `resolve`.

mod account;
mod address;
mod bind;
mod directive;
pub mod docs;
pub mod explain;
mod global;
mod lint;
mod load;
mod log;
pub mod model;
mod proxy;
mod resolve;
mod resolvers;
mod server_line;
#[cfg(test)]
mod tests;
mod userlist;
mod words;

pub use load::{LoadOptions, load};
pub use model::*;

use crate::config::ast::Sources;
use crate::log::ring::Ring;
use crate::metrics::Registry;
use crate::rules::context::NameTable;
use crate::rules::pattern::Lists;
use crate::rules::variable::Process;
use crate::server::Farm;
use crate::stick::Table;
use std::collections::HashMap;
use std::sync::Arc;

/// A checked configuration.
pub struct Plan {
    /// Process-wide settings.
    pub global: Global,
    /// Frontends (and the front half of listen sections) by index.
    pub frontends: Vec<Frontend>,
    /// Backends (and the back half of listen sections) by index.
    pub backends: Vec<Backend>,
    /// The farm of each backend, by backend index.
    pub farms: Vec<Arc<Farm>>,
    /// Names by index, for logs and expressions.
    pub names: NameTable,
    /// Indices of backends by name, for `use_backend` with an expression.
    pub backend_by_name: HashMap<String, u32>,
    /// The counter cells of all shards.
    pub metrics: Registry,
    /// Connections of the whole process.
    pub connections: Gauge,
    /// Lists of patterns and maps that came from files, which the runtime CLI may change.
    pub patterns: Arc<Lists>,
    /// `ring` sections, and the rings of targets such as `tcp@…`.
    pub rings: Vec<Arc<Ring>>,
    /// `resolvers` sections by index.
    pub resolvers: Vec<Resolvers>,
    /// Variables of the process.
    pub variables: Process,
    /// Stick tables by index.
    pub tables: Vec<Arc<Table>>,
    /// The texts that the plan was made from: where rules stand, for explanations.
    pub sources: Sources,
}

impl Plan {
    /// Returns whether there is anything to listen on: an enabled frontend with a `bind`, or a `stats socket`.
    pub fn listens(&self) -> bool {
        !self.global.stats_sockets.is_empty()
            || self.frontends.iter().any(|f| !f.disabled && !f.binds.is_empty())
    }

    /// Lets one of so many requests be explained in the log of each frontend that has one; returns whether any has.
    pub fn explain_one_of(&mut self, one_of: u32) -> bool {
        let mut any = false;
        for frontend in self.frontends.iter_mut().filter(|f| f.log.is_wanted()) {
            frontend.explain.get_or_insert_default().one_of = one_of;
            any = true;
        }
        any
    }

    /// Returns the index of the backend of that name.
    pub fn backend(&self, name: &str) -> Option<u32> {
        self.backend_by_name.get(name).copied()
    }
}
