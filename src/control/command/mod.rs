//! The commands of the runtime CLI: one table, from which help is printed too.
//!
//! A command gets the words behind its name and returns text; who may call it and how text travels is decided before
//! and after. To add a command, add a row (rows are sorted by name) and a function to the file of its topic.

mod about;
mod events;
mod pattern;
mod server;
mod session;
#[cfg(test)]
mod tests;

use super::shared::Control;
use crate::config::keyword::Keyword;
use crate::plan::StatsLevel;
pub use events::Follow;
use std::time::Duration;

/// One connection to the CLI.
#[derive(Clone, Debug)]
pub struct Session {
    /// What its user may do.
    pub level: StatsLevel,
    /// Whether it stays open and shows a prompt.
    pub interactive: bool,
    /// Whether it is to be closed after this answer.
    pub closing: bool,
    /// How long it may be idle; zero is no limit.
    pub timeout: Duration,
    /// A ring whose lines are to be shown as they come.
    pub follow: Option<Follow>,
}

impl Session {
    /// Returns the state of a fresh connection.
    pub fn new(level: StatsLevel, timeout: Duration) -> Self {
        Self { level, interactive: false, closing: false, timeout, follow: None }
    }
}

/// One call of a command.
pub struct Call<'a> {
    /// The process.
    pub control: &'a Control,
    /// The connection.
    pub session: &'a mut Session,
    /// The words behind the command's name.
    pub words: Vec<&'a str>,
    /// The lines that came with `<<`.
    pub payload: Option<&'a str>,
}

/// What a row of the table does. `Ok` and `Err` are both shown to the user.
pub type Run = fn(&mut Call<'_>) -> Result<String, String>;

/// A command: who may call it, and what it does.
#[derive(Clone, Copy)]
pub struct Command {
    /// The least level that may call it.
    pub level: StatsLevel,
    /// What it does.
    pub run: Run,
}

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    level: StatsLevel,
    run: Run,
) -> Keyword<Command> {
    Keyword { name, syntax, doc, example, build: Command { level, run } }
}

