//! The one row type of every table of words: directives, fetches, converters, actions, algorithms, commands.

/// A row of a keyword table. Tables are sorted by `name`.
#[derive(Clone, Copy, Debug)]
pub struct Keyword<T> {
    /// The word as the user writes it.
    pub name: &'static str,
    /// Its arguments in the manual's notation, such as `<name> [if <condition>]`; empty for none.
    pub syntax: &'static str,
    /// What it does: one or two whole sentences.
    pub doc: &'static str,
    /// A line (or expression) that compiles; a test compiles it.
    pub example: &'static str,
    /// What the table's owner does with the word.
    pub build: T,
}

/// Returns the row of that name from a table sorted by name.
pub fn find<'t, T>(table: &'t [Keyword<T>], name: &str) -> Option<&'t Keyword<T>> {
    table.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &table[at])
}
