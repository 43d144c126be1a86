//! Shards: pinned threads with everything they own, and the traffic they carry.
//!
//! Only this module and control talk to the kernel. What to do is decided by the pure layers below; how answers that
//! need a view of the whole process are made is handed in from above as [`Services`].

use crate::plan::{Plan, StatsPage};
use crate::proto::http::Head;
use crate::rules::action::Answer;
use std::sync::Arc;

/// Answers made from a view of the whole process; implemented by control, called on a shard.
pub trait Services: Send + Sync {
    /// Renders the statistics page (HTML, `;csv`, `;json`), checks `stats auth`.
    fn stats(&self, plan: &Arc<Plan>, page: &StatsPage, request: &Head) -> Answer;
    /// Renders the Prometheus exposition.
    fn prometheus(&self, plan: &Arc<Plan>, request: &Head) -> Answer;
}
