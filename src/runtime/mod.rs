//! Shards: pinned threads with everything they own, and the traffic they carry.
//!
//! Only this module and control talk to the kernel. What to do is decided by the pure layers below; how answers that
//! need a view of the whole process are made is handed in from above as [`Services`].
//!
//! Reading order: [`shard`] (thread, accept, messages) → [`session`] → [`http`] or [`tcp`] → [`assign`] (balance,
//! queue, connect) → [`tunnel`]. Below them: [`transport`] (sockets), [`deadline`], [`clock`], [`buffer`], [`upstream`], [`share`].
//! [`sim`] runs a shard on a simulated clock, for fuzzing.

pub mod assign;
pub mod bandwidth;
pub mod buffer;
pub mod checker;
pub mod clock;
pub mod deadline;
pub mod http;
pub mod inbox;
pub mod inspect;
pub mod layer4;
pub mod listener;
pub mod logins;
pub mod queue;
pub mod rehearsal;
pub mod resolver;
pub mod session;
pub mod shard;
pub mod share;
pub mod sim;
pub mod splice;
pub mod tcp;
pub mod transport;
pub mod tunnel;
pub mod upstream;
pub mod watch;

use crate::plan::{Plan, StatsPage};
use crate::proto::http::Head;
use crate::rules::action::Answer;
use std::sync::Arc;

/// Which event loop a shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

/// Answers made from a view of the whole process; implemented by control, called on a shard.
pub trait Services: Send + Sync {
    /// Renders the statistics page (HTML, `;csv`, `;json`), checks `stats auth`.
    fn stats(&self, plan: &Arc<Plan>, page: &StatsPage, request: &Head) -> Answer;
    /// Renders the Prometheus exposition.
    fn prometheus(&self, plan: &Arc<Plan>, request: &Head) -> Answer;
}

/// Returns whether the kernel lets this process use io_uring the way shards need it, or why not.
///
/// # Errors
/// What the kernel says when a ring is set up.
pub fn probe_io_uring() -> std::io::Result<()> {
    ring_options().build(8).map(|_| ())
}

/// Returns how a shard's ring is set up: one submitting thread that takes completions when it waits.
fn ring_options() -> io_uring::Builder {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    ring
}
