//! Variables: values that rules keep under a name, for a process, a session, a transaction or one message (manual 2.8).
//!
//! Names become slots when expressions are compiled ([`Registry`]), so that nothing is looked up by name while traffic
//! flows, and a stream without variables pays nothing. [`Variables`] is what a [`super::context::Context`] sees of all
//! scopes. The runtime owns the stores, clears them when their scope ends, and keeps their memory for the next stream.
//! What a scope may hold is bounded by [`Limits`]; a value that does not fit is not set.

use super::sample::Value;
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, Diagnostics, suggest};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `proc`: as long as the process, shared by all threads.
    Process,
    /// `sess`: as long as the client's connection.
    Session,
    /// `txn`: request, response and log line.
    Transaction,
    /// `req`: until the response is looked at.
    Request,
    /// `res`: from then on.
    Response,
}

const SCOPES: [(&str, Scope); 5] = [
    ("proc", Scope::Process),
    ("sess", Scope::Session),
    ("txn", Scope::Transaction),
    ("req", Scope::Request),
    ("res", Scope::Response),
];

/// A variable that was resolved: its scope and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    scope: Scope,
    slot: u16,
}

impl Variable {
    /// Returns how long it lives.
    pub fn scope(self) -> Scope {
        self.scope
    }
}

/// Returns whether a text looks like the name of a variable: one of the scopes and a dot.
pub fn looks_like_name(text: &str) -> bool {
    let scope = text.split_once('.').map(|(scope, _)| scope);
    scope.is_some_and(|scope| scope == "check" || SCOPES.iter().any(|(name, _)| *name == scope))
}

/// The names of all variables of a configuration, while its expressions are compiled.
#[derive(Debug, Default)]
pub struct Registry {
    known: RefCell<HashMap<(Scope, String), Entry>>,
    /// How many each scope has.
    counts: [Cell<u16>; SCOPES.len()],
}

#[derive(Debug)]
struct Entry {
    slot: u16,
    /// Whether anything gives it a value.
    set: bool,
    /// Where it is read first.
    read: Option<Span>,
}

impl Registry {
    /// Returns the variable that `name` says; `set` when this use gives it a value. Reports a bad name.
    pub fn resolve(
        &self,
        name: &str,
        span: Span,
        set: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<Variable> {
        let (scope, rest) = match parse(name) {
            Ok(parsed) => parsed,
            Err((why, help)) => {
                diagnostics.push(Diagnostic::error(span, why).help(help));
                return None;
            }
        };
        let mut known = self.known.borrow_mut();
        let count = &self.counts[scope as usize];
        if count.get() == u16::MAX {
            diagnostics.push(Diagnostic::error(span, "there are too many variables"));
            return None;
        }
        let entry = known.entry((scope, rest.to_owned())).or_insert_with(|| {
            let slot = count.replace(count.get() + 1);
            Entry { slot, set: false, read: None }
        });
        entry.set |= set;
        if !set && entry.read.is_none() {
            entry.read = Some(span);
        }
        Some(Variable { scope, slot: entry.slot })
    }

    /// Warns of variables that are read and never set, which is mostly a misspelt name.
    pub fn never_set(&self, diagnostics: &mut Diagnostics) {
        let known = self.known.borrow();
        let name = |(scope, rest): &(Scope, String)| {
            let scope = SCOPES.iter().find(|(_, known)| known == scope).map_or("", |(n, _)| *n);
            format!("{scope}.{rest}")
        };
        let set: Vec<String> =
            known.iter().filter(|(_, entry)| entry.set).map(|(key, _)| name(key)).collect();
        let unset = known.iter().filter(|(_, entry)| !entry.set);
        let mut unset: Vec<(Span, String)> =
            unset.filter_map(|(key, entry)| Some((entry.read?, name(key)))).collect();
        unset.sort_by_key(|(span, _)| (span.file, span.start));
        for (span, name) in unset {
            let text = format!("the variable `{name}` is never set");
            let finding = Diagnostic::warning(span, text);
            diagnostics.push(match suggest(&name, set.iter().map(String::as_str)) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!(
                    "set it before, for example with `http-request set-var({name}) <expression>`"
                )),
            });
        }
    }
}

