//! Versions of lists that are filled at run time and take effect all at once (`prepare`, `commit`).

use super::Entries;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most versions that may be prepared for a list at a time.
const VERSIONS_MAX: usize = 16;

/// The versions of one list.
#[derive(Debug, Default)]
struct Versions {
    current: u32,
    next: u32,
    prepared: Vec<(u32, Entries)>,
}

/// What is being prepared, by the number of the list.
#[derive(Debug, Default)]
pub struct Pending {
    lists: Mutex<HashMap<u32, Versions>>,
}

fn out_of_range() -> String {
    "Version number out of range.\n".to_owned()
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Versions>> {
        // A panic between two of its steps leaves a map that is still one.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the version in force and the last one that was begun.
    pub fn versions(&self, id: u32) -> (u32, u32) {
        self.lock().get(&id).map_or((0, 0), |versions| (versions.current, versions.next))
    }

    /// Begins another version of a list and returns its number.
    pub fn begin(&self, id: u32, is_map: bool) -> Result<u32, String> {
        let mut lists = self.lock();
        let versions = lists.entry(id).or_default();
        if versions.prepared.len() >= VERSIONS_MAX {
            return Err("Too many versions are being prepared: commit or clear one.\n".to_owned());
        }
        versions.next += 1;
        versions.prepared.push((versions.next, Entries::new(is_map)));
        Ok(versions.next)
    }

    /// Adds entries to a version that was begun.
    pub fn add(&self, id: u32, version: u32, entries: &Entries) -> Result<(), String> {
        let mut lists = self.lock();
        let prepared = lists.get_mut(&id).and_then(|versions| {
            versions.prepared.iter_mut().find(|(number, _)| *number == version)
        });
        let (_, known) = prepared.ok_or_else(out_of_range)?;
        (0..entries.len()).for_each(|at| known.push(entries.key(at), entries.value(at), 0));
        Ok(())
    }

    /// Hands a version that was begun to `look`.
    pub fn look(&self, id: u32, version: u32, look: impl FnOnce(&Entries)) -> Option<()> {
        let lists = self.lock();
        let prepared = &lists.get(&id)?.prepared;
        let (_, entries) = prepared.iter().find(|(number, _)| *number == version)?;
        look(entries);
        Some(())
    }

    /// Forgets a version that was begun.
    pub fn drop_version(&self, id: u32, version: u32) -> Result<(), String> {
        self.take(id, version, false).map(|_| ())
    }

    /// Takes a version out to be put in force; older ones are forgotten with it.
    pub fn commit(&self, id: u32, version: u32) -> Result<Entries, String> {
        self.take(id, version, true)
    }

    fn take(&self, id: u32, version: u32, commit: bool) -> Result<Entries, String> {
        let mut lists = self.lock();
        let versions = lists.get_mut(&id).ok_or_else(out_of_range)?;
        let at = versions.prepared.iter().position(|(number, _)| *number == version);
        let (_, entries) = versions.prepared.remove(at.ok_or_else(out_of_range)?);
        if commit {
            versions.current = version;
            versions.prepared.retain(|(number, _)| *number > version);
        }
        Ok(entries)
    }
}
