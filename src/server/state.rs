//! What is known about one server: operational and administrative state, and the last health check.
//!
//! Plain values with their names for people; [`super::Live`] stores them in atomics.

/// What health checks say about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operational {
    /// No stream may go there.
    Down = 0,
    /// In service.
    Up = 1,
    /// A check passed conditionally (`http-check disable-on-404`): only persistent streams still go there.
    Stopping = 2,
}

impl Operational {
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Down,
            1 => Self::Up,
            _ => Self::Stopping,
        }
    }
}

/// What the operator says about a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Admin {
    /// In service when its checks agree.
    #[default]
    Ready = 0,
    /// No new streams, except persistent ones; checks go on.
    Drain = 1,
    /// Out of service, not checked.
    Maint = 2,
}

impl Admin {
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Ready,
            1 => Self::Drain,
            _ => Self::Maint,
        }
    }
}

/// How the last health check ended; names and meaning are those of `check_status` in the management manual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // `description` says what each is
pub enum CheckStatus {
    #[default]
    Unknown = 0,
    Initializing,
    SocketError,
    L4Ok,
    L4Timeout,
    L4Connection,
    L6Ok,
    L6Timeout,
    L6Response,
    L7Ok,
    L7OkConditional,
    L7Timeout,
    L7Response,
    L7Status,
}

/// One row per check status, in the order of the enum: status, short name, long text, whether the check passed.
const CHECK_STATUS: &[(CheckStatus, &str, &str, bool)] = {
    use CheckStatus::*;
    &[
        (Unknown, "UNK", "Unknown", false),
        (Initializing, "INI", "Initializing", false),
        (SocketError, "SOCKERR", "Socket error", false),
        (L4Ok, "L4OK", "Layer4 check passed", true),
        (L4Timeout, "L4TOUT", "Layer4 timeout", false),
        (L4Connection, "L4CON", "Layer4 connection problem", false),
        (L6Ok, "L6OK", "Layer6 check passed", true),
        (L6Timeout, "L6TOUT", "Layer6 timeout", false),
        (L6Response, "L6RSP", "Layer6 invalid response", false),
        (L7Ok, "L7OK", "Layer7 check passed", true),
        (L7OkConditional, "L7OKC", "Layer7 check conditionally passed", true),
        (L7Timeout, "L7TOUT", "Layer7 timeout", false),
        (L7Response, "L7RSP", "Layer7 invalid response", false),
        (L7Status, "L7STS", "Layer7 wrong status", false),
    ]
};

impl CheckStatus {
    /// Returns the short name, as the statistics show it.
    pub fn name(self) -> &'static str {
        CHECK_STATUS[self as usize].1
    }

    /// Returns the text for logs and tool tips.
    pub fn description(self) -> &'static str {
        CHECK_STATUS[self as usize].2
    }

    /// Returns whether a check that ends so has passed.
    pub fn passed(self) -> bool {
        CHECK_STATUS[self as usize].3
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        CHECK_STATUS.get(usize::from(bits)).map_or(Self::Unknown, |row| row.0)
    }
}

/// The result of one health check, as the checker reports it and the statistics show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckResult {
    /// How it ended.
    pub status: CheckStatus,
    /// The protocol's code, such as the HTTP status; 0 for none.
    pub code: u16,
    /// How long it took.
    pub duration_ms: u32,
    /// What the server or the kernel said, such as `Connection refused`.
    pub text: String,
}

impl CheckResult {
    /// Returns a result without code and text.
    pub fn new(status: CheckStatus, duration_ms: u32) -> Self {
        Self { status, duration_ms, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_status_rows_stand_in_the_order_of_the_enum() {
        for (at, row) in CHECK_STATUS.iter().enumerate() {
            assert_eq!(row.0 as usize, at);
            assert_eq!(CheckStatus::from_bits(at as u8), row.0);
        }
        assert_eq!(CHECK_STATUS.len(), CheckStatus::L7Status as usize + 1);
        assert_eq!(CheckStatus::from_bits(200), CheckStatus::Unknown);
    }
}
