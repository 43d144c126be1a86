//! From configuration text to a spanned syntax tree and a list of diagnostics.
//!
//! Parsing never stops at the first error. This module knows words, quotes, environment variables, conditional
//! blocks and sections; what a directive *means* is for [`crate::plan`].

pub mod ast;
pub mod diagnostic;
pub mod keyword;
