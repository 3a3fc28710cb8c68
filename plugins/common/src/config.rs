//! Reading the configuration that `configure` is given, and saying what is wrong with it as the
//! host likes it said: `KEY: what is wrong, expected THAT; did you mean ANOTHER?`

use serde::Deserializer;
use serde::de::DeserializeOwned;

use crate::names;

pub use serde_json::Value;

/// Parses the configuration. An error names the key: ``rules[3].match[0]: this is an integer,
/// expected a string``.
pub fn parse<T: DeserializeOwned>(config: &str) -> Result<T, String> {
    parse_with("", &mut serde_json::Deserializer::from_str(config))
}

/// Parses a part of it that stands under `path`: what is read part by part has all its faults told
/// at once, where [`parse`] stops at the first.
pub fn parse_part<T: DeserializeOwned>(path: &str, part: Value) -> Result<T, String> {
    parse_with(path, part)
}

fn parse_with<'d, T: DeserializeOwned, D: Deserializer<'d>>(
    base: &str,
    from: D,
) -> Result<T, String>
where
    D::Error: ToString,
{
    serde_path_to_error::deserialize(from).map_err(|error| {
        let path = error.path().to_string();
        let path = match (base, path.as_str()) {
            (_, ".") => base.to_owned(),
            ("", _) => path,
            (_, inner) if inner.starts_with('[') => format!("{base}{inner}"),
            _ => format!("{base}.{path}"),
        };
        let cause = plain(&error.into_inner().to_string());
        if path.is_empty() { cause } else { format!("{path}: {cause}") }
    })
}

/// What serde says, in the words of whoever wrote TOML.
fn plain(cause: &str) -> String {
    // Where in the JSON it was means nothing to them.
    let cause = cause.rsplit_once(" at line ").map_or(cause, |(cause, _)| cause);
    let (wrong, expected) = match cause.split_once(", expected ") {
        Some((wrong, expected)) => (wrong, format!(", expected {}", plain_expected(expected))),
        None => (cause, String::new()),
    };
    if let Some(key) = wrong.strip_prefix("unknown field ") {
        let name = key.trim_matches('`');
        let known = expected.split('`').skip(1).step_by(2);
        return format!("unknown key{expected}{}", names::did_you_mean(name, known));
    }
    if let Some(name) = wrong.strip_prefix("unknown variant ") {
        let known = expected.split('`').skip(1).step_by(2);
        let meant = names::did_you_mean(name.trim_matches('`'), known);
        return format!("{name} is not known here{expected}{meant}");
    }
    if let Some(key) = wrong.strip_prefix("missing field ") {
        return format!("{key} is missing");
    }
    if let Some(found) = wrong.strip_prefix("invalid type: ") {
        return format!("this is {}{expected}", plain_type(found));
    }
    format!("{wrong}{expected}")
}

fn plain_type(found: &str) -> &str {
    match found.split([' ', '`']).next() {
        Some("integer") => "an integer",
        Some("floating") => "a float",
        Some("string") => "a string",
        Some("boolean") => "a boolean",
        Some("sequence") => "a list",
        Some("map") => "a table",
        _ => found,
    }
}

fn plain_expected(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// Refuses every key, for a plugin that needs no configuration.
pub fn refuse_keys(config: &str) -> Result<(), String> {
    let inside = config.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if inside.is_some_and(|inside| inside.trim().is_empty()) {
        return Ok(());
    }
    Err(format!("expected no keys, found {config}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rules {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        r#match: Vec<String>,
        #[serde(default)]
        status: u16,
    }

    #[test]
    fn an_error_names_the_key_and_what_was_expected() {
        let error = |config| parse::<Rules>(config).unwrap_err();
        for (config, said) in [
            (
                r#"{"rules": [{"match": ["a"]}, {"match": ["a", 1]}]}"#,
                "rules[1].match[1]: this is an integer, expected a string",
            ),
            (
                r#"{"rules": [{"mach": []}]}"#,
                "rules[0].mach: unknown key, expected `match` or `status`; did you mean `match`?",
            ),
            (
                r#"{"rules": [{"colour": []}]}"#,
                "rules[0].colour: unknown key, expected `match` or `status`",
            ),
            (r#"{"rules": "x"}"#, "rules: this is a string, expected a list"),
            (r#"{"rules": [1.5]}"#, "rules[0]: this is a float, expected a table"),
            (
                r#"{"rules": [{"match": [], "status": 70000}]}"#,
                "rules[0].status: invalid value: integer `70000`, \
                 expected a whole number from 0 to 65535",
            ),
            (r#"{"rules": [{}]}"#, "rules[0]: `match` is missing"),
            ("{}", "`rules` is missing"),
        ] {
            assert_eq!(error(config), said, "{config}");
        }
        let good: Rules = parse(r#"{"rules": [{"match": ["a"], "status": 1}]}"#).unwrap();
        assert_eq!((good.rules[0].r#match.len(), good.rules[0].status), (1, 1));
    }

    #[test]
    fn parts_are_named_from_the_top() {
        let error = |part: &str| {
            let part = serde_json::from_str(part).unwrap();
            parse_part::<Rule>("rules[3]", part).unwrap_err()
        };
        assert_eq!(error("{}"), "rules[3]: `match` is missing");
        assert_eq!(
            error(r#"{"match": [true]}"#),
            "rules[3].match[0]: this is a boolean, expected a string"
        );
        let list = parse_part::<Vec<u16>>("list", serde_json::json!([1, "a"])).unwrap_err();
        assert!(list.starts_with("list[1]: this is a string, expected "), "{list}");
    }

    #[test]
    fn only_an_empty_table_has_no_keys() {
        assert_eq!(refuse_keys("{}"), Ok(()));
        assert_eq!(refuse_keys(" { } "), Ok(()));
        assert_eq!(refuse_keys(r#"{"a":1}"#).unwrap_err(), r#"expected no keys, found {"a":1}"#);
        assert!(refuse_keys("}").is_err());
    }
}
