//! When an endpoint counts as unfit: what its requests and its active checks say.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// When an endpoint counts as offline: Monkey's high-availability rule, and active checks.
#[derive(Debug, Clone)]
pub struct Health {
    /// Consecutive connect failures before it does. Default 2.
    pub attempts: u32,
    /// How long it is then left alone; zero turns the rule off. Default 60 s.
    pub offline: Duration,
    /// How it is asked for its health, if it is.
    pub check: Option<Arc<Check>>,
}

/// An active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// The port that is asked, if not the endpoint's own. Not for Unix sockets.
    pub port: Option<u16>,
    /// The time from one check of an endpoint to the next, of which a tenth is left to chance.
    /// Default 5 s.
    pub interval: Duration,
    /// How long one may take. Default 1 s.
    pub timeout: Duration,
    /// How many have to pass in a row until an endpoint that failed is used again. Default 1.
    pub rise: u32,
    /// How many have to fail in a row until it is no longer used. Default 3.
    pub fall: u32,
}

/// What an active check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection, which is closed at once.
    Tcp,
    /// A request.
    Http {
        /// GET, HEAD or OPTIONS. Default GET.
        method: Method,
        /// Default `/`.
        path: PathAndQuery,
        /// The Host. Default the endpoint's address.
        host: Option<HeaderValue>,
        /// The statuses that pass. Default 200 to 399.
        status: Statuses,
        /// What the first 64 KiB of the body must match.
        body: Option<Pattern>,
    },
}

/// A set of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(Vec<StatusRange>);

impl Statuses {
    /// The statuses of all these ranges.
    #[must_use]
    pub fn new(ranges: Vec<StatusRange>) -> Self {
        Self(ranges)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a status is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.0.contains(&status))
    }

    /// The ranges, as configured.
    #[must_use]
    pub fn ranges(&self) -> &[StatusRange] {
        &self.0
    }
}

/// Some consecutive statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRange(pub RangeInclusive<u16>);

impl StatusRange {
    /// Reads `503`, `500-504` or `5xx`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let status = |text: &str| {
            let number =
                text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse())?.ok()?;
            Some(number).filter(|status| (100..=599).contains(status))
        };
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (status(first)?, status(last)?);
            return (first <= last).then_some(Self(first..=last));
        }
        if let Some(class) = text.strip_suffix("xx") {
            let first = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class))? * 100;
            return Some(Self(first..=first + 99));
        }
        let only = status(text)?;
        Some(Self(only..=only))
    }
}

impl fmt::Display for StatusRange {
    /// As it is configured.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (*self.0.start(), *self.0.end());
        match last - first {
            0 => write!(out, "{first}"),
            99 if first.is_multiple_of(100) => write!(out, "{}xx", first / 100),
            _ => write!(out, "{first}-{last}"),
        }
    }
}

/// A regular expression over bytes, searched for with regard to case.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// The most memory that a compiled one may take.
    const MAX_BYTES: usize = 1 << 20;

    /// Compiles it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let limits = Regex::config().utf8_empty(false).nfa_size_limit(Some(Self::MAX_BYTES));
        let syntax = syntax::Config::new().utf8(false).unicode(false);
        let regex = Regex::builder().configure(limits).syntax(syntax).build(text);
        let regex = regex.map_err(|error| {
            let reason = match error.syntax_error() {
                Some(error) => error.to_string(),
                None => error.to_string(),
            };
            // The lines before draw the place.
            reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether it is found.
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
    }

    /// As configured.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(out)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_and_written() {
        for text in ["503", "500-504", "5xx", "100-599"] {
            assert_eq!(StatusRange::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "6xx", "xx", "50", "600", "504-500", "+503", "500-", "5 xx", "05xx0"] {
            assert_eq!(StatusRange::parse(text), None, "{text}");
        }
        let statuses = Statuses::new(vec![StatusRange(500..=500), StatusRange(502..=504)]);
        let held: Vec<_> = (100..600).filter(|status| statuses.contains(*status)).collect();
        assert_eq!(held, [500, 502, 503, 504]);
    }

    #[test]
    fn patterns_match_bytes() {
        let pattern = Pattern::new("\"status\": *\"up\"|\\xff").unwrap();
        assert!(pattern.is_match(b"{\"status\": \"up\"}"));
        assert!(pattern.is_match(b"\xff") && !pattern.is_match(b"{}"));
        assert!(Pattern::new("(").unwrap_err().contains("unclosed group"));
        assert!(Pattern::new("(a{1000}){1000}").is_err(), "too large");
    }
}
