//! Commands about the session itself, and help.

use super::{COMMANDS, Call, Command};
use crate::config::keyword::Keyword;
use crate::config::units;
use crate::control::socket::level_name;
use crate::plan::StatsLevel;
use std::fmt::Write;
use std::time::Duration;

/// Width of the column with commands.
const COLUMN: usize = 40;

/// What a user may call, as lines of a list.
fn list<'t>(rows: impl Iterator<Item = &'t Keyword<Command>>) -> String {
    let mut text = String::new();
    for row in rows {
        let usage = format!("{} {}", row.name, row.syntax);
        let doc = row.doc.trim_end_matches('.');
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {:COLUMN$}: {doc}", usage.trim_end());
    }
    text
}

fn allowed(level: StatsLevel) -> impl Iterator<Item = &'static Keyword<Command>> {
    COMMANDS.iter().filter(move |row| row.build.level <= level)
}

/// Returns the answer to words that are no command: those like them, or all.
pub(super) fn unknown(words: &[String], level: StatsLevel) -> String {
    let line = words.join(" ");
    // What goes on where the words stop is meant more likely than what is only spelt alike.
    let begun = allowed(level).any(|row| row.name.starts_with(&line));
    let near = |row: &&Keyword<Command>| {
        let name = row.name;
        if begun {
            return name.starts_with(&line);
        }
        let same_length: String = line.chars().take(name.len()).collect();
        strsim::damerau_levenshtein(name, &same_length) <= 3
    };
    let matching = list(allowed(level).filter(near));
    if line.is_empty() || matching.is_empty() {
        let all = list(allowed(level));
        return format!("Unknown command. Please enter one of the following commands only:\n{all}");
    }
    format!("Unknown command, but maybe one of the following ones is a better match:\n{matching}")
}

pub(super) fn help(call: &mut Call<'_>) -> Result<String, String> {
    let level = call.session.level;
    if call.words.is_empty() {
        return Ok(format!(
            "The following commands are valid at this level:\n{}",
            list(allowed(level))
        ));
    }
    let wanted = call.words.join(" ");
    let matching = list(allowed(level).filter(|row| row.name.starts_with(&wanted)));
    if matching.is_empty() {
        let words: Vec<String> = call.words.iter().map(|&word| word.to_owned()).collect();
        return Err(unknown(&words, level));
    }
    Ok(format!("The following commands are valid at this level:\n{matching}"))
}

pub(super) fn prompt(call: &mut Call<'_>) -> Result<String, String> {
    call.session.interactive = !call.session.interactive;
    Ok(String::new())
}

pub(super) fn quit(call: &mut Call<'_>) -> Result<String, String> {
    call.session.closing = true;
    Ok(String::new())
}

pub(super) fn operator(call: &mut Call<'_>) -> Result<String, String> {
    call.session.level = call.session.level.min(StatsLevel::Operator);
    Ok(String::new())
}

pub(super) fn user(call: &mut Call<'_>) -> Result<String, String> {
    call.session.level = StatsLevel::User;
    Ok(String::new())
}

pub(super) fn level(call: &mut Call<'_>) -> Result<String, String> {
    Ok(format!("{}\n", level_name(call.session.level)))
}

pub(super) fn set_timeout(call: &mut Call<'_>) -> Result<String, String> {
    let text = call.words.first().ok_or("Expects an idle delay, such as 5m.")?;
    let Ok(timeout) = units::parse_time(text, units::TimeUnit::Seconds) else {
        return Err(format!("`{text}` is not a time."));
    };
    call.session.timeout = timeout.max(Duration::from_secs(1));
    Ok(String::new())
}
