//! The lines of a pattern or map file: keys and values in the order of the file, in two pieces of memory.

/// Texts one behind the other.
#[derive(Clone, Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // A file has less than 4 GiB: its reader sees to that.
        self.ends.push(self.bytes.len() as u32);
    }

    fn get(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).map_or(0, |end| *end as usize) };
        let end = self.ends.get(at).map_or(start, |end| *end as usize);
        &self.bytes[start..end]
    }
}

/// Keys and, of a map, values; an entry is named by its number in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    keys: Texts,
    values: Texts,
    /// Line of each entry in its file.
    lines: Vec<u32>,
    is_map: bool,
}

impl Entries {
    /// Returns no entries.
    pub fn new(is_map: bool) -> Self {
        Self { is_map, ..Self::default() }
    }

    /// Reads a file: one entry per line, `#` at the beginning of a line for comments, blanks around and between ignored.
    pub fn read(text: &[u8], is_map: bool) -> Self {
        let mut entries = Self::new(is_map);
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.first() == Some(&b'#') {
                continue;
            }
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
            let line = &line[start..];
            let (key, value) = if is_map {
                let end = line.iter().position(blank).unwrap_or(line.len());
                (&line[..end], line[end..].trim_ascii())
            } else {
                (line, &line[line.len()..])
            };
            if !key.is_empty() {
                entries.push(key, value, number as u32 + 1);
            }
        }
        entries
    }

    /// Appends an entry; `line` is 0 for one that came at run time.
    pub fn push(&mut self, key: &[u8], value: &[u8], line: u32) {
        self.keys.push(key);
        self.lines.push(line);
        if self.is_map {
            self.values.push(value);
        }
    }

    /// Appends entries that came at run time.
    pub fn append(&mut self, others: &Entries) {
        (0..others.len()).for_each(|at| self.push(others.key(at), others.value(at), 0));
    }

    /// Returns how many there are.
    pub fn len(&self) -> u32 {
        self.lines.len() as u32
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the key of an entry.
    pub fn key(&self, at: u32) -> &[u8] {
        self.keys.get(at)
    }

    /// Returns the value of an entry of a map; empty in other lists.
    pub fn value(&self, at: u32) -> &[u8] {
        if self.is_map { self.values.get(at) } else { b"" }
    }

    /// Returns the line that an entry stands in; 0 if it came at run time.
    pub fn line(&self, at: u32) -> u32 {
        self.lines.get(at as usize).copied().unwrap_or(0)
    }

    /// Returns whether the entries have values.
    pub fn is_map(&self) -> bool {
        self.is_map
    }

    /// Gives back memory that is not needed when no more entries come.
    pub fn shrink(&mut self) {
        self.keys.bytes.shrink_to_fit();
        self.keys.ends.shrink_to_fit();
        self.values.bytes.shrink_to_fit();
        self.values.ends.shrink_to_fit();
        self.lines.shrink_to_fit();
    }
}
