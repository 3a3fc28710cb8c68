//! `log`: messages of plugins, bounded in length and number.

use wasmtime::Result;

use crate::plugin::bindings::log::{self, Level};
use crate::plugin::guest::Guest;
use crate::plugin::time;

/// The longest message; more is cut.
const MESSAGE_BYTES: usize = 4096;

impl Guest {
    /// Writes a message of the plugin, unless there were too many.
    pub(in crate::plugin) fn say(&self, level: Level, message: &str) {
        let identity = &self.identity;
        if !identity.log_gate.pass(time::since_start(), identity.limits.log_rate) {
            identity.metrics.message_dropped();
            return;
        }
        let end = message.floor_char_boundary(MESSAGE_BYTES);
        let message = plain(message.get(..end).unwrap_or_default());
        let (plugin, version) = (&*identity.name, &*identity.version);
        match level {
            Level::Trace => tracing::trace!(plugin, version, "{message}"),
            Level::Debug => tracing::debug!(plugin, version, "{message}"),
            Level::Info => tracing::info!(plugin, version, "{message}"),
            Level::Warn => tracing::warn!(plugin, version, "{message}"),
            Level::Error => tracing::error!(plugin, version, "{message}"),
        }
    }
}

/// A message without control characters, which could pass for the log's own.
fn plain(message: &str) -> String {
    let mut plain = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

impl log::Host for Guest {
    fn write(&mut self, level: Level, message: String) -> Result<()> {
        self.say(level, &message);
        Ok(())
    }
}
