//! Which service a client speaks to.

/// A service: decides what a person is told where nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// The API of jobs.
    #[default]
    Api,
    /// The monitor, with the alerts.
    Monitor,
}

impl Service {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Monitor => "monitor",
        }
    }

    /// An address of one.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Api => "http://127.0.0.1:8089",
            Self::Monitor => "http://127.0.0.1:8091",
        }
    }

    /// What starts it.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Api => "lucid-ops api",
            Self::Monitor => "lucid-ops monitor",
        }
    }

    /// Where its address is said.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Api => "--api or LUCID_API",
            Self::Monitor => "--url or LUCID_MONITOR",
        }
    }
}
