//! What the process knows about itself: identity, limits and how busy it is.
//!
//! Captured once at start, before `chroot` hides `/proc`: the open descriptors go on telling the truth afterwards.
//! Never a source of configuration; what cannot be read is `None` and is then not shown.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel's clock ticks per second in `/proc/*/stat`: 100 on every architecture that fastlb runs on.
const TICKS_PER_SECOND: u64 = 100;
/// Bytes of a page in `/proc/*/statm`.
const PAGE: u64 = 4096;

/// The running process.
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, since 1970.
    pub started: Duration,
    /// Limit of open descriptors.
    pub descriptors_max: Option<u64>,
    stat: Option<File>,
    statm: Option<File>,
}

impl Process {
    /// Looks at the running process; call it after the descriptor limit was raised and before `chroot`.
    pub fn capture() -> Self {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            pid: std::process::id(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            descriptors_max: descriptors_max(&limits),
            stat: File::open("/proc/self/stat").ok(),
            statm: File::open("/proc/self/statm").ok(),
        }
    }

    /// Returns the CPU time of all threads so far.
    pub fn cpu_time(&self) -> Option<Duration> {
        let ticks = cpu_ticks(&read(self.stat.as_ref()?)?)?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// Returns the bytes of memory that are resident.
    pub fn resident_bytes(&self) -> Option<u64> {
        let text = read(self.statm.as_ref()?)?;
        let pages: u64 = text.split(' ').nth(1)?.trim().parse().ok()?;
        Some(pages * PAGE)
    }
}

/// Reads a small file of `/proc` again from its beginning.
fn read(file: &File) -> Option<String> {
    let mut buffer = [0; 1024];
    let len = file.read_at(&mut buffer, 0).ok()?;
    Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

/// Returns user and system ticks of a `stat` line; the command's name may contain anything, so count from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Returns the soft limit of the `Max open files` row.
fn descriptors_max(limits: &str) -> Option<u64> {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_a_name_with_parentheses_and_blanks() {
        let line = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 110 22 0 0 20 0 4 0 99 1 2";
        assert_eq!(cpu_ticks(line), Some(132));
        assert_eq!(cpu_ticks("7 (cut"), None);
        assert_eq!(cpu_ticks("7 (cut) R 1 2"), None);
    }

    #[test]
    fn the_soft_limit_of_descriptors_is_read() {
        let text = "Limit  Soft  Hard\nMax open files            20000     30000    files\n";
        assert_eq!(descriptors_max(text), Some(20_000));
        assert_eq!(descriptors_max("Max open files  unlimited unlimited files"), None);
    }

    #[test]
    fn the_running_process_has_used_memory_and_can_be_asked_twice() {
        let process = Process::capture();
        assert_eq!(process.pid, std::process::id());
        assert!(process.resident_bytes() > Some(100_000));
        let before = process.cpu_time();
        assert!(before.is_some() && process.cpu_time() >= before);
    }
}
