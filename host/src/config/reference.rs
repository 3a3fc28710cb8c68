//! The reference: a file that sets every key to its default, and says what each is for.

use crate::config::file::{Content, Entry, Record, Setting};
use crate::config::units::grouped;
use crate::config::written::{Writer, commented, value};

/// The reference of a file. Keys without a default are commented out.
pub(super) fn of_file(root: &Record) -> String {
    let line = |entry: &Entry, setting: &Setting| {
        let shown = setting.default.as_ref().or(setting.example.as_ref());
        let shown = shown.map(|json| grouped(&value(json))).unwrap_or_default();
        let off = if setting.default.is_none() && !setting.required { "# " } else { "" };
        let required = if setting.required { "; required" } else { "" };
        let line = format!("{off}{} = {shown}", entry.key);
        Some(commented(&line, &format!("{}{required}", entry.sentence())))
    };
    let heading = |entry: &Entry| match entry.content {
        Content::Tables { required: true, .. } => format!("{}; at least one", entry.about),
        _ => entry.about.to_owned(),
    };
    Writer { line: &line, heading: &heading, shared: true }.text(root)
}
