//! Tests of the tables of directive words: sorted, documented, and found as a user would write them.

use super::*;
use crate::config::ast::FileId;
use crate::config::diagnostic::Severity;

const GLOBAL: SectionKind = SectionKind::Global;
const FRONTEND: SectionKind = SectionKind::Frontend;
const BACKEND: SectionKind = SectionKind::Backend;

fn words(line: &str) -> Vec<Word> {
    let mut at = 0;
    line.split(' ')
        .map(|text| {
            let start = at as u32;
            at += text.len() + 1;
            let span = Span { file: FileId(0), start, end: start + text.len() as u32 };
            Word { text: text.to_owned(), span, quoted: false }
        })
        .collect()
}

/// Returns the row that the plan gets, or what was found wrong with the line.
fn checked(kind: SectionKind, line: &str) -> Result<(&'static str, usize), Diagnostic> {
    let mut diags = Diagnostics::default();
    match check(kind, &words(line), &mut diags) {
        Some((row, used)) => {
            assert!(diags.is_empty());
            Ok((row.name, used))
        }
        None => Err(diags.iter().next().expect("a word without support is reported").clone()),
    }
}

#[track_caller]
fn supported(kind: SectionKind, line: &str, row: &str, used: usize) {
    match checked(kind, line) {
        Ok(found) => assert_eq!(found, (row, used), "{line}"),
        Err(diagnostic) => panic!("{line}: {}", diagnostic.message),
    }
}

#[track_caller]
fn refused(kind: SectionKind, line: &str, severity: Severity, message: &str, help: &str) {
    let diagnostic = checked(kind, line).expect_err(line);
    assert_eq!(diagnostic.severity, severity, "{line}");
    assert!(diagnostic.message.contains(message), "{line}: {}", diagnostic.message);
    assert!(diagnostic.help.iter().any(|h| h.contains(help)), "{line}: {:?}", diagnostic.help);
}

fn tables() -> Vec<&'static [Row]> {
    TABLES.into_iter().chain([bind::ROWS, server::ROWS]).collect()
}

#[test]
fn tables_are_sorted_and_their_text_is_whole() {
    for table in tables() {
        assert!(table.is_sorted_by(|a, b| a.name < b.name));
        for row in table {
            assert!(
                row.doc.ends_with('.') && row.doc.starts_with(char::is_uppercase),
                "{}",
                row.name
            );
            assert!(row.name.split(' ').count() <= NAME_WORDS_MAX, "{}", row.name);
            match row.support {
                Support::Harmless(note) => assert!(note.ends_with('.'), "{}", row.name),
                Support::Gone { instead } => assert!(!instead.ends_with('.'), "{}", row.name),
                Support::Supported | Support::NotYet => {}
            }
        }
    }
}

#[test]
fn every_directive_finds_itself_where_it_may_stand() {
    for row in directives() {
        for keyword in row.places.keywords() {
            let kind = SectionKind::parse(keyword).expect("places are sections");
            let name: Vec<&str> = row.name.split(' ').collect();
            match lookup(kind, &name) {
                Lookup::Found(found, used) => {
                    assert_eq!((found.name, used), (row.name, name.len()));
                }
                other => panic!("{} in {keyword}: {other:?}", row.name),
            }
        }
        assert!(!row.places.keywords().is_empty(), "{}", row.name);
    }
}

#[test]
fn rows_take_as_many_words_as_their_name_has() {
    supported(FRONTEND, "bind :80", "bind", 1);
    supported(FRONTEND, "timeout client 5s", "timeout client", 2);
    supported(FRONTEND, "http-request set-header X-A b", "http-request set-header", 2);
    supported(GLOBAL, "stats socket /run/x level admin", "stats socket", 2);
    supported(BACKEND, "balance hdr(host)", "balance", 1);
    supported(BACKEND, "no option redispatch", "option redispatch", 3);
    supported(FRONTEND, "no log", "log", 2);
    supported(GLOBAL, "maxconn 100", "maxconn", 1);
    supported(BACKEND, "hash-type map-based", "hash-type map-based", 2);
}

#[test]
fn words_with_arguments_and_numbers_find_their_family() {
    for (line, name) in [
        ("http-request sc-set-gpt(0,1) 1", "http-request sc-set-gpt"),
        ("http-request track-sc0 src", "http-request track-sc"),
        ("http-request sc-inc-gpc0(1)", "http-request sc-inc-gpc0"),
        ("http-request add-acl(f) x", "http-request add-acl"),
        ("http-request sc-add-gpc(0,1) 1", "http-request sc-add-gpc"),
    ] {
        let texts: Vec<&str> = line.split(' ').collect();
        let Lookup::Found(row, _) = lookup(FRONTEND, &texts) else { panic!("{line}") };
        assert_eq!(row.name, name);
    }
    refused(
        FRONTEND,
        "http-request set-header2 a b",
        Severity::Error,
        "unknown word `set-header2`",
        "`set-header`",
    );
}

