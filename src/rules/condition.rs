//! To be written: ACLs and conditions.
use super::Compiler;
use super::context::Context;
use crate::config::ast::{Line, Word};

/// The named ACLs of one proxy, and the predefined ones.
#[derive(Debug, Default)]
pub struct AclSet {}

impl AclSet {
    /// Compiles an `acl <name> <criterion> …` line.
    pub fn declare(&mut self, _line: &Line, _compiler: &mut Compiler<'_>) {}
    /// Reports ACLs that no condition uses.
    pub fn finish(&self, _compiler: &mut Compiler<'_>) {}
}

/// A compiled `if …` or `unless …`.
#[derive(Debug)]
pub struct Condition {}

impl Condition {
    /// Compiles the words from `if` or `unless` to the end of the line.
    pub fn parse(
        _words: &[Word],
        _acls: &mut AclSet,
        _compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        None
    }
    /// Evaluates it.
    pub fn holds(&self, _cx: &Context<'_>) -> bool {
        false
    }
}