/// All commands, sorted by name.
pub const COMMANDS: &[Keyword<Command>] = {
    use StatsLevel::{Admin, Operator, User};
    &[
        row(
            "add acl",
            "[@<version>] {#<id>|<file>} <pattern>",
            "Adds a pattern to a list, or those of a payload.",
            "add acl #7 /api",
            Operator,
            pattern::add_acl,
        ),
        row(
            "add map",
            "[@<version>] {#<id>|<file>} <key> <value>",
            "Adds a line to a map, or those of a payload.",
            "add map hosts.map www app",
            Operator,
            pattern::add_map,
        ),
        row(
            "clear acl",
            "[@<version>] {#<id>|<file>}",
            "Empties a list of patterns, or forgets a version that is being prepared.",
            "clear acl #7",
            Operator,
            pattern::clear_acl,
        ),
        row(
            "clear counters",
            "",
            "Forgets the maxima of rates.",
            "clear counters",
            Operator,
            about::clear_counters,
        ),
        row(
            "clear map",
            "[@<version>] {#<id>|<file>}",
            "Empties a map, or forgets a version that is being prepared.",
            "clear map hosts.map",
            Operator,
            pattern::clear_map,
        ),
        row(
            "commit acl",
            "@<version> {#<id>|<file>}",
            "Puts a prepared version of a list in force.",
            "commit acl @1 #7",
            Operator,
            pattern::commit_acl,
        ),
        row(
            "commit map",
            "@<version> {#<id>|<file>}",
            "Puts a prepared version of a map in force.",
            "commit map @1 hosts.map",
            Operator,
            pattern::commit_map,
        ),
        row(
            "del acl",
            "{#<id>|<file>} {<pattern>|#<entry>}",
            "Deletes a pattern from a list.",
            "del acl #7 /api",
            Operator,
            pattern::del_acl,
        ),
        row(
            "del map",
            "{#<id>|<file>} {<key>|#<entry>}",
            "Deletes lines from a map.",
            "del map hosts.map www",
            Operator,
            pattern::del_map,
        ),
        row(
            "disable health",
            "<backend>/<server>",
            "Stops the health checks of a server.",
            "disable health app/s1",
            Admin,
            server::disable_health,
        ),
        row(
            "disable server",
            "<backend>/<server>",
            "Takes a server out of service for maintenance.",
            "disable server app/s1",
            Admin,
            server::disable,
        ),
        row(
            "enable health",
            "<backend>/<server>",
            "Lets health checks of a server go on.",
            "enable health app/s1",
            Admin,
            server::enable_health,
        ),
        row(
            "enable server",
            "<backend>/<server>",
            "Ends the maintenance of a server.",
            "enable server app/s1",
            Admin,
            server::enable,
        ),
        row(
            "get acl",
            "{#<id>|<file>} <value>",
            "Prints what a value matches in a list.",
            "get acl #7 /api",
            User,
            pattern::get_acl,
        ),
        row(
            "get map",
            "{#<id>|<file>} <value>",
            "Prints what a value matches in a map.",
            "get map hosts.map www",
            User,
            pattern::get_map,
        ),
        row(
            "get weight",
            "<backend>/<server>",
            "Prints the weight of a server.",
            "get weight app/s1",
            User,
            server::get_weight,
        ),
        row("help", "[<command>]", "Lists matching or all commands.", "help", User, session::help),
        row(
            "operator",
            "",
            "Lowers the level of this session to operator.",
            "operator",
            Operator,
            session::operator,
        ),
        row(
            "prepare acl",
            "{#<id>|<file>}",
            "Begins another version of a list, which is filled before it is put in force.",
            "prepare acl #7",
            Operator,
            pattern::prepare_acl,
        ),
        row(
            "prepare map",
            "{#<id>|<file>}",
            "Begins another version of a map, which is filled before it is put in force.",
            "prepare map hosts.map",
            Operator,
            pattern::prepare_map,
        ),
        row(
            "prompt",
            "",
            "Switches the prompt of this session on or off.",
            "prompt",
            User,
            session::prompt,
        ),
        row("quit", "", "Ends this session.", "quit", User, session::quit),
        row(
            "set map",
            "{#<id>|<file>} {<key>|#<entry>} <value>",
            "Changes the value of lines of a map.",
            "set map hosts.map www app",
            Operator,
            pattern::set_map,
        ),
        row(
            "set maxconn server",
            "<backend>/<server> <n>",
            "Changes the limit of streams of a server.",
            "set maxconn server app/s1 100",
            Admin,
            server::set_maxconn,
        ),
        row(
            "set server",
            "<backend>/<server> {state|weight|health} <value>",
            "Changes a server.",
            "set server app/s1 state drain",
            Admin,
            server::set,
        ),
        row(
            "set timeout cli",
            "<time>",
            "Changes how long this session may be idle.",
            "set timeout cli 5m",
            User,
            session::set_timeout,
        ),
        row(
            "set weight",
            "<backend>/<server> <weight>[%]",
            "Changes the weight of a server.",
            "set weight app/s1 50%",
            Admin,
            server::set_weight,
        ),
        row(
            "show acl",
            "[[@<version>] {#<id>|<file>}]",
            "Lists the lists of patterns, or the patterns of one.",
            "show acl #7",
            User,
            pattern::show_acl,
        ),
        row(
            "show activity",
            "",
            "Prints what each shard has done.",
            "show activity",
            Operator,
            about::activity,
        ),
        row("show backend", "", "Lists the backends.", "show backend", User, about::backends),
        row(
            "show cli level",
            "",
            "Prints the level of this session.",
            "show cli level",
            User,
            session::level,
        ),
        row(
            "show cli sockets",
            "",
            "Lists the sockets of the runtime CLI.",
            "show cli sockets",
            Operator,
            about::sockets,
        ),
        row(
            "show env",
            "[<name>]",
            "Prints the environment of the process.",
            "show env PATH",
            Operator,
            about::env,
        ),
        row(
            "show events",
            "[<ring> [-w] [-n] [-0]]",
            "Lists the rings of the log, or the lines of one; `-w` waits for more, `-n` shows only those.",
            "show events requests -w",
            Operator,
            events::show,
        ),
        row(
            "show info",
            "[desc|json|typed]*",
            "Prints facts about the process.",
            "show info",
            User,
            about::info,
        ),
        row(
            "show map",
            "[[@<version>] {#<id>|<file>}]",
            "Lists the maps, or the lines of one.",
            "show map hosts.map",
            User,
            pattern::show_map,
        ),
        row(
            "show resolvers",
            "[<section>]",
            "Counts what came of questions to name servers, and how often limits of their section were met.",
            "show resolvers dns",
            User,
            about::resolvers,
        ),
        row(
            "show servers state",
            "[<backend>]",
            "Prints the changing state of servers.",
            "show servers state app",
            User,
            server::states,
        ),
        row(
            "show stat",
            "[[<proxy>|{<iid> <type> <sid>}] [desc|json|no-maint|typed|up]*]",
            "Prints the counters of proxies and servers.",
            "show stat",
            User,
            about::stat,
        ),
        row("show version", "", "Prints the version.", "show version", User, about::version),
        row("user", "", "Lowers the level of this session to user.", "user", User, session::user),
    ]
};

/// Runs one command and returns what to print.
pub fn run(
    control: &Control,
    session: &mut Session,
    words: &[String],
    payload: Option<&str>,
) -> String {
    let Some((row, named)) = find(words) else { return session::unknown(words, session.level) };
    if session.level < row.build.level {
        return "Permission denied\n".to_owned();
    }
    let words = words[named..].iter().map(String::as_str).collect();
    let mut call = Call { control, session, words, payload };
    (row.build.run)(&mut call).unwrap_or_else(|text| text)
}

/// Returns the command that the words begin with, and how many of them are its name.
fn find(words: &[String]) -> Option<(&'static Keyword<Command>, usize)> {
    let matching = COMMANDS.iter().filter_map(|row| {
        let count = row.name.split(' ').count();
        let same = words.len() >= count
            && row.name.split(' ').eq(words[..count].iter().map(String::as_str));
        same.then_some((row, count))
    });
    matching.max_by_key(|&(_, count)| count)
}

/// Splits a line into commands at `;` and each into words at blanks; `\` takes the next character as it is.
pub fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let end_word = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
            if let (Some(word), Some(words)) = (word.take(), commands.last_mut()) {
                words.push(word);
            }
        };
        match c {
            ' ' | '\t' => end_word(&mut word, &mut commands),
            ';' => {
                end_word(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if let (Some(word), Some(words)) = (word, commands.last_mut()) {
        words.push(word);
    }
    // A `;` at the end of the line begins no further command.
    if commands.len() > 1 && commands.last().is_some_and(Vec::is_empty) {
        commands.pop();
    }
    commands
}

/// Takes a last word that announces a payload, `<<` or `<<END`, and returns the line that ends the payload.
pub fn take_payload_mark(words: &mut Vec<String>) -> Option<String> {
    let end = words.last()?.strip_prefix("<<")?.to_owned();
    words.pop();
    Some(end)
}
