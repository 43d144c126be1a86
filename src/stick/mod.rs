//! Stick tables: keys with counters, rates and servers that all shards share.
//!
//! A [`Table`] is divided by the hash of its keys into stripes with a short lock each; an entry that was found is held by
//! reference, so that a stream looks a key up once and counts on the entry from then on. Counts are exact whichever
//! shard they come from. Nothing here looks at a clock: the caller supplies `now`, microseconds of a clock that all
//! shards share. Nothing here knows rules, messages or the text of the configuration.
//!
//! Reading order: [`key`], [`data`] (what is stored, and its layout), [`rate`], [`mod@entry`], [`table`], [`counters`] (what a
//! stream or session tracks). A new kind of data is a row in [`data::TYPES`].

pub mod counters;
pub mod data;
pub mod entry;
pub mod key;
pub mod rate;
pub mod table;
#[cfg(test)]
mod tests;

pub use counters::{Counters, Tracking};
pub use data::{Data, Layout, StoreError};
pub use entry::{Entry, Tracked};
pub use key::{KeyBytes, KeyType, Raw};
pub use table::{Spec, Table};
