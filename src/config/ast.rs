//! The syntax tree: sections of lines of words, each with its place in a source file.

use super::section::SectionKind;

/// Index of a file in [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes `start..end` in one source file, with `start <= end <= text.len()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file that the offsets count in.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset one past the last byte.
    pub end: u32,
}

impl Span {
    /// Returns the smallest span that covers both (which must be of one file).
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Returns the span of `len` bytes that begins `offset` bytes into this one, clamped to it.
    pub fn slice(self, offset: usize, len: usize) -> Span {
        let start = (self.start + offset as u32).min(self.end);
        Span { file: self.file, start, end: (start + len as u32).min(self.end) }
    }
}

/// One configuration file as it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name to show: the path as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Offset of the first byte of each line; never empty.
    line_starts: Vec<u32>,
}

impl Source {
    /// Returns the number of the line that holds the byte at `offset`, counted from 1.
    pub fn line_number(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    /// Returns the text of a line (counted from 1) without its line end, or `""` if there is no such line.
    pub fn line(&self, number: usize) -> &str {
        let Some(&start) = number.checked_sub(1).and_then(|i| self.line_starts.get(i)) else {
            return "";
        };
        let end = self.line_starts.get(number).map_or(self.text.len(), |&e| e as usize);
        let line = self.text.get(start as usize..end).unwrap_or("");
        line.trim_end_matches(['\n', '\r'])
    }
}

/// All files of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as u32 + 1))
            .collect();
        self.files.push(Source { name: name.into(), text, line_starts });
        FileId(self.files.len() as u32 - 1)
    }

    /// Returns the file behind `id`.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// Iterates over all files in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(i, s)| (FileId(i as u32), s))
    }

    /// Returns line and column of the span's start, both counted from 1, columns in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        self.position(span.file, span.start)
    }

    /// Returns line and column of the span's end (one past the last character), both counted from 1.
    pub fn end_line_column(&self, span: Span) -> (usize, usize) {
        self.position(span.file, span.end)
    }

    /// Returns the source text that a span covers; empty if the span is not of this text.
    pub fn text(&self, span: Span) -> &str {
        let text = &self.get(span.file).text;
        text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn position(&self, file: FileId, offset: u32) -> (usize, usize) {
        let source = self.get(file);
        let line = source.line_number(offset);
        let start = source.line_starts[line - 1] as usize;
        let end = (offset as usize).min(source.text.len());
        let before = source.text.as_bytes().get(start..end).unwrap_or(&[]);
        // A character is counted at its first byte, so an offset inside one does no harm.
        let column = before.iter().filter(|&&b| b & 0xc0 != 0x80).count() + 1;
        (line, column)
    }

    /// Returns `file:line` of the span, as logs and `explain` print it.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}", self.get(span.file).name, self.line_column(span).0)
    }
}

/// One word of a line, after quotes, escapes and variables were resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The resolved text.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
    /// Whether any part of it was quoted or escaped (such a word is never an operator like `{` or `||`).
    pub quoted: bool,
}

impl Word {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// One directive line: at least one word.
#[derive(Clone, Debug)]
pub struct Line {
    /// The words; never empty.
    pub words: Vec<Word>,
    /// From the first word to the last.
    pub span: Span,
}

impl Line {
    /// Returns the first word.
    pub fn keyword(&self) -> &Word {
        &self.words[0]
    }

    /// Returns the words behind the first.
    pub fn args(&self) -> &[Word] {
        &self.words[1..]
    }
}

/// One section: its header line and the directive lines below it.
#[derive(Clone, Debug)]
pub struct Section {
    /// The header, such as `frontend www from base`: `words[0]` is the section keyword.
    pub header: Line,
    /// The lines of the section.
    pub lines: Vec<Line>,
}

impl Section {
    /// Returns which kind of section it is. A tree made by the parser holds only known kinds.
    pub fn kind(&self) -> Option<SectionKind> {
        SectionKind::parse(self.header.keyword().as_str())
    }

    /// Returns the section's name, if it was given one.
    pub fn name(&self) -> Option<&Word> {
        self.header.args().first().filter(|word| word.text != "from" || word.quoted)
    }

    /// Returns the name behind `from`: the `defaults` section that this one starts with.
    pub fn from(&self) -> Option<&Word> {
        let at = usize::from(self.name().is_some());
        match self.header.args().get(at..) {
            Some([from, name, ..]) if from.text == "from" => Some(name),
            _ => None,
        }
    }
}

/// A whole configuration: the sections of all files in order.
#[derive(Clone, Debug, Default)]
pub struct Ast {
    /// The sections in the order of files and lines.
    pub sections: Vec<Section>,
}