#[test]
fn words_that_wait_name_what_they_wait_for() {
    let mut diags = Diagnostics::default();
    assert!(check_bind_option(&words("ssl")[0], &mut diags).is_none());
    let first = diags.iter().next().expect("TLS is reported");
    assert!(first.message.contains("not supported yet"));
    assert_eq!(first.label.as_deref(), Some("TLS is not supported yet"));
    refused(
        FRONTEND,
        "clitcpka-cnt 3",
        Severity::Error,
        "not supported yet",
        "in HAProxy it sets how many keep-alive probes to clients may fail",
    );
    let lua = checked(GLOBAL, "lua-load /x.lua").expect_err("Lua does not work yet");
    assert_eq!(lua.label.as_deref(), Some("Lua is not supported yet"));
}

#[test]
fn words_without_effect_are_notices_that_say_why() {
    refused(GLOBAL, "tune.bufsize.small 1024", Severity::Notice, "no effect", "Buffers");
    refused(GLOBAL, "master-worker", Severity::Notice, "no effect", "one process");
    refused(GLOBAL, "ssl-default-bind-options no-sslv3", Severity::Notice, "no effect", "TLS");
    refused(GLOBAL, "no strict-limits", Severity::Notice, "no effect", "");
}

#[test]
fn dropped_words_name_their_successor() {
    refused(FRONTEND, "reqadd X-A:\\ b", Severity::Error, "is gone", "http-request add-header");
    refused(FRONTEND, "clitimeout 5000", Severity::Error, "is gone", "timeout client");
    refused(BACKEND, "contimeout 5000", Severity::Error, "is gone", "timeout connect");
    refused(GLOBAL, "nbproc 4", Severity::Error, "is gone", "nbthread");
    refused(FRONTEND, "block if x", Severity::Error, "is gone", "http-request deny");
    refused(BACKEND, "appsession X", Severity::Error, "is gone", "cookie");
    let mut diags = Diagnostics::default();
    check_bind_option(&words("npn")[0], &mut diags);
    check_bind_option(&words("no-sslv3")[0], &mut diags);
    check_server_option(&words("force-sslv3")[0], &mut diags);
    let help: Vec<&str> = diags.iter().flat_map(|d| d.help.iter().map(String::as_str)).collect();
    assert_eq!(help.len(), 3);
    assert!(help[0].contains("alpn") && help[1].contains("ssl-min-ver"));
    supported(FRONTEND, "option httpclose", "option httpclose", 2);
}

#[test]
fn unknown_words_are_pointed_at_and_suggested() {
    refused(
        FRONTEND,
        "use_backed app if x",
        Severity::Error,
        "unknown directive `use_backed`",
        "`use_backend`",
    );
    refused(
        FRONTEND,
        "option httplgo",
        Severity::Error,
        "unknown word `httplgo` behind `option`",
        "`httplog`",
    );
    refused(
        BACKEND,
        "timeout conect 5s",
        Severity::Error,
        "`conect` behind `timeout`",
        "`connect`",
    );
    refused(FRONTEND, "http-request set-headr a b", Severity::Error, "`set-headr`", "`set-header`");
    refused(
        FRONTEND,
        "h2, http/1.1",
        Severity::Error,
        "unknown directive `h2,`",
        "rest of the line before",
    );
    refused(FRONTEND, "fronted www", Severity::Error, "unknown directive", "`frontend`");
    let diagnostic = checked(FRONTEND, "option httplgo").expect_err("it is unknown");
    assert_eq!(diagnostic.span.map(|s| (s.start, s.end)), Some((7, 14)));
    for line in ["stats", "option", "timeout", "capture request"] {
        refused_without_help(FRONTEND, line, "needs a further word");
    }
}

#[track_caller]
fn refused_without_help(kind: SectionKind, line: &str, message: &str) {
    let diagnostic = checked(kind, line).expect_err(line);
    assert!(diagnostic.message.contains(message), "{line}: {}", diagnostic.message);
}

#[test]
fn words_in_the_wrong_section_are_sent_to_the_right_one() {
    refused(
        FRONTEND,
        "server a 1.2.3.4",
        Severity::Error,
        "cannot stand in a `frontend`",
        "`listen`, `backend`",
    );
    refused(
        BACKEND,
        "bind :80",
        Severity::Error,
        "cannot stand in a `backend`",
        "`frontend`, `listen`",
    );
    refused(FRONTEND, "daemon", Severity::Error, "cannot stand", "`global`");
    refused(GLOBAL, "mode http", Severity::Error, "cannot stand in a `global`", "`defaults`");
    refused(SectionKind::Defaults, "bind :80", Severity::Error, "cannot stand", "`frontend`");
}

