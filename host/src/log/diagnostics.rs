//! The diagnostic log: what becomes of an event, as text for people or JSON for programs, and which
//! events are written at all.
//!
//! A line cannot be forged. Text comes as one line per event, or goes on in lines that are indented;
//! control characters and whatever else does not print are escaped, and so is what a value could use
//! to look like another field. What is not written costs one look at a number, as the callers
//! remember what is wanted until that changes.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, callsite, span};

use super::line;
use super::sink::Sink;
use crate::config::{Config, LogLevel, Name};

/// Which events are written.
#[derive(Debug)]
struct Filter {
    level: LevelFilter,
    /// Plugins that have a level of their own.
    plugins: BTreeMap<Name, LevelFilter>,
    /// The finest of all these levels.
    finest: LevelFilter,
}

/// Which events are written, and a way to change that. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Levels(Arc<ArcSwap<Filter>>);

impl Levels {
    /// One level for all.
    pub(super) fn new(level: LogLevel) -> Self {
        let level = filter(level);
        let filter = Filter { level, plugins: BTreeMap::new(), finest: level };
        Self(Arc::new(ArcSwap::from_pointee(filter)))
    }

    /// From now on those of a configuration.
    pub(super) fn follow(&self, config: &Config) {
        let own = config.plugins.values().filter_map(|plugin| Some((plugin, plugin.log_level?)));
        let plugins: BTreeMap<_, _> =
            own.map(|(plugin, level)| (Name::clone(&plugin.name), filter(level))).collect();
        let level = filter(config.log.level);
        let finest = plugins.values().copied().max().unwrap_or(level).max(level);
        self.0.store(Arc::new(Filter { level, plugins, finest }));
        callsite::rebuild_interest_cache();
    }
}

impl Filter {
    /// Whether an event of that kind may be written; which plugin it is about is not known yet.
    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries below log for their authors; what they warn of is for operators as well.
        let own = metadata.target().split("::").next() == Some("linkspan");
        let limit = if own { self.finest } else { self.level.min(LevelFilter::WARN) };
        *metadata.level() <= limit
    }

    /// Whether an event is written that may be.
    fn wants(&self, event: &Event<'_>) -> bool {
        if self.plugins.is_empty() {
            return true;
        }
        let mut about = About { filter: self, limit: self.level };
        event.record(&mut about);
        *event.metadata().level() <= about.limit
    }
}

/// Finds the level that counts for an event.
struct About<'a> {
    filter: &'a Filter,
    limit: LevelFilter,
}

impl Visit for About<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin"
            && let Some(limit) = self.filter.plugins.get(value)
        {
            self.limit = *limit;
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

/// Writes events to a sink.
#[derive(Debug)]
pub(super) struct Diagnostics {
    pub(super) levels: Levels,
    pub(super) sink: Sink,
    pub(super) json: bool,
    pub(super) colour: bool,
}

impl Subscriber for Diagnostics {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.0.load().admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.0.load().finest)
    }

    fn event(&self, event: &Event<'_>) {
        if !self.levels.0.load().wants(event) {
            return;
        }
        let mut fields = Fields { form: self, message: String::new(), fields: Vec::new() };
        event.record(&mut fields);
        let line = if self.json { fields.json(event) } else { fields.text(event) };
        self.sink.push(&line, 1);
    }

    // Linkspan uses no spans, and those of libraries say nothing to operators.
    fn new_span(&self, _attributes: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// The fields of an event on their way into a line.
struct Fields<'a> {
    form: &'a Diagnostics,
    message: String,
    /// All others, written.
    fields: Vec<u8>,
}

impl Fields<'_> {
    fn json(self, event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(line::timestamp(SystemTime::now()).as_bytes());
        out.extend_from_slice(b"\",\"level\":\"");
        out.extend_from_slice(event.metadata().level().as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":\"");
        line::json_inside(&mut out, self.message.as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.fields);
        out.extend_from_slice(b",\"module\":\"");
        line::json_inside(&mut out, event.metadata().target().as_bytes());
        out.extend_from_slice(b"\"}\n");
        out
    }

    fn text(self, event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let level = *event.metadata().level();
        let (dim, tint, plain) = match self.form.colour {
            true => ("\u{1b}[2m", tint(level), "\u{1b}[0m"),
            false => ("", "", ""),
        };
        // Writing to bytes does not fail.
        let time = line::timestamp(SystemTime::now());
        let _ = write!(out, "{dim}{time}{plain} {tint}{level:>5}{plain} ");
        line::text_message(&mut out, &self.message);
        out.extend_from_slice(&self.fields);
        out.push(b'\n');
        out
    }

    /// Begins a field.
    fn key(&mut self, key: &str) {
        if self.form.json {
            self.fields.extend_from_slice(b",\"");
            self.fields.extend_from_slice(key.as_bytes());
            self.fields.extend_from_slice(b"\":");
            return;
        }
        let (dim, plain) = if self.form.colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        let _ = write!(self.fields, " {dim}{key}={plain}");
    }

    fn words(&mut self, field: &Field, words: &str) {
        if field.name() == "message" {
            self.message.push_str(words);
            return;
        }
        self.key(field.name());
        if self.form.json {
            self.fields.push(b'"');
            line::json_inside(&mut self.fields, words.as_bytes());
            self.fields.push(b'"');
        } else {
            line::text_value(&mut self.fields, words);
        }
    }

    /// What is the same in both forms.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field.name());
        let _ = write!(self.fields, "{value}");
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers.
        if value.is_finite() {
            self.plain(field, value);
        } else {
            self.words(field, &value.to_string());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.words(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut words = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = fmt::Write::write_fmt(&mut words, format_args!(": {error}"));
            cause = error.source();
        }
        self.words(field, &words);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.words(field, &format!("{value:?}"));
    }
}

