//! The command line: flags, loading, checking, and handing over to the supervisor.
//!
//! HAProxy's flags do not follow any convention (`-db`, `-cc`, `-dMfoo`, `-sf 1 2 3`), so [`flags`] first rewrites them to
//! long options, and clap reads only these. Printing happens here and nowhere below.
//! To add a flag, add a row to the table in [`flags`] and use it in [`Request::from_matches`].

mod explain;
pub mod flags;
pub mod manual;

use crate::config::condition;
use crate::config::diagnostic::{Diagnostics, Severity};
use crate::config::environment::{ENABLED, Environment, FEATURES, LANGUAGE};
use crate::control::cores::{Cores, Placement};
use crate::control::load::{self, Input, Loaded};
use crate::control::supervisor::{self, DriverWish, Options};
use crate::demo;
use crate::runtime::checker::Console;
use crate::runtime::probe_io_uring;
use crate::stdx::sys;
use clap::ArgMatches;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Valid, but nothing to listen on.
const NO_LISTENER: u8 = 2;

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() <= 1 {
        say_error(&flags::command().render_help().to_string());
        return ExitCode::FAILURE;
    }
    // HAProxy's spellings of flags may be values here.
    let arguments = match arguments.get(1).is_some_and(|word| word == "explain") {
        true => arguments,
        false => flags::normalise(arguments),
    };
    let code = match flags::command().try_get_matches_from(arguments) {
        Ok(matches) => dispatch(&matches),
        Err(error) => {
            // clap knows best whether this is help for stdout or a complaint for stderr.
            let _ = error.print();
            u8::from(error.use_stderr())
        }
    };
    // Threads of a process that stops may still wait for the kernel; nothing waits for them.
    std::process::exit(i32::from(code))
}

fn dispatch(matches: &ArgMatches) -> u8 {
    match matches.subcommand() {
        Some(("demo", matches)) => return demo_command(matches),
        Some(("explain", matches)) => return explain::run(matches),
        Some(("keywords", _)) => {
            say(&manual::page());
            return 0;
        }
        _ => {}
    }
    let request = Request::from_matches(matches);
    if request.about || request.build_options {
        say(&about(request.build_options));
        return 0;
    }
    if let Some(directory) = &request.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        say_error(&format!("cannot change to the directory `{}`: {error}\n", directory.display()));
        return 1;
    }
    if let Some(text) = &request.condition {
        return evaluate(text);
    }
    if request.files.is_empty() {
        say_error("no configuration file: name one, or see --help\n");
        return 1;
    }
    run(&request)
}

/// What the command line asks for.
#[derive(Debug, Default)]
struct Request {
    files: Vec<PathBuf>,
    check: bool,
    json: bool,
    quiet: bool,
    about: bool,
    build_options: bool,
    condition: Option<String>,
    directory: Option<PathBuf>,
    local_peer: Option<String>,
    maxconn: Option<u32>,
    warnings_fatal: bool,
    diagnostic_mode: bool,
    daemon: bool,
    foreground: bool,
    pidfile: Option<PathBuf>,
    finish: Vec<i32>,
    terminate: Vec<i32>,
    cores: Option<Cores>,
    explain_one_of: Option<u32>,
    driver: DriverWish,
    /// Flags that are accepted and do nothing, each with what happens instead.
    notes: Vec<String>,
}

impl Request {
    fn from_matches(matches: &ArgMatches) -> Self {
        let set = |name: &str| matches.get_flag(name);
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        let pids = |name: &str| -> Vec<i32> {
            matches.get_many(name).map(Iterator::copied).map(Iterator::collect).unwrap_or_default()
        };
        Self {
            files: flags::files(matches),
            check: set("check"),
            json: set("json"),
            quiet: set("quiet") && !set("verbose"),
            about: set("about"),
            build_options: set("build-options"),
            condition: text("condition"),
            directory: path("directory"),
            local_peer: text("local-peer"),
            maxconn: matches.get_one("maxconn").copied(),
            warnings_fatal: set("warnings-fatal"),
            diagnostic_mode: set("diagnostics"),
            daemon: set("daemon"),
            foreground: set("foreground") || set("debug") || set("master-worker-notify"),
            pidfile: path("pidfile"),
            finish: pids("finish"),
            terminate: pids("terminate"),
            cores: matches.get_one("cores").cloned(),
            explain_one_of: matches.get_one("explain-log").copied(),
            driver: flags::driver(matches),
            notes: flags::notes(matches),
        }
    }
}

