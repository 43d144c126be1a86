//! How many descriptors the process needs, and getting them from the kernel.
//!
//! It never lowers a limit, and never refuses to start: too few descriptors are a warning that says what to do.

use crate::plan::Plan;
use crate::stdx::sys;

/// Descriptors of everything that is not a connection: rings, eventfds, logs, the runtime CLI, files.
const BASE: u64 = 64;
/// Descriptors that each shard needs for itself, pooled pipes included.
const PER_SHARD: u64 = 192;

/// Returns how many descriptors a plan may come to need: two per connection, and everything else.
pub fn needed(plan: &Plan, shards: usize) -> u64 {
    let binds: u64 = plan.frontends.iter().map(|f| f.binds.len() as u64).sum();
    let checks =
        plan.backends.iter().flat_map(|b| &b.servers).filter(|s| s.check.is_some()).count();
    u64::from(plan.global.maxconn) * 2
        + binds * shards as u64
        + checks as u64
        + PER_SHARD * shards as u64
        + BASE
}

/// Raises the limit to what the plan needs; returns a warning when the kernel does not allow it.
pub fn raise(plan: &Plan, shards: usize) -> Option<String> {
    let needed = needed(plan, shards);
    let wanted = plan.global.ulimit_n.unwrap_or(needed);
    let Ok((soft, hard)) = sys::descriptor_limit() else { return None };
    // Root may raise the hard limit too, up to the kernel's fs.nr_open.
    if soft < wanted && sys::set_descriptor_limit(wanted, hard.max(wanted)).is_err() {
        let _ = sys::set_descriptor_limit(wanted.min(hard), hard);
    }
    let (soft, hard) = sys::descriptor_limit().unwrap_or((soft, hard));
    // The reserve is generous; only connections that cannot be had are worth a warning.
    let connections = u64::from(plan.global.maxconn) * 2;
    (soft < connections).then(|| too_few(plan.global.maxconn, needed, soft, hard))
}

fn too_few(maxconn: u32, needed: u64, soft: u64, hard: u64) -> String {
    // Where nothing fits, 0 would be read as "no limit".
    let or_lower = match u64::from(maxconn).saturating_sub((needed - soft).div_ceil(2)) {
        0 => String::new(),
        fits => format!(" or lower maxconn to {fits}"),
    };
    format!(
        "maxconn {maxconn} may need {needed} file descriptors and this process may open {soft} \
         (hard limit {hard}): raise the limit (`ulimit -n`, `LimitNOFILE=`, `ulimit-n`){or_lower}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_names_a_maxconn_that_fits() {
        let text = too_few(1000, 2128, 1024, 4096);
        assert!(text.contains("lower maxconn to 448"), "{text}");
        assert!(text.contains("(hard limit 4096)"), "{text}");
        assert!(!too_few(5000, 10_143, 64, 64).contains("lower"), "nothing fits");
    }
}
