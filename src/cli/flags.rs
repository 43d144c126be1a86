//! Every flag as one row: its long name, how HAProxy spells it, what it takes, and what it means.
//!
//! [`normalise`] turns HAProxy's spellings into long options, [`command`] builds clap's parser and the help from the
//! same rows. What a flag does is for [`super`].

use crate::control::cores::Cores;
use crate::control::supervisor::DriverWish;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// What stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Nothing.
    Nothing,
    /// A path.
    Path(&'static str),
    /// Any number of paths, one per flag.
    Paths(&'static str),
    /// A text.
    Text(&'static str),
    /// A number.
    Number(&'static str),
    /// Process ids up to the next flag.
    Pids,
    /// A text that is glued to HAProxy's spelling, such as `-dMfail`.
    Glued(&'static str),
    /// The value of `--cores`.
    Cores,
    /// The value of `--driver`.
    Driver,
}

/// One flag.
struct Flag {
    long: &'static str,
    /// How HAProxy spells it; empty for our own flags.
    haproxy: &'static str,
    takes: Takes,
    help: &'static str,
    /// For flags that do nothing here: what happens instead.
    note: Option<&'static str>,
}

const fn flag(long: &'static str, haproxy: &'static str, takes: Takes, help: &'static str) -> Flag {
    Flag { long, haproxy, takes, help, note: None }
}

/// A flag of HAProxy that is accepted and does nothing.
const fn idle(long: &'static str, haproxy: &'static str, takes: Takes, note: &'static str) -> Flag {
    Flag { long, haproxy, takes, help: note, note: Some(note) }
}

/// All flags, in the order of the help.
const FLAGS: &[Flag] = {
    use Takes::*;
    &[
        flag("cores", "", Cores, "Shards: how many, or which CPUs (a list such as 0,2-5)"),
        flag("driver", "", Driver, "Event loop of the shards"),
        flag(
            "file",
            "-f",
            Paths("FILE|DIR"),
            "Configuration file, or directory of *.cfg files (repeatable)",
        ),
        flag(
            "check",
            "-c",
            Nothing,
            "Check the configuration and exit: 0 valid, 1 errors, 2 nothing to listen on",
        ),
        flag("json", "", Nothing, "With --check: print the findings as JSON"),
        flag(
            "explain-log",
            "",
            Number("N"),
            "Log what rules did with one of N requests, see docs/explain.md",
        ),
        flag(
            "condition",
            "-cc",
            Text("COND"),
            "Evaluate a condition and exit: 0 true, 1 false, 2 no condition",
        ),
        flag("quiet", "-q", Nothing, "Print errors only"),
        flag("verbose", "-V", Nothing, "Undo --quiet"),
        flag(
            "warnings-fatal",
            "-dW",
            Nothing,
            "Refuse to start when the configuration has warnings",
        ),
        flag("diagnostics", "-dD", Nothing, "Show .diag messages too"),
        flag("daemon", "-D", Nothing, "Go to the background"),
        flag(
            "foreground",
            "-db",
            Nothing,
            "Stay in the foreground, whatever the configuration says",
        ),
        flag("debug", "-d", Nothing, "Stay in the foreground, as --foreground"),
        flag("pidfile", "-p", Path("FILE"), "Write the process id into a file"),
        flag("directory", "-C", Path("DIR"), "Change to a directory before anything is read"),
        flag("local-peer", "-L", Text("NAME"), "Name of this peer (HAPROXY_LOCALPEER)"),
        flag("maxconn", "-n", Number("N"), "Limit of connections, instead of the configured one"),
        flag("finish", "-sf", Pids, "Processes to drain (SIGUSR1) once this one has started"),
        flag("terminate", "-st", Pids, "Processes to stop (SIGTERM) once this one has started"),
        flag("about", "-v", Nothing, "Print the version and the language spoken"),
        flag("build-options", "-vv", Nothing, "Print the version, features and event loops"),
        flag(
            "master-worker-notify",
            "-Ws",
            Nothing,
            "Stay in the foreground and tell the service manager when ready",
        ),
        idle(
            "master-worker",
            "-W",
            Nothing,
            "-W: there is no master process, fastlb runs as one process",
        ),
        idle(
            "master-cli",
            "-S",
            Text("ADDRESS"),
            "-S: there is no master process; use a `stats socket` line",
        ),
        idle(
            "take-sockets",
            "-x",
            Text("SOCKET"),
            "-x: listening sockets are not taken over, both processes listen until the old one drains",
        ),
        idle(
            "memory-max",
            "-m",
            Number("MB"),
            "-m: memory is not limited by fastlb; limit it by the service manager, or lower maxconn",
        ),
        idle(
            "ignore-unresolved",
            "-dr",
            Nothing,
            "-dr: has no effect, a name that does not resolve stays an error",
        ),
        idle(
            "insecure-fork",
            "-dI",
            Nothing,
            "-dI: has no effect, fastlb never starts other programs",
        ),
        idle(
            "proxy-maxconn",
            "-N",
            Number("N"),
            "-N: has no effect; write `maxconn` in a `defaults` section",
        ),
        idle("no-splice", "-dS", Nothing, "-dS: has no effect; write `nosplice` in `global`"),
        idle(
            "no-server-verify",
            "-dV",
            Nothing,
            "-dV: has no effect, TLS towards servers is not supported yet",
        ),
        idle(
            "no-zero-copy",
            "-dZ",
            Nothing,
            "-dZ: has no effect, buffers have their own ways here",
        ),
        idle(
            "memory-debug",
            "-dM",
            Glued("OPTIONS"),
            "-dM: has no effect, fastlb has no memory pools",
        ),
        idle("no-epoll", "-de", Nothing, "-de: has no effect, see --driver"),
        idle("no-poll", "-dp", Nothing, "-dp: has no effect, see --driver"),
        idle(
            "no-getaddrinfo",
            "-dG",
            Nothing,
            "-dG: has no effect, names are resolved by the system's resolver",
        ),
    ]
};

/// Rewrites HAProxy's spellings to long options, and leaves everything else as it is.
pub fn normalise(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut rewritten = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter().peekable();
    rewritten.extend(arguments.next());
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else {
            rewritten.push(argument);
            continue;
        };
        if text == "--" {
            rewritten.push(argument);
            rewritten.extend(arguments);
            break;
        }
        let Some((flag, rest)) = find(text) else {
            rewritten.push(argument);
            continue;
        };
        let long = format!("--{}", flag.long);
        match flag.takes {
            Takes::Nothing => rewritten.push(long.into()),
            Takes::Glued(_) => rewritten.push(format!("{long}={rest}").into()),
            Takes::Pids => {
                let is_pid = |word: &OsString| {
                    word.to_str().is_some_and(|word| word.parse::<i32>().is_ok_and(|pid| pid > 0))
                };
                while let Some(pid) = arguments.next_if(is_pid) {
                    rewritten.push(long.clone().into());
                    rewritten.push(pid);
                }
            }
            _ => {
                rewritten.push(long.into());
                rewritten.extend(arguments.next());
            }
        }
    }
    rewritten
}

/// Returns the flag that HAProxy spells so, with what is glued to it.
fn find(text: &str) -> Option<(&'static Flag, &str)> {
    let spelled = |flag: &&Flag| !flag.haproxy.is_empty();
    let exact = FLAGS.iter().filter(spelled).find(|flag| flag.haproxy == text);
    let glued = |flag: &&Flag| matches!(flag.takes, Takes::Glued(_));
    exact.map(|flag| (flag, "")).or_else(|| {
        let mut flags = FLAGS.iter().filter(glued);
        flags.find_map(|flag| Some((flag, text.strip_prefix(flag.haproxy)?)))
    })
}

/// Returns clap's parser.
pub fn command() -> Command {
    let mut command = Command::new("fastlb")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A layer 4 and layer 7 load balancer that reads HAProxy's configuration language")
        .override_usage(
            "fastlb [OPTIONS] lb.cfg…\n       fastlb explain lb.cfg 'GET http://host/path'\n       fastlb demo",
        )
        .after_help("HAProxy's own spellings of flags work too, such as -f, -c, -D, -p and -sf.")
        .args_conflicts_with_subcommands(true)
        .arg(
            Arg::new("files")
                .value_name("lb.cfg")
                .help("Configuration files")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf)),
        )
        .subcommand(super::explain::command())
        .subcommand(Command::new("keywords").about("Prints docs/keywords.md").hide(true))
        .subcommand(
            Command::new("demo")
                .about("Balances between a few small servers of its own, to play with")
                .args(FLAGS[..2].iter().map(argument)),
        );
    for flag in FLAGS {
        command = command.arg(argument(flag));
    }
    command
}

fn argument(flag: &Flag) -> Arg {
    let help = match flag.haproxy {
        "" => flag.help.to_owned(),
        spelling => format!("{} [{spelling}]", flag.help),
    };
    let argument = Arg::new(flag.long).long(flag.long).help(help).hide(flag.note.is_some());
    match flag.takes {
        Takes::Nothing => argument.action(ArgAction::SetTrue).overrides_with(flag.long),
        Takes::Path(name) => argument.value_name(name).value_parser(value_parser!(PathBuf)),
        Takes::Paths(name) => {
            argument.value_name(name).value_parser(value_parser!(PathBuf)).action(ArgAction::Append)
        }
        Takes::Text(name) => argument.value_name(name).allow_hyphen_values(true),
        Takes::Glued(name) => argument.value_name(name).action(ArgAction::Append),
        Takes::Number(name) => argument.value_name(name).value_parser(value_parser!(u32)),
        Takes::Pids => {
            argument.value_name("PID").value_parser(value_parser!(i32)).action(ArgAction::Append)
        }
        Takes::Cores => {
            argument.value_name("N|LIST").value_parser(|text: &str| text.parse::<Cores>())
        }
        Takes::Driver => argument
            .value_name("NAME")
            .value_parser(PossibleValuesParser::new(["auto", "io_uring", "epoll"])),
    }
}

/// Returns every flag for the manual: how it is written, HAProxy's spelling (or nothing), what it does.
pub fn rows() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    FLAGS.iter().map(|flag| {
        let value = match flag.takes {
            Takes::Nothing => String::new(),
            Takes::Path(name) | Takes::Paths(name) | Takes::Text(name) => format!(" <{name}>"),
            Takes::Number(name) | Takes::Glued(name) => format!(" <{name}>"),
            Takes::Pids => " <PID>".to_owned(),
            Takes::Cores => " <N|LIST>".to_owned(),
            Takes::Driver => " <auto|io_uring|epoll>".to_owned(),
        };
        (format!("--{}{value}", flag.long), flag.haproxy, flag.help)
    })
}

