//! Why connections are turned away, as it is counted.

/// Why a connection is closed before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its client has as many as it may.
    TooMany,
    /// It would have to begin with a PROXY header, and nobody would believe that.
    Untrusted,
    /// It does not begin with a PROXY header.
    NoHeader,
    /// The header is not right, or does not end.
    BadHeader,
    /// The header took too long.
    LateHeader,
    /// It does not begin with a TLS handshake.
    NotTls,
    /// The handshake has failed.
    Handshake,
    /// The handshake took too long.
    LateHandshake,
    /// It begins with a TLS handshake, and nobody speaks TLS.
    Tls,
}

impl Refusal {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::TooMany,
        Self::Untrusted,
        Self::NoHeader,
        Self::BadHeader,
        Self::LateHeader,
        Self::NotTls,
        Self::Handshake,
        Self::LateHandshake,
        Self::Tls,
    ];

    /// Its place among all.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// As the label of a metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Untrusted => "untrusted",
            Self::NoHeader => "no_proxy_header",
            Self::BadHeader => "bad_proxy_header",
            Self::LateHeader => "late_proxy_header",
            Self::NotTls => "not_tls",
            Self::Handshake => "tls_handshake",
            Self::LateHandshake => "late_tls_handshake",
            Self::Tls => "tls",
        }
    }
}
