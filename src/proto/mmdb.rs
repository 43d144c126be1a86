//! MaxMind databases (`.mmdb`): what is known about the network around an address.
//!
//! A file is a binary tree over the bits of addresses whose leaves point into a section of typed values. Opening looks
//! only at the description behind the tree; a look-up follows at most 128 nodes and then one path of names through maps
//! and arrays. It copies nothing, follows no pointer to a pointer, walks over nested values without recursion, and takes
//! at most [`STEPS_MAX`] steps, so that a broken or hostile file costs no more than that and yields nothing. The format
//! is the published one, version 2. Reading the file is left to the caller.

use std::net::IpAddr;

/// Stands before the description, which is the last part of a file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The description is that close to the end.
const METADATA_MAX: usize = 128 * 1024;
/// Zeros between the tree and the values.
const SEPARATOR: usize = 16;
/// Most values that one look-up passes; records of real databases have less than a hundred.
const STEPS_MAX: u32 = 10_000;
/// Most values that [`Database::has`] passes.
const SAMPLE_STEPS_MAX: u32 = 1_000_000;

/// An open database.
#[derive(Debug)]
pub struct Database {
    bytes: Box<[u8]>,
    nodes: u32,
    record_bits: u16,
    is_v6: bool,
    /// Where the tree of IPv4 begins: a node, or what stands in its place.
    v4_root: u32,
    /// Length of the tree; the values begin [`SEPARATOR`] behind it.
    tree: usize,
    /// Where the values end.
    end: usize,
    kind: String,
}

/// One step on the way to a value: a name in a map, or a place in an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    name: Box<[u8]>,
    index: Option<u32>,
}

/// Takes a path such as `country.iso_code` or `subdivisions.0.iso_code` apart; `None` if a step is empty.
pub fn path(text: &str) -> Option<Box<[Step]>> {
    let step = |name: &str| {
        let index = name.parse().ok();
        (!name.is_empty()).then(|| Step { name: name.as_bytes().into(), index })
    };
    text.split('.').map(step).collect()
}

/// A value that is no map and no array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Text.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A number without sign.
    Unsigned(u128),
    /// A number with a sign.
    Signed(i32),
    /// A floating point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
}

/// The control byte of a value, and where its content begins.
#[derive(Clone, Copy, Debug)]
struct Field {
    kind: u8,
    size: u32,
    at: usize,
}

const POINTER: u8 = 1;
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const BYTES: u8 = 4;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const INT32: u8 = 8;
const UINT64: u8 = 9;
const UINT128: u8 = 10;
const ARRAY: u8 = 11;
const BOOL: u8 = 14;
const FLOAT: u8 = 15;