/// Takes a name apart; the error is a message and a help.
fn parse(name: &str) -> Result<(Scope, &str), (String, String)> {
    const EXPECTED: &str =
        "a name begins with its scope: `proc.`, `sess.`, `txn.`, `req.` or `res.`";
    let Some((scope, rest)) = name.split_once('.') else {
        return Err((format!("the variable `{name}` has no scope"), EXPECTED.to_owned()));
    };
    let Some((_, scope)) = SCOPES.iter().find(|(known, _)| *known == scope) else {
        let help = match suggest(scope, SCOPES.iter().map(|(known, _)| *known)) {
            Some(near) => format!("did you mean `{near}.{rest}`?"),
            None => EXPECTED.to_owned(),
        };
        return Err((format!("`{scope}` is not a scope of variables"), help));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    match rest.chars().find(|c| !allowed(*c)) {
        None if !rest.is_empty() => Ok((*scope, rest)),
        bad => {
            let what = bad.map_or("is empty".to_owned(), |bad| format!("contains `{bad}`"));
            let help = "a name consists of letters, digits, `_` and `.`";
            Err((format!("the name of the variable `{name}` {what}"), help.to_owned()))
        }
    }
}

/// Most bytes that variables may hold (`tune.vars.…-max-size`); 0 is no limit. An outer scope counts the inner ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `tune.vars.global-max-size` or `tune.vars.proc-max-size`: all variables of the process.
    pub process: u64,
    /// `tune.vars.sess-max-size`
    pub session: u64,
    /// `tune.vars.txn-max-size`
    pub transaction: u64,
    /// `tune.vars.reqres-max-size`
    pub message: u64,
}

/// What a variable counts beside its text.
const VALUE_BYTES: u64 = 48;

/// The variables of the process, and the limits of all.
#[derive(Debug, Default)]
pub struct Process {
    values: RwLock<Slots>,
    /// The names of all scopes by slot, for explanations.
    names: [Vec<String>; SCOPES.len()],
    limits: Limits,
    /// Bytes of all scopes; only counted when they are limited.
    used: AtomicU64,
}

impl Process {
    /// Returns an empty store.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes the names of all variables, once they are all known.
    pub fn set_names(&mut self, registry: &Registry) {
        for ((scope, rest), entry) in registry.known.borrow().iter() {
            let names = &mut self.names[*scope as usize];
            let slot = usize::from(entry.slot);
            if names.len() <= slot {
                names.resize(slot + 1, String::new());
            }
            let prefix = SCOPES.iter().find(|(_, known)| known == scope).map_or("", |(n, _)| *n);
            names[slot] = format!("{prefix}.{rest}");
        }
    }

    /// Returns all variables that the configuration names, with their names.
    pub fn named(&self) -> impl Iterator<Item = (&str, Variable)> {
        SCOPES.iter().flat_map(move |(_, scope)| {
            let names = self.names[*scope as usize].iter().enumerate();
            names.map(|(slot, name)| (name.as_str(), Variable { scope: *scope, slot: slot as u16 }))
        })
    }

    fn charge(&self, before: u64, after: u64) -> bool {
        if self.limits.process == 0 {
            return true;
        }
        let charged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let now = used.saturating_sub(before) + after;
            (after <= before || now <= self.limits.process).then_some(now)
        });
        charged.is_ok()
    }
}

/// The variables of a session.
#[derive(Debug, Default)]
pub struct Store {
    slots: RefCell<Slots>,
    bytes: Cell<u64>,
    /// Whether anything was stored since the last clear.
    used: Cell<bool>,
}

impl Store {
    /// Forgets all values and keeps their places.
    #[inline]
    pub fn clear(&self, process: &Process) {
        if self.used.replace(false) {
            self.empty(process);
        }
    }

    #[cold]
    fn empty(&self, process: &Process) {
        if self.bytes.get() > 0 {
            process.charge(self.bytes.replace(0), 0);
        }
        self.slots.borrow_mut().0.clear();
    }
}

/// The variables of a stream.
#[derive(Debug, Default)]
pub struct StreamStore {
    transaction: Store,
    request: Store,
    response: Store,
}

impl StreamStore {
    /// Forgets all values: the stream is over.
    #[inline]
    pub fn clear(&self, process: &Process) {
        self.transaction.clear(process);
        self.request.clear(process);
        self.response.clear(process);
    }

    /// Forgets what lives only while the request is looked at.
    #[inline]
    pub fn end_request(&self, process: &Process) {
        self.request.clear(process);
    }
}

/// The values of one scope, by slot.
#[derive(Debug, Default)]
struct Slots(Vec<Slot>);

#[derive(Clone, Debug, Default)]
enum Slot {
    /// Never set.
    #[default]
    Absent,
    /// Unset after it was set.
    Unset,
    Set(Value<'static>),
}

impl Slot {
    fn value(&self) -> Option<&Value<'static>> {
        match self {
            Slot::Set(value) => Some(value),
            _ => None,
        }
    }

