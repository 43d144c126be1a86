//! What could live in the standard library: a timer wheel, placement hashes, a small random generator.
//!
//! Nothing here knows a load-balancer noun, reads a clock or does IO (but [`sys`], which names the kernel's calls).

pub mod sys;