/// A piece of a file that holds values; pointers count from its beginning.
#[derive(Clone, Copy)]
struct Section<'a> {
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads what a value says of itself.
    fn field(self, at: usize) -> Option<Field> {
        let byte = |at: usize| self.bytes.get(at).copied();
        let control = byte(at)?;
        let mut at = at + 1;
        let mut kind = control >> 5;
        if kind == POINTER {
            return Some(Field { kind, size: u32::from(control & 31), at });
        }
        if kind == 0 {
            kind = byte(at)?.checked_add(7).filter(|kind| *kind > 7)?;
            at += 1;
        }
        let mut size = u32::from(control & 31);
        if size >= 29 {
            let (len, base) = [(1, 29), (2, 285), (3, 65_821)][size as usize - 29];
            size = base + big_endian(self.bytes.get(at..at + len)?) as u32;
            at += len;
        }
        Some(Field { kind, size, at })
    }

    /// Returns where a pointer points and where it ends.
    fn pointer(self, field: Field) -> Option<(usize, usize)> {
        let (low, len) = (u128::from(field.size & 7), (field.size as usize >> 3) + 1);
        let rest = big_endian(self.bytes.get(field.at..field.at + len)?);
        let target = match len {
            1 => low << 8 | rest,
            2 => (low << 16 | rest) + 2048,
            3 => (low << 24 | rest) + 526_336,
            _ => rest,
        };
        Some((usize::try_from(target).ok()?, field.at + len))
    }

    /// Reads a value, or the one that it points to.
    fn resolved(self, at: usize) -> Option<Field> {
        let field = self.field(at)?;
        if field.kind != POINTER {
            return Some(field);
        }
        let (target, _) = self.pointer(field)?;
        self.field(target).filter(|field| field.kind != POINTER)
    }

    /// Returns where a value ends.
    fn skip(self, at: usize, steps: &mut u32) -> Option<usize> {
        let (mut at, mut open) = (at, 1u64);
        while open > 0 {
            *steps = steps.checked_sub(1)?;
            let field = self.field(at)?;
            open -= 1;
            at = match field.kind {
                POINTER => self.pointer(field)?.1,
                MAP => {
                    open += 2 * u64::from(field.size);
                    field.at
                }
                ARRAY => {
                    open += u64::from(field.size);
                    field.at
                }
                BOOL => field.at,
                _ => field.at.checked_add(field.size as usize)?,
            };
        }
        (at <= self.bytes.len()).then_some(at)
    }

    fn content(self, field: Field) -> Option<&'a [u8]> {
        self.bytes.get(field.at..field.at.checked_add(field.size as usize)?)
    }

    /// Returns where the value of a name in a map, or at a place of an array, begins.
    fn child(self, of: Field, step: &Step, steps: &mut u32) -> Option<usize> {
        let mut at = of.at;
        match of.kind {
            MAP => {
                for _ in 0..of.size {
                    *steps = steps.checked_sub(1)?;
                    let key = self.resolved(at).filter(|key| key.kind == TEXT)?;
                    let is = self.content(key)? == &*step.name;
                    at = self.skip(at, steps)?;
                    if is {
                        return Some(at);
                    }
                    at = self.skip(at, steps)?;
                }
                None
            }
            ARRAY => {
                let index = step.index.filter(|index| *index < of.size)?;
                for _ in 0..index {
                    at = self.skip(at, steps)?;
                }
                Some(at)
            }
            _ => None,
        }
    }

    /// Follows a path from the value at `at`.
    fn follow(self, at: usize, path: &[Step], steps: &mut u32) -> Option<Scalar<'a>> {
        let mut field = self.resolved(at)?;
        for step in path {
            field = self.resolved(self.child(field, step, steps)?)?;
        }
        self.scalar(field)
    }

    fn scalar(self, field: Field) -> Option<Scalar<'a>> {
        if field.kind == BOOL {
            return (field.size <= 1).then_some(Scalar::Bool(field.size == 1));
        }
        let content = self.content(field)?;
        let most = |most: usize| (content.len() <= most).then(|| big_endian(content));
        match field.kind {
            TEXT => Some(Scalar::Text(content)),
            BYTES => Some(Scalar::Bytes(content)),
            UINT16 => most(2).map(Scalar::Unsigned),
            UINT32 => most(4).map(Scalar::Unsigned),
            UINT64 => most(8).map(Scalar::Unsigned),
            UINT128 => most(16).map(Scalar::Unsigned),
            INT32 => most(4).map(|bits| Scalar::Signed(bits as u32 as i32)),
            DOUBLE => content.try_into().ok().map(|bits| Scalar::Double(f64::from_be_bytes(bits))),
            FLOAT => {
                let bits = content.try_into().ok()?;
                Some(Scalar::Double(f64::from(f32::from_be_bytes(bits))))
            }
            _ => None,
        }
    }
}

