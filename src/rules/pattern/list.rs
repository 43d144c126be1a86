//! Lists of patterns and maps that are read from files, shared by all that use them, and may change at run time.
//!
//! A [`List`] is one file compiled for one matching method. What was loaded is immutable and read without any
//! synchronisation but one relaxed load, which tells that nothing has changed since. A change builds another version
//! beside it and publishes that with a swap: a very small list is compiled anew; in others the deleted entries are marked,
//! new values of old entries are noted, and the added ones are kept in a small index of their own, until they are so many
//! that all is compiled anew. Readers on any shard see a version or the next one, never a part of one, and never free one.

use super::{Entries, Index, Method, Pending};
use crate::proto::mmdb::Database;
use crate::rules::sample::Value;
use arc_swap::ArcSwapOption;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Up to this many entries, a change compiles the list anew.
const SMALL_MAX: u32 = 64;

/// So many added entries or new values beside a big list, at most, are merged into it.
const ADDED_MAX: u32 = 4096;

/// So many of the entries that were added last are compiled with every change; the others of them once in so many.
const RECENT_MAX: u32 = 32;

/// How often the end of a reader of the last version is waited for, at most, before it is left to free that version.
const READER_TURNS_MAX: u32 = 1000;

/// Returns how many changes are kept beside a list of that many entries: what is kept is compiled with every change, the
/// whole list once they are more.
fn changes_max(entries: u32) -> u32 {
    (entries / 8).clamp(SMALL_MAX, ADDED_MAX)
}

/// What a map's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text.
    Str,
    /// Numbers.
    Int,
    /// Addresses.
    Ip,
    /// The key that matched stands for the value.
    Key,
}

/// What tells lists of the same file apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The file.
    pub path: String,
    /// How values are compared.
    pub method: Method,
    /// Whether case counts (`-i` says no).
    pub ignore_case: bool,
    /// Whether lines are keys with values.
    pub is_map: bool,
    /// What the values are.
    pub output: Output,
}

/// One state of a list.
#[derive(Debug)]
struct Version {
    index: Arc<Index>,
    /// One bit per entry of the index that was deleted.
    dead: Vec<u64>,
    /// Entries that came since, in their order: most of them, and the last few.
    added: Vec<Arc<Index>>,
    /// Values that entries of the index were given since, by their numbers.
    values: HashMap<u32, Arc<[u8]>>,
}

/// What is wrong with a list: where, and a message fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the file; 0 for none.
    pub line: u32,
    /// Column in the line; 0 if there is no file.
    pub column: u32,
    /// Whether the value is wrong, not the key.
    in_value: bool,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    fn new(line: u32, in_value: bool, message: String) -> Self {
        Self { line, column: 0, in_value, message }
    }

    /// Finds the column in the text that the list was read from.
    fn in_text(mut self, text: &[u8]) -> Self {
        let line = text.split(|byte| *byte == b'\n').nth(self.line.wrapping_sub(1) as usize);
        let Some(line) = line else { return self };
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let word =
            |from: usize| line[from..].iter().position(|b| !blank(b)).map_or(from, |at| from + at);
        let mut at = word(0);
        if self.in_value {
            at = word(line[at..].iter().position(blank).map_or(line.len(), |end| at + end));
        }
        // As everywhere: columns count characters.
        self.column = line[..at].iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u32 + 1;
        self
    }
}

/// A file of patterns, compiled for one method.
#[derive(Debug)]
pub struct List {
    kind: Kind,
    /// The number that the runtime CLI names it by.
    id: u32,
    base: Arc<Index>,
    changed: AtomicBool,
    live: ArcSwapOption<Version>,
    /// Held while a change is made.
    writer: Mutex<()>,
}

/// What a value matched in a map.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    /// Text, or a key.
    Text(Cow<'a, [u8]>),
    /// A number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
}

impl List {
    /// Compiles a list.
    ///
    /// # Errors
    /// What is wrong with the first bad entry.
    pub fn new(kind: Kind, id: u32, mut entries: Entries) -> Result<Self, Fault> {
        for entry in 0..entries.len() {
            let value = entries.value(entry);
            check_value(kind.output, value)
                .map_err(|message| Fault::new(entries.line(entry), true, message))?;
        }
        entries.shrink();
        let bad = |(entries, (entry, message)): (Entries, (u32, String))| {
            let key = String::from_utf8_lossy(entries.key(entry)).into_owned();
            Fault::new(entries.line(entry), false, format!("bad pattern `{key}`: {message}"))
        };
        let base = Index::try_new(entries, kind.method, kind.ignore_case).map_err(bad)?;
        Ok(Self {
            kind,
            id,
            base: Arc::new(base),
            changed: AtomicBool::new(false),
            live: ArcSwapOption::empty(),
            writer: Mutex::new(()),
        })
    }

