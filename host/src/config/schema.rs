//! The JSON schema of the file, for editors: draft 7, which all that check TOML understand.

use serde_json::{Map, Value as Json, json};

use crate::config::file::{Content, Entry, Record, with};

/// The schema of a file.
pub(super) fn of_file(root: &Record) -> Json {
    let schema = with(of_table(root), "$schema", "http://json-schema.org/draft-07/schema#");
    let schema = with(schema, "title", "The configuration of Linkspan");
    // The TOML that the reader takes: tables in braces may have lines.
    with(schema, "x-tombi-toml-version", "v1.1.0")
}

/// The schema of a table.
pub(super) fn of_table(record: &Record) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for entry in &record.entries {
        properties.insert(entry.key.to_owned(), of_entry(entry));
        let needed = match &entry.content {
            Content::Setting(setting) => setting.required,
            Content::Tables { required, .. } => *required,
            Content::Table(_) | Content::Shared(_) => false,
        };
        if needed {
            required.push(entry.key);
        }
    }
    let others = record.others.clone().unwrap_or(Json::Bool(false));
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": others,
    })
}

fn of_entry(entry: &Entry) -> Json {
    let schema = match &entry.content {
        Content::Setting(setting) => {
            let mut schema = setting.schema.clone();
            if let Some(default) = &setting.default {
                schema = with(schema, "default", default.clone());
            }
            if let Some(example) = &setting.example {
                schema = with(schema, "examples", json!([example]));
            }
            schema
        }
        Content::Table(record) | Content::Shared(record) => of_table(record),
        Content::Tables { required, tables } => {
            let each = tables.first().map_or(Json::Bool(true), |(_, record)| of_table(record));
            let each = with(each, "description", format!("{}.", entry.about));
            json!({
                "type": "object",
                "minProperties": u8::from(*required),
                "propertyNames": { "minLength": 1, "maxLength": 128 },
                "additionalProperties": each,
                "x-tombi-additional-key-label": "NAME",
            })
        }
    };
    with(schema, "description", format!("{}.", entry.sentence()))
}
