//! A path or a location that may have groups in it, and the patterns that the groups are of.
//!
//! Patterns are searched for in the decoded path, but what a group matched is filled in as it is
//! written in the request: an encoded slash stays encoded.

use crate::patterns;
use crate::template::Template;
use linkspan_plugin_common::{path, segments};
use regex_automata::PatternID;
use regex_automata::nfa::thompson::pikevm::PikeVM;

/// A template, and its patterns: none if it has no groups.
pub(crate) struct Text {
    template: Template,
    patterns: Vec<PikeVM>,
}

impl Text {
    /// Reads the template of a path whose groups are those of the patterns.
    pub(crate) fn of_path(text: &str, patterns: &[String]) -> Result<Self, String> {
        let template = Template::parse(text)?;
        if template.has('#') {
            return Err("'#' must be percent-encoded".to_owned());
        }
        if template.fill(|_| Some(b"x")).is_some_and(|text| leads_up(&text)) {
            return Err("it has dot segments, expected a path without them".to_owned());
        }
        Self::compile(template, patterns)
    }

    /// Reads the template of a location whose groups are those of the patterns.
    pub(crate) fn of_location(text: &str, patterns: &[String]) -> Result<Self, String> {
        Self::compile(Template::location(text)?, patterns)
    }

    fn compile(template: Template, paths: &[String]) -> Result<Self, String> {
        let mut patterns = Vec::new();
        if let Some(greatest) = template.greatest_group() {
            for (place, path) in paths.iter().enumerate() {
                // A fault of the pattern is reported where the pattern stands.
                let Some(pattern) = patterns::groups_of(path) else { continue };
                let groups =
                    pattern.get_nfa().group_info().group_len(PatternID::ZERO).saturating_sub(1);
                if greatest > groups {
                    if path.is_empty() {
                        return Err(format!(
                            "`${greatest}` is a group of a pattern in `match`, and there is none"
                        ));
                    }
                    return Err(format!(
                        "match[{place}] has no group for `${greatest}`, expected `${groups}` at most"
                    ));
                }
                patterns.push(pattern);
            }
        }
        Ok(Self { template, patterns })
    }

    /// Whether it takes the groups of a pattern.
    pub(crate) fn has_groups(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The new path for one that is given decoded, and as it is written. Nothing if dot segments
    /// would lead out of where it is to be.
    pub(crate) fn path(&self, path: &[u8], written: &[u8]) -> Option<String> {
        let mut text = self.with_matches(path, written, |matched| self.template.fill(matched))?;
        if !text.starts_with('/') {
            text.insert(0, '/');
        }
        Some(text).filter(|text| !leads_up(text))
    }

    /// The location for a path that is given decoded, and as it is written. Nothing if a match would
    /// name the server. One that begins with a slash must not turn `/$1` into `//host`, which names
    /// another server.
    pub(crate) fn location(&self, path: &[u8], written: &[u8]) -> Option<String> {
        let mut text =
            self.with_matches(path, written, |matched| self.template.fill_location(matched))?;
        if text.starts_with("//") && !self.template.begins_with("//") {
            let slashes = text.bytes().take_while(|byte| *byte == b'/').count();
            text.drain(1..slashes);
        }
        Some(text)
    }

    /// Calls with what gives the match of a group, as it is written.
    fn with_matches<'a>(
        &self,
        path: &[u8],
        written: &'a [u8],
        fill: impl FnOnce(&dyn Fn(usize) -> Option<&'a [u8]>) -> Option<String>,
    ) -> Option<String> {
        for pattern in &self.patterns {
            let mut captures = pattern.create_captures();
            pattern.captures(&mut pattern.create_cache(), path, &mut captures);
            if captures.is_match() {
                return fill(&|group| {
                    let span = captures.get_group(group)?;
                    written.get(place(written, span.start)..place(written, span.end))
                });
            }
        }
        fill(&|_| None)
    }
}

/// The location with the query of the request, unless it has one itself. A question mark at its end
/// says that there is to be none.
pub(crate) fn with_query(location: &str, query: Option<&str>) -> String {
    let end = location.find('#').unwrap_or(location.len());
    let (target, fragment) = location.split_at_checked(end).unwrap_or((location, ""));
    let mut text = target.strip_suffix('?').unwrap_or(target).to_owned();
    if let Some(query) = query.filter(|query| !query.is_empty() && !target.contains('?')) {
        text.push('?');
        for byte in query.bytes() {
            match byte.is_ascii_graphic() {
                true => text.push(char::from(byte)),
                false => path::push_encoded(&mut text, byte),
            }
        }
    }
    text.push_str(fragment);
    text
}

/// Whether dot segments are in the path of a target.
fn leads_up(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    segments::has_dots(path)
}

/// Where a place in the decoded path is in the one that is written.
fn place(written: &[u8], decoded: usize) -> usize {
    let mut at = 0;
    for _ in 0..decoded {
        let Some((_, length)) = written.get(at..).and_then(segments::first) else { break };
        at += length;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_keeps_the_query_of_the_request() {
        for (location, query, expected) in [
            ("/a", Some("b=c&d"), "/a?b=c&d"),
            ("https://a.test#x", Some("b"), "https://a.test?b#x"),
            ("/a", Some("\u{e9}"), "/a?%C3%A9"),
            ("/a?own", Some("b"), "/a?own"),
            ("/a?", Some("b"), "/a"),
            ("/a?#x?", Some("b"), "/a#x?"),
            ("/a", Some(""), "/a"),
            ("/a", None, "/a"),
        ] {
            assert_eq!(with_query(location, query), expected, "{location} {query:?}");
        }
    }
}
