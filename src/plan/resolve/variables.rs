//! Variables of the process that the `global` section sets: evaluated once, when the plan is made.

use super::Index;
use crate::config::ast::Line;
use crate::config::diagnostic::Diagnostic;
use crate::plan::load::Loader;
use crate::proto::http::Head;
use crate::rules::context::{Context, NameTable, Record, SessionInfo};
use crate::rules::log_format::LogFormat;
use crate::rules::sample::{Expression, Value};
use crate::rules::variable::{Conditions, Limits, Process, Scope, Store, StreamStore, Variables};
use crate::rules::{Compiler, Names, Position};

/// Returns the variables of the process with what `set-var` and `set-var-fmt` lines give them.
pub(super) fn process(
    cx: &mut Loader<'_>,
    index: &Index<'_>,
    lines: &[Line],
    limits: Limits,
) -> Process {
    let process = Process::new(limits);
    for line in lines {
        set(cx, index, line, &process);
    }
    process
}

/// Evaluates one line: a directive, the name of a variable, and an expression or a format.
fn set(cx: &mut Loader<'_>, index: &Index<'_>, line: &Line, process: &Process) {
    let [directive, name, value] = line.words.as_slice() else { return };
    let registry = index.variables();
    let Some(variable) = registry.resolve(name.as_str(), name.span, true, cx.diagnostics) else {
        return;
    };
    if variable.scope() != Scope::Process {
        cx.push(
            Diagnostic::error(
                name.span,
                format!("`{}` is not a variable of the process", name.text),
            )
            .help("only `proc.` variables can be set in `global`"),
        );
        return;
    }
    let mut compiler = Compiler {
        diagnostics: cx.diagnostics,
        names: index,
        position: Position::Request,
        http: false,
        backend: None,
        line: line.span,
    };
    let names = NameTable::default();
    let mut request = Head::new();
    let context = Context {
        session: &SessionInfo {
            source: None,
            destination: None,
            frontend: 0,
            bind: 0,
            accepted_us: 0,
        },
        request: &mut request,
        response: None,
        record: &Record::default(),
        farms: &[],
        names: &names,
        variables: Variables {
            process,
            session: &Store::default(),
            stream: &StreamStore::default(),
        },
        head_bytes_max: usize::MAX,
        now_us: 0,
    };
    let set = |value: Value<'_>| {
        context.variables.set(variable, value, Conditions::default());
    };
    if directive.as_str() == "set-var-fmt" {
        if let Some(format) = LogFormat::parse(value.as_str(), value.span, &mut compiler) {
            let mut text = Vec::new();
            format.write(&context, &mut text);
            set(Value::str(&text));
        }
        return;
    }
    let Some(expression) = Expression::parse(value, &mut compiler) else { return };
    match expression.eval(&context) {
        Some(value) => set(value),
        None => cx.push(
            Diagnostic::error(value.span, format!("`{}` yields nothing here", value.text))
                .label("there is no connection when the configuration is read")
                .help("use constants such as `int(1)` or `str(text)`, and other `proc.` variables"),
        ),
    }
}
