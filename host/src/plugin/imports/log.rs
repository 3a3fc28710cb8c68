//! `log`: messages of plugins, bounded in length and number.

use std::borrow::Cow;

use wasmtime::Result;

use crate::plugin::bindings::log::{self, Level};
use crate::plugin::guest::Guest;
use crate::plugin::time;

/// The longest message; more is cut.
const MESSAGE_BYTES: usize = 4096;

impl Guest {
    /// Writes a message of the plugin, unless there were too many.
    pub(in crate::plugin) fn say(&self, level: Level, message: &str) {
        if !is_wanted(level) {
            return;
        }
        let identity = &self.identity;
        if !identity.log_gate.pass(time::since_start(), identity.given.limits.log_rate) {
            identity.given.metrics.message_dropped();
            return;
        }
        let end = message.floor_char_boundary(MESSAGE_BYTES);
        let message = plain(message.get(..end).unwrap_or_default());
        let (plugin, version) = (&*identity.given.name, &*identity.given.version);
        let exchange = self.exchange.as_ref();
        let id = exchange.map(|exchange| tracing::field::display(&exchange.trail.id));
        let listener = exchange.map(|exchange| &*exchange.connection.listener);
        match level {
            Level::Trace => tracing::trace!(plugin, version, id, listener, "{message}"),
            Level::Debug => tracing::debug!(plugin, version, id, listener, "{message}"),
            Level::Info => tracing::info!(plugin, version, id, listener, "{message}"),
            Level::Warn => tracing::warn!(plugin, version, id, listener, "{message}"),
            Level::Error => tracing::error!(plugin, version, id, listener, "{message}"),
        }
    }
}

/// Whether messages of a level may be for somebody. Details that nobody asked for take no room from
/// those that say what is wrong.
fn is_wanted(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
        Level::Info | Level::Warn | Level::Error => true,
    }
}

/// A message without what could end a line or speak to a terminal.
fn plain(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let mut text = String::with_capacity(message.len() + 16);
    for char in message.chars() {
        match char {
            '\t' => text.push(char),
            _ if char.is_control() => text.extend(char.escape_default()),
            _ => text.push(char),
        }
    }
    Cow::Owned(text)
}

impl log::Host for Guest {
    fn write(&mut self, level: Level, message: String) -> Result<()> {
        self.say(level, &message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn messages_are_one_line_and_otherwise_as_they_were() {
        assert_eq!(plain("it's \"so\""), "it's \"so\"");
        assert_eq!(plain("a\r\nb\u{1b}[31m\té"), "a\\r\\nb\\u{1b}[31m\té");
    }
}
