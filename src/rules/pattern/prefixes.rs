//! Networks and ranges by number: which entry is the closest around an address (longest prefix), in one binary search.
//!
//! Networks contain each other or are apart, so they cut the addresses into segments, each with the innermost network
//! that covers it. Every network knows the next one around it, for when it is deleted at run time.

use super::network::{Network, embedded_v4};
use std::net::{IpAddr, Ipv4Addr};

/// No entry.
const NONE: u32 = u32::MAX;

/// From this many segments on, the first 16 bits choose where to search: fewer are searched sooner than the table is
/// built, which a change at run time does anew.
const TOP_MIN: usize = 1 << 16;

/// Where segments begin, and which entry covers each.
#[derive(Debug)]
struct Segments<T> {
    starts: Box<[T]>,
    owners: Box<[u32]>,
    /// By the first 16 bits of a value: how many segments begin before it.
    top: Option<Box<[u32]>>,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { starts: [].into(), owners: [].into(), top: None }
    }
}

trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
    /// The first 16 bits.
    fn top(self) -> usize;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn top(self) -> usize {
        (self >> 16) as usize
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn top(self) -> usize {
        (self >> 112) as usize
    }
}

impl<T: Number> Segments<T> {
    /// Returns the segments of ranges that contain each other or are apart: first, last, entry. `around` learns the next
    /// entry around each.
    fn new(mut ranges: Vec<(T, T, u32)>, around: &mut [u32]) -> Self {
        // Outer ranges first; of equal ones the first of the file lies innermost.
        ranges
            .sort_unstable_by(|one, other| (one.0, other.1, other.2).cmp(&(other.0, one.1, one.2)));
        let mut segments = Builder { starts: Vec::new(), owners: Vec::new(), open: Vec::new() };
        for (first, last, entry) in ranges {
            segments.close_before(first);
            around[entry as usize] = segments.owner();
            segments.open.push((last, entry));
            segments.begin(first);
        }
        segments.close_all();
        let starts: Box<[T]> = segments.starts.into();
        let top = (starts.len() >= TOP_MIN).then(|| {
            let mut before = 0;
            let count = |bits: usize| {
                while starts.get(before).is_some_and(|start| start.top() < bits) {
                    before += 1;
                }
                before as u32
            };
            (0..=1 << 16).map(count).collect()
        });
        Self { starts, owners: segments.owners.into(), top }
    }

    #[inline]
    fn owner(&self, value: T) -> u32 {
        let (low, high) = match &self.top {
            None => (0, self.starts.len()),
            Some(top) => {
                let bits = value.top();
                (top[bits] as usize, top[bits + 1] as usize)
            }
        };
        let at = low + self.starts[low..high].partition_point(|start| *start <= value);
        if at == 0 { NONE } else { self.owners[at - 1] }
    }
}

struct Builder<T> {
    starts: Vec<T>,
    owners: Vec<u32>,
    /// Ranges that are not over yet, the innermost last: last value and entry.
    open: Vec<(T, u32)>,
}

impl<T: Number> Builder<T> {
    fn owner(&self) -> u32 {
        self.open.last().map_or(NONE, |(_, entry)| *entry)
    }

    /// Begins a segment of the innermost range.
    fn begin(&mut self, start: T) {
        let owner = self.owner();
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.owners.pop();
        }
        if self.owners.last() != Some(&owner) {
            self.starts.push(start);
            self.owners.push(owner);
        }
    }

    fn close_before(&mut self, first: T) {
        while let Some((last, _)) = self.open.last().copied().filter(|(last, _)| *last < first) {
            self.open.pop();
            if let Some(next) = last.next() {
                self.begin(next);
            }
        }
    }

    fn close_all(&mut self) {
        while let Some((last, _)) = self.open.pop() {
            if let Some(next) = last.next() {
                self.begin(next);
            }
        }
    }
}

/// Networks of both families, by entry.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    v4: Segments<u32>,
    v6: Segments<u128>,
    /// The next entry around each.
    around: Box<[u32]>,
    /// Networks under masks that are not a row of ones: address, mask, entry.
    odd: Vec<(u32, u32, u32)>,
}

