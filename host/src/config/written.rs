//! Records as TOML: values, and the tables around them.

use serde_json::Value as Json;

use crate::config::file::{Content, Entry, Record, Setting};

/// The widest that a line with a list becomes before each element gets a line of its own.
const WIDTH: usize = 100;

/// A record as TOML, each setting as `line` writes it and each heading as `heading` does; what is
/// shared stands there only if `shared` says so, and without its keys.
pub(super) struct Writer<'w> {
    /// The lines of a setting, if there are any.
    pub(super) line: &'w dyn Fn(&Entry, &Setting) -> Option<String>,
    /// What stands behind a heading; can be empty.
    pub(super) heading: &'w dyn Fn(&Entry) -> String,
    /// Whether the headings of shared tables are written.
    pub(super) shared: bool,
}

impl Writer<'_> {
    /// The whole text.
    pub(super) fn text(&self, root: &Record) -> String {
        let mut out = String::new();
        self.settings(root, &mut out);
        self.tables(root, "", &mut out);
        out
    }

    fn settings(&self, record: &Record, out: &mut String) {
        for entry in &record.entries {
            if let Content::Setting(setting) = &entry.content
                && let Some(line) = (self.line)(entry, setting)
            {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }

    fn tables(&self, record: &Record, path: &str, out: &mut String) {
        for entry in &record.entries {
            let inner = join(path, entry.key);
            match &entry.content {
                Content::Setting(Setting { value: Some(Json::Object(map)), .. }) => {
                    if !map.is_empty() {
                        head(&inner, "", out);
                    }
                    for (name, json) in map {
                        out.push_str(&format!("{} = {}\n", key(name), value(json)));
                    }
                }
                Content::Setting(_) => {}
                Content::Shared(_) => {
                    if self.shared {
                        head(&inner, &(self.heading)(entry), out);
                    }
                }
                Content::Table(record) => {
                    let settings =
                        record.entries.iter().any(|e| matches!(e.content, Content::Setting(_)));
                    if settings {
                        head(&inner, &(self.heading)(entry), out);
                    }
                    self.settings(record, out);
                    self.tables(record, &inner, out);
                }
                Content::Tables { tables, .. } => {
                    for (name, record) in tables {
                        let inner = join(&inner, name);
                        head(&inner, &(self.heading)(entry), out);
                        self.settings(record, out);
                        self.tables(record, &inner, out);
                    }
                }
            }
        }
    }
}

fn head(path: &str, behind: &str, out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&commented(&format!("[{path}]"), behind));
    out.push('\n');
}

fn join(path: &str, name: &str) -> String {
    let name = key(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A line with a comment, which goes on below itself where it is long.
pub(super) fn commented(line: &str, comment: &str) -> String {
    const COLUMN: usize = 34;
    const END: usize = 118;
    let mut out = line.to_owned();
    let mut width = line.chars().count();
    let mut begun = false;
    for word in comment.split_whitespace() {
        let length = word.chars().count() + 1;
        if begun && width + length <= END {
            out.push(' ');
            width += length;
        } else {
            // Behind what is wide there is no room.
            if begun || width > END / 2 {
                out.push('\n');
                width = 0;
            }
            let gap = COLUMN.saturating_sub(width).max(1);
            out.push_str(&" ".repeat(gap));
            out.push_str("# ");
            width += gap + length + 1;
            begun = true;
        }
        out.push_str(word);
    }
    out
}

/// The name of a key.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text(name) }
}

/// A value, as a file would have it that is expanded again.
pub(super) fn value(json: &Json) -> String {
    nested(json, 0)
}

fn nested(json: &Json, depth: usize) -> String {
    match json {
        Json::Null => text(""),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number.to_string(),
        // What looks like a variable has been expanded by now, or was not meant to be one.
        Json::String(string) => text(&string.replace("${", "$${")),
        Json::Array(elements) => {
            let flat: Vec<_> = elements.iter().map(|element| nested(element, depth + 1)).collect();
            let width: usize = flat.iter().map(|element| element.len() + 2).sum();
            if width + 2 * depth <= WIDTH {
                return format!("[{}]", flat.join(", "));
            }
            let margin = "  ".repeat(depth);
            let lines = flat.iter().map(|element| format!("{margin}  {element},\n"));
            format!("[\n{}{margin}]", lines.collect::<String>())
        }
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let pair =
                |(name, json): (&String, &Json)| format!("{} = {}", key(name), nested(json, depth));
            format!("{{ {} }}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A string: a literal one where that spares escapes.
fn text(text: &str) -> String {
    let plain = !text.contains(|c: char| c == '\'' || c.is_control());
    if plain && text.contains(['\\', '"']) {
        return format!("'{text}'");
    }
    // The escapes of JSON are TOML's as well; only DEL goes without one there.
    Json::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_well() {
        let long = "x".repeat(60);
        for (json, toml) in [
            (json!("a"), r#""a""#.to_owned()),
            (json!(r"\.php$"), r"'\.php$'".to_owned()),
            (json!("a'\"\n\u{7f}"), r#""a'\"\n\u007f""#.to_owned()),
            (json!([1, 2.5, true, []]), "[1, 2.5, true, []]".to_owned()),
            (json!({ "a b": { "c": {} } }), r#"{ "a b" = { c = {} } }"#.to_owned()),
            (json!([{ "a": long }, long]), format!("[\n  {{ a = \"{long}\" }},\n  \"{long}\",\n]")),
        ] {
            assert_eq!(value(&json), toml);
        }
    }

    #[test]
    fn long_comments_go_on_below() {
        let lines = commented("a = 1", &"word ".repeat(30));
        assert!(
            lines.lines().all(|line| line.find('#') == Some(34) && line.len() <= 118),
            "{lines}"
        );
        assert_eq!(lines.matches("word").count(), 30);
        assert_eq!(commented("a = 1", ""), "a = 1");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(name: String, string: String) {
            let line = format!("{} = {}", key(&name), text(&string));
            let table: toml::Table = line.parse().unwrap();
            prop_assert_eq!(table[&name].as_str(), Some(string.as_str()));
        }
    }
}
