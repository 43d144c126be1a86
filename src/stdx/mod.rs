//! What could live in the standard library: a timer wheel, placement hashes, a small random generator.
//!
//! Nothing here knows a load-balancer noun, reads a clock or does IO.

pub mod hash;
pub mod rand;
pub mod wheel;