    /// Returns the file, the method and the rest that tells it apart.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the number of the list.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns whether a value matches any entry.
    #[inline]
    pub fn contains(&self, value: &Value<'_>) -> bool {
        // Relaxed will do: a shard that does not see the flag yet looks at what was true a moment ago.
        if !self.changed.load(Ordering::Relaxed) {
            return self.base.find(value, |_| true).is_some();
        }
        match &*self.live.load() {
            Some(version) => version.find(value).is_some(),
            None => self.base.find(value, |_| true).is_some(),
        }
    }

    /// Returns the value of the entry that matches.
    #[inline]
    pub fn lookup<'a>(&'a self, value: &Value<'_>) -> Option<Found<'a>> {
        if !self.changed.load(Ordering::Relaxed) {
            let entry = self.base.find(value, |_| true)?;
            return self.found(&self.base, entry, None);
        }
        let live = self.live.load();
        let Some(version) = &*live else {
            return self.found(&self.base, self.base.find(value, |_| true)?, None);
        };
        let (index, entry) = version.find(value)?;
        Some(match self.found(index, entry, version.value(index, entry))? {
            Found::Text(text) => Found::Text(Cow::Owned(text.into_owned())),
            Found::Int(number) => Found::Int(number),
            Found::Ip(address) => Found::Ip(address),
        })
    }

    /// Returns the value of the first expression that matches, with `\1` and so on replaced by what its groups took.
    pub fn lookup_groups(&self, text: &[u8]) -> Option<Vec<u8>> {
        let value = Value::str(text);
        if !self.changed.load(Ordering::Relaxed) {
            let entry = self.base.find(&value, |_| true)?;
            return with_groups(&self.base, entry, None, text);
        }
        let version = self.version();
        let (index, entry) = version.find(&value)?;
        with_groups(index, entry, version.value(index, entry), text)
    }

