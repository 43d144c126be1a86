//! To be written.

pub mod process;
pub mod rates;