fn run(request: &Request) -> u8 {
    let mut env = Environment::from_process();
    env.diagnostic_mode = request.diagnostic_mode;
    if let Some(name) = &request.local_peer {
        env.set_local_peer(name);
    }
    let Loaded { sources, diagnostics, plan } =
        load::load(&Input::Paths(request.files.clone()), &mut env, request.maxconn);
    if request.check && request.json {
        say(&format!("{:#}\n", diagnostics.to_json(&sources)));
    } else {
        show(&diagnostics, |d| d.render(&sources, colour()), request.quiet);
        if !request.quiet {
            request.notes.iter().for_each(|note| say_error(&format!("note: {note}\n")));
        }
    }
    let Some(mut plan) = plan else { return 1 };
    if let Some(one_of) = request.explain_one_of
        && !plan.explain_one_of(one_of)
        && !request.quiet
    {
        say_error("note: --explain-log: no frontend has a log target to write to\n");
    }
    if request.warnings_fatal && diagnostics.count(Severity::Warning) > 0 {
        if !request.json {
            say_error("warnings are fatal (-dW)\n");
        }
        return 1;
    }
    if !plan.listens() {
        let text = "nothing to listen on: no enabled section has a `bind` line, and there is no `stats socket`\n";
        if !request.json {
            say_error(text);
        }
        return if request.check { NO_LISTENER } else { 1 };
    }
    if request.check {
        if !request.quiet && !request.json {
            say("Configuration file is valid\n");
        }
        return 0;
    }
    let placed = Placement::new(
        request.cores.as_ref(),
        plan.global.nbthread,
        &plan.global.cpu_map,
        &sys::allowed_cpus(),
    );
    let placement = match placed {
        Ok(placement) => placement,
        Err(text) => {
            say_error(&format!("--cores: {text}\n"));
            return 1;
        }
    };
    let options = Options {
        placement,
        driver: request.driver,
        daemon: (request.daemon || plan.global.daemon) && !request.foreground,
        pidfile: request.pidfile.clone().or_else(|| plan.global.pidfile.clone()),
        finish: request.finish.clone(),
        terminate: request.terminate.clone(),
    };
    supervisor::run(plan, &options, console(request.quiet)).unwrap_or_else(|error| {
        for finding in &error.findings {
            say_error(&format!("{}\n", finding.render(&sources, colour())));
        }
        1
    })
}

/// Shows findings: all of them, or only errors when quiet.
fn show(diagnostics: &Diagnostics, render: impl Fn(&Diagnostics) -> String, quiet: bool) {
    let worth_it = if quiet { diagnostics.has_errors() } else { !diagnostics.is_empty() };
    if worth_it {
        say_error(&render(diagnostics));
    }
}

/// Returns what control tells the person at the terminal through, in HAProxy's form.
fn console(quiet: bool) -> Console {
    Arc::new(move |severity, text| {
        let label = match severity {
            Severity::Error => "[ALERT]   ",
            _ if quiet => return,
            Severity::Warning => "[WARNING] ",
            Severity::Notice => "[NOTICE]  ",
        };
        say_error(&format!("{label} ({}) : {text}\n", std::process::id()));
    })
}

/// Evaluates a condition: 0 is true, 1 is false, 2 is no condition.
fn evaluate(text: &str) -> u8 {
    match condition::evaluate(text, &Environment::from_process()) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            let column = text[..error.offset].chars().count();
            say_error(&format!("{text}\n{:column$}^ {}\n", "", error.message));
            2
        }
    }
}

/// Returns what `-v` and `-vv` print.
fn about(all: bool) -> String {
    let mut text = format!(
        "fastlb version {}, speaks the configuration language of HAProxy version {LANGUAGE}\n",
        env!("CARGO_PKG_VERSION")
    );
    if all {
        let ring = match probe_io_uring() {
            Ok(()) => "usable".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        let features: Vec<String> = FEATURES.iter().map(|name| format!("+{name}")).collect();
        text.push_str(&format!(
            "\nFeature list : {}\nEnabled : {}\n\nEvent loops :\n  io_uring : {ring}\n     epoll : usable\n\n\
             CPUs this process may use : {}\nAvailable services : prometheus-exporter\n",
            features.join(" "),
            ENABLED.join(" "),
            Cores::List(sys::allowed_cpus()),
        ));
    }
    text
}

fn demo_command(matches: &ArgMatches) -> u8 {
    let wish =
        demo::Wish { cores: matches.get_one("cores").cloned(), driver: flags::driver(matches) };
    demo::run(&wish, console(false))
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints to stdout; a reader that went away is no reason to fail.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to stderr.
fn say_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
