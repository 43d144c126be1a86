//! The phases of a load: sections into drafts, drafts into a plan, and what all phases share.

use super::global::GlobalDraft;
use super::proxy::{self, Draft, HttpErrors, Settings};
use super::{Plan, global, lint, log, resolve, resolvers};
use crate::config::ast::{Ast, Section, Sources, Span};
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity, suggest};
use crate::config::known;
use crate::config::section::SectionKind;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// What the command line says about a load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Number of shards that will run the plan: the counter cells are made for as many.
    pub shards: usize,
    /// `-n`: takes the place of the global `maxconn`.
    pub maxconn: Option<u32>,
    /// `-c`: the plan is only checked, so no counter cells are made.
    pub check_only: bool,
    /// `-C`: relative paths of the configuration start here.
    pub base_dir: Option<PathBuf>,
    /// How many descriptors the process may have; the hard limit of this process if it is not said.
    pub descriptors_max: Option<u64>,
}

/// Checks a whole configuration. Every problem of it is in `diagnostics` afterwards; the result is `None` exactly when
/// there is an error among them.
///
/// Reads the files that the configuration names and resolves the host names of servers, so it may block.
pub fn load(
    ast: &Ast,
    sources: &Sources,
    options: &LoadOptions,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let mut cx =
        Loader { sources, options, diagnostics, hosts: HashMap::new(), logs: log::Used::default() };
    let mut drafts = Drafts::default();
    for section in &ast.sections {
        drafts.section(&mut cx, section);
    }
    let Drafts { global, proxies, resolvers, http_errors, mut logs, .. } = drafts;
    logs.check(&mut cx);
    lint::proxies(&mut cx, &proxies);
    let zero_warning = global.zero_warning;
    let plan = resolve::plan(&mut cx, global, &proxies, resolvers, &http_errors, &logs);
    if !cx.diagnostics.has_errors() {
        lint::unused_backends(&mut cx, &proxies);
    }
    if let (Some(span), true) = (zero_warning, cx.diagnostics.count(Severity::Warning) > 0) {
        cx.error(span, "`zero-warning` refuses this configuration, which has warnings");
    }
    if cx.diagnostics.has_errors() { None } else { Some(plan) }
}

/// What all phases share: where findings go, the options, and the names that were already resolved.
pub(super) struct Loader<'a> {
    pub(super) sources: &'a Sources,
    pub(super) options: &'a LoadOptions,
    pub(super) diagnostics: &'a mut Diagnostics,
    /// What targets of logs refer to.
    pub(super) logs: log::Used,
    hosts: HashMap<String, Result<Vec<IpAddr>, String>>,
}

impl Loader<'_> {
    /// Adds a finding.
    pub(super) fn push(&mut self, finding: Diagnostic) {
        self.diagnostics.push(finding);
    }

    /// Adds an error without help.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    /// Returns how many errors were found so far.
    pub(super) fn errors(&self) -> usize {
        self.diagnostics.count(Severity::Error)
    }

    /// Reads a file that the configuration names; the error is a message fragment.
    pub(super) fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        read_file(self.options.base_dir.as_deref(), path)
    }

    /// Returns the addresses of a host name, IPv4 first; the error is a message fragment.
    pub(super) fn host(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        if let Some(known) = self.hosts.get(name) {
            return known.clone();
        }
        let found = match (name, 0).to_socket_addrs() {
            Ok(addresses) => {
                let mut addresses: Vec<IpAddr> = addresses.map(|a| a.ip()).collect();
                addresses.sort_by_key(IpAddr::is_ipv6);
                addresses.dedup();
                Ok(addresses)
            }
            Err(_) => Err(format!("cannot resolve `{name}`")),
        };
        let found = found.and_then(|list| match list.is_empty() {
            true => Err(format!("`{name}` has no address")),
            false => Ok(list),
        });
        self.hosts.insert(name.to_owned(), found.clone());
        found
    }
}

/// Reads `path`, relative to `base`; the error is a message fragment that names the path.
pub(super) fn read_file(base: Option<&Path>, path: &str) -> Result<Vec<u8>, String> {
    let full = base.map_or_else(|| PathBuf::from(path), |base| base.join(path));
    read_bounded(&full).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("cannot read `{path}`: {why}")
    })
}

/// The most bytes of a file that a configuration names: more than any list has, and less than `/dev/zero`.
const FILE_BYTES_MAX: u64 = 256 << 20;

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}

/// What was read so far, section by section.
#[derive(Default)]
struct Drafts<'a> {
    global: GlobalDraft,
    /// The settings of the latest `defaults`, which the proxies below start with.
    defaults: Option<Settings<'a>>,
    named: HashMap<&'a str, Settings<'a>>,
    proxies: Vec<Draft<'a>>,
    resolvers: Vec<resolvers::Draft>,
    http_errors: HashMap<&'a str, HttpErrors>,
    logs: log::Logs<'a>,
}

impl<'a> Drafts<'a> {
    fn section(&mut self, cx: &mut Loader<'_>, section: &'a Section) {
        match section.kind() {
            Some(SectionKind::Global) => {
                let mut previous = None;
                for line in &section.lines {
                    global::line(cx, &mut self.global, previous, line);
                    previous = Some(line);
                }
            }
            Some(SectionKind::Defaults) => {
                let draft = self.proxy(cx, section, proxy::Kind::Defaults);
                if let Some(name) = section.name() {
                    self.named.insert(name.as_str(), draft.settings.clone());
                }
                self.defaults = Some(draft.settings);
            }
            Some(SectionKind::Frontend) => self.add(cx, section, proxy::Kind::Frontend),
            Some(SectionKind::Backend) => self.add(cx, section, proxy::Kind::Backend),
            Some(SectionKind::Listen) => self.add(cx, section, proxy::Kind::Listen),
            Some(SectionKind::Resolvers) => {
                resolvers::section(cx, &mut self.resolvers, section);
            }
            Some(SectionKind::HttpErrors) => {
                proxy::http_errors(cx, &mut self.http_errors, section);
            }
            Some(SectionKind::LogProfile) => log::profile::section(cx, &mut self.logs, section),
            Some(SectionKind::Ring) => log::ring::section(cx, &mut self.logs, section),
            // The parser reports words that open no section.
            None => {}
            Some(_) => {
                known::check_section(section, cx.diagnostics);
            }
        }
    }

    fn add(&mut self, cx: &mut Loader<'_>, section: &'a Section, kind: proxy::Kind) {
        let draft = self.proxy(cx, section, kind);
        self.proxies.push(draft);
    }

    /// Reads the lines of a proxy section on top of the defaults that it starts with.
    fn proxy(&self, cx: &mut Loader<'_>, section: &'a Section, kind: proxy::Kind) -> Draft<'a> {
        let mut settings = match section.from() {
            // Without `from`, a defaults section starts from nothing and a proxy from the latest one.
            None if kind == proxy::Kind::Defaults => Settings::default(),
            None => self.defaults.clone().unwrap_or_default(),
            Some(from) => self.named.get(from.as_str()).cloned().unwrap_or_else(|| {
                let near = suggest(from.as_str(), self.named.keys().copied());
                let mut finding = Diagnostic::error(
                    from.span,
                    format!("there is no `defaults {}` above", from.as_str()),
                );
                if let Some(near) = near {
                    finding = finding.label(format!("did you mean `{near}`?"));
                }
                cx.push(finding);
                Settings::default()
            }),
        };
        settings.inherit();
        let mut draft = Draft::new(kind, section, settings);
        for line in &section.lines {
            proxy::line(cx, &mut draft, line);
        }
        draft
    }
}
