//! What a frontend logs: formats are compiled, profiles are joined to their targets, and the step of the line is chosen.

use super::Build;
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::Diagnostics;
use crate::log::{LogLineFormat, LogTarget};
use crate::plan::load::Loader;
use crate::plan::log::profile::On;
use crate::plan::log::target::{TargetDraft, settle};
use crate::plan::proxy::{Draft, Format};
use crate::plan::{LogSettings, LogSteps, Mode, ProfileStep, ProfiledTarget};
use crate::rules::context::LogStep;
use crate::rules::log_format::LogFormat;
use crate::rules::{Compiler, Position};

impl Build<'_> {
    /// Returns the targets of a proxy, those of the global section among them.
    pub(super) fn log_targets(&self, draft: &Draft<'_>) -> Vec<TargetDraft> {
        let log = &draft.settings.log;
        let global = log.global.iter().flat_map(|_| self.global_logs.iter());
        let mut targets: Vec<TargetDraft> = global.chain(&log.targets).cloned().collect();
        for log in &mut targets {
            settle(&mut log.target, &self.logs.rings);
        }
        targets
    }

    pub(super) fn log(&mut self, cx: &mut Loader<'_>, draft: &Draft<'_>) -> LogSettings {
        let log = &draft.settings.log;
        let (profiled, plain): (Vec<_>, Vec<_>) =
            self.log_targets(draft).into_iter().partition(|log| log.profile.is_some());
        let targets: Vec<LogTarget> = plain.into_iter().map(|log| log.target).collect();
        let http = draft.mode() == Mode::Http;
        let span = log.format.span().unwrap_or(draft.span);
        let format = self.format(cx, draft, log.format.text(http), span);
        let mut word = |word: Option<&Word>| {
            word.and_then(|word| self.format(cx, draft, word.as_str(), word.span))
        };
        let (error_format, structured) = (word(log.error_format), word(log.structured));
        let profiled: Vec<ProfiledTarget> =
            profiled.into_iter().map(|log| self.profiled(cx, draft, log)).collect();
        let structures = |target: &LogTarget| target.format == LogLineFormat::Rfc5424;
        let any_structured =
            targets.iter().chain(profiled.iter().map(|p| &p.target)).any(structures);
        let early = matches!(log.format, Format::Default)
            || format.as_ref().is_some_and(LogFormat::is_known_at_accept);
        let steps = log.steps.unwrap_or_else(|| {
            LogSteps::only(match (early, log.as_soon, http) {
                (true, _, true) => LogStep::Request,
                (true, _, false) => LogStep::Accept,
                (false, true, true) => LogStep::Response,
                (false, true, false) => LogStep::Connect,
                (false, false, _) => LogStep::Close,
            })
        });
        LogSettings {
            format: format.filter(|_| !targets.is_empty() || !profiled.is_empty()),
            skips_errors: matches!(log.format, Format::Default) && error_format.is_none(),
            error_format,
            structured: structured.filter(|_| any_structured),
            steps,
            once: log.steps.is_none(),
            targets,
            profiled,
            partial: log.as_soon,
            dont_log_null: log.dont_log_null,
            dont_log_normal: log.dont_log_normal,
            separate_errors: log.separate_errors,
            tag: log.tag.clone(),
        }
    }

    fn format(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        text: &str,
        span: Span,
    ) -> Option<LogFormat> {
        let mut found = Diagnostics::default();
        let mut compiler = Compiler {
            diagnostics: &mut found,
            names: self.index,
            position: Position::Log,
            http: draft.mode() == Mode::Http,
            backend: None,
            line: span,
        };
        let format = LogFormat::parse(text, span, &mut compiler);
        self.reported.push(cx, &found);
        format
    }

    /// Joins a target and its profile, whose formats are compiled for the proxy that logs with them.
    fn profiled(
        &mut self,
        cx: &mut Loader<'_>,
        draft: &Draft<'_>,
        log: TargetDraft,
    ) -> ProfiledTarget {
        let name = log.profile.unwrap_or_default();
        let found = self.logs.profiles.iter().find(|profile| profile.name == name);
        // A profile that is missing was reported.
        let lines: Vec<On<'_>> = found.map(|profile| profile.on.clone()).unwrap_or_default();
        let (mut on, mut any) = (Vec::new(), None);
        for line in lines {
            let mut word = |word: Option<&Word>| {
                word.and_then(|word| self.format(cx, draft, word.as_str(), word.span))
            };
            let said = ProfileStep {
                drop: line.drop,
                format: word(line.format),
                structured: word(line.structured),
            };
            match line.step {
                Some(step) => on.push((step, said)),
                None => any = Some(said),
            }
        }
        let tag = found.and_then(|profile| profile.tag.clone());
        ProfiledTarget { target: log.target, tag, on, any }
    }
}
