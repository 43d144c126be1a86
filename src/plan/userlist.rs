//! `userlist` sections: users, their passwords and their groups (manual 3.4).
//!
//! Passwords are only read here; whether one is right is the business of [`crate::rules::login`].

use super::directive::{Args, list_of};
use super::load::Loader;
use crate::config::ast::{Line, Section, Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use crate::rules::login::{Password, UserList};
use crate::stdx::crypt::{Hash, Problem};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A section while its lines are read.
#[derive(Default)]
pub(super) struct Draft<'a> {
    users: BTreeMap<&'a str, (Password, Span)>,
    groups: BTreeMap<&'a str, Span>,
    /// Who is in which group, as both kinds of lines say it: user, group, and the words themselves.
    members: Vec<(Member<'a>, Member<'a>)>,
}

/// A name, and where it stands.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a str,
    span: Span,
}

/// The handler of a directive.
pub(super) type Handler = for<'a> fn(&mut Loader<'_>, &mut Draft<'a>, &mut Args<'a>);

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    build: Handler,
) -> Keyword<Handler> {
    Keyword { name, syntax, doc, example, build }
}

/// The directives of the section.
pub(super) static TABLE: &[Keyword<Handler>] = &[
    row(
        "group",
        "<name> [users <user>[,<user>]*]",
        "Adds a group, and users to it.",
        "group admins",
        group,
    ),
    row(
        "user",
        "<name> [password <hash> | insecure-password <password>] [groups <group>[,<group>]*]",
        "Adds a user: with a password that crypt(3) hashed, or as it is.",
        "user ann insecure-password secret",
        user,
    ),
];

/// The sections by name.
pub(super) type UserLists = HashMap<String, Arc<UserList>>;

/// Reads a section.
pub(super) fn section(cx: &mut Loader<'_>, lists: &mut UserLists, section: &Section) {
    let Some(name) = section.name() else { return };
    if lists.contains_key(name.as_str()) {
        cx.error(name.span, format!("there are two `userlist {}`", name.as_str()));
        return;
    }
    let mut draft = Draft::default();
    let errors = cx.errors();
    for line in &section.lines {
        directive(cx, &mut draft, line);
    }
    let whole = cx.errors() == errors;
    let list = finish(cx, draft, name.as_str(), whole);
    lists.insert(name.text.clone(), Arc::new(list));
}

fn directive<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, line: &'a Line) {
    let word = line.keyword();
    let Some(row) = find(TABLE, word.as_str()) else {
        let text = format!("unknown directive `{}` in `userlist`", word.as_str());
        let finding = Diagnostic::error(word.span, text);
        cx.push(match suggest(word.as_str(), TABLE.iter().map(|row| row.name)) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help(format!("expected {}", list_of(&["group", "user"]))),
        });
        return;
    };
    let mut args = Args::new(line, row.name, row.syntax, 1);
    (row.build)(cx, draft, &mut args);
    args.finish(cx);
}

/// Puts users and groups together; names that nothing has are reported when all lines could be read.
fn finish(cx: &mut Loader<'_>, draft: Draft<'_>, name: &str, whole: bool) -> UserList {
    let Draft { users, groups, members } = draft;
    let mut all: BTreeMap<String, BTreeSet<String>> =
        groups.keys().map(|name| ((*name).to_owned(), BTreeSet::new())).collect();
    for (user, group) in members {
        if whole && !users.contains_key(user.name) {
            let near = suggest(user.name, users.keys().copied());
            cx.push(missing("user", name, user, near));
        }
        match all.get_mut(group.name) {
            Some(of_group) => {
                of_group.insert(user.name.to_owned());
            }
            None if whole => {
                let near = suggest(group.name, groups.keys().copied());
                cx.push(missing("group", name, group, near));
            }
            None => {}
        }
    }
    let users = users.into_iter().map(|(name, (password, _))| (name.as_bytes().into(), password));
    UserList::new(name.to_owned(), users.collect(), all)
}

fn missing(what: &str, list: &str, who: Member<'_>, near: Option<&str>) -> Diagnostic {
    let finding =
        Diagnostic::error(who.span, format!("`userlist {list}` has no {what} `{}`", who.name));
    match near {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help(format!("add a line `{what} {}`", who.name)),
    }
}