#[test]
fn only_what_can_be_turned_off_takes_no() {
    refused_without_help(FRONTEND, "no bind :80", "cannot be preceded by `no`");
    refused_without_help(FRONTEND, "default mode http", "cannot be preceded by `default`");
    let mut diags = Diagnostics::default();
    // What is not there is off already.
    assert!(check(BACKEND, &words("no option persist"), &mut diags).is_none());
    assert!(diags.is_empty());
}

#[test]
fn sections_that_do_not_work_yet_are_errors() {
    let mut diags = Diagnostics::default();
    let section = |line: &str| {
        let words = words(line);
        let span = words[0].span;
        Section { header: crate::config::ast::Line { words, span }, lines: Vec::new() }
    };
    assert!(check_section(&section("frontend www"), &mut diags));
    assert!(diags.is_empty());
    assert!(!check_section(&section("mailers admins"), &mut diags));
    assert!(diags.has_errors());
}

#[test]
fn the_arguments_of_an_option_are_known_also_where_it_does_not_work() {
    let count = |line: &str| {
        let words = words(line);
        match server_option(&words[0].text) {
            Lookup::Found(row, 1) => row.option_arguments(&words[1..]),
            other => panic!("{line}: {other:?}"),
        }
    };
    assert_eq!(count("check inter 5s"), 0);
    assert_eq!(count("inter 5s check"), 1);
    assert_eq!(count("inter"), 0);
    assert_eq!(count("source 1.2.3.4 check"), 1);
    assert_eq!(count("source 1.2.3.4 interface eth0 usesrc client check"), 5);
    assert_eq!(count("source 1.2.3.4 usesrc"), 2);
    assert_eq!(count("set-proxy-v2-tlv-fmt(0x20) %[src] check"), 1);
    refused_without_help(FRONTEND, "bind(x) :80", "unknown directive `bind(x)`");
}

/// The words that issue 2 promises, so that none loses its row by accident.
#[test]
fn what_is_promised_is_supported() {
    let listen = SectionKind::Listen;
    for line in [
        "bind :80",
        "mode http",
        "balance first",
        "server a 1.2.3.4:80",
        "default-server check",
        "acl a path /",
        "default_backend b",
        "use_backend b if a",
        "use-server a if b",
        "http-request deny",
        "http-request allow",
        "http-request set-header a b",
        "http-request add-header a b",
        "http-request del-header a",
        "http-request set-path /",
        "http-request redirect location /",
        "http-request return status 200",
        "http-request use-service prometheus-exporter",
        "http-response set-header a b",
        "http-response add-header a b",
        "http-response del-header a",
        "http-response deny",
        "http-response allow",
        "redirect prefix /",
        "cookie SRV insert indirect nocache",
        "option forwardfor",
        "option httpchk GET /",
        "errorfile 503 /f",
        "timeout connect 1s",
        "timeout client 1s",
        "timeout server 1s",
        "timeout http-request 1s",
        "timeout http-keep-alive 1s",
        "timeout queue 1s",
        "timeout tunnel 1s",
        "timeout check 1s",
        "maxconn 1",
        "retries 3",
        "option redispatch",
        "monitor-uri /",
        "stats enable",
        "stats uri /",
        "stats refresh 5s",
        "stats auth a:b",
        "stats hide-version",
        "log global",
        "no log",
        "option httplog",
        "option tcplog",
        "option dontlognull",
        "log-format x",
        "option splice-auto",
        "option splice-request",
        "option splice-response",
        "description d",
        "id 7",
        "enabled",
        "disabled",
        "log-tag t",
        "option http-keep-alive",
        "option http-server-close",
        "option httpclose",
        "http-reuse safe",
        "option tcp-check",
        "option nolinger",
        "option clitcpka",
        "option srvtcpka",
        "option tcpka",
    ] {
        assert!(checked(listen, line).is_ok(), "{line}");
    }
    for line in [
        "daemon",
        "user u",
        "group g",
        "uid 1",
        "gid 1",
        "chroot /",
        "pidfile /p",
        "stats timeout 1s",
        "stats socket /s",
        "ulimit-n 9",
        "nbthread 2",
        "cpu-map 1/1 0",
        "hard-stop-after 5s",
        "maxconn 9",
        "log stdout format raw local0",
        "setenv A b",
        "presetenv A b",
        "unsetenv A",
        "resetenv",
    ] {
        assert!(checked(GLOBAL, line).is_ok(), "{line}");
    }
    for word in [
        "weight",
        "check",
        "inter",
        "fastinter",
        "downinter",
        "rise",
        "fall",
        "backup",
        "disabled",
        "maxconn",
        "cookie",
    ] {
        assert!(
            matches!(
                server_option(word),
                Lookup::Found(Row { support: Support::Supported, .. }, 1)
            ),
            "{word}"
        );
    }
}
