//! HTTP/1.0 and HTTP/1.1 (RFC 9112): bytes to [`Head`](super::http::Head) and back, and where a body ends.
//!
//! [`parse`] is syntax only (`fields` for the field lines, `relaxed` for those who must take malformed heads), [`framing`]
//! is what the fields of a head mean for the message's length and its connection (`target` for target and `Host`, `hop`
//! for what ends at this hop), [`body`] walks body bytes, [`write`](mod@write) serialises. Nothing here allocates per field, reads a clock or does IO.

pub mod body;
mod fields;
pub mod framing;
mod hop;
mod odd;
pub mod parse;
mod relaxed;
pub mod seal;
mod target;
mod upgrade;
pub mod write;

#[cfg(test)]
mod tests;
