//! Commands about lists of patterns and maps: what they hold, and changes at run time.
//!
//! A list is named by its file or by `#` and its number; one file that is compiled for several methods is changed for
//! all of them, or for none. Readers see a change at once and never a half of it.

use super::Call;
use crate::rules::pattern::{Entries, Found, List, Method, Pending};
use crate::rules::sample::Value;
use std::fmt::Write;
use std::sync::Arc;

/// Whether a command is about maps or about lists of ACLs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Acl,
    Map,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Map => "map",
        }
    }

    fn unknown(self) -> String {
        let name = if self == Self::Acl { "ACL" } else { "map" };
        format!("Unknown {name} identifier. Please use #<id> or <file>.\n")
    }
}

/// What a command is about: all lists of one name, and the version that is being prepared, if one is named.
struct Target {
    lists: Vec<Arc<List>>,
    version: Option<u32>,
}

impl Target {
    /// Takes `[@<version>] {#<id>|<file>}` off the words.
    fn take(call: &mut Call<'_>, sort: Sort, usage: &str) -> Result<Self, String> {
        let mut words = call.words.iter();
        let mut name = words.next().copied();
        let mut version = None;
        if let Some(number) = name.and_then(|word| word.strip_prefix('@')) {
            let number = number.parse().map_err(|_| "Invalid version number.\n".to_owned())?;
            version = Some(number);
            name = words.next().copied();
        }
        let name = name.ok_or_else(|| usage.to_owned())?;
        let rest = words.copied().collect();
        let lists = find(call, sort, name);
        if lists.is_empty() {
            return Err(sort.unknown());
        }
        call.words = rest;
        Ok(Self { lists, version })
    }

    fn id(&self) -> u32 {
        self.lists[0].id()
    }

    /// Calls `change` for each list and returns the first error.
    fn each(&self, mut change: impl FnMut(&List) -> Result<(), String>) -> Result<(), String> {
        self.lists
            .iter()
            .try_for_each(|list| change(list))
            .map_err(|message| format!("{message}.\n"))
    }
}

fn find(call: &Call<'_>, sort: Sort, name: &str) -> Vec<Arc<List>> {
    let id = name.strip_prefix('#').map(str::parse::<u32>);
    let mut lists = call.control.plan.patterns.lists();
    lists.retain(|list| {
        let same = match &id {
            Some(Ok(id)) => list.id() == *id,
            Some(Err(_)) => false,
            None => list.kind().path == name,
        };
        same && list.kind().is_map == (sort == Sort::Map)
    });
    lists
}

fn pending<'c>(call: &'c Call<'_>) -> &'c Pending {
    call.control.plan.patterns.pending()
}

pub(super) fn show_acl(call: &mut Call<'_>) -> Result<String, String> {
    show(call, Sort::Acl)
}

pub(super) fn show_map(call: &mut Call<'_>) -> Result<String, String> {
    show(call, Sort::Map)
}

fn show(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let mut text = String::new();
    if call.words.is_empty() {
        return Ok(list_all(call, sort));
    }
    let target = Target::take(call, sort, "")?;
    let mut put = |number: u32, key: &[u8], value: &[u8]| {
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        // Writing into a string cannot fail.
        let _ = match sort {
            Sort::Acl => writeln!(text, "{number:#x} {key}"),
            Sort::Map => writeln!(text, "{number:#x} {key} {value}"),
        };
    };
    match target.version {
        None => target.lists[0].each(put),
        Some(version) => {
            let known = pending(call).look(target.id(), version, |entries| {
                (0..entries.len()).for_each(|at| put(at, entries.key(at), entries.value(at)));
            });
            known.ok_or("Version number out of range.\n")?;
        }
    }
    Ok(text)
}

fn list_all(call: &Call<'_>, sort: Sort) -> String {
    let mut text = "# id (file) description\n".to_owned();
    let mut lists = call.control.plan.patterns.lists();
    lists.retain(|list| list.kind().is_map == (sort == Sort::Map));
    lists.sort_by_key(|list| list.id());
    lists.dedup_by_key(|list| list.id());
    for list in lists {
        let (id, path) = (list.id(), &list.kind().path);
        let description = match path.is_empty() {
            true => "patterns of an acl with `-u`".to_owned(),
            false => format!("pattern loaded from file '{path}' used by {}", sort.name()),
        };
        let (current, next) = pending(call).versions(id);
        let count = list.len();
        let _ = writeln!(
            text,
            "{id} ({path}) {description}. curr_ver={current} next_ver={next} entry_cnt={count}"
        );
    }
    text
}

pub(super) fn get_acl(call: &mut Call<'_>) -> Result<String, String> {
    get(call, Sort::Acl)
}

pub(super) fn get_map(call: &mut Call<'_>) -> Result<String, String> {
    get(call, Sort::Map)
}

