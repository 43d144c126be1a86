//! `set-bandwidth-limit`: puts a filter of the section in force for the stream.
//!
//! The filter's name is looked up when all lines of the section are known ([`super::Rule::with_filters`]).

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet};
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::units::{TimeUnit, parse_size, parse_time};
use crate::rules::Compiler;
use crate::rules::bandwidth::Filter;
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};
use std::sync::Arc;
use std::time::Duration;

/// Actions on bandwidth.
pub(super) const TABLE: &[Row] = &[super::row(
    "set-bandwidth-limit",
    "<name> [limit { <expression> | <size> }] [period { <expression> | <time> }]",
    "Limits the payload of the stream by a filter `bwlim-in` or `bwlim-out` of this section, with the filter's limit and period or others: bytes, and milliseconds if an expression says them.",
    "http-response set-bandwidth-limit downloads limit 512k period 1s",
    ActionSpec { request: true, response: true, is_final: false, build },
)];

/// A number that is known, or is made at run time.
#[derive(Debug)]
enum Amount {
    Fixed(u64),
    Computed(Expression),
}

impl Amount {
    fn get(&self, cx: &Context<'_>) -> Option<u64> {
        match self {
            Amount::Fixed(number) => Some(*number),
            Amount::Computed(expression) => {
                expression.eval(cx).and_then(|value| value.to_int()).and_then(|n| n.try_into().ok())
            }
        }
    }
}

/// A compiled action on bandwidth.
#[derive(Debug)]
pub(super) struct Use {
    name: String,
    span: Span,
    filter: Option<Arc<Filter>>,
    limit: Option<Amount>,
    /// Milliseconds.
    period: Option<Amount>,
}

impl Use {
    pub(super) fn apply(&self, cx: &Context<'_>) {
        let Some(filter) = &self.filter else { return };
        let limit = self.limit.as_ref().and_then(|limit| limit.get(cx));
        let period = self.period.as_ref().and_then(|period| period.get(cx));
        let mut limits = cx.record.bandwidth.borrow_mut();
        limits.get_or_insert_default().set(filter, limit, period.map(Duration::from_millis));
    }

    /// Finds the filter; reports a name that no filter has.
    pub(super) fn attach(
        &mut self,
        filters: &[Arc<Filter>],
        compiler: &mut Compiler<'_>,
    ) -> Option<()> {
        self.filter = filters.iter().find(|filter| filter.name == self.name).cloned();
        if self.filter.is_none() {
            let finding = Diagnostic::error(
                self.span,
                format!("this section has no bandwidth filter `{}`", self.name),
            );
            let names = filters.iter().map(|filter| filter.name.as_str());
            compiler.diagnostics.push(match suggest(&self.name, names) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!(
                    "add one, for example `filter bwlim-out {} default-limit 1m default-period 1s`",
                    self.name
                )),
            });
        }
        self.filter.as_ref().map(|_| ())
    }
}

fn build(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let name = cursor.next("the name of a filter", compiler)?;
    let (mut limit, mut period) = (None, None);
    while let Some(word) = cursor.peek() {
        let (slot, expected, read): (_, _, fn(&str) -> Option<u64>) = match word.as_str() {
            "limit" => (&mut limit, "a size or an expression", |text| parse_size(text).ok()),
            "period" => (&mut period, "a time or an expression", |text| {
                let time = parse_time(text, TimeUnit::Milliseconds).ok()?;
                u64::try_from(time.as_millis()).ok()
            }),
            _ => break,
        };
        cursor.skip();
        let value = cursor.next(expected, compiler)?;
        *slot = Some(if value.text.starts_with(|first: char| first.is_ascii_digit()) {
            let Some(number) = read(&value.text).filter(|number| *number > 0) else {
                let what = if word.as_str() == "limit" {
                    "size such as `512k`"
                } else {
                    "time such as `1s`"
                };
                let text = format!("`{}` is no {what} above 0", value.text);
                compiler.diagnostics.push(Diagnostic::error(value.span, text));
                return None;
            };
            Amount::Fixed(number)
        } else {
            let expression = Expression::parse(value, compiler)?;
            if !expression.output().casts_to(Type::Int) {
                let text = format!("`{}` is no number", value.text);
                compiler.diagnostics.push(Diagnostic::error(value.span, text));
                return None;
            }
            Amount::Computed(expression)
        });
    }
    cursor.expect_end(compiler)?;
    let (name, span) = (name.text.clone(), name.span);
    Some(Action::Bandwidth(Use { name: name.to_string(), span, filter: None, limit, period }))
}