    fn bytes(&self) -> u64 {
        self.value().map_or(0, |value| match value {
            Value::Str(text) | Value::Bin(text) => VALUE_BYTES + text.len() as u64,
            _ => VALUE_BYTES,
        })
    }
}

impl Slots {
    fn get(&self, slot: u16) -> &Slot {
        self.0.get(usize::from(slot)).unwrap_or(&Slot::Absent)
    }

    fn put(&mut self, slot: u16, value: Slot) {
        let slot = usize::from(slot);
        if self.0.len() <= slot {
            self.0.resize(slot + 1, Slot::Absent);
        }
        self.0[slot] = value;
    }
}

/// All variables that a stream can see.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    /// Those of the process.
    pub process: &'a Process,
    /// Those of the session.
    pub session: &'a Store,
    /// Those of the stream.
    pub stream: &'a StreamStore,
}

impl Variables<'_> {
    fn store(&self, scope: Scope) -> Option<&Store> {
        match scope {
            Scope::Process => None,
            Scope::Session => Some(self.session),
            Scope::Transaction => Some(&self.stream.transaction),
            Scope::Request => Some(&self.stream.request),
            Scope::Response => Some(&self.stream.response),
        }
    }

    /// Returns the value of a variable.
    pub fn get(&self, variable: Variable) -> Option<Value<'static>> {
        self.read(variable, |slot| slot.value().cloned())
    }

    /// Returns the variables that have a value, with their names.
    pub fn all(&self) -> Vec<(String, Value<'static>)> {
        let values = self.process.named();
        let values = values.filter_map(|(name, at)| Some((name.to_owned(), self.get(at)?)));
        values.collect()
    }

    fn read<T>(&self, variable: Variable, f: impl FnOnce(&Slot) -> T) -> T {
        match self.store(variable.scope) {
            Some(store) => f(store.slots.borrow().get(variable.slot)),
            None => {
                // A poisoned lock was held by a thread that panicked; the values are whole all the same.
                let values = self.process.values.read().unwrap_or_else(|e| e.into_inner());
                f(values.get(variable.slot))
            }
        }
    }

    /// Sets a variable if the conditions hold and it has room.
    pub fn set(&self, variable: Variable, value: Value<'_>, conditions: Conditions) {
        if self.read(variable, |slot| conditions.hold(variable.scope, slot, &value)) {
            self.put(variable, Slot::Set(into_owned(value)));
        }
    }

    /// Takes a variable's value away.
    pub fn unset(&self, variable: Variable) {
        if self.read(variable, |slot| slot.value().is_some()) {
            self.put(variable, Slot::Unset);
        }
    }

    fn put(&self, variable: Variable, new: Slot) {
        let Some(store) = self.store(variable.scope) else {
            // One lock for the size and the value: two shards must not both count the same place from empty.
            let mut values = self.process.values.write().unwrap_or_else(|e| e.into_inner());
            if self.process.charge(values.get(variable.slot).bytes(), new.bytes()) {
                values.put(variable.slot, new);
            }
            return;
        };
        let (before, after) = (self.read(variable, Slot::bytes), new.bytes());
        if after > before && !self.has_room(variable.scope, after - before) {
            return;
        }
        if self.process.charge(before, after) {
            store.bytes.set(store.bytes.get() + after - before);
            store.used.set(true);
            store.slots.borrow_mut().put(variable.slot, new);
        }
    }

    /// Returns whether a scope and those around it have room for that much more.
    fn has_room(&self, scope: Scope, more: u64) -> bool {
        let limits = &self.process.limits;
        let fits = |limit: u64, used: u64| limit == 0 || used + more <= limit;
        let stream = self.stream;
        let message = stream.request.bytes.get() + stream.response.bytes.get();
        let transaction = message + stream.transaction.bytes.get();
        let session = transaction + self.session.bytes.get();
        let in_message = matches!(scope, Scope::Request | Scope::Response);
        let in_transaction = in_message || scope == Scope::Transaction;
        let in_session = in_transaction || scope == Scope::Session;
        (!in_message || fits(limits.message, message))
            && (!in_transaction || fits(limits.transaction, transaction))
            && (!in_session || fits(limits.session, session))
    }
}

fn into_owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Bool(is) => Value::Bool(is),
        Value::Int(number) => Value::Int(number),
        Value::Ip(address) => Value::Ip(address),
        Value::Str(text) => Value::Str(Cow::Owned(text.into_owned())),
        Value::Bin(bytes) => Value::Bin(Cow::Owned(bytes.into_owned())),
    }
}

