//! What could live in the standard library.

pub mod time;
