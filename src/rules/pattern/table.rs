//! Numbers of entries by their text: open addressing over the texts that [`super::Entries`] keeps.
//!
//! It holds four to eight bytes per entry and no text. It is no defence against chosen keys and needs none: whoever
//! chooses the keys wrote the configuration, and a look-up ends at the first free slot.

use twox_hash::XxHash3_64;

/// Entries by text.
#[derive(Debug, Default)]
pub(in crate::rules) struct Table {
    /// Numbers plus one; 0 is free.
    slots: Box<[u32]>,
}

impl Table {
    /// Returns the table of the entries `0..count` with these hashes; at equal text, the lower number is found first.
    pub(in crate::rules) fn new(count: u32, hash_of: impl Fn(u32) -> Option<u64>) -> Self {
        let size = (count as usize * 2).next_power_of_two().max(2);
        let mut slots = vec![0u32; size].into_boxed_slice();
        for entry in 0..count {
            let Some(hash) = hash_of(entry) else { continue };
            let mut at = hash as usize & (size - 1);
            // The table is at most half full, so there is a free slot.
            while slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            slots[at] = entry + 1;
        }
        Self { slots }
    }

    /// Returns the first entry with that hash for which `is` holds.
    #[inline]
    pub(in crate::rules) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                entry if is(entry - 1) => return Some(entry - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }
}

/// Returns the hash of a text.
#[inline]
pub(in crate::rules) fn hash(text: &[u8]) -> u64 {
    XxHash3_64::oneshot(text)
}
