//! To be written.

pub mod csv;
pub mod fields;
pub mod info;
pub mod json;
pub mod process;
pub mod prometheus;
pub mod rates;
pub mod selection;
pub mod stats_page;
pub mod subject;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
