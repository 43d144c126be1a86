//! The sections of the language: which words open one, and what may stand on the opening line.

use super::diagnostic::suggest;

/// A kind of section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // Each is named after its keyword.
pub enum SectionKind {
    Acme,
    Backend,
    Cache,
    CrtStore,
    Defaults,
    FcgiApp,
    Frontend,
    Global,
    HttpErrors,
    Listen,
    LogForward,
    LogProfile,
    Mailers,
    Peers,
    Program,
    Resolvers,
    Ring,
    Traces,
    Userlist,
}

/// Whether the opening line carries a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// A name must follow.
    Required,
    /// A name may follow.
    Optional,
    /// Nothing may follow.
    Unnamed,
}

/// A row of the table of sections.
#[derive(Clone, Copy, Debug)]
pub struct SectionRow {
    /// The word that opens the section.
    pub keyword: &'static str,
    /// The kind that it opens.
    pub kind: SectionKind,
    /// Whether it has a name.
    pub naming: Naming,
    /// Whether it works here.
    pub supported: bool,
    /// What the section is for: one sentence.
    pub doc: &'static str,
}

/// Every section, sorted by keyword.
pub static SECTIONS: &[SectionRow] = &[
    row(
        "acme",
        SectionKind::Acme,
        Naming::Required,
        "Where and how certificates are requested by ACME.",
    ),
    row(
        "backend",
        SectionKind::Backend,
        Naming::Required,
        "A farm of servers that frontends send streams to.",
    ),
    row("cache", SectionKind::Cache, Naming::Required, "A cache of small responses."),
    row(
        "crt-store",
        SectionKind::CrtStore,
        Naming::Optional,
        "Certificates that `bind` lines name.",
    ),
    row(
        "defaults",
        SectionKind::Defaults,
        Naming::Optional,
        "Settings that the proxies below start with.",
    ),
    row(
        "fcgi-app",
        SectionKind::FcgiApp,
        Naming::Required,
        "How a FastCGI application is spoken to.",
    ),
    row(
        "frontend",
        SectionKind::Frontend,
        Naming::Required,
        "Listening addresses and where their traffic goes.",
    ),
    row("global", SectionKind::Global, Naming::Unnamed, "Settings of the whole process."),
    row(
        "http-errors",
        SectionKind::HttpErrors,
        Naming::Required,
        "A named group of error responses.",
    ),
    row("listen", SectionKind::Listen, Naming::Required, "A frontend and a backend in one."),
    row("log-forward", SectionKind::LogForward, Naming::Required, "A relay of syslog messages."),
    row(
        "log-profile",
        SectionKind::LogProfile,
        Naming::Required,
        "What is logged at each step of a stream.",
    ),
    row("mailers", SectionKind::Mailers, Naming::Required, "Mail servers for alerts."),
    row(
        "peers",
        SectionKind::Peers,
        Naming::Required,
        "Other processes that stick tables are shared with.",
    ),
    row(
        "program",
        SectionKind::Program,
        Naming::Required,
        "An external program that is run beside the proxy.",
    ),
    row(
        "resolvers",
        SectionKind::Resolvers,
        Naming::Required,
        "Name servers that resolve server names at run time.",
    ),
    row("ring", SectionKind::Ring, Naming::Required, "A buffer of log messages in memory."),
    row("traces", SectionKind::Traces, Naming::Unnamed, "Which traces are on from the start."),
    row(
        "userlist",
        SectionKind::Userlist,
        Naming::Required,
        "Users and groups for HTTP authentication.",
    ),
];

impl SectionKind {
    /// Returns the kind that a keyword opens.
    pub fn parse(keyword: &str) -> Option<Self> {
        find(keyword).map(|row| row.kind)
    }

    /// Returns the keyword that opens a section of this kind.
    pub fn keyword(self) -> &'static str {
        SECTIONS.iter().find(|row| row.kind == self).map_or("", |row| row.keyword)
    }

    const fn is_supported(self) -> bool {
        matches!(
            self,
            Self::Global
                | Self::Defaults
                | Self::Frontend
                | Self::Backend
                | Self::HttpErrors
                | Self::Listen
                | Self::LogProfile
                | Self::Resolvers
                | Self::Ring
        )
    }

    /// Returns whether the section is a proxy: `defaults`, `frontend`, `backend` or `listen`.
    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Defaults | Self::Frontend | Self::Backend | Self::Listen)
    }
}

/// Returns the row of a section keyword.
pub fn find(keyword: &str) -> Option<&'static SectionRow> {
    SECTIONS.binary_search_by(|row| row.keyword.cmp(keyword)).ok().map(|at| &SECTIONS[at])
}

/// Returns the section keyword that `word` is a misspelling of, if one is near enough.
pub fn near(word: &str) -> Option<&'static str> {
    suggest(word, SECTIONS.iter().map(|row| row.keyword))
}

const fn row(
    keyword: &'static str,
    kind: SectionKind,
    naming: Naming,
    doc: &'static str,
) -> SectionRow {
    SectionRow { keyword, kind, naming, supported: kind.is_supported(), doc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_every_row_finds_itself() {
        assert!(SECTIONS.is_sorted_by(|a, b| a.keyword < b.keyword));
        for row in SECTIONS {
            assert_eq!(SectionKind::parse(row.keyword), Some(row.kind));
            assert_eq!(row.kind.keyword(), row.keyword);
            assert!(row.doc.ends_with('.'), "{}", row.keyword);
        }
    }

    #[test]
    fn misspelt_section_is_suggested() {
        assert_eq!(near("fronted"), Some("frontend"));
        assert_eq!(near("defualts"), Some("defaults"));
        assert_eq!(near("server"), None);
    }
}
