//! What a frontend logs: formats, targets, steps and profiles.

use crate::log::LogTarget;
use crate::rules::context::LogStep;
use crate::rules::log_format::LogFormat;

/// Which lines are logged, how and where.
#[derive(Debug, Default)]
pub struct LogSettings {
    /// Targets without a profile.
    pub targets: Vec<LogTarget>,
    /// Targets with one.
    pub profiled: Vec<ProfiledTarget>,
    /// The format; `None` only without targets.
    pub format: Option<LogFormat>,
    /// `error-log-format`
    pub error_format: Option<LogFormat>,
    /// `log-format-sd`; `None` also when no target has structured data.
    pub structured: Option<LogFormat>,
    /// The steps at which lines are written.
    pub steps: LogSteps,
    /// There is no `log-steps`: a stream has one line, at its end unless one of the steps comes before.
    pub once: bool,
    /// Lines of requests that could not be read are left out (the default format has none).
    pub skips_errors: bool,
    /// `option logasap`: numbers that will still grow are marked.
    pub partial: bool,
    /// `option dontlognull`
    pub dont_log_null: bool,
    /// `option dontlog-normal`
    pub dont_log_normal: bool,
    /// `option log-separate-errors`
    pub separate_errors: bool,
    /// `log-tag`
    pub tag: Option<String>,
}

impl LogSettings {
    /// Returns whether anybody is to get a line.
    pub fn is_wanted(&self) -> bool {
        !self.targets.is_empty() || !self.profiled.is_empty()
    }
}

/// A set of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSteps(u16);

impl LogSteps {
    /// Every step that `log-steps` knows.
    pub const ALL: Self = Self(
        1 << LogStep::Accept as u16
            | 1 << LogStep::Request as u16
            | 1 << LogStep::Connect as u16
            | 1 << LogStep::Response as u16
            | 1 << LogStep::Close as u16,
    );

    /// Returns the set of one step.
    pub fn only(step: LogStep) -> Self {
        Self(1 << step as u16)
    }

    /// Adds a step.
    pub fn add(&mut self, step: LogStep) {
        self.0 |= 1 << step as u16;
    }

    /// Returns whether a step is in the set.
    pub fn has(self, step: LogStep) -> bool {
        self.0 >> step as u16 & 1 == 1
    }
}

/// A target whose lines a `log-profile` section describes.
#[derive(Debug)]
pub struct ProfiledTarget {
    /// The target.
    pub target: LogTarget,
    /// `log-tag` of the profile.
    pub tag: Option<String>,
    /// What `on` lines say, by step.
    pub on: Vec<(LogStep, ProfileStep)>,
    /// What `on any` says.
    pub any: Option<ProfileStep>,
}

impl ProfiledTarget {
    /// Returns what the profile says about a step.
    pub fn step(&self, step: LogStep) -> Option<&ProfileStep> {
        let own = self.on.iter().find(|(at, _)| *at == step).map(|(_, said)| said);
        own.or(self.any.as_ref())
    }
}

/// What a profile says about a step.
#[derive(Debug)]
pub struct ProfileStep {
    /// No line.
    pub drop: bool,
    /// In place of `log-format` or `error-log-format`.
    pub format: Option<LogFormat>,
    /// In place of `log-format-sd`.
    pub structured: Option<LogFormat>,
}