    /// Returns what an entry stands for; `value` is the one that it was given at run time.
    fn found<'i>(
        &self,
        index: &'i Index,
        entry: u32,
        value: Option<&'i [u8]>,
    ) -> Option<Found<'i>> {
        let entries = index.entries();
        let text = value.unwrap_or_else(|| entries.value(entry));
        match self.kind.output {
            Output::Key => Some(Found::Text(Cow::Borrowed(entries.key(entry)))),
            Output::Str => Some(Found::Text(Cow::Borrowed(text))),
            Output::Int if text.is_empty() => Some(Found::Int(0)),
            Output::Int => crate::rules::sample::parse_int(text).map(Found::Int),
            Output::Ip => parse_ip(text).map(Found::Ip),
        }
    }

    fn version(&self) -> Arc<Version> {
        self.live.load_full().unwrap_or_else(|| Arc::new(Version::of(self.base.clone())))
    }

    /// Returns all entries in their order: number, key and value.
    pub fn each(&self, mut each: impl FnMut(u32, &[u8], &[u8])) {
        let version = self.version();
        let entries = version.index.entries();
        for entry in (0..entries.len()).filter(|entry| version.alive(*entry)) {
            let value = version.value(&version.index, entry);
            each(entry, entries.key(entry), value.unwrap_or_else(|| entries.value(entry)));
        }
        let mut first = entries.len();
        for added in &version.added {
            let entries = added.entries();
            (0..entries.len()).for_each(|at| each(first + at, entries.key(at), entries.value(at)));
            first += entries.len();
        }
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        let mut count = 0;
        self.each(|_, _, _| count += 1);
        count
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Nothing is behind the lock: a change that panicked has published nothing.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a version in force; `known` is what the caller made it from. An old version takes a while to free if it is
    /// big: whoever made the change does that, not a shard.
    fn publish(&self, version: Version, known: Option<Arc<Version>>) {
        let before = self.live.swap(Some(Arc::new(version)));
        self.changed.store(true, Ordering::Release);
        drop(known);
        if let Some(before) = before {
            // A reader holds a version for one look-up.
            let mut turns = 0;
            while Arc::strong_count(&before) > 1 && turns < READER_TURNS_MAX {
                std::thread::yield_now();
                turns += 1;
            }
        }
    }

    /// Returns the key of the entry that a value matches.
    pub fn key(&self, value: &Value<'_>) -> Option<Vec<u8>> {
        let version = self.version();
        let (index, entry) = version.find(value)?;
        Some(index.entries().key(entry).to_vec())
    }

    /// Says what is wrong with entries that are to be added.
    pub fn check(&self, entries: &Entries) -> Result<(), String> {
        for entry in 0..entries.len() {
            check_value(self.kind.output, entries.value(entry))?;
        }
        let keys = entries.clone();
        Index::new(keys, self.kind.method, self.kind.ignore_case).map(|_| ()).map_err(
            |(entry, message)| {
                let key = String::from_utf8_lossy(entries.key(entry));
                format!("bad pattern `{key}`: {message}")
            },
        )
    }

    /// Adds an entry behind the others; the error is a message fragment.
    pub fn add(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let mut entries = Entries::new(self.kind.is_map);
        entries.push(key, value, 0);
        self.add_all(&entries)
    }

    /// Adds entries behind the others, all of them or, if one is wrong, none; the error is a message fragment.
    pub fn add_all(&self, entries: &Entries) -> Result<(), String> {
        self.check(entries)?;
        let _writing = self.lock();
        let version = self.version();
        let len = version.index.entries().len();
        let before: u32 = version.added.iter().map(|added| added.entries().len()).sum();
        if len <= SMALL_MAX || before.saturating_add(entries.len()) > changes_max(len) {
            let mut all = version.all(|_, _| true);
            all.append(entries);
            return self.rebuild(all, Some(version));
        }
        let mut added = version.added.clone();
        let last = added.pop_if(|last| last.entries().len() < RECENT_MAX);
        let mut recent = Entries::new(self.kind.is_map);
        last.iter().for_each(|last| recent.append(last.entries()));
        recent.append(entries);
        added.push(Arc::new(self.compile(recent)?));
        if added.len() > 2 {
            let mut merged = Entries::new(self.kind.is_map);
            added.drain(..2).for_each(|old| merged.append(old.entries()));
            added.insert(0, Arc::new(self.compile(merged)?));
        }
        let (index, dead) = (version.index.clone(), version.dead.clone());
        let next = Version { index, dead, added, values: version.values.clone() };
        self.publish(next, Some(version));
        Ok(())
    }

    /// Deletes entries by number and key; returns whether there were any.
    pub fn delete(&self, mut is: impl FnMut(u32, &[u8]) -> bool) -> bool {
        let _writing = self.lock();
        let version = self.version();
        let entries = version.index.entries();
        let mut dead = version.dead.clone();
        let mut any = false;
        for entry in (0..entries.len()).filter(|entry| version.alive(*entry)) {
            if is(entry, entries.key(entry)) {
                dead.resize(entries.len().div_ceil(64) as usize, 0);
                dead[entry as usize / 64] |= 1 << (entry % 64);
                any = true;
            }
        }
        let (mut added, mut first) = (Vec::new(), entries.len());
        for old in &version.added {
            let (entries, mut kept) = (old.entries(), Entries::new(self.kind.is_map));
            for at in (0..entries.len()).filter(|at| !is(first + at, entries.key(*at))) {
                kept.push(entries.key(at), entries.value(at), 0);
            }
            first += entries.len();
            if kept.len() == entries.len() {
                added.push(old.clone());
                continue;
            }
            any = true;
            // What was compiled once compiles again.
            let kept = self.compile(kept).ok().filter(|kept| !kept.entries().is_empty());
            added.extend(kept.map(Arc::new));
        }
        if !any {
            return false;
        }
        let (index, values) = (version.index.clone(), version.values.clone());
        self.publish(Version { index, dead, added, values }, Some(version));
        true
    }

    /// Gives entries another value, by number and key; returns whether there were any.
    pub fn set(
        &self,
        value: &[u8],
        mut is: impl FnMut(u32, &[u8]) -> bool,
    ) -> Result<bool, String> {
        check_value(self.kind.output, value)?;
        let _writing = self.lock();
        let version = self.version();
        let (entries, mut values) = (version.index.entries(), version.values.clone());
        let (value, mut any) = (Arc::<[u8]>::from(value), false);
        for entry in (0..entries.len()).filter(|entry| version.alive(*entry)) {
            if is(entry, entries.key(entry)) {
                values.insert(entry, value.clone());
                any = true;
            }
        }
        let (mut added, mut first) = (Vec::new(), entries.len());
        for old in &version.added {
            let (entries, mut new, mut hit) =
                (old.entries(), Entries::new(self.kind.is_map), false);
            for at in 0..entries.len() {
                let is = is(first + at, entries.key(at));
                hit |= is;
                new.push(entries.key(at), if is { &value } else { entries.value(at) }, 0);
            }
            first += entries.len();
            any |= hit;
            added.push(if hit { Arc::new(self.compile(new)?) } else { old.clone() });
        }
        if !any {
            return Ok(false);
        }
        let many = values.len() as u32 > changes_max(entries.len());
        let (index, dead) = (version.index.clone(), version.dead.clone());
        let next = Version { index, dead, added, values };
        match many {
            true => self.rebuild(next.all(|_, _| true), Some(version))?,
            false => self.publish(next, Some(version)),
        }
        Ok(true)
    }

    /// Replaces all entries at once; with none it empties the list.
    pub fn replace(&self, entries: Entries) -> Result<(), String> {
        for entry in 0..entries.len() {
            check_value(self.kind.output, entries.value(entry))?;
        }
        let _writing = self.lock();
        self.rebuild(entries, None)
    }

    fn compile(&self, entries: Entries) -> Result<Index, String> {
        Index::new(entries, self.kind.method, self.kind.ignore_case).map_err(|(_, message)| message)
    }

    fn rebuild(&self, entries: Entries, known: Option<Arc<Version>>) -> Result<(), String> {
        let index = self.compile(entries)?;
        self.publish(Version::of(Arc::new(index)), known);
        Ok(())
    }
}

