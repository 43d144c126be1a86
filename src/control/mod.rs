//! Control: the threads that supervise and never touch traffic.
//!
//! Everything an operator meets at run time lives here: starting and stopping, signals, the log's writer, the runtime
//! CLI and its commands, the statistics page. A shard never waits for control.

pub mod command;
pub mod cores;
pub mod csv;
pub mod daemon;
pub mod fields;
pub mod info;
pub mod json;
pub mod limits;
pub mod load;
mod log_stream;
pub mod log_writer;
pub mod process;
pub mod prometheus;
pub mod rates;
pub mod selection;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod states;
pub mod stats_page;
pub mod subject;
pub mod supervisor;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
