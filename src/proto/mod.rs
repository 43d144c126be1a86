//! From bytes to messages and back. No IO, no clocks.
//!
//! Start with [`http`]: the head that every protocol fills and every rule reads. [`h1`] is HTTP/1 on the wire, [`uri`]
//! takes request targets apart, [`cookie`] finds and edits cookies, [`reply`] is what the proxy answers by itself. [`dns`]
//! asks for the addresses of names, [`mmdb`] reads databases of networks.

pub mod cookie;
pub mod date;
pub mod dns;
pub mod error_file;
pub mod h1;
pub mod http;
pub mod mmdb;
#[cfg(test)]
#[path = "../../tests/support/mmdb.rs"]
pub(crate) mod mmdb_writer;
pub mod normalize;
pub mod reply;
pub mod scan;
pub mod status;
pub mod uri;
