//! What is known of a proxy section while its lines are read.

use super::errors::ErrorLine;
use super::log::LogDraft;
use super::stats::StatsDraft;
use super::stick::TableDraft;
use super::{CaptureDraft, CheckDraft};
use crate::balance::Algorithm;
use crate::config::ast::{Line, Section, Span, Word};
use crate::config::section::SectionKind;
use crate::plan::server_line::{ServerDraft, ServerParams};
use crate::plan::{
    AddressField, Bind, ConnectionMode, CookiePolicy, HeaderNames, Messages, Mode, RetryOn, Reuse,
    Splice, Timeouts,
};
use crate::rules::action::RuleSet;
use crate::rules::bandwidth::Filter;
use std::sync::Arc;

/// The four sections that share these directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Kind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

impl Kind {
    pub(in crate::plan) fn keyword(self) -> &'static str {
        match self {
            Kind::Defaults => "defaults",
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Listen => "listen",
        }
    }

    pub(in crate::plan) fn section(self) -> SectionKind {
        match self {
            Kind::Defaults => SectionKind::Defaults,
            Kind::Frontend => SectionKind::Frontend,
            Kind::Backend => SectionKind::Backend,
            Kind::Listen => SectionKind::Listen,
        }
    }
}

/// A rule line, compiled once all names are known.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct RuleLine<'a> {
    pub(in crate::plan) kind: RuleKind,
    pub(in crate::plan) line: &'a Line,
    /// Comes from the `defaults` section.
    pub(in crate::plan) inherited: bool,
}

impl<'a> RuleLine<'a> {
    /// Returns the name that a `use_backend` rule sends requests to.
    pub(in crate::plan) fn backend_name(&self) -> Option<&'a str> {
        (self.kind == RuleKind::UseBackend).then(|| self.line.words[1].as_str())
    }
}

/// Which list a rule line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum RuleKind {
    Acl,
    Connection,
    Session,
    Content,
    ResponseContent,
    HttpRequest,
    HttpResponse,
    HttpAfterResponse,
    Redirect,
    UseBackend,
    UseServer,
    MonitorFail,
    Stick,
    ExplainLog,
}

impl RuleKind {
    /// Returns the list of actions that the rule belongs to, if it names an action.
    pub(in crate::plan) fn set(self) -> Option<RuleSet> {
        match self {
            Self::Connection => Some(RuleSet::Connection),
            Self::Session => Some(RuleSet::Session),
            Self::Content => Some(RuleSet::Content),
            Self::ResponseContent => Some(RuleSet::ResponseContent),
            Self::HttpRequest => Some(RuleSet::HttpRequest),
            Self::HttpResponse => Some(RuleSet::HttpResponse),
            Self::HttpAfterResponse => Some(RuleSet::HttpAfterResponse),
            Self::Redirect => Some(RuleSet::Redirect),
            Self::Acl
            | Self::UseBackend
            | Self::UseServer
            | Self::MonitorFail
            | Self::Stick
            | Self::ExplainLog => None,
        }
    }

    /// Returns whether the rule has no effect without `mode http`.
    pub(in crate::plan) fn needs_http(self) -> bool {
        matches!(
            self,
            Self::HttpRequest
                | Self::HttpResponse
                | Self::HttpAfterResponse
                | Self::Redirect
                | Self::MonitorFail
                | Self::ExplainLog
        )
    }

    /// Returns whether the rule is one that streams run through in that half of a proxy.
    pub(in crate::plan) fn runs_in(self, front: bool) -> bool {
        match self {
            Self::Acl | Self::ExplainLog => false,
            Self::UseBackend | Self::MonitorFail => front,
            Self::UseServer | Self::Stick | Self::ResponseContent => !front,
            Self::Connection | Self::Session => front,
            _ => true,
        }
    }
}