fn tint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::config::LogTarget;
    use crate::log::sink::Writer;

    /// The lines of what is logged, without their times.
    fn lines(json: bool, plugins: &[(&str, LevelFilter)], log: impl FnOnce()) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let target = LogTarget::File(path.clone());
        let writer = Writer::start(&target, Duration::from_secs(60)).unwrap();
        let plugins: BTreeMap<_, _> = plugins.iter().map(|(n, l)| (Name::from(*n), *l)).collect();
        let level = LevelFilter::INFO;
        let finest = plugins.values().copied().max().unwrap_or(level).max(level);
        let levels = Levels(Arc::new(ArcSwap::from_pointee(Filter { level, plugins, finest })));
        let sink = writer.sink().clone();
        tracing::subscriber::with_default(Diagnostics { levels, sink, json, colour: false }, log);
        drop(writer);
        let text = fs::read_to_string(path).unwrap();
        let time = "2026-11-22T10:00:00.000Z".len();
        let skip = if json { 0 } else { time + 1 };
        text.lines().map(|line| line.get(skip..).unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_text_line_cannot_be_forged() {
        let log = || {
            tracing::info!(id = "1", port = 80, ok = true, "started");
            tracing::warn!(name = "a b\n2026", "naïve\u{1b}[31m \u{202e}x\r");
            tracing::warn!("all is well id=7");
            let error = std::io::Error::other("no \"luck\"");
            tracing::error!(error = &error as &dyn Error, "first\nsecond\n\u{85}third");
        };
        let expected = [
            " INFO started id=1 port=80 ok=true",
            " WARN naïve\\u{1b}[31m \\u{202e}x\\r name=\"a b\\x0a2026\"",
            " WARN \"all is well id=7\"",
            "ERROR first",
        ];
        let lines = lines(false, &[], log);
        assert_eq!(lines[..4], expected);
        // The beginning of what goes on was taken for a time: it is blank.
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn what_goes_on_in_further_lines_is_indented() {
        let mut out = Vec::new();
        line::text_message(&mut out, "one\ntwo\n\nthree = \"3\"");
        assert_eq!(String::from_utf8(out).unwrap(), "one\n    two\n    \n    three = \"3\"");
    }

    #[test]
    fn a_json_line_has_every_field_as_it_is() {
        let log = || {
            let error = std::io::Error::other("no \"luck\"");
            tracing::warn!(error = &error as &dyn Error, number = -1, "a\nb");
        };
        let line: serde_json::Value = serde_json::from_str(&lines(true, &[], log)[0]).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"a\nb".into()));
        assert_eq!((&line["error"], &line["number"]), (&"no \"luck\"".into(), &(-1).into()));
        assert_eq!(line["module"], "linkspan::log::diagnostics::tests");
    }

    #[test]
    fn a_plugin_may_have_a_level_of_its_own() {
        let levels = [("loud", LevelFilter::TRACE), ("quiet", LevelFilter::ERROR)];
        let log = || {
            for plugin in ["loud", "quiet", "other"] {
                tracing::trace!(plugin, "trace");
                tracing::info!(plugin, "info");
                tracing::error!(plugin, "error");
            }
            tracing::debug!("debug of no plugin");
            tracing::warn!(target: "library", "a library warns");
            tracing::info!(target: "library", "a library chats");
        };
        let expected = [
            "TRACE trace plugin=loud",
            " INFO info plugin=loud",
            "ERROR error plugin=loud",
            "ERROR error plugin=quiet",
            " INFO info plugin=other",
            "ERROR error plugin=other",
            " WARN a library warns",
        ];
        assert_eq!(lines(false, &levels, log), expected);
    }
}