/// Returns the names in `a,b,c`, each with its place.
fn names(word: &Word) -> impl Iterator<Item = Member<'_>> {
    let mut at = 0;
    word.as_str().split(',').filter_map(move |name| {
        let span = if word.quoted { word.span } else { word.span.slice(at, name.len()) };
        at += name.len() + 1;
        (!name.is_empty()).then_some(Member { name, span })
    })
}

fn group<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let Some(name) = args.required(cx, "a name") else { return };
    let group = Member { name: name.as_str(), span: name.span };
    if args.peek().is_some() && !args.take("users") {
        let Some(word) = args.next() else { return };
        return args.not_one_of(cx, word, &["users"]);
    }
    if args.line.words.len() > 2 {
        let Some(users) = args.required(cx, "names of users, separated by commas") else { return };
        draft.members.extend(names(users).map(|user| (user, group)));
    }
    if let Some(other) = draft.groups.insert(group.name, group.span) {
        cx.push(
            Diagnostic::error(group.span, format!("there are two groups `{}`", group.name))
                .related(other, "the other stands here"),
        );
    }
}

fn user<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let Some(name) = args.required(cx, "a name") else { return };
    let user = Member { name: name.as_str(), span: name.span };
    if user.name.contains(':') {
        return args.fail(
            cx,
            user.span,
            "the name of a user has no `:`, which ends it in what clients send",
        );
    }
    let mut password = None;
    while let Some(word) = args.next() {
        match word.as_str() {
            "groups" => {
                let Some(groups) = args.required(cx, "names of groups, separated by commas") else {
                    return;
                };
                draft.members.extend(names(groups).map(|group| (user, group)));
            }
            "password" | "insecure-password" if password.is_some() => {
                return args.fail(cx, word.span, "a user has one password");
            }
            "insecure-password" => {
                let Some(text) = args.required(cx, "a password") else { return };
                password = Some(Password::Plain(text.as_str().as_bytes().into()));
            }
            "password" => {
                let Some(text) = args.required(cx, "a hash") else { return };
                match Hash::parse(text.as_str()) {
                    Ok(hash) => password = Some(Password::Hashed(hash)),
                    Err(problem) => {
                        args.give_up();
                        cx.push(bad_hash(text.span, problem));
                        password = Some(Password::None);
                    }
                }
            }
            _ => return args.not_one_of(cx, word, &["groups", "insecure-password", "password"]),
        }
    }
    if password.is_none() {
        cx.push(
            Diagnostic::warning(user.span, format!("nobody can log in as `{}`", user.name))
                .label("this user has no password")
                .help("add `password <hash>`, as for example `mkpasswd -m sha-512` prints it"),
        );
    }
    let entry = (password.unwrap_or(Password::None), user.span);
    if let Some((_, other)) = draft.users.insert(user.name, entry) {
        cx.push(
            Diagnostic::error(user.span, format!("there are two users `{}`", user.name))
                .related(other, "the other stands here"),
        );
    }
}

/// Says why a hash cannot be checked, without showing it.
fn bad_hash(span: Span, problem: Problem) -> Diagnostic {
    const MAKE: &str = "make one with `mkpasswd -m sha-512` or `openssl passwd -6`";
    match problem {
        Problem::NoHash => Diagnostic::error(span, "this is no hash of crypt(3)")
            .help(MAKE)
            .help("a password as it is stands behind `insecure-password`"),
        Problem::Scheme(scheme) => {
            let text = format!("passwords hashed by {scheme} are not supported yet");
            Diagnostic::error(span, text)
                .label("expected `$1$` (MD5), `$5$` (SHA-256), `$6$` (SHA-512) or `$2b$` (bcrypt)")
                .help(MAKE)
        }
        Problem::Malformed => {
            Diagnostic::error(span, "the hash is broken: salt or digest do not have their length")
                .help("in a file `$` must be quoted where an environment variable could be meant")
                .help(MAKE)
        }
        Problem::Rounds => {
            Diagnostic::error(span, "the number of rounds must be in 1000..=999999999").help(MAKE)
        }
    }
}
