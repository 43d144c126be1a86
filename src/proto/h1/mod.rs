//! HTTP/1.0 and HTTP/1.1 (RFC 9112): bytes to [`Head`](super::http::Head) and back, and where a body ends.
//!
//! [`parse`] is syntax only (`fields` for the field lines), [`framing`] is what the fields of a head mean for the message's length and its connection,
//! [`body`] walks body bytes, [`write`](mod@write) serialises. Nothing here allocates per field, reads a clock or does IO.

pub mod body;
mod fields;
pub mod framing;
pub mod parse;
mod upgrade;
pub mod write;

#[cfg(test)]
mod tests;
