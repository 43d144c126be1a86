//! Commands about the process: what it is, what it counts, what it listens to.

use super::Call;
use crate::control::{csv, info};
use crate::metrics::Counter;
use crate::plan::{Asked, Plan, ResolverLimit, StatsLevel};
use std::fmt::Write;

pub(super) fn info(call: &mut Call<'_>) -> Result<String, String> {
    info::show_info(&call.control.plan, &call.control.rates, &call.words)
}

pub(super) fn stat(call: &mut Call<'_>) -> Result<String, String> {
    let legends = call.session.level >= StatsLevel::Operator;
    csv::show_stat(&call.control.plan, &call.control.rates, &call.words, legends)
}

pub(super) fn version(_: &mut Call<'_>) -> Result<String, String> {
    Ok(format!("{}\n", env!("CARGO_PKG_VERSION")))
}

pub(super) fn backends(call: &mut Call<'_>) -> Result<String, String> {
    let names = call.control.plan.backends.iter().map(|backend| backend.name.as_str());
    Ok(std::iter::once("# name").chain(names).fold(String::new(), |text, name| text + name + "\n"))
}

pub(super) fn resolvers(call: &mut Call<'_>) -> Result<String, String> {
    let mut text = String::new();
    let wanted = |name: &str| call.words.first().is_none_or(|wanted| *wanted == name);
    for section in call.control.plan.resolvers.iter().filter(|section| wanted(&section.name)) {
        let _ = writeln!(text, "Resolvers section {}", section.name);
        for server in &section.servers {
            let _ = writeln!(text, " nameserver {}:", server.name);
            for (what, name) in Asked::ALL {
                let _ = writeln!(text, "  {:<12} {}", format!("{name}:"), server.counts.get(*what));
            }
        }
        let _ = writeln!(text, " limits:");
        for (what, name) in ResolverLimit::ALL {
            let _ = writeln!(text, "  {:<12} {}", format!("{name}:"), section.limits.get(*what));
        }
    }
    match text.is_empty() && !call.words.is_empty() {
        true => Err("Can't find that resolvers section\n".to_owned()),
        false => Ok(text),
    }
}

pub(super) fn sockets(call: &mut Call<'_>) -> Result<String, String> {
    Ok(format!("# socket lvl processes\n{}\n", call.control.cli_sockets.join("\n")))
}

pub(super) fn env(call: &mut Call<'_>) -> Result<String, String> {
    let mut text = String::new();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if call.words.first().is_none_or(|wanted| *wanted == name) {
            // An answer must not contain an empty line.
            let _ = writeln!(text, "{name}={}", value.replace('\n', "\\n"));
        }
    }
    if text.is_empty() { Err("Variable not found\n".to_owned()) } else { Ok(text) }
}

pub(super) fn clear_counters(call: &mut Call<'_>) -> Result<String, String> {
    if !call.words.is_empty() {
        let why = "Only maxima can be cleared: counters have one writer, the shard.";
        return Err(why.to_owned());
    }
    call.control.rates.clear_maxima();
    Ok(String::new())
}

/// Name of a row of `show activity`, and what it counts over frontends.
const ACTIVITY: &[(&str, Counter)] = &[
    ("connections", Counter::Connections),
    ("requests", Counter::Requests),
    ("bytes_in", Counter::BytesIn),
    ("bytes_out", Counter::BytesOut),
    ("request_errors", Counter::RequestErrors),
    ("responses_5xx", Counter::Http5xx),
];

pub(super) fn activity(call: &mut Call<'_>) -> Result<String, String> {
    let control = call.control;
    let mut text = format!("driver: {}\n", control.driver);
    let sessions = control.inboxes.iter().map(|inbox| u64::from(inbox.sessions())).collect();
    write_row(&mut text, "sessions", sessions);
    for &(name, counter) in ACTIVITY {
        let shards = 0..control.plan.metrics.shards();
        write_row(&mut text, name, shards.map(|at| by_shard(&control.plan, at, counter)).collect());
    }
    Ok(text)
}

fn by_shard(plan: &Plan, shard: usize, counter: Counter) -> u64 {
    let cells = plan.metrics.shard(shard);
    plan.frontends.iter().map(|frontend| cells.get(frontend.object, counter)).sum()
}

fn write_row(text: &mut String, name: &str, values: Vec<u64>) {
    let each: Vec<String> = values.iter().map(u64::to_string).collect();
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{name}: {} [ {} ]", values.iter().sum::<u64>(), each.join(" "));
}
