//! From configuration text to a spanned syntax tree and a list of diagnostics.
//!
//! Parsing never stops at the first error. This module knows words, quotes, environment variables, conditional
//! blocks and sections; what a directive *means* is for [`crate::plan`].

//!
//! Reading order: [`ast`] (what comes out), [`lexer`] (a line into words), [`condition`] and [`environment`]
//! (`.if`, variables), [`parse`] (files into sections), [`diagnostic`] (how findings are shown), [`units`] (times
//! and sizes), [`known`] (every directive word of the language and whether it works here).
//! To teach the language a new directive, change its row in [`known`] to `Supported` and implement it in the plan.

pub mod ast;
pub mod condition;
pub mod diagnostic;
pub mod environment;
pub mod keyword;
pub mod known;
pub mod lexer;
pub mod parse;
pub mod section;
pub mod units;
