//! Name servers, and how they are asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A `resolvers` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Its name.
    pub name: String,
    /// `nameserver` lines, and those of `parse-resolv-conf`.
    pub servers: Vec<NameServer>,
    /// `resolve_retries`: how often a name is asked for.
    pub retries: u32,
    /// `timeout retry`: how long an answer is waited for.
    pub timeout_retry: Duration,
    /// `hold valid`: how long an answer is used.
    pub hold_valid: Duration,
    /// `accepted_payload_size`: the most bytes of an answer over UDP.
    pub payload_max: u16,
    /// How often a limit was met.
    pub limits: Counts<3>,
}

/// A server that knows names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it is only asked over TCP.
    pub tcp: bool,
    /// What came of the questions.
    pub counts: Counts<15>,
}

/// Counts of something rare: all shards write to the same.
///
/// They are no part of what is configured: all are equal, and a clone counts anew.
#[derive(Debug)]
pub struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Counts<N> {
    /// Counts one more.
    pub fn count(&self, at: impl Into<usize>) {
        self.0[at.into()].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns one of the counts.
    pub fn get(&self, at: impl Into<usize>) -> u64 {
        self.0[at.into()].load(Ordering::Relaxed)
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Clone for Counts<N> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<const N: usize> PartialEq for Counts<N> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<const N: usize> Eq for Counts<N> {}

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl $name {
            /// All of them with their names, in the order in which they are shown.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $text),)*];
        }

        impl From<$name> for usize {
            fn from(what: $name) -> usize {
                what as usize
            }
        }
    };
}

counted! {
    /// What comes of a question to a name server, by the names of the management guide (`show resolvers`).
    Asked {
        Sent "sent",
        SendError "snd_error",
        Valid "valid",
        Update "update",
        Alias "cname",
        AliasError "cname_error",
        Empty "any_err",
        NoSuchName "nx",
        Timeout "timeout",
        Refused "refused",
        Other "other",
        Invalid "invalid",
        TooBig "too_big",
        Truncated "truncated",
        Outdated "outdated",
    }
}

counted! {
    /// The limits of a section.
    ResolverLimit {
        Running "running",
        Cached "cached",
        Datagrams "datagrams",
    }
}

const _: () = assert!(Asked::ALL.len() == 15 && ResolverLimit::ALL.len() == 3);