impl Prefixes {
    pub(super) fn new(networks: &[Network]) -> Self {
        let (mut v4, mut v6, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, network) in networks.iter().enumerate() {
            let entry = entry as u32;
            match *network {
                Network::V4(address, mask) => {
                    let (address, mask) = (u32::from(address), u32::from(mask));
                    if mask.count_ones() == mask.leading_ones() {
                        v4.push((address, address | !mask, entry));
                    } else {
                        odd.push((address, mask, entry));
                    }
                }
                Network::V6(address, mask) => {
                    let address = u128::from(address);
                    v6.push((address, address | !u128::from(mask), entry));
                }
            }
        }
        let mut around = vec![NONE; networks.len()].into_boxed_slice();
        let v4 = Segments::new(v4, &mut around);
        let v6 = Segments::new(v6, &mut around);
        Self { v4, v6, around, odd }
    }

    /// Returns the entry of the longest prefix around an address; of networks that are no prefix, the first. IPv4 inside
    /// IPv6 counts as IPv4 and the other way round, after what the address is by itself.
    #[inline]
    pub(super) fn find(&self, address: IpAddr, alive: impl Fn(u32) -> bool + Copy) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self
                .in_v4(address, alive)
                .or_else(|| self.alive(self.v6.owner(address.to_ipv6_mapped().into()), alive))
                .or_else(|| self.in_odd(address, alive)),
            IpAddr::V6(address) => {
                let embedded = embedded_v4(address).map(Ipv4Addr::from);
                self.alive(self.v6.owner(address.into()), alive)
                    .or_else(|| self.in_v4(embedded?, alive))
                    .or_else(|| self.in_odd(embedded?, alive))
            }
        }
    }

    fn in_v4(&self, address: Ipv4Addr, alive: impl Fn(u32) -> bool) -> Option<u32> {
        self.alive(self.v4.owner(address.into()), alive)
    }

    fn in_odd(&self, address: Ipv4Addr, alive: impl Fn(u32) -> bool) -> Option<u32> {
        let address = u32::from(address);
        let fits = |odd: &&(u32, u32, u32)| address & odd.1 == odd.0 && alive(odd.2);
        self.odd.iter().find(fits).map(|odd| odd.2)
    }

    /// Returns the entry, or the next one around it that is not deleted.
    #[inline]
    fn alive(&self, mut entry: u32, alive: impl Fn(u32) -> bool) -> Option<u32> {
        while entry != NONE && !alive(entry) {
            entry = self.around[entry as usize];
        }
        (entry != NONE).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_that_are_so_many_that_a_table_chooses_among_them_are_found() {
        let network = |n: u32| Network::V4((0x0b00_0000 + n * 512).into(), 0xffff_ff00.into());
        let networks: Vec<Network> = (0..40_000).map(network).collect();
        let prefixes = Prefixes::new(&networks);
        assert!(prefixes.v4.top.is_some());
        let find = |address: u32| prefixes.find(Ipv4Addr::from(address).into(), |_| true);
        for n in 0..40_000 {
            let first = 0x0b00_0000 + n * 512;
            assert_eq!(
                [find(first), find(first + 255), find(first + 256)],
                [Some(n), Some(n), None]
            );
        }
        assert_eq!([find(0), find(0x0aff_ffff), find(u32::MAX)], [None; 3]);
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_found_and_the_next_one_when_it_is_gone(
            nets in proptest::collection::vec((0u32..64, 26u32..=32), 1..40),
            address in 0u32..80,
            dead in 0usize..40,
        ) {
            let parse = |(address, bits): &(u32, u32)| {
                Network::parse(&format!("{}/{bits}", Ipv4Addr::from(*address))).unwrap()
            };
            let networks: Vec<Network> = nets.iter().map(parse).collect();
            let prefixes = Prefixes::new(&networks);
            let alive = |entry: u32| entry as usize != dead;
            let mut best: Option<(u32, u32)> = None;
            for (entry, network) in networks.iter().enumerate() {
                let Network::V4(first, mask) = *network else { continue };
                let bits = u32::from(mask).count_ones();
                let inside = address & u32::from(mask) == u32::from(first);
                if inside && alive(entry as u32) && best.is_none_or(|(most, _)| bits > most) {
                    best = Some((bits, entry as u32));
                }
            }
            let found = prefixes.find(Ipv4Addr::from(address).into(), alive);
            prop_assert_eq!(found, best.map(|(_, entry)| entry));
        }
    }
}