impl Version {
    fn of(index: Arc<Index>) -> Self {
        Self { index, dead: Vec::new(), added: Vec::new(), values: HashMap::new() }
    }

    fn alive(&self, entry: u32) -> bool {
        self.dead.get(entry as usize / 64).is_none_or(|bits| bits >> (entry % 64) & 1 == 0)
    }

    /// Returns the value that an entry of one of the two indices was given at run time.
    fn value(&self, index: &Index, entry: u32) -> Option<&[u8]> {
        if self.values.is_empty() || !std::ptr::eq(index, &*self.index) {
            return None;
        }
        self.values.get(&entry).map(|value| &**value)
    }

    /// Returns the index and the entry of it that a value matches.
    fn find(&self, value: &Value<'_>) -> Option<(&Index, u32)> {
        let mut best =
            self.index.find(value, |entry| self.alive(entry)).map(|entry| (&*self.index, entry));
        for added in &self.added {
            let Some(entry) = added.find(value, |_| true) else { continue };
            // Of two that match, the closer one is the longer one; at the same length the older one stands first.
            let closer =
                |(index, old): (&Index, u32)| added.closeness(entry) > index.closeness(old);
            if best.is_none_or(closer) {
                best = Some((added, entry));
            }
        }
        best
    }

    fn all(&self, mut keep: impl FnMut(u32, &[u8]) -> bool) -> Entries {
        let old = self.index.entries();
        let mut entries = Entries::new(old.is_map());
        for entry in (0..old.len()).filter(|entry| self.alive(*entry)) {
            if keep(entry, old.key(entry)) {
                let value = self.value(&self.index, entry).unwrap_or_else(|| old.value(entry));
                entries.push(old.key(entry), value, old.line(entry));
            }
        }
        self.added.iter().for_each(|added| entries.append(added.entries()));
        entries
    }
}

