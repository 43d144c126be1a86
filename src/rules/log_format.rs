//! To be written: log formats.
use super::Compiler;
use super::context::Context;
use crate::config::ast::Span;

/// A compiled log format (manual 8.2.4).
#[derive(Debug)]
pub struct LogFormat {}

impl LogFormat {
    /// Compiles `text`, which stands at `span`.
    pub fn parse(_text: &str, _span: Span, _compiler: &mut Compiler<'_>) -> Option<Self> {
        None
    }
    /// Appends the formatted text.
    pub fn write(&self, _cx: &Context<'_>, _out: &mut Vec<u8>) {}
    /// Returns the text if it does not depend on anything.
    pub fn literal(&self) -> Option<&[u8]> {
        None
    }
}
