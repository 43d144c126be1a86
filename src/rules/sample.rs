//! To be written: sample expressions.
use super::Compiler;
use super::context::Context;
use crate::config::ast::Word;
use std::borrow::Cow;
use std::net::IpAddr;

/// What an expression yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `bool`
    Bool(bool),
    /// `sint`
    Int(i64),
    /// `ipv4` or `ipv6`
    Ip(IpAddr),
    /// `str`
    Str(Cow<'a, [u8]>),
    /// `bin`
    Bin(Cow<'a, [u8]>),
}

/// A compiled sample expression: a fetch and its converters.
#[derive(Debug)]
pub struct Expression {}

impl Expression {
    /// Compiles `word`, such as `hdr(host),lower`.
    pub fn parse(_word: &Word, _compiler: &mut Compiler<'_>) -> Option<Self> {
        None
    }
    /// Evaluates it.
    pub fn eval<'a>(&'a self, _cx: &'a Context<'_>) -> Option<Value<'a>> {
        None
    }
}