/// What a `defaults` section can hand down.
#[derive(Clone, Default)]
pub(in crate::plan) struct Settings<'a> {
    pub(in crate::plan) mode: Option<Mode>,
    pub(in crate::plan) maxconn: Option<u32>,
    pub(in crate::plan) backlog: Option<u32>,
    pub(in crate::plan) disabled: bool,
    pub(in crate::plan) id: Option<u32>,
    pub(in crate::plan) description: Option<String>,
    pub(in crate::plan) timeouts: Timeouts,
    pub(in crate::plan) connection_mode: ConnectionMode,
    pub(in crate::plan) forward_for: Option<AddressField>,
    pub(in crate::plan) original_to: Option<AddressField>,
    /// The words behind `option forwarded`, and its place.
    pub(in crate::plan) forwarded: Option<(&'a [Word], Span)>,
    pub(in crate::plan) header_names: HeaderNames,
    pub(in crate::plan) buffer_request: bool,
    pub(in crate::plan) log: LogDraft<'a>,
    pub(in crate::plan) captures: CaptureDraft,
    pub(in crate::plan) unique_id_format: Option<&'a Word>,
    pub(in crate::plan) unique_id_header: Option<&'a Word>,
    /// In order: a later line takes the place of an earlier one.
    pub(in crate::plan) error_files: Vec<ErrorLine<'a>>,
    pub(in crate::plan) messages: Messages,
    pub(in crate::plan) keep_alive_client: bool,
    pub(in crate::plan) keep_alive_server: bool,
    pub(in crate::plan) no_linger: bool,
    pub(in crate::plan) splice: Splice,
    pub(in crate::plan) splice_auto: bool,
    pub(in crate::plan) default_backend: Option<&'a Word>,
    pub(in crate::plan) monitor_uri: Option<String>,
    pub(in crate::plan) stats: Option<StatsDraft>,
    pub(in crate::plan) balance: Option<Algorithm>,
    pub(in crate::plan) retries: Option<u32>,
    pub(in crate::plan) redispatch: Option<i32>,
    pub(in crate::plan) retry_on: RetryOn,
    pub(in crate::plan) pretend_keep_alive: bool,
    pub(in crate::plan) abort_on_close: bool,
    pub(in crate::plan) prefer_last: bool,
    pub(in crate::plan) reuse: Option<Reuse>,
    pub(in crate::plan) cookie: Option<CookiePolicy>,
    pub(in crate::plan) check: CheckDraft,
    pub(in crate::plan) all_backups: bool,
    pub(in crate::plan) default_server: ServerParams<'a>,
    pub(in crate::plan) rules: Vec<RuleLine<'a>>,
}

impl Settings<'_> {
    /// Marks everything as coming from a `defaults` section.
    pub(in crate::plan) fn inherit(&mut self) {
        self.rules.iter_mut().for_each(|rule| rule.inherited = true);
        self.log.inherit();
    }
}

/// A proxy section while its lines are read.
pub(in crate::plan) struct Draft<'a> {
    pub(in crate::plan) kind: Kind,
    /// Empty for an unnamed `defaults`.
    pub(in crate::plan) name: String,
    /// The header of the section.
    pub(in crate::plan) span: Span,
    pub(in crate::plan) settings: Settings<'a>,
    pub(in crate::plan) binds: Vec<Bind>,
    pub(in crate::plan) servers: Vec<ServerDraft<'a>>,
    /// `stick-table`
    pub(in crate::plan) table: Option<TableDraft<'a>>,
    /// In the order of the section.
    pub(in crate::plan) filters: Vec<Arc<Filter>>,
    /// Directives of this section itself that need `mode http`.
    pub(in crate::plan) http_words: Vec<(&'static str, Span)>,
    /// The line above the one that is read.
    pub(in crate::plan) previous: Option<&'a Line>,
    /// Some line has an error, so what is missing elsewhere may be its consequence.
    pub(in crate::plan) broken: bool,
}

impl<'a> Draft<'a> {
    pub(in crate::plan) fn new(kind: Kind, section: &'a Section, settings: Settings<'a>) -> Self {
        Self {
            kind,
            name: section.name().map_or(String::new(), |name| name.text.clone()),
            span: section.header.span,
            settings,
            binds: Vec::new(),
            servers: Vec::new(),
            table: None,
            filters: Vec::new(),
            http_words: Vec::new(),
            previous: None,
            broken: false,
        }
    }

    /// Returns "frontend `www`".
    pub(in crate::plan) fn title(&self) -> String {
        match self.name.is_empty() {
            true => self.kind.keyword().to_owned(),
            false => format!("{} `{}`", self.kind.keyword(), self.name),
        }
    }

    pub(in crate::plan) fn is_front(&self) -> bool {
        matches!(self.kind, Kind::Frontend | Kind::Listen)
    }

    pub(in crate::plan) fn is_back(&self) -> bool {
        matches!(self.kind, Kind::Backend | Kind::Listen)
    }

    /// Returns whether a rule may put its connections into HTTP mode.
    pub(in crate::plan) fn switches_mode(&self) -> bool {
        self.settings.rules.iter().any(|rule| {
            let action = rule.line.words.get(2).map(Word::as_str);
            rule.kind == RuleKind::Content && action == Some("switch-mode")
        })
    }

    /// Returns whether it may have to do with HTTP messages.
    pub(in crate::plan) fn serves_http(&self) -> bool {
        self.mode() == Mode::Http || self.switches_mode()
    }

    pub(in crate::plan) fn mode(&self) -> Mode {
        self.settings.mode.unwrap_or_default()
    }
}

/// Returns the first character that the name of a server may not have.
pub(in crate::plan) fn bad_name_character(name: &str) -> Option<char> {
    name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.:".contains(*c)))
}
