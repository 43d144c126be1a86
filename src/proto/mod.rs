//! From bytes to messages and back. No IO, no clocks.

pub mod h1;
pub mod http;
pub mod uri;
