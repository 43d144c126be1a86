//! Actions that set and unset variables.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::rules::call;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;
use crate::rules::sample::{Expression, Value};
use crate::rules::text::Text;
use crate::rules::variable::{CONDITIONS_MAX, Conditions, Scope, Variable};
use crate::rules::{Compiler, Position};

const fn spec(build: super::Build) -> ActionSpec {
    ActionSpec { sets: RuleSets::HTTP.and(RuleSets::TCP), is_final: false, build }
}

/// Actions on variables.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "set-var",
        "(<name>[,<condition>...]) <expr>",
        "Sets a variable to what an expression yields, if the conditions hold.",
        "http-request set-var(txn.host) req.hdr(host),lower",
        spec(set),
    ),
    super::row(
        "set-var-fmt",
        "(<name>[,<condition>...]) <fmt>",
        "Sets a variable to formatted text, if the conditions hold.",
        "http-request set-var-fmt(txn.from) %[src]:%[src_port]",
        spec(set_format),
    ),
    super::row(
        "unset-var",
        "(<name>)",
        "Takes the value of a variable away.",
        "http-request unset-var(txn.host)",
        spec(unset),
    ),
];

/// A compiled action on a variable.
#[derive(Debug)]
pub(super) enum Edit {
    Set(Variable, Conditions, Expression),
    Format(Variable, Conditions, LogFormat),
    Unset(Variable),
}

fn set(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let target = target(cursor, compiler, CONDITIONS_MAX);
    let expression = cursor.expression(compiler);
    cursor.expect_end(compiler)?;
    let (variable, conditions) = target?;
    Some(Action::Variable(Edit::Set(variable, conditions, expression?)))
}

fn set_format(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let target = target(cursor, compiler, CONDITIONS_MAX);
    let format = cursor.format("the new value", compiler);
    cursor.expect_end(compiler)?;
    let (variable, conditions) = target?;
    Some(Action::Variable(Edit::Format(variable, conditions, format?)))
}

fn unset(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let target = target(cursor, compiler, 0);
    cursor.expect_end(compiler)?;
    Some(Action::Variable(Edit::Unset(target?.0)))
}

/// Reads what stands in parentheses behind the action's name: a variable and at most `max` conditions.
fn target(
    cursor: &Cursor<'_>,
    compiler: &mut Compiler<'_>,
    max: usize,
) -> Option<(Variable, Conditions)> {
    let word = cursor.last();
    let calls = call::parse(Text::of(word)).map_err(|d| compiler.diagnostics.push(d)).ok()?;
    let [call] = calls.as_slice() else {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("unexpected `,` in `{}`", word.text))
                .help("converters stand behind the expression, not behind the action"),
        );
        return None;
    };
    let name = call.name.text;
    let Some((variable, conditions)) = call.args.split_first() else {
        compiler.diagnostics.push(
            Diagnostic::error(call.span, format!("`{name}` needs the name of a variable"))
                .help(format!("write for example `{name}(txn.name)`")),
        );
        return None;
    };
    if let Some(extra) = conditions.get(max) {
        let message = match max {
            0 => format!("`{name}` takes one argument"),
            _ => format!("`{name}` takes at most {max} conditions"),
        };
        compiler.diagnostics.push(Diagnostic::error(extra.span, message).label("one too many"));
        return None;
    }
    let mut all = Conditions::default();
    for condition in conditions {
        if !all.add(&condition.text) {
            let finding = Diagnostic::error(
                condition.span,
                format!("unknown condition `{}` of a variable", condition.text),
            );
            let names = Conditions::names();
            compiler.diagnostics.push(match suggest(&condition.text, names.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("expected one of `{}`", names.join("`, `"))),
            });
            return None;
        }
    }
    let registry = compiler.names.variables();
    let resolved = registry.resolve(&variable.text, variable.span, true, compiler.diagnostics)?;
    let lasts = matches!(resolved.scope(), Scope::Process | Scope::Session);
    if compiler.position == Position::Connection && !lasts {
        let message = format!("`{}` is forgotten at once", variable.text);
        compiler.diagnostics.push(
            Diagnostic::warning(variable.span, message)
                .label("there is no request yet that it could belong to")
                .help("rules on connections and sessions can set variables of `sess.` and `proc.`"),
        );
    }
    Some((resolved, all))
}

impl Edit {
    /// Sets or unsets the variable; an expression that yields nothing changes nothing.
    pub(super) fn apply(&self, cx: &Context<'_>, scratch: &mut Vec<u8>) {
        match self {
            Edit::Set(variable, conditions, expression) => {
                if let Some(value) = expression.eval(cx) {
                    cx.variables.set(*variable, value, *conditions);
                }
            }
            Edit::Format(variable, conditions, format) => {
                format.write(cx, scratch);
                cx.variables.set(*variable, Value::str(scratch), *conditions);
            }
            Edit::Unset(variable) => cx.variables.unset(*variable),
        }
    }
}
