//! Dates as logs write them, formatted once per second and kept.

use crate::rules::write::{padded, uint};
use crate::stdx::time::{Civil, local_offset_s};
use std::cell::RefCell;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A formatted second: `06/Feb/2009:12:12:51`, and the offset behind it.
#[derive(Clone, Default)]
struct Second {
    at_s: u64,
    text: Vec<u8>,
    zone: Vec<u8>,
}

thread_local! {
    /// The last second that was formatted, in local time and in GMT.
    static LAST: RefCell<[Second; 2]> = RefCell::default();
}

/// Which zone a date is shown in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Local = 0,
    Gmt = 1,
}

fn format(at_s: u64, zone: Zone) -> Second {
    let offset_s = if zone == Zone::Local { local_offset_s(at_s as i64) } else { 0 };
    let civil = Civil::from_unix(at_s as i64 + i64::from(offset_s));
    let mut text = Vec::with_capacity(20);
    padded(&mut text, u64::from(civil.day), 2);
    text.push(b'/');
    text.extend_from_slice(MONTHS[usize::from(civil.month - 1) % 12]);
    text.push(b'/');
    padded(&mut text, civil.year.max(0) as u64, 4);
    for part in [civil.hour, civil.minute, civil.second] {
        text.push(b':');
        padded(&mut text, u64::from(part), 2);
    }
    let mut zone = vec![if offset_s < 0 { b'-' } else { b'+' }];
    let minutes = u64::from(offset_s.unsigned_abs()) / 60;
    padded(&mut zone, minutes / 60, 2);
    padded(&mut zone, minutes % 60, 2);
    Second { at_s, text, zone }
}

fn with(at_s: u64, zone: Zone, use_it: impl FnOnce(&Second)) {
    LAST.with_borrow_mut(|last| {
        let kept = &mut last[zone as usize];
        if kept.at_s != at_s || kept.text.is_empty() {
            *kept = format(at_s, zone);
        }
        use_it(kept);
    });
}

/// Appends `06/Feb/2009:12:12:51.443` in local time.
pub(super) fn with_millis(out: &mut Vec<u8>, at_us: u64) {
    with(at_us / 1_000_000, Zone::Local, |second| out.extend_from_slice(&second.text));
    out.push(b'.');
    padded(out, at_us / 1_000 % 1_000, 3);
}

/// Appends `06/Feb/2009:12:12:51 +0100`.
pub(super) fn with_zone(out: &mut Vec<u8>, at_us: u64, zone: Zone) {
    with(at_us / 1_000_000, zone, |second| {
        out.extend_from_slice(&second.text);
        out.push(b' ');
        out.extend_from_slice(&second.zone);
    });
}

/// Appends the number of microseconds as whole milliseconds, `-1` for a step that was not reached.
pub(super) fn millis(out: &mut Vec<u8>, us: i64) {
    if us < 0 {
        out.extend_from_slice(b"-1");
    } else {
        uint(out, us as u64 / 1_000);
    }
}
