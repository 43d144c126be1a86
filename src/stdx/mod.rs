//! What could live in the standard library: a timer wheel, placement hashes, a small random generator, civil time,
//! system calls, password hashes.
//!
//! Nothing here knows a load-balancer noun, reads a clock or does IO (but [`sys`], which only names the kernel's calls).

pub mod ascii;
pub mod crypt;
pub mod hash;
pub mod rand;
pub mod sys;
pub mod time;
pub mod wheel;