fn big_endian(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

impl Database {
    /// Opens the database that `bytes` are; the error is a message fragment.
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let from = bytes.len().saturating_sub(METADATA_MAX);
        let marker = memchr::memmem::rfind(&bytes[from..], MARKER)
            .map(|at| from + at)
            .ok_or("it is no MaxMind database: there is no description at its end")?;
        let metadata = Section { bytes: &bytes[marker + MARKER.len()..] };
        let get = |name: &str| metadata.follow(0, &path(name)?, &mut { STEPS_MAX });
        let number = |name: &str| match get(name) {
            Some(Scalar::Unsigned(number)) => Ok(number),
            _ => Err(format!("its description has no number `{name}`")),
        };
        let version = number("binary_format_major_version")?;
        if version != 2 {
            return Err(format!("its format has version {version}, expected 2"));
        }
        let (nodes, bits) = (number("node_count")?, number("record_size")?);
        if !matches!(bits, 24 | 28 | 32) {
            return Err(format!("its tree has records of {bits} bits, expected 24, 28 or 32"));
        }
        let tree = nodes * bits / 4;
        if nodes == 0 || nodes > u128::from(u32::MAX) || tree + SEPARATOR as u128 > marker as u128 {
            return Err(format!("it is cut short: there is no room for its {nodes} nodes"));
        }
        let is_v6 = match number("ip_version")? {
            4 => false,
            6 => true,
            other => return Err(format!("its addresses have version {other}, expected 4 or 6")),
        };
        let kind = match get("database_type") {
            Some(Scalar::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let mut database = Self {
            nodes: nodes as u32,
            record_bits: bits as u16,
            is_v6,
            v4_root: 0,
            tree: tree as usize,
            end: marker,
            kind,
            bytes: bytes.into(),
        };
        if is_v6 {
            let zeros = std::iter::repeat_n(false, 96);
            database.v4_root = database.walk(0, zeros);
        }
        Ok(database)
    }

    /// Returns what the database says it is, `GeoLite2-Country` say.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns what `path` leads to in the record of the network around an address.
    pub fn lookup(&self, address: IpAddr, path: &[Step]) -> Option<Scalar<'_>> {
        let (root, bits, width) = match address {
            IpAddr::V4(address) => (self.v4_root, u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(v4) => (self.v4_root, u128::from(v4.to_bits()), 32),
                None if self.is_v6 => (0, address.to_bits(), 128),
                None => return None,
            },
        };
        let record = self.walk(root, (0..width).rev().map(|bit| bits >> bit & 1 == 1));
        self.values().follow(self.offset(record)?, path, &mut { STEPS_MAX })
    }

    /// Returns whether any of the first records has a value there, to find a path that is wrong.
    pub fn has(&self, path: &[Step]) -> bool {
        let mut left = SAMPLE_STEPS_MAX;
        for at in self.records() {
            let mut steps = STEPS_MAX.min(left);
            let before = steps;
            if self.values().follow(at, path, &mut steps).is_some() {
                return true;
            }
            left = left.saturating_sub(before - steps + 1);
            if left == 0 {
                break;
            }
        }
        false
    }

    /// Returns where the records of all networks begin, in the order of the tree.
    fn records(&self) -> impl Iterator<Item = usize> {
        let sides = (0..self.nodes).flat_map(|node| [(node, false), (node, true)]);
        sides.filter_map(|(node, right)| self.offset(self.child(node, right)))
    }

    /// Returns the names of the first record, for a message.
    pub fn names(&self) -> Vec<String> {
        let first = self.records().next();
        let mut names = Vec::new();
        let values = self.values();
        let Some(map) = first.and_then(|at| values.resolved(at)).filter(|map| map.kind == MAP)
        else {
            return names;
        };
        let (mut at, mut steps) = (map.at, STEPS_MAX);
        for _ in 0..map.size.min(32) {
            let Some(name) = values.resolved(at).and_then(|key| values.content(key)) else { break };
            names.push(String::from_utf8_lossy(name).into_owned());
            let next = values.skip(at, &mut steps).and_then(|at| values.skip(at, &mut steps));
            let Some(next) = next else { break };
            at = next;
        }
        names
    }

    fn values(&self) -> Section<'_> {
        // `open` has seen that the tree and the zeros end before the description.
        Section { bytes: &self.bytes[self.tree + SEPARATOR..self.end] }
    }

    /// Returns where among the values a record points to; `None` if it is a node or nothing.
    fn offset(&self, record: u32) -> Option<usize> {
        let behind = record.checked_sub(self.nodes)? as usize;
        behind.checked_sub(SEPARATOR)
    }

    /// Follows bits down the tree until they end or a record is no node.
    fn walk(&self, root: u32, bits: impl Iterator<Item = bool>) -> u32 {
        let mut record = root;
        for right in bits {
            if record >= self.nodes {
                break;
            }
            record = self.child(record, right);
        }
        record
    }

    /// Returns one of the two records of a node.
    fn child(&self, node: u32, right: bool) -> u32 {
        let size = usize::from(self.record_bits) / 4;
        let at = node as usize * size;
        // Nodes have numbers below `nodes`, and `open` has seen that all of them are there.
        let Some(node) = self.bytes.get(at..at + size) else { return self.nodes };
        let number = |bytes: &[u8]| big_endian(bytes) as u32;
        match (self.record_bits, right) {
            (28, false) => u32::from(node[3] >> 4) << 24 | number(&node[..3]),
            (28, true) => u32::from(node[3] & 15) << 24 | number(&node[4..]),
            (_, false) => number(&node[..size / 2]),
            (_, true) => number(&node[size / 2..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::mmdb_writer::{Item, Writer};
    use proptest::prelude::*;

    fn country(code: &str) -> Item {
        Item::Map(vec![
            ("country".into(), Item::Map(vec![("iso_code".into(), Item::Text(code.into()))])),
            ("asn".into(), Item::Uint32(64_500)),
        ])
    }

    fn text(database: &Database, address: &str, at: &str) -> Option<String> {
        match database.lookup(address.parse().unwrap(), &path(at).unwrap())? {
            Scalar::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            other => Some(format!("{other:?}")),
        }
    }

    fn sample(bits: u16, is_v6: bool) -> Writer {
        let mut writer = Writer::new(bits, is_v6);
        for (network, code) in [("10.0.0.0/8", "AA"), ("10.1.0.0/16", "BB"), ("192.0.2.1/32", "CC")]
        {
            writer.insert(network, country(code));
        }
        if is_v6 {
            writer.insert("2001:db8::/32", country("DD"));
        }
        writer
    }

    #[test]
    fn the_longest_network_around_an_address_is_found_with_records_of_every_size() {
        for (bits, is_v6) in [(24, false), (24, true), (28, false), (28, true), (32, true)] {
            let database = Database::open(sample(bits, is_v6).bytes()).unwrap();
            let get = |address| text(&database, address, "country.iso_code");
            assert_eq!(get("10.200.0.1").as_deref(), Some("AA"), "{bits} {is_v6}");
            assert_eq!(get("10.1.255.255").as_deref(), Some("BB"));
            assert_eq!(get("::ffff:10.1.0.0").as_deref(), Some("BB"));
            assert_eq!(get("192.0.2.1").as_deref(), Some("CC"));
            assert_eq!(get("192.0.2.0"), None);
            assert_eq!(get("2001:db8::1").as_deref(), is_v6.then_some("DD"));
            assert_eq!(get("2001:db9::1"), None);
            assert_eq!(text(&database, "10.0.0.0", "asn").as_deref(), Some("Unsigned(64500)"));
            assert_eq!(text(&database, "10.0.0.0", "country"), None);
            assert_eq!(text(&database, "10.0.0.0", "asn.x"), None);
            assert_eq!(database.names(), ["country", "asn"]);
            assert!(database.has(&path("asn").unwrap()));
            assert!(!database.has(&path("contry").unwrap()));
        }
    }

    #[test]
    fn every_type_of_value_is_read() {
        let mut writer = Writer::new(24, false);
        let long = "x".repeat(70_000);
        let items = [
            ("short", Item::Text("a".into()), "a".to_string()),
            ("of 29", Item::Text("y".repeat(29)), "y".repeat(29)),
            ("of 300", Item::Text("z".repeat(300)), "z".repeat(300)),
            ("long", Item::Text(long.clone()), long),
            ("u64", Item::Uint64(1 << 40), format!("{:?}", Scalar::Unsigned(1 << 40))),
            ("i32", Item::Int32(-7), format!("{:?}", Scalar::Signed(-7))),
            ("double", Item::Double(1.5), format!("{:?}", Scalar::Double(1.5))),
            ("bool", Item::Bool(true), format!("{:?}", Scalar::Bool(true))),
            ("behind", Item::Shared("t".repeat(3)), "ttt".to_string()),
            ("again", Item::Shared("t".repeat(3)), "ttt".to_string()),
        ];
        let map = items.iter().map(|(name, item, _)| ((*name).to_string(), item.clone()));
        let list = Item::Array(vec![Item::Map(map.clone().collect()), Item::Text("second".into())]);
        writer.insert("0.0.0.0/0", Item::Map(vec![("list".into(), list)]));
        let database = Database::open(writer.bytes()).unwrap();
        for (name, _, expected) in &items {
            let got = text(&database, "1.2.3.4", &format!("list.0.{name}"));
            assert_eq!(got.as_ref(), Some(expected), "{name}");
        }
        assert_eq!(text(&database, "1.2.3.4", "list.1").as_deref(), Some("second"));
        assert_eq!(text(&database, "1.2.3.4", "list.2"), None);
    }

    #[test]
    fn what_is_no_database_is_refused_with_the_reason() {
        let whole = sample(28, true).bytes();
        let bad = |bytes: Vec<u8>| Database::open(bytes).unwrap_err();
        assert!(bad(Vec::new()).contains("no MaxMind database"));
        assert!(bad(whole[..whole.len() - 200].to_vec()).contains("no MaxMind database"));
        assert!(bad(whole[whole.len() - 300..].to_vec()).contains("cut short"));
    }

    proptest! {
        #[test]
        fn no_byte_of_a_file_makes_it_panic_or_loop(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
            address: u128,
        ) {
            let mut bytes = sample(28, true).bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(database) = Database::open(bytes) {
                let way = path("country.iso_code").unwrap();
                database.lookup(IpAddr::V6(address.into()), &way);
                database.lookup("10.1.2.3".parse().unwrap(), &way);
                database.has(&way);
                database.names();
            }
        }
    }
}
