//! What a configuration can ask about the process that reads it: variables, features, and the version it speaks.
//!
//! An [`Environment`] is a copy: reading a configuration never changes the environment of the process itself.
//! `setenv`, `presetenv`, `unsetenv` and `resetenv` change the copy while the file is read, and later lines see it.

use std::collections::BTreeMap;
use std::fmt;

/// The version of HAProxy's language that fastlb speaks; `version_atleast()` compares with it.
pub const LANGUAGE: Version = Version([3, 2, 0]);

/// What `feature()` answers true for: only what this build really does.
///
/// `EPOLL` and `POLL` are named because scripts ask for a poller by these names; io_uring has no name in HAProxy.
pub const FEATURES: &[&str] =
    &["ACCEPT4", "CPU_AFFINITY", "EPOLL", "GETADDRINFO", "LINUX_SPLICE", "PROMEX", "THREAD"];

/// What `enabled()` answers true for: settings of HAProxy that can be switched off there and are on here.
pub const ENABLED: &[&str] = &["EPOLL", "GETADDRINFO", "REUSEPORT", "SPLICE"];

/// The variables that name the built-in log formats, as the manual lists them.
const LOG_FORMATS: &[(&str, &str)] = &[
    (
        "HAPROXY_HTTP_CLF_LOG_FMT",
        r#"%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"#,
    ),
    (
        "HAPROXY_HTTP_LOG_FMT",
        "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r",
    ),
    (
        "HAPROXY_HTTPS_LOG_FMT",
        "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r \
         %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc",
    ),
    (
        "HAPROXY_TCP_CLF_LOG_FMT",
        r#"%{+Q}o %{-Q}ci - - [%T] "TCP " 000 %B "" "" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- %ac %fc %bc %sc %rc %sq %bq "" "" "#,
    ),
    (
        "HAPROXY_TCP_LOG_FMT",
        "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq",
    ),
];

/// A version of up to three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

impl Version {
    /// Returns the branch, such as `3.2`.
    pub fn branch(self) -> String {
        format!("{}.{}", self.0[0], self.0[1])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Variables, features and version, as the configuration sees them.
#[derive(Clone, Debug)]
pub struct Environment {
    vars: BTreeMap<String, String>,
    /// Whether `.diag` messages are shown (`-dD`).
    pub diagnostic_mode: bool,
}

impl Environment {
    /// Returns an environment that holds only the `HAPROXY_*` variables.
    pub fn empty() -> Self {
        let mut env = Self { vars: BTreeMap::new(), diagnostic_mode: false };
        env.add_built_in();
        env
    }

    /// Returns a copy of the process's environment with the `HAPROXY_*` variables added.
    ///
    /// Variables that are not UTF-8 cannot stand in a configuration and are left out.
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut env = Self { vars, diagnostic_mode: false };
        if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            env.preset("HAPROXY_LOCALPEER", host.trim());
        }
        env.add_built_in();
        env
    }

    /// Returns a variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.vars.insert(name.into(), value.into());
    }

    /// Sets a variable unless it exists.
    pub fn preset(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.vars.entry(name.into()).or_insert_with(|| value.into());
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.vars.remove(name);
    }

    /// Removes every variable whose name is not in `keep`.
    pub fn reset(&mut self, keep: &[&str]) {
        self.vars.retain(|name, _| keep.contains(&name.as_str()));
    }

    /// Iterates over all variables in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets the name of this peer (`-L`), which `HAPROXY_LOCALPEER` tells the configuration.
    pub fn set_local_peer(&mut self, name: impl Into<String>) {
        self.set("HAPROXY_LOCALPEER", name);
    }

    /// Returns whether this build has a feature.
    pub fn has_feature(&self, name: &str) -> bool {
        FEATURES.contains(&name)
    }

    /// Returns whether an option that can be switched off is on.
    pub fn is_enabled(&self, name: &str) -> bool {
        ENABLED.contains(&name)
    }

    /// Returns the version of the language.
    pub fn version(&self) -> Version {
        LANGUAGE
    }

    fn add_built_in(&mut self) {
        for (name, value) in LOG_FORMATS {
            self.set(*name, *value);
        }
        self.set("HAPROXY_BRANCH", LANGUAGE.branch());
        self.set("HAPROXY_STARTUP_VERSION", LANGUAGE.to_string());
        self.preset("HAPROXY_LOCALPEER", "localhost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_variables_exist_without_a_process_environment() {
        let env = Environment::empty();
        assert_eq!(env.get("HAPROXY_BRANCH"), Some("3.2"));
        assert!(env.get("HAPROXY_TCP_LOG_FMT").is_some_and(|f| f.starts_with("%ci:%cp [%t]")));
        assert!(env.get("HAPROXY_HTTPS_LOG_FMT").is_some_and(|f| f.contains("%{+Q}r %[fc_err]")));
        assert_eq!(env.get("PATH"), None);
    }

    #[test]
    fn preset_keeps_and_reset_removes() {
        let mut env = Environment::empty();
        env.set("A", "1");
        env.preset("A", "2");
        env.preset("B", "3");
        env.reset(&["A"]);
        assert_eq!(env.get("A"), Some("1"));
        assert_eq!(env.get("B"), None);
        assert_eq!(env.get("HAPROXY_BRANCH"), None);
    }

    #[test]
    fn tls_is_not_claimed_before_it_exists() {
        let env = Environment::empty();
        assert!(env.has_feature("THREAD"));
        assert!(!env.has_feature("OPENSSL"));
        assert!(!env.has_feature("thread"));
    }
}
