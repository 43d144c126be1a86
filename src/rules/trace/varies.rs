//! Which values would be others at another time or in another process, so that an explanation can mark them.

use std::fmt;

/// Why a value is not the same for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// It depends on the time.
    Time,
    /// It is random, or made anew for each request.
    Random,
    /// It depends on other traffic, or on the state of servers.
    State,
}

impl fmt::Display for Varies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Varies::Time => "depends on the time",
            Varies::Random => "random",
            Varies::State => "depends on the state of the running process",
        })
    }
}

/// Fetches whose values are of the moment.
const TIMES: &[&str] = &["date", "date_us"];
/// Fetches whose values are made anew.
const RANDOM: &[&str] = &["rand", "unique-id", "uuid"];
/// Beginnings of the names of fetches that look at counters, servers and tables.
const STATES: &[&str] = &[
    "act_conn",
    "avg_queue",
    "be_",
    "conn_",
    "connslots",
    "fe_",
    "nbsrv",
    "queue",
    "sc_",
    "sc0_",
    "sc1_",
    "sc2_",
    "src_",
    "srv_",
    "table_",
    "txn.timer",
    "bc_",
    "fc_rtt",
];
/// What a state's name can begin with and still be the same for each request.
const FIXED: &[&str] =
    &["be_id", "be_name", "fe_id", "fe_name", "fe_defbe", "srv_id", "srv_name", "src_port"];

/// Returns why the value of a fetch of that name varies.
pub fn of_fetch(name: &str) -> Option<Varies> {
    if TIMES.contains(&name) {
        return Some(Varies::Time);
    }
    if RANDOM.contains(&name) {
        return Some(Varies::Random);
    }
    let is_state = STATES.iter().any(|prefix| name.starts_with(prefix));
    (is_state && !FIXED.contains(&name)).then_some(Varies::State)
}

/// Returns why what a piece of configuration text makes varies: by the fetches that it names within `%[…]` or as words.
pub fn of_text(text: &str) -> Option<Varies> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // `%t` and the other tags of the moment stand for themselves.
    if text.contains("%[") || text.contains("set-var") || text.contains('{') {
        let names = text.split(|c: char| !is_name(c));
        return names.filter_map(of_fetch).next();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_moment_is_told_from_what_does_not() {
        assert_eq!(of_fetch("date"), Some(Varies::Time));
        assert_eq!(of_fetch("rand"), Some(Varies::Random));
        assert_eq!(of_fetch("nbsrv"), Some(Varies::State));
        assert_eq!(of_fetch("src_conn_rate"), Some(Varies::State));
        for fixed in ["src", "src_port", "path", "be_name", "req.hdr"] {
            assert_eq!(of_fetch(fixed), None, "{fixed}");
        }
        assert_eq!(of_text("http-request set-header X %[rand(5)]"), Some(Varies::Random));
        assert_eq!(of_text("http-request set-header X-Date today"), None);
    }
}