fn get(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let usage =
        format!("'get {0}' expects two parameters: {0} identifier and value.\n", sort.name());
    let target = Target::take(call, sort, &usage)?;
    let wanted = *call.words.first().ok_or(usage)?;
    let mut text = String::new();
    for list in &target.lists {
        let kind = list.kind();
        let case = if kind.ignore_case { "insensitive" } else { "sensitive" };
        let _ = write!(text, "type={}, case={case}, ", kind.method.name());
        // How the closest entry is chosen: among all by length, or the first one.
        let index = match kind.method {
            Method::Str | Method::Beg | Method::Ip => "tree",
            _ => "list",
        };
        let value = Value::str(wanted.as_bytes());
        let _ = match (sort, list.lookup(&value)) {
            (Sort::Acl, None) => writeln!(text, "match=no"),
            (Sort::Map, None) => writeln!(text, "found=no"),
            (Sort::Acl, Some(_)) => {
                let key = list.key(&value).unwrap_or_default();
                writeln!(
                    text,
                    "match=yes, idx={index}, pattern=\"{}\"",
                    String::from_utf8_lossy(&key)
                )
            }
            (Sort::Map, Some(found)) => {
                let key = list.key(&value).unwrap_or_default();
                let (value, sort) = match found {
                    Found::Text(text) => (String::from_utf8_lossy(&text).into_owned(), "str"),
                    Found::Int(number) => (number.to_string(), "sint"),
                    Found::Ip(address) => (address.to_string(), "ip"),
                };
                let key = String::from_utf8_lossy(&key);
                writeln!(
                    text,
                    "found=yes, idx={index}, key=\"{key}\", value=\"{value}\", type=\"{sort}\""
                )
            }
        };
    }
    Ok(text)
}

pub(super) fn add_acl(call: &mut Call<'_>) -> Result<String, String> {
    add(call, Sort::Acl, "'add acl' expects two parameters: ACL identifier and pattern.\n")
}

pub(super) fn add_map(call: &mut Call<'_>) -> Result<String, String> {
    add(call, Sort::Map, "'add map' expects three parameters: map identifier, key and value.\n")
}

fn add(call: &mut Call<'_>, sort: Sort, usage: &str) -> Result<String, String> {
    let target = Target::take(call, sort, usage)?;
    let mut entries = Entries::new(sort == Sort::Map);
    match (call.payload, call.words.as_slice()) {
        (Some(lines), _) => {
            entries = Entries::read(lines.as_bytes(), sort == Sort::Map);
        }
        (None, [key, ..]) if sort == Sort::Acl => entries.push(key.as_bytes(), b"", 0),
        (None, [key, value, ..]) => entries.push(key.as_bytes(), value.as_bytes(), 0),
        _ => return Err(usage.to_owned()),
    }
    // All or nothing: what one method refuses is added for none.
    target.each(|list| list.check(&entries))?;
    match target.version {
        None => target.each(|list| list.add_all(&entries))?,
        Some(version) => pending(call).add(target.id(), version, &entries)?,
    }
    Ok(String::new())
}

pub(super) fn set_map(call: &mut Call<'_>) -> Result<String, String> {
    let usage = "'set map' expects three parameters: map identifier, key and value.\n";
    let target = Target::take(call, Sort::Map, usage)?;
    let [key, value, ..] = call.words.as_slice() else { return Err(usage.to_owned()) };
    let mut any = false;
    let is = matcher(key);
    target.each(|list| {
        any |= list.set(value.as_bytes(), is.as_ref())?;
        Ok(())
    })?;
    if any { Ok(String::new()) } else { Err("entry not found.\n".to_owned()) }
}

/// Tells whether a command means an entry, by its number and its key.
type Matches = dyn Fn(u32, &[u8]) -> bool;

/// Returns what tells whether an entry is the one of a key, or of `#` and its number.
fn matcher(word: &str) -> Box<Matches> {
    let number = word.strip_prefix("#0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match number {
        Some(number) => Box::new(move |at, _| at == number),
        None => {
            let key = word.as_bytes().to_vec();
            Box::new(move |_, known| *known == *key)
        }
    }
}

pub(super) fn del_acl(call: &mut Call<'_>) -> Result<String, String> {
    delete(call, Sort::Acl)
}

pub(super) fn del_map(call: &mut Call<'_>) -> Result<String, String> {
    delete(call, Sort::Map)
}

fn delete(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let usage = "This command expects two parameters: an identifier and a key.\n";
    let target = Target::take(call, sort, usage)?;
    let is = matcher(call.words.first().ok_or(usage)?);
    let found = target.lists.iter().filter(|list| list.delete(is.as_ref())).count();
    if found > 0 { Ok(String::new()) } else { Err("Key not found.\n".to_owned()) }
}

pub(super) fn clear_acl(call: &mut Call<'_>) -> Result<String, String> {
    clear(call, Sort::Acl)
}

pub(super) fn clear_map(call: &mut Call<'_>) -> Result<String, String> {
    clear(call, Sort::Map)
}

fn clear(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let target = Target::take(call, sort, &sort.unknown())?;
    match target.version {
        None => target.each(|list| list.replace(Entries::new(sort == Sort::Map)))?,
        Some(version) => pending(call).drop_version(target.id(), version)?,
    }
    Ok(String::new())
}

pub(super) fn prepare_acl(call: &mut Call<'_>) -> Result<String, String> {
    prepare(call, Sort::Acl)
}

pub(super) fn prepare_map(call: &mut Call<'_>) -> Result<String, String> {
    prepare(call, Sort::Map)
}

fn prepare(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let target = Target::take(call, sort, &sort.unknown())?;
    let version = pending(call).begin(target.id(), sort == Sort::Map)?;
    Ok(format!("New version created: {version}\n"))
}

pub(super) fn commit_acl(call: &mut Call<'_>) -> Result<String, String> {
    commit(call, Sort::Acl)
}

pub(super) fn commit_map(call: &mut Call<'_>) -> Result<String, String> {
    commit(call, Sort::Map)
}

fn commit(call: &mut Call<'_>, sort: Sort) -> Result<String, String> {
    let target = Target::take(call, sort, &sort.unknown())?;
    let version = target.version.ok_or("Missing version number.\n")?;
    let entries = pending(call).commit(target.id(), version)?;
    target.each(|list| list.replace(entries.clone()))?;
    Ok(String::new())
}
