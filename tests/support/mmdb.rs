//! Writes small MaxMind databases by the published format, for tests; the crate's own tests include it too.
//!
//! [`Writer::insert`] takes networks in any order of length that goes from the wide to the narrow, and
//! [`Writer::bytes`] writes tree, values and description. Texts that are [`Item::Shared`] stand once and are pointed to.

use std::collections::HashMap;
use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
#[allow(dead_code)]
pub(crate) enum Item {
    Text(String),
    /// Text that a pointer leads to.
    Shared(String),
    Double(f64),
    Int32(i32),
    Uint32(u32),
    Uint64(u64),
    Bool(bool),
    Map(Vec<(String, Item)>),
    Array(Vec<Item>),
}

#[derive(Clone, Copy, Debug)]
enum Record {
    Nothing,
    Node(usize),
    Value(usize),
}

/// A database that grows.
#[derive(Debug)]
pub(crate) struct Writer {
    bits: u16,
    is_v6: bool,
    nodes: Vec<[Record; 2]>,
    values: Vec<u8>,
    shared: HashMap<String, usize>,
}

impl Writer {
    pub(crate) fn new(bits: u16, is_v6: bool) -> Self {
        let nodes = vec![[Record::Nothing; 2]];
        Self { bits, is_v6, nodes, values: Vec::new(), shared: HashMap::new() }
    }

    /// Gives a network its record.
    pub(crate) fn insert(&mut self, network: &str, item: Item) {
        let (address, len) = network.split_once('/').expect("an address and a length");
        let len: u32 = len.parse().expect("a length");
        let (bits, len) = match address.parse().expect("an address") {
            IpAddr::V4(address) if self.is_v6 => (u128::from(address.to_bits()), 96 + len),
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, len),
            IpAddr::V6(address) => (address.to_bits(), len),
        };
        let mut value = Vec::new();
        self.write(&item, &mut value);
        let record = Record::Value(self.values.len());
        self.values.extend_from_slice(&value);
        if len == 0 {
            self.nodes[0] = [record; 2];
            return;
        }
        let mut node = 0;
        for depth in 0..len {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == len {
                self.nodes[node][side] = record;
                return;
            }
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                other => {
                    self.nodes.push([other; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
    }

    /// Writes the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len() as u64;
        let mut out = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|record| match record {
                Record::Nothing => count,
                Record::Node(node) => node as u64,
                Record::Value(at) => count + 16 + at as u64,
            });
            let tail = |number: u64, len: usize| number.to_be_bytes()[8 - len..].to_vec();
            match self.bits {
                28 => {
                    out.extend(tail(left, 3));
                    out.push((left >> 24 << 4) as u8 | (right >> 24) as u8);
                    out.extend(tail(right, 3));
                }
                bits => {
                    out.extend(tail(left, usize::from(bits) / 8));
                    out.extend(tail(right, usize::from(bits) / 8));
                }
            }
        }
        out.extend([0; 16]);
        out.extend_from_slice(&self.values);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let number = |name: &str, number: u32| (name.to_string(), Item::Uint32(number));
        let description = Item::Map(vec![
            number("binary_format_major_version", 2),
            number("binary_format_minor_version", 0),
            ("build_epoch".to_string(), Item::Uint64(1_700_000_000)),
            ("database_type".to_string(), Item::Text("Test-Country".to_string())),
            ("languages".to_string(), Item::Array(vec![Item::Text("en".to_string())])),
            number("ip_version", if self.is_v6 { 6 } else { 4 }),
            number("node_count", count as u32),
            number("record_size", u32::from(self.bits)),
        ]);
        // The description has no pointers: those of the values would not hold there.
        Writer::new(24, false).write(&description, &mut out);
        out
    }

    fn write(&mut self, item: &Item, out: &mut Vec<u8>) {
        match item {
            Item::Text(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Item::Shared(text) => {
                let at = self.shared.get(text).copied().unwrap_or_else(|| {
                    let at = self.values.len();
                    control(2, text.len(), &mut self.values);
                    self.values.extend_from_slice(text.as_bytes());
                    self.shared.insert(text.clone(), at);
                    at
                });
                pointer(at, out);
            }
            Item::Double(number) => {
                control(3, 8, out);
                out.extend(number.to_be_bytes());
            }
            Item::Int32(number) => {
                control(8, 4, out);
                out.extend(number.to_be_bytes());
            }
            Item::Uint32(number) => number_of(6, u64::from(*number), out),
            Item::Uint64(number) => number_of(9, *number, out),
            Item::Bool(is) => control(14, usize::from(*is), out),
            Item::Map(entries) => {
                control(7, entries.len(), out);
                for (name, item) in entries {
                    control(2, name.len(), out);
                    out.extend_from_slice(name.as_bytes());
                    self.write(item, out);
                }
            }
            Item::Array(items) => {
                control(11, items.len(), out);
                items.iter().for_each(|item| self.write(item, out));
            }
        }
    }
}

/// Writes a number without the zeros before it.
fn number_of(kind: u8, number: u64, out: &mut Vec<u8>) {
    let len = 8 - number.leading_zeros() as usize / 8;
    control(kind, len, out);
    out.extend_from_slice(&number.to_be_bytes()[8 - len..]);
}

fn pointer(at: usize, out: &mut Vec<u8>) {
    match at {
        0..2048 => out.extend([1 << 5 | (at >> 8) as u8, at as u8]),
        2048..526_336 => {
            let at = at - 2048;
            out.extend([1 << 5 | 1 << 3 | (at >> 16) as u8, (at >> 8) as u8, at as u8]);
        }
        _ => {
            out.push(1 << 5 | 3 << 3);
            out.extend((at as u32).to_be_bytes());
        }
    }
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, more) = match size {
        0..29 => (size, Vec::new()),
        29..285 => (29, vec![(size - 29) as u8]),
        285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
        _ => (31, ((size - 65_821) as u32).to_be_bytes()[1..].to_vec()),
    };
    match kind {
        0..=7 => out.push(kind << 5 | short as u8),
        _ => out.extend([short as u8, kind - 7]),
    }
    out.extend(more);
}