/// When a variable is set; all that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u8);

/// The conditions by name; the place is the bit.
const CONDITIONS: [&str; 8] =
    ["ifempty", "ifexists", "ifgt", "iflt", "ifnotempty", "ifnotexists", "ifnotset", "ifset"];

/// Most conditions of one `set-var` (manual 7.3.1).
pub const CONDITIONS_MAX: usize = 4;

impl Conditions {
    /// Adds a condition by name; returns whether there is one of that name.
    pub fn add(&mut self, name: &str) -> bool {
        let at = CONDITIONS.iter().position(|known| *known == name);
        self.0 |= at.map_or(0, |at| 1 << at);
        at.is_some()
    }

    /// Returns all names.
    pub const fn names() -> &'static [&'static str] {
        &CONDITIONS
    }

    fn hold(self, scope: Scope, slot: &Slot, new: &Value<'_>) -> bool {
        if self.0 == 0 {
            return true;
        }
        let empty = matches!(new, Value::Str(text) | Value::Bin(text) if text.is_empty());
        let exists = scope == Scope::Process || !matches!(slot, Slot::Absent);
        let set = slot.value().is_some();
        // Only numbers compare; everything else passes.
        let order = match (slot.value(), new) {
            (Some(Value::Int(old)), Value::Int(new)) => Some(old.cmp(new)),
            _ => None,
        };
        CONDITIONS.iter().enumerate().filter(|(at, _)| self.0 & (1 << at) != 0).all(|(_, name)| {
            match *name {
                "ifempty" => empty,
                "ifnotempty" => !empty,
                "ifexists" => exists,
                "ifnotexists" => !exists,
                "ifset" => set,
                "ifnotset" => !set,
                "ifgt" => order.is_none_or(std::cmp::Ordering::is_gt),
                _ => order.is_none_or(std::cmp::Ordering::is_lt),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stores {
        process: Process,
        session: Store,
        stream: StreamStore,
        registry: Registry,
    }

    impl Stores {
        fn new(limits: Limits) -> Self {
            Self {
                process: Process::new(limits),
                session: Store::default(),
                stream: StreamStore::default(),
                registry: Registry::default(),
            }
        }

        fn all(&self) -> Variables<'_> {
            Variables { process: &self.process, session: &self.session, stream: &self.stream }
        }

        fn variable(&self, name: &str) -> Variable {
            let mut diagnostics = Diagnostics::default();
            self.registry.resolve(name, Span::default(), true, &mut diagnostics).unwrap()
        }

        fn set(&self, name: &str, value: Value<'_>, conditions: &[&str]) {
            let mut all = Conditions::default();
            assert!(conditions.iter().all(|name| all.add(name)));
            self.all().set(self.variable(name), value, all);
        }

        fn get(&self, name: &str) -> Option<Value<'static>> {
            self.all().get(self.variable(name))
        }
    }

    fn text(len: usize) -> Value<'static> {
        Value::Str(Cow::Owned(vec![b'x'; len]))
    }

    #[test]
    fn every_scope_keeps_its_values_until_it_ends() {
        let stores = Stores::new(Limits::default());
        for (at, scope) in ["proc", "sess", "txn", "req", "res"].iter().enumerate() {
            stores.set(&format!("{scope}.a"), Value::Int(at as i64), &[]);
            stores.set(&format!("{scope}.b"), text(at), &[]);
        }
        assert_eq!(stores.get("txn.a"), Some(Value::Int(2)));
        assert_eq!(stores.get("req.b"), Some(text(3)));
        assert_eq!(stores.get("req.never"), None);
        stores.stream.end_request(&stores.process);
        assert_eq!(stores.get("req.a"), None);
        assert_eq!(stores.get("res.a"), Some(Value::Int(4)));
        stores.stream.clear(&stores.process);
        assert_eq!((stores.get("txn.a"), stores.get("res.b")), (None, None));
        assert_eq!(stores.get("sess.a"), Some(Value::Int(1)));
        stores.session.clear(&stores.process);
        assert_eq!(stores.get("sess.a"), None);
        assert_eq!(stores.get("proc.a"), Some(Value::Int(0)));
        stores.all().unset(stores.variable("proc.a"));
        assert_eq!(stores.get("proc.a"), None);
    }

    #[test]
    fn all_conditions_must_hold() {
        let stores = Stores::new(Limits::default());
        let set = |value: Value<'_>, conditions: &[&str]| {
            stores.set("txn.a", value, conditions);
            stores.get("txn.a")
        };
        assert_eq!(set(Value::Int(5), &["ifexists"]), None);
        assert_eq!(set(Value::Int(5), &["ifset"]), None);
        assert_eq!(set(Value::Int(5), &["ifnotexists", "ifnotset"]), Some(Value::Int(5)));
        assert_eq!(set(Value::Int(6), &["ifnotset"]), Some(Value::Int(5)));
        assert_eq!(set(Value::Int(6), &["ifgt"]), Some(Value::Int(5)), "5 is not greater than 6");
        assert_eq!(set(Value::Int(6), &["iflt"]), Some(Value::Int(6)));
        assert_eq!(set(text(0), &["ifnotempty"]), Some(Value::Int(6)));
        assert_eq!(set(text(0), &["ifempty", "ifgt"]), Some(text(0)));
        assert_eq!(set(Value::Int(0), &["ifempty"]), Some(text(0)), "numbers are never empty");
        stores.all().unset(stores.variable("txn.a"));
        assert_eq!(set(Value::Int(1), &["ifset"]), None);
        assert_eq!(set(Value::Int(1), &["ifexists", "ifnotset"]), Some(Value::Int(1)));
        // Those of the process exist from the start.
        stores.set("proc.p", Value::Int(1), &["ifexists"]);
        assert_eq!(stores.get("proc.p"), Some(Value::Int(1)));
    }

    #[test]
    fn a_scope_that_is_full_keeps_what_it_has() {
        let size = VALUE_BYTES + 10;
        let limits = Limits { message: size, transaction: 2 * size, session: 3 * size, process: 0 };
        let stores = Stores::new(limits);
        stores.set("req.a", text(10), &[]);
        stores.set("res.a", Value::Int(1), &[]);
        assert_eq!(stores.get("res.a"), None, "both messages have one limit");
        stores.set("req.a", text(11), &[]);
        assert_eq!(stores.get("req.a"), Some(text(10)), "the old value stays");
        stores.set("txn.a", text(10), &[]);
        stores.set("txn.b", text(0), &[]);
        assert_eq!(stores.get("txn.b"), None);
        stores.set("sess.a", text(10), &[]);
        stores.set("sess.b", text(0), &[]);
        assert_eq!((stores.get("sess.a"), stores.get("sess.b")), (Some(text(10)), None));
        // What an inner scope gives back, the outer ones can use.
        stores.stream.clear(&stores.process);
        stores.set("sess.b", text(0), &[]);
        assert_eq!(stores.get("sess.b"), Some(text(0)));
    }

    #[test]
    fn the_limit_of_the_process_counts_all_scopes_and_gets_everything_back() {
        let limits = Limits { process: 2 * VALUE_BYTES, ..Limits::default() };
        let stores = Stores::new(limits);
        stores.set("sess.a", Value::Int(1), &[]);
        stores.set("proc.a", Value::Int(1), &[]);
        stores.set("txn.a", Value::Int(1), &[]);
        assert_eq!(stores.get("txn.a"), None);
        stores.all().unset(stores.variable("proc.a"));
        stores.set("txn.a", Value::Int(1), &[]);
        assert_eq!(stores.get("txn.a"), Some(Value::Int(1)));
        stores.stream.clear(&stores.process);
        stores.session.clear(&stores.process);
        assert_eq!(stores.process.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_the_process_holds_is_counted_once_however_many_threads_set_it() {
        let limits = Limits { process: 1 << 20, ..Limits::default() };
        let process = Process::new(limits);
        let variable = Variable { scope: Scope::Process, slot: 0 };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let process = &process;
                scope.spawn(move || {
                    let (session, stream) = (Store::default(), StreamStore::default());
                    let all = Variables { process, session: &session, stream: &stream };
                    for round in 0..5_000 {
                        all.set(variable, text((round * 7 + thread) % 90), Conditions::default());
                        all.unset(variable);
                    }
                });
            }
        });
        assert_eq!(process.used.load(Ordering::Relaxed), 0, "nothing is left, nothing is counted");
    }

    #[test]
    fn names_need_a_scope_and_plain_characters() {
        let why = |name: &str| parse(name).unwrap_err().0;
        assert_eq!(parse("txn.a_B.9"), Ok((Scope::Transaction, "a_B.9")));
        assert!(why("a").contains("has no scope"));
        assert!(why("tnx.a").contains("`tnx` is not a scope"));
        assert!(why("txn.").contains("is empty"));
        assert!(why("txn.a b").contains("contains ` `"));
        assert!(looks_like_name("proc.x") && !looks_like_name("12") && !looks_like_name("a.b"));
    }
}
