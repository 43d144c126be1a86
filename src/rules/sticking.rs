//! `stick` rules: which key of which table keeps a client on its server (manual 4.2).
//!
//! Here a line is read and its key made; who looks up the server and stores it is the runtime.

use super::Compiler;
use super::condition::{AclSet, Condition};
use super::context::Context;
use super::sample::Expression;
use super::stick::{fits, key, own_table, table};
use crate::config::ast::{Line, Word};
use crate::config::diagnostic::Diagnostic;
use crate::stick::Table;

/// A `stick` rule.
#[derive(Debug)]
pub struct StickRule {
    /// Whether the table says where a request goes.
    pub matches: bool,
    /// Whether the server that served is stored.
    pub stores: bool,
    /// Whether the key is of the response.
    pub of_response: bool,
    table: u32,
    key: Expression,
    condition: Option<Condition>,
}

impl StickRule {
    /// Returns whether the key of a line is of the response.
    pub fn is_of_response(line: &Line) -> bool {
        line.words.get(1).is_some_and(|word| word.as_str() == "store-response")
    }

    /// Returns the name of the table that a line uses, if it says one.
    pub fn table_name(line: &Line) -> Option<&Word> {
        match line.words.get(3..5) {
            Some([word, name]) if word.as_str() == "table" => Some(name),
            _ => None,
        }
    }

    /// Compiles a line such as `stick on src table clients if { path_beg /app/ }`; reports what is wrong.
    pub fn parse(line: &Line, acls: &mut AclSet, compiler: &mut Compiler<'_>) -> Option<Self> {
        let [_, verb, key_word, rest @ ..] = line.words.as_slice() else {
            let text = "`stick` needs a key, such as `src`";
            compiler.diagnostics.push(Diagnostic::error(line.span, text));
            return None;
        };
        let key = Expression::parse(key_word, compiler);
        let (table, rest) = match (Self::table_name(line), rest) {
            (Some(name), [_, _, rest @ ..]) => (table(name.as_str(), name.span, compiler), rest),
            _ => (own_table("stick", line.words[0].span, compiler), rest),
        };
        let condition = match rest {
            [] => None,
            [word, ..] if matches!(word.as_str(), "if" | "unless") => {
                Some(Condition::parse(rest, acls, compiler)?)
            }
            [word, ..] => {
                compiler.diagnostics.push(
                    Diagnostic::error(word.span, format!("unexpected `{}`", word.text))
                        .label("expected `table`, `if`, `unless` or the end of the line"),
                );
                return None;
            }
        };
        let (key, table) = (key?, table?);
        if !fits(&key, compiler.names.tables().get(table as usize)?, key_word.span, compiler) {
            return None;
        }
        Some(Self {
            matches: matches!(verb.as_str(), "on" | "match"),
            stores: verb.as_str() != "match",
            of_response: Self::is_of_response(line),
            table,
            key,
            condition,
        })
    }

    /// Calls `f` with the table and the key, if the condition holds and there is a key.
    pub fn with_key<T>(
        &self,
        cx: &Context<'_>,
        f: impl FnOnce(u32, &Table, &[u8]) -> T,
    ) -> Option<T> {
        if self.condition.as_ref().is_some_and(|condition| !condition.holds(cx)) {
            return None;
        }
        let table = cx.tracking.table(self.table)?;
        let key = key(table, self.key.eval(cx)?)?;
        Some(f(self.table, table, key.as_slice()))
    }
}
