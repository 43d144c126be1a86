//! What is measured, once for both benches: a table of operations on the hot path.
//!
//! To add some, write a file beside this one that returns [`Case`]s and name it in [`all`]. An operation is small, does
//! the same work every time, and leaves what it computed where the compiler cannot remove it.

mod account;
mod balance;
mod lists;
mod proto;
mod request;
mod rules;
mod stream;

/// An operation that can be done again and again.
pub(crate) trait Op {
    /// Brings everything back to where `run` starts from; not counted by the instruction bench.
    fn prepare(&mut self) {}

    /// Does it once.
    fn run(&mut self);
}

/// A named operation.
pub(crate) struct Case {
    /// `area/operation/variant`.
    pub(crate) name: &'static str,
    /// Makes the operation, ready to run.
    pub(crate) make: fn() -> Box<dyn Op>,
}

/// Returns every case.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(proto::cases());
    cases.extend(rules::cases());
    cases.extend(lists::cases());
    cases.extend(balance::cases());
    cases.extend(account::cases());
    cases.extend(request::cases());
    cases
}

/// An operation from two closures over one state.
pub(crate) struct Steps<S, P, R> {
    /// What both work on.
    pub(crate) state: S,
    /// The preparation.
    pub(crate) prepare: P,
    /// The operation.
    pub(crate) run: R,
}

impl<S, P: FnMut(&mut S), R: FnMut(&mut S)> Op for Steps<S, P, R> {
    fn prepare(&mut self) {
        (self.prepare)(&mut self.state);
    }

    fn run(&mut self) {
        (self.run)(&mut self.state);
    }
}