/// Returns the value of an entry with the groups of its expression filled in.
fn with_groups(index: &Index, entry: u32, value: Option<&[u8]>, text: &[u8]) -> Option<Vec<u8>> {
    let groups = index.regex(entry)?.captures(text)?;
    let value = value.unwrap_or_else(|| index.entries().value(entry));
    let mut out = Vec::new();
    crate::rules::regexp::expand(value, &groups, &mut out);
    Some(out)
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Returns what is wrong with the value of an entry.
pub(in crate::rules) fn check_value(output: Output, value: &[u8]) -> Result<(), String> {
    let text = || String::from_utf8_lossy(value);
    match output {
        Output::Int if !value.is_empty() && crate::rules::sample::parse_int(value).is_none() => {
            Err(format!("bad value `{}`: expected a number", text()))
        }
        Output::Ip if parse_ip(value).is_none() => {
            Err(format!("bad value `{}`: expected an address", text()))
        }
        _ => Ok(()),
    }
}

/// Returns a number that no list has. Files count from a million on, so that `-u` may say any small one.
fn free_id(lists: &[Arc<List>]) -> u32 {
    (FILE_IDS..).find(|id| lists.iter().all(|list| list.id != *id)).unwrap_or(u32::MAX)
}

/// The first number of a file.
const FILE_IDS: u32 = 1_000_000;

/// All lists of a configuration.
#[derive(Debug, Default)]
pub struct Lists {
    lists: Mutex<Vec<Arc<List>>>,
    pending: Pending,
    /// Databases of networks, by the names of their files.
    databases: Mutex<HashMap<String, Arc<Database>>>,
}

impl Lists {
    /// Returns the list of that kind, reading and compiling it when it is asked for first.
    ///
    /// # Errors
    /// What is wrong with the file (line 0) or with its first bad line.
    pub fn list(
        &self,
        kind: Kind,
        read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Arc<List>, Fault> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lists.iter().find(|list| list.kind == kind) {
            return Ok(known.clone());
        }
        // One file has one number, whatever it is compiled for.
        let same = lists.iter().find(|list| list.kind.path == kind.path).map(|list| list.id);
        let id = same.unwrap_or_else(|| free_id(&lists));
        let bytes = read(&kind.path).map_err(|message| Fault::new(0, false, message))?;
        let entries = Entries::read(&bytes, kind.is_map);
        let list = List::new(kind, id, entries).map_err(|fault| fault.in_text(&bytes))?;
        let list = Arc::new(list);
        lists.push(list.clone());
        Ok(list)
    }

    /// Returns the database in a file, reading it when it is asked for first. The error is a message fragment.
    pub fn database(
        &self,
        path: &str,
        read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Arc<Database>, String> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = databases.get(path) {
            return Ok(known.clone());
        }
        let database = Arc::new(Database::open(read(path)?)?);
        databases.insert(path.to_owned(), database.clone());
        Ok(database)
    }

    /// Keeps the patterns of an ACL line under a number of their own (`-u`).
    ///
    /// # Errors
    /// What is wrong with the number, or with the first bad pattern.
    pub fn numbered(&self, kind: Kind, id: u32, entries: Entries) -> Result<Arc<List>, Fault> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that has the number by chance takes another one.
        if lists.iter().any(|list| list.id == id && !list.kind.path.is_empty()) {
            let message = format!("the number {id} is taken by the list of a file");
            return Err(Fault::new(0, false, message));
        }
        let list = Arc::new(List::new(kind, id, entries)?);
        lists.push(list.clone());
        Ok(list)
    }

    /// Returns the versions that are being prepared.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Returns all lists in the order in which the configuration names them.
    pub fn lists(&self) -> Vec<Arc<List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(method: Method, text: &str) -> List {
        let kind = Kind {
            path: "file".to_string(),
            method,
            ignore_case: false,
            is_map: true,
            output: Output::Str,
        };
        List::new(kind, 0, Entries::read(text.as_bytes(), true)).unwrap()
    }

    fn get(list: &List, text: &str) -> Option<String> {
        match list.lookup(&Value::str(text.as_bytes()))? {
            Found::Text(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn lines_are_read_as_the_manual_says() {
        let list = list(
            Method::Str,
            "# comment\n\n   2.22.246.0/23\t United Kingdom \t \nkey\n #no comment\r\n",
        );
        assert_eq!(get(&list, "2.22.246.0/23").as_deref(), Some("United Kingdom"));
        assert_eq!(get(&list, "key").as_deref(), Some(""));
        assert_eq!(get(&list, "#no").as_deref(), Some("comment"));
        assert_eq!(list.len(), 3);
    }

    /// Changes a list in every way, and looks at it after each step.
    fn changes(list: &List) {
        assert_eq!(get(list, "10.1.2.3").as_deref(), Some("net"));
        list.add(b"10.1.0.0/16", b"closer").unwrap();
        list.add(b"11.0.0.1", b"other").unwrap();
        assert_eq!(get(list, "10.1.2.3").as_deref(), Some("closer"));
        assert_eq!(get(list, "10.2.0.0").as_deref(), Some("net"));
        assert!(list.set(b"changed", |_, key| key == b"10.0.0.0/8").unwrap());
        assert_eq!(get(list, "10.2.0.0").as_deref(), Some("changed"));
        assert_eq!(get(list, "10.1.2.3").as_deref(), Some("closer"));
        assert!(list.delete(|_, key| key == b"10.1.0.0/16"));
        assert!(!list.delete(|_, key| key == b"10.1.0.0/16"));
        assert_eq!(get(list, "10.1.2.3").as_deref(), Some("changed"));
        assert!(list.delete(|_, key| key == b"10.0.0.0/8"));
        assert_eq!(get(list, "10.1.2.3"), None);
        assert_eq!(get(list, "11.0.0.1").as_deref(), Some("other"));
        assert!(list.add(b"nonsense", b"").is_err());
        assert_eq!(
            get(list, "11.0.0.1").as_deref(),
            Some("other"),
            "a refused change changes nothing"
        );
        list.replace(Entries::new(true)).unwrap();
        assert!(list.is_empty());
    }

    #[test]
    fn small_and_big_lists_change_alike() {
        let small = "10.0.0.0/8 net\n".to_string();
        changes(&list(Method::Ip, &small));
        let mut big = small;
        for number in 0..10 * SMALL_MAX {
            big += &format!("20.{}.{}.0/24 x\n", number / 256, number % 256);
        }
        changes(&list(Method::Ip, &big));
    }

    #[test]
    fn many_changes_of_a_big_list_are_merged_and_lose_nothing() {
        let key = |number: u32| format!("/{number}");
        let big: String = (0..1000).map(|number| format!("{} old\n", key(number))).collect();
        let list = list(Method::Str, &big);
        for number in 0..1000 {
            if number % 3 == 0 {
                assert!(list.set(b"new", |_, known| known == key(number).as_bytes()).unwrap());
            }
            if number % 5 == 0 {
                assert!(list.delete(|_, known| known == key(number).as_bytes()));
            }
            list.add(key(1000 + number).as_bytes(), b"added").unwrap();
            assert!(list.set(b"later", |_, known| known == key(1000 + number).as_bytes()).unwrap());
        }
        for number in 0..2000 {
            let expected = match number {
                1000.. => Some("later"),
                _ if number % 5 == 0 => None,
                _ if number % 3 == 0 => Some("new"),
                _ => Some("old"),
            };
            assert_eq!(get(&list, &key(number)).as_deref(), expected, "{number}");
        }
        assert_eq!(list.len(), 1800);
    }

    #[test]
    fn wrong_lines_are_named() {
        let kind = |method, output| Kind {
            path: "file".to_string(),
            method,
            ignore_case: false,
            is_map: true,
            output,
        };
        let error = |kind, text: &str| {
            let entries = Entries::read(text.as_bytes(), true);
            List::new(kind, 0, entries).unwrap_err().in_text(text.as_bytes())
        };
        let fault = error(kind(Method::Ip, Output::Str), "# x\n::1 a\n1.2.3 b\n  1.2.3.4.5 c");
        assert_eq!((fault.line, fault.column), (4, 3));
        assert!(fault.message.contains("`1.2.3.4.5`"), "{}", fault.message);
        let fault = error(kind(Method::Str, Output::Int), "a 1\n\u{e9}b \t x");
        assert_eq!((fault.line, fault.column), (2, 6));
        assert_eq!(error(kind(Method::Reg, Output::Str), "a 1\n(b x").line, 2);
    }

    #[test]
    fn a_file_is_loaded_once_per_method() {
        let registry = Lists::default();
        let kind = |method| Kind {
            path: "file".to_string(),
            method,
            ignore_case: false,
            is_map: false,
            output: Output::Str,
        };
        let get = |method| registry.list(kind(method), |_| Ok(b"a".to_vec())).unwrap();
        assert!(Arc::ptr_eq(&get(Method::Str), &get(Method::Str)));
        assert_eq!(get(Method::Beg).id(), get(Method::Str).id());
        assert_eq!(registry.lists().len(), 2);
    }
}
