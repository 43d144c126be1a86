//! Tests of the rules as a whole: against what a real haproxy answered, of diagnostics, and of every table.

mod actions;
mod against_haproxy;
mod content;
mod converters;
mod diagnostics;
mod formats;
mod lints;
mod tables;
