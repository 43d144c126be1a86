//! Which objects a statistics dump contains: `show stat <iid> <type> <sid>`, scopes, `up`, `no-maint`.
//!
//! Walks an [`Overview`] in HAProxy's order: of each proxy the frontend, its servers, then the backend. Knows nothing
//! about formats.

use super::subject::{Kind, Overview, Proxy, State, Subject};

/// Which objects are shown; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this proxy.
    pub proxy: Option<ProxyName>,
    /// Only these kinds: the sum of 1 (frontends), 2 (backends), 4 (servers) and 8 (listeners).
    pub kinds: Option<u32>,
    /// Only the server or listener of this number.
    pub server: Option<u32>,
    /// No servers that are down or in maintenance.
    pub up: bool,
    /// No servers in maintenance.
    pub no_maintenance: bool,
    /// Only proxies of these names; empty is all.
    pub scope: Vec<String>,
    /// Only proxies whose name contains this.
    pub name_contains: Option<String>,
    /// Show listeners too; HAProxy does with `option socket-stats`.
    pub listeners: bool,
    /// Show addresses, cookies and algorithms (`stats show-legends`, or a trusted user of the runtime CLI).
    pub legends: bool,
}

/// How a command names a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyName {
    /// By number.
    Number(u32),
    /// By name.
    Name(String),
}

impl Selection {
    /// Calls `visit` with every object that is selected.
    pub fn each(&self, overview: &Overview<'_>, mut visit: impl FnMut(&Subject<'_>)) {
        for proxy in overview.proxies().iter().filter(|proxy| self.admits_proxy(proxy)) {
            let mut offer = |subject: Subject<'_>| {
                if self.admits(&subject) {
                    visit(&subject);
                }
            };
            overview.frontend(proxy).map(&mut offer);
            if self.listeners {
                overview.listeners(proxy).for_each(&mut offer);
            }
            overview.servers(proxy).for_each(&mut offer);
            overview.backend(proxy).map(&mut offer);
        }
    }

    /// Returns whether the proxy, or something in it, may be shown.
    pub fn admits_proxy(&self, proxy: &Proxy<'_>) -> bool {
        let named = match &self.proxy {
            None => true,
            Some(ProxyName::Number(number)) => proxy.id == *number,
            Some(ProxyName::Name(name)) => proxy.name == name,
        };
        let contains = |part: &String| proxy.name.contains(part.as_str());
        named
            && (self.scope.is_empty() || self.scope.iter().any(|name| name == proxy.name))
            && self.name_contains.as_ref().is_none_or(contains)
    }

    /// Returns whether an object of an admitted proxy is shown.
    pub fn admits(&self, subject: &Subject<'_>) -> bool {
        let bit = match subject.kind {
            Kind::Frontend => 1,
            Kind::Backend => 2,
            Kind::Server => 4,
            Kind::Listener => 8,
        };
        if self.kinds.is_some_and(|kinds| kinds & bit == 0) {
            return false;
        }
        match subject.kind {
            Kind::Frontend | Kind::Backend => true,
            Kind::Listener => self.server.is_none_or(|id| id == subject.id),
            Kind::Server => {
                let state = subject.state();
                self.server.is_none_or(|id| id == subject.id)
                    && (!self.up || state.serves())
                    && (!self.no_maintenance || state != State::Maintenance)
            }
        }
    }
}
