//! `show events`: the rings of the log, what one of them keeps, and what comes into it from now on.

use super::Call;
use crate::log::ring::{Framing, Ring};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of lines that one answer shows at most.
const SHOWN_MAX: usize = 64 << 20;

/// A ring that a session goes on to show as lines come.
#[derive(Clone, Debug)]
pub struct Follow {
    ring: Arc<Ring>,
    next: u64,
    nul: bool,
}

impl Follow {
    /// Returns the lines that came, after waiting for the first at most so long; `None` when nothing will follow.
    pub fn wait(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let portion = self.ring.read(self.next, Framing::Legacy, 64 << 10, patience);
        self.next = portion.next;
        let closed = portion.closed && portion.ends.is_empty();
        (!closed).then(|| ended(portion.bytes, &portion.ends, self.nul))
    }
}

/// Puts a zero byte behind each line in place of the newline, if that is wanted.
fn ended(mut bytes: Vec<u8>, ends: &[usize], nul: bool) -> Vec<u8> {
    if nul {
        for end in ends {
            bytes[end - 1] = 0;
        }
    }
    bytes
}

pub(super) fn show(call: &mut Call<'_>) -> Result<String, String> {
    let rings = &call.control.plan.rings;
    let Some((name, flags)) = call.words.split_first() else { return Ok(list(rings)) };
    let Some(ring) = rings.iter().find(|ring| ring.spec().name == *name) else {
        return Err("No such event sink\n".to_owned());
    };
    let (mut wait, mut new, mut nul) = (false, false, false);
    for flag in flags {
        let Some(letters) = flag.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return Err("unknown option\n".to_owned());
        };
        for letter in letters.chars() {
            match letter {
                'w' => wait = true,
                'n' => new = true,
                '0' => nul = true,
                _ => return Err("unknown option\n".to_owned()),
            }
        }
    }
    let from = if new { ring.end() } else { 0 };
    let portion = ring.read(from, Framing::Legacy, SHOWN_MAX, Duration::ZERO);
    let text = ended(portion.bytes, &portion.ends, nul);
    if wait {
        call.session.follow = Some(Follow { ring: Arc::clone(ring), next: portion.next, nul });
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn list(rings: &[Arc<Ring>]) -> String {
    let mut text =
        "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n"
            .to_owned();
    for ring in rings {
        let spec = ring.spec();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "    {:<10} : type=buffer, {} dropped, {}",
            spec.name,
            ring.dropped(),
            spec.description
        );
    }
    text
}