/// Returns the configuration files in the order of the command line.
pub fn files(matches: &ArgMatches) -> Vec<PathBuf> {
    let mut files: Vec<(usize, &PathBuf)> = Vec::new();
    for name in ["file", "files"] {
        let values = matches.get_many::<PathBuf>(name).unwrap_or_default();
        files.extend(matches.indices_of(name).unwrap_or_default().zip(values));
    }
    files.sort_by_key(|&(index, _)| index);
    files.into_iter().map(|(_, file)| file.clone()).collect()
}

/// Returns the value of `--driver`.
pub fn driver(matches: &ArgMatches) -> DriverWish {
    match matches.get_one::<String>("driver").map(String::as_str) {
        Some("io_uring") => DriverWish::IoUring,
        Some("epoll") => DriverWish::Epoll,
        _ => DriverWish::Auto,
    }
}

/// Returns what happens instead of the flags that do nothing and were given.
pub fn notes(matches: &ArgMatches) -> Vec<String> {
    let given = |flag: &&Flag| {
        matches.value_source(flag.long) == Some(clap::parser::ValueSource::CommandLine)
    };
    FLAGS.iter().filter(given).filter_map(|flag| flag.note).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ArgMatches {
        let words = std::iter::once("fastlb").chain(line.split_whitespace());
        let words = normalise(words.map(OsString::from).collect());
        command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_table_is_a_valid_parser() {
        command().debug_assert();
    }

    #[test]
    fn every_spelling_of_haproxy_is_understood_and_unique() {
        for flag in FLAGS.iter().filter(|flag| !flag.haproxy.is_empty()) {
            let value = if flag.takes == Takes::Nothing { "" } else { " 7" };
            let value = if matches!(flag.takes, Takes::Glued(_)) { "x" } else { value };
            let matches = parse(&format!("{}{value}", flag.haproxy));
            let source = matches.value_source(flag.long);
            assert_eq!(source, Some(clap::parser::ValueSource::CommandLine), "{}", flag.haproxy);
            let same = FLAGS.iter().filter(|other| other.haproxy == flag.haproxy).count();
            assert_eq!(same, 1, "{}", flag.haproxy);
        }
    }

    #[test]
    fn lists_of_pids_end_at_the_next_flag_and_may_be_empty() {
        let matches = parse("-f a.cfg -sf 12 34 -D");
        let pids: Vec<i32> = matches.get_many("finish").unwrap_or_default().copied().collect();
        assert_eq!(pids, [12, 34]);
        assert!(matches.get_flag("daemon"));
        assert!(parse("-f a.cfg -st").get_many::<i32>("terminate").is_none());
    }

    #[test]
    fn files_keep_the_order_of_the_command_line() {
        let order = |line| -> Vec<String> {
            files(&parse(line)).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(order("b.cfg -f a.cfg c.cfg"), ["b.cfg", "a.cfg", "c.cfg"]);
        assert_eq!(order("-f z.cfg -- -y.cfg x.cfg"), ["z.cfg", "-y.cfg", "x.cfg"]);
    }

    #[test]
    fn flags_without_effect_say_so() {
        let notes = notes(&parse("-W -dMfail -x /run/old.sock a.cfg"));
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].starts_with("-W: "), "{notes:?}");
    }

    #[test]
    fn cores_and_driver_are_read() {
        let matches = parse("--cores 0,2-3 --driver epoll a.cfg");
        assert_eq!(matches.get_one("cores"), Some(&Cores::List(vec![0, 2, 3])));
        assert_eq!(driver(&matches), DriverWish::Epoll);
        assert_eq!(driver(&parse("a.cfg")), DriverWish::Auto);
    }
}
