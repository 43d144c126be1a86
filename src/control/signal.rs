//! Which signals the process takes over, and what each means.
//!
//! Signals arrive on a descriptor; nothing is ever interrupted by one. The meanings are HAProxy's (management manual 4).

use crate::stdx::sys::Signals;
use std::io;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Leave now.
    Stop,
    /// Accept no more, finish streams, leave.
    Drain,
    /// Log the state of every server.
    ShowStates,
    /// Say how much memory is in use.
    ShowMemory,
    /// Take over a new configuration.
    Reload,
}

/// Signal and meaning; without a meaning the signal is only kept from ending the process.
const SIGNALS: &[(i32, Option<Wish>)] = &[
    (libc::SIGTERM, Some(Wish::Stop)),
    (libc::SIGINT, Some(Wish::Stop)),
    (libc::SIGUSR1, Some(Wish::Drain)),
    (libc::SIGUSR2, Some(Wish::Reload)),
    (libc::SIGHUP, Some(Wish::ShowStates)),
    (libc::SIGQUIT, Some(Wish::ShowMemory)),
    (libc::SIGPIPE, None),
    // A new HAProxy asks an old one to pause and resume listening; SO_REUSEPORT makes that needless.
    (libc::SIGTTOU, None),
    (libc::SIGTTIN, None),
];

/// Takes the signals over. Call it before any thread is started.
///
/// # Errors
/// When the kernel has no descriptor left.
pub fn take() -> io::Result<Signals> {
    let signals: Vec<i32> = SIGNALS.iter().map(|&(signal, _)| signal).collect();
    Signals::take(&signals)
}

/// Returns what a signal asks for.
pub fn wish(signal: i32) -> Option<Wish> {
    SIGNALS.iter().find(|&&(known, _)| known == signal).and_then(|&(_, wish)| wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupt_and_terminate_stop_and_usr1_drains() {
        assert_eq!(wish(libc::SIGINT), Some(Wish::Stop));
        assert_eq!(wish(libc::SIGTERM), Some(Wish::Stop));
        assert_eq!(wish(libc::SIGUSR1), Some(Wish::Drain));
        assert_eq!(wish(libc::SIGPIPE), None);
    }
}
