//! What is read about logs outside of proxies: targets ([`target`]), `ring` sections ([`ring`]) and `log-profile`
//! sections ([`profile`]), and what of it is checked when all sections are known ([`Logs::check`]).

pub(super) mod profile;
pub(super) mod ring;
pub(super) mod target;

use super::load::Loader;
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::log::ring::RingSpec;

/// What the lines of a file say about logs, beside the targets that proxies keep.
#[derive(Default)]
pub(super) struct Logs<'a> {
    pub(super) rings: Vec<(RingSpec, Span)>,
    pub(super) profiles: Vec<profile::Draft<'a>>,
}

/// Names that targets use, for sections that may stand further down, and what targets make by themselves.
#[derive(Default)]
pub(super) struct Used {
    /// Number of `sample` parameters so far.
    pub(super) samples: u32,
    /// Rings behind targets such as `tcp@…`.
    pub(super) streams: Vec<RingSpec>,
    pub(super) rings: Vec<(String, Span)>,
    pub(super) profiles: Vec<(String, Span)>,
}

impl Logs<'_> {
    /// Adds the rings of stream targets and reports names that no section has.
    pub(super) fn check(&mut self, cx: &mut Loader<'_>) {
        let used = std::mem::take(&mut cx.logs);
        for (name, span) in &used.rings {
            let names = self.rings.iter().map(|(ring, _)| ring.name.as_str());
            unknown(cx, "ring", name, *span, names);
        }
        for (name, span) in &used.profiles {
            let names = self.profiles.iter().map(|profile| profile.name.as_str());
            unknown(cx, "log-profile", name, *span, names);
        }
        for profile in &self.profiles {
            if !used.profiles.iter().any(|(name, _)| *name == profile.name) {
                let text = format!("`log-profile {}` is not used", profile.name);
                cx.push(
                    Diagnostic::warning(profile.span, text)
                        .help(format!("write `profile {}` behind a log target", profile.name)),
                );
            }
        }
        self.rings.extend(used.streams.into_iter().map(|ring| (ring, Span::default())));
    }
}

/// Reports a section that no line of the file opens.
fn unknown<'n>(
    cx: &mut Loader<'_>,
    section: &str,
    name: &str,
    span: Span,
    mut names: impl Iterator<Item = &'n str> + Clone,
) {
    if names.clone().any(|other| other == name) {
        return;
    }
    let finding = Diagnostic::error(span, format!("there is no `{section} {name}`"));
    let near = suggest(name, &mut names);
    cx.push(match near {
        Some(near) => finding.label(format!("did you mean `{near}`?")),
        None => finding,
    });
}
