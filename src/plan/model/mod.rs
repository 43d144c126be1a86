//! The types of a plan: plain data that shards read.
//!
//! Nothing here knows the words of the configuration; the loader of [`super`] fills these types in once.

mod backend;
mod frontend;
mod gauge;
mod global;
mod log;
mod proxy;
mod resolvers;

pub use backend::*;
pub use frontend::*;
pub use gauge::Gauge;
pub use global::*;
pub use log::*;
pub use proxy::*;
pub use resolvers::*;
